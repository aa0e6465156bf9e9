"""Reads the scene text. The text looks like Python and is parsed by ``ast``, never executed.

Only assignments to plain names are allowed, of strings, numbers, None, tuples and calls of the
eight constructors with keywords. Everything else is a ParseError that says where.
"""

from __future__ import annotations

import ast
from typing import Any

from spatialcode.errors import ParseError, SchemaError
from spatialcode.scene import checks
from spatialcode.scene.document import build, field_names
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import (
    FORMAT,
    Camera,
    Provenance,
    Room,
    Scale,
    SceneObject,
    SpatialCode,
    TrackPoint,
    VideoInfo,
)

#: Schema field -> keyword in the text. Units are the format's, so keywords go without.
TEXT_NAMES: dict[type, dict[str, str]] = {
    VideoInfo: {
        "uri": "uri", "sha256": "sha256", "duration_s": "duration", "fps": "fps",
        "width_px": "width", "height_px": "height", "sampled_s": "sampled",
    },
    SceneObject: {
        "label": "label", "center_m": "center", "size_m": "size", "quaternion_wxyz": "quaternion",
        "score": "score", "first_seen_s": "first_seen", "last_seen_s": "last_seen",
        "num_observations": "num_observations", "visibility": "visibility", "motion": "motion",
        "track": "track",
    },
    TrackPoint: {"t_s": "t", "center_m": "center", "quaternion_wxyz": "quaternion"},
    Camera: {
        "t_s": "t", "T_world_camera": "pose", "fx_px": "fx", "fy_px": "fy",
        "cx_px": "cx", "cy_px": "cy",
    },
    Room: {
        "floor_z_m": "floor_z", "ceiling_z_m": "ceiling_z", "polygon_m": "polygon",
        "area_m2": "area",
    },
    Scale: {name: name for name in field_names(Scale)},
    Provenance: {name: name for name in field_names(Provenance)},
}  # fmt: skip

#: Constructor names in the text.
TITLES: dict[type, str] = {
    VideoInfo: "Video",
    SceneObject: "Object",
    TrackPoint: "Point",
    Camera: "Camera",
    Room: "Room",
    Scale: "Scale",
    Provenance: "Provenance",
}
_REQUIRED = ("format", "video", "scale", "provenance", "room", "cameras")
_RESERVED = (*_REQUIRED, "warnings")


def parse_scene(text: str) -> SpatialCode:
    """Inverse of ``render_scene``. ParseError for anything outside the whitelist, unknown,
    repeated or missing names and values that do not fit.
    """
    try:
        values = _assignments(ast.parse(text))
        return _code(values)
    except (RecursionError, MemoryError):
        raise ParseError("scene text is nested too deeply") from None
    except ParseError:
        raise
    except SyntaxError as error:
        raise ParseError(f"line {error.lineno}: {error.msg}") from error
    except ValueError as error:  # null bytes; a number with too many digits
        raise ParseError(f"not scene text: {error}") from error


def _assignments(module: ast.Module) -> dict[str, ast.expr]:
    values: dict[str, ast.expr] = {}
    for statement in module.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        single = isinstance(statement, ast.Assign) and len(statement.targets) == 1
        if not single or not isinstance(target, ast.Name) or not isinstance(statement, ast.Assign):
            raise _error(statement, "only assignments to one name are allowed")
        if target.id in values:
            raise _error(statement, f"{target.id} is assigned twice")
        values[target.id] = statement.value
    return values


def _code(values: dict[str, ast.expr]) -> SpatialCode:
    for name in _REQUIRED:
        if name not in values:
            raise ParseError(f"{name}: missing")
    found = _literal(values["format"], "format")
    if found != FORMAT:
        raise _error(values["format"], f"format: expected {FORMAT!r}, got {found!r}")
    cameras, room = values["cameras"], values["room"]
    no_room = isinstance(room, ast.Constant) and room.value is None
    objects = [
        build(SceneObject, {"id": name, **_record(node, SceneObject, name)}, name)
        for name, node in values.items()
        if name not in _RESERVED
    ]
    parts = {
        "video": build(VideoInfo, _record(values["video"], VideoInfo, "video"), "video"),
        "objects": objects,
        "cameras": [
            build(Camera, fields, f"cameras[{i}]")
            for i, fields in enumerate(_records(cameras, Camera, "cameras"))
        ],
        "room": None if no_room else build(Room, _record(room, Room, "room"), "room"),
        "scale": build(Scale, _record(values["scale"], Scale, "scale"), "scale"),
        "provenance": build(
            Provenance, _record(values["provenance"], Provenance, "provenance"), "provenance"
        ),
        "warnings": _literal(values["warnings"], "warnings") if "warnings" in values else (),
    }
    try:
        return SpatialCode(**parts)  # type: ignore[arg-type]
    except SchemaError as error:
        raise ParseError(str(error)) from error


def _records(node: ast.expr, kind: type, path: str) -> list[dict[str, Any]]:
    if not isinstance(node, ast.Tuple):
        raise _error(node, f"{path}: expected a tuple of {TITLES[kind]}(…)")
    return [_record(element, kind, f"{path}[{i}]") for i, element in enumerate(node.elts)]


def _record(node: ast.expr, kind: type, path: str) -> dict[str, Any]:
    """Schema fields of one constructor call, values not yet checked."""
    title = TITLES[kind]
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise _error(node, f"{path}: expected {title}(…)")
    if node.func.id != title:
        raise _error(node, f"{path}: expected {title}(…), got {node.func.id}(…)")
    if node.args:
        raise _error(node, f"{path}: {title} takes keywords only")
    names = {keyword: name for name, keyword in TEXT_NAMES[kind].items()}
    turns = "quaternion_wxyz" in TEXT_NAMES[kind]
    fields: dict[str, Any] = {}
    for keyword in node.keywords:
        where = f"{path}.{keyword.arg}"
        name = "quaternion_wxyz" if turns and keyword.arg == "yaw" else names.get(str(keyword.arg))
        if name is None:
            raise _error(keyword.value, f"{where}: unknown; known are {', '.join(names)}")
        if name in fields:
            raise _error(keyword.value, f"{where}: {name} is given twice")
        fields[name] = _field(keyword.value, str(keyword.arg), where)
    return fields if kind is not SceneObject else {"track": (), **fields}


def _field(node: ast.expr, keyword: str, where: str) -> Any:
    if keyword == "track":
        return _records(node, TrackPoint, where)
    value = _literal(node, where)
    if keyword == "yaw":
        try:
            return tuple(quaternion_from_yaw(checks.number(where, value)).tolist())
        except SchemaError as error:
            raise _error(node, str(error)) from error
    if keyword == "pose" and isinstance(value, tuple):
        return (*value, (0.0, 0.0, 0.0, 1.0))
    return value


def _literal(node: ast.expr, where: str) -> Any:
    """Strings, numbers, None and tuples of them; no names, no calls, no arithmetic."""
    if isinstance(node, ast.Tuple):
        return tuple(_literal(element, where) for element in node.elts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand, where)
        if isinstance(value, (int, float)) and not isinstance(node.operand, ast.UnaryOp):
            return -value
    if isinstance(node, ast.Constant) and type(node.value) in (str, int, float, type(None)):
        return node.value
    raise _error(node, f"{where}: expected a string, a number, None or a tuple of them")


def _error(node: ast.AST, message: str) -> ParseError:
    return ParseError(f"line {getattr(node, 'lineno', 0)}: {message}")
