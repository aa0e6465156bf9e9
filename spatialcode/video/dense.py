"""Sampled frames and, beside them, grey ones that lie closer together: from one pass over a video.

The denser frames are spread evenly too, a whole number of steps between two sampled ones, so that
every sampled frame is among them and nothing has to be interpolated between the two.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.video.decode import DecodedVideo, GrayFrames
from spatialcode.video.sampling import ByCount, Sampling, shown_frames

#: Longer side of the grey frames, at most.
DENSE_SIDE_PX = 640


def dense_plan(sampling: Sampling, max_dense: int | None) -> ByCount | None:
    """Evenly spread frames, at most ``max_dense``, among which are those of ``sampling``; None
    where none are asked for, or no more than are sampled would fit, or nobody knows how many those
    are.

    With k steps between neighbours of n sampled ones, (n - 1) k + 1 frames have every k-th in
    common with them.
    """
    num = sampling.num_frames
    if max_dense is None or sampling.rate_hz is not None or num is None or num < 2:
        return None
    steps = (max_dense - 1) // (num - 1)
    return ByCount((num - 1) * steps + 1) if steps > 1 else None


def decode_sampled(
    decode: Callable[..., DecodedVideo],
    path: str | os.PathLike[str],
    sampling: Sampling,
    *,
    max_dense: int | None = None,
    **options: Any,
) -> DecodedVideo:
    """The frames of a sampling that names all it needs, with denser ones where these are asked for.

    ``decode``: `spatialcode.video.decode.decode`, or that of a sandbox; it gets the ``options``.
    Raises what it raises.
    """
    plan, dense = sampling.plan(), dense_plan(sampling, max_dense)
    video = decode(path, dense or plan, max_side_px=sampling.max_side_px, **options)
    if dense is None:
        return video
    gray = np.stack([_gray(frame) for frame in video.rgb])
    rows = shown_frames(plan, video.times_s)
    return replace(
        video,
        rgb=video.rgb[rows],
        times_s=video.times_s[rows],
        dense=GrayFrames(gray, video.times_s),
    )


def _gray(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame in grey, scaled down to `DENSE_SIDE_PX` on its longer side where that is longer."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    share = DENSE_SIDE_PX / max(gray.shape)
    if share < 1:
        size = (round(gray.shape[1] * share), round(gray.shape[0] * share))
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return np.asarray(gray, np.uint8)
