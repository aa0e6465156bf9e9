"""What tells where things are: depth, intrinsics and poses of a window of frames.

A source states how wrong its depth may be; lifting trims by that much and no more. No torch here:
settings and oracles import these protocols too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt8

from spatialcode.encoder.geometry.similarity import Similarity
from spatialcode.encoder.odometry.audit import CameraMotion
from spatialcode.encoder.protocol import ClipHeader, Window
from spatialcode.errors import SchemaError


@dataclass(frozen=True)
class DepthNoise:
    """How wrong a source's depth may be, as standard deviations.

    ``frame``: of the log of a whole frame's scale, against the other frames of its window.
    ``pixel``: of the log of one pixel's depth. ``edge_px``: how far a depth edge is smeared, in
    pixels of the frame that is given to the source. All 0: exact.
    """

    frame: float = 0.0
    pixel: float = 0.0
    edge_px: float = 0.0


@dataclass(frozen=True, eq=False)
class WindowGeometry:
    """Geometry of the N frames of a window, repeated ones included.

    ``depth_m`` (N, h, w): z-depth, NaN where it is not known, at any resolution of the frames'
    aspect. ``K`` (N, 3, 3): pinhole matrices in pixels of the window's frames.
    ``T_world_camera`` (N, 4, 4): poses in a world of the window's own, of one scale with
    ``depth_m``. ``is_metric``: that unit is the metre; otherwise it is arbitrary. ``up_camera``
    (N, 3): unit vectors against gravity where the source knows it. ``confidence`` (N, h, w) in
    [0, 1], None where the source has none. ``reprojection_px``: the median distance at which
    points seen in several frames are missed, in pixels of the frames; None where nothing could be
    checked, or poses were given. ``motion``: what the pictures show of the camera's motion; None
    where poses were given. ``cuts``: rows at which the video goes on somewhere else, so that
    nothing joins them to the rows before; each such part has poses in a world of its own.
    ``is_grounded``: that world has z up and its floor at z = 0. SchemaError where shapes do not
    agree.
    """

    depth_m: Float[np.ndarray, "n h w"]
    K: Float[np.ndarray, "n 3 3"]
    T_world_camera: Float[np.ndarray, "n 4 4"]
    is_metric: bool
    error: DepthNoise
    up_camera: Float[np.ndarray, "n 3"] | None = None
    confidence: Float[np.ndarray, "n h w"] | None = None
    reprojection_px: float | None = None
    motion: CameraMotion | None = None
    cuts: tuple[int, ...] = ()
    is_grounded: bool = False

    def __post_init__(self) -> None:
        num = len(self.depth_m)
        expected = {"K": (num, 3, 3), "T_world_camera": (num, 4, 4), "up_camera": (num, 3)}
        expected["confidence"] = self.depth_m.shape
        for name, shape in expected.items():
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise SchemaError(f"WindowGeometry.{name}", f"shape {shape}", np.shape(value))


@dataclass(frozen=True, eq=False)
class SettledPath:
    """Where the N frames of a clip were once all of them are known.

    ``T_world_camera`` (N, 4, 4): poses in the world of the first camera of each part between cuts.
    ``log_depth_scale`` (N,): log of each frame's depth as it is now believed over that which was
    told with its window.
    """

    T_world_camera: Float[np.ndarray, "n 4 4"]
    log_depth_scale: Float[np.ndarray, " n"]

    def since(self, T_world_camera: Float[np.ndarray, "n 4 4"]) -> list[Similarity]:
        """By frame, what takes that which it showed from the poses that were told to these."""
        told = zip(T_world_camera, self.T_world_camera, np.exp(self.log_depth_scale), strict=True)
        return [Similarity.between(before, now, float(scale)) for before, now, scale in told]


@dataclass(frozen=True, eq=False)
class DepthFrames:
    """Depth of N frames, each by itself.

    ``depth_m`` (N, h, w): z-depth in metres, NaN where it is not known, at any resolution of the
    frames' aspect. ``focal_px`` (N,): focal lengths in pixels of the frames where the source tells
    them. SchemaError where shapes do not agree.
    """

    depth_m: Float[np.ndarray, "n h w"]
    focal_px: Float[np.ndarray, " n"] | None = None

    def __post_init__(self) -> None:
        if np.ndim(self.depth_m) != 3:
            raise SchemaError("DepthFrames.depth_m", "shape (N, h, w)", np.shape(self.depth_m))
        num = len(self.depth_m)
        if self.focal_px is not None and np.shape(self.focal_px) != (num,):
            raise SchemaError("DepthFrames.focal_px", f"shape ({num},)", np.shape(self.focal_px))


class DepthSource(Protocol):
    """Gives depth of frames one by one, without poses. ``error``: how wrong it may be."""

    error: DepthNoise

    def depth(
        self, rgb: UInt8[np.ndarray, "n h w 3"], K: Float[np.ndarray, "3 3"] | None
    ) -> DepthFrames:
        """Depth of upright frames; ``K`` in their pixels where it is known."""
        ...


class GeometrySession(Protocol):
    """One clip on its way through a geometry source, window by window in time order."""

    def geometry(self, window: Window) -> WindowGeometry:
        """Geometry of all frames of the window. What the window itself knows of its cameras
        (`Window.geometry`) is used in the place of estimates. Raises EncodeError where none can
        be given.
        """
        ...

    def settled(self) -> SettledPath | None:
        """Where all frames of the clip were, once all windows are known: what is told of a window
        rests on those before it alone. None where nothing more is known than was told.
        """
        ...


class GeometrySource(Protocol):
    """Gives depth and poses."""

    def session(self, clip: ClipHeader) -> GeometrySession:
        """A fresh start for one clip; sessions share weights and nothing else."""
        ...
