"""A focal length from many pairs of frames alone, without any model of the scene.

An essential matrix has two equal singular values. With the focal length unknown and the principal
point in the middle of the picture, the one that makes fundamental matrices nearest to essential is
the lens.

Source: Mendonça and Cipolla, CVPR 1999, eq. 10, over one focal length, with a median over the pairs
in the place of a sum. Where the camera only shifted, or turned about one axis, pairs say nothing.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

#: Horizontal fields of view that are tried, and how many focal lengths between them.
_VIEW_DEG, _NUM_TRIED = (25.0, 120.0), 160
#: Fewer pairs say nothing.
_MIN_PAIRS = 8
#: Estimates of a focal length that are so far apart lend each other nothing.
_NO_AGREEMENT = 0.2


def focal_of_pairs(F: Float[np.ndarray, "k 3 3"], size_px: tuple[int, int]) -> float | None:
    """The focal length in pixels that best explains fundamental matrices x2ᵀ F x1 = 0 of pictures
    of (width, height); None where there are too few, or none of those tried stands out.
    """
    if len(F) < _MIN_PAIRS:
        return None
    width, height = size_px
    longest, shortest = (0.5 * width / np.tan(np.radians(view) / 2) for view in _VIEW_DEG)
    tried = np.geomspace(shortest, longest, _NUM_TRIED)
    missed = [np.median(_inequality(F, focal, (width / 2, height / 2))) for focal in tried]
    best = int(np.argmin(missed))
    return float(tried[best]) if 0 < best < _NUM_TRIED - 1 else None


def agreement(first_px: float, second_px: float | None) -> float:
    """From 1 for equal focal lengths to 0 for such as are `_NO_AGREEMENT`, a share, or more apart;
    0.5 where there is no second one.
    """
    if second_px is None:
        return 0.5
    return max(0.0, 1.0 - apart(first_px, second_px) / _NO_AGREEMENT)


def apart(first_px: float, second_px: float) -> float:
    """How far two focal lengths are apart, as a share of the shorter one."""
    return max(first_px, second_px) / min(first_px, second_px) - 1.0


def _inequality(
    F: NDArray[np.float64], focal_px: float, centre_px: tuple[float, float]
) -> NDArray[np.float64]:
    """(K,) how unequal the two singular values are, as a share."""
    K = np.array([[focal_px, 0, centre_px[0]], [0, focal_px, centre_px[1]], [0, 0, 1.0]])
    values = np.linalg.svd(K.T @ F @ K, compute_uv=False)
    return (values[:, 0] - values[:, 1]) / np.maximum(values[:, 1], 1e-12)
