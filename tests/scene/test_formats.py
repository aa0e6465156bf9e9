"""Published boxes: rotations against scipy, axes detected in permuted rooms, every fault named."""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spatialcode.errors import FormatError
from spatialcode.scene.boxes import Boxes
from spatialcode.scene.formats import read_boxes
from spatialcode.scene.text import from_json, to_json

ORDERS = list(permutations((0, 1, 2)))
SIGNS = np.array(list(product((-0.5, 0.5), repeat=3)))


def corners_of(center, size, rotation) -> np.ndarray:
    """The eight corners by the definition, in any order; ``rotation`` box to world."""
    return (SIGNS * np.asarray(size)) @ np.asarray(rotation).T + np.asarray(center)


def assert_same_solid(item, center, size, rotation, tolerance=1e-5):
    got = Boxes.of([item]).corners()[0]
    expected = corners_of(center, size, rotation)
    gaps = np.linalg.norm(got[:, None] - expected[None], axis=2)
    assert gaps.min(axis=0).max() < tolerance
    assert gaps.min(axis=1).max() < tolerance


def read(document, order=None, **stated):
    """The code of a file with one room."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rooms.jsonl"
        path.write_text(json.dumps({"scene": "room", **document}) + "\n")
        return read_boxes(path, order, **stated)["room"]


def from_boxes(objects, order=None, **stated):
    return read({"objects": objects}, order, **stated)


def bbox9(label="chair", center=(1.0, 2.0, 3.0), extents=(0.5, 0.6, 0.9), angles=(0, 0, 0)):
    return {"label": label, "bbox_3d": [*center, *extents, *angles]}


# --- 9 and 10 numbers --------------------------------------------------------------------------


def test_yaw_alone_by_hand():
    """Turned by 90 degrees, the box's x extent of 2 lies along world y."""
    code = from_boxes(
        [bbox9(extents=(2.0, 1.0, 0.5), angles=(0, 0, math.pi / 2))], (0, 1, 2), up="z"
    )
    (item,) = code.objects
    assert item.id == "chair_1"
    assert item.center_m == (1.0, 2.0, 3.0)
    assert item.size_m == (2.0, 1.0, 0.5)
    half = math.sqrt(0.5)
    assert item.quaternion_wxyz == pytest.approx((half, 0.0, 0.0, half), abs=1e-6)
    corners = Boxes.of([item]).corners()[0]
    assert np.ptp(corners, axis=0) == pytest.approx([1.0, 2.0, 0.5], abs=1e-6)


def test_roll_pitch_and_yaw_turn_about_fixed_axes_in_that_order():
    """Roll 90 about x sends y to z; yaw 90 about the world's z then leaves it there.

    About the box's own axes instead, the second turn would be about what is now horizontal.
    """
    right = math.pi / 2
    code = from_boxes(
        [bbox9(extents=(1.0, 2.0, 3.0), angles=(right, 0.0, right))], (0, 1, 2), up="z"
    )
    extent = np.ptp(Boxes.of(code.objects).corners()[0], axis=0)
    # x (1) -> x -> y; y (2) -> z -> z; z (3) -> -y -> x
    assert extent == pytest.approx([3.0, 1.0, 2.0], abs=1e-6)


angles = st.tuples(*[st.floats(-math.pi, math.pi)] * 3)
extents = st.tuples(*[st.floats(0.05, 3.0)] * 3)
centers = st.tuples(*[st.floats(-9.0, 9.0)] * 3)
UP_TURNS = {  # world to a world whose z is up, written out
    "x": np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    "y": np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "z": np.eye(3),
}


@given(centers, extents, angles, st.sampled_from(ORDERS), st.sampled_from("xyz"))
def test_nine_numbers_against_scipy(center, size, rotation, order, up):
    code = from_boxes([bbox9("box", center, size, rotation)], order, up=up)
    turn = UP_TURNS[up]
    assert np.linalg.det(turn) == pytest.approx(1.0)
    matrix = turn @ Rotation.from_euler("xyz", rotation).as_matrix()
    (item,) = code.objects
    assert_same_solid(item, turn @ center, [size[i] for i in order], matrix)
    w, x, y, z = item.quaternion_wxyz  # its z is the axis nearest to up
    own_up = Rotation.from_quat([x, y, z, w]).as_matrix()[2]
    assert own_up[2] >= np.abs(own_up[:2]).max() - 1e-5


@given(centers, extents, angles, st.sampled_from(ORDERS), st.booleans())
def test_ten_numbers_are_the_same_box_in_either_order_of_the_quaternion(
    center, size, rotation, order, scalar_first
):
    x, y, z, w = Rotation.from_euler("xyz", rotation).as_quat()
    quaternion = (w, x, y, z) if scalar_first else (x, y, z, w)
    entry = {"label": "box", "bbox_3d": [*center, *size, *quaternion]}
    (item,) = from_boxes([entry], order, up="z", scalar_first=scalar_first).objects
    (same,) = from_boxes([bbox9("box", center, size, rotation)], order, up="z").objects
    assert_same_solid(item, same.center_m, same.size_m, _matrix(same))


def _matrix(item) -> np.ndarray:
    w, x, y, z = item.quaternion_wxyz
    return Rotation.from_quat([x, y, z, w]).as_matrix()


def test_the_order_of_a_quaternion_matters():
    entry = {"label": "box", "bbox_3d": [0, 0, 0, 1, 2, 3, 1, 0, 0, 0]}
    first = from_boxes([entry], (0, 1, 2), up="z", scalar_first=True).objects[0]
    last = from_boxes([entry], (0, 1, 2), up="z", scalar_first=False).objects[0]
    assert first.size_m == (1.0, 2.0, 3.0)  # no turn
    # a half turn about x: upside down, its y and z extents where they were
    assert np.ptp(Boxes.of([last]).corners()[0], axis=0) == pytest.approx([1.0, 2.0, 3.0])
    entry["bbox_3d"][6:] = [math.sqrt(0.5), 0, 0, math.sqrt(0.5)]
    yawed = from_boxes([entry], (0, 1, 2), up="z", scalar_first=True).objects[0]
    rolled = from_boxes([entry], (0, 1, 2), up="z", scalar_first=False).objects[0]
    assert np.ptp(Boxes.of([yawed]).corners()[0], axis=0) == pytest.approx([2, 1, 3], abs=1e-6)
    assert np.ptp(Boxes.of([rolled]).corners()[0], axis=0) == pytest.approx([1, 3, 2], abs=1e-6)


# --- annotations -------------------------------------------------------------------------------


def room(*objects):
    return {"scene": "room", "objects": list(objects)}


def entry(label="chair", center=(1, 2, 3), size=(0.5, 0.6, 0.9), axes=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    return {"label": label, "center": list(center), "size": list(size), "axes": list(axes)}


def test_axes_are_rows_and_each_names_its_own_size():
    """Row 0 is up: the extent of 0.9 along it becomes the height; rows 1, 2 become x, y."""
    code = read(room(entry(size=(0.9, 0.5, 0.6), axes=(0, 0, 1, 0, 1, 0, -1, 0, 0))))
    (item,) = code.objects
    assert item.size_m == pytest.approx((0.5, 0.6, 0.9))
    assert _matrix(item)[:, 2] == pytest.approx([0, 0, 1], abs=1e-6)
    assert _matrix(item)[:, 0] == pytest.approx([0, 1, 0], abs=1e-6)
    assert _matrix(item)[:, 1] == pytest.approx([-1, 0, 0], abs=1e-6)


@given(centers, extents, angles, st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3),
       st.sampled_from(ORDERS))  # fmt: skip
def test_annotated_boxes_are_the_same_solids(center, size, rotation, signs, order):
    """Axes of either handedness, in any order."""
    rows = Rotation.from_euler("xyz", rotation).as_matrix().T[list(order)]
    rows = rows * np.array(signs)[:, None]
    (item,) = read(room(entry("box", center, size, rows.reshape(-1)))).objects
    assert_same_solid(item, center, size, rows.T)
    up = _matrix(item)[2]
    assert up[2] >= np.abs(up[:2]).max() - 1e-5


def test_a_benchmarks_answers_are_not_read():
    document = {**room(entry()), "object_counts": {"chair": 7}, "room_size_m2": 12.0}
    code = read(document)
    assert code.room is None
    assert len(code.objects) == 1


def test_ids_are_numbered_by_what_they_are_made_of():
    labels = ["chair", "trash bin", "chair", "trash_bin", "Trash bin"]
    code = read(room(*[entry(label) for label in labels]))
    ids = [item.id for item in code.objects]
    assert ids == ["chair_1", "trash_bin_1", "chair_2", "trash_bin_2", "Trash_bin_1"]


def test_flat_boxes_get_a_millimetre():
    (item,) = read(room(entry(size=(1.0, 0.0, 2.0)))).objects
    assert item.size_m == pytest.approx((1.0, 0.001, 2.0))


# --- detection ---------------------------------------------------------------------------------

#: Width, depth, height by hand, and a turn about the vertical.
FURNITURE = [
    ("chair", (0.5, 0.55, 0.9), 0.3), ("chair", (0.45, 0.5, 0.95), 1.2),
    ("table", (1.6, 0.9, 0.74), 0.7), ("door", (0.9, 0.1, 2.0), -0.5),
    ("bed", (1.6, 2.1, 0.8), 2.0), ("trash bin", (0.3, 0.3, 0.42), 0.9),
    ("painting", (1.0, 0.05, 0.8), 0.2),
]  # fmt: skip


def published(shift: int, up: str, furniture=None) -> list[dict]:
    """The room in a world where ``up`` is vertical, extents moved on by ``shift`` places.

    A box's own axes are named as the world's are, so that its height belongs to axis ``up``.
    """
    vertical = "xyz".index(up)
    entries = []
    for n, (label, (width, depth, height), turn) in enumerate(furniture or FURNITURE):
        own = [0.0, 0.0, 0.0]
        own[vertical], own[(vertical + 1) % 3], own[(vertical + 2) % 3] = height, width, depth
        center = [0.0, 0.0, 0.0]
        center[vertical], center[(vertical + 1) % 3] = height / 2, float(n)
        rotation = [0.0, 0.0, 0.0]
        rotation[vertical] = turn
        entries.append(bbox9(label, center, np.roll(own, shift).tolist(), rotation))
    return entries


@pytest.mark.parametrize("up", "xyz")
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_axes_are_detected_in_permuted_rooms(shift, up, tmp_path):
    """Box axis i has the extent published at i + shift."""
    objects = published(shift, up)
    # whatever was published, the room comes out standing on its floor
    stated = from_boxes(objects, tuple((i + shift) % 3 for i in range(3)), up=up)
    path = tmp_path / "rooms.jsonl"  # detection is over all rooms of a file
    rooms = {"a": objects[:4], "b": objects[4:]}
    path.write_text("\n".join(json.dumps({"scene": k, "objects": o}) for k, o in rooms.items()))
    parts = read_boxes(path)
    assert [*parts["a"].objects, *parts["b"].objects][:4] == list(stated.objects[:4])
    for code in (stated, from_boxes(objects)):
        for item, (_, (width, depth, height), turn) in zip(code.objects, FURNITURE, strict=True):
            assert item.size_m == pytest.approx((width, depth, height), abs=1e-6)
            assert item.center_m[2] == pytest.approx(height / 2, abs=1e-6)
            assert_same_solid(
                item,
                item.center_m,
                (width, depth, height),
                Rotation.from_euler("z", turn).as_matrix(),
            )


def test_a_statement_overrules_detection(tmp_path):
    path = tmp_path / "rooms.jsonl"
    path.write_text(json.dumps({"scene": "a", "objects": published(1, "z")}))
    stated = read_boxes(path, (0, 1, 2), up="z")["a"]
    assert stated.objects[0].size_m == pytest.approx((0.9, 0.5, 0.55))  # as published


def straight(furniture):
    return [(label, size, 0.0) for label, size, _ in furniture]


CUBES = [("chair", (0.8, 0.8, 0.8), 0.4)] * 6
UNKNOWN = [("thing", (0.5, 0.5, 0.9), 0.4)] * 6


@pytest.mark.parametrize(
    ("furniture", "message"),
    [
        (straight(FURNITURE), "up: boxes stand along no axis clearly"),
        ([], "up: expected 5 boxes"),
        (FURNITURE[:4], "up: expected 5 boxes"),
        (CUBES, "axis order: no extent is clearly"),
        (UNKNOWN, "axis order: expected 5 things of known height, got 0"),
    ],
)
def test_a_doubt_is_an_error_and_no_guess(furniture, message, tmp_path):
    objects = published(0, "z", furniture or [("chair", (0.5, 0.5, 0.9), 0.4)])
    objects = objects if furniture else objects[:1]
    path = tmp_path / "rooms.jsonl"
    path.write_text(json.dumps({"scene": "a", "objects": objects}))
    with pytest.raises(FormatError, match=f"rooms.jsonl: {message}.*state it"):
        read_boxes(path)
    assert len(read_boxes(path, (0, 1, 2), up="z")["a"].objects) == len(objects)


def test_up_stated_leaves_the_order_to_be_detected():
    objects = published(1, "y", straight(FURNITURE))
    assert from_boxes(objects, up="y") == from_boxes(objects, (1, 2, 0), up="y")


def test_tilted_boxes_do_not_count_by_the_wrong_axis():
    """A room where every box was published lying on its side by its rotation."""
    objects = published(0, "z")
    for box in objects:
        box["bbox_3d"][6] = math.pi / 2  # roll: its y is up now, so the height is the second
        box["bbox_3d"][3:6] = np.array(box["bbox_3d"])[[3, 5, 4]].tolist()
    assert from_boxes(objects) == from_boxes(objects, (0, 1, 2), up="z")
    heights = [item.size_m[2] for item in from_boxes(objects).objects]
    assert heights == pytest.approx([size[2] for _, size, _ in FURNITURE])


# --- faults ------------------------------------------------------------------------------------

GOOD9, GOOD = bbox9(), entry()


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"bbox_3d": [math.nan, *[1.0] * 8]}, r"objects\[1\].bbox_3d"),
        ({"bbox_3d": [math.inf, *[1.0] * 8]}, r"objects\[1\].bbox_3d"),
        ({"bbox_3d": [0, 0, 0, 1, -1, 1, 0, 0, 0]}, r"objects\[1\].bbox_3d: expected extents >= 0"),
        ({"bbox_3d": [1.0] * 8}, r"objects\[1\].bbox_3d: expected 9 numbers"),
        ({"bbox_3d": ["1"] * 9}, r"objects\[1\].bbox_3d: expected 9 numbers"),
        ({"bbox_3d": [True] * 9}, r"objects\[1\].bbox_3d: expected 9 numbers"),
        ({"bbox_3d": [[1.0], [1.0, 2.0]]}, r"objects\[1\].bbox_3d: expected 9 numbers"),
        ({"bbox_3d": None}, r"objects\[1\].bbox_3d: expected 9 numbers"),
        ({"bbox_3d": [10**400] + [1.0] * 8}, r"objects\[1\].bbox_3d: expected 9 numbers"),
        ({"bbox_3d": [1e300] + [1.0] * 8}, r"objects\[1\]: center_m\[0\]"),
        ({"bbox3d": [1.0] * 9}, r"objects\[1\]: expected the keys bbox_3d, label, got .*bbox3d"),
        ({"label": ""}, r"objects\[1\].label"),
        ({"label": 7}, r"objects\[1\].label"),
        ({"label": "two\nlines"}, r"objects\[1\]: label"),
    ],
)  # fmt: skip
def test_nine_numbers_with_a_fault(changed, where):
    with pytest.raises(FormatError, match=where):
        from_boxes([GOOD9, {**GOOD9, **changed}], (0, 1, 2), up="z")


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"center": [1, 2]}, r"room: objects\[1\].center: expected 3 numbers"),
        ({"center": [1, 2, math.nan]}, r"room: objects\[1\].center"),
        ({"size": [1, -2, 1]}, r"room: objects\[1\].size: expected extents >= 0"),
        ({"size": "large"}, r"room: objects\[1\].size"),
        ({"axes": [1, 0, 0, 0, 1, 0, 0, 0, 2]}, r"room: objects\[1\].axes: expected unit axes"),
        ({"axes": [1, 0, 0, 0, 1, 0, 0, 1, 0]}, r"room: objects\[1\].axes: expected unit axes"),
        ({"axes": [1, 0, 0]}, r"room: objects\[1\].axes: expected 9 numbers"),
        ({"yaw": 1.0}, r"room: objects\[1\]: expected the keys .*yaw"),
        ({"bbox_3d": [1.0] * 9}, r"room: objects\[0\]: expected the keys bbox_3d"),
    ],
)
def test_annotations_with_a_fault(changed, where):
    with pytest.raises(FormatError, match=where):
        read(room(GOOD, {**GOOD, **changed}))


def test_objects_that_are_no_list_of_objects():
    for objects in (None, "chair", {"label": "chair"}):
        with pytest.raises(FormatError, match="room: objects: expected a list"):
            read({"objects": objects})
    for wrong in (None, "chair", 3, ["chair"]):
        with pytest.raises(FormatError, match=r"objects\[0\]: expected an object"):
            read(room(wrong))
        with pytest.raises(FormatError, match=r"objects\[0\]: expected an object"):
            from_boxes([wrong], (0, 1, 2), up="z")
    missing = {key: value for key, value in GOOD.items() if key != "size"}
    with pytest.raises(FormatError, match=r"objects\[0\]: expected the keys .*size"):
        read(room(missing))


def test_quaternions_with_a_fault():
    bad = {"label": "box", "bbox_3d": [0, 0, 0, 1, 1, 1, 0.5, 0, 0, 0]}
    with pytest.raises(FormatError, match="unit quaternion"):
        from_boxes([bad], (0, 1, 2), up="z", scalar_first=True)


def test_statements_that_say_nothing():
    for order in ((0, 1, 1), (0, 1), (1, 2, 3)):
        with pytest.raises(FormatError, match="order: expected each of 0, 1, 2 once"):
            from_boxes([GOOD9], order, up="z")
    with pytest.raises(FormatError, match="up: expected x, y or z"):
        from_boxes([GOOD9], (0, 1, 2), up="-z")


LINE = json.dumps({"scene": "a", "objects": [GOOD]})


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", ": expected one room a line, got an empty file"),
        ("\n \n", ": expected one room a line"),
        (LINE + "\n{", ":2: not JSON"),
        (LINE + "\n\n{", ":3: not JSON"),
        (LINE + "\n[1]", ":2: expected an object with 'scene'"),
        (LINE + '\n{"objects": []}', ":2: expected an object with 'scene'"),
        (LINE + '\n{"scene": "", "objects": []}', ":2: scene ''"),
        (LINE + "\n" + LINE, ":2: scene 'a'"),
        (LINE + '\n{"scene": "b"}', r":2: b: objects: expected a list"),
        (LINE + '\n{"scene": "b", "objects": [{}]}', r":2: b: objects\[0\]: expected the keys"),
        ('{"scene": "b", "objects": [{"label": "x", "bbox_3d": [NaN]}]}', r":1: b: objects\[0\]"),
        ('{"scene": "b", "objects": [{"label": "x", "bbox_3d": 5}]}', r":1: b: objects\[0\]"),
        (json.dumps({"scene": "b", "objects": [GOOD9, GOOD]}), r":1: b: objects\[1\]: .*keys"),
        ("[" * 100_000, ":1: not JSON"),
    ],
)  # fmt: skip
def test_files_with_a_fault_name_file_and_line(text, where, tmp_path):
    path = tmp_path / "rooms.jsonl"
    path.write_text(text)
    with pytest.raises(FormatError, match="rooms.jsonl" + where):
        read_boxes(path)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "rooms.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match=r"rooms[.]jsonl: not UTF-8"):
        read_boxes(path)
    with pytest.raises(FileNotFoundError):
        read_boxes(tmp_path / "none.jsonl")


def test_quaternions_in_a_file_need_their_order_stated(tmp_path):
    box = {"label": "box", "bbox_3d": [0, 0, 0, 1, 2, 3, math.sqrt(0.5), 0, 0, math.sqrt(0.5)]}
    path = tmp_path / "rooms.jsonl"
    path.write_text(json.dumps({"scene": "a", "objects": [box]}))
    with pytest.raises(FormatError, match=r"rooms.jsonl:1: a: objects\[0\].*scalar_first"):
        read_boxes(path, (0, 1, 2), up="z")
    for scalar_first in (True, False):
        code = read_boxes(path, (0, 1, 2), up="z", scalar_first=scalar_first)["a"]
        same = from_boxes([box], (0, 1, 2), up="z", scalar_first=scalar_first)
        assert code.objects == same.objects


def test_separators_that_are_no_line_ends(tmp_path):
    """JSON may hold U+2028 as it is; only a line feed ends a row. A room may be empty."""
    path = tmp_path / "rooms.jsonl"
    path.write_text('{"scene": "a\u2028b", "objects": []}\r\n' + LINE + "\n", encoding="utf-8")
    assert list(read_boxes(path)) == ["a\u2028b", "a"]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=10) | st.dictionaries(
        st.sampled_from(["label", "bbox_3d", "center", "size", "axes", "x"]), inner, max_size=4
    ),
    max_leaves=20,
)  # fmt: skip


@given(json_values)
def test_any_json_is_a_code_or_a_format_error(value):
    for make in (
        lambda: read({"objects": value}),
        lambda: read(room({**GOOD, "center": value})),
        lambda: from_boxes([value], (0, 1, 2), up="z"),
        lambda: from_boxes([{"label": "box", "bbox_3d": value}], (0, 1, 2), up="z"),
        lambda: from_boxes([{"label": value, "bbox_3d": value}]),
    ):
        with contextlib.suppress(FormatError):
            made = make()
            assert from_json(to_json(made)) == made  # its own writer and reader agree on it


def test_round_trip():
    code = from_boxes(published(1, "y"), (1, 2, 0), up="y")
    assert from_json(to_json(code)) == code


# --- real files --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vsibench(data_dir):
    folder = data_dir / "vsibench"
    if not folder.is_dir():
        pytest.skip("no vsibench in SPATIALCODE_DATA")
    return folder


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_annotated_rooms(vsibench):
    raw = rows(vsibench / "scenes.jsonl")
    codes = read_boxes(vsibench / "scenes.jsonl")
    assert list(codes) == [row["scene"] for row in raw]
    assert len(codes) == 201
    for row in raw:
        code = codes[row["scene"]]
        assert [item.label for item in code.objects] == [o["label"] for o in row["objects"]]
        assert code.room is None
        for item, given_box in zip(code.objects, row["objects"], strict=True):
            axes = np.array(given_box["axes"]).reshape(3, 3)
            # rotations are published with five decimals
            assert_same_solid(item, given_box["center"], given_box["size"], axes.T, 2e-4)


def test_predicted_rooms(vsibench):
    """Published as x, y, z, a, b, c with b vertical: the solid is c by a by b, turned by yaw."""
    raw = rows(vsibench / "predicted_boxes.jsonl")
    codes = read_boxes(vsibench / "predicted_boxes.jsonl")
    assert len(codes) == len(raw) == 51
    assert codes == read_boxes(vsibench / "predicted_boxes.jsonl", (2, 0, 1), up="z")
    assert sum(len(code.objects) for code in codes.values()) == 580
    for row in raw:
        objects = codes[row["scene"]].objects
        for item, given_box in zip(objects, row["objects"], strict=True):
            x, y, z, a, b, c, *_, yaw = given_box["bbox_3d"]
            cos, sin = math.cos(yaw), math.sin(yaw)
            turn = [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]
            assert item.label == given_box["label"]
            assert_same_solid(item, (x, y, z), (c, a, b), turn)
