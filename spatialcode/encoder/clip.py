"""One clip as the encoder takes it: frames, times and whatever is known of the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from spatialcode.errors import SchemaError
from spatialcode.scene.schema import VideoInfo


@dataclass(frozen=True, eq=False)
class ClipInput:
    """Frames of one video in time order.

    ``rgb`` (N, H, W, 3) uint8, upright, of the video's aspect; ``video.sampled_s`` are the
    frames' times. ``K`` (3, 3): pinhole matrix in pixels of ``rgb``, or None where unknown.
    ``T_world_camera`` (N, 4, 4): given poses in a world with z up and its floor at z = 0,
    or None. ``up_camera`` (N, 3): given gravity where there are no poses, or None.
    ``work_key`` is carried into the code's provenance.
    """

    video: VideoInfo
    rgb: UInt8[np.ndarray, "n h w 3"]
    K: Float[np.ndarray, "3 3"] | None = None
    T_world_camera: Float[np.ndarray, "n 4 4"] | None = None
    up_camera: Float[np.ndarray, "n 3"] | None = None
    work_key: str = ""

    def __post_init__(self) -> None:
        if self.rgb.ndim != 4 or self.rgb.shape[3] != 3 or self.rgb.dtype != np.uint8:
            got = f"{self.rgb.dtype} {self.rgb.shape}"
            raise SchemaError("ClipInput.rgb", "uint8 (N, H, W, 3)", got)
        n = len(self.rgb)
        if n != len(self.video.sampled_s):
            raise SchemaError("ClipInput.rgb", f"{len(self.video.sampled_s)} frames", n)
        shapes = {"K": (3, 3), "T_world_camera": (n, 4, 4), "up_camera": (n, 3)}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and (value.shape != shape or not np.isfinite(value).all()):
                raise SchemaError(f"ClipInput.{name}", f"finite {shape}", value.shape)

    @property
    def num_frames(self) -> int:
        return len(self.rgb)

    @property
    def times_s(self) -> Float[np.ndarray, " n"]:
        return np.asarray(self.video.sampled_s, np.float64)
