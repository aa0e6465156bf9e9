"""Places and animations of glTF nodes: what the mesh library that writes the rest leaves out.

glTF wants translation, rotation and scale apart wherever a node moves, and interpolates as
``motion`` does: positions linearly, rotations by slerp, held before the first and after the
last key. Times become float32, so at an hour they are good to a quarter of a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.frames import quaternion_from_matrix
from spatialcode.scene.motion import CameraPath, object_poses
from spatialcode.scene.schema import SpatialCode

FloatArray = NDArray[np.float64]

CAMERA = "camera"
_FLOAT32 = 5126  # glTF's number for it


@dataclass(frozen=True)
class Keyframes:
    """Where node ``node`` is at ``times_s`` (T,): positions (T, 3) m, quaternions wxyz (T, 4)."""

    node: str
    times_s: FloatArray
    positions_m: FloatArray
    quaternions_wxyz: FloatArray


def keyframes(code: SpatialCode) -> list[Keyframes]:
    """The camera's poses (one key where it is known once) and every moving object's track."""
    moves = []
    if code.cameras:
        path = CameraPath.of(code)
        times_s = _distinct(path.poses.times_s)
        transforms, _ = path.at(times_s)
        turned = quaternion_from_matrix(transforms[:, :3, :3])
        moves.append(Keyframes(CAMERA, times_s, transforms[:, :3, 3], turned))
    for item in code.objects:
        if item.motion == "moving":
            times_s = _distinct(np.array([point.t_s for point in item.track]))
            moves.append(Keyframes(item.id, times_s, *object_poses(item, times_s)))
    return moves


def placing(
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
