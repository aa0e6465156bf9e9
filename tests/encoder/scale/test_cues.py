"""Heights in a drawn room: a camera looks level along +y, 1.4 units above the floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spatialcode.encoder.maps import (
    CEILING_CHANNEL,
    FLOOR_CHANNEL,
    WALL_CHANNEL,
    DenseMaps,
)
from spatialcode.encoder.scale.cues import (
    ScaledView,
    SeenPoints,
    ceiling_cue,
    cues_of,
    depth_cue,
    height_cue,
    outlined_heights,
    sizes_cue,
    surface_below,
)
from spatialcode.encoder.scale.settings import ScaleSettings
from spatialcode.errors import SchemaError
from spatialcode.scene.kinds import PRIMITIVE_KINDS

H, W, FOCAL = 60, 80, 40.0
K = np.array([[FOCAL, 0, W / 2], [0, FOCAL, H / 2], [0, 0, 1]])
#: Looks along +y: columns are right, down, forward.
LEVEL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
SETTINGS = ScaleSettings()
NUM = 3
NUM_CHANNELS = PRIMITIVE_KINDS.num_channels
#: A chair's usual height is 0.9 m.
CHAIR = "chair"


def drawn(unit=1.0, chair=None, log_scale=0.1, ceiling=2.5):
    """Maps and poses of a room 4 m deep, in a unit of so many metres a unit; ``chair``: (distance,
    height, foot above the floor) of a flat upright thing in the middle.
    """
    v = (np.arange(H) + 0.5 - H / 2) / FOCAL  # below the axis
    u = (np.arange(W) + 0.5 - W / 2) / FOCAL
    v, u = np.meshgrid(v, u, indexing="ij")
    depth = np.full((H, W), 4.0)
    label = np.full((H, W), WALL_CHANNEL)
    floor = v * 4.0 > 1.4
    depth[floor], label[floor] = 1.4 / v[floor], FLOOR_CHANNEL
    above = -v * 4.0 > ceiling - 1.4
    depth[above], label[above] = -(ceiling - 1.4) / v[above], CEILING_CHANNEL
    if chair is not None:
        distance, height, foot = chair
        z = 1.4 - v * distance
        inside = (z > foot) & (z < foot + height) & (np.abs(u * distance) < 0.4)
        depth[inside], label[inside] = distance, PRIMITIVE_KINDS.labels.index(CHAIR)
    prob = np.full((NUM_CHANNELS, H, W), 0.1 / NUM_CHANNELS)
    rows, columns = np.indices((H, W))
    prob[label, rows, columns] = 0.9
    maps = DenseMaps(
        class_prob=np.tile(prob, (NUM, 1, 1, 1)),
        depth_m=np.tile(depth, (NUM, 1, 1)),
        depth_log_scale=np.full((NUM, H, W), log_scale),
        vote_level_m=np.zeros((NUM, H, W, 3)), vote_scale_m=np.ones((NUM, H, W, 3)),
        size_m=np.ones((NUM, H, W, 3)), yaw_level_rad=np.zeros((NUM, H, W)),
        up_camera=np.tile([0.0, -1, 0], (NUM, 1)), camera_height_m=np.full(NUM, 1.4),
        gravity_scale_rad=np.full(NUM, 0.01),
    )  # fmt: skip
    T = np.tile(np.eye(4), (NUM, 1, 1))
    T[:, :3, :3], T[:, 2, 3] = LEVEL, 1.4 / unit
    seen = SeenPoints.of_maps(maps)
    return ScaledView(maps, K, T, replace(seen, depth=seen.depth / unit))


@pytest.mark.parametrize("unit", [1.0, 0.5, 3.0])
def test_every_cue_tells_the_metres_of_the_unit(unit):
    view = drawn(unit, chair=(2.5, 0.9, 0.0))
    found = {cue.source: cue for cue in cues_of(view, SETTINGS)}
    assert set(found) == {"metric-depth", "camera-height", "ceiling-height", "object-sizes"}
    # floor and ceiling at 1.4 m and 2.5 m are what is usual; cells cut a chair's edges
    tolerance = {"metric-depth": 1e-6, "object-sizes": 0.06}
    for source, cue in found.items():
        assert np.exp(cue.log_scale) == pytest.approx(unit, rel=tolerance.get(source, 0.01)), source


def test_depth_is_as_sure_as_the_network_says_and_frames_agree():
    assert depth_cue(drawn(), SETTINGS).sigma == pytest.approx(np.sqrt(2) * 0.1)
    doubted = ScaleSettings(depth_doubt=3.0)
    assert depth_cue(drawn(), doubted).sigma == pytest.approx(3 * np.sqrt(2) * 0.1)
    view = drawn()
    factor = np.array([1.0, 1.1, 1 / 1.1])[view.points.frame]
    spread = replace(view, points=replace(view.points, depth=view.points.depth * factor))
    # median deviation ln 1.1 of three frames: 1.2533 * 1.4826 * ln 1.1 / sqrt 3
    apart = 1.2533 * 1.4826 * np.log(1.1) / np.sqrt(3)
    assert depth_cue(spread, SETTINGS).sigma == pytest.approx(np.hypot(0.1 * np.sqrt(2), apart))
    assert depth_cue(spread, SETTINGS).log_scale == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("num", "unit"), [(5, 0.5), (0, 1.0)])
def test_few_points_speak_together_and_none_say_nothing_else(num, unit):
    view = drawn(0.5)
    few = SeenPoints(
        *(part[:num] for part in (view.points.frame, view.points.cell, view.points.depth))
    )
    (cue,) = cues_of(replace(view, points=few), SETTINGS)
    assert np.exp(cue.log_scale) == pytest.approx(unit)


def test_heights_are_as_sure_as_is_usual():
    floor = surface_below(drawn())
    assert floor == pytest.approx(np.full(NUM, -1.4), rel=0.01)
    assert height_cue(floor, SETTINGS).sigma == pytest.approx(0.2, abs=1e-6)
    low = ScaleSettings(camera_height_m=0.7)
    assert np.exp(height_cue(floor, low).log_scale) == pytest.approx(0.5, rel=0.01)
    cue = ceiling_cue(drawn(ceiling=3.75), floor, SETTINGS)
    assert np.exp(cue.log_scale) == pytest.approx(2.5 / 3.75, rel=0.01)
    assert cue.sigma == pytest.approx(0.12, abs=1e-6)


def renamed(view, before, after):
    """The view with the cells of one channel said to be another's."""
    prob = view.maps.class_prob.copy()
    prob[:, [before, after]] = prob[:, [after, before]]
    return replace(view, maps=replace(view.maps, class_prob=prob))


def test_a_ceiling_below_the_camera_and_a_floor_above_it_are_none():
    view = drawn()
    upside_down = renamed(view, FLOOR_CHANNEL, CEILING_CHANNEL)
    assert surface_below(upside_down) is None
    assert ceiling_cue(upside_down, surface_below(view), SETTINGS) is None
    assert [c.source for c in cues_of(upside_down, SETTINGS)] == ["metric-depth"]


def test_a_floor_of_which_much_lies_above_the_camera_is_none():
    view = drawn()
    prob = view.maps.class_prob.copy()
    prob[:, :, : H // 2, : W // 2] = 0.1 / NUM_CHANNELS
    prob[:, FLOOR_CHANNEL, : H // 2, : W // 2] = 0.9  # a quarter of the picture
    assert surface_below(replace(view, maps=replace(view.maps, class_prob=prob))) is None


@pytest.mark.parametrize(
    "chair",
    [
        (2.5, 0.9, 0.5),  # hangs in the air: no chair, or its foot is hidden
        (1.0, 0.9, 0.0),  # cut by the picture's border
    ],
)
def test_things_that_are_not_seen_whole_are_not_measured(chair):
    assert list(outlined_heights(drawn(chair=chair), 1.4)) == []
    assert sizes_cue(drawn(chair=chair), 1.4) is None


def test_what_stands_nearer_at_an_outline_covers_it():
    view = drawn(chair=(2.5, 0.9, 0.0))
    assert len(list(outlined_heights(view, 1.4))) == NUM
    depth = view.maps.depth_m.copy()
    depth[:, :, : W // 2 - 6] = 1.0  # a wall on the left, up to the chair
    assert list(outlined_heights(replace(view, maps=replace(view.maps, depth_m=depth)), 1.4)) == []


def test_the_least_hidden_outlines_of_a_kind_count():
    whole = sizes_cue(drawn(chair=(2.5, 0.9, 0.0)), 1.4)
    lower = sizes_cue(drawn(chair=(2.5, 0.45, 0.0)), 1.4)
    assert lower.log_scale - whole.log_scale == pytest.approx(np.log(2), abs=0.1)
    views = drawn(chair=(2.5, 0.9, 0.0)), drawn(chair=(2.5, 0.45, 0.0))
    first, second = (view.maps for view in views)
    prob = np.concatenate([first.class_prob[:1], second.class_prob[1:]])
    mixed = replace(views[0], maps=replace(first, class_prob=prob))
    # one of three is whole: the quarter's quantile lies half-way between it and the next
    middle = (whole.log_scale + lower.log_scale) / 2
    assert sizes_cue(mixed, 1.4).log_scale == pytest.approx(middle, abs=0.05)


def test_depth_alone_where_nothing_else_is_asked():
    alone = ScaleSettings(is_fused=False)
    cues = cues_of(drawn(chair=(2.5, 0.9, 0.0)), alone)
    assert [cue.source for cue in cues] == ["metric-depth"]


def test_points_are_checked():
    with pytest.raises(SchemaError, match=r"SeenPoints\.depth"):
        SeenPoints(np.zeros(2, int), np.zeros((2, 2), int), np.ones(3))
