"""Geometry of depth frame by frame: a recording's or a network's, with a path of our own.

Whatever a recording knows (depth, intrinsics, poses, gravity) stands in the place of estimates,
each by itself. Windows are chained into one upright world; cuts are told and begin a new one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from spatialcode.encoder.geometry.cuts import find_cuts
from spatialcode.encoder.geometry.path.frames import PathInput
from spatialcode.encoder.geometry.path.running import OwnPath, RunningPath
from spatialcode.encoder.geometry.path.states import FrameStates
from spatialcode.encoder.geometry.protocol import (
    DepthNoise,
    DepthSource,
    GeometrySession,
    SettledPath,
    WindowGeometry,
)
from spatialcode.encoder.geometry.settings import PathSettings
from spatialcode.encoder.geometry.windows import stretches
from spatialcode.encoder.odometry.audit import overall
from spatialcode.encoder.protocol import ClipHeader, FrameGeometry, Window
from spatialcode.errors import EncodeError

Array = NDArray[np.float64]

#: Views of the longer side that a network's focal length may mean.
_VIEW_DEG = (15.0, 150.0)
#: Points so near to what moves move with it, pixels of a path's pictures.
_RIM_PX = 4


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


def given_intrinsics(window: Window) -> Float[np.ndarray, "3 3"] | None:
    """The pinhole matrix that came with a window's frames, else the one of the lens that the
    video's file tells.
    """
    K, lens = window.geometry.K, window.geometry.lens
    if K is None and lens is not None:
        return lens.intrinsics(window.rgb.shape[2], window.rgb.shape[1])
    return None if K is None else np.asarray(K, np.float64)


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


@dataclass(frozen=True, eq=False)
class _Told:
    """What was told of some frames: poses (N, 4, 4), log depth scales (N,), cuts, the median miss
    in pixels of the frames where points were followed, and the last of the path's pictures.
    """

    T_world_camera: Array
    log_scale: Array
    cuts: tuple[int, ...]
    missed_px: float | None
    last_gray: NDArray[np.uint8]

    @classmethod
    def of(cls, path: OwnPath, pictures: PathPictures, is_cut: bool) -> _Told:
        """Of the next frames, before which there may be a cut."""
        missed = path.reprojection_px
        return cls(
            path.T_world_camera, path.log_depth_scale, (0,) if is_cut else (),
            None if missed is None else missed * pictures.scale, pictures.gray[-1],
        )  # fmt: skip

    def last(self, num: int) -> _Told:
        """Of the last frames, which are told again."""
        gone = len(self.log_scale) - num
        cuts = tuple(cut - gone for cut in self.cuts if cut > gone)
        return _Told(self.T_world_camera[gone:], self.log_scale[gone:], cuts, None, self.last_gray)

    @classmethod
    def joined(cls, parts: list[_Told]) -> _Told:
        """Of the frames of several one after another."""
        starts = np.cumsum([0, *(len(part.log_scale) for part in parts)])
        missed = [part.missed_px for part in parts if part.missed_px is not None]
        return cls(
            np.concatenate([part.T_world_camera for part in parts]),
            np.concatenate([part.log_scale for part in parts]),
            tuple(
                int(start) + cut for start, part in zip(starts, parts, strict=False)
                for cut in part.cuts
            ),
            float(np.median(missed)) if missed else None,
            parts[-1].last_gray,
        )  # fmt: skip


class _PathedSession:
    def __init__(self, source: PathedGeometry) -> None:
        self._source = source
        self._paths: list[RunningPath] = []
        self._before: _Told | None = None
        self._K: Array | None = None

    def geometry(self, window: Window) -> WindowGeometry:
        """See `GeometrySession`."""
        known = window.geometry
        depth_m, error, focal_px = self._depth(window)
        K = self._intrinsics(window, focal_px)
        if known.T_world_camera is not None:
            return recorded_poses(known, depth_m, K, error)
        return self._estimated(window, depth_m, K, error)

    def settled(self) -> SettledPath | None:
        """See `GeometrySession`."""
        if not self._paths:
            return None
        both = [path.settled() for path in self._paths]
        told = FrameStates.joined([before for before, _ in both])
        now = FrameStates.joined([after for _, after in both])
        return SettledPath(now.T_world_camera, now.log_scale - told.log_scale)

    def _estimated(
        self, window: Window, depth_m: Array, K: Array, error: DepthNoise
    ) -> WindowGeometry:
        """Geometry with a path of our own, depth at the scales which that path believes: of
        repeated frames what was told before.

        Each part between cuts stands in the upright world of its own first camera; where no floor
        is seen, that is `ASSUMED_HEIGHT_M` below it.
        """
        fresh = window.fresh()
        pictures = path_pictures(fresh.rgb, K, self._source.path.side_px)
        cuts = self._cuts(pictures.gray)
        before = None if self._before is None else self._before.last(window.num_repeated)
        told = [] if before is None else [before]
        ignored = _ignored(fresh.movers, pictures.gray.shape[1:])
        for rows in stretches(len(pictures.gray), cuts):
            if rows.start in cuts or not self._paths:
                self._paths.append(RunningPath(window.geometry.K is not None))
            K_each = np.tile(pictures.K, (rows.stop - rows.start, 1, 1))
            up = fresh.geometry.up_camera
            given = PathInput(
                pictures.gray[rows], depth_m[window.num_repeated :][rows], K_each, error,
                None if up is None else up[rows], None if ignored is None else ignored[rows],
            )  # fmt: skip
            told.append(_Told.of(self._paths[-1].add(given), pictures, rows.start in cuts))
        self._before = now = _Told.joined(told)
        return WindowGeometry(
            depth_m=np.asarray(depth_m * np.exp(now.log_scale)[:, None, None], np.float32),
            K=np.tile(K, (len(depth_m), 1, 1)),
            T_world_camera=now.T_world_camera,
            is_metric=True,
            error=error,
            up_camera=now.T_world_camera[:, 2, :3].copy(),
            reprojection_px=now.missed_px,
            motion=overall(path.motion for path in self._paths),
            cuts=now.cuts,
            is_grounded=True,
        )

    def _cuts(self, gray: UInt8[np.ndarray, "n h w"]) -> tuple[int, ...]:
        """Cuts among fresh frames, and before the first of them."""
        if self._before is None:
            return find_cuts(list(gray))
        return tuple(cut - 1 for cut in find_cuts([self._before.last_gray, *gray]))

    def _depth(self, window: Window) -> tuple[Array, DepthNoise, Array | None]:
        source, known = self._source, window.geometry
        if known.depth_m is not None:
            return known_depth(known.depth_m), source.recorded_error, None
        if source.depth is None:
            raise EncodeError("recorded geometry: expected depth with the frames, got none")
        found = source.depth.depth(window.rgb, given_intrinsics(window))
        return known_depth(found.depth_m), source.depth.error, found.focal_px

    def _intrinsics(self, window: Window, focal_px: Array | None) -> Array:
        """Recorded, else by the video's file, else what the first window's depth source tells, else
        assumed.
        """
        given = given_intrinsics(window)
        if given is not None:
            return given
        if self._K is None:
            frame_px = (window.rgb.shape[1], window.rgb.shape[2])
            if focal_px is None:
                self._K = intrinsics_of_view(frame_px, self._source.path.assumed_hfov_deg)
            else:
                told = intrinsics_of_focal(frame_px, float(np.median(focal_px)))
                self._K = believable_intrinsics(told, frame_px, self._source.path)
        return self._K


def _ignored(
    movers: Bool[np.ndarray, "n h w"] | None, size_px: tuple[int, ...]
) -> Bool[np.ndarray, "n hh ww"] | None:
    """What moves, and a rim around it, in pictures of that height and width."""
    if movers is None:
        return None
    kernel = np.ones((2 * _RIM_PX + 1, 2 * _RIM_PX + 1), np.uint8)
    small = [cv2.resize(m.astype(np.uint8), size_px[::-1], interpolation=cv2.INTER_NEAREST)
             for m in movers]  # fmt: skip
    return np.stack([cv2.dilate(m, kernel) > 0 for m in small])


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
