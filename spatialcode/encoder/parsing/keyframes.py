"""Which frames are looked at closely: the first, every so many, and where something new shows.

New is what of a frame has no counterpart in the last key frame: dense optical flow on small grey
pictures leads out of it, or does not lead back. The choice looks only at frames in their order, so
it is the same whether a clip comes in one window or in many. It does not know what things are: a
thing that moves uncovers area too.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from spatialcode.config import checked, require, setting
from spatialcode.encoder.protocol import Window

#: Stands for the last key frame where pictures are not compared.
_NOTHING = np.zeros((1, 1), np.uint8)


@dataclass(frozen=True)
@checked
class KeyFrameSettings:
    """Which frames are key frames; ``every`` 1: all of them."""

    every: int = setting("frames from one key frame to the next, at most", 8, at_least=1)
    at_least: int = setting("frames from one key frame to the next, at least", 2, at_least=1)
    new_area: float | None = setting(
        "share of a frame that must be new for an earlier key frame; null: never earlier",
        0.25,
        above=0,
        at_most=1,
    )
    side_px: int = setting("longer side of the pictures that are compared", 160, at_least=32)
    tolerance_px: float = setting("that flow may miss its start by, there and back", 1.5, above=0)

    def __post_init__(self) -> None:
        require(
            self.at_least <= self.every, "at_least", f"at most every={self.every}", self.at_least
        )


@dataclass(eq=False)
class KeyFrames:
    """The choice for one clip, window by window in time order."""

    settings: KeyFrameSettings
    _last: UInt8[np.ndarray, "h w"] | None = None
    _since: int = 0

    def rows(self, window: Window) -> tuple[int, ...]:
        """The key frames among the window's fresh rows; repeated ones were chosen from before."""
        return tuple(
            row
            for row in range(window.num_repeated, len(window.rgb))
            if self._take(window.rgb[row])
        )

    def _take(self, rgb: UInt8[np.ndarray, "h w 3"]) -> bool:
        settings, last = self.settings, self._last
        self._since += 1
        if last is not None and self._since < settings.at_least:
            return False
        if settings.new_area is None:
            taken, seen = last is None or self._since >= settings.every, _NOTHING
        else:
            seen = small_grey(rgb, settings.side_px)
            taken = (
                last is None
                or self._since >= settings.every
                or new_share(last, seen, settings.tolerance_px) >= settings.new_area
            )
        if taken:
            self._last, self._since = seen, 0
        return taken


def small_grey(rgb: UInt8[np.ndarray, "h w 3"], side_px: int) -> UInt8[np.ndarray, "hh ww"]:
    """A frame in grey, its longer side at most so long and its shorter one at least 16 px."""
    height, width = rgb.shape[:2]
    scale = min(1.0, side_px / max(height, width))
    size = max(16, round(width * scale)), max(16, round(height * scale))
    return cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)


def new_share(
    before: UInt8[np.ndarray, "h w"], now: UInt8[np.ndarray, "h w"], tolerance_px: float
) -> float:
    """The share of a picture that has no counterpart in an earlier one of its size.

    Source: dense inverse search flow (Kroeger et al., ECCV 2016) with the usual check there and
    back.
    """
    back, forth = _flow(now, before), _flow(before, now)
    height, width = now.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    there_x, there_y = x + back[..., 0], y + back[..., 1]
    inside = (there_x >= 0) & (there_x <= width - 1) & (there_y >= 0) & (there_y <= height - 1)
    returned = cv2.remap(forth, there_x, there_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    miss = np.hypot(*np.moveaxis(back + returned, 2, 0))
    return 1.0 - float((inside & (miss <= tolerance_px)).mean())


def _flow(
    start: UInt8[np.ndarray, "h w"], end: UInt8[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w 2"]:
    # A new object each time: one that is reused starts from what it found before.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(search.calc(start, end, np.zeros((*start.shape, 2), np.float32)))
