"""Where a room's light comes from: lamps, windows, the sun through them, and what walls give back.

An area that shines is a few lamps with shadows of their own. Radiances are relative, as the camera
meters. Source: none.
"""

from __future__ import annotations

import math

import numpy as np

from spatialcode.synthetic.furnished.textures import panorama, shown
from spatialcode.synthetic.layout import Interior
from spatialcode.synthetic.placement import Placed
from spatialcode.synthetic.primitives import Vec3
from spatialcode.synthetic.raster.shaders import NUM_LIGHTS
from spatialcode.synthetic.raster.staged import Lamp, Lighting

Rng = np.random.Generator

_SUN_AWAY_M = 40.0
_SHARE_WITH_SUN = 0.4


def draw_lighting(rng: Rng, interior: Interior) -> Lighting:
    """Daylight, lamplight, or both; colours and strengths differ from room to room."""
    day = float(rng.uniform(0.15, 1.0)) if rng.random() < 0.85 else 0.03
    lit = float(rng.uniform(0.4, 1.2)) if rng.random() < (0.6 if day > 0.2 else 1.0) else 0.05
    warm = rng.uniform(0.45, 1.0)
    bulb = np.array([1.0, 0.72 + 0.25 * warm, 0.4 + 0.55 * warm])
    sky = np.array([0.82, 0.93, 1.08])
    windows = [p for p in interior.objects if p.model.label == "window"]
    lamps = [*_ceiling(rng, interior, bulb * lit), *_windows(rng, windows, sky * day)]
    if windows and day > 0.25 and rng.random() < _SHARE_WITH_SUN:
        lamps.insert(0, _sun(rng, windows, day))
    lamps += _standing(rng, interior, bulb * max(lit, 0.3))
    lamps = lamps[: NUM_LIGHTS - 2]
    walls = np.mean([shown(w.color) for w in interior.walls], axis=0) ** 2.2
    floor = np.array(shown(interior.floor.color)) ** 2.2
    total = 0.16 * lit * bulb + 0.14 * day * sky + 0.02
    lamps += _bounced(interior, walls * (lit * bulb + day * sky))
    up = total * (0.5 + 0.7 * walls)
    down = total * (0.25 + 0.7 * floor)
    return Lighting(
        lamps=tuple(lamps), ambient_up=_vector(up), ambient_down=_vector(down),
        outside=panorama(rng), outside_gain=float(0.05 + day * rng.uniform(2.5, 6.0)),
    )  # fmt: skip


def _vector(values: np.ndarray) -> Vec3:
    return (float(values[0]), float(values[1]), float(values[2]))


def _ceiling(rng: Rng, interior: Interior, color: np.ndarray) -> list[Lamp]:
    """Two points of a ceiling light in the first room, one in each other."""
    out = []
    height = interior.plan.ceiling_m
    for k, (x0, y0, x1, y1) in enumerate(interior.plan.rects):
        fixed = [p for p in interior.objects if p.room == k and p.model.label == "ceiling light"]
        at = ((x0 + x1) / 2, (y0 + y1) / 2)
        z = height - 0.12
        if fixed:
            at, z = (
                fixed[0].center_m[:2],
                fixed[0].center_m[2] - fixed[0].model.size_m[2] / 2 - 0.06,
            )
        area = (x1 - x0) * (y1 - y0)
        for shift in (-0.12, 0.12) if k == 0 else (0.0,):
            power = color * area * (0.11 if k == 0 else 0.2) * rng.uniform(0.8, 1.2)
            place = (at[0] + shift, at[1] + shift * rng.uniform(-1, 1), z)
            out.append(Lamp(place, (0.0, 0.0, -1.0), _vector(power), 1.0, 0.25))
    return out


def _windows(rng: Rng, windows: list[Placed], color: np.ndarray) -> list[Lamp]:
    out = []
    for p in windows[:3]:
        nx, ny = -math.sin(p.yaw_rad), math.cos(p.yaw_rad)
        w, _, h = p.model.size_m
        for side in (-0.25, 0.25):
            x = p.center_m[0] + nx * 0.12 - ny * side * w
            y = p.center_m[1] + ny * 0.12 + nx * side * w
            power = color * w * h * rng.uniform(0.9, 1.5)
            out.append(
                Lamp((x, y, p.center_m[2] + 0.15 * h), (nx, ny, -0.35), _vector(power), 1.0, 0.3)
            )
    return out


def _sun(rng: Rng, windows: list[Placed], day: float) -> Lamp:
    """The sun, far outside a window, as it falls in through all of them that face it."""
    p = windows[int(rng.integers(len(windows)))]
    turn = p.yaw_rad + rng.uniform(-0.8, 0.8)
    lift = math.radians(rng.uniform(18, 50))
    out = np.array(
        [math.sin(turn) * math.cos(lift), -math.cos(turn) * math.cos(lift), math.sin(lift)]
    )
    place = np.asarray(p.center_m) + _SUN_AWAY_M * out
    power = day * rng.uniform(1.5, 4.0) * _SUN_AWAY_M**2 * np.array([1.0, 0.93, 0.8])
    angle = 2 * math.atan(4.0 / _SUN_AWAY_M)
    return Lamp(
        _vector(place), _vector(-out), _vector(power), 0.0, 0.0, angle, _SUN_AWAY_M + 12, True
    )


def _standing(rng: Rng, interior: Interior, color: np.ndarray) -> list[Lamp]:
    """One or two of the room's own lamps, lit."""
    lamps = [p for p in interior.objects if p.model.label == "lamp" and rng.random() < 0.6]
    out = []
    for p in lamps[:2]:
        x, y, z = p.center_m
        top = (x, y, z + p.model.size_m[2] / 2 + 0.06)
        out.append(Lamp(top, (0.0, 0.0, 1.0), _vector(color * 0.35), 0.0, 0.15, 2.9))
    return out


def _bounced(interior: Interior, color: np.ndarray) -> list[Lamp]:
    """Light that the walls of the first room give back, from two sides of it."""
    x0, y0, x1, y1 = interior.plan.rects[0]
    z = interior.plan.ceiling_m * 0.55
    mid_y = (y0 + y1) / 2
    power = _vector(color * (x1 - x0) * (y1 - y0) * 0.03)
    return [
        Lamp((x0 + 0.05, mid_y, z), (1.0, 0.0, 0.0), power, 1.0, 1.0),
        Lamp((x1 - 0.05, mid_y, z), (-1.0, 0.0, 0.0), power, 1.0, 1.0),
    ]
