"""Chairs, sofas, stools and toilets. Local frame: x width, +y front, z up, floor at z = 0."""

from __future__ import annotations

import numpy as np

from spatialcode.synthetic import materials
from spatialcode.synthetic.primitives import ALONG_Y, BOX, CYLINDER, Builder, Model, turn_x, turn_z

Rng = np.random.Generator


def chair(rng: Rng) -> Model:
    """Four-legged, swivel office, armchair, or sled chair."""
    kind = rng.random()
    if kind < 0.45:
        return _dining_chair(rng)
    if kind < 0.68:
        return _office_chair(rng)
    if kind < 0.87:
        return _armchair(rng)
    return _sled_chair(rng)


def _dining_chair(rng: Rng) -> Model:
    b, frame = Builder(), materials.wood(rng)
    seat = materials.fabric(rng) if rng.random() < 0.5 else frame
    w, d = rng.uniform(0.40, 0.52), rng.uniform(0.42, 0.54)
    h, s, leg = rng.uniform(0.78, 1.05), rng.uniform(0.42, 0.49), rng.uniform(0.03, 0.05)
    b.legs((w, d, s - 0.04), leg, frame, round_=rng.random() < 0.4)
    b.box((0, 0, s - 0.04), (w, d, rng.uniform(0.04, 0.07)), seat)
    back_y = -d / 2 + leg / 2
    style = rng.random()
    if style < 0.45:
        b.box((0, back_y, s), (w, leg, h - s), seat)
    else:
        for side in (-1, 1):
            b.box((side * (w - leg) / 2, back_y, s), (leg, leg, h - s), frame)
        if style < 0.75:
            for z in np.linspace(s + 0.1, h - 0.08, int(rng.integers(2, 4))):
                b.box((0, back_y, float(z)), (w - leg, leg * 0.7, 0.07), frame)
        else:
            b.box((0, back_y, h - 0.08), (w - leg, leg * 0.8, 0.08), frame)
            for x in np.linspace(-w / 3.5, w / 3.5, 3):
                b.box((float(x), back_y, s), (0.025, leg * 0.6, h - s - 0.08), frame)
    return b.model("chair")


def _office_chair(rng: Rng) -> Model:
    b, seat, frame = Builder(), materials.fabric(rng), materials.metal(rng)
    w, d = rng.uniform(0.46, 0.56), rng.uniform(0.46, 0.56)
    s, h, reach = rng.uniform(0.44, 0.54), rng.uniform(0.86, 1.15), rng.uniform(0.5, 0.62)
    turn = rng.uniform(0, 1.2)
    for k in range(5):
        a = turn + k * 2 * np.pi / 5
        x, y = reach / 4 * np.cos(a), reach / 4 * np.sin(a)
        b.add(BOX, (x, y, 0.06), (reach / 2, 0.05, 0.04), frame, turn_z(a))
        b.ellipsoid((1.8 * x, 1.8 * y, 0), (0.06, 0.06, 0.06), frame)
    b.cylinder((0, 0, 0.08), (0.06, 0.06, s - 0.12), frame)
    b.box((0, 0, s - 0.05), (w, d, 0.08), seat)
    b.box((0, -d / 2 + 0.02, s + 0.03), (0.07, 0.03, 0.15), frame)
    if rng.random() < 0.5:
        b.box((0, -d / 2 + 0.05, s + 0.12), (w * 0.9, 0.06, h - s - 0.12), seat)
    else:
        b.ellipsoid((0, -d / 2 + 0.05, s + 0.1), (w * 0.95, 0.1, h - s - 0.1), seat)
    if rng.random() < 0.6:
        for side in (-1, 1):
            b.box((side * w / 2, 0, s), (0.04, 0.04, 0.2), frame)
            b.box((side * w / 2, 0, s + 0.2), (0.06, d * 0.55, 0.03), frame)
    return b.model("chair")


def _armchair(rng: Rng) -> Model:
    b, cloth, feet = Builder(), materials.fabric(rng), materials.wood(rng)
    w, d = rng.uniform(0.56, 0.72), rng.uniform(0.58, 0.72)
    s, h, arm = rng.uniform(0.38, 0.46), rng.uniform(0.74, 1.0), rng.uniform(0.08, 0.13)
    b.legs((w * 0.9, d * 0.9, 0.12), 0.04, feet, round_=True)
    b.box((0, 0, 0.12), (w, d, s - 0.2), cloth)
    b.box((0, 0.05, s - 0.08), (w - 2 * arm, d - 0.1, 0.1), cloth)
    b.box((0, -d / 2 + 0.06, 0.14), (w, 0.12, h - 0.14), cloth)
    for side in (-1, 1):
        b.box((side * (w - arm) / 2, 0.02, 0.14), (arm, d - 0.04, s + 0.04), cloth)
    return b.model("chair")


def _sled_chair(rng: Rng) -> Model:
    b, shell, frame = Builder(), materials.plastic(rng), materials.metal(rng)
    w, d = rng.uniform(0.44, 0.54), rng.uniform(0.45, 0.55)
    s, h = rng.uniform(0.42, 0.47), rng.uniform(0.76, 0.9)
    for side in (-1, 1):
        x = side * (w / 2 - 0.02)
        b.rod((x, d / 2 - 0.03, s), (x, d / 2 - 0.08, 0.03), 0.03, frame)
        b.rod((x, -d / 2 + 0.03, s), (x, -d / 2 + 0.08, 0.03), 0.03, frame)
        b.box((x, 0, 0), (0.03, d - 0.1, 0.03), frame)
    b.box((0, 0, s), (w, d, 0.035), shell)
    b.add(
        BOX, (0, -d / 2 + 0.0, s + 0.02), (w, 0.03, h - s), shell, turn_x(rng.uniform(0.08, 0.25))
    )
    return b.model("chair")


def sofa(rng: Rng) -> Model:
    """Two to three seats: box arms, round arms, or armless on legs; sometimes with a chaise."""
    b, cloth, feet = Builder(), materials.fabric(rng), materials.wood(rng)
    kind = rng.random()
    w, d = rng.uniform(1.4, 2.4), rng.uniform(0.8, 1.02)
    s, h, back = rng.uniform(0.38, 0.47), rng.uniform(0.7, 0.98), rng.uniform(0.16, 0.26)
    arm = 0.0 if kind > 0.8 else rng.uniform(0.1, 0.25)
    lift = rng.uniform(0.04, 0.14)
    b.legs((w * 0.94, d * 0.9, lift), 0.06, feet)
    b.box((0, 0, lift), (w, d, s - lift - 0.12), cloth)
    b.box((0, -d / 2 + back / 2, lift), (w, back, h - lift), cloth)
    arm_h = rng.uniform(s + 0.08, min(h, s + 0.26))
    for side in (-1, 1):
        x = side * (w - arm) / 2
        if arm and kind < 0.5:
            b.box((x, 0, lift), (arm, d, arm_h - lift), cloth)
        elif arm:
            b.box((x, 0, lift), (arm, d, arm_h - lift - arm / 2), cloth)
            center_z = arm_h - arm / 2
            b.add(CYLINDER, (x, 0, center_z - d / 2), (arm, arm, d), cloth, ALONG_Y)
    seats = 2 if w < 1.75 else 3
    inner = w - 2 * arm
    for k in range(seats):
        x = (k + 0.5) / seats * inner - inner / 2
        b.box((x, back / 2, s - 0.12), (inner / seats - 0.015, d - back, 0.12), cloth)
    if rng.random() < 0.15:
        side = 1 if rng.random() < 0.5 else -1
        x = side * (inner / 2 - inner / seats / 2)
        b.box((x, d / 2 + 0.28, lift), (inner / seats, 0.6, s - lift), cloth)
    b.support((0, back / 2 - 0.05, s), (inner * 0.9, d - back - 0.1))
    return b.model("sofa")


def stool(rng: Rng) -> Model:
    """Bar stool, three-legged stool, pouf, or step-like block."""
    b, kind = Builder(), rng.random()
    r = rng.uniform(0.3, 0.45)
    if kind < 0.35:
        h, frame = rng.uniform(0.42, 0.8), materials.wood(rng)
        seat = materials.fabric(rng) if rng.random() < 0.4 else frame
        b.cylinder((0, 0, h - 0.05), (r, r, 0.05), seat)
        n = 3 if rng.random() < 0.4 else 4
        for k in range(n):
            a = k * 2 * np.pi / n + 0.3
            top = (0.3 * r * np.cos(a), 0.3 * r * np.sin(a), h - 0.04)
            b.rod(top, (0.46 * r * np.cos(a), 0.46 * r * np.sin(a), 0.01), 0.035, frame)
    elif kind < 0.6:
        h, frame = rng.uniform(0.55, 0.82), materials.metal(rng)
        b.cylinder((0, 0, 0), (r, r, 0.03), frame)
        b.cylinder((0, 0, 0.02), (0.06, 0.06, h - 0.06), frame)
        b.cylinder((0, 0, h - 0.08), (r * 0.95, r * 0.95, 0.08), materials.fabric(rng))
    elif kind < 0.82:
        h = rng.uniform(0.32, 0.48)
        r *= 1.2
        b.cylinder((0, 0, 0), (r, r, h), materials.fabric(rng))
    else:
        h, frame = rng.uniform(0.4, 0.65), materials.wood(rng)
        b.legs((r, r, h - 0.04), 0.04, frame)
        b.box((0, 0, h - 0.05), (r, r, 0.05), materials.fabric(rng))
    return b.model("stool")


def toilet(rng: Rng) -> Model:
    """With cistern, wall-hung with a box behind, or with a raised lid."""
    b, white = Builder(), materials.ceramic(rng)
    lid = white if rng.random() < 0.7 else materials.wood(rng)
    w, d = rng.uniform(0.35, 0.42), rng.uniform(0.6, 0.74)
    s, tank_d = rng.uniform(0.38, 0.44), rng.uniform(0.14, 0.2)
    kind = rng.random()
    bowl_y = -d / 2 + tank_d + (d - tank_d) / 2
    bowl_d = d - tank_d
    if kind < 0.3:
        b.box((0, -d / 2 + tank_d / 2, 0), (w * 1.2, tank_d, rng.uniform(0.95, 1.15)), white)
        b.ellipsoid((0, bowl_y, 0.1), (w, bowl_d, 2 * (s - 0.13)), white)
    else:
        h = rng.uniform(0.7, 0.85)
        b.box((0, -d / 2 + tank_d / 2, s - 0.05), (w * 1.05, tank_d, h - s + 0.05), white)
        b.cylinder((0, bowl_y - 0.06, 0), (w * 0.6, bowl_d * 0.75, s - 0.05), white)
        b.box((0, -d / 2 + tank_d / 2, 0), (w * 0.6, tank_d, s), white)
        b.ellipsoid((0, bowl_y, s - 0.25), (w, bowl_d, 0.4), white)
    b.cylinder((0, bowl_y, s - 0.03), (w, bowl_d, 0.045), lid)
    if kind > 0.65:
        b.add(CYLINDER, (0, -d / 2 + tank_d + 0.03, s + 0.16), (w, 0.36, 0.03), lid, ALONG_Y)
    return b.model("toilet")
