"""Small videos, each unlike the others."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def small_video(path: Path, shade: int = 0, num_frames: int = 6) -> Path:
    """Frames of 96x64, half a second apart; another ``shade`` is another video."""
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=2)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for n in range(num_frames):
            rgb = np.full((64, 96, 3), (shade * 16 + n) % 256, np.uint8)
            rgb[:, : 8 * (n + 1)] //= 2
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 2)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path
