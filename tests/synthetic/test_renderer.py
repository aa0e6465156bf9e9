"""The ray caster against a slow one-ray-at-a-time oracle, and cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spatialcode.scene.pinhole import Pinhole
from spatialcode.synthetic.clips import ClipConfig, Shot
from spatialcode.synthetic.layout import Interior
from spatialcode.synthetic.placement import Placed
from spatialcode.synthetic.primitives import BOX, CYLINDER, ELLIPSOID, Builder, Material, Model
from spatialcode.synthetic.renderer import Traced, trace
from spatialcode.synthetic.rooms import FloorPlan, RoomPlan, Wall
from spatialcode.synthetic.stage import CEILING, FLOOR, WALL, Stage, build_stage

GREY = Material((0.5, 0.5, 0.5))


def block(size: tuple[float, float, float], kind: int = BOX) -> Model:
    b = Builder()
    b.add(kind, (0, 0, 0), size, GREY)
    return b.model("chair")


def empty_room(objects: tuple[Placed, ...]) -> Stage:
    """A 6 x 6 m room, 3 m high, corner at the origin."""
    corners = [(0.0, 0.0), (6.0, 0.0), (6.0, 6.0), (0.0, 6.0)]
    walls = tuple(Wall(a, b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True))
    room = RoomPlan("living", (0.0, 0.0, 6.0, 6.0), None, walls)
    plan = FloorPlan((room,), 3.0, (), 2.0)
    interior = Interior(plan, objects, (), (), GREY, (GREY,), GREY)
    return build_stage(np.random.default_rng(0), interior)


def view_north(width: int = 80, height: int = 60, focal: float = 40.0) -> Pinhole:
    """From (3, 1, 1.5), looking level along +y: x right = world x, y down = world -z."""
    T = np.eye(4)
    T[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)
    T[:3, 3] = (3.0, 1.0, 1.5)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Pinhole(K, T, width, height)


def placed(model: Model, center: tuple[float, float, float], yaw: float = 0.0) -> Placed:
    return Placed(model, center, yaw, "floor", 0)


def render(*objects: Placed) -> tuple[Stage, Traced]:
    stage = empty_room(objects)
    return stage, trace(stage, view_north(), len(objects))


def oracle(stage: Stage, view: Pinhole) -> tuple[np.ndarray, np.ndarray]:
    """Depth and primitive, one ray and one primitive at a time, by textbook formulas."""
    depth = np.full((view.height_px, view.width_px), np.inf)
    winner = np.full(depth.shape, -1)
    eye = view.T_world_camera[:3, 3]
    for row in range(view.height_px):
        for column in range(view.width_px):
            pixel = np.array([column + 0.5, row + 0.5, 1.0])
            ray = view.T_world_camera[:3, :3] @ np.linalg.solve(view.K, pixel)
            for i in range(len(stage.kind)):
                o = stage.to_unit[i] @ (eye - stage.center[i])
                d = stage.to_unit[i] @ ray
                t = hit(int(stage.kind[i]), o.tolist(), d.tolist())
                if 0.05 < t < depth[row, column]:
                    depth[row, column], winner[row, column] = t, i
    return depth, winner


def hit(kind: int, o: list[float], d: list[float]) -> float:
    """Entry parameter into the unit shape: every crossing of its surfaces, the first valid."""
    found = []
    flat = (0, 1, 2) if kind == BOX else (2,) if kind == CYLINDER else ()
    for axis in flat:
        for side in (-1.0, 1.0):
            if d[axis] == 0.0:
                continue
            t = (side - o[axis]) / d[axis]
            p = [o[k] + t * d[k] for k in range(3)]
            others = [p[k] for k in range(3) if k != axis]
            inside = max(map(abs, others)) <= 1 if kind == BOX else math.hypot(*others) <= 1
            if inside:
                found.append(t)
    if kind != BOX:
        axes = (0, 1) if kind == CYLINDER else (0, 1, 2)
        a = sum(d[k] ** 2 for k in axes)
        b = sum(o[k] * d[k] for k in axes)
        c = sum(o[k] ** 2 for k in axes) - 1
        if a > 0 and b * b - a * c > 0:
            for sign in (-1, 1):
                t = (-b + sign * math.sqrt(b * b - a * c)) / a
                if kind == ELLIPSOID or abs(o[2] + t * d[2]) <= 1:
                    found.append(t)
    found = [t for t in found if t > 0.05]
    return min(found, default=math.inf)


@pytest.mark.parametrize("seed", [11, 1_000_000_005])
def test_agrees_with_the_slow_oracle_on_whole_rooms(seed: int) -> None:
    shot = Shot.plan(seed, ClipConfig(width_px=32, height_px=24))
    T = shot.poses(np.array([0.3]))[0]
    view = Pinhole(shot.K, T, 32, 24)
    traced = trace(shot.stage, view, len(shot.interior.objects))
    depth, winner = oracle(shot.stage, view)
    owner, expected = shot.stage.owner[traced.primitive], shot.stage.owner[winner]
    # float32 against float64: a ray that grazes an edge may fall on the other side.
    assert (owner != expected).mean() < 0.01
    same = owner == expected
    assert np.abs(traced.depth_m - depth)[same].max() < 2e-3
    assert (traced.primitive == winner).mean() > 0.98


def test_depth_of_a_wall_by_hand() -> None:
    stage, traced = render()
    # The wall y = 6 is 5 m ahead: z-depth is the same over all of it.
    assert stage.owner[traced.primitive[30, 40]] == WALL
    assert traced.depth_m[20:40, 30:50] == pytest.approx(5.0, abs=1e-5)
    # The floor, 1.5 m below: row centre 59.5 is (59.5 - 30) / 40 below the axis.
    assert stage.owner[traced.primitive[59, 40]] == FLOOR
    assert traced.depth_m[59, 40] == pytest.approx(1.5 * 40 / 29.5, rel=1e-5)
    assert stage.owner[traced.primitive[0, 40]] == CEILING


def test_box_front_face_and_visibility_one() -> None:
    # 1 m cube, front face 2 m ahead: 20 px wide and high, all of it visible.
    stage, traced = render(placed(block((1.0, 1.0, 1.0)), (3.0, 3.5, 1.5)))
    mask = stage.owner[traced.primitive] == 0
    assert mask.sum() == 20 * 20
    assert traced.depth_m[mask] == pytest.approx(2.0, abs=1e-6)
    assert traced.visibility[0] == 1.0


def test_a_box_half_hidden_is_half_visible() -> None:
    far = placed(block((1.0, 1.0, 1.0)), (3.0, 3.5, 1.5))
    # 1 m ahead, covers columns 40 to 59 of the far one's 30 to 49, and all its rows.
    near = placed(block((0.5, 0.1, 0.5)), (3.25, 2.05, 1.5))
    _, traced = render(far, near)
    assert traced.visibility[0] == pytest.approx(0.5, abs=0.001)
    assert traced.visibility[1] == 1.0


def test_a_box_cut_by_the_frame_counts_what_lies_outside() -> None:
    # Front face 2 m ahead, 3 to 1 m left of the axis: columns -20 to 20, 20 rows: 800 px, half
    # of them outside. The right side face runs from depth 2 to 3 m: columns 20 to 26.7, where
    # column c is 40 - c rows high: 40 (26.67 - 20) - (26.67^2 - 20^2) / 2 = 111.1 px.
    stage, traced = render(placed(block((2.0, 1.0, 1.0)), (1.0, 3.5, 1.5)))
    in_frame = (stage.owner[traced.primitive] == 0).sum()
    assert in_frame == pytest.approx(511.1, abs=10)
    # What lies outside is measured on a grid two pixels apart.
    assert traced.visibility[0] == pytest.approx(511.1 / 911.1, abs=0.02)


def test_hidden_and_outside_objects_have_visibility_zero() -> None:
    hidden = placed(block((0.2, 0.2, 0.2)), (3.0, 5.0, 1.5))
    wall = placed(block((1.0, 0.1, 1.0)), (3.0, 3.0, 1.5))
    behind = placed(block((0.2, 0.2, 0.2)), (3.0, 0.5, 1.5))
    _, traced = render(hidden, wall, behind)
    assert traced.visibility[0] == 0.0
    assert traced.visibility[1] == 1.0
    assert traced.visibility[2] == 0.0


def test_order_of_objects_does_not_matter() -> None:
    a = placed(block((1.0, 1.0, 1.0)), (3.0, 3.5, 1.5), yaw=0.3)
    b = placed(block((0.6, 0.6, 1.4), ELLIPSOID), (3.3, 2.4, 1.2))
    first_stage, first = render(a, b)
    second_stage, second = render(b, a)
    assert (first.depth_m == second.depth_m).all()
    one, two = first_stage.owner[first.primitive], second_stage.owner[second.primitive]
    assert ((one == 0) == (two == 1)).all()
    assert first.visibility.tolist() == second.visibility[::-1].tolist()


def test_yaw_turns_counter_clockwise_seen_from_above() -> None:
    # A long box along its x; turned by +45 degrees its +x end is farther (+y) on the right.
    stage, traced = render(placed(block((2.0, 0.2, 0.4)), (3.0, 4.0, 1.5), yaw=math.pi / 4))
    mask = stage.owner[traced.primitive] == 0
    left = traced.depth_m[:, :40][mask[:, :40]].mean()
    right = traced.depth_m[:, 40:][mask[:, 40:]].mean()
    assert right > left + 0.3


def test_a_moved_object_is_rendered_where_it_was_put() -> None:
    stage = empty_room((placed(block((1.0, 1.0, 1.0)), (3.0, 3.5, 1.5)),))
    stage.pose(0, (4.0, 4.5, 1.5), 0.0)
    moved = trace(stage, view_north(), 1)
    fresh = empty_room((placed(block((1.0, 1.0, 1.0)), (4.0, 4.5, 1.5)),))
    assert (moved.depth_m == trace(fresh, view_north(), 1).depth_m).all()
