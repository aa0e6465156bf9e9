"""Which encoder a run uses: bundled weights by name, or any class given as ``module:Class``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipelines.encode.config import EncoderConfig
from spatialcode.config import to_dict
from spatialcode.errors import EncodeError
from spatialcode.loading import load
from spatialcode.scene.schema import SpatialCode
from spatialcode.video.decode import DecodedVideo
from spatialcode.video.sampling import Sampling
from spatialcode.workkey import EncoderIdentity, config_sha256

BUNDLED = "spatialcode.api:VideoEncoder"


class Encoder(Protocol):
    """What the pipeline needs of an encoder class."""

    name: str
    weights_sha256: str
    config_sha256: str

    @classmethod
    def load(cls, name: str, device: str) -> Encoder:
        """The encoder with its weights on a device; WeightsError if they are not there."""
        ...

    def encode_batch(self, videos: Sequence[DecodedVideo]) -> list[SpatialCode | EncodeError]:
        """One result a video, in order."""
        ...


def load_encoder(config: EncoderConfig, device: str) -> Encoder:
    """The encoder that a configuration names. ConfigError where there is no such class."""
    spec = config.name if ":" in config.name else BUNDLED
    encoder: Encoder = load(spec, "encoder.name").load(config.name, device)
    return encoder


def identity_of(encoder: Encoder, sampling: Sampling) -> EncoderIdentity:
    """The identity that work keys are made of; which frames are looked at is part of it."""
    settings = {"encoder": encoder.config_sha256, "sampling": to_dict(sampling)}
    return EncoderIdentity(encoder.name, encoder.weights_sha256, config_sha256(settings))
