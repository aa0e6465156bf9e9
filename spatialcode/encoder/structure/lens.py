"""A focal length from many pairs of frames alone, without any model of the scene.

An essential matrix has two equal singular values. With the focal length unknown and the principal
point in the middle of the picture, the one that makes fundamental matrices nearest to essential is
the lens.

Source: Mendonça and Cipolla, CVPR 1999, eq. 10, over one focal length, with medians in the place of
sums. Pairs whose camera only shifted along or turned about one axis say nothing: they are flat.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

#: Horizontal fields of view that are tried, and how many focal lengths between them.
_VIEW_DEG, _NUM_TRIED = (25.0, 120.0), 160
#: Fewer pairs say nothing.
_MIN_PAIRS = 8


def focal_of_pairs(F: Float[np.ndarray, "k 3 3"], size_px: tuple[int, int]) -> float | None:
    """The focal length in pixels that best explains fundamental matrices x2ᵀ F x1 = 0 of pictures
    of (width, height); None where there are too few.
    """
    if len(F) < _MIN_PAIRS:
        return None
    width, height = size_px
    longest, shortest = (0.5 * width / np.tan(np.radians(view) / 2) for view in _VIEW_DEG)
    tried = np.geomspace(shortest, longest, _NUM_TRIED)
    missed = np.stack([_inequality(F, focal, (width / 2, height / 2)) for focal in tried])
    told = tried[missed.argmin(axis=0)]
    inner = (told > tried[0]) & (told < tried[-1])
    if inner.sum() < _MIN_PAIRS:
        return None
    return float(np.exp(np.median(np.log(told[inner]))))


def agreement(first_px: float, second_px: float | None, max_disagreement: float) -> float:
    """From 1 for equal focal lengths to 0 for such as are ``max_disagreement``, a share, or more
    apart; 0.5 where there is no second one.
    """
    if second_px is None:
        return 0.5
    apart = abs(float(np.log(second_px / first_px)))
    return max(0.0, 1.0 - apart / float(np.log1p(max_disagreement)))


def _inequality(
    F: NDArray[np.float64], focal_px: float, centre_px: tuple[float, float]
) -> NDArray[np.float64]:
    """(K,) how unequal the two singular values are, as a share."""
    K = np.array([[focal_px, 0, centre_px[0]], [0, focal_px, centre_px[1]], [0, 0, 1.0]])
    values = np.linalg.svd(K.T @ F @ K, compute_uv=False)
    return (values[:, 0] - values[:, 1]) / np.maximum(values[:, 1], 1e-12)
