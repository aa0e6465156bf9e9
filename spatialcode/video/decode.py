"""Decode chosen frames of a video in this process: upright RGB and true presentation times.

Where every packet states its presentation time, the packets needed for the wanted frames are
known beforehand: decoding seeks from key frame to key frame and stops as soon as it has them.
Otherwise (AVI, missing stamps) it decodes from the start, one frame in memory at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import EmptyVideoError, VideoLimitError
from spatialcode.video.corruption import DamageLog, check_packets
from spatialcode.video.limits import DEFAULT_LIMITS, VideoLimits
from spatialcode.video.probe import OpenedVideo, VideoProbe, hash_file, open_video
from spatialcode.video.reading import Picked, read_exact, read_in_order
from spatialcode.video.sampling import SamplePlan, num_targets, shown_frames

OnDamage = Literal["raise", "report"]
Allocate = Callable[[tuple[int, ...]], NDArray[np.uint8]]


@dataclass(frozen=True)
class DecodedVideo:
    """Frames and their facts.

    rgb: uint8 (N, H, W, 3), upright; times_s: float64 (N,), presentation times in seconds
    from the video's first frame; warnings: findings that did not stop decoding.
    """

    rgb: NDArray[np.uint8]
    times_s: NDArray[np.float64]
    probe: VideoProbe
    warnings: tuple[str, ...] = ()


def _new_array(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.empty(shape, np.uint8)


def decode(
    path: str | os.PathLike[str],
    plan: SamplePlan,
    limits: VideoLimits = DEFAULT_LIMITS,
    *,
    max_side_px: int | None = None,
    on_damage: OnDamage = "raise",
    sha256: str | None = None,
    allocate: Allocate = _new_array,
) -> DecodedVideo:
    """The frames that `plan` picks from a local file, scaled down to `max_side_px` if longer.

    `sha256` spares reading the file again when it is known already ("" leaves it empty).
    Raises the VideoError family; with on_damage="report" damage becomes warnings as long as
    some frame can be returned. `allocate` gives the array that the frames are written into.
    """
    log = DamageLog(strict=on_damage == "raise")
    with open_video(path, limits) as opened:
        check_packets(opened, log)
        wanted = _wanted(opened, plan, limits)
        picked = Picked(opened, wanted, max_side_px, allocate)
        read = read_exact if opened.packets.has_exact_pts else read_in_order
        read(opened, wanted, picked, log)
    if not picked.times_s:
        raise EmptyVideoError("no frame could be decoded")
    rows = [index for index in wanted.tolist() if index in picked]
    missing = len(wanted) - len(rows)
    if missing:
        log.damage(f"{missing} of {len(wanted)} wanted frames could not be decoded")
    digest = hash_file(path) if sha256 is None else sha256
    return DecodedVideo(
        rgb=picked.stack(rows),
        times_s=np.asarray([picked.times_s[index] for index in rows], np.float64),
        probe=replace(opened.facts, sha256=digest),
        warnings=tuple(log.warnings),
    )


def _wanted(opened: OpenedVideo, plan: SamplePlan, limits: VideoLimits) -> NDArray[np.int64]:
    """Indices of the wanted frames in order of presentation."""
    times_s = opened.packets.times_s
    count = num_targets(plan, float(times_s[-1]))
    if count > max(limits.max_samples, 1):
        raise VideoLimitError(f"samples: {count}, at most {limits.max_samples}")
    return shown_frames(plan, times_s)
