"""Rooms, placement, outlines and motion: nothing intersects, everything is somewhere."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialcode.scene.boxes import Boxes, intersection_volume, iou_matrix
from spatialcode.scene.categories import LABELS
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.synthetic.layout import Interior, furnish
from spatialcode.synthetic.paths import MOVABLE, free_space, plan_motions, scattered_views, walk
from spatialcode.synthetic.placement import Footprint, Placed, facing, footprint_of, overlap
from spatialcode.synthetic.rooms import Wall, make_floor_plan, outline, plan_outline, room_polygon

NUM_ROOMS = 150


def interiors(number: int = NUM_ROOMS) -> list[Interior]:
    return [furnish(np.random.default_rng(seed)) for seed in range(number)]


@pytest.fixture(scope="module")
def furnished() -> list[Interior]:
    return interiors()


def boxes_of(objects: list[Placed]) -> Boxes:
    return Boxes(
        np.array([p.center_m for p in objects]),
        np.array([p.model.size_m for p in objects]),
        quaternion_from_yaw(np.array([p.yaw_rad for p in objects])),
    )


def footprint_boxes(footprints: list[Footprint]) -> Boxes:
    return Boxes(
        np.array([(f.x, f.y, (f.low + f.high) / 2) for f in footprints]),
        np.array([(2 * f.half_x, 2 * f.half_y, f.high - f.low) for f in footprints]),
        quaternion_from_yaw(np.array([f.yaw_rad for f in footprints])),
    )


number = st.floats(-2, 2)
extent = st.floats(0.1, 2)
footprints = st.builds(
    Footprint, number, number, extent, extent, st.floats(-7, 7), st.just(0.0), extent
)


@settings(max_examples=150, deadline=None)
@given(footprints, footprints)
def test_overlap_agrees_with_exact_common_volume(a: Footprint, b: Footprint) -> None:
    common = intersection_volume(footprint_boxes([a]), footprint_boxes([b]))[0]
    if common > 1e-6:
        assert overlap(a, b)
    if not overlap(a, b):
        assert common < 1e-9


def test_floor_objects_share_no_volume(furnished: list[Interior]) -> None:
    for interior in furnished:
        standing = [p for p in interior.objects if p.mount == "floor"]
        shared = iou_matrix(boxes_of(standing), boxes_of(standing))
        assert shared[~np.eye(len(standing), dtype=bool)].max(initial=0.0) == 0.0


def test_things_on_furniture_rest_on_it_and_miss_each_other(furnished: list[Interior]) -> None:
    number = 0
    for interior in furnished:
        carried = [p for p in interior.objects if p.mount == "surface"]
        shared = iou_matrix(boxes_of(carried), boxes_of(carried)) if carried else np.zeros((0, 0))
        assert shared[~np.eye(len(carried), dtype=bool)].max(initial=0.0) == 0.0
        for p in carried:
            bottom = p.center_m[2] - p.model.size_m[2] / 2
            tops = [
                q.center_m[2] + s.center_m[2]
                for q in interior.objects
                if math.dist(q.center_m[:2], p.center_m[:2]) < max(q.model.size_m[:2])
                for s in q.model.supports
            ]
            assert min(abs(bottom - top) for top in tops) < 0.005
            number += 1
    assert number > NUM_ROOMS / 2


def test_floor_objects_stand_on_the_floor_inside_a_room(furnished: list[Interior]) -> None:
    for interior in furnished:
        for p in interior.objects:
            if p.mount != "floor":
                continue
            assert p.center_m[2] == pytest.approx(p.model.size_m[2] / 2)
            x0, y0, x1, y1 = interior.plan.rooms[p.room].rect
            corners = footprint_of(p).corners()
            assert all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in corners)
            for a, b, c, d in interior.plan.notches:
                notch = Footprint((a + c) / 2, (b + d) / 2, (c - a) / 2, (d - b) / 2, 0, 0, 3)
                assert not overlap(footprint_of(p), notch)


def test_wall_things_hang_on_a_wall_and_face_the_room(furnished: list[Interior]) -> None:
    for interior in furnished:
        for p in interior.objects:
            if p.mount != "wall":
                continue
            front = (-math.sin(p.yaw_rad), math.cos(p.yaw_rad))
            distances = []
            for wall in interior.plan.rooms[p.room].walls:
                if np.dot(front, wall.normal) > 0.99:
                    to = np.subtract(p.center_m[:2], wall.start)
                    distances.append(abs(float(np.dot(to, wall.normal))))
            assert min(distances) < 1e-6
            assert p.center_m[2] + p.model.size_m[2] / 2 < interior.plan.ceiling_m


def test_chairs_at_tables_face_them(furnished: list[Interior]) -> None:
    towards, seats = 0, 0
    for interior in furnished:
        tables = [p for p in interior.objects if p.model.label == "table"]
        for chair in interior.objects:
            if chair.model.label != "chair" or not tables:
                continue
            nearest = min(tables, key=lambda t: math.dist(t.center_m[:2], chair.center_m[:2]))
            to = np.subtract(nearest.center_m[:2], chair.center_m[:2])
            if np.hypot(*to) > 0.9 or nearest.model.size_m[2] < 0.6:
                continue
            front = (-math.sin(chair.yaw_rad), math.cos(chair.yaw_rad))
            towards += float(np.dot(front, to)) > 0.7 * float(np.hypot(*to))
            seats += 1
    assert seats > 40
    # Some chairs stand beside a table by chance, looking elsewhere.
    assert towards / seats > 0.7


def test_all_categories_are_seen_often_enough(furnished: list[Interior]) -> None:
    counts = Counter(p.model.label for i in furnished for p in i.objects)
    total = sum(counts.values())
    assert set(counts) == set(LABELS)
    # The aim is 3 % each; the margin is the sampling error of this many rooms.
    assert min(counts[label] / total for label in LABELS) > 0.022
    rooms = sum(len(i.plan.rooms) for i in furnished)
    assert 8 <= total / rooms <= 16


def test_plans_have_one_to_three_rooms_of_lifelike_size() -> None:
    plans = [make_floor_plan(np.random.default_rng(seed)) for seed in range(400)]
    counts = Counter(len(p.rooms) for p in plans)
    assert set(counts) == {1, 2, 3}
    assert 0.62 < counts[1] / 400 < 0.78
    assert any(p.notches for p in plans)
    for plan in plans:
        assert 2.4 <= plan.ceiling_m <= 3.0
        assert len(plan.passages) == len(plan.rooms) - 1
        for x0, y0, x1, y1 in plan.rects:
            assert 2.3 < x1 - x0 < 7.1
            assert 2.3 < y1 - y0 < 7.1


def test_facing_turns_the_front_to_a_direction() -> None:
    assert facing((0.0, 1.0)) == pytest.approx(0.0)
    assert facing((-1.0, 0.0)) == pytest.approx(math.pi / 2)
    wall = Wall((0.0, 0.0), (4.0, 0.0))
    assert wall.normal == pytest.approx((0.0, 1.0))
    assert wall.point(1.0, 0.5) == pytest.approx((1.0, 0.5))


def shoelace(points: np.ndarray) -> float:
    x, y = points.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def test_outline_of_an_l_shape_by_hand() -> None:
    points, area = outline([(0.0, 0.0, 4.0, 3.0)], [(3.0, 2.0, 4.0, 3.0)])
    assert area == pytest.approx(11.0)
    assert {tuple(p) for p in points.tolist()} == {(0, 0), (4, 0), (4, 2), (3, 2), (3, 3), (0, 3)}
    assert shoelace(points) == pytest.approx(11.0)
    assert shoelace(np.array(room_polygon((0, 0, 4, 3), (3, 2, 4, 3)))) == pytest.approx(11.0)


def test_outline_joins_rooms_through_their_opening() -> None:
    rooms = [(0.0, 0.0, 4.0, 4.0), (4.2, 0.0, 7.2, 3.0), (4.0, 1.0, 4.2, 2.0)]
    points, area = outline(rooms, [])
    assert area == pytest.approx(16 + 9 + 0.2)
    assert shoelace(points) == pytest.approx(area)


def test_outlines_of_plans_have_their_rooms_area(furnished: list[Interior]) -> None:
    for interior in furnished:
        plan = interior.plan
        points, area = plan_outline(plan, list(range(len(plan.rooms))))
        rooms = (*plan.rects, *plan.passages)
        expected = sum((c - a) * (d - b) for a, b, c, d in rooms)
        expected -= sum((c - a) * (d - b) for a, b, c, d in plan.notches)
        assert area == pytest.approx(expected)
        assert shoelace(points) == pytest.approx(area)


def test_moving_objects_hit_nothing_on_their_way(furnished: list[Interior]) -> None:
    number = 0
    for seed, interior in enumerate(furnished[:60]):
        for motion in plan_motions(np.random.default_rng(seed), interior):
            number += 1
            mover = interior.objects[motion.index]
            assert mover.model.label in MOVABLE
            others = [p for k, p in enumerate(interior.objects)
                      if k != motion.index and p.mount != "wall"]  # fmt: skip
            way = [motion.place(mover, float(s)) for s in np.linspace(0, 1, 40)]
            assert iou_matrix(boxes_of(way), boxes_of(others)).max(initial=0.0) == 0.0
            assert math.dist(way[0].center_m, mover.center_m) == 0.0
            assert math.dist(way[-1].center_m, way[0].center_m) == pytest.approx(
                math.hypot(*motion.shift_m)
            )
    assert number > 20


def test_cameras_stand_in_rooms_and_not_in_furniture(furnished: list[Interior]) -> None:
    for seed, interior in enumerate(furnished[:40]):
        rng = np.random.default_rng(seed)
        path = walk(rng, interior, free_space(interior))
        poses = [*scattered_views(rng, interior, 6), *path.at(np.linspace(0, 1, 32))]
        rooms = (*interior.plan.rects, *interior.plan.passages)
        for T in poses:
            x, y, z = T[:3, 3]
            assert 1.0 < z < 2.0
            assert any(a < x < c and b < y < d for a, b, c, d in rooms)
            point = Footprint(x, y, 0.02, 0.02, 0.0, 0.0, 3.0)
            assert not any(overlap(point, footprint_of(p)) for p in interior.objects
                           if p.mount != "wall")  # fmt: skip
