"""Depth of an object's pixels by the planes that fit best about them.

Averages the noise of single pixels without rounding off slopes, and carries depth on to an outline
beside which it is smeared. Disparity of a plane is linear in the picture, so planes are fitted to
disparity, by sums over squares. Source: none.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

#: Side of the square in which a plane is fitted about each pixel.
PLANE_PX = 7
#: Steepest change of disparity from pixel to pixel that is believed, as a share of it.
_STEEPEST = 0.03
#: Fewer pixels in the square say nothing of a slope.
_PLANE_PIXELS = 12
#: Planes are carried on no farther beyond the disparities that an object shows than by this share
#: of their range.
_BEYOND = 0.1


class NearestDepth:
    """Depth (h, w) of the pixels of ``inner`` (h, w), and beyond them that of the nearest."""

    def __init__(self, depth_m: Float[np.ndarray, "h w"], inner: Bool[np.ndarray, "h w"]) -> None:
        _, label = cv2.distanceTransformWithLabels(
            (~inner).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3, labelType=cv2.DIST_LABEL_PIXEL
        )
        self._of_label = np.zeros(int(label.max()) + 1, np.int64)
        self._of_label[label[inner]] = np.flatnonzero(inner)
        self._label = label
        self.map_m = depth_m.ravel()[self._of_label][label]

    def source(self, pixels: Int[np.ndarray, "p 2"]) -> NDArray[np.int64]:
        """(P,) the flat index of the inner pixel nearest to each, of rows and columns."""
        return self._of_label[self._label[pixels[:, 0], pixels[:, 1]]]

    def at(self, pixels: Int[np.ndarray, "p 2"]) -> Float[np.ndarray, " p"]:
        """Depth at pixels, of rows and columns."""
        return np.asarray(self.map_m[pixels[:, 0], pixels[:, 1]], np.float64)


class PlanarDepth(NearestDepth):
    """The same by planes: noise is averaged, and slopes go on beyond the inner pixels."""

    def __init__(self, depth_m: Float[np.ndarray, "h w"], inner: Bool[np.ndarray, "h w"]) -> None:
        super().__init__(depth_m, inner)
        height, width = depth_m.shape
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        weight = inner.astype(np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            d = np.where(inner, 1 / depth_m, 0).astype(np.float32)
        terms = (weight, weight * x, weight * y, weight * x * x, weight * x * y, weight * y * y,
                 d, d * x, d * y)  # fmt: skip
        square = (PLANE_PX, PLANE_PX)
        self._sums = [cv2.boxFilter(term, -1, square, normalize=False).ravel() for term in terms]
        mean = self._sums[6] / np.maximum(self._sums[0], 1)
        low, high = np.quantile(mean[inner.ravel()], [0.02, 0.98])
        self._range = low - _BEYOND * (high - low), high + _BEYOND * (high - low)
        self.map_m = 1 / mean[self._of_label][self._label]

    def at(self, pixels: Int[np.ndarray, "p 2"]) -> Float[np.ndarray, " p"]:
        at = self.source(pixels)
        num, x, y, xx, xy, yy, d, xd, yd = (sums[at].astype(np.float64) for sums in self._sums)
        mean_x, mean_y, mean = x / num, y / num, d / num
        # a little of the identity keeps rows of single pixels from becoming steep planes
        sxx, syy = xx / num - mean_x**2 + 0.25, yy / num - mean_y**2 + 0.25
        sxy = xy / num - mean_x * mean_y
        sxd, syd = xd / num - mean_x * mean, yd / num - mean_y * mean
        det = np.maximum(sxx * syy - sxy**2, 1e-6)
        limit = np.where(num >= _PLANE_PIXELS, _STEEPEST * mean, 0)
        slope_x = np.clip((syy * sxd - sxy * syd) / det, -limit, limit)
        slope_y = np.clip((sxx * syd - sxy * sxd) / det, -limit, limit)
        plane = mean + slope_x * (pixels[:, 1] - mean_x) + slope_y * (pixels[:, 0] - mean_y)
        low, high = self._range
        return np.asarray(1 / np.clip(plane, low, high))
