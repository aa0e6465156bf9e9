"""The settings of the synthesize job. Light: read by ``--help`` before Ray is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import require, setting
from spatialcode.evaluation.room_files import RoomVideo

FORMATS = ("mp4", "webdataset", "parquet")


@dataclass(frozen=True)
class SynthesizeConfig:
    """Which rooms are rendered, how, and into what."""

    output: str = setting("folder for the data set; a second run adds what is missing")
    num_rooms: int = setting("rooms, one clip each", 100)
    seed: int = setting("first room's seed, the others follow; from 1000000000 on: held out", 0)
    format: str = setting("mp4 (a file a room), webdataset (tar shards) or parquet", "mp4")
    num_frames: int = setting("frames with depth, instances and pose a clip", 32)
    width_px: int = setting("width of the pictures", 160)
    height_px: int = setting("height of the pictures", 120)
    rate_hz: float | None = setting("frames a second of a full-rate video; null: only those", None)
    moving_share: float = setting("share of clips in which something moves", 0.25)
    rooms_per_shard: int = setting("rooms a task renders; they share a shard", 16)
    num_cpus: float = setting("cores a rendering task reserves", 1.0)
    max_failed_fraction: float = setting("share of failed rooms that still counts as success", 0.0)
    ray_address: str | None = setting(
        "Ray cluster to join; null: RAY_ADDRESS or this machine", None
    )

    def __post_init__(self) -> None:
        known = self.format in FORMATS
        require(known, "format", " or ".join(FORMATS), self.format)
        local = "://" not in self.output
        require(local, "output", "a folder that all workers share", self.output)
        require(self.num_rooms >= 1, "num_rooms", "at least 1", self.num_rooms)
        require(self.seed >= 0, "seed", "0 or more", self.seed)
        require(self.num_frames >= 2, "num_frames", "at least 2", self.num_frames)
        for name in ("width_px", "height_px"):
            value = getattr(self, name)
            require(value >= 32 and value % 2 == 0, name, "an even number from 32 on", value)
        require(self.rate_hz is None or self.rate_hz > 0, "rate_hz", "more than 0", self.rate_hz)
        share = 0 <= self.moving_share <= 1
        require(share, "moving_share", "between 0 and 1", self.moving_share)
        require(self.rooms_per_shard >= 1, "rooms_per_shard", "at least 1", self.rooms_per_shard)
        require(self.num_cpus > 0, "num_cpus", "more than 0", self.num_cpus)
        allowed = 0 <= self.max_failed_fraction <= 1
        require(allowed, "max_failed_fraction", "between 0 and 1", self.max_failed_fraction)

    @property
    def room_video(self) -> RoomVideo:
        """How each room is filmed."""
        return RoomVideo(
            num_frames=self.num_frames,
            width_px=self.width_px,
            height_px=self.height_px,
            moving_share=self.moving_share,
            rate_hz=self.rate_hz,
            folder="videos/" if self.format == "mp4" else "",
        )
