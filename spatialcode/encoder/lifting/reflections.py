"""What a mirror, a screen or a picture shows is no thing of the room, and gets no box.

A detector finds a chair on a television as well as one beside it, and depth networks see into a
mirror as through a window. So a mask that lies inside the outline of something that shows other
things is left out, unless its depth says that it stands before that.

Source: none.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float

from spatialcode.encoder.lifting.sightings import FrameView
from spatialcode.encoder.parsing.protocol import FrameMasks
from spatialcode.scene.categories import traits_of

#: What is asked for in any case: a mirror that nobody looks for doubles the room.
ALWAYS_ASKED = "mirror"
#: Share of a mask that lies inside, and the largest share of the outline that it fills: a second
#: mask of the same mirror fills more.
_INSIDE, _MOST = 0.9, 0.6
#: How much nearer than a mirror something must be to stand before it, besides the depth's error.
_BEFORE_M, _NUM_SIGMA = 0.05, 3.0
#: Width of the rim around an outline, whose depth is that of the wall, in pixels.
_RIM_PX = 3


def without_reflections(view: FrameView, masks: FrameMasks) -> FrameMasks:
    """The masks of a frame without those of things that other ones show."""
    showing = [k for k, label in enumerate(masks.labels) if traits_of(label).shows_others]
    if not showing:
        return masks
    area_px = masks.masks.sum(axis=(1, 2))
    kept = np.ones(len(masks.labels), bool)
    for k in (k for k in showing if area_px[k]):
        outline = _outline(masks.masks[k])
        inside = (masks.masks & outline).sum(axis=(1, 2)) >= _INSIDE * np.maximum(area_px, 1)
        inside &= area_px <= _MOST * outline.sum()
        inside[k] = False  # it may be less than its outline, as a screen behind somebody is
        glass_m = _glass_depth_m(view.depth_m, masks.masks[k], outline)
        margin_m = _BEFORE_M + _NUM_SIGMA * view.error.pixel * glass_m
        for j in np.flatnonzero(inside & kept):
            depth_m = _median(view.depth_m[masks.masks[j]])
            kept[j] = depth_m < glass_m - margin_m
    return masks.rows(np.flatnonzero(kept))


def _outline(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The convex hull of a mask: what is shown cuts holes and bays into it."""
    points = np.stack(np.nonzero(mask)[::-1], axis=1).astype(np.int32)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
    return filled.astype(bool)


def _glass_depth_m(
    depth_m: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"],
    outline: Bool[np.ndarray, "h w"],
) -> float:
    """How far away a mirror is: as its own pixels say, or the wall around it where those look into
    it; infinite where nothing is known.
    """
    kernel = np.ones((2 * _RIM_PX + 1, 2 * _RIM_PX + 1), np.uint8)
    rim = cv2.dilate(outline.astype(np.uint8), kernel).astype(bool) & ~outline
    return min(_median(depth_m[mask]), _median(depth_m[rim]))


def _median(depth_m: Float[np.ndarray, " n"]) -> float:
    known = depth_m[np.isfinite(depth_m)]
    return float(np.median(known)) if len(known) else float("inf")
