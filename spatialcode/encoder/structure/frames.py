"""Frames for structure from motion: grey, dense in time, and which of them an encoder samples."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from spatialcode.errors import SchemaError


@dataclass(frozen=True, eq=False)
class DenseFrames:
    """Grey frames of one video in time order, closer together than an encoder samples it.

    ``gray`` (N, H, W) uint8, upright, of the video's aspect. ``times_s`` (N,), increasing, seconds
    from the video's first frame. ``movers`` (N, H, W): pixels of what is known to move by itself,
    None where nobody has looked. SchemaError where shapes or times do not fit.
    """

    gray: UInt8[np.ndarray, "n h w"]
    times_s: Float[np.ndarray, " n"]
    movers: Bool[np.ndarray, "n h w"] | None = None

    def __post_init__(self) -> None:
        if self.gray.ndim != 3 or self.gray.dtype != np.uint8:
            found = f"{self.gray.dtype} {self.gray.shape}"
            raise SchemaError("DenseFrames.gray", "uint8 (N, H, W)", found)
        if np.shape(self.times_s) != (len(self.gray),) or (np.diff(self.times_s) <= 0).any():
            expected = f"{len(self.gray)} increasing times"
            raise SchemaError("DenseFrames.times_s", expected, np.asarray(self.times_s).tolist())
        if self.movers is not None and self.movers.shape != self.gray.shape:
            expected = f"shape {self.gray.shape}"
            raise SchemaError("DenseFrames.movers", expected, self.movers.shape)

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the frames."""
        return self.gray.shape[2], self.gray.shape[1]

    def thinned(self, max_frames: int) -> DenseFrames:
        """At most so many of the frames, spread evenly, the first and the last among them."""
        num = len(self.gray)
        if num <= max_frames:
            return self
        rows = np.unique(np.linspace(0, num - 1, max_frames).round().astype(int))
        movers = None if self.movers is None else self.movers[rows]
        return DenseFrames(self.gray[rows], self.times_s[rows], movers)

    @classmethod
    def of_rgb(
        cls,
        rgb: UInt8[np.ndarray, "n h w 3"],
        times_s: Float[np.ndarray, " n"],
        side_px: int,
        movers: Bool[np.ndarray, "n h w"] | None = None,
    ) -> DenseFrames:
        """Colour frames (N, H, W, 3) in grey, scaled down to ``side_px`` on the longer side."""
        height, width = rgb.shape[1:3]
        share = min(1.0, side_px / max(height, width))
        size = (round(width * share), round(height * share))
        gray = np.stack([_scaled(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size) for frame in rgb])
        if movers is not None:
            small = [
                cv2.resize(m.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
                for m in movers
            ]
            movers = np.stack(small) > 0
        return cls(gray, np.asarray(times_s, np.float64), movers)


def _scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    same = image.shape[::-1] == size
    return image if same else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
