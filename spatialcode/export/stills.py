"""Small pictures of a video, as pages and recordings carry them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

#: A frame of the video and its time in seconds: RGB uint8 (H, W, 3).
TimedFrame = tuple[float, NDArray[np.uint8]]

LONGER_SIDE_PX = 240
JPEG_QUALITY = 70


def small(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``rgb`` (H, W, 3) with its longer side at most ``LONGER_SIDE_PX``."""
    height, width = rgb.shape[:2]
    scale = min(1.0, LONGER_SIDE_PX / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """``rgb`` (H, W, 3) as a JPEG file."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    encoded, buffer = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert encoded, "OpenCV always has its JPEG writer"
    return buffer.tobytes()
