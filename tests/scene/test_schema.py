from __future__ import annotations

import dataclasses
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.errors import SchemaError
from spatialcode.scene.schema import make_id
from tests.scene import builders as make
from tests.scene.strategies import labels, scene_objects, spatial_codes

NAN, INF = float("nan"), float("inf")
TILTED = ((1.0, 0.1, 0.0, 0.0), *make.IDENTITY[1:])
MIRRORED = ((-1.0, 0.0, 0.0, 0.0), *make.IDENTITY[1:])
PROJECTIVE = (*make.IDENTITY[:3], (0.0, 0.0, 0.0, 2.0))

# builder, field, bad value, field in the message, expected in the message
INVARIANTS = [
    (make.video, "uri", 7, "uri", "a string"),
    (make.video, "uri", "\ud800", "uri", "a string without lone surrogates"),
    (make.video, "sha256", "AB" * 32, "sha256", "64 lower-case hexadecimal digits"),
    (make.video, "duration_s", -0.1, "duration_s", "seconds >= 0"),
    (make.video, "duration_s", NAN, "duration_s", "a finite number"),
    (make.video, "duration_s", 10**400, "duration_s", "a finite number"),
    (make.video, "fps", -1.0, "fps", "a number >= 0"),
    (make.video, "width_px", 0, "width_px", "an integer in [1, 2147483647]"),
    (make.video, "height_px", 480.0, "height_px", "an integer in [1, 2147483647]"),
    (make.video, "height_px", True, "height_px", "an integer in [1, 2147483647]"),
    (make.video, "sampled_s", (0.5, 0.25), "sampled_s[1]", "a time >= 0.5"),
    (make.video, "sampled_s", 3.0, "sampled_s", "a sequence"),
    (make.point, "t_s", -1.0, "t_s", "seconds >= 0"),
    (make.point, "center_m", (0.0, 1.0), "center_m", "3 numbers"),
    (make.point, "quaternion_wxyz", (0.0, 0.0, 0.0, 0.0), "quaternion_wxyz", "non-zero length"),
    (make.chair, "id", "chair_0", "id", "chair_1, chair_2, …"),
    (make.chair, "id", "chair_01", "id", "chair_1, chair_2, …"),
    (make.chair, "id", "table_1", "id", "chair_1, chair_2, …"),
    (make.chair, "label", " chair", "label", "a printable, non-empty label"),
    (make.chair, "label", "", "label", "a printable, non-empty label"),
    (make.chair, "score", 1.01, "score", "a number in [0, 1]"),
    (make.chair, "visibility", -0.01, "visibility", "a number in [0, 1]"),
    (make.chair, "center_m", (0.0, NAN, 0.0), "center_m[1]", "a finite number"),
    (make.chair, "center_m", (0.0, 0.0, 1e39), "center_m[2]", "float32 range"),
    (make.chair, "center_m", ("1", 0.0, 0.0), "center_m[0]", "a finite number"),
    (make.chair, "size_m", (1.0, 0.0, 1.0), "size_m", "three extents > 0"),
    (make.chair, "size_m", (1.0, 1e-60, 1.0), "size_m", "three extents > 0"),
    (make.chair, "quaternion_wxyz", (1.0, 0.0, INF, 0.0), "quaternion_wxyz[2]", "a finite number"),
    (make.chair, "first_seen_s", -1.0, "first_seen_s", "seconds >= 0"),
    (make.chair, "last_seen_s", -1.0, "last_seen_s", "seconds >= 0"),
    (make.chair, "first_seen_s", 0.75, "last_seen_s", "a time >= first_seen_s = 0.75"),
    (make.chair, "num_observations", -1, "num_observations", "an integer in [0, 2147483647]"),
    (make.chair, "motion", "still", "motion", "one of static, moving"),
    (make.chair, "motion", "moving", "track", "at least one point for a moving object"),
    (make.chair, "track", ("x",), "track[0]", "a TrackPoint"),
    (make.chair, "track", (make.point(), make.point()), "track[1].t_s", "a time > 0.5"),
    (make.camera, "t_s", INF, "t_s", "a finite number"),
    (make.camera, "T_world_camera", make.IDENTITY[:3], "T_world_camera", "4 rows of 4 numbers"),
    (make.camera, "T_world_camera", TILTED, "T_world_camera", "an orthonormal, right-handed"),
    (make.camera, "T_world_camera", MIRRORED, "T_world_camera", "an orthonormal, right-handed"),
    (make.camera, "T_world_camera", PROJECTIVE, "T_world_camera[3]", "the row (0, 0, 0, 1)"),
    (make.camera, "fx_px", 0.0, "fx_px", "a number > 0"),
    (make.camera, "fy_px", -1.0, "fy_px", "a number > 0"),
    (make.camera, "cx_px", None, "cx_px", "a finite number"),
    (make.camera, "cy_px", NAN, "cy_px", "a finite number"),
    (make.room, "floor_z_m", NAN, "floor_z_m", "a finite number"),
    (make.room, "ceiling_z_m", -0.5, "ceiling_z_m", "a height >= floor_z_m = 0.0"),
    (make.room, "polygon_m", ((0, 0), (1, 0)), "polygon_m", "no vertex or at least 3"),
    (make.room, "polygon_m", ((0, 0), (1, 0), (1, 1, 1)), "polygon_m[2]", "2 numbers"),
    (make.room, "area_m2", -1.0, "area_m2", "a number >= 0"),
    (
        make.scale,
        "source",
        "guess",
        "source",
        "one of metric-depth, camera-height, ceiling-height, object-sizes, given",
    ),
    (make.scale, "confidence", 1.5, "confidence", "a number in [0, 1]"),
    (make.provenance, "encoder", None, "encoder", "a string"),
    (make.provenance, "weights_sha256", "abc", "weights_sha256", "64 lower-case hexadecimal"),
    (make.provenance, "config_sha256", "abc", "config_sha256", "64 lower-case hexadecimal"),
    (make.provenance, "software", b"x", "software", "a string"),
    (make.provenance, "work_key", "0" * 63, "work_key", "64 lower-case hexadecimal"),
    (make.code, "video", None, "video[0]", "a VideoInfo"),
    (make.code, "objects", (make.chair(), make.chair()), "objects[1].id", "an id not used before"),
    (make.code, "objects", (make.camera(),), "objects[0]", "a SceneObject"),
    (make.code, "cameras", (make.camera(t_s=1.0), make.camera()), "cameras.t_s[1]", ">= 1.0"),
    (make.code, "room", (), "room", "a Room or None"),
    (make.code, "scale", "given", "scale[0]", "a Scale"),
    (make.code, "provenance", {}, "provenance[0]", "a Provenance"),
    (make.code, "path", "odometry", "path", "a PathOrigin or None"),
    (make.code, "warnings", "one", "warnings", "a sequence"),
    (make.code, "warnings", (3,), "warnings[0]", "a string"),
]


@pytest.mark.parametrize(("build", "name", "bad", "field", "expected"), INVARIANTS)
def test_each_invariant_names_field_expected_and_got(build, name, bad, field, expected):
    with pytest.raises(SchemaError) as caught:
        build(**{name: bad})
    assert caught.value.field == field
    assert expected in caught.value.expected
    assert str(caught.value).startswith(f"{field}: expected ")
    assert f"got {caught.value.got!r}" in str(caught.value)


def test_every_field_has_an_invariant_test():
    builders = {make.video, make.point, make.chair, make.camera, make.room, make.scale,
                make.provenance, make.code}  # fmt: skip
    for build in builders:
        tried = {name for other, name, *_ in INVARIANTS if other is build}
        tried |= {field for other, _, _, field, _ in INVARIANTS if other is build}
        names = {field.name for field in dataclasses.fields(build()) if field.init}
        assert names <= tried, build.__name__


def test_geometry_is_float32_and_times_are_float64():
    item = make.chair(center_m=np.array([0.1, -0.0, 3]), first_seen_s=0.1, last_seen_s=0.1)
    assert item.center_m == (float(np.float32(0.1)), 0.0, 3.0)
    assert repr(item.center_m[1]) == "0.0"
    assert all(type(value) is float for value in item.center_m)
    assert item.first_seen_s == 0.1
    assert make.video(sampled_s=[0.1]).sampled_s == (0.1,)


def test_quaternions_are_normalised_with_one_sign():
    half = make.chair(quaternion_wxyz=(-2, 0, 0, 2)).quaternion_wxyz
    assert half == (float(np.float32(0.5**0.5)), 0.0, 0.0, -float(np.float32(0.5**0.5)))
    assert make.chair(quaternion_wxyz=(0, 0, -3, 0)).quaternion_wxyz == (0.0, 0.0, 1.0, 0.0)


@given(scene_objects())
def test_building_again_changes_nothing(item):
    assert dataclasses.replace(item) == item


@given(spatial_codes())
def test_codes_are_hashable_values(code):
    again = dataclasses.replace(code)
    assert again == code
    assert hash(again) == hash(code)
    assert pickle.loads(pickle.dumps(code)) == code
    for item in code.objects:
        assert code.object(item.id) is item


def test_values_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make.chair().score = 0.5


def test_an_unknown_id_names_those_there_are():
    with pytest.raises(KeyError, match=r"no object 'sofa_1'; there are: chair_1"):
        make.code().object("sofa_1")
    with pytest.raises(KeyError, match="there are: none"):
        make.code(objects=()).object("sofa_1")


def test_ids_by_hand():
    assert make_id("chair", 1) == "chair_1"
    assert make_id("trash bin", 12) == "trash_bin_12"
    assert make_id("3d printer", 1) == "_3d_printer_1"
    assert make_id("T-shirt", 2) == "T_shirt_2"
    with pytest.raises(SchemaError, match=re.escape("id: expected chair_1, chair_2, …")):
        make_id("chair", 0)


@given(labels, st.integers(1, 10**6))
def test_ids_are_identifiers_that_no_keyword_can_hide(label, n):
    made = make_id(label, n)
    assert made.isidentifier()
    assert made.endswith(f"_{n}")
    scope: dict[str, int] = {}
    exec(f"{made} = 5", scope)
    assert scope[made] == 5


def test_camera_matrices():
    shot = make.camera(T_world_camera=((0, -1, 0, 3), (1, 0, 0, 4), (0, 0, 1, 5), (0, 0, 0, 1)))
    assert shot.matrix()[:3, 3].tolist() == [3, 4, 5]
    assert shot.intrinsics().tolist() == [[500, 0, 320], [0, 500, 240], [0, 0, 1]]
