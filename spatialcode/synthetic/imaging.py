"""From linear light to what a phone records: exposure, white balance, tone, blur, noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
