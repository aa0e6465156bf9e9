"""Settings of structure from motion. No torch and no pycolmap: an encoder's identity holds them."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import checked, require, setting


@dataclass(frozen=True)
@checked
class StructureSettings:
    """What structure from motion looks at, what it may cost, and when it is believed."""

    max_frames: int = setting(
        "frames, spread evenly over a video, between which points are matched", 96, at_least=8
    )
    side_px: int = setting("longer side of those frames, at most", 640, at_least=160)
    max_seconds: float = setting(
        "wall clock for one clip; then its process is killed", 300.0, above=0
    )
    memory_bytes: int = setting("address space of the process", 4 * 2**30, at_least=2**29)
    num_features: int = setting("features a frame, at most", 1024, at_least=64)
    overlap: int = setting("frames after it that each frame is matched with", 6, at_least=1)
    num_loops: int = setting("pairs of frames further apart that are matched too", 24, at_least=0)
    min_registered: float = setting(
        "share of the frames that must be placed", 0.8, at_least=0.1, at_most=1
    )
    max_error_px: float = setting(
        "median reprojection error, of pictures with a longer side of 640, above which it is not"
        " believed",
        1.5,
        above=0,
    )
    min_parallax_deg: float = setting(
        "median angle under which points are seen, below which it is not believed", 1.5, above=0
    )
    min_links: int = setting(
        "points that must be seen both up to a frame and after it: with fewer, one part of the path"
        " slides against the other",
        30,
        at_least=0,
    )
    max_focal_disagreement: float = setting(
        "how far, as a share, the incremental mapper's focal length may be from another estimate",
        0.05,
        above=0,
        at_most=1,
    )
    min_depth_doubt: float = setting(
        "with path=auto, it is asked where the network is less sure of depth than this (median"
        " scale of its logarithm): odometry rests on that depth",
        0.15,
        at_least=0,
    )

    def __post_init__(self) -> None:
        fewer = f"fewer than max_frames ({self.max_frames})"
        require(self.overlap < self.max_frames, "overlap", fewer, self.overlap)
