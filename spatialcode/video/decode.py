"""Decode chosen frames of a video in this process: upright RGB and true presentation times.

Where every packet states its presentation time, the packets needed for the wanted frames are
known beforehand: decoding seeks from key frame to key frame and stops as soon as it has them.
Otherwise (AVI, missing stamps) it decodes from the start, one frame in memory at a time.

`probe` looks at a video before it is decoded: limits, format, size, orientation, frames, times.
Requests, probes and errors have a JSON form, in which they pass between a caller and its decoding
child (`spatialcode.child`); pixels lie in shared memory.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spatialcode import errors
from spatialcode.errors import DecodeMemoryError, EmptyVideoError, VideoLimitError
from spatialcode.video.limits import DEFAULT_LIMITS, VideoLimits
from spatialcode.video.reading import (
    DamageLog,
    Output,
    Picked,
    check_packets,
    read_exact,
    read_in_order,
)
from spatialcode.video.sampling import (
    ByCount,
    ByRate,
    ByTimes,
    SamplePlan,
    num_targets,
    shown_frames,
)
from spatialcode.video.source import OpenedVideo, VideoProbe, open_video

OnDamage = Literal["raise", "report"]
Allocate = Callable[[tuple[int, ...]], NDArray[np.uint8]]


@dataclass(frozen=True)
class DecodedVideo:
    """Frames and their facts.

    rgb: uint8 (N, H, W, 3), upright; times_s: float64 (N,), presentation times in seconds
    from the video's first frame; warnings: findings that did not stop decoding; dense: frames
    closer together, where they were asked for.
    """

    rgb: NDArray[np.uint8]
    times_s: NDArray[np.float64]
    probe: VideoProbe
    warnings: tuple[str, ...] = ()
    dense: GrayFrames | None = None


@dataclass(frozen=True)
class GrayFrames:
    """Grey frames: uint8 (M, h, w), upright; times_s: float64 (M,), as in `DecodedVideo`."""

    gray: NDArray[np.uint8]
    times_s: NDArray[np.float64]


@dataclass(frozen=True)
class Request:
    """One call of `decode`, as a value that can cross a process boundary.

    ``frames_a_piece``: frames are handed over in pieces of so many at most; None: all at the end.
    """

    path: str
    plan: SamplePlan
    limits: VideoLimits = DEFAULT_LIMITS
    max_side_px: int | None = None
    on_damage: OnDamage = "raise"
    sha256: str | None = None
    frames_a_piece: int | None = None

    def __post_init__(self) -> None:
        if self.max_side_px is not None and self.max_side_px < 1:
            raise ValueError(f"max_side_px: expected >= 1 or None, got {self.max_side_px!r}")
        if self.frames_a_piece is not None and self.frames_a_piece < 1:
            raise ValueError(f"frames_a_piece: expected >= 1 or None, got {self.frames_a_piece!r}")
        if self.on_damage not in ("raise", "report"):
            raise ValueError(f"on_damage: expected 'raise' or 'report', got {self.on_damage!r}")


@dataclass(frozen=True)
class Rows:
    """What `decode_rows` wrote: result n is row `rows[n]` of the allocated array."""

    rgb: NDArray[np.uint8]
    rows: tuple[int, ...]
    times_s: tuple[float, ...]
    probe: VideoProbe
    warnings: tuple[str, ...]

    def result(self) -> DecodedVideo:
        whole = self.rows == tuple(range(len(self.rgb)))
        return DecodedVideo(
            rgb=self.rgb if whole else self.rgb[list(self.rows)],
            times_s=np.asarray(self.times_s, np.float64),
            probe=self.probe,
            warnings=self.warnings,
        )


def decode(
    path: str | os.PathLike[str],
    plan: SamplePlan,
    limits: VideoLimits = DEFAULT_LIMITS,
    *,
    max_side_px: int | None = None,
    on_damage: OnDamage = "raise",
    sha256: str | None = None,
) -> DecodedVideo:
    """The frames that `plan` picks from a local file, scaled down to `max_side_px` if longer.

    `sha256` spares reading the file again when it is known already ("" leaves it empty).
    Raises the VideoError family; with on_damage="report" damage becomes warnings as long as
    some frame can be returned.
    """
    request = Request(os.fspath(path), plan, limits, max_side_px, on_damage, sha256)
    return decode_rows(request, lambda shape: np.empty(shape, np.uint8)).result()


def decode_rows(
    request: Request, allocate: Allocate, deliver: Callable[[Rows], None] = lambda _: None
) -> Rows:
    """Decode into the uint8 arrays that `allocate` gives for shapes (N, H, W, 3).

    Where frames go in pieces, `deliver` gets each but the last, which is returned: what is found
    wrong at the end is raised in its place.
    """
    try:
        return _decode_rows(request, allocate, deliver)
    except MemoryError as error:
        if isinstance(error, DecodeMemoryError):
            raise
        what = getattr(error, "strerror", None) or error  # FFmpeg's error adds the path to it
        raise DecodeMemoryError(f"out of memory: {what}") from error


def _decode_rows(request: Request, allocate: Allocate, deliver: Callable[[Rows], None]) -> Rows:
    log = DamageLog(strict=request.on_damage == "raise")
    limits = request.limits
    with open_video(request.path, limits) as opened:
        check_packets(opened, log)
        wanted = _wanted(opened, request.plan, limits)
        digest = hash_file(request.path) if request.sha256 is None else request.sha256
        pieces = _Pieces(request, wanted.tolist(), replace(opened.facts, sha256=digest), log)
        output = Output(allocate, request.frames_a_piece, lambda p: deliver(pieces.taken(p)))
        picked = Picked(opened, wanted, request.max_side_px, output)
        read = read_exact if opened.packets.has_exact_pts else read_in_order
        read(opened, wanted, picked, log)
    if not picked.times_s:
        raise EmptyVideoError("no frame could be decoded")
    lost = sum(index not in picked.times_s for index in pieces.wanted)
    if lost:
        log.damage(f"{lost} of {len(wanted)} wanted frames could not be decoded")
    return pieces.taken(picked)


@dataclass
class _Pieces:
    """What becomes of each piece of the wanted frames."""

    request: Request
    wanted: list[int]
    probe: VideoProbe
    log: DamageLog
    last_s: float = -math.inf

    def taken(self, picked: Picked) -> Rows:
        """The present piece's frames that are there, in the order in which they are wanted."""
        found = [(index, row) for index in self.wanted if (row := picked.row(index)) is not None]
        times_s = [picked.times_s[index] for index, _ in found]
        if not isinstance(self.request.plan, ByTimes):
            # Two indices show one frame where packets are more than frames (fields, for instance).
            before_s = [self.last_s, *times_s]
            kept = [n for n, time_s in enumerate(times_s) if time_s > before_s[n]]
            found, times_s = [found[n] for n in kept], [times_s[n] for n in kept]
        self.last_s = max([self.last_s, *times_s])
        return Rows(
            rgb=picked.rgb,
            rows=tuple(row for _, row in found),
            times_s=tuple(times_s),
            probe=self.probe,
            warnings=tuple(self.log.warnings),
        )


def _wanted(opened: OpenedVideo, plan: SamplePlan, limits: VideoLimits) -> NDArray[np.int64]:
    """Indices of the wanted frames in order of presentation."""
    times_s = opened.packets.times_s
    count = num_targets(plan, float(times_s[-1]))
    if count > limits.max_samples:
        raise VideoLimitError("samples", f"{count}, at most {limits.max_samples}")
    return shown_frames(plan, times_s)


def hash_file(path: str | os.PathLike[str]) -> str:
    """sha256 of the bytes of `path` in hex, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def probe(
    path: str | os.PathLike[str], limits: VideoLimits = DEFAULT_LIMITS, *, with_sha256: bool = True
) -> VideoProbe:
    """Check the limits and all packets of a local file; one frame is decoded, for the
    orientation. Raises the VideoError family, damage to the container or to packets included.
    """
    with open_video(path, limits) as opened:
        check_packets(opened, DamageLog(strict=True))
        facts = opened.facts
    return replace(facts, sha256=hash_file(path)) if with_sha256 else facts


PLANS = {plan.__name__: plan for plan in (ByCount, ByRate, ByTimes)}


def request_to_dict(request: Request) -> dict[str, Any]:
    """A JSON-able form of `request`."""
    return asdict(request) | {"plan": [type(request.plan).__name__, asdict(request.plan)]}


def request_from_dict(message: dict[str, Any]) -> Request:
    """Inverse of `request_to_dict`."""
    kind, values = message["plan"]
    plan = PLANS[kind](**{key: _tuples(value) for key, value in values.items()})
    limits = VideoLimits(**{key: _tuples(value) for key, value in message["limits"].items()})
    return Request(**(message | {"plan": plan, "limits": limits}))


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def error_to_dict(error: errors.VideoError) -> dict[str, str]:
    """What crosses the socket of an error: its code and its fields."""
    if isinstance(error, errors.VideoLimitError):
        return {"code": error.code, "quantity": error.quantity, "message": error.found}
    path = {} if error.path is None else {"path": error.path}
    return {"code": error.code, "message": error.reason} | path


def error_from_dict(message: dict[str, Any]) -> errors.VideoError:
    """The error of the same type and fields; DecodeCrashError for an unknown code."""
    text = str(message.get("message"))
    kind = _error_types().get(str(message.get("code")))
    if kind is None:
        return errors.DecodeCrashError(f"the decoder failed: {text}")
    if kind is errors.VideoLimitError:
        return errors.VideoLimitError(str(message.get("quantity")), text)
    return kind(text, message.get("path"))


def _error_types() -> dict[str, type[errors.VideoError]]:
    found: dict[str, type[errors.VideoError]] = {}
    pending = [errors.VideoError]
    while pending:
        kind = pending.pop()
        found[kind.code] = kind
        pending += kind.__subclasses__()
    return found
