"""Kitchen and bathroom appliances, bins, lamps. x width, +y front, z up, floor at z = 0."""

from __future__ import annotations

import numpy as np

from spatialcode.synthetic import materials
from spatialcode.synthetic.primitives import ALONG_Y, BOX, CYLINDER, Builder, Material, Model

Rng = np.random.Generator


def refrigerator(rng: Rng) -> Model:
    """Two doors one above the other, side by side, or a low one with one door."""
    b, m, handle, kind = Builder(), materials.enamel(rng), materials.metal(rng), rng.random()
    w, d, h = rng.uniform(0.54, 0.72), rng.uniform(0.56, 0.72), rng.uniform(1.45, 1.95)
    if kind > 0.85:
        h = rng.uniform(0.8, 1.0)
    if 0.6 < kind <= 0.85:
        w = rng.uniform(0.8, 0.95)
    b.box((0, -0.03, 0), (w, d - 0.06, h), m)
    if kind < 0.6:
        split = h * (rng.uniform(0.28, 0.42) if rng.random() < 0.5 else rng.uniform(0.62, 0.72))
        panels = [(0.0, 0.04, w, split - 0.05), (0.0, split, w, h - split)]
    elif kind <= 0.85:
        panels = [(-w / 4, 0.04, w / 2 - 0.01, h - 0.04), (w / 4, 0.04, w / 2 - 0.01, h - 0.04)]
    else:
        panels = [(0.0, 0.04, w, h - 0.08)]
    for k, (x, z, pw, ph) in enumerate(panels):
        b.box((x, d / 2 - 0.045, z), (pw, 0.04, ph), m)
        side = (1 if k == 0 else -1) if 0.6 < kind <= 0.85 else 1
        b.box(
            (x + side * (pw / 2 - 0.05), d / 2 - 0.0125, z + ph * 0.25),
            (0.025, 0.025, ph * 0.5),
            handle,
        )
    return b.model("refrigerator")


def stove(rng: Rng) -> Model:
    """Oven with four plates, with a back panel, or gas with grates."""
    b, m, glass = Builder(), materials.enamel(rng), materials.dark(rng)
    w, d, h = rng.uniform(0.5, 0.78), rng.uniform(0.56, 0.68), rng.uniform(0.84, 0.94)
    knob = materials.metal(rng)
    b.box((0, -0.02, 0), (w, d - 0.04, h), m)
    b.box((0, d / 2 - 0.03, h * 0.2), (w * 0.84, 0.02, h * 0.45), glass)
    b.box((0, d / 2 - 0.015, h * 0.7), (w * 0.75, 0.03, 0.03), knob)
    for k in range(4):
        x = (k - 1.5) * w * 0.2
        b.add(CYLINDER, (x, d / 2 - 0.03, h * 0.87 - 0.02), (0.045, 0.045, 0.04), knob, ALONG_Y)
    gas = rng.random() < 0.4
    for sx in (-1, 1):
        for sy in (-1, 1):
            r = rng.uniform(0.15, 0.21)
            at = (sx * w * 0.22, sy * d * 0.2 - 0.02, h)
            if gas:
                b.box(at, (r, 0.02, 0.03), glass)
                b.box(at, (0.02, r, 0.03), glass)
            else:
                b.cylinder(at, (r, r, 0.012), glass)
    if rng.random() < 0.5:
        b.box((0, -d / 2 + 0.03, h), (w, 0.06, rng.uniform(0.08, 0.22)), m)
    return b.model("stove")


def washer(rng: Rng) -> Model:
    """Front loader with a round door, two stacked, or a top loader."""
    b, m, glass, ring = Builder(), materials.enamel(rng), materials.dark(rng), materials.metal(rng)
    w, d, h = rng.uniform(0.56, 0.68), rng.uniform(0.52, 0.66), rng.uniform(0.82, 0.92)
    kind = rng.random()
    levels = [0.0] if kind < 0.85 else [0.0, h]
    for z in levels:
        b.box((0, -0.03, z), (w, d - 0.06, h), m)
        panel = Material(tuple(0.75 * c for c in m.color))  # type: ignore[arg-type]
        if 0.65 < kind < 0.85:
            b.box((0, -d / 2 + 0.06, h), (w, 0.12, rng.uniform(0.1, 0.18)), panel)
            b.box((0, 0.03, h), (w * 0.85, d * 0.65, 0.015), ring)
            b.box((0, d / 2 - 0.045, h * 0.08), (w * 0.9, 0.03, h * 0.7), m)
            continue
        r = w * rng.uniform(0.55, 0.68)
        b.add(CYLINDER, (0, d / 2 - 0.04, z + h * 0.46 - 0.04), (r, r, 0.08), ring, ALONG_Y)
        b.add(
            CYLINDER,
            (0, d / 2 - 0.037, z + h * 0.46 - 0.037),
            (r * 0.74, r * 0.74, 0.075),
            glass,
            ALONG_Y,
        )
        b.box((0, d / 2 - 0.055, z + h * 0.86), (w * 0.98, 0.02, h * 0.12), panel)
        b.add(
            CYLINDER,
            (w * 0.1, d / 2 - 0.05, z + h * 0.92 - 0.03),
            (0.06, 0.06, 0.06),
            ring,
            ALONG_Y,
        )
    return b.model("washer")


def bathtub(rng: Rng) -> Model:
    """Built-in, free-standing oval, or corner-less shell on feet; hollow above the water."""
    b, m, kind = Builder(), materials.ceramic(rng), rng.random()
    w, d, h = rng.uniform(1.4, 1.8), rng.uniform(0.68, 0.85), rng.uniform(0.48, 0.64)
    inner = Material(tuple(0.62 * c for c in m.color))  # type: ignore[arg-type]
    water = Material(materials.hsv(0.52, rng.uniform(0.0, 0.3), rng.uniform(0.5, 0.8)))
    metal = materials.metal(rng)
    if kind < 0.6:
        t = rng.uniform(0.05, 0.1)
        z0 = 0.0 if kind < 0.45 else 0.1
        panel = m if rng.random() < 0.7 else materials.wall(rng, wet=True)
        for side in (-1, 1):
            b.box((0, side * (d - t) / 2, z0), (w, t, h - z0), panel)
            b.box((side * (w - t) / 2, 0, z0), (t, d - 2 * t, h - z0), panel)
            b.box((0, side * (d - t) / 2, h - 0.03), (w, t, 0.03), m)
            b.box((side * (w - t) / 2, 0, h - 0.03), (t, d, 0.03), m)
        b.box(
            (0, 0, z0),
            (w - 2 * t, d - 2 * t, (h - z0) * 0.3),
            water if rng.random() < 0.3 else inner,
        )
        if z0:
            b.legs((w * 0.9, d * 0.9, z0), 0.06, metal)
    else:
        b.cylinder((0, 0, 0), (w * 0.86, d * 0.86, h * 0.6), m)
        b.cylinder((0, 0, h * 0.15), (w * 0.94, d * 0.94, h * 0.5), m)
        b.cylinder((0, 0, h * 0.4), (w, d, h * 0.6), m)
        b.cylinder((0, 0, h * 0.99), (w * 0.88, d * 0.84, h * 0.013), inner)
    if rng.random() < 0.6:
        x = w / 2 - 0.06 if rng.random() < 0.5 else -w / 2 + 0.06
        b.cylinder((x, 0, h), (0.03, 0.03, rng.uniform(0.1, 0.2)), metal)
    return b.model("bathtub")


def trash_bin(rng: Rng) -> Model:
    """Round open, pedal bin with a domed lid, or square with a flap."""
    b, m, kind = Builder(), materials.plastic(rng), rng.random()
    w, h = rng.uniform(0.22, 0.4), rng.uniform(0.28, 0.65)
    lid = materials.plastic(rng)
    if kind < 0.4:
        b.cylinder((0, 0, 0), (w * 0.9, w * 0.9, h * 0.6), m)
        b.cylinder((0, 0, h * 0.5), (w, w, h * 0.5), m)
        b.cylinder((0, 0, h), (w * 0.88, w * 0.88, 0.004), Material((0.02, 0.02, 0.02)))
    elif kind < 0.75:
        b.cylinder((0, 0, 0), (w, w, h * 0.85), m)
        b.ellipsoid((0, 0, h * 0.7), (w * 0.98, w * 0.98, h * 0.3), lid)
    else:
        d = w * rng.uniform(0.7, 1.0)
        b.box((0, 0, 0), (w, d, h * 0.82), m)
        b.box((0, 0, h * 0.82), (w * 1.03, d * 1.03, h * 0.06), lid)
        b.box((0, 0, h * 0.88), (w * 0.8, d * 0.7, h * 0.12), lid)
    return b.model("trash bin")


def lamp(rng: Rng) -> Model:
    """A floor lamp: straight with a shade, arc, tripod, or torch."""
    b, stand, kind = Builder(), materials.metal(rng), rng.random()
    glow = _shade(rng)
    h, r = rng.uniform(1.35, 1.85), rng.uniform(0.26, 0.46)
    if kind < 0.4:
        b.cylinder((0, 0, 0), (0.28, 0.28, 0.025), stand)
        b.cylinder((0, 0, 0.02), (0.03, 0.03, h - 0.2), stand)
        b.cylinder((0, 0, h - r * 0.75), (r, r, r * 0.75), glow)
    elif kind < 0.55:
        out = rng.uniform(0.4, 0.75)
        b.cylinder((-out / 2, 0, 0), (0.32, 0.32, 0.04), stand)
        b.cylinder((-out / 2, 0, 0.03), (0.03, 0.03, h - 0.1), stand)
        b.rod((-out / 2, 0, h - 0.08), (out / 2, 0, h - 0.03), 0.03, stand)
        b.ellipsoid((out / 2, 0, h - 0.33), (r, r, 0.32), glow)
    elif kind < 0.8:
        for k in range(3):
            a = k * 2 * np.pi / 3 + 0.4
            foot = (0.24 * np.cos(a), 0.24 * np.sin(a), 0.01)
            b.rod(foot, (0.02 * np.cos(a), 0.02 * np.sin(a), h - 0.25), 0.03, stand)
        b.cylinder((0, 0, h - 0.3), (r, r, 0.3), glow)
    else:
        b.cylinder((0, 0, 0), (0.26, 0.26, 0.03), stand)
        b.cylinder((0, 0, 0.02), (0.035, 0.035, h - 0.1), stand)
        b.ellipsoid((0, 0, h - 0.16), (r, r, 0.16), glow)
    return b.model("lamp")


def table_lamp(rng: Rng) -> Model:
    """A lamp that stands on furniture: shade on a foot, ball, or desk lamp."""
    b, stand, kind = Builder(), materials.metal(rng), rng.random()
    foot = materials.plastic(rng)
    glow = _shade(rng)
    h, r = rng.uniform(0.32, 0.6), rng.uniform(0.18, 0.32)
    if kind < 0.45:
        b.cylinder((0, 0, 0), (r * 0.5, r * 0.5, 0.02), stand)
        b.ellipsoid((0, 0, 0.01), (r * 0.45, r * 0.45, h * 0.5), foot)
        b.cylinder((0, 0, h * 0.5), (r, r, h * 0.5), glow)
    elif kind < 0.7:
        b.cylinder((0, 0, 0), (r * 0.5, r * 0.5, h * 0.3), foot)
        b.ellipsoid((0, 0, h * 0.25), (r, r, h * 0.75), glow)
    else:
        b.cylinder((0, 0, 0), (0.16, 0.16, 0.02), stand)
        b.rod((0, 0, 0.02), (-0.1, 0, h * 0.7), 0.02, stand)
        b.rod((-0.1, 0, h * 0.7), (0.1, 0, h * 0.95), 0.02, stand)
        b.add(BOX, (0.12, 0, h * 0.85), (0.14, 0.1, 0.06), glow)
    return b.model("lamp")


def _shade(rng: Rng) -> Material:
    lit = rng.random() < 0.5
    color = materials.hsv(rng.uniform(0.06, 0.14), rng.uniform(0, 0.35), rng.uniform(0.8, 1.0))
    if rng.random() < 0.2:
        color = materials.plastic(rng).color
    return Material(color, emission=rng.uniform(0.5, 1.4) if lit else 0.0)
