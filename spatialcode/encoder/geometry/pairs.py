"""Points followed between any two frames, from where depth and poses put them.

Each frame has points of its own, one in every cell of the picture with texture. They are followed
to other frames, near and far apart, and back; what does not lead back is dropped.

Source: pyramidal Lucas-Kanade (Bouguet 2001) with a forward-backward check (Kalal et al. 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spatialcode.encoder.odometry.flow import (
    FlowConfig,
    coarse_shift_px,
    structure_tensor,
    whitening_at,
)

Array = NDArray[np.float64]
Gray = NDArray[np.uint8]

#: Window and coarser levels where only the picture's shift is known, and where a path predicts.
_FIRST_LOOK, _PREDICTED = (13, 2), (9, 1)
#: How well a point with that much texture around it is followed, across its edges and along them.
_FLOW = FlowConfig(sigma_px=0.35, gradient_floor=12.0)
_CELL_PX = 16
#: Least minimal eigenvalue of the gradient's structure tensor in a cell that has texture.
_MIN_CORNER = 1e-4
#: A point must end this near its start when it is followed there and back.
_MAX_ROUND_TRIP_PX = 0.7
#: The border within which points are not trusted.
_BORDER_PX = 4.0


@dataclass(frozen=True, eq=False)
class PointPairs:
    """Points seen in two frames each: ``first``, ``second`` (P,) the frames, sorted by them;
    ``first_px``, ``second_px`` (P, 2), pixel centres at +0.5.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    first_px: Float[np.ndarray, "p 2"]
    second_px: Float[np.ndarray, "p 2"]


class PairFollower:
    """Follows a frame's points to other frames of one clip, all (H, W) uint8 of one size.

    ``ignored`` (N, H, W): where no point is taken, such as on what moves by itself.
    """

    def __init__(self, gray: Sequence[Gray], ignored: NDArray[np.bool_] | None = None) -> None:
        self._gray = gray
        self.points_px = [
            _cell_corners(g, None if ignored is None else ignored[k]) for k, g in enumerate(gray)
        ]
        #: By frame (K, 2, 2): times a pixel error of a followed point, that in standard deviations.
        self.whitening = [
            whitening_at(structure_tensor(image, 7), points, _FLOW)
            for image, points in zip(gray, self.points_px, strict=True)
        ]

    def shift_px(self, first: int, second: int) -> Array:
        """How far the picture's middle moves from one frame to another (2,)."""
        return coarse_shift_px(self._gray[first], self._gray[second])

    def follow(
        self, first: int, second: int, rows: NDArray[np.int64], guess_px: Array,
        *, predicted: bool = False,
    ) -> tuple[NDArray[np.int64], Array]:  # fmt: skip
        """Some of a frame's points in another frame: the rows that could be followed, and where
        they are there (K, 2). ``guess_px``: where to begin, within some pixels where
        it is ``predicted``.
        """
        if not len(rows):
            return rows, np.zeros((0, 2))
        start = (self.points_px[first][rows] - 0.5).astype(np.float32)[:, None]
        guess = (guess_px - 0.5).astype(np.float32)[:, None]
        look = _PREDICTED if predicted else _FIRST_LOOK
        there, back = self._there_and_back(first, second, (start, guess), look)
        height, width = self._gray[second].shape
        far = np.array((width, height)) - 1 - _BORDER_PX
        inside = ((there > _BORDER_PX) & (there < far)).all(axis=-1)
        trip = np.linalg.norm(back - start[:, 0], axis=-1)
        good = inside & (trip < _MAX_ROUND_TRIP_PX)
        return rows[good], there[good].astype(np.float64) + 0.5

    def _there_and_back(
        self, first: int, second: int, ends: tuple[NDArray[np.float32], NDArray[np.float32]],
        look: tuple[int, int],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
        """Ends, and where they lead back to (K, 2); not finite where a point is lost."""
        start, guess = ends
        options: dict[str, Any] = {
            "winSize": (look[0], look[0]),
            "maxLevel": look[1],
            "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
            "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 0.03),
        }
        a, b = self._gray[first], self._gray[second]
        there, found, _ = cv2.calcOpticalFlowPyrLK(a, b, start, guess.copy(), **options)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(
            b, a, there, there - guess + start, **options
        )
        lost = (found[:, 0] == 0) | (found_back[:, 0] == 0)
        reached = np.where(lost[:, None], np.float32(np.nan), there[:, 0])
        return reached, np.asarray(back[:, 0], np.float32)


def _cell_corners(image: Gray, ignored: NDArray[np.bool_] | None) -> Array:
    """The best corner (K, 2) of each cell with texture."""
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
