"""Depth of an object's pixels by the planes that fit best about them.

Averages the noise of single pixels without rounding off slopes, and carries depth on to an outline
beside which it is smeared. Disparity of a plane is linear in the picture, so planes are fitted to
disparity, by sums over squares, where they are asked for. Source: none.
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
_STEPS = np.arange(PLANE_PX) - PLANE_PX // 2
_Y, _X = np.stack(np.meshgrid(_STEPS, _STEPS, indexing="ij")).reshape(2, -1)
#: (S, 6) what the pixels of a square weigh in the sums that a plane needs.
_MOMENTS = np.stack((np.ones(len(_X)), _X, _Y, _X**2, _X * _Y, _Y**2), axis=1)
#: Values from which a middle or a range of many is taken: enough for it to be as good.
_ENOUGH = 1500


def some_of(values: np.ndarray) -> np.ndarray:
    """Values (N,) spread evenly over those given, if there are many."""
    return values[:: max(1, len(values) // _ENOUGH)]


def beside(
    image: np.ndarray, pixels: Int[np.ndarray, "p 2"], reach_px: int, outside: float
) -> np.ndarray:
    """(P, S) what an image (h, w) holds in the square about each pixel, row by row; ``outside``
    beyond its borders. ``reach_px``: from the middle of the square to its side.
    """
    side = 2 * reach_px + 1
    padded = cv2.copyMakeBorder(image, *(reach_px,) * 4, cv2.BORDER_CONSTANT, value=outside)
    step = np.arange(side)
    square = (step[:, None] * padded.shape[1] + step).ravel()
    first = pixels[:, 0] * padded.shape[1] + pixels[:, 1]
    return np.asarray(padded.ravel()[first[:, None] + square])


class NearestDepth:
    """Depth (h, w) of the pixels of ``inner`` (h, w), and beyond them that of the nearest."""

    def __init__(self, depth_m: Float[np.ndarray, "h w"], inner: Bool[np.ndarray, "h w"]) -> None:
        _, label = cv2.distanceTransformWithLabels(
            (~inner).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3, labelType=cv2.DIST_LABEL_PIXEL
        )
        self._inner = np.flatnonzero(inner)
        self._width = inner.shape[1]
        self._of_label = np.zeros(len(self._inner) + 1, np.int64)
        self._of_label[label.ravel()[self._inner]] = self._inner
        self._label = label
        self._smooth_m = self._smoothed(np.asarray(depth_m, np.float32), inner)

    def _smoothed(
        self, depth_m: Float[np.ndarray, "h w"], inner: Bool[np.ndarray, "h w"]
    ) -> Float[np.ndarray, "h w"]:
        """Depth of the inner pixels as it is compared with what is beside them."""
        del inner
        return depth_m

    def _source(self, pixels: Int[np.ndarray, "p 2"]) -> NDArray[np.int64]:
        """(P,) the flat index of the inner pixel nearest to each, of rows and columns."""
        return self._of_label[self._label[pixels[:, 0], pixels[:, 1]]]

    def near(self, pixels: Int[np.ndarray, "p 2"]) -> Float[np.ndarray, " p"]:
        """Depth of the inner pixels nearest to others, steady rather than exact."""
        return np.asarray(self._smooth_m.ravel()[self._source(pixels)])

    def at(self, pixels: Int[np.ndarray, "p 2"]) -> Float[np.ndarray, " p"]:
        """Depth at pixels, of rows and columns."""
        return self.near(pixels).astype(np.float64)


class PlanarDepth(NearestDepth):
    """The same by planes: noise is averaged, and slopes go on beyond the inner pixels."""

    def _smoothed(
        self, depth_m: Float[np.ndarray, "h w"], inner: Bool[np.ndarray, "h w"]
    ) -> Float[np.ndarray, "h w"]:
        with np.errstate(invalid="ignore", divide="ignore"):
            self._disparity = np.where(inner, 1 / depth_m, np.float32(0))
        square, border = (PLANE_PX, PLANE_PX), cv2.BORDER_CONSTANT
        num, total = (
            cv2.boxFilter(term, -1, square, normalize=False, borderType=border)
            for term in (inner.astype(np.float32), self._disparity)
        )
        mean = total / np.maximum(num, 1)
        ordered = np.sort(some_of(mean.ravel()[self._inner]))
        low, high = ordered[[round(q * (len(ordered) - 1)) for q in (0.02, 0.98)]].tolist()
        self._range = low - _BEYOND * (high - low), high + _BEYOND * (high - low)
        with np.errstate(divide="ignore"):
            return np.asarray(1 / mean)

    def at(self, pixels: Int[np.ndarray, "p 2"]) -> Float[np.ndarray, " p"]:
        source = np.column_stack(np.divmod(self._source(pixels), self._width))
        reach = PLANE_PX // 2
        d = beside(self._disparity, source, reach, 0.0).astype(np.float64)
        weight = (d > 0).astype(np.float64)
        num, x, y, xx, xy, yy = (weight @ _MOMENTS).T
        total, xd, yd = (d @ _MOMENTS[:, :3]).T
        mean_x, mean_y, mean = x / num, y / num, total / num
        # a little of the identity keeps rows of single pixels from becoming steep planes
        sxx, syy = xx / num - mean_x**2 + 0.25, yy / num - mean_y**2 + 0.25
        sxy = xy / num - mean_x * mean_y
        sxd, syd = xd / num - mean_x * mean, yd / num - mean_y * mean
        det = np.maximum(sxx * syy - sxy**2, 1e-6)
        limit = np.where(num >= _PLANE_PIXELS, _STEEPEST * mean, 0)
        slope_x = np.clip((syy * sxd - sxy * syd) / det, -limit, limit)
        slope_y = np.clip((sxx * syd - sxy * sxd) / det, -limit, limit)
        off = pixels - source
        plane = mean + slope_x * (off[:, 1] - mean_x) + slope_y * (off[:, 0] - mean_y)
        low, high = self._range
        return np.asarray(1 / np.clip(plane, low, high))
