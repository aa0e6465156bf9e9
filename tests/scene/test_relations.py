"""Views, bearings, and what is above, on, inside: by hand, by symmetry, by complex numbers."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from spatialcode.errors import SchemaError
from spatialcode.scene import relations
from spatialcode.scene.boxes import Boxes
from spatialcode.scene.relations import (
    View,
    above,
    below,
    common_area_m2,
    front_xy,
    gap_between_m,
    gap_m,
    inside,
    on,
    standing,
)
from tests.scene.box_oracles import distances, volumes
from tests.scene.builders import camera, chair

ROOT_HALF = math.sqrt(0.5)
#: Turned by +90 degrees about z: +y points along world -x.
QUARTER = (ROOT_HALF, 0.0, 0.0, ROOT_HALF)
HALF = (0.0, 0.0, 0.0, 1.0)


def box(center, size=(1.0, 1.0, 1.0), quaternion=(1.0, 0.0, 0.0, 0.0)):
    return chair(center_m=center, size_m=size, quaternion_wxyz=quaternion)


def looking(x_axis, y_axis, z_axis, at=(0.0, 0.0, 1.5)):
    """A camera whose axes (right, down, forward) point that way in the world."""
    pose = np.eye(4)
    pose[:3, :3] = np.array([x_axis, y_axis, z_axis], dtype=float).T
    pose[:3, 3] = at
    return camera(T_world_camera=pose.tolist())


def unit(view: View) -> tuple[float, float]:
    length = math.hypot(*view.forward_xy)
    return view.forward_xy[0] / length, view.forward_xy[1] / length


# --- views -------------------------------------------------------------------------------------


def test_between_stands_at_the_first_and_looks_at_the_second():
    view = View.between(box((1.0, 2.0, 0.5)), box((4.0, 6.0, 3.0)))
    assert view.origin_xy == (1.0, 2.0)
    assert view.forward_xy == (3.0, 4.0)  # the height plays no part


@pytest.mark.parametrize(
    ("quaternion", "forward"),
    [
        ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0)),
        (QUARTER, (-1.0, 0.0)),
        (HALF, (0.0, -1.0)),
        # tipped back by 60 degrees about x: +y becomes (0, 0.5, 0.87), still ahead
        ((math.cos(math.pi / 6), math.sin(math.pi / 6), 0.0, 0.0), (0.0, 1.0)),
    ],
)
def test_a_front_is_the_boxs_own_y(quaternion, forward):
    item = box((1.0, 2.0, 0.5), quaternion=quaternion)
    assert front_xy(item) == pytest.approx(forward, abs=1e-6)


SIN30, COS30 = 0.5, math.sqrt(0.75)


@pytest.mark.parametrize(
    ("axes", "forward"),
    [
        (((1, 0, 0), (0, 0, -1), (0, 1, 0)), (0.0, 1.0)),  # level, along +y
        (((0, 1, 0), (0, 0, -1), (-1, 0, 0)), (-1.0, 0.0)),  # yawed 90 degrees to the left
        (((1, 0, 0), (0, -SIN30, -COS30), (0, COS30, -SIN30)), (0.0, 1.0)),  # pitched down
        (((0, -1, 0), (-SIN30, 0, -COS30), (COS30, 0, -SIN30)), (1.0, 0.0)),  # right and down
        (((COS30, 0, SIN30), (SIN30, 0, -COS30), (0, 1, 0)), (0.0, 1.0)),  # rolled
        (((1, 0, 0), (0, -1, 0), (0, 0, -1)), (0.0, 1.0)),  # straight down, image top to +y
        (((0, 1, 0), (1, 0, 0), (0, 0, -1)), (-1.0, 0.0)),  # straight down, image top to -x
        (((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 1.0)),  # straight up: image bottom
    ],
)
def test_a_cameras_view_is_its_horizontal_viewing_direction(axes, forward):
    view = View.of_camera(looking(*axes, at=(3.0, -2.0, 1.5)))
    assert view.origin_xy == (3.0, -2.0)
    assert unit(view) == pytest.approx(forward, abs=1e-6)


@pytest.mark.parametrize("forward", [(0.0, 0.0), (1e-9, 0.0), (math.nan, 1.0), (math.inf, 0.0)])
def test_a_view_needs_a_direction(forward):
    with pytest.raises(SchemaError, match="forward_xy"):
        View((0.0, 0.0), forward)


def test_a_view_needs_a_place_and_a_front_that_is_not_up():
    with pytest.raises(SchemaError, match="origin_xy"):
        View((math.nan, 0.0), (0.0, 1.0))
    on_its_back = (ROOT_HALF, ROOT_HALF, 0.0, 0.0)  # 90 degrees about x: +y is up
    assert front_xy(box((0.0, 0.0, 0.0), quaternion=on_its_back)) is None
    with pytest.raises(SchemaError, match="forward_xy"):
        View.between(box((1.0, 1.0, 0.0)), box((1.0, 1.0, 2.0)))


# --- bearings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "bearing"),
    [
        ((0.0, 2.0), 0.0),
        ((-1.0, 1.0), 45.0),  # left is positive
        ((1.0, 1.0), -45.0),
        ((-3.0, 0.0), 90.0),
        ((-1.0, -1.0), 135.0),
        ((1.0, -1.0), -135.0),
        ((0.0, -1.0), 180.0),
        ((-0.0, -1.0), 180.0),
        ((0.0, 0.0), 0.0),
    ],
)
def test_bearings_along_plus_y(point, bearing):
    assert View((0.0, 0.0), (0.0, 5.0)).bearing_deg(point) == pytest.approx(bearing)


def test_straight_behind_is_plus_180_from_both_sides():
    for forward in [(0.0, 1.0), (-0.0, 1.0), (1.0, 0.0), (1.0, -0.0), (-1.0, 0.0), (2.0, -2.0)]:
        view = View((1.0, 1.0), forward)
        assert view.bearing_deg((1.0 - forward[0], 1.0 - forward[1])) == 180.0


coordinates = st.floats(-10.0, 10.0)
points = st.tuples(coordinates, coordinates)


@given(points, points, points)
def test_bearings_are_the_phase_of_a_quotient(origin, forward, point):
    assume(math.hypot(*forward) > 1e-3 and math.dist(origin, point) > 1e-3)
    quotient = (complex(*point) - complex(*origin)) / complex(*forward)
    got = View(origin, forward).bearing_deg(point)
    assert -180.0 < got <= 180.0
    difference = cmath.rect(1.0, math.radians(got)) - quotient / abs(quotient)
    assert abs(difference) < 1e-9


@pytest.mark.parametrize(
    ("bearing", "side", "third", "quadrant"),
    [
        (1.0, "left", "left", "front-left"),
        (-1.0, "right", "right", "front-right"),
        (89.0, "left", "left", "front-left"),
        (91.0, "left", "left", "back-left"),
        (-91.0, "right", "right", "back-right"),
        (134.9, "left", "left", "back-left"),
        (135.0, "left", "back", "back-left"),  # "at least 135 degrees"
        (-134.9, "right", "right", "back-right"),
        (-135.0, "right", "back", "back-right"),
        (179.0, "left", "back", "back-left"),
    ],
)
def test_words_for_bearings(bearing, side, third, quadrant):
    assert relations.word_of(bearing, "easy") == side
    assert relations.word_of(bearing, "medium") == third
    assert relations.word_of(bearing, "hard") == quadrant


def margin_deg(bearing, level):
    """How far a bearing lies from the nearest border between two answers of a level."""
    return min(abs(abs(bearing) - border) for border in relations.BORDERS_DEG[level])


@given(st.floats(-180.0, 180.0, exclude_min=True), st.floats(-180.0, 180.0))
def test_within_its_margin_a_word_stays(bearing, share):
    for level in relations.BORDERS_DEG:
        turned = bearing + 0.99 * margin_deg(bearing, level) * share / 180.0
        if margin_deg(bearing, level) > 1e-6:
            assert relations.word_of(turned, level) == relations.word_of(bearing, level)


# --- left, right, front, behind ----------------------------------------------------------------

#          y
#    a(-1, 3)             The viewer stands at the origin and looks along +y: a is to the left
#              b(1, 2)    of b and farther away. The observer o looks along -x, at b: a lies to
#    v(0, 0)      o(4, 2) the right of b and beyond it.
A, B = (-1.0, 3.0), (1.0, 2.0)


def holding(view: View, a_xy, b_xy, *, from_b: bool) -> set[str]:
    return {
        relation
        for relation in ("left", "right", "front", "behind")
        if relations.viewed(relation, view.forward_xy, a_xy, b_xy, from_b=from_b).holds
    }


def test_as_the_camera_sees_it():
    view = View.of_camera(looking((1, 0, 0), (0, 0, -1), (0, 1, 0)))
    assert holding(view, A, B, from_b=False) == {"left", "behind"}
    assert holding(view, B, A, from_b=False) == {"right", "front"}
    turned = View.of_camera(looking((-1, 0, 0), (0, 0, -1), (0, -1, 0)))  # looks along -y
    assert holding(turned, A, B, from_b=False) == {"right", "front"}


def test_as_an_observer_sees_it():
    view = View((4.0, 2.0), (-3.0, 0.0))
    assert holding(view, A, B, from_b=False) == {"right", "behind"}


def test_from_the_things_own_front():
    """B faces -y: its left is +x, so a, at smaller x and larger y, is to its right and behind."""
    view = View(B, front_xy(box((*B, 0.5), quaternion=HALF)))
    assert holding(view, A, B, from_b=True) == {"right", "behind"}
    away = View(B, front_xy(box((*B, 0.5))))  # b faces +y
    assert holding(away, A, B, from_b=True) == {"left", "front"}


def test_whose_front_is_meant_is_said_and_not_inferred_from_where_the_viewer_stands():
    at_b = View(B, (0.0, 1.0))
    near_b = View((B[0] + 1e-12, B[1]), (0.0, 1.0))
    for from_b, expected in ((False, {"left", "behind"}), (True, {"left", "front"})):
        assert holding(at_b, A, B, from_b=from_b) == expected
        assert holding(near_b, A, B, from_b=from_b) == expected


def test_margins_of_views_are_metres_along_the_view():
    view = View((0.0, 0.0), (0.0, 7.0))  # the length of the direction plays no part
    margins = {
        relation: relations.viewed(relation, view.forward_xy, A, B, from_b=False).margin_m
        for relation in ("left", "right", "front", "behind")
    }
    assert margins == {"left": 2.0, "right": -2.0, "front": -1.0, "behind": 1.0}


def test_on_the_border_neither_opposite_holds():
    assert holding(View((0.0, 0.0), (0.0, 1.0)), (1.0, 5.0), B, from_b=False) == {"behind"}
    assert holding(View((0.0, 0.0), (0.0, 1.0)), B, B, from_b=False) == set()


OPPOSITE = {"left": "right", "right": "left", "front": "behind", "behind": "front"}
SWAPPED = {"left": "right", "right": "left", "front": "front", "behind": "behind"}


@given(points, points, points, points, st.booleans())
def test_opposites_and_the_two_exchanged(origin, forward, a, b, from_b):
    assume(math.hypot(*forward) > 1e-3)
    view = View(origin, forward)
    for relation, opposite in OPPOSITE.items():
        got = relations.viewed(relation, view.forward_xy, a, b, from_b=from_b)
        assert (
            got.margin_m
            == -relations.viewed(opposite, view.forward_xy, a, b, from_b=from_b).margin_m
        )
        exchanged = relations.viewed(relation, view.forward_xy, b, a, from_b=from_b)
        assert got.margin_m == pytest.approx(-exchanged.margin_m, abs=1e-12)
        assert not (got.holds and exchanged.holds)


@given(points, points, points, points, st.booleans(), st.floats(-math.pi, math.pi))
def test_turning_the_room_changes_no_view_and_mirroring_swaps_the_sides(
    origin, forward, a, b, from_b, angle
):
    assume(math.hypot(*forward) > 1e-3)

    def turned(point):
        moved = complex(*point) * cmath.rect(1.0, angle)
        return moved.real, moved.imag

    def mirrored(point):
        return -point[0], point[1]

    plain = View(origin, forward)
    for change, names in ((turned, None), (mirrored, SWAPPED)):
        view = View(change(origin), change(forward))
        for relation in OPPOSITE:
            before = relations.viewed(relation, plain.forward_xy, a, b, from_b=from_b)
            name = names[relation] if names else relation
            after = relations.viewed(name, view.forward_xy, change(a), change(b), from_b=from_b)
            assert after.margin_m == pytest.approx(before.margin_m, abs=1e-9)


# --- above, below, on, inside ------------------------------------------------------------------

TABLE = box((0.0, 0.0, 0.4), (2.0, 1.0, 0.8))  # top at 0.8


@pytest.mark.parametrize(
    ("bottom", "is_above", "is_on"),
    [
        (0.8, True, True),  # touching
        (0.875, True, True),  # hovers within the tolerance of 0.1
        (0.925, True, False),
        (2.0, True, False),
        (0.725, True, True),  # sinks in within the tolerance
        (0.675, False, False),
        (0.0, False, False),  # stands in it
    ],
)
def test_contact(bottom, is_above, is_on):
    lamp = box((0.5, 0.25, bottom + 0.25), (0.25, 0.25, 0.5))
    assert gap_m(lamp, TABLE) == pytest.approx(bottom - 0.8, abs=1e-6)
    assert above(lamp, TABLE).holds is is_above
    assert below(TABLE, lamp).holds is is_above
    assert on(lamp, TABLE).holds is is_on
    assert not above(TABLE, lamp).holds
    assert not on(TABLE, lamp).holds
    assert not below(lamp, TABLE).holds


def test_margins_of_contact():
    lamp = box((0.0, 0.0, 1.1), (0.5, 0.5, 0.5))  # bottom at 0.85, all of it over the table
    assert on(lamp, TABLE).margin_m == pytest.approx(0.05, abs=1e-6)  # 0.1 less a gap of 0.05
    assert above(lamp, TABLE).margin_m == pytest.approx(0.15, abs=1e-6)
    # all of its 0.25 m2: (1 - 0.3) x 0.5 m
    high = box((0.0, 0.0, 4.0), (0.5, 0.5, 0.5))
    assert above(high, TABLE).margin_m == pytest.approx(0.35, abs=1e-6)


@pytest.mark.parametrize(
    ("x", "holds", "margin"),
    [
        (0.9, True, 0.3),  # 0.6 of it over the table: (0.6 - 0.3) x 1 m
        (1.1, True, 0.1),
        (1.25, False, -0.05),
        (1.5, False, -0.3),  # beside it, touching
        (2.5, False, -1.3),  # one metre farther
    ],
)
def test_a_share_of_the_smaller_footprint_must_meet(x, holds, margin):
    """The box is 1 x 1, the table ends at x = 1."""
    got = above(box((x, 0.0, 3.0)), TABLE)
    assert got.margin_m == pytest.approx(margin, abs=1e-6)
    assert got.holds is holds
    assert on(box((x, 0.0, 1.3)), TABLE).holds is holds


def test_far_away_is_no_near_miss():
    """Small things have small shares to lack; the distance counts too."""
    cup = box((5.0, 0.0, 0.85), (0.1, 0.1, 0.1))
    assert on(cup, TABLE).margin_m < -3.9


def test_beside_a_turned_table_is_not_over_it():
    """Seen from above a table turned by 45 degrees, and a lamp in the corner of its bounds.

    The table's bounds reach to 0.707 x 1.5 = 1.06 in x and y; the lamp at (0.9, -0.9) lies in
    them, but 1.27 m away from the table's middle across it, where it reaches 0.5 m.
    """
    half = math.pi / 8
    quaternion = (math.cos(half), 0.0, 0.0, math.sin(half))
    table = box((0.0, 0.0, 0.4), (2.0, 1.0, 0.8), quaternion)
    beside = box((0.9, -0.9, 1.0), (0.2, 0.2, 0.4))
    at_its_end = box((0.6, 0.6, 1.0), (0.2, 0.2, 0.4))
    assert not above(beside, table).holds
    assert not on(beside, table).holds
    assert on(at_its_end, table).holds
    assert on(box((0.6, -0.6, 1.0), (0.2, 0.2, 0.4)), TABLE).holds is False


def test_two_flat_things_at_one_height_are_not_both_on_each_other():
    rug, mat = box((0.0, 0.0, 0.01), (1.0, 1.0, 0.02)), box((0.1, 0.0, 0.02), (1.0, 1.0, 0.02))
    assert on(mat, rug).holds
    assert not on(rug, mat).holds
    assert not above(rug, mat).holds
    assert not on(rug, rug).holds


def test_interlocking():
    """A chair pushed under a table: its seat lies below the top, its back rises above it."""
    pushed_in = box((0.0, 0.5, 0.45), (0.5, 0.5, 0.9))
    for relation in (above, below, on, inside):
        assert not relation(pushed_in, TABLE).holds
        assert not relation(TABLE, pushed_in).holds
    assert gap_m(pushed_in, TABLE) == pytest.approx(-0.8, abs=1e-6)


@pytest.mark.parametrize(
    ("z", "holds", "margin"),
    [
        (0.5, True, 0.1),  # all of it: (1 - 0.8) x 0.5 m
        (0.8, True, 0.05),  # from 0.55 to 1.05: 90 percent in
        (0.875, False, -0.025),  # from 0.625 to 1.125: 75 percent
        (1.25, False, -0.4),  # on top
        (2.25, False, -1.4),  # a metre above
    ],
)
def test_inside_asks_for_four_fifths_of_the_volume(z, holds, margin):
    cupboard = box((0.0, 0.0, 0.5))
    item = box((0.0, 0.0, z), (0.5, 0.5, 0.5))
    got = inside(item, cupboard)
    assert got.margin_m == pytest.approx(margin, abs=1e-6)
    assert got.holds is holds
    assert not inside(cupboard, item).holds


def test_nothing_is_inside_itself_or_a_smaller_thing():
    a, b = box((0.0, 0.0, 0.5)), box((0.0, 0.0, 0.5), (0.95, 1.0, 1.0))
    assert not inside(a, a).holds
    assert not inside(a, b).holds  # 95 percent of it are
    assert inside(b, a).holds


rotations = st.tuples(*[st.floats(-1.0, 1.0)] * 4).filter(lambda q: math.hypot(*q) > 0.1)
yawed = st.floats(-math.pi, math.pi).map(lambda t: (math.cos(t / 2), 0.0, 0.0, math.sin(t / 2)))
near = st.floats(-1.5, 1.5)
sizes = st.tuples(*[st.floats(0.05, 2.0)] * 3)
boxes = st.builds(box, st.tuples(near, near, near), sizes, st.one_of(yawed, rotations))
RELATIONS = (above, below, on, inside)


def turned_about_z(item, angle):
    turn = Rotation.from_euler("z", angle)
    w, x, y, z = item.quaternion_wxyz
    qx, qy, qz, qw = (turn * Rotation.from_quat([x, y, z, w])).as_quat()
    return box(tuple(turn.apply(item.center_m)), item.size_m, (qw, qx, qy, qz))


def mirrored_in_x(item):
    """Under x -> -x a turn's axis keeps its x and changes its y and z."""
    (cx, cy, cz), (w, x, y, z) = item.center_m, item.quaternion_wxyz
    return box((-cx, cy, cz), item.size_m, (w, x, -y, -z))


def has_azimuth(item) -> bool:
    """Whether its x axis is not vertical, so that its footprint turns with it."""
    w, x, y, z = item.quaternion_wxyz
    return abs(Rotation.from_quat([x, y, z, w]).as_matrix()[2, 0]) < 0.999


@given(boxes, boxes, st.floats(-math.pi, math.pi))
def test_turning_or_mirroring_the_room_changes_no_vertical_relation(a, b, angle):
    assume(has_azimuth(a) and has_azimuth(b))
    changed = [
        (turned_about_z(a, angle), turned_about_z(b, angle)),
        (mirrored_in_x(a), mirrored_in_x(b)),
    ]
    for relation in RELATIONS:
        before = relation(a, b)
        for pair in changed:
            after = relation(*pair)
            # poses are rounded to float32, and a tilt magnifies that near a vertical x axis
            assert after.margin_m == pytest.approx(before.margin_m, abs=2e-4)
            assert after.holds == before.holds or abs(before.margin_m) < 2e-4


@given(boxes, boxes)
def test_no_vertical_relation_holds_both_ways(a, b):
    for relation in RELATIONS:
        got = relation(a, b)
        assert got.holds == (got.margin_m > 0.0)
        assert not (got.holds and relation(b, a).holds)
    assert below(a, b) == above(b, a)


@given(boxes, boxes)
def test_footprints_against_another_method(a, b):
    """The prism holds the box; areas by Qhull, gaps by bounded least squares."""
    for item in (a, b):
        prism = standing(item)
        corners = Boxes.of([item]).corners()[0]
        hull = ConvexHull(np.array(prism.corners_xy))
        assert hull.volume == pytest.approx(prism.area_m2, rel=1e-6)  # in the plane: the area
        outside = hull.equations[:, :2] @ corners[:, :2].T + hull.equations[:, 2:]
        assert outside.max() < 1e-6
        assert (prism.bottom_m, prism.top_m) == (corners[:, 2].min(), corners[:, 2].max())
    first, second = standing(a), standing(b)
    common = common_area_m2(first, second)
    assert common == pytest.approx(common_area_m2(second, first), abs=1e-9)
    prisms = [
        Boxes(
            [[*np.mean(p.corners_xy, axis=0), 0.0]],
            [[math.dist(*p.corners_xy[:2]), math.dist(*p.corners_xy[1:3]), 1.0]],
            [_heading(p)],
        )
        for p in (first, second)
    ]
    assert common == pytest.approx(float(volumes(*prisms)[0]), abs=1e-6)
    if common == 0.0:
        assert gap_between_m(first, second) == pytest.approx(float(distances(*prisms)[0]), abs=1e-6)


def _heading(prism):
    (px, py), (qx, qy) = prism.corners_xy[:2]
    half = math.atan2(qy - py, qx - px) / 2
    return (math.cos(half), 0.0, 0.0, math.sin(half))
