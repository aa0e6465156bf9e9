"""Doors, windows, televisions, pictures and curtains.

Local frame: x along the wall, y = 0 the wall's face, +y into the room, z up from the bottom.
Boxes of doors, windows and televisions follow the convention for wall things: the rectangle,
with a fixed thickness about the wall's face (about the screen's plane for a standing one).
"""

from __future__ import annotations

import numpy as np

from spatialcode.scene.categories import WALL_BOX_THICKNESS_M
from spatialcode.synthetic import materials
from spatialcode.synthetic.primitives import Builder, Material, Model

Rng = np.random.Generator


def door(rng: Rng) -> Model:
    """Plain, panelled, glazed or double door, closed, in its frame."""
    b, leaf, kind = Builder(), materials.wood(rng), rng.random()
    frame = (
        leaf if rng.random() < 0.5 else Material(materials.hsv(0.1, 0.05, rng.uniform(0.7, 0.97)))
    )
    w, h = rng.uniform(0.74, 0.98), rng.uniform(1.95, 2.15)
    if kind > 0.88:
        w = rng.uniform(1.25, 1.6)
    t = rng.uniform(0.05, 0.09)
    for side in (-1, 1):
        b.box((side * (w - t) / 2, 0.01, 0), (t, 0.06, h), frame)
    b.box((0, 0.01, h - t), (w, 0.06, t), frame)
    b.box((0, 0.0, 0), (w - 2 * t, 0.04, h - t), leaf)
    inner, handle = w - 2 * t, materials.metal(rng)
    side = 1 if rng.random() < 0.5 else -1
    if kind > 0.88:
        b.box((0, 0.02, 0), (0.02, 0.01, h - t), frame)
        b.box((0.08, 0.04, 1.0), (0.03, 0.06, 0.16), handle)
        b.box((-0.08, 0.04, 1.0), (0.03, 0.06, 0.16), handle)
    else:
        b.box((side * (inner / 2 - 0.1), 0.045, 1.0), (0.13, 0.03, 0.025), handle)
        b.box((side * (inner / 2 - 0.06), 0.025, 0.93), (0.04, 0.03, 0.18), handle)
    panel = Material(
        materials.shade(leaf.color, rng.uniform(0.7, 0.9)), leaf.color, leaf.pattern, leaf.scale_m
    )
    if 0.3 < kind <= 0.7:
        for z0, z1 in ((0.15, 0.85), (1.05, h - t - 0.12)):
            for x in (-inner / 4, inner / 4) if rng.random() < 0.5 else (0.0,):
                width = inner * (0.36 if x else 0.72)
                b.box((x, 0.022, z0), (width, 0.012, z1 - z0), panel)
    elif 0.7 < kind <= 0.88:
        glass = Material(materials.hsv(0.55, 0.1, 0.8), emission=rng.uniform(0, 0.35))
        b.box((0, 0.022, 1.1), (inner * 0.66, 0.012, h - t - 1.25), glass)
    return b.model("door", thickness_m=WALL_BOX_THICKNESS_M)


def window(rng: Rng) -> Model:
    """One to three bright panes in a frame, with a sill or without."""
    b = Builder()
    frame = materials.wood(rng) if rng.random() < 0.4 else Material(materials.hsv(0.1, 0.03, 0.93))
    w, h = rng.uniform(0.6, 1.9), rng.uniform(0.7, 1.45)
    t = rng.uniform(0.04, 0.08)
    sky = materials.hsv(rng.uniform(0.52, 0.62), rng.uniform(0, 0.35), rng.uniform(0.75, 1.0))
    night = rng.random() < 0.12
    ground = materials.hsv(rng.uniform(0.2, 0.4), rng.uniform(0.2, 0.5), rng.uniform(0.3, 0.7))
    glow = 0.03 if night else rng.uniform(0.7, 1.6)
    split = rng.uniform(0.1, 0.45) * (h - 2 * t)
    b.box((0, -0.005, t), (w - 2 * t, 0.02, split), Material(ground, emission=glow * 0.7))
    b.box(
        (0, -0.005, t + split), (w - 2 * t, 0.02, h - 2 * t - split), Material(sky, emission=glow)
    )
    for side in (-1, 1):
        b.box((side * (w - t) / 2, 0.015, 0), (t, 0.06, h), frame)
    b.box((0, 0.015, 0), (w, 0.06, t), frame)
    b.box((0, 0.015, h - t), (w, 0.06, t), frame)
    n = 1 if w < 0.9 else int(rng.integers(1, 4))
    for k in range(1, n):
        b.box((k / n * w - w / 2, 0.01, t), (t * 0.8, 0.04, h - 2 * t), frame)
    if rng.random() < 0.3:
        b.box((0, 0.01, h * rng.uniform(0.4, 0.7)), (w - 2 * t, 0.04, t * 0.7), frame)
    if rng.random() < 0.4:
        b.box((0, 0.04, 0), (w, 0.1, 0.025), frame)
    return b.model("window", thickness_m=WALL_BOX_THICKNESS_M)


def tv(rng: Rng) -> Model:
    """A flat television for the wall; y = 0 is the wall."""
    b, frame = Builder(), materials.dark(rng)
    w = rng.uniform(0.7, 1.45)
    h = w * rng.uniform(0.55, 0.62)
    _screen(b, rng, (w, h), (0.05, 0.0))
    b.box((0, 0.01, h * 0.3), (w * 0.4, 0.03, h * 0.4), frame)
    return b.model("tv", thickness_m=WALL_BOX_THICKNESS_M)


def standing_tv(rng: Rng) -> Model:
    """A television on its foot; y = 0 is the screen's plane."""
    b, frame = Builder(), materials.dark(rng)
    w = rng.uniform(0.6, 1.2)
    h = w * rng.uniform(0.55, 0.62)
    lift = rng.uniform(0.05, 0.1)
    _screen(b, rng, (w, h), (0.0, lift))
    b.box((0, -0.01, 0.01), (0.06, 0.03, lift + 0.05), frame)
    b.box((0, 0, 0), (w * rng.uniform(0.25, 0.5), 0.18, 0.015), frame)
    return b.model("tv", thickness_m=WALL_BOX_THICKNESS_M)


def _screen(b: Builder, rng: Rng, size: tuple[float, float], at: tuple[float, float]) -> None:
    w, h = size
    y, z = at
    frame = materials.dark(rng) if rng.random() < 0.85 else materials.metal(rng)
    if rng.random() < 0.55:
        shown = Material(materials.hsv(rng.random(), 0.2, rng.uniform(0.02, 0.12)))
    else:
        p = materials.picture(rng)
        shown = Material(p.color, p.color2, p.pattern, p.scale_m, rng.uniform(0.2, 0.9))
    b.box((0, y, z), (w, 0.04, h), frame)
    b.box((0, y + 0.018, z + h * 0.04), (w * 0.96, 0.012, h * 0.92), shown)


def picture(rng: Rng) -> Model:
    """A framed picture or mirror: part of the wall, no category."""
    b, frame = Builder(), materials.wood(rng)
    w, h = rng.uniform(0.25, 1.0), rng.uniform(0.25, 0.9)
    b.box((0, 0.01, 0), (w, 0.02, h), frame)
    b.box((0, 0.016, 0.04), (w - 0.08, 0.016, h - 0.08), materials.picture(rng))
    return b.model("wall")


def curtain(rng: Rng, height_m: float) -> Model:
    """A flat curtain: part of the wall, no category."""
    b, cloth = Builder(), materials.fabric(rng)
    w = rng.uniform(0.25, 0.5)
    folds = 4
    for k in range(folds):
        x = (k + 0.5) / folds * w - w / 2
        b.cylinder((x, 0.035, 0), (w / folds, 0.07, height_m), cloth)
    return b.model("wall")
