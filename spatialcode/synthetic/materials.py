"""Random materials: woods, fabrics, metals, plastics, paints, floors."""

from __future__ import annotations

import colorsys

import numpy as np

from spatialcode.synthetic.primitives import (
    CHECKER,
    NOISE,
    PLAIN,
    PLANKS,
    STRIPES,
    TILES,
    WOOD,
    Color,
    Material,
)

Rng = np.random.Generator


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Linear RGB of a display-referred HSV colour."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, min(1.0, saturation), min(1.0, value))
    return (r**2.2, g**2.2, b**2.2)


def shade(color: Color, factor: float) -> Color:
    """The colour, darker or lighter, clipped to [0, 1]."""
    return (min(1.0, color[0] * factor), min(1.0, color[1] * factor), min(1.0, color[2] * factor))


def wood(rng: Rng) -> Material:
    """From pale birch to dark walnut; sometimes lacquered white or black."""
    kind = rng.random()
    if kind < 0.15:
        return Material(hsv(0.1, rng.uniform(0, 0.08), rng.uniform(0.85, 0.97)))
    if kind < 0.22:
        return Material(hsv(0.1, 0.1, rng.uniform(0.1, 0.22)))
    color = hsv(rng.uniform(0.05, 0.11), rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.85))
    return Material(color, shade(color, rng.uniform(0.5, 0.8)), WOOD, rng.uniform(0.08, 0.3))


def fabric(rng: Rng) -> Material:
    """Any hue, mostly muted; plain, woven, striped or checked."""
    color = hsv(rng.random(), rng.uniform(0.03, 0.65), rng.uniform(0.2, 0.9))
    other = hsv(rng.random(), rng.uniform(0, 0.5), rng.uniform(0.3, 0.95))
    kind = rng.random()
    if kind < 0.3:
        return Material(color)
    if kind < 0.75:
        return Material(color, shade(color, rng.uniform(0.55, 0.85)), NOISE, 0.05)
    return Material(color, other, STRIPES if kind < 0.88 else CHECKER, rng.uniform(0.06, 0.2))


def linen(rng: Rng) -> Material:
    """Bedding: mostly light."""
    if rng.random() < 0.5:
        return Material(hsv(rng.random(), rng.uniform(0, 0.12), rng.uniform(0.8, 0.97)))
    return fabric(rng)


def metal(rng: Rng) -> Material:
    """Grey, from black iron to chrome."""
    return Material(hsv(rng.random(), rng.uniform(0, 0.08), rng.uniform(0.15, 0.85)))


def plastic(rng: Rng) -> Material:
    """Any colour, often grey, black or white."""
    if rng.random() < 0.5:
        return Material(hsv(0.6, rng.uniform(0, 0.05), rng.uniform(0.1, 0.95)))
    return Material(hsv(rng.random(), rng.uniform(0.3, 0.85), rng.uniform(0.25, 0.95)))


def enamel(rng: Rng) -> Material:
    """Appliance white, steel, or now and then a colour."""
    kind = rng.random()
    if kind < 0.6:
        return Material(hsv(rng.uniform(0.08, 0.6), rng.uniform(0, 0.06), rng.uniform(0.86, 0.98)))
    if kind < 0.88:
        return Material(hsv(0.6, 0.03, rng.uniform(0.25, 0.7)))
    return Material(hsv(rng.random(), rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.8)))


def ceramic(rng: Rng) -> Material:
    """Sanitary white."""
    return Material(hsv(rng.uniform(0.08, 0.6), rng.uniform(0, 0.07), rng.uniform(0.87, 0.99)))


def dark(rng: Rng) -> Material:
    """Screens, ovens, glass doors."""
    return Material(hsv(rng.random(), 0.1, rng.uniform(0.05, 0.2)))


def floor(rng: Rng, wet: bool) -> Material:
    """Planks or carpet in dry rooms, tiles in wet ones, mostly."""
    kind = rng.random()
    if (kind < 0.75) if wet else (kind < 0.15):
        color = hsv(rng.uniform(0.02, 0.65), rng.uniform(0, 0.2), rng.uniform(0.4, 0.92))
        pattern = TILES if rng.random() < 0.75 else CHECKER
        return Material(color, shade(color, rng.uniform(0.3, 0.7)), pattern, rng.uniform(0.2, 0.6))
    if kind < 0.75:
        color = hsv(rng.uniform(0.05, 0.11), rng.uniform(0.25, 0.65), rng.uniform(0.3, 0.82))
        return Material(color, shade(color, rng.uniform(0.5, 0.75)), PLANKS, rng.uniform(0.1, 0.22))
    color = hsv(rng.random(), rng.uniform(0.02, 0.35), rng.uniform(0.3, 0.8))
    return Material(color, shade(color, rng.uniform(0.6, 0.85)), NOISE, 0.05)


def wall(rng: Rng, wet: bool) -> Material:
    """Light paint, tiles in wet rooms, some wallpaper."""
    color = hsv(rng.random(), rng.uniform(0, 0.25), rng.uniform(0.65, 0.97))
    kind = rng.random()
    if kind < (0.4 if wet else 0.03):
        return Material(color, shade(color, rng.uniform(0.5, 0.8)), TILES, rng.uniform(0.12, 0.4))
    if kind < 0.78:
        return Material(color, shade(color, 0.94), NOISE, 0.3)
    if kind < 0.9:
        return Material(color, shade(color, rng.uniform(0.8, 0.93)), STRIPES, rng.uniform(0.1, 0.5))
    return Material(hsv(rng.random(), rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.8)))


def rug(rng: Rng) -> Material:
    """A carpet lying on the floor."""
    color = hsv(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.2, 0.85))
    other = hsv(rng.random(), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.9))
    pattern = (PLAIN, NOISE, STRIPES, CHECKER)[int(rng.integers(4))]
    return Material(color, other, pattern, rng.uniform(0.08, 0.35))


def picture(rng: Rng) -> Material:
    """What a framed picture shows."""
    color = hsv(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.3, 0.95))
    other = hsv(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.2, 0.95))
    pattern = (NOISE, STRIPES, CHECKER, PLAIN)[int(rng.integers(4))]
    return Material(color, other, pattern, rng.uniform(0.08, 0.5))
