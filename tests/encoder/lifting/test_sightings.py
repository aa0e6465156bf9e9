from __future__ import annotations

import numpy as np
import pytest

from spatialcode.encoder.geometry.protocol import DepthNoise
from spatialcode.encoder.lifting.planes import NearestDepth, PlanarDepth
from spatialcode.encoder.lifting.sightings import (
    FrameView,
    LiftedPoints,
    LiftingSettings,
    Sighting,
    depth_edges,
    lift,
)
from spatialcode.encoder.parsing.protocol import FrameMasks

WIDTH, HEIGHT, FOCAL_PX = 160, 120, 100.0
K = np.array([[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1.0]])
NETWORK = DepthNoise(frame=0.05, pixel=0.02, edge_px=3.0)


EXACT = DepthNoise()


def view(depth_m: np.ndarray, error: DepthNoise = EXACT, sigma_px: float = 0.0) -> FrameView:
    return FrameView(0, depth_m.astype(np.float32), K, np.eye(4), error, sigma_px)


def masks(*outlines: np.ndarray, label: str = "thing") -> FrameMasks:
    num = len(outlines)
    ones = np.ones(num)
    return FrameMasks(np.stack(outlines), (label,) * num, ones, np.arange(num))


def block(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def only(found: list[Sighting]) -> Sighting:
    (sighting,) = found
    return sighting


def test_pixels_become_points_where_one_computes_them_by_hand() -> None:
    depth = np.full((HEIGHT, WIDTH), 5.0)
    mask = block(40, 60, 100, 120)
    depth[mask] = 2.0
    T = np.eye(4)
    T[:3, 3] = (1.0, 2.0, 3.0)
    one = FrameView(0, depth.astype(np.float32), K, T, DepthNoise())
    points = only(lift(one, masks(mask), LiftingSettings())).points.inside_m
    # columns 100 to 119 have centres 20.5 to 39.5 px right of the middle: 0.41 to 0.79 m at 2 m
    np.testing.assert_allclose(points.min(axis=0), [1.41, 2 - 0.39, 5.0], atol=1e-6)
    np.testing.assert_allclose(points.max(axis=0), [1.79, 2 - 0.01, 5.0], atol=1e-6)


def test_exact_points_keep_the_outermost_however_few_are_kept() -> None:
    depth = np.full((HEIGHT, WIDTH), 5.0)
    mask = block(20, 100, 30, 130)
    depth[mask] = 2.0
    few = LiftingSettings(max_points=60)
    points = only(lift(view(depth), masks(mask), few)).points.inside_m
    assert len(points) <= 60
    np.testing.assert_allclose(np.ptp(points[:, 0]), 99 * 2 / FOCAL_PX, atol=1e-6)


def test_an_end_at_the_border_or_behind_something_nearer_is_cut_and_others_are_not() -> None:
    depth = np.full((HEIGHT, WIDTH), 5.0)
    mask = block(30, 80, 0, 60)
    depth[mask] = 3.0
    depth[80:, 0:60] = 1.5  # something nearer stands in front of its foot
    points = only(lift(view(depth), masks(mask), LiftingSettings(max_outline_points=10_000))).points
    x_px = points.outline_m[:, 0] / 3.0 * FOCAL_PX + WIDTH / 2
    y_px = points.outline_m[:, 1] / 3.0 * FOCAL_PX + HEIGHT / 2
    at_border, at_foot = x_px < 1, y_px > 79
    assert points.is_cut[at_border | at_foot].all()
    assert not points.is_cut[~at_border & ~at_foot].any()
    # what lies beside it and is not nearer is the wall behind
    np.testing.assert_allclose(points.beside_m[:, 2], 5.0, atol=1e-6)


def test_what_is_unknown_far_or_not_believed_gives_no_points() -> None:
    depth = np.full((HEIGHT, WIDTH), np.nan)
    mask = block(40, 60, 100, 120)
    assert lift(view(depth), masks(mask), LiftingSettings()) == []
    assert lift(view(np.full_like(depth, 30.0)), masks(mask), LiftingSettings()) == []
    near = view(np.full_like(depth, 2.0))
    doubted = FrameView(0, near.depth_m, K, np.eye(4), DepthNoise(), 0.0, np.zeros_like(depth))
    assert lift(doubted, masks(mask), LiftingSettings()) == []
    assert len(lift(near, masks(mask), LiftingSettings())) == 1
    half = depth.copy()
    half[:50] = 2.0  # depth is unknown in the lower half of the mask
    points = only(lift(view(half), masks(mask), LiftingSettings())).points.inside_m
    assert np.isfinite(points).all()
    assert points[:, 1].max() < (50 - HEIGHT / 2) / FOCAL_PX * 2.0 + 1e-6


def test_an_empty_mask_and_no_mask_are_nothing() -> None:
    flat = view(np.full((HEIGHT, WIDTH), 2.0))
    assert lift(flat, masks(np.zeros((HEIGHT, WIDTH), bool)), LiftingSettings()) == []
    none = FrameMasks(np.zeros((0, HEIGHT, WIDTH), bool), (), np.zeros(0), np.zeros(0, int))
    assert lift(flat, none, LiftingSettings()) == []


def receding(pixels_a_metre: float = 40.0) -> np.ndarray:
    """A floor: disparity is linear in the row."""
    row = np.arange(HEIGHT)[:, None] + 0.5
    return np.broadcast_to(1 / (0.1 + row / pixels_a_metre / 10), (HEIGHT, WIDTH)).copy()


def test_a_receding_surface_has_no_edges_and_a_step_has() -> None:
    floor = receding()
    noise = DepthNoise(edge_px=3.0)
    assert not depth_edges(floor, noise, 0.06).any()
    stepped = floor.copy()
    stepped[:, 80:] *= 0.8
    edges = depth_edges(stepped, noise, 0.06)
    assert edges[:, 79:81].all()
    assert not edges[:, :75].any()
    assert not edges[:, 86:].any()


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_planes_carry_a_slope_on_and_average_noise_away(noise: float) -> None:
    truth = receding()
    rng = np.random.default_rng(0)
    seen = truth * np.exp(rng.normal(0, noise, truth.shape)) if noise else truth
    inner = block(30, 90, 40, 120)
    surface = PlanarDepth(seen.astype(np.float32), inner)
    inside, beyond = np.argwhere(block(35, 85, 45, 115)), np.argwhere(block(28, 30, 60, 100))
    inside_error = surface.at(inside) / truth[tuple(inside.T)] - 1
    beyond_error = surface.at(beyond) / truth[tuple(beyond.T)] - 1
    # A plane over 49 pixels leaves a seventh of their noise.
    assert np.std(inside_error) < 1e-5 + noise / 5
    # The surface goes on receding: carried on, it comes closer to the truth than it is at its end,
    # and does not overshoot.
    nearest = NearestDepth(truth, inner).at(beyond) / truth[tuple(beyond.T)] - 1
    assert nearest.mean() < beyond_error.mean() < 0


def test_noise_that_is_stated_is_averaged_and_what_is_behind_a_thing_is_dropped() -> None:
    rng = np.random.default_rng(1)
    depth = np.full((HEIGHT, WIDTH), 6.0)
    mask = block(40, 80, 60, 100)
    depth[mask] = 2.5
    depth[55:60, 75:80] = 6.0  # a gap in the back of a chair, which the mask does not know
    noisy = depth * np.exp(rng.normal(0, 0.02, depth.shape))
    sighting = only(lift(view(noisy, NETWORK, 1.0), masks(mask, label="chair"), LiftingSettings()))
    z = sighting.points.inside_m[:, 2]
    assert z.max() < 3.2
    assert np.std(z) < 0.5 * 0.02 * 2.5
    assert sighting.points.sigma_m == pytest.approx(2.5 * 0.02 / 7, rel=0.05)


def wall_points(mask: np.ndarray) -> LiftedPoints:
    """Of a mask on a wall two metres away."""
    wall = view(np.full((HEIGHT, WIDTH), 2.0))
    return only(lift(wall, masks(mask), LiftingSettings())).points


def test_a_mask_that_leaves_the_picture_is_cut_where_it_does() -> None:
    whole = only(
        lift(view(np.full((HEIGHT, WIDTH), 2.0)), masks(block(20, 60, 20, 60)), LiftingSettings())
    ).points
    assert not whole.is_cut.any()
    # its lower end is the picture's: a quarter of the outline of a square
    left = only(
        lift(
            view(np.full((HEIGHT, WIDTH), 2.0)),
            masks(block(HEIGHT - 40, HEIGHT, 20, 60)),
            LiftingSettings(),
        )
    ).points
    assert 0.15 < left.is_cut.mean() < 0.35
    assert left.outline_m[left.is_cut, 1].min() > left.inside_m[:, 1].max() - 0.05


def test_the_solid_angle_of_a_mask_is_that_of_its_pixels() -> None:
    points = only(
        lift(view(np.full((HEIGHT, WIDTH), 2.0)), masks(block(20, 60, 20, 60)), LiftingSettings())
    ).points
    row, column = np.mgrid[20:60, 20:60] + 0.5
    x, y = (column - K[0, 2]) / K[0, 0], (row - K[1, 2]) / K[1, 1]
    exact = ((1 + x**2 + y**2) ** -1.5).sum() / (K[0, 0] * K[1, 1])
    assert points.solid_angle_sr == pytest.approx(exact, rel=0.1)
