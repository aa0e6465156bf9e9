"""The steps from a clip to its code that every encoder with dense maps has, and their order.

The steps are public and replaceable: whoever wants to time them, or to put truth in the place of
one, passes a `Stages` of its own to `encode_clips`. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.maps import DenseMaps
from spatialcode.encoder.protocol import ClipInput, LoadedEncoder, OnShare
from spatialcode.errors import EncodeError, SpatialCodeError
from spatialcode.scene.schema import SpatialCode

T = TypeVar("T")
Array = NDArray[np.float64]


class Stages(Protocol):
    """What is done to a clip, one method a step. All but `prepare` take prepared clips."""

    def prepare(self, clip: ClipInput) -> ClipInput:
        """The clip at network size, its intrinsics known or assumed."""
        ...

    def maps(
        self,
        clips: Sequence[ClipInput],
        poses: Sequence[Array | None],
        exact: bool,
        on_frames: Callable[[int], None] | None = None,
    ) -> list[DenseMaps]:
        """Dense maps of each clip, told gravity and height by its poses where there are any.

        ``exact``: the poses were given rather than estimated. ``on_frames`` is told how many
        frames more are through the network.
        """
        ...

    def path(self, clip: ClipInput, maps: DenseMaps) -> Array:
        """``T_world_camera`` (N, 4, 4), estimated from frames and maps, or from the clip's
        structure where it has one.
        """
        ...

    def structured(self, clip: ClipInput, maps: DenseMaps) -> ClipInput:
        """The clip with its structure, and the lens that comes with it, where these are asked for
        and found; else the clip as it is, or with a warning.
        """
        ...

    def code(self, clip: ClipInput, maps: DenseMaps, T_world_camera: Array) -> SpatialCode:
        """The code that maps and poses lead to."""
        ...


@runtime_checkable
class StagedEncoder(Protocol):
    """A loaded encoder whose codes are made by `encode_clips` from stages that it shows."""

    stages: Stages


def stages_of(encoder: LoadedEncoder) -> Stages | None:
    """The encoder's steps, or None for one that has none to show."""
    return encoder.stages if isinstance(encoder, StagedEncoder) else None


def encode_clips(
    stages: Stages, clips: Sequence[ClipInput], on_share: OnShare | None = None
) -> list[SpatialCode | EncodeError]:
    """Codes of several clips in their order; the network runs over the frames of all at once.

    A clip whose poses are not given passes the network twice: gravity and height, once estimated,
    tell it more than it saw at first; and once more in between where its lens turns out to be
    another than was assumed. A clip that cannot be encoded gives its error in its place.
    """
    on_frames = None if on_share is None else _Passed(clips, on_share)
    prepared = attempt(stages.prepare, clips)
    sound = [i for i, clip in enumerate(prepared) if isinstance(clip, ClipInput)]
    given = [clip.geometry.T_world_camera for clip in clips]
    maps: list[Any] = list(prepared)
    _fill(maps, sound, stages.maps(_at(prepared, sound), _at(given, sound), True, on_frames))

    def structured(clip: ClipInput, seen: DenseMaps, known: Array | None) -> ClipInput:
        return stages.structured(clip, seen) if known is None else clip

    def located(clip: ClipInput, seen: DenseMaps, known: Array | None) -> Array:
        return stages.path(clip, seen) if known is None else known

    assumed, prepared = prepared, attempt(structured, prepared, maps, given)
    relensed = [i for i in sound if _has_other_lens(assumed[i], prepared[i])]
    _fill(maps, relensed, stages.maps(_at(prepared, relensed), [None] * len(relensed), False))
    paths = attempt(located, prepared, maps, given)
    again = [i for i in sound if given[i] is None and not isinstance(paths[i], EncodeError)]
    _fill(maps, again, stages.maps(_at(prepared, again), _at(paths, again), False, on_frames))
    return attempt(stages.code, prepared, maps, paths)


def attempt(step: Callable[..., T], *columns: Sequence[Any]) -> list[T | EncodeError]:
    """``step`` over rows; a row that holds an error, or raises one, becomes that error.

    The one boundary at which a clip's own failure turns into data.
    """
    results: list[T | EncodeError] = []
    for row in zip(*columns, strict=True):
        failed = next((value for value in row if isinstance(value, EncodeError)), None)
        if failed is not None:
            results.append(failed)
            continue
        try:
            results.append(step(*row))
        except EncodeError as error:
            results.append(error)
        except (SpatialCodeError, np.linalg.LinAlgError) as error:
            results.append(EncodeError(f"{type(error).__name__}: {error}"))
    return results


def _has_other_lens(before: ClipInput | EncodeError, after: ClipInput | EncodeError) -> bool:
    """Whether a clip's pinhole matrix was replaced."""
    if isinstance(before, EncodeError) or isinstance(after, EncodeError):
        return False
    return before.geometry.K is not after.geometry.K


def _at(values: Sequence[Any], index: Sequence[int]) -> list[Any]:
    return [values[i] for i in index]


def _fill(values: list[Any], index: Sequence[int], new: Sequence[Any]) -> None:
    for i, value in zip(index, new, strict=True):
        values[i] = value


class _Passed:
    """Frames through the network as a share of all that will pass it."""

    def __init__(self, clips: Sequence[ClipInput], on_share: OnShare) -> None:
        passes = [1 if clip.geometry.T_world_camera is not None else 2 for clip in clips]
        self._total = sum(p * clip.num_frames for p, clip in zip(passes, clips, strict=True))
        self._num_passed, self._on_share = 0, on_share

    def __call__(self, num_frames: int) -> None:
        self._num_passed += num_frames
        self._on_share(min(1.0, self._num_passed / self._total))
