"""A spatial code as text: JSON for files, executable-looking assignments for readers.

Both round-trip exactly: ``from_json(to_json(code)) == code`` and
``parse_scene(render_scene(code)) == code``. The scene text reads

    format = "spatialcode/1"
    chair_1 = Object(label="chair", center=(0.5, 2.0, 0.45), size=(0.5, 0.5, 0.9), yaw=1.57, …)

in metres, seconds, radians and pixels. It is parsed by ``ast``, never
executed: assignments to plain names are allowed, of strings, numbers, None, tuples and calls of the
constructors with keywords; anything else is a ParseError that says where.

For prompts and people its numbers may be rounded. Rounding is a projection: rounding twice gives
what rounding once gave, also after the text was parsed again. That needs care where a type promises
more than single numbers: quaternions have unit length, extents are positive, track times increase.
"""

from __future__ import annotations

import ast
import json
import math
import re
from dataclasses import replace
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
}
#: A rotation matrix of 2 decimals is no rotation any more; two more keep it one.
EXTRA_ROTATION_DECIMALS = 2
_MIN_DECIMALS, _MAX_DECIMALS = 2, 6
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
_RESERVED = (*_REQUIRED, "warnings")


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


def render_scene(code: SpatialCode, decimals: int | None = None) -> str:
    """The code as assignments, one a line.

    ``decimals`` None: exact. 2 to 6: numbers rounded, rotation matrices kept to two more;
    rendering what was parsed from it gives the same text again.
    """
    if decimals is not None:
        code = rounded(code, decimals)
    lines = [
        f'format = "{FORMAT}"',
        f"video = {_call(code.video, decimals)}",
        f"scale = {_call(code.scale, decimals)}",
        f"provenance = {_call(code.provenance, decimals)}",
        f"room = {'None' if code.room is None else _call(code.room, decimals)}",
        *([f"warnings = {_value(code.warnings, 'warnings')}"] if code.warnings else []),
        *(f"{item.id} = {_call(item, decimals)}" for item in code.objects),
        f"cameras = {_sequence([_call(camera, decimals) for camera in code.cameras], True)}",
    ]
    return "\n".join(lines) + "\n"


def exact_yaw(quaternion: Vec4) -> float | None:
    """The shortest decimal yaw whose quaternion is this one to the last float32 bit, or None.

    A float32 quaternion lies off the unit circle by rounding, so its arc tangent often leads
    to a neighbour. Every yaw between the bounds that each component sets leads to it.
    """
    if not is_upright(quaternion):
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


def _call(record: Any, decimals: int | None) -> str:
    parts = []
    for name, keyword in TEXT_NAMES[type(record)].items():
        value = getattr(record, name)
        if name == "quaternion_wxyz":
            parts.append(_rotation(value, decimals))
        elif name == "T_world_camera":
            parts.append(f"{keyword}={_value(value[:3], name)}")
        elif name != "track":
            parts.append(f"{keyword}={_value(value, name)}")
        elif value:
            parts.append(f"{keyword}={_sequence([_call(point, decimals) for point in value])}")
    return f"{TITLES[type(record)]}({', '.join(parts)})"


def _rotation(quaternion: Vec4, decimals: int | None) -> str:
    yaw = exact_yaw(quaternion)
    if yaw is not None:
        return f"yaw={yaw!r}"
    if decimals is not None:
        return f"quaternion={_sequence([repr(round(v, decimals) + 0.0) for v in quaternion])}"
    return f"quaternion={_value(quaternion, 'quaternion_wxyz')}"


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


def rounded(code: SpatialCode, decimals: int) -> SpatialCode:
    """The code with its numbers rounded to ``decimals`` (2 to 6).

    Extents and focal lengths become at least 10^-decimals. Track points whose times fall
    together become the last of them. Quaternions are rounded and normalised again.
    """
    if not isinstance(decimals, int) or not _MIN_DECIMALS <= decimals <= _MAX_DECIMALS:
        raise SchemaError("decimals", f"an integer in [{_MIN_DECIMALS}, {_MAX_DECIMALS}]", decimals)
    return SpatialCode(
        video=_video(code.video, decimals),
        objects=tuple(_object(item, decimals) for item in code.objects),
        cameras=tuple(_camera(camera, decimals) for camera in code.cameras),
        room=None if code.room is None else _room(code.room, decimals),
        scale=replace(code.scale, confidence=round(code.scale.confidence, decimals)),
        provenance=code.provenance,
    )


def is_upright(quaternion: Vec4) -> bool:
    """Turned about z only, exactly."""
    return quaternion[1] == 0.0 and quaternion[2] == 0.0


def round_quaternion(quaternion: Vec4, decimals: int) -> Vec4:
    """The nearest few-decimals rotation that stays itself when rounded again.

    Upright ones are rounded in yaw. Of the others the components are rounded and normalised
    until that changes nothing; it settles in a few turns because a component only ever moves
    toward where normalising pulls it.
    """
    current = quaternion
    for _ in range(50):
        if is_upright(current):
            yaw = 2.0 * math.atan2(current[3], current[0])
            # Beyond half a turn the next rounding would see another, negative angle.
            limit = math.floor(math.pi * 10**decimals) / 10**decimals
            yaw = min(max(round(yaw, decimals), -limit), limit)
            return _stored(quaternion_from_yaw(yaw))
        following = _stored(np.round(current, decimals))
        if following == current:
            return current
        current = following
    return current


def _stored(quaternion: np.ndarray) -> Vec4:
    """As the schema keeps it: normalised, one sign, float32."""
    return TrackPoint(0.0, (0.0, 0.0, 0.0), tuple(quaternion)).quaternion_wxyz  # type: ignore[arg-type]


def _numbers(values: tuple[Any, ...], decimals: int) -> Any:
    return tuple(
        _numbers(v, decimals) if isinstance(v, tuple) else round(v, decimals) for v in values
    )


def _at_least_one_step(value: float, decimals: int) -> float:
    return max(round(value, decimals), 10.0**-decimals)


def _video(video: VideoInfo, decimals: int) -> VideoInfo:
    return replace(
        video,
        duration_s=round(video.duration_s, decimals),
        fps=round(video.fps, decimals),
        sampled_s=_numbers(video.sampled_s, decimals),
    )


def _object(item: SceneObject, decimals: int) -> SceneObject:
    x, y, z = (_at_least_one_step(extent, decimals) for extent in item.size_m)
    points = {round(point.t_s, decimals): point for point in item.track}
    return replace(
        item,
        score=round(item.score, decimals),
        center_m=_numbers(item.center_m, decimals),
        size_m=(x, y, z),
        quaternion_wxyz=round_quaternion(item.quaternion_wxyz, decimals),
        first_seen_s=round(item.first_seen_s, decimals),
        last_seen_s=round(item.last_seen_s, decimals),
        visibility=round(item.visibility, decimals),
        track=tuple(
            TrackPoint(
                t_s,
                _numbers(point.center_m, decimals),
                round_quaternion(point.quaternion_wxyz, decimals),
            )
            for t_s, point in points.items()
        ),
    )


def _camera(camera: Camera, decimals: int) -> Camera:
    pose = tuple(
        (*_numbers(row[:3], decimals + EXTRA_ROTATION_DECIMALS), round(row[3], decimals))
        for row in camera.T_world_camera
    )
    return Camera(
        t_s=round(camera.t_s, decimals),
        T_world_camera=pose,  # type: ignore[arg-type]
        fx_px=_at_least_one_step(camera.fx_px, decimals),
        fy_px=_at_least_one_step(camera.fy_px, decimals),
        cx_px=round(camera.cx_px, decimals),
        cy_px=round(camera.cy_px, decimals),
    )


def _room(room: Room, decimals: int) -> Room:
    ceiling = room.ceiling_z_m
    return Room(
        floor_z_m=round(room.floor_z_m, decimals),
        ceiling_z_m=None if ceiling is None else round(ceiling, decimals),
        polygon_m=_numbers(room.polygon_m, decimals),
        area_m2=round(room.area_m2, decimals),
    )
