"""The figure of the room that both pages draw, by its module under node."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from spatialcode.export.drawing import label_rgb
from spatialcode.scene.schema import SpatialCode, make_id
from tests.export.codes import camera, code, item, moving_stool
from tests.export.javascript import copied, needs_node, plain, run, sample

# Turned by 90°: cos 45°, sin 45° about z.
QUARTER_LEFT = (0.70710678, 0.0, 0.0, 0.70710678)
EVIL = "</script><img src=x onerror=alert(1)>\"'&<!--"

pytestmark = needs_node


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("page"))


def figure(
    modules: Path, spatial: SpatialCode, t_s: float, marked: tuple[str, ...] = (), **shown: Any
) -> dict[str, Any]:
    """Traces, layout and pickable ids of a code; ``shown``: what differs from everything."""
    script = """
    const hiddenLabels = new Set(given.shown.hiddenLabels);
    const shown = { ...filter.everything(), ...given.shown, hiddenLabels };
    const layout = figure.layoutOf(given.code, { x: 1, y: 1, z: 1 }, { x: 0, y: 0, z: 0 });
    return { ...figure.tracesAt(given.code, given.t_s, new Set(given.marked), shown), layout };
    """
    given = {"code": plain(spatial), "t_s": t_s, "marked": marked, "shown": shown}
    return run(modules, "figure filter", script, given)


def trace(drawn: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one for one in drawn["data"] if one["name"] == name)
    return found


def points(drawn: dict[str, Any]) -> list[tuple[float, float, float]]:
    return [p for p in zip(drawn["x"], drawn["y"], drawn["z"], strict=True) if p[0] is not None]


def test_a_boxs_corners_are_where_its_numbers_say(modules: Path) -> None:
    # 2 m long in its own y, turned left by 90°: that length lies along world x.
    sofa = item(
        "sofa_1",
        "sofa",
        center_m=(1.0, 4.0, 0.5),
        size_m=(1.0, 2.0, 0.6),
        quaternion_wxyz=QUARTER_LEFT,
    )
    solid = trace(figure(modules, code(sofa), 2.0), "boxes")
    expected = {(x, y, z) for x in (0.0, 2.0) for y in (3.5, 4.5) for z in (0.2, 0.8)}
    assert {tuple(round(v, 6) for v in point) for point in points(solid)} == expected
    assert solid["facecolor"] == [f"rgb{label_rgb('sofa')}".replace(" ", "")] * 12
    assert len(solid["i"]) == len(solid["j"]) == len(solid["k"]) == 12
    assert "yaw 90°" in solid["text"][0]


def test_edges_join_neighbouring_corners_and_the_front_sticks_out(modules: Path) -> None:
    table = item("table_1", "table", size_m=(1.0, 1.0, 1.0), center_m=(0.0, 0.0, 0.5))
    drawn = trace(figure(modules, code(table), 2.0), "edges")
    ends = np.array(points(drawn)).reshape(-1, 2, 3)
    assert len(ends) == 12
    np.testing.assert_allclose(np.abs(ends[:, 0] - ends[:, 1]).sum(axis=1), 1.0)
    assert drawn["x"].count(None) == 12
    chair = item("chair_1", "chair", size_m=(1.0, 1.0, 1.0), center_m=(0.0, 0.0, 0.5))
    with_front = np.array(points(trace(figure(modules, code(chair), 2.0), "edges")))
    assert len(with_front) == 2 * (12 + 3)
    # 0.2 + 0.2 * 1 = 0.4 m out of the face at y = 0.5.
    assert with_front[:, 1].max() == pytest.approx(0.9)


def test_two_boxes_share_a_trace_without_sharing_corners(modules: Path) -> None:
    near = item("table_1", "table", center_m=(0.0, 2.0, 0.5))
    far = item("table_2", "table", center_m=(0.0, 9.0, 0.5))
    solid = trace(figure(modules, code(near, far), 2.0), "boxes")
    assert len(points(solid)) == 16
    for start, y in ((0, 2.0), (12, 9.0)):
        used = {n for key in "ijk" for n in solid[key][start : start + 12]}
        assert {round(solid["y"][n]) for n in used} == {round(y - 1), round(y + 1)}


def test_a_moving_objects_box_goes_with_the_time(modules: Path) -> None:
    means = [
        np.mean(points(trace(figure(modules, code(moving_stool()), t_s), "boxes")), axis=0)
        for t_s in (0.0, 0.5, 1.0, 2.0)
    ]
    np.testing.assert_allclose(
        means, [(-1, 3, 0.25), (-0.5, 3, 0.25), (0, 3, 0.25), (1, 3, 0.25)], atol=1e-9
    )
    track = trace(figure(modules, code(moving_stool()), 0.0), "tracks")
    assert points(track) == [(-1.0, 3.0, 0.25), (0.0, 3.0, 0.25), (1.0, 3.0, 0.25)]


def test_only_sure_known_and_wanted_objects_are_drawn(modules: Path) -> None:
    late = item("table_1", "table", first_seen_s=1.0, score=0.9)
    weak = item("sofa_1", "sofa", score=0.25)
    spatial = code(late, weak)

    def drawn(t_s: float, **shown: Any) -> list[str]:
        return figure(modules, spatial, t_s, **shown)["picked"]["boxes"]

    assert drawn(0.0) == ["table_1", "sofa_1"]
    assert drawn(0.0, seenByThen=True) == ["sofa_1"]
    assert drawn(1.0, seenByThen=True) == ["table_1", "sofa_1"]
    assert drawn(0.0, leastScore=0.5) == ["table_1"]
    assert drawn(0.0, leastScore=0.25) == ["table_1", "sofa_1"]
    assert drawn(0.0, hiddenLabels=["table"]) == ["sofa_1"]


def test_faces_and_names_can_be_left_out(modules: Path) -> None:
    spatial = code(item("table_1", "table"))
    all_of_it = figure(modules, spatial, 0.0)
    bare = figure(modules, spatial, 0.0, faces=False, names=False)
    assert [trace(all_of_it, name)["visible"] for name in ("boxes", "names")] == [True, True]
    assert [trace(bare, name)["visible"] for name in ("boxes", "names")] == [False, False]
    assert points(trace(bare, "edges"))


def test_the_legend_has_every_label_once_in_its_colour(modules: Path) -> None:
    spatial = code(item("table_1", "table"), item("table_2", "table"), item("sofa_1", "sofa"))
    drawn = figure(modules, spatial, 0.0, hiddenLabels=["sofa"])
    assert not any(one["showlegend"] for one in drawn["data"])
    legend = drawn["legend"]
    assert [(one["name"], one["visible"]) for one in legend] == [
        ("sofa", "legendonly"),
        ("table", True),
    ]
    assert legend[1]["marker"]["color"] == f"rgb{label_rgb('table')}".replace(" ", "")


def test_the_camera_stands_at_its_position_at_every_time(modules: Path) -> None:
    for t_s, x_m in ((0.0, 0.0), (1.0, 0.5), (1.5, 0.75), (2.0, 1.0)):
        drawn = figure(modules, code(), t_s)
        assert points(trace(drawn, "camera"))[0] == pytest.approx((x_m, 0.0, 1.5))
        assert points(trace(drawn, "travelled"))[-1] == pytest.approx((x_m, 0.0, 1.5))
    path = points(trace(figure(modules, code(), 0.0), "camera path"))
    assert path == [(0.0, 0.0, 1.5), (0.5, 0.0, 1.5), (1.0, 0.0, 1.5)]


def test_the_floor_is_the_rooms_polygon_at_floor_height(modules: Path) -> None:
    drawn = figure(modules, code(), 0.0)
    floor = trace(drawn, "floor")
    assert points(floor) == [(-2.0, -1.0, 0.0), (2.0, -1.0, 0.0), (2.0, 6.0, 0.0), (-2.0, 6.0, 0.0)]
    assert len(floor["i"]) == 2
    assert {z for _, _, z in points(trace(drawn, "walls"))} == {0.0, 2.5}


def test_axes_hold_everything_at_all_times(modules: Path) -> None:
    far = item("table_1", "table", center_m=(7.0, 4.0, 0.5), size_m=(1.0, 1.0, 1.0))
    scene = figure(modules, code(far, moving_stool()), 0.0)["layout"]["scene"]
    assert scene["aspectmode"] == "data"
    assert scene["xaxis"]["range"] == pytest.approx([-2.2, 7.7])


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
def test_plotly_accepts_every_figure(modules: Path, poor: SpatialCode) -> None:
    drawn = figure(modules, poor, 1.0)
    go.Figure(
        {"data": drawn["data"] + drawn["legend"], "layout": drawn["layout"]}
    )  # raises on what it does not know


def test_a_figure_holds_every_object_once(modules: Path) -> None:
    spatial = sample()
    num = len(spatial.objects)
    bare, lit = figure(modules, spatial, 0.0), figure(modules, spatial, 0.0, ("sofa_1",))
    meshes = [
        [[t["name"], len(t["x"])] for t in drawn["data"] if t["type"] == "mesh3d"]
        for drawn in (bare, lit)
    ]
    assert meshes[0] == [["floor", 4], ["boxes", 8 * num], ["highlighted boxes", 0]]
    assert meshes[1] == [["floor", 4], ["boxes", 8 * (num - 1)], ["highlighted boxes", 8]]
    assert lit["picked"]["highlighted boxes"] == ["sofa_1"]
    names = {t["name"] for t in bare["data"]}
    assert {"camera path", "travelled", "camera", "edges", "highlighted edges", "names"} < names


def test_no_tag_of_a_label_reaches_plotly(modules: Path) -> None:
    # Plotly reads tags in hover texts and legends.
    drawn = figure(modules, code(item(make_id(EVIL, 1), EVIL)), 0.0)
    for one in drawn["data"] + drawn["legend"]:
        assert "<img" not in one["name"]
        assert not any("<img" in text for text in one.get("text", []))


def test_the_table_says_what_the_code_says(modules: Path) -> None:
    table = item(
        "table_1",
        "table",
        score=0.87,
        center_m=(1.0, -2.345, 0.5),
        quaternion_wxyz=(math.sqrt(0.5), 0.0, 0.0, -math.sqrt(0.5)),
        first_seen_s=0.5,
    )
    script = "return given.objects.map((item) => objects.cellsOf(item));"
    first, second = run(modules, "objects", script, plain(code(table, moving_stool())))
    assert first == ["table", "0.87", "1.00, -2.35, 0.50", "1.00, 2.00, 1.00", "-90", "0.5–2.0 s"]
    assert second[0] == "stool · moving"


def test_the_picture_nearest_in_time_is_shown(modules: Path) -> None:
    script = """
    const image = { src: "" };
    const screen = new pictures.PictureScreen(image, given);
    const none = new pictures.PictureScreen(image, []);
    const shown = [0, 0.9, 1.1, 9].map((t_s) => [screen.show(t_s), image.src]);
    return { shown, isEmpty: [screen.isEmpty, none.isEmpty], alone: none.show(5) };
    """
    given = [{"t_s": 0.1, "address": "data:a"}, {"t_s": 1.9, "address": "data:b"}]
    answer = run(modules, "pictures", script, given)
    assert answer["shown"] == [[0.1, "data:a"], [0.1, "data:a"], [1.9, "data:b"], [1.9, "data:b"]]
    assert answer["isEmpty"] == [False, True]
    assert answer["alone"] == 5
