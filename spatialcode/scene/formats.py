"""Boxes as others publish them, turned into spatial codes.

Three forms: annotations with unit axes as rows, 9 numbers with roll, pitch and yaw, 10 with a
quaternion. Which of the 9 or 10 numbers is which extent, and which world axis is up, is stated
by the caller or detected; it is never assumed. The annotated form states both: axes name their own
sizes, and z is up. Fields that hold a benchmark's answers
(counts, room size) are not read: a code made here has no room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spatialcode.errors import FormatError, SchemaError
from spatialcode.files import read_jsonl
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

Floats = NDArray[np.float64]
Axis = Literal["x", "y", "z"]
#: Index among the three published numbers of the box's x, y and z extent.
AxisOrder = tuple[int, int, int]

AXES: tuple[Axis, ...] = get_args(Axis)
#: Heights (metres) of things whose height varies little: they tell which extent is vertical.
_HEIGHTS_M = {
    "door": 2.0, "chair": 0.9, "table": 0.75, "refrigerator": 1.7, "sofa": 0.85, "window": 1.2,
    "bed": 0.9, "nightstand": 0.6, "trash bin": 0.4, "toilet": 0.75, "bookshelf": 1.7,
}  # fmt: skip
#: How much better (median absolute log error) the best reading must be than the next.
_CLEAR_LOG = 0.1
#: How much straighter (mean tilt) boxes must stand along the best axis than along the next.
_CLEAR_DEG = 2.0
_MIN_KNOWN = 5
#: Extents of zero become this, in metres: a code's boxes have a volume.
_LEAST_M = 1e-3
_ANNOTATED = frozenset({"label", "center", "size", "axes"})
_BBOX = frozenset({"label", "bbox_3d"})
#: Largest entry of R Rᵀ − I, and of a quaternion's |norm − 1|, in published (rounded) rotations.
_ROUNDING = 0.02


@dataclass(frozen=True)
class _Published:
    """One entry: ``extents`` as they stand there, ``rotation`` box to published world."""

    where: str
    label: str
    center: Floats
    extents: Floats
    rotation: Floats


def read_boxes(
    path: str | Path, order: AxisOrder | None = None, *, up: Axis | None = None,
    scalar_first: bool | None = None,
) -> dict[str, SpatialCode]:  # fmt: skip
    """Codes by scene from a JSONL file, each row in one of the forms, told apart by their keys.

    ``center``, ``size`` and ``axes`` (unit axes as rows), z up: the axis nearest to world up
    becomes the box's z; the other two keep their cyclic order, so the box stays right-handed.

    ``bbox_3d``: x, y, z, three extents, then roll, pitch, yaw in radians about the fixed x, y, z
    axes in turn, R = Rz(yaw) Ry(pitch) Rx(roll), or a quaternion. ``scalar_first``, which must be
    stated for quaternions, says whether it is w, x, y, z or x, y, z, w. ``order`` says which
    extents are the box's x, y, z; ``up`` which axis of the published world is vertical: the code's
    world has it as z. None: detected over the whole file.

    FormatError with file and line where a row does not fit (something is missing, unknown or no
    rotation); with the file where it is empty or detection is in doubt.
    """
    path = Path(path)
    scenes: dict[str, tuple[bool, list[_Published]]] = {}
    for line_number, document in _documents(path):
        scene = str(document.get("scene", ""))
        try:
            if not scene or scene in scenes:
                raise FormatError(f"scene {scene!r}: expected a name that is not there yet")
            listed = _listed(document, scene)
            numbers = any(isinstance(one, dict) and "bbox_3d" in one for one, _ in listed)
            scenes[scene] = (
                numbers,
                [
                    _bbox(entry, where, scalar_first) if numbers else _annotated(entry, where)
                    for entry, where in listed
                ],
            )
        except FormatError as error:
            raise FormatError(f"{path}:{line_number}: {error}") from error
    try:
        published = [entry for numbers, entries in scenes.values() if numbers for entry in entries]
        if published:
            rotations = np.array([entry.rotation for entry in published])
            up = up or _upright_axis(rotations)
            order = order or _vertical_order(published, rotations, up)
        return {
            scene: _code(entries, order or (0, 1, 2), up or "z", scene, "import:bbox") if numbers
            else _code(entries, (0, 1, 2), "z", scene, "import:axes")
            for scene, (numbers, entries) in scenes.items()
        }  # fmt: skip
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def _documents(path: Path) -> list[tuple[int, dict[str, Any]]]:
    documents = []
    for line_number, document in read_jsonl(path):
        if not isinstance(document, dict) or "scene" not in document:
            raise FormatError(f"{path}:{line_number}: expected an object with 'scene'")
        documents.append((line_number, document))
    if not documents:
        raise FormatError(f"{path}: expected one room a line, got an empty file")
    return documents


def _listed(document: Mapping[str, Any], scene: str) -> list[tuple[Mapping[str, Any], str]]:
    objects = document.get("objects")
    if not isinstance(objects, list):
        raise FormatError(f"{scene}: objects: expected a list of objects, got {objects!r:.80}")
    return [(entry, f"{scene}: objects[{n}]") for n, entry in enumerate(objects)]


def _annotated(entry: Any, where: str) -> _Published:
    label = _label(entry, where, _ANNOTATED)
    axes = _numbers(entry, "axes", 9, where).reshape(3, 3)
    if np.abs(axes @ axes.T - np.eye(3)).max() > _ROUNDING:
        raise FormatError(f"{where}.axes: expected unit axes at right angles, got {axes.tolist()}")
    size = _extents(_numbers(entry, "size", 3, where), f"{where}.size")
    return _Published(where, label, _numbers(entry, "center", 3, where), size, axes.T)


def _bbox(entry: Any, where: str, scalar_first: bool | None) -> _Published:
    label = _label(entry, where, _BBOX)
    given = entry["bbox_3d"]
    count = 10 if isinstance(given, list) and len(given) == 10 else 9
    box = _numbers(entry, "bbox_3d", count, where)
    if count == 9:
        rotation = Rotation.from_euler("xyz", box[6:])
    else:
        if scalar_first is None:
            raise FormatError(f"{where}.bbox_3d: a quaternion: expected scalar_first to be stated")
        quaternion = box[[7, 8, 9, 6]] if scalar_first else box[6:]
        if abs(np.linalg.norm(quaternion) - 1.0) > _ROUNDING:
            raise FormatError(f"{where}.bbox_3d: expected a unit quaternion, got {box[6:]}")
        rotation = Rotation.from_quat(quaternion)
    extents = _extents(box[3:6], f"{where}.bbox_3d")
    return _Published(where, label, box[:3], extents, rotation.as_matrix())


def _label(entry: Any, where: str, keys: frozenset[str]) -> str:
    """The entry's label, once its keys are known to be those of its form."""
    if not isinstance(entry, Mapping):
        raise FormatError(f"{where}: expected an object, got {entry!r:.80}")
    if set(entry) != keys:
        expected, got = ", ".join(sorted(keys)), ", ".join(sorted(map(str, entry))) or "none"
        raise FormatError(f"{where}: expected the keys {expected}, got {got:.200}")
    label = entry["label"]
    if not isinstance(label, str) or not label.strip():
        raise FormatError(f"{where}.label: expected a word, got {label!r:.80}")
    return label.strip()


def _numbers(entry: Mapping[str, Any], key: str, count: int, where: str) -> Floats:
    try:
        values = np.asarray(entry[key])
    except ValueError:  # lists of different lengths
        values = np.empty(0)
    is_number = values.dtype.kind in "iuf" and values.size == count
    if not is_number or not np.isfinite(values).all():
        raise FormatError(f"{where}.{key}: expected {count} numbers, got {entry[key]!r:.80}")
    return values.reshape(-1).astype(np.float64)


def _extents(values: Floats, where: str) -> Floats:
    if (values < 0.0).any():
        raise FormatError(f"{where}: expected extents >= 0, got {values.tolist()}")
    return np.maximum(values, _LEAST_M)


def _code(
    entries: Sequence[_Published], order: AxisOrder, up: Axis, scene: str, source: str
) -> SpatialCode:
    if sorted(order) != [0, 1, 2]:
        raise FormatError(f"order: expected each of 0, 1, 2 once, got {order!r}")
    if up not in AXES:
        raise FormatError(f"up: expected x, y or z, got {up!r}")
    counts: dict[str, int] = {}
    objects = []
    for entry in entries:
        axes = _to_z_up(entry.rotation.T, up)
        axes, size = _standing_axes(axes, entry.extents[list(order)])
        u, _, vt = np.linalg.svd(axes)  # the nearest rotation to the rounded one
        try:
            stem = make_id(entry.label, 1)  # labels may differ where ids may not
            counts[stem] = counts.get(stem, 0) + 1
            objects.append(
                SceneObject(
                    make_id(entry.label, counts[stem]), entry.label, 1.0,
                    tuple(_to_z_up(entry.center, up)), tuple(size),
                    tuple(quaternion_from_matrix((u @ vt).T)), 0.0, 0.0, 0, 1.0, "static",
                )
            )  # fmt: skip
        except SchemaError as error:
            raise FormatError(f"{entry.where}: {error}") from error
    return SpatialCode(
        video=VideoInfo(scene, "", 0.0, 0.0, 1, 1), objects=tuple(objects), cameras=(), room=None,
        scale=Scale("given", 1.0), provenance=Provenance(source, "", "", __version__, ""),
    )  # fmt: skip


def _upright_axis(rotations: Floats) -> Axis:
    """The world axis along which boxes stand: most things have one axis upright.

    ``rotations`` (N, 3, 3), the columns the box axes in the published world. FormatError for
    fewer than five boxes, and where all of them are parallel to more than one world axis.
    """
    if len(rotations) < _MIN_KNOWN:
        raise FormatError(f"up: expected {_MIN_KNOWN} boxes to detect it from, got {len(rotations)}"
                          "; state it")  # fmt: skip
    straight = np.clip(np.abs(rotations).max(axis=2), 0.0, 1.0)
    tilts_deg = np.degrees(np.arccos(straight)).mean(axis=0)
    best, second, _ = np.argsort(tilts_deg)
    if tilts_deg[second] - tilts_deg[best] < _CLEAR_DEG:
        raise FormatError(f"up: boxes stand along no axis clearly (mean tilts {tilts_deg.round(1)} "
                          "degrees from x, y, z); state it")  # fmt: skip
    return AXES[best]


def _vertical_order(entries: Sequence[_Published], rotations: Floats, up: Axis) -> AxisOrder:
    """Which published extent is which, from the heights of things of known height.

    Only the vertical one shows; the other two are taken to keep their cyclic order: with the
    second one vertical, (a, b, c) are read as (c, a, b). FormatError where fewer than five things
    are known or two readings fit.
    """
    known = [n for n, entry in enumerate(entries) if entry.label in _HEIGHTS_M]
    if len(known) < _MIN_KNOWN:
        raise FormatError(f"axis order: expected {_MIN_KNOWN} things of known height, got "
                          f"{len(known)}; state it")  # fmt: skip
    heights = np.log([_HEIGHTS_M[entries[n].label] for n in known])
    upright = np.abs(rotations[known, AXES.index(up)]).argmax(axis=1)
    logs = np.log(np.maximum([entries[n].extents for n in known], 0.01))
    # shifted by k, box axis i has the extent published at i + k
    errors = [
        float(np.median(np.abs(logs[np.arange(len(known)), (upright + k) % 3] - heights)))
        for k in range(3)
    ]
    best, second, _ = np.argsort(errors)
    if errors[second] - errors[best] < _CLEAR_LOG:
        raise FormatError("axis order: no extent is clearly the vertical one (errors "
                          f"{np.round(errors, 2)}); state it")  # fmt: skip
    shift = int(best)
    return shift, (shift + 1) % 3, (shift + 2) % 3


def _to_z_up(vectors: Floats, up: Axis) -> Floats:
    """World vectors (..., 3) in a world whose z is up: a cyclic change of axes, so a rotation."""
    # (y, z, x) puts x last, (z, x, y) puts y last
    return vectors[..., {"x": [1, 2, 0], "y": [2, 0, 1], "z": [0, 1, 2]}[up]]


def _standing_axes(axes: Floats, size: Floats) -> tuple[Floats, Floats]:
    """The same box with its axes renamed, so that its z is the one nearest to world z, and up.

    ``axes`` (3, 3) unit axes as rows, ``size`` (3,). The other two keep their cyclic order.
    """
    vertical = int(np.abs(axes[:, 2]).argmax())
    order = [(vertical + 1) % 3, (vertical + 2) % 3, vertical]
    axes, size = axes[order], size[order]
    if axes[2, 2] < 0.0:  # turned about its x, a box is the same box
        axes = axes * np.array([[1.0], [-1.0], [-1.0]])
    if np.linalg.det(axes) < 0.0:  # a box is its own mirror image
        axes = axes * np.array([[-1.0], [1.0], [1.0]])
    return axes, size
