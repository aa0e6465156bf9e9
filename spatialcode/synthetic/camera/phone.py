"""A phone's camera: all effects in the order in which they happen, drawn once a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic.camera import exposure, lens, motion_blur, noise, rolling_shutter, tone
from spatialcode.synthetic.camera.white_balance import balanced, grey_world_gains
from spatialcode.synthetic.raster.rasteriser import Picture

Rng = np.random.Generator
F64 = NDArray[np.float64]

#: Pictures are this wide where lengths in pixels are drawn for.
_WIDTH_PX = 160


@dataclass(frozen=True)
class Phone:
    """One recording's camera. ``aim``: mean luminance; ``cast`` (3,): error of the white balance;
    ``balance``: how much of the light's colour it takes out; lengths for pictures 160 px wide.
    """

    aim: float
    balance: float
    cast: tuple[float, float, float]
    k1: float
    readout_s: float
    soft_sigma_px: float
    vignette: float
    photons: float
    read_noise: float
    gamma: float
    contrast: float
    sharpness: float

    @classmethod
    def draw(cls, rng: Rng) -> Phone:
        """A random phone: mostly clean, at times poor."""
        warm, green = rng.normal(0, 0.05), rng.normal(0, 0.02)
        return cls(
            aim=float(np.exp(rng.normal(np.log(0.25), 0.25))),
            balance=float(rng.uniform(0.3, 0.9)),
            cast=(1.0 + warm, 1.0 + green, 1.0 - warm),
            k1=float(rng.normal(0, 0.012)) if rng.random() < 0.7 else 0.0,
            readout_s=float(rng.uniform(0.008, 0.03)),
            soft_sigma_px=0.0 if rng.random() < 0.5 else float(rng.uniform(0.2, 0.6)),
            vignette=float(rng.uniform(0, 0.3)) if rng.random() < 0.5 else 0.0,
            photons=float(10 ** rng.uniform(2.6, 4.2)),
            read_noise=float(10 ** rng.uniform(-3.2, -2.1)),
            gamma=float(rng.uniform(2.0, 2.4)),
            contrast=float(rng.uniform(0, 0.4)),
            sharpness=float(rng.uniform(0.2, 0.9)) if rng.random() < 0.5 else 0.0,
        )


@dataclass(frozen=True)
class Shutter:
    """One frame's moment: ``rate_rad_s`` (3,) the camera's turning, and how long it is open."""

    rate_rad_s: F64
    open_s: float
    gain: float


def taken(
    picture: Picture, K: F64, phone: Phone, shutter: Shutter, rng: Rng
) -> tuple[NDArray[np.uint8], Picture]:
    """The 8-bit picture that a phone takes of drawn light, and the same light, depth and
    instances where the picture shows them: lens and rolling shutter move all alike.
    """
    shape = picture.depth_m.shape
    scale = shape[1] / _WIDTH_PX
    dx, dy = rolling_shutter.sources(K, shape, shutter.rate_rad_s, phone.readout_s)
    ex, ey = lens.sources(K, shape, phone.k1)
    shift = (dx + ex, dy + ey)
    moved = Picture(
        np.asarray(lens.bent(picture.linear, shift, smooth=True), np.float32),
        lens.bent(picture.depth_m, shift, smooth=False),
        lens.bent(picture.instance, shift, smooth=False),
    )
    middle = (shape[0] // 2, shape[1] // 2)
    flow = rolling_shutter.rotation_flow(K, shape, shutter.rate_rad_s)
    streak = (float(flow[0][middle]) * shutter.open_s, float(flow[1][middle]) * shutter.open_s)
    light = motion_blur.blurred(moved.linear, streak)
    light = lens.softened(light, phone.soft_sigma_px * scale)
    gains = grey_world_gains(light, phone.balance) * np.asarray(phone.cast, np.float32)
    light = balanced(light, gains) * np.float32(shutter.gain)
    light = lens.vignetted(light, phone.vignette)
    light = noise.noisy(light, phone.photons, phone.read_noise, rng)
    image = tone.sharpened(tone.toned(light, phone.gamma, phone.contrast), phone.sharpness)
    return image, moved


def wanted_gain(picture: Picture, phone: Phone) -> float:
    """The exposure that a phone would choose for drawn light."""
    return exposure.metered(picture.linear, phone.aim)
