"""A spatial code as text: JSON for files, executable-looking assignments for readers.

Both round-trip exactly: ``from_json(to_json(code)) == code`` and
``parse_scene(render_scene(code)) == code``. The scene text reads

    format = "spatialcode/1"
    chair_1 = Object(label="chair", center=(0.5, 2.0, 0.45), size=(0.5, 0.5, 0.9), yaw=1.57, …)

in metres, seconds, radians and pixels. It is never executed: see ``scene_parser``.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from spatialcode.errors import ParseError
from spatialcode.scene.document import from_document, to_document
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.rounding import is_upright, rounded
from spatialcode.scene.scene_parser import TEXT_NAMES, TITLES, parse_scene
from spatialcode.scene.schema import FORMAT, SpatialCode, Vec4

__all__ = ["from_json", "parse_scene", "render_scene", "to_json"]

#: Kept as float64; everything else is float32 and written with as few digits as that needs.
_FLOAT64_FIELDS = frozenset({"t_s", "first_seen_s", "last_seen_s", "duration_s", "sampled_s"})


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
    return repr(_short(value) if name not in _FLOAT64_FIELDS else value)


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
    return value if name in _FLOAT64_FIELDS else _short(value)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ParseError(f"{key}: key is given twice in one object")
        result[key] = value
    return result
