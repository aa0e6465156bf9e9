"""What structure from motion found of a clip: cameras up to scale, lens, points and tracks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from spatialcode.errors import EncodeError, SchemaError

Mapper = Literal["global", "incremental"]


class StructureError(EncodeError):
    """Structure from motion gave no path that can be believed; says why."""

    code = "structure"


@dataclass(frozen=True, eq=False)
class Structure:
    """Cameras and points of one clip in a world of their own: any orientation, any unit of length.

    ``times_s`` (N,): of the frames that were placed, increasing. ``T_world_camera`` (N, 4, 4).
    ``registered``: share of the frames looked at that were placed.
    ``K`` (3, 3): pinhole matrix in pixels of the pictures, whose ``size_px`` is width and height.
    ``radial``: k of the radial distortion r' = r (1 + k r²), r being the distance from the axis in
    focal lengths, of the true over the pinhole's picture.
    ``focal_confidence`` in [0, 1]: 1 where the lens was given, else how well independent estimates
    agree. ``points`` (P, 3). ``point_error_px`` (P,): mean reprojection error.
    ``track_point``, ``track_frame`` (M,) and ``track_px`` (M, 2): which point was seen in which of
    the frames placed, and at which pixel of the picture, centres at +0.5.
    ``error_px``: median reprojection error, and ``parallax_deg``: median over points of the largest
    angle between lines of sight. ``mapper``: whose model it is. SchemaError where shapes differ.
    """

    times_s: Float[np.ndarray, " n"]
    T_world_camera: Float[np.ndarray, "n 4 4"]
    registered: float
    K: Float[np.ndarray, "3 3"]
    size_px: tuple[int, int]
    radial: float
    focal_confidence: float
    points: Float[np.ndarray, "p 3"]
    point_error_px: Float[np.ndarray, " p"]
    track_point: Int[np.ndarray, " m"]
    track_frame: Int[np.ndarray, " m"]
    track_px: Float[np.ndarray, "m 2"]
    error_px: float
    parallax_deg: float
    mapper: Mapper

    def __post_init__(self) -> None:
        num, num_points, num_seen = len(self.times_s), len(self.points), len(self.track_point)
        shapes = {
            "T_world_camera": (num, 4, 4),
            "K": (3, 3),
            "points": (num_points, 3),
            "point_error_px": (num_points,),
            "track_frame": (num_seen,),
            "track_px": (num_seen, 2),
        }
        for name, shape in shapes.items():
            value = np.asarray(getattr(self, name))
            if value.shape != shape or not np.isfinite(value).all():
                raise SchemaError(f"Structure.{name}", f"finite {shape}", value.shape)
        for name, limit in (("track_point", num_points), ("track_frame", num)):
            value = np.asarray(getattr(self, name))
            if num_seen and not (value.min() >= 0 and value.max() < limit):
                raise SchemaError(f"Structure.{name}", f"0 to {limit - 1}", int(value.max()))
        if num < 1 or (np.diff(self.times_s) <= 0).any():
            got = np.asarray(self.times_s).tolist()
            raise SchemaError("Structure.times_s", "at least one, increasing", got)

    def intrinsics(self, width_px: int, height_px: int) -> Float[np.ndarray, "3 3"]:
        """The pinhole matrix in pixels of pictures of another size of the same view."""
        width, height = self.size_px
        return np.diag([width_px / width, height_px / height, 1.0]) @ self.K

    def links(self) -> Int[np.ndarray, " steps"]:
        """(N - 1,) by how many points each step of the path is held: seen both up to the frame
        before it and from the frame after it on.
        """
        num, num_points = len(self.times_s), len(self.points)
        first, last = np.full(num_points, num), np.full(num_points, -1)
        np.minimum.at(first, self.track_point, self.track_frame)
        np.maximum.at(last, self.track_point, self.track_frame)
        step = np.arange(num - 1)[:, None]
        return np.asarray(((first <= step) & (last > step)).sum(axis=1))

    def seen_depth(self) -> Float[np.ndarray, " m"]:
        """(M,) z-depth of each sighting in its frame, in the structure's own unit."""
        T = self.T_world_camera[self.track_frame]
        away = self.points[self.track_point] - T[:, :3, 3]
        return np.asarray(np.einsum("mi,mi->m", away, T[:, :3, 2]))
