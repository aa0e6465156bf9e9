"""Small pictures of a video, as pages and recordings carry them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.schema import SpatialCode
from spatialcode.video.decode import DecodedVideo, decode
from spatialcode.video.sampling import ByTimes

#: A frame of the video and its time in seconds: RGB uint8 (H, W, 3).
TimedFrame = tuple[float, NDArray[np.uint8]]

LONGER_SIDE_PX = 240
JPEG_QUALITY = 70
#: Frames of the video in a page or recording; about 6 kB each.
MAX_PAGE_FRAMES = 64


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


def page_frames(
    code: SpatialCode, video: Path, decoder: Callable[..., DecodedVideo] = decode
) -> list[TimedFrame]:
    """Small frames of the video at (some of) the code's times, for pages and recordings.

    ``decoder``: `decode`, or what takes its arguments, as `SandboxedDecoder.decode` does.
    """
    times = [camera.t_s for camera in code.cameras] or list(code.video.sampled_s) or [0.0]
    if len(times) > MAX_PAGE_FRAMES:
        chosen = np.linspace(0, len(times) - 1, MAX_PAGE_FRAMES).round().astype(int)
        times = [times[i] for i in chosen]
    # Whoever encoded the video has judged its damage; here any picture is better than none.
    decoded = decoder(
        video, ByTimes(tuple(times)), max_side_px=LONGER_SIDE_PX, on_damage="report", sha256=""
    )
    return list(zip(decoded.times_s.tolist(), decoded.rgb, strict=True))
