"""Outlines of known boxes in a frame, drawn by a teacher and held against depth.

A recording's boxes tell where things are, not which pixels show them. A box's picture is the
prompt of a mask source; what it outlines counts as the object only where depth puts it there, so
that something in front of it is not learnt as the thing behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray

from spatialcode.encoder.parsing.protocol import Detections, MaskSource
from spatialcode.encoder.protocol import Window
from spatialcode.scene.boxes import Boxes
from spatialcode.scene.frames import pixel_centres, unproject

Array = NDArray[np.float64]
#: Corners nearer than this are taken to be behind the camera.
_NEAR_M = 0.1
#: A box's picture must cover so much of the frame, and so much of it lie inside the frame.
_MIN_SHARE, _MIN_INSIDE = 1e-3, 0.2
#: A box is grown by this before pixels are looked for in it: of depth's error and the mask's edge.
_MARGIN_M = 0.1
#: Of the outlined pixels with depth so many must lie in the box.
_MIN_IN_BOX = 0.5


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """One frame: ``rgb`` (h, w, 3), ``depth_m`` (h, w), not finite or 0 where unknown, ``K`` in
    its pixels, and its pose.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    depth_m: Float[np.ndarray, "h w"]
    K: Float[np.ndarray, "3 3"]
    T_world_camera: Float[np.ndarray, "4 4"]


def pictures_of(boxes: Boxes, frame: PosedFrame) -> tuple[Int[np.ndarray, " k"], Array]:
    """Which boxes the frame may show, and their pictures (k, 4): x0, y0, x1, y1 in pixels,
    cut off at its border. A box that reaches behind the camera is left out.
    """
    height, width = frame.rgb.shape[:2]
    R, t = frame.T_world_camera[:3, :3], frame.T_world_camera[:3, 3]
    corners = (boxes.corners() - t) @ R
    ahead = (corners[..., 2] > _NEAR_M).all(axis=1)
    flat = corners / np.maximum(corners[..., 2:], _NEAR_M) @ frame.K.T
    low, high = flat[..., :2].min(axis=1), flat[..., :2].max(axis=1)
    border = np.array([width, height], float)
    cut = np.concatenate((np.clip(low, 0, border), np.clip(high, 0, border)), axis=1)
    inside = np.prod(cut[:, 2:] - cut[:, :2], axis=1)
    whole = np.maximum(np.prod(high - low, axis=1), 1e-9)
    shown = ahead & (inside / whole >= _MIN_INSIDE) & (inside >= _MIN_SHARE * width * height)
    kept = np.flatnonzero(shown)
    return kept, cut[kept]


def taught_instances(
    frame: PosedFrame, boxes: Boxes, teacher: MaskSource
) -> Int[np.ndarray, "h w"]:
    """The box that each pixel shows by its number, -1 for none; of two the nearer."""
    kept, pictures_px = pictures_of(boxes, frame)
    instance = np.full(frame.rgb.shape[:2], -1, np.int16)
    if not len(kept):
        return instance
    # numbers as words: a mask that comes back says which box it was asked for
    asked = Detections(pictures_px, tuple(str(i) for i in kept), np.ones(len(kept)))
    window = Window(frame.rgb[None], np.zeros(1))
    outlined = teacher.session().masks(window, {0: asked}).get(0)
    if outlined is None:
        return instance
    pairs = zip(outlined.labels, outlined.masks, strict=True)
    found = [(int(label), mask) for label, mask in pairs]
    origin = frame.T_world_camera[:3, 3]
    away = np.linalg.norm(boxes.center - origin, axis=1)
    for number, mask in sorted(found, key=lambda pair: -away[pair[0]]):
        if _is_inside(frame, mask, boxes[number]):
            instance[mask] = number
    return instance


def _is_inside(frame: PosedFrame, mask: Bool[np.ndarray, "h w"], box: Boxes) -> bool:
    """Whether depth puts what a mask outlines into a single box; without depth it is believed."""
    height, width = mask.shape
    rows = mask & np.isfinite(frame.depth_m) & (frame.depth_m > 0)
    if not rows.any():
        return bool(mask.any())
    pixels = pixel_centres(width, height).reshape(height, width, 2)[rows]
    points = unproject(pixels, frame.depth_m[rows], frame.K)
    world = points @ frame.T_world_camera[:3, :3].T + frame.T_world_camera[:3, 3]
    own = (world - box.center[0]) @ box.rotation[0]
    inside = (np.abs(own) <= 0.5 * box.size[0] + _MARGIN_M).all(axis=1)
    return float(inside.mean()) >= _MIN_IN_BOX
