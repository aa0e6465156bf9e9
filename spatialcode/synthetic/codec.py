"""Real video compression: frames through h264, or MPEG-4 where x264 is missing."""

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
    count = 0
    opened = str(target) if isinstance(target, Path) else target
    with av.open(opened, "w", format="mp4") as container:
        stream = None
        for image in frames:
            if stream is None:
                stream = _add_stream(container, image.shape[1], image.shape[0], fps, crf)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
            count += 1
        if stream is not None:
            for packet in stream.encode():
                container.mux(packet)
    return count


def _add_stream(
    container: av.container.OutputContainer, width: int, height: int, fps: float, crf: int
) -> av.VideoStream:
    name = codec_name()
    options = {"preset": "veryfast", "threads": "1"} if name == "libx264" else {}
    if name == "libx264":
        options["crf"] = str(crf)
        # the macroblock tree's lookahead races even with one thread: same frames, other bytes
        options["x264-params"] = "mbtree=0"
    rate = Fraction(fps).limit_denominator(1000)
    stream = container.add_stream(name, rate=rate, options=options)
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    if name != "libx264":
        # MPEG-4 has no constant quality here; a rate that halves with every 6 steps is close.
        stream.bit_rate = int(width * height * fps * 0.12 * 2.0 ** ((23 - crf) / 6))
    return stream


def through_codec(frames: U8, fps: float, crf: int) -> U8:
    """Encode (N,H,W,3) in memory and decode again: the same frames with the codec's artefacts."""
    buffer = io.BytesIO()
    write_video(buffer, frames, fps, crf=crf)
    buffer.seek(0)
    with av.open(buffer, "r") as container:
        out = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(out) == len(frames)
    return np.stack(out)
