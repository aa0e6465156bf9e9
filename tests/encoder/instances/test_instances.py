"""Boxes from points, and objects from sightings, on things whose size is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spatialcode.encoder.geometry.protocol import DepthNoise
from spatialcode.encoder.instances.association import Gathering
from spatialcode.encoder.instances.boxes import (
    Cloud,
    along,
    chosen_yaw,
    fit_box,
    footprint_areas,
    room_yaw,
)
from spatialcode.encoder.instances.instance import InstanceSettings
from spatialcode.encoder.instances.objects import objects_of
from spatialcode.encoder.lifting.sightings import FrameView, LiftedPoints, Named, Sighting
from spatialcode.scene.categories import Traits, traits_of

CHAIR, FLOORED = Traits("floor"), Traits("floor", usual_size_m=(1.0, 0.6, 0.8))
TIMES_S = np.arange(200) / 10.0


def surface(center: tuple[float, float, float], size: tuple[float, float, float]) -> np.ndarray:
    """Points on the six faces of an upright box, edges and corners among them."""
    steps = np.linspace(-0.5, 0.5, 7)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    on_face = (np.abs(grid) == 0.5).any(axis=1)
    return np.asarray(grid[on_face] * size + center)


def sighting(
    points: np.ndarray, frame: int = 0, track: int = -1, *, cut: np.ndarray | None = None,
    label: str = "chair", sigma_m: float = 0.0,
) -> Sighting:  # fmt: skip
    is_cut = np.zeros(len(points), bool) if cut is None else cut
    lifted = LiftedPoints(points, points, is_cut, np.zeros((0, 3)), sigma_m, len(points), 1.0)
    return Sighting(frame, Named(label, 1.0, track), lifted, np.array([0.0, -3.0, 1.5]))


def empty_view(frame: int, depth_m: float = 1e-3) -> FrameView:
    """A frame that sees nothing of any place: everything in it is nearer."""
    K = np.array([[100.0, 0, 50], [0, 100.0, 50], [0, 0, 1]])
    looking_along_y = np.eye(4)
    looking_along_y[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    looking_along_y[:3, 3] = (0.0, -3.0, 1.5)
    depth = np.full((100, 100), depth_m, np.float32)
    return FrameView(frame, depth, K, looking_along_y, DepthNoise())


def turned(points: np.ndarray, yaw_rad: float) -> np.ndarray:
    return along(-yaw_rad, points)


def test_the_box_of_exact_points_is_the_box_they_lie_on() -> None:
    points = turned(surface((2.0, 1.0, 0.5), (1.2, 0.6, 1.0)), 0.3)
    cloud = Cloud.of([sighting(points)])
    areas = footprint_areas(cloud)
    yaw = chosen_yaw(areas, None)
    assert yaw % (np.pi / 2) == pytest.approx(0.3, abs=np.deg2rad(1.01))  # yaws are 2° apart
    box = fit_box(cloud, CHAIR, 0.3)
    np.testing.assert_allclose(box.size_m, [1.2, 0.6, 1.0], atol=1e-9)
    np.testing.assert_allclose(box.center_m, along(-0.3, np.array([2.0, 1.0, 0.5])), atol=1e-9)
    assert box.yaw_rad == 0.3


def test_the_room_decides_where_a_footprint_does_not() -> None:
    areas = np.full(45, 1.0)
    areas[10] = 0.95
    assert chosen_yaw(areas, None) == pytest.approx(np.deg2rad(20))
    assert chosen_yaw(areas, np.deg2rad(50)) == pytest.approx(np.deg2rad(50))  # 5 % is little
    areas[10] = 0.5
    assert chosen_yaw(areas, np.deg2rad(50)) == pytest.approx(np.deg2rad(20))
    askew = np.full(45, 2.0)
    askew[5] = 1.0
    straight = np.full(45, 2.0)
    straight[30] = 1.0
    assert room_yaw([straight, straight, askew]) == pytest.approx(np.deg2rad(60))
    assert room_yaw([straight, straight]) is None


def test_a_table_of_which_only_the_top_is_seen_stands_on_the_floor() -> None:
    top = surface((0, 0, 0.73), (1.2, 0.8, 0.04))
    box = fit_box(Cloud.of([sighting(top)]), CHAIR, 0.0)
    np.testing.assert_allclose([box.center_m[2], box.size_m[2]], [0.375, 0.75], atol=1e-9)


def test_a_lamp_stands_on_what_is_seen_beside_its_foot_and_else_on_the_floor() -> None:
    shade = surface((0, 0, 0.9), (0.3, 0.3, 0.4))
    alone = sighting(shade, label="lamp")
    tabletop = np.column_stack((np.random.default_rng(0).uniform(-0.4, 0.4, (30, 2)), [0.68] * 30))
    carried = replace(alone, points=replace(alone.points, beside_m=tabletop))
    on_table = fit_box(Cloud.of([carried]), traits_of("lamp"), 0.0)
    assert on_table.center_m[2] - on_table.size_m[2] / 2 == pytest.approx(0.68)
    on_floor = fit_box(Cloud.of([alone]), traits_of("lamp"), 0.0)
    assert on_floor.center_m[2] - on_floor.size_m[2] / 2 == pytest.approx(0.0)


def test_an_end_that_was_cut_off_goes_on_to_what_is_usual_and_a_free_one_stays() -> None:
    part = surface((0.2, 0, 0.4), (0.6, 0.6, 0.8))  # from x = -0.1 to 0.5
    cut = part[:, 0] > 0.49
    box = fit_box(Cloud.of([sighting(part, cut=cut)]), FLOORED, 0.0)
    assert box.size_m[0] == pytest.approx(1.0)
    assert box.center_m[0] - box.size_m[0] / 2 == pytest.approx(-0.1)  # the free end
    whole = fit_box(Cloud.of([sighting(part)]), FLOORED, 0.0)
    assert whole.size_m[0] == pytest.approx(0.6)
    # One frame that saw the object end there is worth more than one that was cut off.
    both = fit_box(Cloud.of([sighting(part, cut=cut), sighting(part, 1)]), FLOORED, 0.0)
    assert both.size_m[0] == pytest.approx(0.6)


def test_a_top_that_was_cut_off_is_as_high_as_is_usual() -> None:
    part = surface((0, 0, 0.2), (1.0, 0.6, 0.4))  # up to z = 0.4; usual are 0.8
    cut = part[:, 2] > 0.39
    box = fit_box(Cloud.of([sighting(part, cut=cut)]), FLOORED, 0.0)
    assert (box.center_m[2], box.size_m[2]) == (pytest.approx(0.4), pytest.approx(0.8))
    free = fit_box(Cloud.of([sighting(part)]), FLOORED, 0.0)
    assert free.size_m[2] == pytest.approx(0.4)
    higher = surface((0, 0, 0.5), (1.0, 0.6, 1.0))
    cut = higher[:, 2] > 0.99
    assert fit_box(Cloud.of([sighting(higher, cut=cut)]), FLOORED, 0.0).size_m[2] == pytest.approx(
        1
    )


def test_a_door_that_the_picture_cut_goes_on_up_or_down_to_the_floor() -> None:
    usual_m = 2.05
    high = surface((0, 2.0, 1.3), (0.85, 0.02, 1.4))  # from z = 0.6 to 2.0
    above, below = high[:, 2] > 1.99, high[:, 2] < 0.61
    for cut, low_m, top_m in (
        (above, 0.6, 0.6 + usual_m),
        (below, 0.0, 2.0),  # 2.0 - 2.05 would be below the floor
        (above | below, 0.6 - 0.325, 2.0 + 0.325),  # half of what is missing on either side
        (np.zeros(len(high), bool), 0.6, 2.0),
    ):
        box = fit_box(Cloud.of([sighting(high, cut=cut, label="door")]), traits_of("door"), 0.0)
        ends = box.center_m[2] + np.array([-0.5, 0.5]) * box.size_m[2]
        np.testing.assert_allclose(ends, (low_m, top_m), atol=1e-9)
        assert box.size_m[0] == pytest.approx(0.85)


def test_a_window_that_the_picture_cut_goes_on_along_its_wall_only_there() -> None:
    part = surface((0.3, 2.0, 1.5), (0.6, 0.02, 1.3))  # from x = 0 to 0.6; usual are 1.2
    box = fit_box(
        Cloud.of([sighting(part, cut=part[:, 0] < 0.01, label="window")]), traits_of("window"), 0.0
    )
    assert (box.center_m[0], box.size_m[0]) == (pytest.approx(0.0), pytest.approx(1.2))
    assert box.size_m[2] == pytest.approx(1.3)


def test_a_round_thing_is_as_deep_as_it_is_wide_away_from_the_camera() -> None:
    half = surface((0, 0, 0.2), (0.4, 0.2, 0.4))  # seen from -y
    box = fit_box(Cloud.of([sighting(half)]), Traits("floor", yaw_symmetry="round"), 0.0)
    np.testing.assert_allclose(box.size_m[:2], [0.4, 0.4], atol=1e-9)
    assert box.center_m[1] == pytest.approx(0.1)  # from -0.1 to 0.3


def test_what_hangs_is_a_rectangle_whose_middle_is_the_walls_face() -> None:
    screen = surface((0, 2.0, 1.2), (1.0, 0.04, 0.6))
    seen = sighting(screen, label="tv")
    wall = np.column_stack((np.linspace(-1, 1, 20), np.full(20, 2.06), np.full(20, 1.2)))
    seen = replace(seen, points=replace(seen.points, beside_m=wall))
    box = fit_box(Cloud.of([seen]), traits_of("tv"), 0.0)
    np.testing.assert_allclose(box.center_m, [0, 2.06, 1.2], atol=1e-9)
    np.testing.assert_allclose(box.size_m, [1.0, 0.2, 0.6], atol=1e-9)
    # its front looks out of the wall, towards the camera at y = -3
    front = along(-box.yaw_rad, np.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(front, [0, -1, 0], atol=1e-9)


def test_a_chairs_front_is_away_from_its_back() -> None:
    seat = surface((0, 0, 0.22), (0.5, 0.5, 0.44))
    back = surface((0, 0.22, 0.66), (0.5, 0.06, 0.44))
    box = fit_box(Cloud.of([sighting(np.concatenate((seat, back)))]), traits_of("chair"), 0.0)
    front = along(-box.yaw_rad, np.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(front, [0, -1, 0], atol=1e-9)


def test_ends_of_noisy_frames_are_where_they_agree_not_where_one_strays() -> None:
    rng = np.random.default_rng(0)
    box = surface((0, 0, 0.4), (0.8, 0.5, 0.8))
    frames = [sighting(box + rng.normal(0, 0.004, (1, 3)), k, sigma_m=0.01) for k in range(12)]
    stray = sighting(box + np.array([0.3, 0, 0]), 12, sigma_m=0.01)
    fitted = fit_box(Cloud.of([*frames, stray]), CHAIR, 0.0)
    np.testing.assert_allclose(fitted.size_m[:2], [0.8, 0.5], atol=0.03)


def gathered(frames: list[list[Sighting]], settings: InstanceSettings) -> Gathering:
    gathering = Gathering(settings)
    for k, sightings in enumerate(frames):
        gathering.add(empty_view(k), sightings)
    return gathering


def test_two_like_chairs_beside_each_other_stay_two_and_keep_their_ids() -> None:
    left, right = surface((0, 0, 0.45), (0.5, 0.5, 0.9)), surface((0.6, 0, 0.45), (0.5, 0.5, 0.9))
    frames = [
        [sighting(p, k) for p in ((left, right) if k % 2 else (right, left))] for k in range(6)
    ]
    found = objects_of(gathered(frames, InstanceSettings()).instances, TIMES_S, InstanceSettings())
    assert [item.id for item in found] == ["chair_1", "chair_2"]
    assert [item.num_observations for item in found] == [6, 6]
    assert found[0].center_m[0] == pytest.approx(0.6, abs=1e-6)  # the first of the first frame


def test_two_masks_of_one_frame_are_never_one_object() -> None:
    points = surface((0, 0, 0.45), (0.5, 0.5, 0.9))
    frames = [[sighting(points, k), sighting(points + 0.05, k)] for k in range(4)]
    instances = gathered(frames, InstanceSettings()).instances
    assert [instance.num_seen for instance in instances] == [4, 4]
    assert len(objects_of(instances, TIMES_S, InstanceSettings())) == 2


def test_an_object_that_leaves_the_picture_and_returns_is_the_same() -> None:
    points = surface((0, 0, 0.45), (0.5, 0.5, 0.9))
    frames = [[sighting(points, k)] if k < 3 or k > 20 else [] for k in range(25)]
    (item,) = objects_of(
        gathered(frames, InstanceSettings()).instances, TIMES_S, InstanceSettings()
    )
    assert (item.num_observations, item.first_seen_s, item.last_seen_s) == (7, 0.0, 2.4)


def test_the_place_wins_over_a_track_that_was_switched() -> None:
    here, there = surface((0, 0, 0.45), (0.5, 0.5, 0.9)), surface((3, 0, 0.45), (0.5, 0.5, 0.9))
    frames = [
        [sighting(here, k, 8 if k == 3 else 7), sighting(there, k, 7 if k == 3 else 8)]
        for k in range(6)
    ]
    found = objects_of(gathered(frames, InstanceSettings()).instances, TIMES_S, InstanceSettings())
    assert sorted(round(item.center_m[0], 6) for item in found) == [0.0, 3.0]


def test_parts_that_began_as_two_objects_are_joined() -> None:
    # two ends of a sofa are seen first, then all of it
    whole = surface((0, 0, 0.4), (2.0, 0.8, 0.8))
    left, right = whole[whole[:, 0] < -0.3], whole[whole[:, 0] > 0.3]
    frames = [[sighting(left, 0, label="sofa")], [sighting(right, 1, label="sofa")]]
    frames += [[sighting(whole, k, label="sofa")] for k in range(2, 6)]
    (item,) = objects_of(
        gathered(frames, InstanceSettings()).instances, TIMES_S, InstanceSettings()
    )
    assert item.num_observations == 6
    np.testing.assert_allclose(sorted(item.size_m[:2]), [0.8, 2.0], atol=1e-6)


def test_what_moves_is_where_it_was_last_and_has_a_track() -> None:
    gathering = Gathering(InstanceSettings())
    for k in range(12):
        points = surface((0.15 * k - 0.9, 0, 0.45), (0.4, 0.4, 0.9))
        gathering.add(empty_view(k, depth_m=9.0), [sighting(points, k, track=3)])
    (item,) = objects_of(gathering.instances, TIMES_S, InstanceSettings())
    assert item.motion == "moving"
    assert item.center_m[0] == pytest.approx(0.75, abs=0.2)  # the last of 12 places
    assert item.track[0].center_m[0] == pytest.approx(-0.9, abs=0.2)
    still = Gathering(InstanceSettings())
    for k in range(12):
        points = surface((0, 0, 0.45), (0.4, 0.4, 0.9))
        still.add(empty_view(k, depth_m=3.0), [sighting(points, k, track=3)])
    (item,) = objects_of(still.instances, TIMES_S, InstanceSettings())
    assert (item.motion, item.track) == ("static", ())


FAR_M, THERE_M, NEARER_M = 9.0, 3.0, 0.5


@pytest.mark.parametrize(
    ("depth_m", "motion"),
    [
        ([FAR_M] * 6, "moving"),
        ([THERE_M] * 6, "static"),
        ([NEARER_M] * 6, "static"),
        ([FAR_M] * 3 + [NEARER_M] * 3, "moving"),  # what passes before a place does not take it
        ([FAR_M] * 3 + [THERE_M] * 3, "static"),
    ],
)
def test_a_tall_thing_has_moved_if_its_first_place_is_seen_through(
    depth_m: list[float], motion: str
) -> None:
    # its top is above the camera, so that its own ends tell nothing; first left, later right
    gathering = Gathering(InstanceSettings())
    for k, seen_m in enumerate([1e-3] * 6 + depth_m):
        points = surface((-0.4 if k < 4 else 0.4, 0, 1.0), (0.4, 0.4, 2.0))
        gathering.add(empty_view(k, seen_m), [sighting(points, k, track=3)])
    (item,) = objects_of(gathering.instances, TIMES_S, InstanceSettings())
    assert item.motion == motion
    if motion == "moving":
        assert item.center_m[0] == pytest.approx(0.4, abs=0.01)


def test_what_an_object_keeps_is_bounded_and_its_last_sight_stays() -> None:
    settings = InstanceSettings(max_sightings=8)
    points = surface((0, 0, 0.45), (0.5, 0.5, 0.9))
    rng = np.random.default_rng(0)
    frames = []
    for k in range(100):
        one = sighting(points, k)
        frames.append([replace(one, camera_m=rng.normal(0, 2, 3))])
    (instance,) = gathered(frames, settings).instances
    assert (len(instance.sightings), instance.num_seen) == (8, 100)
    assert (instance.first_frame, instance.last_frame) == (0, 99)


def test_what_was_always_cut_off_is_left_out() -> None:
    points = surface((0, 0, 0.45), (0.5, 0.5, 0.9))
    cut = [[sighting(points, k, cut=np.ones(len(points), bool))] for k in range(4)]
    assert (
        objects_of(gathered(cut, InstanceSettings()).instances, TIMES_S, InstanceSettings()) == ()
    )


def test_traits_of_any_word() -> None:
    assert traits_of("refrigerator").mount == "floor"
    assert traits_of("mirror").is_on_wall
    assert traits_of("plant").is_round
    assert traits_of("lamp").is_portable
    unknown = traits_of("flux capacitor")
    assert unknown == Traits()
    assert (unknown.mount, unknown.usual_size_m, unknown.has_front) == ("surface", None, False)
