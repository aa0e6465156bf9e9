"""Textures of our own making: floors, walls, cloth, wood, pictures, screens, the world outside.

All are drawn from noise, and all but pictures and the panorama repeat without a seam. Colours are
gamma-encoded RGB.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic import materials
from spatialcode.synthetic.catalogue.mesh import Surface
from spatialcode.synthetic.catalogue.prepared import TEXTURE_PX
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
F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_N = TEXTURE_PX
_GAMMA = 1 / 2.2
#: A texture covers this many of its pattern's periods.
_PERIODS = {PLANKS: 6, TILES: 4, CHECKER: 4, STRIPES: 6, WOOD: 2, NOISE: 8, PLAIN: 4}


def noise(rng: Rng, cells_x: int, cells_y: int) -> F32:
    """(N,N) smooth noise in [0, 1] with so many cells along x and y, repeating."""
    coarse = rng.random((cells_y, cells_x)).astype(np.float32)
    wide = np.pad(coarse, 2, mode="wrap")
    step_x, step_y = _N / cells_x, _N / cells_y
    x = (np.arange(_N) + 0.5) / step_x + 1.5
    y = (np.arange(_N) + 0.5) / step_y + 1.5
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return np.asarray(cv2.remap(wide, grid_x, grid_y, cv2.INTER_LINEAR), np.float32)


def rough(rng: Rng) -> F32:
    """(N,N) noise of several sizes about 0, of spread 1."""
    total = np.zeros((_N, _N), np.float32)
    for cells, weight in ((4, 0.8), (16, 0.7), (64, 0.6), (_N, 0.5)):
        total += weight * (noise(rng, cells, cells) - 0.5)
    return np.asarray(total / total.std(), np.float32)


def shown(color: Color) -> tuple[float, float, float]:
    """Linear RGB, gamma-encoded."""
    r, g, b = (min(1.0, max(0.0, value)) ** _GAMMA for value in color)
    return r, g, b


def pattern_texture(rng: Rng, material: Material) -> tuple[U8, float]:
    """A material's texture (N,N,4) and the length in metres that one repeat of it covers."""
    periods = _PERIODS[material.pattern]
    y, x = np.mgrid[0:_N, 0:_N].astype(np.float32) / _N * periods
    first, second = np.array(shown(material.color)), np.array(shown(material.color2))
    bumps = rough(rng)
    spread = 0.025
    if material.pattern == PLANKS:
        mix, tone = _planks(rng, x, y, periods)
        spread = 0.02
    elif material.pattern == WOOD:
        mix, tone = noise(rng, 4, 64) * 0.6 + noise(rng, 8, 128) * 0.4, np.zeros_like(x)
    elif material.pattern == TILES:
        mix = ((x % 1 < 0.035) | (y % 1 < 0.035)).astype(np.float32)
        tone = 0.07 * (_cellwise(rng, x, y, periods) - 0.5)
    elif material.pattern == CHECKER:
        mix = ((np.floor(x) + np.floor(y)) % 2).astype(np.float32)
        tone = 0.06 * (_cellwise(rng, x, y, periods) - 0.5)
    elif material.pattern == STRIPES:
        mix, tone = (x % 1 < 0.5).astype(np.float32), np.zeros_like(x)
    else:
        mix = np.clip(0.5 + 0.35 * bumps, 0, 1) * (material.pattern == NOISE)
        tone = np.zeros_like(x)
    rgb = first * (1 - mix[..., None]) + second * mix[..., None]
    rgb = rgb * (1 + tone[..., None]) + spread * bumps[..., None]
    return rgba(rgb), material.scale_m * periods


def _planks(rng: Rng, x: F32, y: F32, periods: int) -> tuple[F32, F32]:
    """Boards along x, each of its own tone and grain, with dark seams."""
    row = np.floor(y)
    shift = rng.random(periods).astype(np.float32)[row.astype(int) % periods]
    board = np.floor(x / 3 + shift * 2) + 7 * row
    tones = rng.random(997).astype(np.float32)[(board.astype(int) * 31) % 997]
    seam = (y % 1 < 0.03) | ((x / 3 + shift * 2) % 1 < 0.008)
    grain = noise(rng, 6, 128) * 0.5 + noise(rng, 16, _N) * 0.5
    return np.where(seam, 1.0, 0.45 * grain + 0.35 * tones).astype(np.float32), 0.16 * (tones - 0.5)


def _cellwise(rng: Rng, x: F32, y: F32, periods: int) -> F32:
    values = rng.random((periods, periods)).astype(np.float32)
    return np.asarray(values[y.astype(int) % periods, x.astype(int) % periods])


def cloth(rng: Rng) -> Surface:
    """A woven surface for cushions, blankets and carpets."""
    texture, _ = pattern_texture(rng, materials.fabric(rng))
    weave = np.indices((_N, _N)).sum(axis=0) % 2 * 0.03 - 0.015
    rgb = texture[..., :3] / 255 + weave[..., None]
    return Surface((1.0, 1.0, 1.0), texture=rgba(rgb))


def wooden(rng: Rng) -> Surface:
    """Furniture wood, or lacquer."""
    texture, _ = pattern_texture(rng, materials.wood(rng))
    return Surface((1.0, 1.0, 1.0), gloss=float(rng.uniform(0, 0.25)), texture=texture)


def artwork(rng: Rng) -> Surface:
    """What hangs in a frame: bands of colour, blots, or a landscape of noise."""
    kind = rng.random()
    colors = rng.random((5, 3)) * 0.8 + 0.1
    field = noise(rng, 3, 4) * 0.6 + noise(rng, 9, 9) * 0.3 + noise(rng, 40, 40) * 0.1
    if kind < 0.4:
        field = np.linspace(0, 1, _N)[:, None] * 0.7 + field * 0.5
    level = np.clip((field - field.min()) / np.ptp(field) * 3.99, 0, 3.98)
    low = level.astype(int)
    part = (level - low)[..., None] if kind < 0.7 else 0.0
    rgb = colors[low] * (1 - part) + colors[low + 1] * part + 0.03 * rough(rng)[..., None]
    image = rgba(rgb)
    for _ in range(int(rng.integers(0, 6))):
        at = tuple(int(v) for v in rng.integers(0, _N, 2))
        ink = tuple(int(v) for v in rng.integers(0, 255, 3))
        cv2.circle(image, at, int(rng.integers(6, 50)), (*ink, 255), -1, cv2.LINE_AA)
    return Surface((1.0, 1.0, 1.0), gloss=0.1, texture=image)


def screen(rng: Rng) -> Surface:
    """A screen: off and dark, or on with windows of light and rows of text."""
    if rng.random() < 0.5:
        return Surface((0.04, 0.04, 0.05), gloss=0.5)
    image = np.full((_N, _N, 4), 255, np.uint8)
    image[..., :3] = rng.integers(10, 230, 3)
    for _ in range(int(rng.integers(1, 5))):
        x, y = (int(v) for v in rng.integers(0, _N * 3 // 4, 2))
        w, h = (int(v) for v in rng.integers(_N // 5, _N // 2, 2))
        page = tuple(int(v) for v in rng.integers(150, 255, 3))
        cv2.rectangle(image, (x, y), (x + w, y + h), (*page, 255), -1)
        for line in range(y + 10, y + h - 6, 9):
            end = x + 6 + int(rng.uniform(0.2, 0.9) * (w - 12))
            cv2.line(image, (x + 6, line), (end, line), (60, 60, 70, 255), 2)
    return Surface((1.0, 1.0, 1.0), gloss=0.3, glow=0.12, texture=image)


def panorama(rng: Rng) -> U8:
    """(256,512,3) of what lies outside: sky with clouds, then houses or trees, then ground.

    Columns go by azimuth clockwise from +y, rows from zenith to nadir.
    """
    height, width = 256, 512
    up = np.linspace(90, -90, height)[:, None]
    sky = np.array([0.36, 0.58, 0.9]) if rng.random() < 0.6 else np.array([0.72, 0.76, 0.8])
    haze = np.array([0.9, 0.93, 0.96])
    share = np.clip(up / 50, 0, 1)[..., None]
    image = np.broadcast_to(sky * share + haze * (1 - share), (height, width, 3)).copy()
    clouds = np.tile(noise(rng, 4, 10) * 0.6 + noise(rng, 12, 30) * 0.4, (1, 2))
    cover = np.clip((clouds - rng.uniform(0.35, 0.65)) * 5, 0, 1)[..., None]
    image = image * (1 - 0.8 * cover) + 0.8 * cover
    edge = np.tile(noise(rng, 24, 2)[0], 2)
    blocks = np.repeat(rng.random(64), 8)
    skyline = (10 * edge if rng.random() < 0.6 else 26 * blocks) - 4
    ground = np.array([0.5, 0.55, 0.42]) * rng.uniform(0.7, 1.3) + 0.15 * rng.random(3)
    wall = np.array([0.6, 0.55, 0.5]) * rng.uniform(0.6, 1.2)
    leaves = np.tile(noise(rng, 32, 64), (1, 2))[..., None] * 0.5 + 0.6
    far = np.where(blocks[None, :, None] > 0.5, wall, ground) * leaves
    image = np.where(up[..., None] < skyline[None, :, None], far, image)
    image = np.where(up[..., None] < -6, ground * leaves * 0.9, image)
    return np.clip(image * 255, 0, 255).astype(np.uint8)


def rgba(rgb: NDArray[np.floating]) -> U8:
    """(N,N,3) in [0, 1] as opaque 8-bit RGBA."""
    out = np.full((*rgb.shape[:2], 4), 255, np.uint8)
    out[..., :3] = np.clip(rgb * 255, 0, 255)
    return out
