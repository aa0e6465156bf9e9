"""A spatial code as binary glTF, which browsers, Blender and file viewers open.

glTF's y is up, a code's z. One root node, ``world_z_up``, turns everything by -90 degrees about
x: (x, y, z) of the code is (x, z, -y) of the file. Below it the numbers are the code's own: an
object is the unit cube, its node named by the object's id, with ``center_m`` as translation, the
quaternion as rotation (glTF writes x, y, z, w) and ``size_m`` as scale. What moves, the camera
too, carries an animation whose seconds are the video's.

glTF cannot say since when a thing is known: every box stands there from the start, and
``first_seen_s`` is among its node's extras.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.export.drawing import (
    CAMERA_RGB,
    EDGES,
    FLOOR_RGB,
    FRONT_EDGES,
    FRUSTUM_EDGES,
    OUTLINE_RGB,
    RGB,
    TRIANGLES,
    box_points,
    frustum_points,
    has_front,
    label_rgb,
    triangulate,
)
from spatialcode.files import write_bytes
from spatialcode.scene.frames import quaternion_from_matrix
from spatialcode.scene.motion import CameraMotion, object_poses
from spatialcode.scene.schema import FORMAT, Room, SceneObject, SpatialCode

if TYPE_CHECKING:
    import trimesh

FloatArray = NDArray[np.float64]

#: The node that turns the code's axes into glTF's; all others are below it.
ROOT = "world_z_up"
FACE_ALPHA = 0.35
FLOOR_ALPHA = 0.5
FRUSTUM_DEPTH_M = 0.35
CAMERA = "camera"

_WORLD_TO_GLTF = np.array(
    [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
_FLOAT32 = 5126  # glTF's number for it
_UNIT, _ORIGIN, _UPRIGHT = np.ones(3), np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])


def render_glb(code: SpatialCode) -> bytes:
    """The file's bytes: boxes, camera and its path, tracks, room, as far as the code has them."""
    import trimesh
    from trimesh.exchange.gltf import export_glb

    scene = trimesh.Scene(base_frame="file")
    scene.metadata.update(_facts(code))
    scene.graph.update(frame_to=ROOT, frame_from="file", matrix=_WORLD_TO_GLTF)
    moves = _keyframes(code)
    for item in code.objects:
        _add_object(scene, item)
    if code.cameras:
        _add_camera(scene, code, moves)
    if code.room is not None:
        _add_room(scene, code.room)
    # Not scene.export: that refuses a scene without meshes, which an empty code is.
    return export_glb(scene, include_normals=False, buffer_postprocessor=_placing(code, moves))


def write_glb(code: SpatialCode, path: str | Path) -> Path:
    """Write ``code`` as binary glTF to ``path`` (its folder is made) and return the path."""
    write_bytes(path, render_glb(code))
    return Path(path)


def _facts(code: SpatialCode) -> dict[str, Any]:
    """What the scene's extras say of the whole code."""
    return {
        "format": FORMAT,
        "axes": "below world_z_up: x right, y ahead, z up, metres",
        "video_uri": code.video.uri,
        "video_sha256": code.video.sha256,
        "duration_s": code.video.duration_s,
        "encoder": code.provenance.encoder,
        "work_key": code.provenance.work_key,
        "scale_source": code.scale.source,
        "scale_confidence": code.scale.confidence,
    }


def _add_object(scene: trimesh.Scene, item: SceneObject) -> None:
    """A node of faces, and below it one of edges, both in the unit cube that the node scales."""
    extras = {
        "label": item.label,
        "score": item.score,
        "size_m": list(item.size_m),
        "first_seen_s": item.first_seen_s,
        "last_seen_s": item.last_seen_s,
        "num_observations": item.num_observations,
        "visibility": item.visibility,
        "motion": item.motion,
    }
    color = label_rgb(item.label)
    cube = box_points(_ORIGIN, _UNIT, _UPRIGHT, front=False)
    faces = _solid(cube, TRIANGLES, color, FACE_ALPHA)
    _add(scene, item.id, faces, extras=extras)
    front = has_front(item.label)
    size_m = np.asarray(item.size_m)
    points = box_points(_ORIGIN, size_m, _UPRIGHT, front) / size_m
    edges = _lines(points, EDGES + FRONT_EDGES if front else EDGES, color)
    _add(scene, f"{item.id}.edges", edges, parent=item.id)
    if item.motion == "moving" and len(item.track) > 1:
        track, _ = object_poses(item, np.array([point.t_s for point in item.track]))
        _add(scene, f"{item.id}.track", _polyline(track, OUTLINE_RGB))


def _add_camera(scene: trimesh.Scene, code: SpatialCode, moves: Sequence[Keyframes]) -> None:
    """The camera's pyramid, in the camera's own coordinates, and the line it travelled."""
    size_px = (code.video.width_px, code.video.height_px)
    first = code.cameras[0]
    pyramid = frustum_points(np.eye(4), first.intrinsics(), size_px, FRUSTUM_DEPTH_M)
    _add(scene, CAMERA, _lines(pyramid, FRUSTUM_EDGES, CAMERA_RGB), extras={"axes": "OpenCV"})
    (path,) = (move.positions_m for move in moves if move.node == CAMERA)
    if len(path) > 1:
        _add(scene, "camera_path", _polyline(path, CAMERA_RGB))


def _add_room(scene: trimesh.Scene, room: Room) -> None:
    """The floor's area and outline; walls' upper and upright edges where a ceiling is known."""
    num = len(room.polygon_m)
    if num == 0:
        return
    outline = np.asarray(room.polygon_m)
    floor = np.column_stack([outline, np.full(num, room.floor_z_m)])
    extras = {"area_m2": room.area_m2, "floor_z_m": room.floor_z_m, "ceiling_z_m": room.ceiling_z_m}
    triangles = triangulate(room.polygon_m)
    if triangles:  # an outline without area has none
        _add(scene, "floor", _solid(floor, triangles, FLOOR_RGB, FLOOR_ALPHA), extras=extras)
    ring = [(i, (i + 1) % num) for i in range(num)]
    points, pairs = floor, ring
    if room.ceiling_z_m is not None:
        points = np.vstack([floor, np.column_stack([outline, np.full(num, room.ceiling_z_m)])])
        upper = [(a + num, b + num) for a, b in ring]
        pairs = [*ring, *upper, *((i, i + num) for i in range(num))]
    _add(scene, "room", _lines(points, pairs, OUTLINE_RGB), extras=extras)


def _add(
    scene: trimesh.Scene,
    node: str,
    geometry: Any,
    parent: str = ROOT,
    extras: dict[str, Any] | None = None,
) -> None:
    scene.add_geometry(
        geometry, node_name=node, geom_name=node, parent_node_name=parent, metadata=extras
    )


def _solid(
    points: FloatArray, triangles: Sequence[tuple[int, int, int]], color: RGB, alpha: float
) -> trimesh.Trimesh:
    """A translucent mesh. It has no normals, so viewers shade it flat, as the format asks."""
    import trimesh
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    material = PBRMaterial(
        baseColorFactor=[*_linear(color), alpha],
        metallicFactor=0.0,
        roughnessFactor=1.0,
        alphaMode="BLEND",
        doubleSided=True,  # one sees into boxes, and the floor from below
    )
    return trimesh.Trimesh(
        points, np.asarray(triangles), visual=TextureVisuals(material=material), process=False
    )


def _lines(points: FloatArray, pairs: Sequence[tuple[int, int]], color: RGB) -> Any:
    """Separate segments between pairs of points."""
    from trimesh.path import Path3D
    from trimesh.path.entities import Line

    # Vertex colours are linear light too.
    linear = [round(255 * part) for part in (*_linear(color), 1.0)]
    entities = [Line(list(pair), color=linear) for pair in pairs]
    return Path3D(entities, points, process=False)


def _polyline(points: FloatArray, color: RGB) -> Any:
    return _lines(points, [(i, i + 1) for i in range(len(points) - 1)], color)


def _linear(color: RGB) -> list[float]:
    """8-bit sRGB as linear light in 0..1, which glTF's colour factors are (IEC 61966-2-1)."""
    shown = np.asarray(color) / 255.0
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    return [float(part) for part in linear]


@dataclass(frozen=True)
class Keyframes:
    """Where node ``node`` is at ``times_s`` (T,): positions (T, 3) m, quaternions wxyz (T, 4).

    glTF requires separate translation, rotation and scale for a node that moves, and interpolates
    as `spatialcode.scene.motion` does. Times become float32, so at an hour they are good to a
    quarter of a millisecond.
    """

    node: str
    times_s: FloatArray
    positions_m: FloatArray
    quaternions_wxyz: FloatArray


def _keyframes(code: SpatialCode) -> list[Keyframes]:
    """The camera's poses (one key where it is known once) and every moving object's track."""
    moves = []
    if code.cameras:
        path = CameraMotion.of(code)
        times_s = _distinct(path.poses.times_s)
        transforms, _ = path.at(times_s)
        turned = quaternion_from_matrix(transforms[:, :3, :3])
        moves.append(Keyframes(CAMERA, times_s, transforms[:, :3, 3], turned))
    for item in code.objects:
        if item.motion == "moving":
            times_s = _distinct(np.array([point.t_s for point in item.track]))
            moves.append(Keyframes(item.id, times_s, *object_poses(item, times_s)))
    return moves


def _placing(
    code: SpatialCode, moves: Sequence[Keyframes]
) -> Callable[[dict[Any, bytes], dict[str, Any]], None]:
    """A function that puts the nodes of a glTF tree in place and adds the animation.

    It takes what trimesh gives its ``buffer_postprocessor``: the chunks of the binary part, in
    order, and the JSON tree, whose accessors are still keyed.
    """

    def apply(chunks: dict[Any, bytes], tree: dict[str, Any]) -> None:
        number = {node["name"]: i for i, node in enumerate(tree["nodes"])}
        for item in code.objects:
            _place(tree["nodes"][number[item.id]], item.center_m, item.quaternion_wxyz, item.size_m)
        animation: dict[str, Any] = {"name": "video", "samplers": [], "channels": []}
        for move in moves:
            node = tree["nodes"][number[move.node]]
            if move.node == CAMERA:
                _place(node, move.positions_m[0], move.quaternions_wxyz[0], (1.0, 1.0, 1.0))
            if len(move.times_s) > 1:
                _animate(animation, number[move.node], move, _Accessors(chunks, tree))
        if animation["channels"]:
            tree["animations"] = [animation]

    return apply


def _distinct(times_s: FloatArray) -> FloatArray:
    """Times that stay apart in float32: keys must strictly increase."""
    return np.unique(times_s.astype(np.float32)).astype(np.float64)


def _place(
    node: dict[str, Any],
    position_m: Sequence[float] | FloatArray,
    quaternion_wxyz: Sequence[float] | FloatArray,
    scale: Sequence[float],
) -> None:
    w, x, y, z = (float(part) for part in quaternion_wxyz)
    node.pop("matrix", None)  # a node has either a matrix or these three
    node["translation"] = [float(part) for part in position_m]
    node["rotation"] = [x, y, z, w]
    node["scale"] = [float(part) for part in scale]


@dataclass(frozen=True)
class _Accessors:
    """Appends arrays to a glTF file in the making."""

    chunks: dict[Any, bytes]
    tree: dict[str, Any]

    def add(self, values: FloatArray, kind: str) -> int:
        """Store ``values`` (T,) or (T, n) as float32; the number of their accessor."""
        rows = np.ascontiguousarray(values, dtype="<f4").reshape(len(values), -1)
        key = ("keys", len(self.chunks))
        self.chunks[key] = rows.tobytes()
        self.tree["accessors"][key] = {
            "bufferView": len(self.chunks) - 1,
            "byteOffset": 0,
            "componentType": _FLOAT32,
            "count": len(rows),
            "type": kind,
            "min": rows.min(axis=0).tolist(),
            "max": rows.max(axis=0).tolist(),
        }
        return len(self.tree["accessors"]) - 1


def _animate(animation: dict[str, Any], node: int, move: Keyframes, accessors: _Accessors) -> None:
    times = accessors.add(move.times_s, "SCALAR")
    values = {
        "translation": accessors.add(move.positions_m, "VEC3"),
        "rotation": accessors.add(np.roll(move.quaternions_wxyz, -1, axis=1), "VEC4"),
    }
    for path, output in values.items():
        sampler = {"input": times, "output": output, "interpolation": "LINEAR"}
        animation["samplers"].append(sampler)
        target = {"node": node, "path": path}
        number = len(animation["samplers"]) - 1
        animation["channels"].append({"sampler": number, "target": target})
