"""Points followed between any two frames, from where depth and poses put them.

Each frame has points of its own, one in every cell of the picture with texture. They are followed
to other frames, near and far apart, and back; what does not lead back is dropped.

Source: pyramidal Lucas-Kanade (Bouguet 2001) with a forward-backward check (Kalal et al. 2010).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray

from spatialcode.encoder.odometry.flow import FlowConfig, structure_tensor, whitening_at

Array = NDArray[np.float64]
Gray = NDArray[np.uint8]

#: Window and coarser levels where only the picture's shift is known, and where a path predicts.
_FIRST_LOOK, _PREDICTED = (13, 2), (9, 1)
#: How well a point with that much texture around it is followed, across its edges and along them.
_FLOW = FlowConfig(sigma_px=0.35, gradient_floor=12.0)
_TENSOR_WINDOW_PX = 7
_CELL_PX = 16
#: Least minimal eigenvalue of the gradient's structure tensor in a cell that has texture.
_MIN_CORNER = 1e-4
#: A point must end this near its start when it is followed there and back.
_MAX_ROUND_TRIP_PX = 0.7
#: The border within which points are not trusted.
_BORDER_PX = 4.0


def cell_corners(
    image: UInt8[np.ndarray, "h w"], ignored: Bool[np.ndarray, "h w"] | None = None
) -> Float[np.ndarray, "k 2"]:
    """The best corner of each cell with texture, pixel centres at +0.5. ``ignored``: where no point
    is taken, such as on what moves by itself.
    """
    corner = cv2.cornerMinEigenVal(image, 5)
    if ignored is not None:
        corner[ignored] = 0
    border = int(_BORDER_PX)
    corner[:border], corner[-border:], corner[:, :border], corner[:, -border:] = 0, 0, 0, 0
    rows, columns = corner.shape[0] // _CELL_PX, corner.shape[1] // _CELL_PX
    blocks = corner[: rows * _CELL_PX, : columns * _CELL_PX]
    blocks = blocks.reshape(rows, _CELL_PX, columns, _CELL_PX).transpose(0, 2, 1, 3)
    cells = blocks.reshape(rows * columns, _CELL_PX**2)
    best = cells.argmax(axis=1)
    textured = np.flatnonzero(cells[np.arange(len(cells)), best] > _MIN_CORNER)
    x = textured % columns * _CELL_PX + best[textured] % _CELL_PX
    y = textured // columns * _CELL_PX + best[textured] // _CELL_PX
    return np.stack((x, y), axis=1) + 0.5


def point_whitening(
    image: UInt8[np.ndarray, "h w"], points_px: Float[np.ndarray, "k 2"]
) -> Float[np.ndarray, "k 2 2"]:
    """Times a pixel error of a followed point, that in standard deviations."""
    return whitening_at(structure_tensor(image, _TENSOR_WINDOW_PX), points_px, _FLOW)


def follow_points(
    first: UInt8[np.ndarray, "h w"], second: UInt8[np.ndarray, "h w"],
    points_px: Float[np.ndarray, "k 2"], guess_px: Float[np.ndarray, "k 2"],
    *, predicted: bool = False,
) -> tuple[Int[np.ndarray, " q"], Float[np.ndarray, "q 2"]]:  # fmt: skip
    """One picture's points in another: the rows that could be followed, and where they are there.

    ``guess_px``: where to begin, within some pixels where it is ``predicted``.
    """
    if not len(points_px):
        return np.zeros(0, np.int64), np.zeros((0, 2))
    start = (points_px - 0.5).astype(np.float32)[:, None]
    guess = (guess_px - 0.5).astype(np.float32)[:, None]
    window_px, num_levels = _PREDICTED if predicted else _FIRST_LOOK
    options: dict[str, Any] = {
        "winSize": (window_px, window_px),
        "maxLevel": num_levels,
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 0.03),
    }
    there, found, _ = cv2.calcOpticalFlowPyrLK(first, second, start, guess.copy(), **options)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        second, first, there, there - guess + start, **options
    )
    height, width = second.shape
    far = np.array((width, height)) - 1 - _BORDER_PX
    end = there[:, 0]
    good = ((end > _BORDER_PX) & (end < far)).all(axis=-1)
    good &= (found[:, 0] > 0) & (found_back[:, 0] > 0)
    good &= np.linalg.norm((back - start)[:, 0], axis=-1) < _MAX_ROUND_TRIP_PX
    return np.flatnonzero(good), end[good].astype(np.float64) + 0.5
