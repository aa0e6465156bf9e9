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
    _last: SinceKeyFrame | None = None
    _since: int = 0

    def rows(self, window: Window) -> tuple[int, ...]:
        """The key frames among the window's fresh rows; repeated ones were chosen from before."""
        fresh = range(window.num_repeated, len(window.rgb))
        return tuple(row for row in fresh if self._take(window.rgb[row]))

    def _take(self, rgb: UInt8[np.ndarray, "h w 3"]) -> bool:
        settings, last = self.settings, self._last
        self._since += 1
        taken = last is None or self._since >= settings.every
        if settings.new_area is not None:
            grey = small_grey(rgb, settings.side_px)
            if last is not None and not taken:
                share = last.new_share(grey, settings.tolerance_px)
                taken = share >= settings.new_area and self._since >= settings.at_least
            if taken:
                self._last = SinceKeyFrame(grey)
        elif taken:
            self._last = SinceKeyFrame(np.zeros((16, 16), np.uint8))  # nothing is compared with it
        if taken:
            self._since = 0
        return taken


def small_grey(rgb: UInt8[np.ndarray, "h w 3"], side_px: int) -> UInt8[np.ndarray, "hh ww"]:
    """A frame in grey, its longer side at most so long and its shorter one at least 16 px."""
    height, width = rgb.shape[:2]
    scale = min(1.0, side_px / max(height, width))
    size = max(16, round(width * scale)), max(16, round(height * scale))
    return cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)


class SinceKeyFrame:
    """A key frame in grey, and the flow between it and the last frame that was looked at.

    Each search starts from the flow of the frame before, so that motion may grow large as long as
    it grows little by little.
    """

    def __init__(self, grey: UInt8[np.ndarray, "h w"]) -> None:
        self._grey = grey
        self._forth = self._back = np.zeros((*grey.shape, 2), np.float32)

    def new_share(self, now: UInt8[np.ndarray, "h w"], tolerance_px: float) -> float:
        """The share of a later frame of this size that has no counterpart in the key frame.

        Source: dense inverse search flow (Kroeger et al., ECCV 2016) with the usual check there
        and back.
        """
        self._forth = _flow(self._grey, now, self._forth)
        self._back = _flow(now, self._grey, self._back)
        height, width = now.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        there_x, there_y = x + self._back[..., 0], y + self._back[..., 1]
        inside = (there_x >= 0) & (there_x <= width - 1) & (there_y >= 0) & (there_y <= height - 1)
        returned = cv2.remap(
            self._forth, there_x, there_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        miss_px = np.hypot(*np.moveaxis(self._back + returned, 2, 0))
        return 1.0 - float((inside & (miss_px <= tolerance_px)).mean())


def _flow(
    start: UInt8[np.ndarray, "h w"],
    end: UInt8[np.ndarray, "h w"],
    before: Float[np.ndarray, "h w 2"],
) -> Float[np.ndarray, "h w 2"]:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(search.calc(start, end, before.copy()))
