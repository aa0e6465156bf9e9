"""Tables, beds, pillows, bookshelves, nightstands. x width, +y front, z up, floor at z = 0."""

from __future__ import annotations

import numpy as np

from spatialcode.synthetic import materials
from spatialcode.synthetic.primitives import Builder, Model

Rng = np.random.Generator


def table(rng: Rng) -> Model:
    """Dining table, round pedestal, coffee table, desk with drawers, or low TV bench."""
    kind = rng.random()
    if kind < 0.3:
        size = (rng.uniform(0.9, 1.9), rng.uniform(0.65, 0.95), rng.uniform(0.7, 0.78))
        return legged_table(rng, size)
    if kind < 0.46:
        return _round_table(rng)
    if kind < 0.66:
        size = (rng.uniform(0.6, 1.25), rng.uniform(0.45, 0.7), rng.uniform(0.35, 0.5))
        return legged_table(rng, size)
    if kind < 0.88:
        return desk(rng)
    return tv_bench(rng)


def legged_table(rng: Rng, size: tuple[float, float, float]) -> Model:
    """A top on four legs, sometimes with a lower shelf."""
    b, top = Builder(), materials.wood(rng)
    w, d, h = size
    leg = top if rng.random() < 0.7 else materials.metal(rng)
    thick = rng.uniform(0.025, 0.05)
    inset = rng.uniform(0.0, 0.1)
    b.legs(
        (w - inset, d - inset, h - thick), rng.uniform(0.04, 0.08), leg, round_=rng.random() < 0.3
    )
    b.box((0, 0, h - thick), (w, d, thick), top)
    if rng.random() < 0.3:
        b.box((0, 0, h * 0.3), (w - inset - 0.05, d - inset - 0.05, 0.025), top)
    b.support((0, 0, h), (w * 0.9, d * 0.9))
    return b.model("table")


def _round_table(rng: Rng) -> Model:
    b, top, leg = Builder(), materials.wood(rng), materials.metal(rng)
    w, h = rng.uniform(0.55, 1.25), rng.uniform(0.42, 0.77)
    d = w if rng.random() < 0.75 else w * rng.uniform(0.65, 0.9)
    b.cylinder((0, 0, h - 0.035), (w, d, 0.035), top)
    if rng.random() < 0.7:
        b.cylinder((0, 0, 0), (0.1, 0.1, h - 0.03), leg)
        b.cylinder((0, 0, 0), (w * 0.55, d * 0.55, 0.04), leg)
    else:
        b.legs((w * 0.68, d * 0.68, h - 0.03), 0.05, top, round_=True)
    b.support((0, 0, h), (w * 0.6, d * 0.6))
    return b.model("table")


def desk(rng: Rng) -> Model:
    """A desk: side panels or a drawer block under the top; the sitter is at +y."""
    b, m = Builder(), materials.wood(rng)
    w, d, h = rng.uniform(1.0, 1.6), rng.uniform(0.55, 0.8), rng.uniform(0.71, 0.77)
    b.box((0, 0, h - 0.035), (w, d, 0.035), m)
    side = 1 if rng.random() < 0.5 else -1
    block = rng.uniform(0.35, 0.45)
    b.box((side * (w - block) / 2, 0, 0), (block, d - 0.06, h - 0.035), m)
    for k in range(3):
        z = 0.08 + k * (h - 0.16) / 3
        b.box((side * (w - block) / 2, d / 2 - 0.025, z), (0.12, 0.03, 0.025), materials.metal(rng))
    b.box((-side * (w - 0.04) / 2, 0, 0), (0.04, d - 0.04, h - 0.035), m)
    if rng.random() < 0.6:
        b.box((0, -d / 2 + 0.03, h * 0.4), (w - 0.1, 0.02, h * 0.55), m)
    b.support((0, 0, h), (w * 0.9, d * 0.8))
    return b.model("table")


def tv_bench(rng: Rng) -> Model:
    """A low board for a television."""
    b, m, front = Builder(), materials.wood(rng), materials.wood(rng)
    w, d, h = rng.uniform(1.1, 1.8), rng.uniform(0.38, 0.5), rng.uniform(0.4, 0.6)
    lift = rng.uniform(0.05, 0.15)
    b.legs((w * 0.9, d * 0.85, lift), 0.05, m)
    b.box((0, -0.01, lift), (w, d - 0.02, h - lift), m)
    n = int(rng.integers(2, 4))
    for k in range(n):
        x = (k + 0.5) / n * w - w / 2
        b.box((x, d / 2 - 0.01, lift + 0.03), (w / n - 0.04, 0.02, h - lift - 0.06), front)
    b.support((0, 0, h), (w * 0.9, d * 0.8))
    return b.model("table")


def bed(rng: Rng) -> Model:
    """Single to king, front at the foot: slatted, box spring or metal frame, mostly with boards."""
    b, frame = Builder(), materials.wood(rng)
    sheet, cover = materials.linen(rng), materials.linen(rng)
    w = (0.95, 1.2, 1.45, 1.65, 1.9)[int(rng.integers(5))] * rng.uniform(0.96, 1.05)
    d, base = rng.uniform(1.95, 2.12), rng.uniform(0.2, 0.34)
    top = base + rng.uniform(0.18, 0.28)
    kind = rng.random()
    board = materials.fabric(rng) if kind > 0.6 else frame
    if kind < 0.35:
        b.legs((w, d, base - 0.1), 0.07, frame)
        b.box((0, 0, base - 0.12), (w, d, 0.12), frame)
    elif kind < 0.85:
        b.box((0, 0, 0.04), (w * 0.98, d * 0.98, base - 0.04), board if kind > 0.6 else frame)
    else:
        metal = materials.metal(rng)
        b.legs((w, d, base), 0.04, metal, round_=True)
        b.box((0, 0, base - 0.04), (w, d, 0.04), metal)
    b.box((0, 0.02, base), (w * 0.97, d * 0.96, top - base), sheet)
    drop = rng.uniform(0.08, 0.2)
    length = d * rng.uniform(0.55, 0.72)
    b.box((0, d / 2 - length / 2 - 0.005, top - drop), (w * 0.995, length, drop + 0.03), cover)
    if rng.random() < 0.9:
        b.box((0, -d / 2 + 0.03, 0), (w * 1.02, 0.06, rng.uniform(0.75, 1.2)), board)
    if rng.random() < 0.25:
        b.box((0, d / 2 - 0.02, 0), (w, 0.05, top + rng.uniform(0.05, 0.2)), board)
    b.support((0, -d / 2 + 0.32, top), (w * 0.94, 0.42))
    return b.model("bed")


def pillow(rng: Rng) -> Model:
    """Bed pillow, square cushion, or bolster; it lies, or leans like a thick slab."""
    b, m, kind = Builder(), materials.linen(rng), rng.random()
    if kind < 0.5:
        w, d, h = rng.uniform(0.45, 0.75), rng.uniform(0.32, 0.45), rng.uniform(0.1, 0.17)
        b.ellipsoid((0, 0, 0), (w, d, h), m)
        b.box((0, 0, h * 0.3), (w * 0.84, d * 0.84, h * 0.4), m)
    elif kind < 0.85:
        s = rng.uniform(0.36, 0.5)
        h = rng.uniform(0.1, 0.16)
        b.ellipsoid((0, 0, 0), (s, s, h), m)
        b.box((0, 0, h * 0.3), (s * 0.8, s * 0.8, h * 0.4), m)
    else:
        w, r = rng.uniform(0.5, 0.8), rng.uniform(0.15, 0.2)
        b.rod((-w / 2, 0, r / 2), (w / 2, 0, r / 2), r, m)
    return b.model("pillow")


def bookshelf(rng: Rng) -> Model:
    """Open shelf with books, narrow or wide, with a back or without, or with doors below."""
    b, m = Builder(), materials.wood(rng)
    w, d = rng.uniform(0.55, 1.3), rng.uniform(0.26, 0.4)
    h, t = rng.uniform(0.9, 2.1), 0.03
    for side in (-1, 1):
        b.box((side * (w - t) / 2, 0, 0), (t, d, h), m)
    if rng.random() < 0.8:
        b.box((0, -d / 2 + 0.01, 0), (w, 0.02, h), m)
    n = max(2, round(h / rng.uniform(0.3, 0.42)))
    levels = np.linspace(0.04, h - t, n + 1)
    doors = rng.random() < 0.25
    for k, z in enumerate(levels):
        b.box((0, 0, float(z)), (w - 2 * t, d, t), m)
        if k == n or (doors and k == 0):
            continue
        _books(b, rng, (w - 2 * t, d, float(levels[k + 1] - z - t)), float(z) + t)
    if doors:
        b.box((0, d / 2 - 0.01, 0.05), (w - 0.01, 0.02, float(levels[1]) - 0.05), m)
    return b.model("bookshelf")


def _books(b: Builder, rng: Rng, space: tuple[float, float, float], z: float) -> None:
    w, d, h = space
    x = -w / 2 + rng.uniform(0, 0.2) * w
    for _ in range(int(rng.integers(1, 4))):
        width = rng.uniform(0.08, 0.3) * w
        if x + width > w / 2:
            break
        size = (width, d * rng.uniform(0.5, 0.8), h * rng.uniform(0.5, 0.92))
        b.box((x + width / 2, -d * 0.05, z), size, materials.fabric(rng))
        x += width + rng.uniform(0.0, 0.25) * w


def nightstand(rng: Rng) -> Model:
    """Drawer block, block on legs, or an open one with a shelf."""
    b, m, kind = Builder(), materials.wood(rng), rng.random()
    w, d, h = rng.uniform(0.36, 0.58), rng.uniform(0.34, 0.46), rng.uniform(0.44, 0.68)
    knob = materials.metal(rng)
    front = m if rng.random() < 0.5 else materials.wood(rng)
    if kind < 0.7:
        lift = 0.02 if kind < 0.35 else rng.uniform(0.1, 0.22)
        b.legs((w, d - 0.03, lift), 0.04, m)
        b.box((0, -0.02, lift), (w, d - 0.04, h - lift), m)
        n = 2 if h - lift > 0.38 else 1
        for k in range(n):
            z = lift + 0.025 + k * (h - lift) / n
            b.box((0, d / 2 - 0.03, z), (w - 0.05, 0.02, (h - lift) / n - 0.05), front)
            z += (h - lift) / n * 0.4
            b.ellipsoid((0, d / 2 - 0.015, z), (0.05, 0.03, 0.035), knob)
    else:
        b.legs((w, d, h - 0.03), 0.04, m)
        b.box((0, 0, h - 0.03), (w, d, 0.03), m)
        b.box((0, 0, h * 0.25), (w - 0.02, d - 0.02, 0.02), m)
        b.box((0, 0, h - 0.18), (w - 0.02, d - 0.02, 0.15), front)
        b.ellipsoid((0, d / 2 - 0.01, h - 0.12), (0.05, 0.03, 0.035), knob)
    b.support((0, 0, h), (w * 0.8, d * 0.8))
    return b.model("nightstand")
