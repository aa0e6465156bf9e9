"""Windows brought into one world: by hand, by property, and from whole to parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spatialcode.encoder.geometry.chaining import (
    Similarity,
    WindowChain,
    align_windows,
    depth_log_ratios,
)
from spatialcode.encoder.geometry.nested import metric_scale
from spatialcode.encoder.geometry.protocol import DepthNoise, WindowGeometry
from spatialcode.encoder.geometry.windows import joined, rows_of
from spatialcode.errors import EncodeError


def walk(num: int, seed: int = 0, is_metric: bool = True, up: bool = False) -> WindowGeometry:
    rng = np.random.default_rng(seed)
    T = np.tile(np.eye(4), (num, 1, 1))
    T[:, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.5, (num, 3))).as_matrix()
    T[:, :3, 3] = np.cumsum(rng.normal(0, 0.2, (num, 3)), axis=0)
    depth = rng.uniform(1, 4, (num, 12, 16))
    gravity = T[:, 2, :3].copy() if up else None
    return WindowGeometry(
        depth, np.tile(np.eye(3), (num, 1, 1)), T, is_metric, DepthNoise(), gravity
    )


def seen_from(geometry: WindowGeometry, world: Similarity) -> WindowGeometry:
    """The same in another world."""
    return replace(
        geometry,
        T_world_camera=world.poses(geometry.T_world_camera),
        depth_m=geometry.depth_m * world.scale,
    )


def test_a_similarity_by_hand():
    quarter = np.array(((0.0, -1, 0), (1, 0, 0), (0, 0, 1)))
    T = np.eye(4)[None].copy()
    T[0, :3, 3] = (1, 0, 0)
    moved = Similarity(2.0, quarter, np.array((5.0, 0, 0))).poses(T)
    np.testing.assert_allclose(moved[0, :3, 3], (5, 2, 0))
    np.testing.assert_allclose(moved[0, :3, :3], quarter)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1000),
    st.floats(0.2, 5.0),
    st.lists(st.floats(-1, 1), min_size=6, max_size=6),
    st.booleans(),
)
def test_a_window_in_any_world_comes_back(seed, scale, numbers, free):
    before = walk(5, seed, is_metric=not free)
    R = Rotation.from_rotvec(numbers[:3]).as_matrix()
    world = Similarity(scale if free else 1.0, R, np.array(numbers[3:]))
    found = align_windows(before, seen_from(before, world))
    assert found.scale * world.scale == pytest.approx(1, rel=1e-6)
    np.testing.assert_allclose(found.R @ world.R, np.eye(3), atol=1e-6)
    again = found.poses(world.poses(before.T_world_camera))
    np.testing.assert_allclose(again, before.T_world_camera, atol=1e-5)


def test_one_wrong_frame_of_eight_does_not_matter():
    before = walk(8)
    after = seen_from(before, Similarity(1.0, np.eye(3), np.array((1.0, 2, 3))))
    T = after.T_world_camera.copy()
    T[3, :3, 3] += 0.5
    T[3, :3, :3] = T[3, :3, :3] @ Rotation.from_rotvec((0.3, 0, 0)).as_matrix()
    found = align_windows(before, replace(after, T_world_camera=T))
    np.testing.assert_allclose(found.t, (-1, -2, -3), atol=0.01)
    np.testing.assert_allclose(found.R, np.eye(3), atol=0.01)


def test_the_scale_of_windows_without_parallax_is_told_by_depth():
    before = walk(4, is_metric=False)
    T = before.T_world_camera.copy()
    T[:, :3, 3] = (1, 1, 1)
    before = replace(before, T_world_camera=T)
    after = replace(before, depth_m=before.depth_m * 3)
    assert align_windows(before, after).scale == pytest.approx(1 / 3, rel=1e-6)


def test_windows_that_know_gravity_only_turn_about_it():
    before = walk(6, up=True)
    # the second window's path leans over by 4 degrees, its gravity does not
    lean = Rotation.from_rotvec((np.radians(4), 0, 0)).as_matrix()
    T = before.T_world_camera.copy()
    T[:, :3, :3] = lean @ T[:, :3, :3]
    after = replace(before, T_world_camera=T, up_camera=T[:, 2, :3].copy())
    R = align_windows(before, after).R
    assert R[2, 2] == pytest.approx(1, abs=1e-9)


def test_metric_windows_keep_their_unit():
    before = walk(4)
    after = replace(before, depth_m=before.depth_m * 1.1)
    assert align_windows(before, after).scale == 1


def test_chained_windows_are_the_whole():
    whole = walk(20, is_metric=False)
    chain, rng = WindowChain(), np.random.default_rng(1)
    placed = []
    for start in range(0, 20, 4):
        repeated = min(3, start)
        window = rows_of(whole, slice(start - repeated, start + 4))
        R = Rotation.from_rotvec(rng.normal(size=3)).as_matrix()
        if start:
            world = Similarity(rng.uniform(0.5, 2), R, rng.normal(size=3))
            window = seen_from(window, world)
        placed.append(chain.add(window, repeated))
        assert placed[-1].cuts == ()
        placed[-1] = rows_of(placed[-1], slice(repeated, None))
    T = np.concatenate([p.T_world_camera for p in placed])
    np.testing.assert_allclose(T, whole.T_world_camera, atol=1e-4)
    depth = np.concatenate([p.depth_m for p in placed])
    np.testing.assert_allclose(depth, whole.depth_m, rtol=1e-5)


def test_a_window_that_shares_nothing_is_told_as_a_cut():
    chain = WindowChain()
    assert chain.add(walk(3), 0).cuts == ()
    assert chain.add(walk(3, 1), 0).cuts == (0,)


def test_behind_a_cut_in_the_overlap_only_the_new_part_joins():
    whole = walk(12)
    chain = WindowChain()
    chain.add(replace(rows_of(whole, slice(0, 8)), cuts=(6,)), 0)
    # rows 4..12; row 6 of the whole, row 2 of this window, is where something else begins
    world = Similarity(1.0, np.eye(3), np.array((9.0, 0, 0)))
    other = Similarity(1.0, np.eye(3), np.array((0.0, -7, 2)))  # each part has its own world
    parts = [
        seen_from(rows_of(whole, slice(4, 6)), other),
        seen_from(rows_of(whole, slice(6, 12)), world),
    ]
    second = joined(parts, (2,))
    placed = chain.add(second, 4)
    np.testing.assert_allclose(
        placed.T_world_camera[2:], whole.T_world_camera[6:], atol=1e-6
    )  # fmt: skip
    assert placed.cuts == (2,)


def test_windows_with_no_frame_in_common_cannot_be_aligned():
    empty = rows_of(walk(3), slice(0, 0))
    with pytest.raises(EncodeError, match="share"):
        align_windows(empty, empty)


def test_depth_ratios_by_frame_with_holes_and_other_sizes():
    first = np.full((3, 12, 16), 2.0)
    second = np.full((3, 24, 32), 1.0)
    first[1, :, :8] = np.nan
    second[2] = np.nan
    ratios = depth_log_ratios(first, second)
    np.testing.assert_allclose(ratios[:2], np.log(2))
    assert np.isnan(ratios[2])


def test_a_metric_scale_withstands_a_third_of_wrong_pixels():
    rng = np.random.default_rng(0)
    true = rng.uniform(1, 4, (5, 60, 80))
    any_view = true / 2.5
    metric = true * np.exp(rng.normal(0, 0.05, (5, 1, 1)) + rng.normal(0, 0.05, true.shape))
    metric[rng.random(true.shape) < 0.33] = 40.0
    metric[:, :5] = np.nan
    trusted = np.ones(true.shape, bool)
    scale = metric_scale(any_view, metric, trusted)
    assert scale == pytest.approx(2.5, rel=0.08)
    assert metric_scale(any_view, metric, trusted) == scale  # to the bit
    trusted[:3] = False
    metric[:3] = 1e3
    assert metric_scale(any_view, metric, trusted) == pytest.approx(2.5, rel=0.15)
    assert metric_scale(any_view, metric, np.zeros(true.shape, bool)) is None
