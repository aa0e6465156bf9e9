"""Windows taken apart into stretches of frames, and put together again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spatialcode.encoder.geometry.protocol import WindowGeometry

_PER_FRAME = ("depth_m", "K", "T_world_camera", "up_camera", "confidence")


def stretches(num_frames: int, cuts: Sequence[int]) -> list[slice]:
    """The rows between cuts."""
    bounds = [0, *(cut for cut in cuts if cut), num_frames]
    return [slice(first, last) for first, last in itertools.pairwise(bounds)]


def rows_of(geometry: WindowGeometry, rows: slice) -> WindowGeometry:
    """Some of a window's frames, without cuts."""
    values: dict[str, Any] = {name: getattr(geometry, name) for name in _PER_FRAME}
    values = {name: None if value is None else value[rows] for name, value in values.items()}
    return replace(geometry, cuts=(), **values)


def parts_of(geometry: WindowGeometry) -> list[WindowGeometry]:
    """The stretches between a window's cuts."""
    rows = stretches(len(geometry.depth_m), geometry.cuts)
    return [rows_of(geometry, part) for part in rows]


def joined(parts: Sequence[WindowGeometry], cuts: tuple[int, ...] = ()) -> WindowGeometry:
    """The frames of several windows in one; all else is the first one's."""
    values: dict[str, Any] = {}
    for name in _PER_FRAME:
        known = [getattr(part, name) for part in parts]
        values[name] = None if any(v is None for v in known) else np.concatenate(known)
    return replace(parts[0], cuts=cuts, **values)
