"""Rooms of exact and disturbed maps that a small ray caster makes of prisms."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from spatialcode.encoder.maps import (
    CEILING_CHANNEL,
    FLOOR_CHANNEL,
    WALL_CHANNEL,
    DenseMaps,
)
from spatialcode.encoder.room.estimate import estimate_room
from spatialcode.scene.kinds import PRIMITIVE_KINDS
from spatialcode.scene.schema import Room

NUM_CLASSES = PRIMITIVE_KINDS.num_channels

GRID = (30, 40)
K_GRID = np.array([[32.0, 0, 20.0], [0, 32.0, 15.0], [0, 0, 1.0]])
CAMERA_M = 1.5
CEILING_M = 2.6

BOX = np.array([(-2.0, -1.5), (3.0, -1.5), (3.0, 2.5), (-2.0, 2.5)])
L_SHAPE = np.array([(-2.0, -2.0), (3.0, -2.0), (3.0, 0.5), (0.8, 0.5), (0.8, 3.0), (-2.0, 3.0)])


def closed(polygon: np.ndarray) -> np.ndarray:
    """Wall faces (W, 2, 2), end to end, of a room."""
    return np.stack((polygon, np.roll(polygon, -1, axis=0)), axis=1)


def camera_poses(path_m: np.ndarray, heading_rad: np.ndarray, pitch_rad: np.ndarray) -> np.ndarray:
    """T_world_camera (N, 4, 4) at path (N, 2); heading from world x, pitch up."""
    c, s = np.cos(heading_rad), np.sin(heading_rad)
    cp, sp = np.cos(pitch_rad), np.sin(pitch_rad)
    forward = np.stack((c * cp, s * cp, sp), axis=1)
    right = np.stack((s, -c, np.zeros_like(c)), axis=1)
    T = np.tile(np.eye(4), (len(c), 1, 1))
    T[:, :3, :3] = np.stack((right, np.cross(forward, right), forward), axis=2)
    T[:, :2, 3], T[:, 2, 3] = path_m, CAMERA_M
    return T


def looking_around(num: int = 16, center: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A small circle walked while turning once, tilted up and down in turn."""
    turn = np.arange(num) * 2 * np.pi / num
    path = np.array(center) + 0.4 * np.stack((np.cos(turn), np.sin(turn)), axis=1)
    return camera_poses(path, turn, np.where(np.arange(num) % 2, 0.25, -0.35))


def cast(walls_m: np.ndarray, T: np.ndarray) -> DenseMaps:
    """Exact maps; z-depth of the nearest of floor, ceiling and walls."""
    v, u = np.mgrid[: GRID[0], : GRID[1]] + 0.5
    rays = np.stack(((u - 20.0) / 32.0, (v - 15.0) / 32.0, np.ones_like(u)), axis=-1)
    sight = np.einsum("nij,hwj->nhwi", T[:, :3, :3], rays)
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = np.where(sight[..., 2] < 0, -CAMERA_M / sight[..., 2], np.inf)
        ceiling = np.where(sight[..., 2] > 0, (CEILING_M - CAMERA_M) / sight[..., 2], np.inf)
        wall = np.full(floor.shape, np.inf)
        for a, b in walls_m:
            along, start = b - a, a - T[:, None, None, :2, 3]
            cross = sight[..., 0] * along[1] - sight[..., 1] * along[0]
            t = (start[..., 0] * along[1] - start[..., 1] * along[0]) / cross
            where = (start[..., 0] * sight[..., 1] - start[..., 1] * sight[..., 0]) / cross
            hit = (t > 0) & (where >= 0) & (where <= 1)
            wall = np.where(hit, np.minimum(wall, t), wall)
    surfaces = np.stack((floor, wall, ceiling))
    nearest = surfaces.argmin(axis=0)
    channel = np.array([FLOOR_CHANNEL, WALL_CHANNEL, CEILING_CHANNEL])[nearest]
    return dense_maps(surfaces.min(axis=0), channel, T)


def dense_maps(depth_m: np.ndarray, channel: np.ndarray, T: np.ndarray) -> DenseMaps:
    n, shape = len(T), depth_m.shape
    return DenseMaps(
        class_prob=np.moveaxis(np.eye(NUM_CLASSES, dtype=np.float32)[channel], -1, 1),
        depth_m=depth_m.astype(np.float32),
        depth_log_scale=np.full(shape, 0.02, np.float32),
        vote_level_m=np.zeros((*shape, 3), np.float32),
        vote_scale_m=np.ones((*shape, 3), np.float32),
        size_m=np.ones((*shape, 3), np.float32),
        yaw_level_rad=np.zeros(shape, np.float32),
        up_camera=T[:, 2, :3].astype(np.float32),
        camera_height_m=np.full(n, CAMERA_M, np.float32),
        gravity_scale_rad=np.full(n, 0.01, np.float32),
    )


def moved(T: np.ndarray, yaw_rad: float, shift_m: tuple[float, float, float]) -> np.ndarray:
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    world = np.eye(4)
    world[:2, :2], world[:3, 3] = [[c, -s], [s, c]], shift_m
    return world @ T


def signed_area(polygon: np.ndarray) -> float:
    return 0.5 * float(np.linalg.det(closed(polygon)).sum())


def iou(a: np.ndarray, b: np.ndarray, step_m: float = 0.02) -> float:
    low = np.minimum(a.min(axis=0), b.min(axis=0))
    size = np.ceil((np.maximum(a.max(axis=0), b.max(axis=0)) - low) / step_m).astype(int) + 1
    masks = [np.zeros((size[1], size[0]), np.uint8) for _ in range(2)]
    for mask, polygon in zip(masks, (a, b), strict=True):
        cv2.fillPoly(mask, [np.rint((polygon - low) / step_m).astype(np.int32)], 1)
    return float((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())


def crosses_itself(polygon: np.ndarray) -> bool:
    """Whether sides that are not neighbours share a point."""
    sides = closed(polygon)

    def left(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> float:
        return float(np.linalg.det(np.stack((b - a, p - a))))

    for i in range(len(sides)):
        for j in range(i + 2, len(sides) - (i == 0)):
            (a, b), (c, d) = sides[i], sides[j]
            if left(a, b, c) * left(a, b, d) <= 0 and left(c, d, a) * left(c, d, b) <= 0:
                return True
    return False


def assert_sound(room: Room) -> np.ndarray:
    """The polygon, after checking what every outline must be."""
    polygon = np.array(room.polygon_m)
    assert len(polygon) >= 4
    assert signed_area(polygon) == pytest.approx(room.area_m2, rel=1e-4)
    assert not crosses_itself(polygon)
    return polygon


@pytest.mark.parametrize("shape", [BOX, L_SHAPE], ids=["box", "L"])
def test_exact_maps_give_the_room(shape):
    T = looking_around()
    room = estimate_room(cast(closed(shape), T), K_GRID, T)
    polygon = assert_sound(room)
    assert len(polygon) == len(shape)
    assert room.area_m2 == pytest.approx(signed_area(shape), rel=0.05)
    assert iou(polygon, shape) > 0.95
    assert room.floor_z_m == pytest.approx(0.0, abs=0.01)
    assert room.ceiling_z_m == pytest.approx(CEILING_M, abs=0.02)


@pytest.mark.parametrize("shape", [BOX, L_SHAPE], ids=["box", "L"])
@pytest.mark.parametrize("yaw_rad", [0.3, 2.0, -1.1])
def test_room_moves_with_the_world(shape, yaw_rad):
    T = looking_around()
    maps = cast(closed(shape), T)
    shift = (3.0, -7.0, 0.8)
    before = estimate_room(maps, K_GRID, T)
    after = estimate_room(maps, K_GRID, moved(T, yaw_rad, shift))
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    expected = np.array(before.polygon_m) @ np.array([[c, s], [-s, c]]) + shift[:2]
    assert iou(assert_sound(after), expected) > 0.98
    assert after.area_m2 == pytest.approx(before.area_m2, rel=0.02)
    assert after.floor_z_m == pytest.approx(before.floor_z_m + 0.8, abs=1e-4)
    assert after.ceiling_z_m == pytest.approx(before.ceiling_z_m + 0.8, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [BOX, L_SHAPE], ids=["box", "L"])
def test_noisy_depth_and_classes(shape, seed):
    rng, T = np.random.default_rng(seed), looking_around(32)
    maps = cast(closed(shape), T)
    # half of the error is a frame's own, as networks err
    log_error = 0.07 * (rng.normal(size=(32, 1, 1)) + rng.normal(size=(32, *GRID)))
    prob = maps.class_prob.copy()
    wrong = rng.random((32, *GRID)) < 0.1
    prob[:, 0][wrong], prob[:, 1:].transpose(1, 0, 2, 3)[:, wrong] = 1.0, 0.0
    noisy = replace(
        maps,
        class_prob=prob,
        depth_m=(maps.depth_m * np.exp(log_error)).astype(np.float32),
        depth_log_scale=np.full_like(maps.depth_m, 0.1),
    )
    room = estimate_room(noisy, K_GRID, T)
    polygon = assert_sound(room)
    assert room.area_m2 == pytest.approx(signed_area(shape), rel=0.15)
    assert iou(polygon, shape) > 0.8
    assert abs(room.floor_z_m) < 0.05
    assert room.ceiling_z_m == pytest.approx(CEILING_M, abs=0.1)


def test_floor_is_where_its_cells_say_more_than_where_the_camera_does():
    T = looking_around()
    maps = cast(closed(BOX), T)
    wrong_height = replace(maps, camera_height_m=maps.camera_height_m + 0.2)
    assert estimate_room(wrong_height, K_GRID, T).floor_z_m == pytest.approx(0.0, abs=0.05)
    hidden = _relabelled(wrong_height, FLOOR_CHANNEL, 0)
    assert estimate_room(hidden, K_GRID, T).floor_z_m == pytest.approx(-0.2, abs=1e-4)


def _relabelled(maps: DenseMaps, old: int, new: int) -> DenseMaps:
    prob = maps.class_prob.copy()
    prob[:, new] += prob[:, old]
    prob[:, old] = 0.0
    return replace(maps, class_prob=prob)


def test_without_ceiling_its_height_is_unknown():
    T = looking_around()
    maps = cast(closed(BOX), T)
    room = estimate_room(_relabelled(maps, CEILING_CHANNEL, 0), K_GRID, T)
    assert room.ceiling_z_m is None
    assert room.area_m2 == pytest.approx(20.0, rel=0.05)


def test_furniture_hides_neither_wall_nor_floor_from_all_frames():
    """What stands in the way in half of the frames does not become a dent of the room."""
    T = looking_around(32)
    maps = cast(closed(BOX), T)
    prob, depth = maps.class_prob.copy(), maps.depth_m.copy()
    prob[::2, :, 8:, 10:20] = np.eye(NUM_CLASSES, dtype=np.float32)[2][:, None, None]
    depth[::2, 8:, 10:20] *= 0.5
    room = estimate_room(replace(maps, class_prob=prob, depth_m=depth), K_GRID, T)
    assert iou(assert_sound(room), BOX) > 0.95


TWO_ROOMS = np.concatenate(
    (
        closed(BOX)[[0, 2, 3]],
        closed(np.array([(3.1, -1.5), (6.1, -1.5), (6.1, 2.5), (3.1, 2.5)]))[:3],
        # the two faces of the wall between them, with a door from y = 0 to y = 0.9
        [[(3.0, -1.5), (3.0, 0.0)], [(3.0, 0.9), (3.0, 2.5)]],
        [[(3.1, 0.9), (3.1, 2.5)], [(3.1, -1.5), (3.1, 0.0)]],
        [[(3.0, 0.0), (3.1, 0.0)], [(3.0, 0.9), (3.1, 0.9)]],
    )
)


def test_room_behind_an_open_door_counts_only_if_entered():
    here, there = looking_around(center=(0.5, 0.4)), looking_around(center=(4.5, 0.4))
    first = estimate_room(cast(TWO_ROOMS, here), K_GRID, here)
    assert iou(assert_sound(first), BOX) > 0.95
    both = np.concatenate((here, there))
    room = estimate_room(cast(TWO_ROOMS, both), K_GRID, both)
    assert_sound(room)
    assert room.area_m2 == pytest.approx(20.0 + 12.0, rel=0.05)


def test_only_floor_seen_gives_about_what_was_seen():
    """Nothing but floor within 2.6 m and more of a camera that looks down all around."""
    turn = np.arange(16) * np.pi / 8
    T = camera_poses(np.zeros((16, 2)), turn, np.full(16, -0.7))
    maps = cast(np.zeros((0, 2, 2)), T)
    assert maps.class_prob[:, FLOOR_CHANNEL].min() == 1.0
    for yaw_rad in (0.0, 0.4):
        room = estimate_room(maps, K_GRID, moved(T, yaw_rad, (5.0, 0.0, 0.0)))
        polygon = assert_sound(room) - (5.0, 0.0)
        assert room.ceiling_z_m is None
        assert room.floor_z_m == pytest.approx(0.0, abs=0.01)
        # 1.5 m above the floor the upper edge of the picture meets it 5.3 m away
        assert np.all(np.abs(polygon.mean(axis=0)) < 0.5)
        assert 50 < room.area_m2 < 120


def test_without_any_floor_wall_or_ceiling_there_is_no_room():
    T = looking_around(4)
    depth = np.full((4, *GRID), 2.0)
    objects = dense_maps(depth, np.full(depth.shape, 3), T)
    assert estimate_room(objects, K_GRID, T) is None
    ceiling = dense_maps(depth, np.full(depth.shape, CEILING_CHANNEL), T)
    assert estimate_room(ceiling, K_GRID, T) is None


@pytest.mark.parametrize("depth_m", [1e-3, 2.0, 1e4])
@pytest.mark.parametrize("channel", [FLOOR_CHANNEL, WALL_CHANNEL, CEILING_CHANNEL, 3])
@pytest.mark.parametrize("num", [1, 4])
def test_senseless_maps_give_a_sound_room_or_none(depth_m, channel, num):
    T = looking_around(num)
    maps = dense_maps(np.full((num, *GRID), depth_m), np.full((num, *GRID), channel), T)
    room = estimate_room(maps, K_GRID, T)
    if room is not None:
        assert_sound(room)


@pytest.mark.parametrize("seed", range(20))
def test_random_maps_give_a_sound_room_or_none(seed):
    """Many small spurious walls: outlines with holes, islands and corners that touch."""
    rng = np.random.default_rng(seed)
    num = int(rng.integers(1, 8))
    T = looking_around(num)
    T[:, :2, 3] += rng.normal(0, 10.0 ** rng.integers(-1, 4), (num, 2))
    blocks = rng.lognormal(0.5, 1.0, (num, 6, 8)).repeat(5, axis=1).repeat(5, axis=2)
    channel = rng.integers(NUM_CLASSES - 4, NUM_CLASSES, (num, 6, 8))
    maps = dense_maps(blocks, channel.repeat(5, axis=1).repeat(5, axis=2), T)
    room = estimate_room(maps, K_GRID, T)
    if room is not None:
        assert_sound(room)


def test_one_frame_of_a_room_gives_the_part_seen():
    T = camera_poses(np.zeros((1, 2)), np.zeros(1), np.zeros(1))
    room = estimate_room(cast(closed(BOX), T), K_GRID, T)
    assert assert_sound(room)[:, 0].max() == pytest.approx(3.0, abs=0.15)
    assert 3.0 < room.area_m2 < 20.0
