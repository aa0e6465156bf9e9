"""A spatial code as text: JSON for files, executable-looking assignments for readers.

Both round-trip exactly: ``from_json(to_json(code)) == code`` and
``parse_scene(render_scene(code)) == code``. The scene text reads

    format = "spatialcode/1"
    chair_1 = Object(label="chair", center=(0.5, 2.0, 0.45), size=(0.5, 0.5, 0.9), yaw=1.57, …)

in metres, seconds, radians and pixels. It is parsed by ``ast``, never
executed: assignments to plain names are allowed, of strings, numbers, None, tuples and calls of the
constructors with keywords; anything else is a ParseError that says where.
"""

from __future__ import annotations

import ast
import json
import math
import re
from typing import Any

import numpy as np

from spatialcode.errors import ParseError, SchemaError
from spatialcode.scene import checks
from spatialcode.scene.document import (
    FLOAT64_FIELDS,
    build,
    field_names,
    from_document,
    to_document,
)
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import (
    FORMAT,
    Camera,
    PathOrigin,
    Provenance,
    Room,
    Scale,
    SceneObject,
    SpatialCode,
    TrackPoint,
    Vec4,
    VideoInfo,
)

__all__ = ["from_json", "parse_scene", "render_scene", "to_json"]

#: Constructor names in the text.
TITLES: dict[type, str] = {
    VideoInfo: "Video",
    SceneObject: "Object",
    TrackPoint: "Point",
    Camera: "Camera",
    Room: "Room",
    Scale: "Scale",
    Provenance: "Provenance",
    PathOrigin: "Path",
}
_UNIT = re.compile("_(s|m|m2|px|wxyz)$")


def _keywords(kind: type) -> dict[str, str]:
    """Schema field -> keyword in the text. Units are the format's, so keywords go without."""
    names = {name: _UNIT.sub("", name) for name in field_names(kind)}
    if kind is Camera:
        names["T_world_camera"] = "pose"
    if kind is SceneObject:  # its id is the variable's name, and its score comes after its place
        first = ("label", "center_m", "size_m", "quaternion_wxyz")
        del names["id"]
        names = {name: names[name] for name in (*first, *names)}
    return names


TEXT_NAMES = {kind: _keywords(kind) for kind in TITLES}
_REQUIRED = ("format", "video", "scale", "provenance", "room", "cameras")
_RESERVED = (*_REQUIRED, "warnings", "path")


def to_json(code: SpatialCode, indent: int | None = None) -> str:
    """One JSON object, exact; ``indent`` as for ``json.dumps``."""
    return json.dumps(_shortened(to_document(code)), indent=indent, ensure_ascii=False)


def from_json(text: str) -> SpatialCode:
    """Inverse of ``to_json``. ParseError for bad syntax, unknown, repeated or missing keys and
    values that do not fit, naming the path.
    """
    try:
        document = json.loads(text, object_pairs_hook=_unique_keys)
    except RecursionError:
        raise ParseError("JSON is nested too deeply") from None
    except ParseError:
        raise
    except ValueError as error:
        raise ParseError(f"not JSON: {error}") from error
    return from_document(document)


def render_scene(code: SpatialCode) -> str:
    """The code as assignments, one a line, exact."""
    lines = [
        f'format = "{FORMAT}"',
        f"video = {_call(code.video)}",
        f"scale = {_call(code.scale)}",
        f"provenance = {_call(code.provenance)}",
        f"room = {'None' if code.room is None else _call(code.room)}",
        *([f"warnings = {_value(code.warnings, 'warnings')}"] if code.warnings else []),
        *([f"path = {_call(code.path)}"] if code.path is not None else []),
        *(f"{item.id} = {_call(item)}" for item in code.objects),
        f"cameras = {_sequence([_call(camera) for camera in code.cameras], True)}",
    ]
    return "\n".join(lines) + "\n"


def exact_yaw(quaternion: Vec4) -> float | None:
    """The shortest decimal yaw whose quaternion is this one to the last float32 bit, or None.

    A float32 quaternion lies off the unit circle by rounding, so its arc tangent often leads
    to a neighbour. Every yaw between the bounds that each component sets leads to it.
    """
    if quaternion[1] != 0.0 or quaternion[2] != 0.0:  # it is not turned about z only
        return None
    low_w, high_w = _rounding_bounds(quaternion[0])
    low_z, high_z = _rounding_bounds(abs(quaternion[3]))
    low = max(math.acos(min(high_w, 1.0)), math.asin(min(low_z, 1.0)))
    high = min(math.acos(min(low_w, 1.0)), math.asin(min(high_z, 1.0)))
    middle = math.copysign(low + high, quaternion[3])
    for yaw in (0.0, *(float(f"{middle:.{digits}g}") for digits in range(1, 18))):
        if tuple(quaternion_from_yaw(yaw).astype(np.float32).tolist()) == quaternion:
            return yaw
    return None


def _rounding_bounds(value: float) -> tuple[float, float]:
    """What rounds to a float32 lies between these."""
    exact = np.float32(value)
    below, above = np.nextafter(exact, np.float32(-2)), np.nextafter(exact, np.float32(2))
    return (value + float(below)) / 2.0, (value + float(above)) / 2.0


def _call(record: Any) -> str:
    parts = []
    for name, keyword in TEXT_NAMES[type(record)].items():
        value = getattr(record, name)
        if name == "quaternion_wxyz":
            yaw = exact_yaw(value)
            upright = yaw is not None
            parts.append(f"yaw={yaw!r}" if upright else f"{keyword}={_value(value, name)}")
        elif name == "T_world_camera":
            parts.append(f"{keyword}={_value(value[:3], name)}")
        elif name != "track":
            parts.append(f"{keyword}={_value(value, name)}")
        elif value:
            parts.append(f"{keyword}={_sequence([_call(point) for point in value])}")
    return f"{TITLES[type(record)]}({', '.join(parts)})"


def _value(value: Any, name: str) -> str:
    if isinstance(value, tuple):
        return _sequence([_value(element, name) for element in value])
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(_short(value) if name not in FLOAT64_FIELDS else value)


def _sequence(parts: list[str], one_a_line: bool = False) -> str:
    if one_a_line and parts:
        return "(\n" + "".join(f"    {part},\n" for part in parts) + ")"
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def _short(value: Any) -> Any:
    """The shortest decimal that rounds to this float32; other values as they are."""
    if not isinstance(value, float):
        return value
    short = float(str(np.float32(value)))
    # Two roundings, decimal to float64 to float32, may in principle end beside it.
    return short if float(np.float32(short)) == value else value


def _shortened(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _shortened(element, key) for key, element in value.items()}
    if isinstance(value, list):
        return [_shortened(element, name) for element in value]
    return value if name in FLOAT64_FIELDS else _short(value)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ParseError(f"{key}: key is given twice in one object")
        result[key] = value
    return result


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
        "path": build(PathOrigin, _record(values["path"], PathOrigin, "path"), "path")
        if "path" in values
        else None,
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
