"""An encoder that asks for denser frames, and whose codes say when those were taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spatialcode.encoder.protocol import (
    ClipHeader,
    ClipInput,
    CollectedSession,
    FrameRequest,
    OnShare,
)
from spatialcode.errors import EncodeError
from spatialcode.scene.schema import Provenance, Scale, SpatialCode
from spatialcode.workkey import EncoderIdentity

NAME = "tests.pipelines.dense_reader:DenseReader"


@dataclass(frozen=True)
class NoDenseSettings:
    """This encoder has none of its own."""


class DenseReader:
    """Warns of the times of the grey frames that came, and of their size."""

    settings = NoDenseSettings
    identity = EncoderIdentity("dense-reader", "0" * 64, "1" * 64)
    frames = FrameRequest(count=3, side_px=64, max_dense=7)

    def __init__(self, name: str = "", settings: NoDenseSettings | None = None) -> None:
        pass

    def load(self, device: str) -> DenseReader:
        return self

    def session(self, clip: ClipHeader) -> CollectedSession:
        return CollectedSession(self, clip)

    def encode_batch(
        self, clips: Sequence[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        return [self._code(clip) for clip in clips]

    def _code(self, clip: ClipInput) -> SpatialCode:
        dense = clip.dense
        told = ("none",)
        if dense is not None:
            times = " ".join(f"{t:.1f}" for t in dense.times_s)
            told = (times, f"{dense.gray.shape[1:]}", f"{dense.gray.mean():.2f}")
        return SpatialCode(
            video=clip.video,
            objects=(),
            cameras=(),
            room=None,
            scale=Scale("given", 1.0),
            provenance=Provenance("dense-reader", "0" * 64, "1" * 64, "tests", clip.work_key),
            warnings=told,
        )
