"""Real video compression: frames through h264 (or MPEG-4 where x264 is missing), in memory or to
a file."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]


def codec_name() -> str:
    """The encoder that this build of FFmpeg offers."""
    return "libx264" if "libx264" in av.codecs_available else "mpeg4"


def write_video(
    target: Path | io.BytesIO, frames: Iterable[U8], fps: float, *, crf: int = 23
) -> int:
    """Encode RGB frames (H,W,3), all of one even size, as mp4; returns how many. One at a time."""
    rate = Fraction(fps).limit_denominator(1000)
    name = codec_name()
    count = 0
    opened = str(target) if isinstance(target, Path) else target
    with av.open(opened, "w", format="mp4") as container:
        stream = None
        for image in frames:
            if stream is None:
                options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
                stream = container.add_stream(name, rate=rate, options=options if name == "libx264" else {})
                stream.width, stream.height = image.shape[1], image.shape[0]
                stream.pix_fmt = "yuv420p"
                if name != "libx264":
                    stream.bit_rate = int(image.shape[0] * image.shape[1] * fps * 2.0 ** ((23 - crf) / 6) * 0.12)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
            count += 1
        if stream is not None:
            for packet in stream.encode():
                container.mux(packet)
    return count


def through_codec(frames: U8, fps: float, crf: int) -> U8:
    """Encode (N,H,W,3) in memory and decode again: the same frames with the codec's artefacts."""
    buffer = io.BytesIO()
    write_video(buffer, frames, fps, crf=crf)
    buffer.seek(0)
    with av.open(buffer) as container:
        out = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(out) == len(frames)
    return np.stack(out)
