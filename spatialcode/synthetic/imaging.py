"""From linear light to what a phone records: exposure, white balance, tone, blur, noise.

The recording is compressed by a real codec: h264, or MPEG-4 where x264 is missing.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Sensor:
    """One recording's look; ``brightness`` is the mean luminance that exposure aims at."""

    brightness: float
    balance: tuple[float, float, float]
    gamma: float
    noise: float
    soft_sigma_px: float
    vignette: float

    @classmethod
    def draw(cls, rng: Rng) -> Sensor:
        """A random sensor."""
        warm = rng.normal(0, 0.08)
        green = rng.normal(0, 0.03)
        return cls(
            brightness=float(np.exp(rng.normal(np.log(0.27), 0.3))),
            balance=(1.0 + warm, 1.0 + green, 1.0 - warm),
            gamma=rng.uniform(1.8, 2.5),
            noise=abs(rng.normal(0, 0.018)),
            soft_sigma_px=0.0 if rng.random() < 0.4 else rng.uniform(0.3, 0.8),
            vignette=rng.uniform(0, 0.3) if rng.random() < 0.5 else 0.0,
        )


def expose(
    linear: F32, sensor: Sensor, rng: Rng, *, gain: float | None = None, motion_px: float = 0.0
) -> U8:
    """An 8-bit picture of linear RGB (H,W,3). ``gain`` overrides auto-exposure; ``motion_px`` is
    how far the picture moved while the shutter was open.
    """
    image = linear * np.float32(gain if gain is not None else metered_gain(linear, sensor))
    scale = linear.shape[1] / 160.0
    if motion_px > 0.6:
        image = np.asarray(
            cv2.filter2D(image, -1, _streak(motion_px, rng.uniform(0, np.pi))), np.float32
        )
    if sensor.soft_sigma_px:
        image = np.asarray(
            cv2.GaussianBlur(image, (0, 0), sensor.soft_sigma_px * scale), np.float32
        )
    if sensor.vignette:
        image *= _vignette(linear.shape[0], linear.shape[1], sensor.vignette)[:, :, None]
    image *= np.asarray(sensor.balance, np.float32)
    image = image / (1.0 + 0.35 * image * image)
    # A table is many times faster than a power per pixel.
    index = np.clip(image * 1023.0, 0, 1023).astype(np.uint16)
    shown = _tone_table(sensor.gamma)[index]
    if sensor.noise > 0:
        grain: NDArray[Any] = np.empty(shown.shape, np.float32)
        cv2.setRNGSeed(int(rng.integers(2**31)))
        # A single number would reach the first channel only.
        cv2.randn(grain, np.zeros(3), np.full(3, 255.0 * sensor.noise))
        shown = shown + grain
    return np.clip(shown + 0.5, 0, 255).astype(np.uint8)


def metered_gain(linear: F32, sensor: Sensor) -> float:
    """Exposure that brings the mean luminance to the sensor's aim."""
    mean = cv2.mean(linear)
    return sensor.brightness / max(1e-3, 0.3 * mean[0] + 0.6 * mean[1] + 0.1 * mean[2])


def jpeg(image: U8, quality: int) -> U8:
    """Through a JPEG of the given quality and back."""
    ok, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    assert ok
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _tone_table(gamma: float) -> F32:
    return (255.0 * (np.arange(1024) / 1023.0) ** (1.0 / gamma)).astype(np.float32)


def _streak(length_px: float, angle_rad: float) -> F32:
    size = 2 * int(np.ceil(length_px / 2)) + 1
    kernel = np.zeros((size, size), np.float32)
    mid = size // 2
    for s in np.linspace(-0.5, 0.5, 4 * size):
        x = mid + s * length_px * np.cos(angle_rad)
        y = mid + s * length_px * np.sin(angle_rad)
        kernel[int(round(y)), int(round(x))] += 1
    return kernel / kernel.sum()


def _vignette(height: int, width: int, strength: float) -> F32:
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return np.asarray(1.0 - strength * (x * x + y * y) / 2, np.float32)


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
