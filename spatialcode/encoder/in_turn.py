"""Clips one after the other through an encoder made of parts, with less at once where memory ends.

A device that has no room for what is given at once is given half of it: first of the frames of a
window, then of what the parts take together. A clip starts anew then, since a session that failed
cannot go on; one that does not fit at all becomes its error, as data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeGuard

from spatialcode.encoder.parts import EncoderParts
from spatialcode.encoder.protocol import (
    ClipInput,
    FrameRequest,
    LoadedEncoder,
    OnShare,
    WindowedClip,
    encode_windows,
)
from spatialcode.encoder.stages import attempt
from spatialcode.errors import DeviceMemoryError, EncodeError
from spatialcode.scene.schema import SpatialCode

#: Windows are not halved below this: neighbours must share a frame and show a new one.
_LEAST_WINDOW = 2


class PartedEncoder(LoadedEncoder, Protocol):
    """A loaded encoder whose parts, and the windows it is fed, can be made smaller."""

    parts: EncoderParts
    frames: FrameRequest

    def with_less(self, parts: EncoderParts, frames: FrameRequest) -> PartedEncoder:
        """The same encoder with other parts and windows."""
        ...


def encode_in_turn(
    encoder: PartedEncoder, clips: Sequence[ClipInput], on_share: OnShare | None = None
) -> list[SpatialCode | EncodeError]:
    """One code, or one error, a clip, in order: a clip that fails disturbs no other."""
    results: list[SpatialCode | EncodeError] = []
    for clip in clips:
        results += attempt(lambda one: _encoded(encoder, one), [clip])
        if on_share is not None:
            on_share(len(results) / len(clips))
    return results


def encode_source(loaded: LoadedEncoder, clip: WindowedClip, request: FrameRequest) -> SpatialCode:
    """The code of a clip whose windows come as they are asked for; its errors are raised.

    The clip begins anew, with less at once, where a device's memory ends.
    """
    return _encoded(loaded, clip) if is_parted(loaded) else encode_windows(loaded, clip, request)


def is_parted(loaded: LoadedEncoder) -> TypeGuard[PartedEncoder]:
    """Whether an encoder can be given less at once."""
    return hasattr(loaded, "with_less")


def _encoded(encoder: PartedEncoder, clip: WindowedClip) -> SpatialCode:
    while True:
        try:
            return encode_windows(encoder, clip, encoder.frames)
        except DeviceMemoryError:
            smaller = _with_half(encoder)
            if smaller is None:
                raise
            encoder = smaller


def _with_half(encoder: PartedEncoder) -> PartedEncoder | None:
    """The encoder taking half as much at once; None where it takes the least already."""
    frames, window = encoder.frames, encoder.frames.window
    if window is not None and window >= 2 * _LEAST_WINDOW:
        overlap = min(frames.overlap, window // 4)
        return encoder.with_less(
            encoder.parts, replace(frames, window=window // 2, overlap=overlap)
        )
    parts = encoder.parts.halved()
    return None if parts is None else encoder.with_less(parts, frames)
