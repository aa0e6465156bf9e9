"""Settings of geometry sources. No torch here: an encoder's identity holds them."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import checked, require, setting
from spatialcode.encoder.geometry.protocol import DepthNoise

PRECISIONS = ("auto", "bfloat16", "float16", "float32")


@dataclass(frozen=True)
@checked
class DepthNoiseSettings:
    """How wrong a network's depth is taken to be; `DepthNoise` in settings."""

    frame: float = setting("sigma of the log of a frame's scale", 0.05, at_least=0)
    pixel: float = setting("sigma of the log of a pixel's depth", 0.03, at_least=0)
    edge_px: float = setting("pixels over which a depth edge is smeared", 3.0, at_least=0)

    def noise(self) -> DepthNoise:
        """The same as geometry states it."""
        return DepthNoise(self.frame, self.pixel, self.edge_px)


@dataclass(frozen=True)
@checked
class PathSettings:
    """How a path is estimated where none is given."""

    side_px: int = setting(
        "longer side of the pictures in which points are followed", 320, at_least=96
    )
    assumed_hfov_deg: float = setting(
        "horizontal field of view where nothing tells it", 65.0, above=0, below=180
    )


@dataclass(frozen=True)
@checked
class MonocularSettings:
    """A depth network, frame by frame, with a path of our own."""

    precision: str = setting(
        "of the network; auto: bfloat16 on an accelerator", "auto", one_of=PRECISIONS
    )
    num_frames: int = setting("frames that pass the network together", 4, at_least=1)
    error: DepthNoiseSettings = setting("", default_factory=DepthNoiseSettings)
    path: PathSettings = setting("", default_factory=PathSettings)


@dataclass(frozen=True)
@checked
class RecordedSettings:
    """Depth that comes with the recording, with a path of our own where none comes."""

    error: DepthNoiseSettings = setting(
        "", default_factory=lambda: DepthNoiseSettings(0.01, 0.02, 2.0)
    )
    path: PathSettings = setting("", default_factory=PathSettings)


@dataclass(frozen=True)
@checked
class AnyViewSettings:
    """Depth Anything 3: depth and poses of many frames at once, and a metric network beside it."""

    precision: str = setting(
        "of the networks' backbones; auto: bfloat16 on an accelerator",
        "auto",
        one_of=("auto", "bfloat16", "float32"),
    )
    side_px: int = setting("longer side of the networks' pictures", 504, at_least=56)
    chunk_frames: int = setting(
        "frames that pass the any-view network together: its memory grows with them", 32, at_least=2
    )
    chunk_overlap: int = setting("frames that neighbouring chunks share", 8, at_least=1)
    metric_frames: int = setting("frames that pass the metric network together", 4, at_least=1)
    min_confidence: float = setting(
        "depth below this share of the frames' median confidence is dropped",
        0.2,
        at_least=0,
        at_most=1,
    )
    error: DepthNoiseSettings = setting(
        "", default_factory=lambda: DepthNoiseSettings(0.02, 0.02, 3.0)
    )
    path: PathSettings = setting("", default_factory=PathSettings)

    def __post_init__(self) -> None:
        fewer = f"fewer than chunk_frames ({self.chunk_frames})"
        require(self.chunk_overlap < self.chunk_frames, "chunk_overlap", fewer, self.chunk_overlap)
