"""Lines of the world as a camera sees them: cut at its near plane and its image's border.

Cutting happens in camera coordinates, before dividing by depth, so an edge that passes
behind the camera is drawn up to where it leaves the view instead of being mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.frames import SE3, project

FloatArray = NDArray[np.float64]

#: Nothing nearer than this is drawn, in metres of depth.
NEAR_M = 0.05


@dataclass(frozen=True)
class View:
    """A pinhole camera in the world: ``T_world_camera`` (4, 4), ``K`` (3, 3), size in pixels."""

    T_world_camera: FloatArray
    K: FloatArray
    width_px: int
    height_px: int


@dataclass(frozen=True)
class ImageLines:
    """Line segments in an image.

    ``pixels`` (M, 2, 2): both ends as (u, v), u = 0.5 in the middle of the first column;
    ``depth_m`` (M, 2): z-depth of the ends; ``source`` (M,): number of the segment it is of.
    """

    pixels: FloatArray
    depth_m: FloatArray
    source: NDArray[np.intp]


def project_segments(segments_world: FloatArray, view: View, margin_px: float = 8.0) -> ImageLines:
    """The visible parts of segments (S, 2, 3), in metres, given in world coordinates.

    ``margin_px``: how far lines go on outside the image, so that thick ones end unseen.
    """
    camera = SE3.from_matrix(view.T_world_camera).inverse().apply(segments_world)
    normals, offsets = _frustum_planes(view, margin_px)
    kept, source = clip_segments(camera, normals, offsets)
    pixels, depth_m = project(kept, view.K)
    return ImageLines(np.asarray(pixels, np.float64), np.asarray(depth_m, np.float64), source)


def clip_segments(
    segments: FloatArray, normals: FloatArray, offsets: FloatArray
) -> tuple[FloatArray, NDArray[np.intp]]:
    """The parts of segments (S, 2, 3) inside all half-spaces ``normal · p >= offset``.

    ``normals`` (P, 3), ``offsets`` (P,). Gives the parts left (M, 2, 3), and which segment
    each is of (M,); M <= S.
    """
    source = np.arange(len(segments))
    for normal, offset in zip(normals, offsets, strict=True):
        over = segments @ normal - offset
        keep = over.max(axis=1, initial=-np.inf) >= 0
        segments, over, source = segments[keep], over[keep], source[keep]
        start, end = segments[:, 0], segments[:, 1]
        rise = over[:, 0] - over[:, 1]
        share = np.divide(over[:, 0], rise, out=np.zeros_like(rise), where=rise != 0)
        crossing = start + share[:, None] * (end - start)
        segments = np.where((over < 0)[..., None], crossing[:, None], segments)
    return segments, source


def _frustum_planes(view: View, margin_px: float) -> tuple[FloatArray, FloatArray]:
    """Near plane and the four planes through the camera and the image's (widened) border."""
    fx, fy, cx, cy = view.K[0, 0], view.K[1, 1], view.K[0, 2], view.K[1, 2]
    right, bottom = view.width_px + margin_px, view.height_px + margin_px
    normals = np.array(
        [
            (0, 0, 1),
            (fx, 0, cx + margin_px),
            (-fx, 0, right - cx),
            (0, fy, cy + margin_px),
            (0, -fy, bottom - cy),
        ],
        dtype=float,
    )
    return normals, np.array([NEAR_M, 0, 0, 0, 0])
