"""The display matrix: how stored pictures must be turned and mirrored to stand upright."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Orientation:
    """Mirror left to right first (if `mirrored`), then turn clockwise by `rotation_deg`."""

    rotation_deg: int = 0
    mirrored: bool = False

    @property
    def swaps_sides(self) -> bool:
        return self.rotation_deg % 180 == 90

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The upright picture of a stored one, (H, W, 3); a view where possible."""
        if self.mirrored:
            picture = picture[:, ::-1]
        return np.rot90(picture, k=-self.rotation_deg // 90)


def orientation_of(matrix: bytes | None) -> Orientation:
    """From the nine native-endian int32 of an FFmpeg display matrix; None means upright.

    Angles that are no multiple of 90 degrees go to the nearest one. Source: the matrix maps a
    stored point (x, y) to the display point (a x + c y, b x + d y), x right and y down
    (ISO/IEC 14496-12, 8.2.2 and libavutil/display.h).
    """
    if matrix is None:
        return Orientation()
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    mirrored = a * d - b * c < 0
    if mirrored:
        # Undo the mirroring applied first: it negates what stored x contributes.
        a, b = -a, -b
    angle_deg = float(np.degrees(np.arctan2(b, a)))
    return Orientation(round(angle_deg / 90) % 4 * 90, mirrored)
