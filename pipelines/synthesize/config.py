"""The settings of the synthesize job. Light: read by ``--help`` before Ray is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spatialcode.config import checked, require, setting
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.synthetic.renderers import PRIMITIVES, RENDERERS

if TYPE_CHECKING:
    from spatialcode.synthetic.clips import ClipConfig
    from spatialcode.synthetic.videos import VideoConfig

FORMATS = ("mp4", "webdataset", "parquet")


@dataclass(frozen=True)
@checked
class SynthesizeConfig:
    """Which rooms are rendered, how, and into what."""

    output: str = setting("folder for the data set; a second run adds what is missing")
    num_rooms: int = setting("rooms, one clip each", 100, at_least=1)
    seed: int = setting(
        f"first room's seed, the others follow; from {HELD_OUT_ROOMS.start} on: held out",
        0,
        at_least=0,
    )
    format: str = setting(
        "mp4 (a file a room), webdataset (tar shards) or parquet", "mp4", one_of=FORMATS
    )
    num_frames: int = setting("frames with depth, instances and pose a clip", 32, at_least=2)
    width_px: int = setting("width of the pictures", 160, at_least=32)
    height_px: int = setting("height of the pictures", 120, at_least=32)
    rate_hz: float | None = setting(
        "frames a second of a full-rate video; null: only those", None, above=0
    )
    moving_share: float = setting(
        "share of clips in which something moves", 0.25, at_least=0, at_most=1
    )
    renderer: str = setting(
        "primitives (boxes and cylinders, needs nothing) or furniture (real models)",
        PRIMITIVES,
        one_of=RENDERERS,
    )
    rooms_per_shard: int = setting("rooms a task renders; they share a shard", 16, at_least=1)
    num_cpus: float = setting("cores a rendering task reserves", 1.0, above=0)
    max_failed_fraction: float = setting(
        "share of failed rooms that still counts as success", 0.0, at_least=0, at_most=1
    )
    ray_address: str | None = setting(
        "Ray cluster to join; null: RAY_ADDRESS or this machine", None
    )

    def __post_init__(self) -> None:
        local = "://" not in self.output
        require(local, "output", "a folder that all workers share", self.output)
        for name in ("width_px", "height_px"):
            value = getattr(self, name)
            require(value % 2 == 0, name, "an even number", value)

    @property
    def film(self) -> ClipConfig | VideoConfig:
        """How each room is filmed."""
        from spatialcode.synthetic.clips import ClipConfig
        from spatialcode.synthetic.videos import VideoConfig

        size = (self.width_px, self.height_px)
        if self.rate_hz is None:
            return ClipConfig(self.num_frames, *size, self.moving_share, self.renderer)
        return VideoConfig(
            *size,
            self.rate_hz,
            num_truth_frames=self.num_frames,
            moving_share=self.moving_share,
            renderer=self.renderer,
        )
