"""Where a video goes on somewhere else: frames that share nothing with those before.

Neighbouring frames of one shot overlap: their middles correlate and their points can be followed.
Only where both fail is a cut seen. A shot that is sampled so sparsely that neighbours do not
overlap looks like one too: no path leads over either.

Source: none.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from spatialcode.encoder.geometry.path.points import cell_corners, follow_points
from spatialcode.encoder.odometry.flow import coarse_shift_px

#: Below this share of points that can be followed, and this correlation of the pictures, is a cut.
_MAX_FOLLOWED, _MAX_ALIKE = 0.25, 0.6
#: Side of the pictures that are correlated, and the least contrast, grey levels, to tell by.
_SMALL_PX, _MIN_CONTRAST = 80, 2.0


def likeness(first: UInt8[np.ndarray, "h w"], second: UInt8[np.ndarray, "h w"]) -> float:
    """The best correlation (at most 1) of one picture's middle with any place of the other; 1 where
    it shows nothing to compare.
    """
    scale = _SMALL_PX / max(first.shape)
    size = tuple(max(8, round(side * scale)) for side in first.shape[::-1])
    small_a, small_b = (cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in (first, second))
    x, y = size[0] // 4, size[1] // 4
    middle = small_a[y : size[1] - y, x : size[0] - x]
    if middle.std() < _MIN_CONTRAST:
        return 1.0
    return float(cv2.matchTemplate(small_b, middle, cv2.TM_CCOEFF_NORMED).max())


def find_cuts(gray: Sequence[NDArray[np.uint8]]) -> tuple[int, ...]:
    """Frames of (H, W) uint8 pictures at which something else begins, in order."""
    return tuple(
        k
        for k, (first, second) in enumerate(itertools.pairwise(gray), 1)
        if likeness(first, second) < _MAX_ALIKE and _followed(first, second) < _MAX_FOLLOWED
    )


def _followed(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """The share of a picture's points that can be followed into another."""
    points_px = cell_corners(first)
    if not len(points_px):
        return 1.0
    rows, _ = follow_points(first, second, points_px, points_px + coarse_shift_px(first, second))
    return len(rows) / len(points_px)


def longest_part(num_frames: int, cuts: Sequence[int]) -> slice:
    """The rows of the longest stretch without a cut, the first of equal ones: what a code of one
    world can be made of.
    """
    bounds = [0, *cuts, num_frames]
    start = max(range(len(bounds) - 1), key=lambda k: bounds[k + 1] - bounds[k])
    return slice(bounds[start], bounds[start + 1])
