"""Boxes as others publish them, turned into spatial codes.

Three forms: annotations with unit axes as rows, 9 numbers with roll, pitch and yaw, 10 with a
quaternion. Which number of the 9 or 10 is which extent is stated by the caller or detected; it is
never assumed. World z must be up. Fields that hold a benchmark's answers (counts, room size)
are not read: a code made here has no room.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from spatialcode.errors import FormatError, SpatialCodeError
from spatialcode.scene.frames import quaternion_from_matrix
from spatialcode.scene.schema import (
    Provenance,
    Scale,
    SceneObject,
    SpatialCode,
    VideoInfo,
    make_id,
)
from spatialcode.version import __version__

#: Index among the three published numbers of the box's x, y and z extent.
AxisOrder = tuple[int, int, int]
#: Heights (metres) of things whose height varies little: they tell which extent is the vertical
#: one.
_HEIGHTS_M = {
    "door": 2.0, "chair": 0.9, "table": 0.75, "refrigerator": 1.7, "sofa": 0.85, "window": 1.2,
    "bed": 0.9, "nightstand": 0.6, "trash bin": 0.4, "toilet": 0.75, "bookshelf": 1.7,
}  # fmt: skip
#: How much better (mean absolute log error) the best reading must be than the next vertical.
_CLEAR = 0.1
_MIN_KNOWN = 5


@dataclass(frozen=True)
class Detection:
    """Which published extent is which: ``order``; how clear that was, and from how many boxes."""

    order: AxisOrder
    lead: float
    num_boxes: int


def from_annotated(document: Mapping[str, Any], name: str = "") -> SpatialCode:
    """A room whose objects have ``center``, ``size`` and ``axes`` (unit axes as rows).

    The axis nearest to world up becomes the box's z; the other two keep their cyclic order, so
    the box stays right-handed. FormatError where something is missing or no rotation.
    """
    scene = name or str(document.get("scene", ""))
    boxes = []
    for n, entry in enumerate(_objects(document, scene)):
        where = f"{scene}: objects[{n}]"
        axes = _numbers(entry, "axes", 9, where).reshape(3, 3)
        size, center = _numbers(entry, "size", 3, where), _numbers(entry, "center", 3, where)
        if np.abs(axes @ axes.T - np.eye(3)).max() > 0.02:
            raise FormatError(
                f"{where}.axes: expected unit axes at right angles, got {axes.tolist()}"
            )
        vertical = int(np.abs(axes[:, 2]).argmax())
        order = [(vertical + 1) % 3, (vertical + 2) % 3, vertical]
        axes, size = axes[order], size[order]
        if axes[2, 2] < 0.0:  # turned about its x, a box is the same box
            axes = axes * np.array([[1.0], [-1.0], [-1.0]])
        if np.linalg.det(axes) < 0.0:  # a box is its own mirror image
            axes = axes * np.array([[-1.0], [1.0], [1.0]])
        u, _, vt = np.linalg.svd(axes)
        boxes.append((_label(entry, where), center, size, quaternion_from_matrix((u @ vt).T)))
    return _code(boxes, scene, "import:axes")


def from_bbox9(
    objects: Sequence[Mapping[str, Any]], order: AxisOrder, name: str = "", *, up: str = "z"
) -> SpatialCode:
    """Objects with ``label`` and ``bbox_3d`` = x, y, z, three extents, roll, pitch, yaw.

    Angles are in radians about the fixed x, y, z axes in turn. ``order`` says which extents are
    the box's x, y, z; see `detect_order`. ``up``: the world's vertical axis, turned to z.
    """
    boxes = []
    for n, entry in enumerate(objects):
        where = f"{name}: objects[{n}]"
        box = _numbers(entry, "bbox_3d", 9, where)
        x, y, z, w = Rotation.from_euler("xyz", box[6:]).as_quat()
        boxes.append((_label(entry, where), *_upright(box, np.array([w, x, y, z]), order, up)))
    return _code(boxes, name, "import:bbox9")


def from_bbox10(
    objects: Sequence[Mapping[str, Any]], order: AxisOrder, name: str = "", *, up: str = "z",
    scalar_first: bool,
) -> SpatialCode:  # fmt: skip
    """The same with a quaternion; ``scalar_first`` says whether it is w, x, y, z or x, y, z, w."""
    boxes = []
    for n, entry in enumerate(objects):
        where = f"{name}: objects[{n}]"
        box = _numbers(entry, "bbox_3d", 10, where)
        quaternion = box[6:] if scalar_first else box[[9, 6, 7, 8]]
        if abs(np.linalg.norm(quaternion) - 1.0) > 0.02:
            raise FormatError(f"{where}.bbox_3d: expected a unit quaternion, got {quaternion}")
        boxes.append((_label(entry, where), *_upright(box, quaternion, order, up)))
    return _code(boxes, name, "import:bbox10")


def detect_order(scenes: Iterable[Sequence[Mapping[str, Any]]]) -> Detection:
    """Which extent is vertical, from things of known height over all scenes together.

    The extents after it keep their cyclic order: with the second one vertical, (a, b, c) are
    read as (c, a, b). FormatError where too few things are known or two readings fit.
    """
    errors: list[np.ndarray] = []
    for objects in scenes:
        for entry in objects:
            height = _HEIGHTS_M.get(str(entry.get("label", "")))
            if height is not None:
                extents = np.asarray(entry["bbox_3d"][3:6], dtype=float)
                errors.append(np.abs(np.log(np.maximum(extents, 0.01) / height)))
    if len(errors) < _MIN_KNOWN:
        raise FormatError(
            f"axis order: expected {_MIN_KNOWN} things of known height, got {len(errors)}"
        )
    mean = np.median(np.array(errors), axis=0)
    best, second, _ = np.argsort(mean)
    lead = float(mean[second] - mean[best])
    if lead < _CLEAR:
        raise FormatError(
            f"axis order: no extent is clearly the vertical one (errors {mean.round(2)})"
        )
    vertical = int(best)
    return Detection(((vertical + 1) % 3, (vertical + 2) % 3, vertical), lead, len(errors))


def read_boxes(path: str | Path, order: AxisOrder | None = None) -> dict[str, SpatialCode]:
    """Codes by scene from a JSONL file in one of the forms, told apart by their keys.

    ``order`` for 9-number boxes; None: detected over the whole file. FormatError with file and
    line where a row does not fit.
    """
    path = Path(path)
    documents: list[dict[str, Any]] = []
    for line_number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            document = json.loads(line)
        except ValueError as error:
            raise FormatError(f"{path}:{line_number}: not JSON: {error}") from error
        if not isinstance(document, dict) or "scene" not in document:
            raise FormatError(f"{path}:{line_number}: expected an object with 'scene'")
        documents.append(document)
    if order is None and any(_is_bbox(document) for document in documents):
        order = detect_order(d.get("objects", []) for d in documents if _is_bbox(d)).order
    codes: dict[str, SpatialCode] = {}
    for line_number, document in enumerate(documents, 1):
        scene = str(document["scene"])
        if scene in codes:
            raise FormatError(f"{path}:{line_number}: scene {scene!r} is there twice")
        try:
            if _is_bbox(document):
                assert order is not None
                codes[scene] = from_bbox9(_objects(document, scene), order, scene)
            else:
                codes[scene] = from_annotated(document)
        except SpatialCodeError as error:
            raise FormatError(f"{path}:{line_number}: {error}") from error
    return codes


def all_orders() -> tuple[AxisOrder, ...]:
    """Every way to read three extents."""
    return tuple(permutations((0, 1, 2)))  # type: ignore[arg-type]


def _is_bbox(document: Mapping[str, Any]) -> bool:
    objects = document.get("objects") or [{}]
    return isinstance(objects, list) and isinstance(objects[0], dict) and "bbox_3d" in objects[0]


def _objects(document: Mapping[str, Any], scene: str) -> list[Mapping[str, Any]]:
    objects = document.get("objects")
    if not isinstance(objects, list) or not all(isinstance(o, dict) for o in objects):
        raise FormatError(f"{scene}: objects: expected a list of objects, got {objects!r:.80}")
    return objects


def _label(entry: Mapping[str, Any], where: str) -> str:
    label = entry.get("label")
    if not isinstance(label, str) or not label.strip():
        raise FormatError(f"{where}.label: expected a word, got {label!r}")
    return label


def _numbers(entry: Mapping[str, Any], key: str, count: int, where: str) -> np.ndarray:
    try:
        values = np.asarray(entry.get(key), dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.size != count or not np.isfinite(values).all():
        raise FormatError(f"{where}.{key}: expected {count} numbers, got {entry.get(key)!r:.80}")
    return values.reshape(-1)


def _upright(
    box: np.ndarray, quaternion: np.ndarray, order: AxisOrder, up: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre, size and quaternion in a world whose z is up."""
    if up not in ("x", "y", "z"):
        raise FormatError(f"up: expected x, y or z, got {up!r}")
    # a cyclic change of axes is a rotation: (y, z, x) puts x last, (z, x, y) puts y last
    cycle = {"x": [1, 2, 0], "y": [2, 0, 1], "z": [0, 1, 2]}[up]
    w, x, y, z = quaternion
    rotation = Rotation.from_quat([x, y, z, w]).as_matrix()[cycle]
    return box[:3][cycle], box[3:6][list(order)], quaternion_from_matrix(rotation)


def _code(boxes: Sequence[tuple[str, Any, Any, Any]], scene: str, source: str) -> SpatialCode:
    counts: dict[str, int] = {}
    objects = []
    for label, center, size, quaternion in boxes:
        counts[label] = counts.get(label, 0) + 1
        objects.append(
            SceneObject(
                make_id(label, counts[label]), label, 1.0, tuple(center),
                tuple(np.maximum(size, 1e-3)), tuple(quaternion), 0.0, 0.0, 0, 1.0, "static",
            )
        )  # fmt: skip
    return SpatialCode(
        video=VideoInfo(scene, "", 0.0, 0.0, 1, 1), objects=tuple(objects), cameras=(), room=None,
        scale=Scale("given", 1.0), provenance=Provenance(source, "", "", __version__, ""),
    )  # fmt: skip
