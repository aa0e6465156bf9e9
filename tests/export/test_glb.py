from __future__ import annotations

import io
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from spatialcode.export.glb import render_glb, write_glb
from spatialcode.scene.schema import Room, TrackPoint, make_id
from tests.export.codes import UPRIGHT, camera, code, item, moving_stool

# A quarter turn to the left, seen from above: the box's +y points along world -x.
QUARTER_LEFT = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))
COLUMNS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


def turned_chair() -> Any:
    return item(
        "chair_1",
        "chair",
        center_m=(3.0, 2.0, 0.25),
        size_m=(2.0, 1.0, 0.5),
        quaternion_wxyz=QUARTER_LEFT,
    )


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON tree and the binary part, as the container's specification lays them out."""
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    json_bytes, json_kind = struct.unpack_from("<I4s", data, 12)
    assert (json_bytes % 4, json_kind) == (0, b"JSON")
    binary = 20 + json_bytes
    num_bytes, kind = struct.unpack_from("<I4s", data, binary)
    assert (num_bytes % 4, kind, binary + 8 + num_bytes) == (0, b"BIN\0", len(data))
    return json.loads(data[20:binary]), data[binary + 8 :]


def numbers(tree: dict[str, Any], binary: bytes, accessor: int) -> np.ndarray:
    found = tree["accessors"][accessor]
    view = tree["bufferViews"][found["bufferView"]]
    assert (found["componentType"], view["buffer"]) == (5126, 0)
    count = found["count"] * COLUMNS[found["type"]]
    start = view["byteOffset"] + found["byteOffset"]
    assert 4 * count <= view["byteLength"] <= len(binary) - view["byteOffset"]
    values = np.frombuffer(binary, "<f4", count, start).reshape(found["count"], -1)
    assert (values.min(axis=0).tolist(), values.max(axis=0).tolist()) == (
        found["min"],
        found["max"],
    )
    return values


def loaded(data: bytes) -> trimesh.Scene:
    return trimesh.load_scene(io.BytesIO(data), file_type="glb")


def points(scene: trimesh.Scene, node: str) -> set[tuple[float, ...]]:
    """A node's vertices in the file's own axes (y up), rounded to a tenth of a millimetre."""
    transform, geometry = scene.graph.get(node)
    vertices = trimesh.transform_points(scene.geometry[geometry].vertices, transform)
    return {tuple(row) for row in (np.round(vertices, 4) + 0.0).tolist()}


def node_of(tree: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (node for node in tree["nodes"] if node["name"] == name)
    return found


def keys(data: bytes, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Times and values of the animation of one node, by what they drive."""
    tree, binary = parts(data)
    found = {}
    for animation in tree.get("animations", []):
        for channel in animation["channels"]:
            target, sampler = channel["target"], animation["samplers"][channel["sampler"]]
            if tree["nodes"][target["node"]]["name"] == name:
                assert sampler["interpolation"] == "LINEAR"
                times, values = (numbers(tree, binary, sampler[k]) for k in ("input", "output"))
                found[target["path"]] = (times[:, 0], values)
    return found


def test_boxes_stand_at_their_corners_with_y_up() -> None:
    scene = loaded(render_glb(code(item("table_1", "table"), turned_chair())))
    # World x -0.5..0.5, y 3..5, z 1..2; the file's y is the world's z, its z the world's -y.
    assert points(scene, "table_1") == {
        (x, y, z) for x in (-0.5, 0.5) for y in (1.0, 2.0) for z in (-5.0, -3.0)
    }
    # Turned by a quarter: 1 m wide in world x, 2 m in y.
    assert points(scene, "chair_1") == {
        (x, y, z) for x in (2.5, 3.5) for y in (0.0, 0.5) for z in (-3.0, -1.0)
    }
    assert points(scene, "table_1") <= points(scene, "table_1.edges")


def test_the_arrow_of_the_front_leaves_where_the_thing_faces() -> None:
    scene = loaded(render_glb(code(turned_chair(), item("table_1", "table"))))
    # From the middle of the +y face, x = 2.5, outwards for 0.2 + 0.2 * 1 m.
    assert {(2.5, 0.25, -2.0), (2.1, 0.25, -2.0)} <= points(scene, "chair_1.edges")
    assert len(points(scene, "table_1.edges")) == 8


def test_nodes_hold_the_codes_numbers_and_facts() -> None:
    tree, _ = parts(render_glb(code(turned_chair())))
    assert node_of(tree, "world_z_up")["matrix"] == [
        1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1,
    ]  # fmt: skip
    chair = node_of(tree, "chair_1")
    assert "matrix" not in chair
    assert (chair["translation"], chair["scale"]) == ([3.0, 2.0, 0.25], [2.0, 1.0, 0.5])
    assert chair["rotation"] == pytest.approx([0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)])
    assert chair["extras"] == {
        "label": "chair",
        "score": pytest.approx(0.9),
        "size_m": [2.0, 1.0, 0.5],
        "first_seen_s": 0.0,
        "last_seen_s": 2.0,
        "num_observations": 3,
        "visibility": pytest.approx(0.8),
        "motion": "static",
    }
    extras = tree["scenes"][0]["extras"]
    assert (extras["video_uri"], extras["work_key"]) == ("rooms/a.mp4", "d" * 64)


def test_boxes_are_closed_translucent_and_of_their_categorys_colour() -> None:
    data = render_glb(code(turned_chair()))
    mesh = loaded(data).geometry["chair_1"]
    assert (mesh.is_watertight, mesh.volume) == (True, pytest.approx(1.0))  # faces look outwards
    tree, _ = parts(data)
    mesh_number = node_of(tree, "chair_1")["mesh"]
    material = tree["materials"][tree["meshes"][mesh_number]["primitives"][0]["material"]]
    assert (material["alphaMode"], material["doubleSided"]) == ("BLEND", True)
    # (230, 57, 70) in linear light: ((0.902 + 0.055) / 1.055)^2.4 = 0.791, 0.041, 0.061.
    assert material["pbrMetallicRoughness"]["baseColorFactor"] == pytest.approx(
        [0.791, 0.041, 0.061, 0.35], abs=0.003
    )


def test_what_moves_is_animated_in_the_videos_seconds() -> None:
    data = render_glb(code(moving_stool(), item("table_1", "table")))
    times, positions = keys(data, "stool_1")["translation"]
    np.testing.assert_array_equal(times, [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(positions, [(-1, 3, 0.25), (0, 3, 0.25), (1, 3, 0.25)])
    # Where the animation is not played, the stool is where it was seen last.
    assert node_of(parts(data)[0], "stool_1")["translation"] == [1.0, 3.0, 0.25]
    assert keys(data, "table_1") == {}
    assert points(loaded(data), "stool_1.track") == {
        (x, 0.25, -3.0) for x in (-1.0, 0.0, 1.0)
    }  # fmt: skip


def test_rotations_are_written_with_w_last() -> None:
    track = (
        TrackPoint(0.5, (0.0, 0.0, 0.0), UPRIGHT),
        TrackPoint(1.5, (0.0, 0.0, 0.0), QUARTER_LEFT),
    )
    turning = item("chair_1", "chair", motion="moving", track=track)
    times, rotations = keys(render_glb(code(turning)), "chair_1")["rotation"]
    np.testing.assert_array_equal(times, [0.5, 1.5])
    half = math.sqrt(0.5)
    np.testing.assert_allclose(rotations, [(0, 0, 0, 1), (0, 0, half, half)], atol=1e-6)


def test_the_camera_looks_ahead_from_where_it_is() -> None:
    data = render_glb(code())
    scene = loaded(data)
    # The image's top left corner at 0.35 m: 0.28 m to the left, 0.21 m above 1.5 m, ahead.
    assert {(0.0, 1.5, 0.0), (-0.28, 1.71, -0.35)} <= points(scene, "camera")
    assert points(scene, "camera_path") == {(x, 1.5, 0.0) for x in (0.0, 0.5, 1.0)}
    times, positions = keys(data, "camera")["translation"]
    np.testing.assert_array_equal(times, [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(positions[:, 0], [0.0, 0.5, 1.0])


def test_the_floor_lies_under_the_walls_outline() -> None:
    scene = loaded(render_glb(code()))
    corners = {(x, z) for x in (-2.0, 2.0) for z in (-6.0, 1.0)}
    assert points(scene, "floor") == {(x, 0.0, z) for x, z in corners}
    assert points(scene, "room") == {(x, y, z) for x, z in corners for y in (0.0, 2.5)}
    floor = scene.geometry["floor"]
    assert floor.area == pytest.approx(28.0)
    np.testing.assert_allclose(floor.face_normals, [(0, 0, 1)] * 2)  # of the code: up


def test_a_room_may_lack_a_ceiling_an_area_or_an_outline() -> None:
    square = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    flat = ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0))
    scene = loaded(render_glb(code(room=Room(0.5, None, square, 1.0))))
    assert {y for _, y, _ in points(scene, "room")} == {0.5}
    names = set(loaded(render_glb(code(room=Room(0.0, None, flat, 0.0)))).graph.nodes_geometry)
    assert names == {"room", "camera", "camera_path"}
    none = loaded(render_glb(code(room=Room(0.0, 2.5, (), 0.0))))
    assert set(none.graph.nodes_geometry) == {"camera", "camera_path"}


def test_an_empty_code_is_a_file_with_facts_alone() -> None:
    data = render_glb(code(cameras=(), room=None))
    tree, binary = parts(data)
    assert [node["name"] for node in tree["nodes"]] == ["world_z_up"]
    assert binary == b""
    scene = loaded(data)
    assert scene.geometry == {}
    assert scene.metadata["video_sha256"] == "a" * 64


def test_one_camera_and_one_track_point_stand_still() -> None:
    once = item("chair_1", "chair", motion="moving", track=(TrackPoint(1.0, (1, 2, 3), UPRIGHT),))
    data = render_glb(code(once, cameras=(camera(1.0, 0.5),)))
    tree, _ = parts(data)
    assert "animations" not in tree
    assert node_of(tree, "camera")["translation"] == [0.5, 0.0, 1.5]
    assert {node["name"] for node in tree["nodes"]} == {
        "world_z_up", "chair_1", "chair_1.edges", "camera", "floor", "room",
    }  # fmt: skip


def test_keys_that_float32_cannot_tell_apart_are_one() -> None:
    # At 1000 s float32 steps by 6e-5 s.
    data = render_glb(code(cameras=(camera(1000.0), camera(1000.00001, 1.0), camera(1001.0, 2.0))))
    times, positions = keys(data, "camera")["translation"]
    np.testing.assert_array_equal(times, [1000.0, 1001.0])
    np.testing.assert_allclose(positions[:, 0], [0.0, 2.0])


def test_any_label_survives(tmp_path: Path) -> None:
    label = 'Стул "é" </script>'
    path = write_glb(code(item(make_id(label, 1), label)), tmp_path / "new" / "a.glb")
    tree, _ = parts(path.read_bytes())
    assert node_of(tree, make_id(label, 1))["extras"]["label"] == label
