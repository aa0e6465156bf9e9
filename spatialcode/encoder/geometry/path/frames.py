"""The frames that a path is estimated from: pictures, depth, and the points that are followed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from spatialcode.encoder.geometry.path.points import cell_corners, point_whitening
from spatialcode.encoder.geometry.planes import Patches, find_patches
from spatialcode.encoder.geometry.protocol import DepthNoise
from spatialcode.encoder.odometry.flow import sample_log_depth
from spatialcode.errors import EncodeError

Array = NDArray[np.float64]

#: No depth is better than this, as standard deviation of its log.
LEAST_DEPTH_SIGMA = 0.005
#: Pixels between patches of a frame, which then hardly overlap.
_PATCH_STEP_PX = 8


@dataclass(frozen=True, eq=False)
class PathInput:
    """What a path is estimated from.

    ``gray`` (N, H, W); ``depth_m`` (N, h, w) of the same aspect, NaN where unknown; ``K``
    (N, 3, 3) in pixels of ``gray``; ``error``: of the depth, edges in pixels of ``gray``;
    ``up_camera`` (N, 3) where gravity is known; ``ignored`` (N, H, W): what moves by itself.
    """

    gray: UInt8[np.ndarray, "n h w"]
    depth_m: Float[np.ndarray, "n hh ww"]
    K: Float[np.ndarray, "n 3 3"]
    error: DepthNoise
    up_camera: Float[np.ndarray, "n 3"] | None = None
    ignored: Bool[np.ndarray, "n h w"] | None = None

    def __post_init__(self) -> None:
        num = len(self.gray)
        if self.gray.ndim != 3 or not num or self.depth_m.ndim != 3 or len(self.depth_m) != num:
            got = f"{self.gray.shape} and {self.depth_m.shape}"
            raise EncodeError(f"a path needs one picture and depth map a frame, got {got}")
        if self.K.shape != (num, 3, 3):
            raise EncodeError(f"a path needs intrinsics ({num}, 3, 3), got {self.K.shape}")


@dataclass(frozen=True, eq=False)
class PathFrame:
    """One frame as a path keeps it.

    ``points_px`` (K, 2) are followed, ``whitening`` (K, 2, 2) tells how well; ``points`` (K, 3):
    the same in the camera at the given depth, ``sigma`` (K,): of the log of that depth, NaN where
    it is unknown. ``log_depth`` (h, w), of which one pixel is ``map_scale`` (2,) of the picture's;
    ``patches``: its surfaces. ``ignored`` (H, W), ``up_camera`` (3,): see `PathInput`.
    """

    gray: UInt8[np.ndarray, "h w"]
    K: Float[np.ndarray, "3 3"]
    log_depth: Float[np.ndarray, "hh ww"]
    map_scale: Float[np.ndarray, " 2"]
    least_sigma: float
    points_px: Float[np.ndarray, "k 2"]
    whitening: Float[np.ndarray, "k 2 2"]
    points: Float[np.ndarray, "k 3"]
    sigma: Float[np.ndarray, " k"]
    patches: Patches
    ignored: Bool[np.ndarray, "h w"] | None = None
    up_camera: Float[np.ndarray, " 3"] | None = None

    @property
    def num_known(self) -> int:
        """How many of its points have a depth."""
        return int(np.isfinite(self.sigma).sum())

    def without_maps(self) -> PathFrame:
        """Its picture and points alone, from which others can be seen: a quarter of the memory."""
        none = np.full((1, 1), np.nan, np.float32)
        return replace(self, log_depth=none, patches=Patches.none())

    def depth_at(self, pixel_px: Float[np.ndarray, "p 2"]) -> tuple[Array, Array]:
        """Log depth (P,) at pixels of the picture, NaN where unknown, and its spread (P,) there."""
        return _depth_at(self.log_depth, pixel_px * self.map_scale)


def _depth_at(log_depth: Any, pixel_px: Array) -> tuple[Array, Array]:
    return sample_log_depth(log_depth[None], np.zeros(len(pixel_px), np.int64), pixel_px, 1.0)


def frames_of(given: PathInput) -> list[PathFrame]:
    """The frames of an input, each by itself."""
    return [_frame(given, k) for k in range(len(given.gray))]


def _frame(given: PathInput, k: int) -> PathFrame:
    gray, K, depth_m = given.gray[k], given.K[k], given.depth_m[k]
    ignored = None if given.ignored is None else given.ignored[k]
    with np.errstate(invalid="ignore", divide="ignore"):
        log_depth = np.log(np.where(depth_m > 0, depth_m, np.nan)).astype(np.float32)
    scale = np.array(depth_m.shape[::-1]) / gray.shape[::-1]
    points_px = cell_corners(gray, ignored)
    z, spread = _depth_at(log_depth, points_px * scale)
    ray = np.column_stack((points_px, np.ones(len(points_px)))) @ np.linalg.inv(K).T
    K_map = K.copy()
    K_map[:2] *= scale[:, None]
    least = max(given.error.pixel, LEAST_DEPTH_SIGMA)
    return PathFrame(
        gray=gray,
        K=K,
        log_depth=log_depth,
        map_scale=scale,
        least_sigma=least,
        points_px=points_px,
        whitening=point_whitening(gray, points_px),
        points=ray * np.exp(z)[:, None],
        sigma=np.hypot(least, spread),
        patches=find_patches(_standing(depth_m, ignored)[None], K_map[None], _PATCH_STEP_PX),
        ignored=ignored,
        up_camera=None if given.up_camera is None else given.up_camera[k],
    )


def _standing(depth_m: Any, ignored: NDArray[np.bool_] | None) -> Any:
    """Depth without what moves by itself, which is neither floor nor wall."""
    if ignored is None:
        return depth_m
    size = depth_m.shape[::-1]
    moves = cv2.resize(ignored.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return np.where(moves, np.nan, depth_m)
