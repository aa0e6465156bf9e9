"""Geometry of depth frame by frame: a recording's or a network's, with a path of our own.

Whatever a recording knows (depth, intrinsics, poses, gravity) stands in the place of estimates,
each by itself. Windows are chained into one upright world; cuts are told and begin a new one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from spatialcode.encoder.geometry.chaining import WindowChain
from spatialcode.encoder.geometry.cuts import find_cuts
from spatialcode.encoder.geometry.grounding import ASSUMED_HEIGHT_M
from spatialcode.encoder.geometry.own_path import OwnPath, PathInput, own_path
from spatialcode.encoder.geometry.protocol import (
    DepthNoise,
    DepthSource,
    GeometrySession,
    WindowGeometry,
)
from spatialcode.encoder.geometry.settings import PathSettings
from spatialcode.encoder.geometry.windows import stretches
from spatialcode.encoder.odometry.audit import audit_path
from spatialcode.encoder.protocol import ClipHeader, FrameGeometry, Window
from spatialcode.errors import EncodeError

Array = NDArray[np.float64]

#: Views of the longer side that a network's focal length may mean.
_VIEW_DEG = (15.0, 150.0)


def intrinsics_of_view(frame_px: tuple[int, int], view_deg: float) -> Float[np.ndarray, "3 3"]:
    """A pinhole matrix for frames of (height, width) whose longer side spans that angle."""
    focal = 0.5 * max(frame_px) / np.tan(np.radians(view_deg) / 2)
    return intrinsics_of_focal(frame_px, focal)


def intrinsics_of_focal(frame_px: tuple[int, int], focal_px: float) -> Float[np.ndarray, "3 3"]:
    """A pinhole matrix for frames of (height, width) with the principal point in their middle."""
    height, width = frame_px
    return np.array(((focal_px, 0, width / 2), (0, focal_px, height / 2), (0, 0, 1.0)))


def believable_intrinsics(
    K: Float[np.ndarray, "3 3"], frame_px: tuple[int, int], settings: PathSettings
) -> Float[np.ndarray, "3 3"]:
    """What a network says of the camera, or an assumed one where that is nothing to film with."""
    view_deg = np.degrees(2 * np.arctan(max(frame_px) / 2 / max(float(K[0, 0]), 1e-9)))
    if _VIEW_DEG[0] < view_deg < _VIEW_DEG[1]:
        return K
    return intrinsics_of_view(frame_px, settings.assumed_hfov_deg)


def known_depth(depth_m: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n h w"]:
    """Depth with NaN where it is 0, below 0 or not finite."""
    depth = np.asarray(depth_m, np.float32)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)


@dataclass(frozen=True, eq=False)
class PathPictures:
    """Grey pictures (N, H, W) in which points are followed, K (3, 3) in their pixels, and how many
    pixels of the frames one of theirs is.
    """

    gray: UInt8[np.ndarray, "n h w"]
    K: Float[np.ndarray, "3 3"]
    scale: float


def path_pictures(
    rgb: UInt8[np.ndarray, "n h w 3"], K: Float[np.ndarray, "3 3"], side_px: int
) -> PathPictures:
    """Frames in grey, scaled down to ``side_px`` on the longer side where they are larger."""
    height, width = rgb.shape[1:3]
    share = min(1.0, side_px / max(height, width))
    size = (round(width * share), round(height * share))
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb]
    if share < 1:
        gray = [cv2.resize(g, size, interpolation=cv2.INTER_AREA) for g in gray]
    scaled = K.copy()
    scaled[0] *= size[0] / width
    scaled[1] *= size[1] / height
    return PathPictures(np.stack(gray), scaled, width / size[0])


@dataclass(frozen=True, eq=False)
class PathedGeometry:
    """A geometry source of depth frame by frame.

    ``depth``: asked where a window has no depth of its own; None: such a window is refused.
    ``recorded_error``: of depth that comes with a window.
    """

    depth: DepthSource | None
    recorded_error: DepthNoise
    path: PathSettings

    def session(self, clip: ClipHeader) -> GeometrySession:  # noqa: ARG002  needs no header
        return _PathedSession(self)


class _PathedSession:
    def __init__(self, source: PathedGeometry) -> None:
        self._source = source
        self._chain = WindowChain()
        self._K: Array | None = None

    def geometry(self, window: Window) -> WindowGeometry:
        """See `GeometrySession`."""
        known = window.geometry
        depth_m, error, focal_px = self._depth(window)
        K = self._intrinsics(window, focal_px)
        if known.T_world_camera is not None:
            return recorded_poses(known, depth_m, K, error)
        estimated = estimated_path(window, depth_m, K, error, self._source.path)
        return self._chain.add(estimated, window.num_repeated)

    def _depth(self, window: Window) -> tuple[Array, DepthNoise, Array | None]:
        source, known = self._source, window.geometry
        if known.depth_m is not None:
            return known_depth(known.depth_m), source.recorded_error, None
        if source.depth is None:
            raise EncodeError("recorded geometry: expected depth with the frames, got none")
        found = source.depth.depth(window.rgb, known.K)
        return known_depth(found.depth_m), source.depth.error, found.focal_px

    def _intrinsics(self, window: Window, focal_px: Array | None) -> Array:
        """Recorded, else what the first window's depth source tells, else assumed."""
        if window.geometry.K is not None:
            return np.asarray(window.geometry.K, np.float64)
        if self._K is None:
            frame_px = (window.rgb.shape[1], window.rgb.shape[2])
            if focal_px is None:
                self._K = intrinsics_of_view(frame_px, self._source.path.assumed_hfov_deg)
            else:
                told = intrinsics_of_focal(frame_px, float(np.median(focal_px)))
                self._K = believable_intrinsics(told, frame_px, self._source.path)
        return self._K


def recorded_poses(
    known: FrameGeometry, depth_m: Float[np.ndarray, "n h w"], K: Float[np.ndarray, "3 3"],
    error: DepthNoise,
) -> WindowGeometry:  # fmt: skip
    """Geometry with the poses that come with the frames: upright and metric by their contract."""
    assert known.T_world_camera is not None
    T = np.asarray(known.T_world_camera, np.float64)
    return WindowGeometry(
        depth_m, np.tile(K, (len(T), 1, 1)), T, True, error, T[:, 2, :3].copy(), is_grounded=True
    )


def estimated_path(
    window: Window, depth_m: Float[np.ndarray, "n h w"], K: Float[np.ndarray, "3 3"],
    error: DepthNoise, settings: PathSettings,
) -> WindowGeometry:  # fmt: skip
    """Geometry of a window with a path of our own, depth at the scales which that path believes.

    Each part between cuts stands in the upright world of its own first camera; where no floor is
    seen, that is `ASSUMED_HEIGHT_M` below it.
    """
    pictures = path_pictures(window.rgb, K, settings.side_px)
    cuts = find_cuts(list(pictures.gray))
    up = window.geometry.up_camera
    paths, held = [], []
    for rows in stretches(len(window.rgb), cuts):
        gray = pictures.gray[rows]
        K_each = np.tile(pictures.K, (len(gray), 1, 1))
        up_each = None if up is None else up[rows]
        paths.append(own_path(PathInput(gray, depth_m[rows], K_each, error, up_each)))
        held.append(_held(paths[-1], gray, pictures.K, window.geometry.K is not None))
    missed = [p.reprojection_px for p in paths if p.reprojection_px is not None]
    T = np.concatenate(held)
    log_scale = np.concatenate([path.log_depth_scale for path in paths])
    return WindowGeometry(
        depth_m=np.asarray(depth_m * np.exp(log_scale)[:, None, None], np.float32),
        K=np.tile(K, (len(T), 1, 1)),
        T_world_camera=T,
        is_metric=True,
        error=error,
        up_camera=T[:, 2, :3].copy(),
        reprojection_px=float(np.median(missed)) * pictures.scale if missed else None,
        cuts=cuts,
        is_grounded=True,
    )


def _held(path: OwnPath, gray: NDArray[np.uint8], K: Array, focal_is_known: bool) -> Array:
    """The path as far as the pictures show motion, above its floor."""
    T = audit_path(list(gray), K, focal_is_known).held(path.T_world_camera)
    if not path.has_floor:
        T = T.copy()
        T[:, 2, 3] += ASSUMED_HEIGHT_M - T[0, 2, 3]
    return T
