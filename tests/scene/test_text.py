from __future__ import annotations

import json
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.errors import ParseError
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import PathOrigin
from spatialcode.scene.text import exact_yaw, from_json, parse_scene, render_scene, to_json
from tests.scene import builders as make
from tests.scene.strategies import spatial_codes

CODE = make.code(
    objects=(
        make.chair(quaternion_wxyz=quaternion_from_yaw(1.25)),
        make.chair(id="trash_bin_1", label="trash bin", quaternion_wxyz=(0.5, 0.5, 0.5, 0.5)),
        make.chair(id="chair_2", motion="moving", track=(make.point(), make.point(t_s=0.75))),
    )
)
TEXT = render_scene(CODE)


@given(spatial_codes())
def test_json_round_trip_is_exact(code):
    assert from_json(to_json(code)) == code


@given(spatial_codes())
def test_scene_text_round_trip_is_exact(code):
    assert parse_scene(render_scene(code)) == code


def test_json_has_the_documented_form():
    document = json.loads(to_json(make.code(objects=(make.chair(), CODE.objects[2]))))
    assert list(document) == [
        "format", "video", "objects", "cameras", "room", "scale", "provenance",
    ]  # fmt: skip
    assert document["format"] == "spatialcode/1"
    assert document["objects"][0] == {
        "id": "chair_1", "label": "chair", "score": 0.75, "center_m": [1.0, 2.0, 0.5],
        "size_m": [0.5, 0.5, 1.0], "quaternion_wxyz": [1.0, 0.0, 0.0, 0.0], "first_seen_s": 0.0,
        "last_seen_s": 0.5, "num_observations": 2, "visibility": 1.0, "motion": "static",
        "track": [],
    }  # fmt: skip
    assert document["objects"][1]["track"][0] == {
        "t_s": 0.5, "center_m": [1.0, 2.0, 0.25], "quaternion_wxyz": [1.0, 0.0, 0.0, 0.0],
    }  # fmt: skip
    assert list(document["cameras"][0]) == [
        "t_s", "T_world_camera", "fx_px", "fy_px", "cx_px", "cy_px",
    ]  # fmt: skip
    assert document["room"]["polygon_m"] == [[0.0, 0.0], [4.0, 0.0], [4.0, 3.0]]
    assert document["scale"] == {"source": "given", "confidence": 1.0}


def test_scene_text_has_the_documented_form():
    lines = TEXT.splitlines()
    assert lines[0] == 'format = "spatialcode/1"'
    assert lines[5] == (
        'chair_1 = Object(label="chair", center=(1.0, 2.0, 0.5), size=(0.5, 0.5, 1.0), yaw=1.25, '
        "score=0.75, first_seen=0.0, last_seen=0.5, num_observations=2, visibility=1.0, "
        'motion="static")'
    )
    assert "trash_bin_1 = Object(" in TEXT
    assert "quaternion=(0.5, 0.5, 0.5, 0.5)" in lines[6]
    assert "track=(Point(t=0.5, center=(1.0, 2.0, 0.25), yaw=0.0), Point(t=0.75, " in lines[7]


@given(st.floats(-math.pi, math.pi))
def test_a_yaw_in_the_text_gives_its_quaternion_to_the_last_bit(yaw):
    quaternion = make.chair(quaternion_wxyz=quaternion_from_yaw(yaw)).quaternion_wxyz
    found = exact_yaw(quaternion)
    assert found is not None
    assert found == pytest.approx(yaw, abs=2e-7) or abs(abs(found) - math.pi) < 2e-7
    assert make.chair(quaternion_wxyz=quaternion_from_yaw(found)).quaternion_wxyz == quaternion


@given(st.integers(-314, 314))
def test_a_yaw_of_two_decimals_is_printed_with_two(hundredths):
    quaternion = make.chair(quaternion_wxyz=quaternion_from_yaw(hundredths / 100)).quaternion_wxyz
    assert exact_yaw(quaternion) == hundredths / 100


def _without(document, *path):
    *parents, last = path
    inner = document
    for key in parents:
        inner = inner[key]
    del inner[last]


def _with(document, value, *path):
    *parents, last = path
    inner = document
    for key in parents:
        inner = inner[key]
    inner[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), "spatialcode/2", "format: expected 'spatialcode/1', got 'spatialcode/2'"),
        (("extra",), 1, "extra: unknown key"),
        (("video", "fps"), "30", "video.fps: expected a finite number, got '30'"),
        (("video", "codec"), "h264", "video.codec: unknown key; known are uri, "),
        (("video",), [], "video: expected an object"),
        (("objects",), {}, "objects: expected a sequence"),
        (("objects", 1, "center_m", 2), None, "objects[1].center_m[2]: expected a finite number"),
        (("objects", 1, "colour"), "red", "objects[1].colour: unknown key"),
        (("objects", 2, "id"), "chair_1", "objects[2].id: expected an id not used before"),
        (("objects", 2, "track", 1, "t_s"), 0.5, "objects[2].track[1].t_s: expected a time > 0.5"),
        (("objects", 2, "track", 1, "t_s"), [], "objects[2].track[1].t_s: expected a finite"),
        (("objects", 2, "track", 0), 5, "objects[2].track[0]: expected an object, got 5"),
        (("cameras", 0, "fx_px"), True, "cameras[0].fx_px: expected a finite number, got True"),
        (("room", "area_m2"), float("nan"), "room.area_m2: expected a finite number, got nan"),
        (("scale", "source"), "x", "scale.source: expected one of metric-depth"),
    ],
)  # fmt: skip
def test_json_errors_name_the_path(path, value, message):
    document = json.loads(to_json(CODE))
    _with(document, value, *path)
    with pytest.raises(ParseError) as caught:
        from_json(json.dumps(document))
    assert str(caught.value).startswith(message)


def _paths(value, prefix=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*prefix, key)
            yield from _paths(inner, (*prefix, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*prefix, index))


def test_every_key_of_the_json_is_required():
    whole = json.loads(to_json(CODE))
    paths = list(_paths(whole))
    assert len(paths) > 60
    for path in paths:
        document = json.loads(to_json(CODE))
        _without(document, *path)
        name = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
        expected = "format: expected 'spatialcode/1'" if path == ("format",) else f"{name}: missing"
        with pytest.raises(ParseError) as caught:
            from_json(json.dumps(document))
        assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON: "),
        ("{", "not JSON: "),
        ("[1]", "top level: expected an object, got"),
        ("3", "top level: expected an object, got 3"),
        ('{"format": 1, "format": 2}', "format: key is given twice"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5_000, "not JSON: "),
    ],
)
def test_what_is_no_json_code_is_a_parse_error(text, message):
    with pytest.raises(ParseError, match=message.replace("[", r"\[")):
        from_json(text)


ATTACKS = [
    ("import os\n" + TEXT, "line 1: only assignments"),
    (TEXT + "print(1)\n", "only assignments"),
    (TEXT + "a = b = 1\n", "only assignments to one name"),
    (TEXT + "chair_9: int = 1\n", "only assignments"),
    (TEXT + "chair_9, chair_8 = 1, 2\n", "only assignments"),
    (TEXT + "chair_1.score = 1\n", "only assignments"),
    (TEXT + "chair_9 = __import__('os').system('true')\n", r"chair_9: expected Object\(…\)"),
    (TEXT + "chair_9 = exec('1')\n", r"chair_9: expected Object\(…\), got exec\(…\)"),
    (TEXT + "chair_9 = Object('chair')\n", "Object takes keywords only"),
    (TEXT + "chair_9 = Object(**{'label': 'chair'})\n", "chair_9.None: unknown"),
    (TEXT + "chair_9 = Room()\n", r"chair_9: expected Object\(…\), got Room"),
    (TEXT + "chair_9 = Object(colour='red')\n", "chair_9.colour: unknown; known are label, "),
    (TEXT + "chair_9 = Object(label='chair')\n", "chair_9.score: missing|chair_9.center_m: m"),
    (TEXT + "chair_1 = 1\n", "chair_1 is assigned twice"),
    (TEXT.replace("yaw=1.25", "yaw=math.pi"), "chair_1.yaw: expected a string, a number"),
    (TEXT.replace("yaw=1.25", "yaw=1+1"), "chair_1.yaw: expected a string, a number"),
    (TEXT.replace("yaw=1.25", "yaw=--1"), "chair_1.yaw: expected a string, a number"),
    (TEXT.replace("yaw=1.25", "yaw=True"), "chair_1.yaw: expected a string, a number"),
    (TEXT.replace("yaw=1.25", "yaw='1'"), "chair_1.yaw: expected a finite number, got '1'"),
    (TEXT.replace("yaw=1.25", "yaw=1e999"), "chair_1.yaw: expected a finite number, got inf"),
    (TEXT.replace("yaw=1.25", "yaw=1, quaternion=(1,0,0,0)"), "given twice"),
    (TEXT.replace("yaw=1.25", "yaw=1, yaw=1"), "given twice|repeated"),
    (TEXT.replace("yaw=1.25, ", ""), "chair_1.quaternion_wxyz: missing"),
    (TEXT.replace("score=0.75", "score=f'{1}'", 1), "chair_1.score: expected a string"),
    (TEXT.replace("score=0.75", "score=[1]", 1), "chair_1.score: expected a string"),
    (TEXT.replace("score=0.75", "score=7", 1), r"chair_1.score: expected a number in \[0, 1\]"),
    (TEXT.replace('label="chair"', 'label="sofa"', 1), "chair_1.id: expected sofa_1"),
    (TEXT.replace("chair_1 =", "chair =", 1), "chair.id: expected chair_1"),
    (TEXT.replace("spatialcode/1", "spatialcode/2"), "format: expected 'spatialcode/1', got"),
    (TEXT.replace("room = ", "rom = "), "room: missing"),
    (TEXT.replace("cameras = (", "cameras = ("[:-1] + "None #("), "line|cameras"),
    ("", "format: missing"),
    ("chair_1 = (", "line 1: "),
    ("format = '\0'", "null bytes|line 1"),
    ("format = " + "(" * 5_000, "line 1|nested"),
    ("format = " + "-" * 100_000 + "1", "nested|line 1"),
]


@pytest.mark.parametrize(("text", "message"), ATTACKS)
def test_scene_text_outside_the_whitelist_is_a_parse_error(text, message):
    with pytest.raises(ParseError, match=message):
        parse_scene(text)


def test_scene_text_is_never_executed(tmp_path):
    planted = tmp_path / "planted"
    attack = f"chair_9 = __import__('os').mkdir({os.fspath(planted)!r})\n"
    with pytest.raises(ParseError):
        parse_scene(TEXT + attack)
    assert not planted.exists()


def test_layout_of_the_scene_text_is_free():
    loose = "# a comment\n" + TEXT.replace(", ", " ,\n  ").replace("1.25", "125e-2")
    assert parse_scene(loose) == CODE


def test_warnings_are_written_where_there_are_some_and_may_be_absent():
    plain, warned = make.code(), make.code(warnings=("The path is rough.", 'A "cut" at 3 s.'))
    assert "warnings" not in to_json(plain)
    assert "warnings" not in render_scene(plain)
    assert json.loads(to_json(warned))["warnings"] == ["The path is rough.", 'A "cut" at 3 s.']
    assert from_json(to_json(warned)) == warned != plain
    assert parse_scene(render_scene(warned)) == warned
    for wrong, where in (
        ("one", "warnings: expected a sequence"),
        ([1], r"warnings\[0\]: expected"),
    ):
        document = {**json.loads(to_json(plain)), "warnings": wrong}
        with pytest.raises(ParseError, match=where):
            from_json(json.dumps(document))


def test_a_paths_origin_is_written_where_it_was_told_and_may_be_absent():
    plain, told = make.code(), make.code(path=PathOrigin("odometry", 1.25))
    assert "path" not in json.loads(to_json(plain))
    assert json.loads(to_json(told))["path"] == {"source": "odometry", "error_px": 1.25}
    assert 'path = Path(source="odometry", error=1.25)' in render_scene(told)
    for code in (plain, told):
        assert from_json(to_json(code)) == code
        assert parse_scene(render_scene(code)) == code
    unchecked = make.code(path=PathOrigin("given", None))
    assert parse_scene(render_scene(unchecked)) == unchecked
    document = {**json.loads(to_json(plain)), "path": {"source": "odometry", "error_px": -1}}
    with pytest.raises(ParseError, match=r"path.error_px: expected a number >= 0"):
        from_json(json.dumps(document))
