"""The scale that makes any-view depth metric, from metric depth of the same frames.

Any-view depth is consistent between frames, in an arbitrary unit; metric depth knows the unit,
frame by frame and roughly. One scale for all frames is the robust middle of their ratios.
Deterministic: no pixel is drawn at random.

Source: the nesting of Depth Anything 3 (Lin et al., arXiv 2511.10647), with a median of medians and
reweighted least squares in the place of least squares on random pixels.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

#: Pixels of a frame that are compared, about.
_SAMPLES = 4096
_NUM_ITERATIONS = 8
#: Departure of a log ratio from the middle beyond which it counts for little.
_WIDTH = 0.1


def metric_scale(
    any_view: Float[np.ndarray, "n h w"],
    metric_m: Float[np.ndarray, "n h w"],
    trusted: Bool[np.ndarray, "n h w"],
) -> float | None:
    """Metres to a unit of ``any_view``, from pixels that are ``trusted`` and known in both.

    None where there are none: the unit is then unknown.
    """
    step = max(1, int(np.sqrt(any_view[0].size / _SAMPLES)))
    grid = (slice(None), slice(step // 2, None, step), slice(step // 2, None, step))
    first, second = any_view[grid], metric_m[grid]
    with np.errstate(invalid="ignore", divide="ignore"):
        good = trusted[grid] & (first > 0) & (second > 0)
        ratio = np.log(second / first)
    good &= np.isfinite(ratio)
    frames = [np.median(r[g]) for r, g in zip(ratio, good, strict=True) if g.any()]
    if not frames:
        return None
    log_scale = float(np.median(frames))
    # every frame counts alike, however much of it is trusted
    share = np.broadcast_to(1 / np.maximum(good.sum(axis=(1, 2), keepdims=True), 1), good.shape)
    values, weight = ratio[good], share[good]
    for _ in range(_NUM_ITERATIONS):
        robust = weight / (1 + ((values - log_scale) / _WIDTH) ** 2)
        log_scale = float(robust @ values / robust.sum())
    return float(np.exp(log_scale))
