"""Which encoder a run uses: bundled weights by name, or any class given as ``module:Class``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from pipelines.encode.config import EncoderConfig
from spatialcode.config import to_dict
from spatialcode.errors import ConfigError, EncodeError
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
    module_name, _, class_name = spec.partition(":")
    try:
        encoder_class: Any = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"encoder.name: cannot load {spec!r}: {error}") from error
    encoder: Encoder = encoder_class.load(config.name, device)
    return encoder


def identity_of(encoder: Encoder, sampling: Sampling) -> EncoderIdentity:
    """The identity that work keys are made of; which frames are looked at is part of it."""
    settings = {"encoder": encoder.config_sha256, "sampling": to_dict(sampling)}
    return EncoderIdentity(encoder.name, encoder.weights_sha256, config_sha256(settings))


def limit_threads(num_cpus: float) -> None:
    """Keep a worker to the cores it reserved: libraries take all of a machine's by default."""
    num_threads = max(1, int(num_cpus))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(num_threads)  # for libraries not loaded yet
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(num_threads)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(num_threads)
