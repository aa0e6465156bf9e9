from __future__ import annotations

import json
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from spatialcode.export.palette import css_rgb, label_rgb
from spatialcode.export.plot import MAX_STEPS, page_data, slider_times
from spatialcode.scene.categories import LABELS
from spatialcode.scene.schema import SpatialCode
from tests.export.codes import camera, code, item, moving_stool

# Turned by 90°: cos 45°, sin 45° about z.
QUARTER_LEFT = (0.70710678, 0.0, 0.0, 0.70710678)


def trace(page: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    found = [t for t in page["figure"]["data"] if t["type"] == kind and t["name"] == name]
    assert len(found) == 1, [t["name"] for t in page["figure"]["data"]]
    return found[0]


def points(drawn: dict[str, Any]) -> list[tuple[float, float, float]]:
    return [p for p in zip(drawn["x"], drawn["y"], drawn["z"], strict=True) if p[0] is not None]


def test_a_boxs_corners_are_where_its_numbers_say() -> None:
    # 2 m long in its own y, turned left by 90°: that length lies along world x.
    sofa = item(
        "sofa_1",
        "sofa",
        center_m=(1.0, 4.0, 0.5),
        size_m=(1.0, 2.0, 0.6),
        quaternion_wxyz=QUARTER_LEFT,
    )
    solid = trace(page_data(code(sofa)), "mesh3d", "sofa")
    expected = {(x, y, z) for x in (0.0, 2.0) for y in (3.5, 4.5) for z in (0.2, 0.8)}
    assert set(points(solid)) == expected
    assert solid["color"] == css_rgb(label_rgb("sofa"))
    assert len(solid["i"]) == len(solid["j"]) == len(solid["k"]) == 12


def test_edges_join_neighbouring_corners_and_the_front_sticks_out() -> None:
    table = item("table_1", "table", size_m=(1.0, 1.0, 1.0), center_m=(0.0, 0.0, 0.5))
    drawn = trace(page_data(code(table)), "scatter3d", "table")
    ends = np.array(points(drawn)).reshape(-1, 2, 3)
    assert len(ends) == 12
    np.testing.assert_allclose(np.abs(ends[:, 0] - ends[:, 1]).sum(axis=1), 1.0)
    assert drawn["x"].count(None) == 12
    chair = item("chair_1", "chair", size_m=(1.0, 1.0, 1.0), center_m=(0.0, 0.0, 0.5))
    with_front = np.array(points(trace(page_data(code(chair)), "scatter3d", "chair")))
    assert len(with_front) == 2 * (12 + 3)
    # 0.2 + 0.2 * 1 = 0.4 m out of the face at y = 0.5.
    assert with_front[:, 1].max() == pytest.approx(0.9)


def test_two_boxes_of_a_label_share_a_trace_without_sharing_corners() -> None:
    near = item("table_1", "table", center_m=(0.0, 2.0, 0.5))
    far = item("table_2", "table", center_m=(0.0, 9.0, 0.5))
    solid = trace(page_data(code(near, far)), "mesh3d", "table")
    assert len(points(solid)) == 16
    for start, y in ((0, 2.0), (12, 9.0)):
        used = {n for key in "ijk" for n in solid[key][start : start + 12]}
        assert {round(solid["y"][n]) for n in used} == {round(y - 1), round(y + 1)}


def test_a_moving_object_has_its_box_at_every_step() -> None:
    page = page_data(code(moving_stool(), item("table_1", "table")))
    stool, table = page["objects"]
    assert page["steps"] == [0.0, 1.0, 2.0]
    means = [np.mean(step, axis=0).tolist() for step in stool["points"]]
    np.testing.assert_allclose(means, [(-1, 3, 0.25), (0, 3, 0.25), (1, 3, 0.25)], atol=1e-9)
    assert len(table["points"]) == 1
    # The page opens at the last step.
    assert np.mean(trace(page, "mesh3d", "stool")["x"]) == pytest.approx(1.0)


def test_objects_carry_when_they_appear_and_how_sure_they_are() -> None:
    late = item("table_1", "table", first_seen_s=1.0, score=0.25)
    (entry,) = page_data(code(late))["objects"]
    assert (entry["first_s"], entry["score"], entry["name"]) == (1.0, 0.25, "table_1")


def test_the_camera_stands_at_its_position_at_every_step() -> None:
    page = page_data(code())
    apexes = [frustum[0] for frustum in page["camera"]["frusta"]]
    assert apexes == [[0.0, 0.0, 1.5], [0.5, 0.0, 1.5], [1.0, 0.0, 1.5]]
    path = trace(page, "scatter3d", "camera path")
    assert points(path) == [tuple(apex) for apex in apexes]
    for name, index in page["traces"].items():
        assert page["figure"]["data"][index]["name"] == name


def test_the_floor_is_the_rooms_polygon_at_floor_height() -> None:
    page = page_data(code())
    floor = trace(page, "mesh3d", "floor")
    assert points(floor) == [(-2.0, -1.0, 0.0), (2.0, -1.0, 0.0), (2.0, 6.0, 0.0), (-2.0, 6.0, 0.0)]
    assert len(floor["i"]) == 2
    walls = points(trace(page, "scatter3d", "walls"))
    assert {z for _, _, z in walls} == {0.0, 2.5}


def test_axes_hold_everything_at_all_times() -> None:
    far = item("table_1", "table", center_m=(7.0, 4.0, 0.5), size_m=(1.0, 1.0, 1.0))
    layout = page_data(code(far, moving_stool()))["figure"]["layout"]
    assert layout["scene"]["aspectmode"] == "data"
    assert layout["scene"]["xaxis"]["range"] == [-2.2, 7.7]


@pytest.mark.parametrize(
    "poor",
    [
        code(),
        code(room=None),
        code(item("table_1", "table"), cameras=()),
        code(cameras=(), room=None),
        code(item("table_1", "table"), moving_stool(), cameras=(camera(0.0),)),
    ],
    ids=["no objects", "no room", "no cameras", "nothing", "one camera"],
)
def test_plotly_accepts_every_figure_and_json_holds_it(poor: SpatialCode) -> None:
    page = page_data(poor)
    go.Figure(page["figure"])  # raises on a property that plotly does not know
    json.dumps(page, allow_nan=False)


def test_a_long_video_has_a_bounded_number_of_steps() -> None:
    long = code(cameras=tuple(camera(n / 10, 0.0) for n in range(5000)))
    times = slider_times(long)
    assert len(times) == MAX_STEPS
    assert (times[0], times[-1]) == (0.0, 499.9)


def test_every_category_has_its_own_colour_and_strangers_a_stable_one() -> None:
    assert len({label_rgb(label) for label in LABELS}) == len(LABELS)
    assert label_rgb("grand piano") == label_rgb("grand piano") != label_rgb("harp")
