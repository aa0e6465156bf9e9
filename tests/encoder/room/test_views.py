"""Rooms from depth alone, frame by frame: prisms cast by the small ray caster, with cupboards."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from spatialcode.encoder.geometry.protocol import DepthNoise
from spatialcode.encoder.geometry.similarity import Similarity
from spatialcode.encoder.lifting.sightings import FrameView
from spatialcode.encoder.parsing.protocol import FrameMasks
from spatialcode.encoder.room.views import MAX_VIEWS, FoundRoom, RoomViews
from tests.encoder.room.test_estimate import (
    BOX,
    CEILING_M,
    GRID,
    K_GRID,
    L_SHAPE,
    assert_sound,
    camera_poses,
    cast,
    closed,
    iou,
    looking_around,
    moved,
    signed_area,
)

EXACT = DepthNoise()
#: Pixels of the pictures to one of the caster's.
SCALE = 4
HEIGHT, WIDTH = SCALE * GRID[0], SCALE * GRID[1]
K = np.diag([SCALE, SCALE, 1.0]) @ K_GRID
NOTHING = FrameMasks(np.zeros((0, HEIGHT, WIDTH), bool), (), np.zeros(0), np.zeros(0, int))
#: A cupboard from floor to ceiling that stands along a wall of `BOX`, half a metre deep.
CUPBOARD = np.array([(-1.0, 2.0), (-1.0, 2.5), (1.5, 2.5), (1.5, 2.0)])


def depth_of(walls_m: np.ndarray, T: np.ndarray) -> np.ndarray:
    """Exact z-depth (N, H, W) at the middles of pixels."""
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rays = np.stack(((u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)), axis=-1)
    sight = np.einsum("nij,hwj->nhwi", T[:, :3, :3], rays)
    origin = T[:, None, None, :3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        to_level = np.where(sight[..., 2] < 0, -origin[..., 2], CEILING_M - origin[..., 2])
        nearest = to_level / sight[..., 2]
        for a, b in walls_m:
            along, start = b - a, a - origin[..., :2]
            cross = sight[..., 0] * along[1] - sight[..., 1] * along[0]
            t = (start[..., 0] * along[1] - start[..., 1] * along[0]) / cross
            where = (start[..., 0] * sight[..., 1] - start[..., 1] * sight[..., 0]) / cross
            hit = (t > 0) & (where >= 0) & (where <= 1)
            nearest = np.where(hit, np.minimum(nearest, t), nearest)
    return nearest


def views_of(
    walls_m: np.ndarray,
    T: np.ndarray,
    error: DepthNoise = EXACT,
    masks: list[FrameMasks] | None = None,
) -> RoomViews:
    rng = np.random.default_rng(5)
    views = RoomViews()
    for k, depth_m in enumerate(depth_of(walls_m, T)):
        noisy = depth_m * np.exp(rng.normal(0, error.pixel, depth_m.shape))
        view = FrameView(k, noisy.astype(np.float32), K, T[k], error)
        views.add(view, NOTHING if masks is None else masks[k], is_grounded=True)
    return views


def cupboard_masks(T: np.ndarray, label: str) -> list[FrameMasks]:
    """What of each picture shows the cupboard."""
    with_it = depth_of(np.concatenate((closed(BOX), closed(CUPBOARD))), T)
    shown = with_it < depth_of(closed(BOX), T) - 1e-6
    return [FrameMasks(m[None], (label,), np.ones(1), np.zeros(1, int)) for m in shown]


def assert_is(found: FoundRoom, shape: np.ndarray, least_iou: float) -> None:
    assert found.warnings == ()
    assert found.room is not None
    polygon = assert_sound(found.room)
    assert iou(polygon, shape) > least_iou
    assert found.room.area_m2 == pytest.approx(signed_area(shape), rel=1 - least_iou)


def test_the_caster_agrees_with_the_small_one():
    T = looking_around(4)
    exact = depth_of(closed(L_SHAPE), T)
    middles = exact[:, SCALE // 2 :: SCALE, SCALE // 2 :: SCALE]
    near = np.abs(middles / cast(closed(L_SHAPE), T).depth_m - 1) < 0.1
    assert near.mean() > 0.95


@pytest.mark.parametrize("shape", [BOX, L_SHAPE], ids=["box", "L"])
@pytest.mark.parametrize("pixel", [0.0, 0.02])
def test_depth_gives_the_room(shape, pixel):
    found = views_of(closed(shape), looking_around(), DepthNoise(pixel=pixel)).found()
    assert_is(found, shape, 0.95)
    assert found.room.floor_z_m == pytest.approx(0.0, abs=0.02)
    assert found.room.ceiling_z_m == pytest.approx(CEILING_M, abs=0.02)


def test_the_room_turns_with_the_world():
    T = moved(looking_around(), 0.7, (4.0, -2.0, 0.0))
    c, s = np.cos(0.7), np.sin(0.7)
    there = L_SHAPE @ np.array([[c, s], [-s, c]]) + (4.0, -2.0)
    assert_is(views_of(closed(there), T).found(), there, 0.95)


def test_things_do_not_make_a_room_smaller_but_what_hides_a_wall_like_a_wall_does():
    T = looking_around()
    walls = np.concatenate((closed(BOX), closed(CUPBOARD)))
    named = views_of(walls, T, masks=cupboard_masks(T, "cabinet")).found()
    assert_is(named, BOX, 0.95)
    # What ends a room as a wall does is no thing in it: the outline goes around it.
    curtain = views_of(walls, T, masks=cupboard_masks(T, "curtain")).found()
    hidden_m2 = 2.5 * 0.5
    assert named.room.area_m2 - curtain.room.area_m2 > hidden_m2 - 0.1


def test_a_floor_that_is_not_seen_is_where_the_geometry_has_it():
    num = 16
    turn = np.arange(num) * 2 * np.pi / num
    up = camera_poses(0.3 * np.stack((np.cos(turn), np.sin(turn)), 1), turn, np.full(num, 0.45))
    found = views_of(closed(BOX), up).found()
    assert found.room is not None
    assert found.room.floor_z_m == 0.0
    assert found.room.ceiling_z_m == pytest.approx(CEILING_M, abs=0.02)


def test_a_table_is_no_floor_even_where_no_floor_is_seen():
    T = looking_around()
    lower, raised = T.copy(), np.array((0, 0, 0.7))
    lower[:, :3, 3] -= raised
    views = RoomViews()
    for k, depth_m in enumerate(depth_of(closed(BOX), lower)):  # the lowest level is 0.7 m up
        views.add(FrameView(k, depth_m.astype(np.float32), K, T[k], EXACT), NOTHING, True)
    found = views.found()
    assert found.room is not None
    assert found.room.floor_z_m == 0.0


def test_a_room_that_one_cannot_know_is_null_and_warned_of():
    T = looking_around(4)
    blind = RoomViews()
    for k in range(4):
        nothing = np.full((HEIGHT, WIDTH), np.nan, np.float32)
        blind.add(FrameView(k, nothing, K, T[k], EXACT), NOTHING, is_grounded=True)
    ahead = camera_poses(np.zeros((4, 2)), np.full(4, 0.1), np.full(4, -0.2))
    for views in (RoomViews(), blind, views_of(closed(BOX), ahead)):
        found = views.found()
        assert found.room is None
        assert "too little of its walls" in found.warnings[0]
    floating = RoomViews()
    depth = depth_of(closed(BOX), T)
    for k in range(4):
        view = FrameView(k, depth[k].astype(np.float32), K, T[k], EXACT)
        floating.add(view, NOTHING, is_grounded=False)
    assert floating.found().room is None
    assert "unit of depth" in floating.found().warnings[0]


def test_what_is_kept_does_not_grow_and_standing_still_costs_no_view_of_the_rest():
    T = looking_around(16)
    depth_m = depth_of(closed(BOX), T).astype(np.float32)
    views, held = RoomViews(), {}
    for k in range(200):
        row = min(k, 15)  # once around, and then the same picture for ever
        views.add(FrameView(k, depth_m[row], K, T[row], EXACT), NOTHING, is_grounded=True)
        held[k + 1] = len(pickle.dumps(views))
    assert held[200] == held[16]
    assert_is(views.found(), BOX, 0.95)
    grown = {}
    for k in range(3 * MAX_VIEWS):  # on and on through rooms that are all alike
        away = moved(T[k % 16], 0.0, (0.2 * k, 0.0, 0.0))
        views.add(FrameView(k, depth_m[k % 16], K, away, EXACT), NOTHING, is_grounded=True)
        grown[k + 1] = len(pickle.dumps(views))
    assert grown[3 * MAX_VIEWS] < 1.02 * grown[MAX_VIEWS]
    assert grown[3 * MAX_VIEWS] > 3 * held[16]


def test_a_room_goes_where_its_frames_go() -> None:
    T = looking_around()
    views = views_of(closed(BOX), T)
    before = views.found().room
    assert before is not None
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    R = np.array(((c, -s, 0), (s, c, 0), (0, 0, 1.0)))
    views.settle([Similarity(1.1, R, np.array((0.5, -0.2, 0.1)))] * len(T))
    after = views.found().room
    assert after is not None
    assert after.area_m2 == pytest.approx(1.21 * before.area_m2, rel=0.02)
    assert after.floor_z_m == pytest.approx(1.1 * before.floor_z_m + 0.1, abs=0.02)
    moved_m = 1.1 * np.array(before.polygon_m) @ R[:2, :2].T + (0.5, -0.2)
    assert iou(np.array(after.polygon_m), moved_m) > 0.95
