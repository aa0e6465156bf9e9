"""A spatial code as the plotly figure of its room, and what the page shows at each time.

Everything is computed here, as plain lists fit for JSON: the page's script only picks the
entries of the chosen time, so what a test reads here is what is drawn.
"""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.export.palette import css_rgb, label_rgb
from spatialcode.export.polygon import triangulate
from spatialcode.export.wire import (
    EDGES,
    FRONT_EDGES,
    FRUSTUM_EDGES,
    TRIANGLES,
    box_points,
    frustum_points,
    has_front,
)
from spatialcode.scene.frames import yaw_from_quaternion
from spatialcode.scene.motion import CameraPath, object_poses
from spatialcode.scene.schema import Room, SceneObject, SpatialCode

FloatArray = NDArray[np.float64]

#: More steps than this make the page heavy and the slider no finer to the hand.
MAX_STEPS = 400
FRUSTUM_DEPTH_M = 0.35
NAME_GAP_M = 0.08
#: Drawn room height where the code knows no ceiling: a skirting that shows the outline.
UNKNOWN_CEILING_M = 0.15
#: Positions are written to the tenth of a millimetre.
DECIMALS = 4

_INK, _SOFT, _PATH, _FLOOR = "#1d2530", "#8a94a3", "#1d5fd0", "#cfd6df"


def slider_times(code: SpatialCode) -> FloatArray:
    """Times (T,) in seconds at which the page can show the code, at most ``MAX_STEPS``.

    The times of the cameras; without cameras the sampled times, else when things were seen.
    """
    times = {camera.t_s for camera in code.cameras} or set(code.video.sampled_s)
    times = times or {t for item in code.objects for t in (item.first_seen_s, item.last_seen_s)}
    ordered = np.array(sorted(times or {0.0}), dtype=float)
    if len(ordered) <= MAX_STEPS:
        return ordered
    return ordered[np.linspace(0, len(ordered) - 1, MAX_STEPS).round().astype(int)]


def page_data(code: SpatialCode) -> dict[str, Any]:
    """All that the page's script reads: figure, slider steps, objects, camera, constants."""
    steps = slider_times(code)
    labels = sorted({item.label for item in code.objects})
    objects = [_object_entry(item, labels.index(item.label), steps) for item in code.objects]
    frusta = _frusta(code, steps)
    context = _context_traces(code, frusta, objects)
    names = [trace["name"] for trace in context]
    groups = [
        {"label": label, "solid": len(context) + 2 * i, "wire": len(context) + 2 * i + 1}
        for i, label in enumerate(labels)
    ]
    traces = [*context]
    for index, label in enumerate(labels):
        traces += _group_traces(label, [entry for entry in objects if entry["group"] == index])
    eye = {"x": -1.15, "y": -1.5, "z": 1.2}
    return {
        "figure": {"data": traces, "layout": _layout(code, objects, frusta, eye)},
        "options": {
            "displaylogo": False,
            "scrollZoom": True,
            "modeBarButtons": [["toImage", "zoom3d", "pan3d", "resetCameraDefault3d"]],
        },
        "traces": {
            name: names.index(name) for name in ("travelled", "frustum", "names", "selected")
        },
        "groups": groups,
        "steps": [round(float(t), 6) for t in steps],
        "objects": objects,
        "camera": {"frusta": _plain(frusta)},
        "edges": EDGES,
        "front_edges": FRONT_EDGES,
        "triangles": TRIANGLES,
        "frustum_edges": FRUSTUM_EDGES,
        "name_gap_m": NAME_GAP_M,
        "eye": eye,
        "look_at": {"x": 0, "y": 0, "z": -0.15},
        "reach": 1.9,
        "frames": [],
        "frame_of_step": [-1] * len(steps),
    }


def _plain(values: FloatArray) -> list[Any]:
    """Nested lists of rounded floats; adding 0.0 turns -0.0 into 0.0."""
    return (np.round(values, DECIMALS) + 0.0).tolist()


def _object_entry(item: SceneObject, group: int, steps: FloatArray) -> dict[str, Any]:
    times = steps if item.motion == "moving" and item.track else steps[-1:]
    centers, quaternions = object_poses(item, times)
    points = box_points(centers, np.asarray(item.size_m), quaternions, has_front(item.label))
    size = " × ".join(f"{extent:.2f}" for extent in item.size_m)
    yaw_deg = math.degrees(float(yaw_from_quaternion(np.asarray(item.quaternion_wxyz))))
    hover = (
        f"<b>{html.escape(item.id)}</b><br>score {item.score:.2f}<br>"
        f"size {size} m<br>yaw {yaw_deg:.0f}°"
    )
    return {
        "name": item.id,
        "hover": hover,
        "group": group,
        "score": item.score,
        "first_s": item.first_seen_s,
        "points": _plain(points),
    }


def _frusta(code: SpatialCode, steps: FloatArray) -> FloatArray:
    """(T, 6, 3) camera pyramids, or (0, 6, 3) where the code has no camera."""
    if not code.cameras:
        return np.zeros((0, 6, 3))
    transforms, K = CameraPath.of(code).at(steps)
    size_px = (code.video.width_px, code.video.height_px)
    return frustum_points(transforms, K, size_px, FRUSTUM_DEPTH_M)


def _polyline(points: list[Any]) -> dict[str, Any]:
    """x, y, z of points, with None (a break in the line) kept."""
    columns = zip(*((None,) * 3 if point is None else point for point in points), strict=True)
    x, y, z = [list(column) for column in columns] or [[], [], []]
    return {"x": x, "y": y, "z": z}


def _line(name: str, points: list[Any], color: str, width: float) -> dict[str, Any]:
    return {
        "type": "scatter3d",
        "mode": "lines",
        "name": name,
        "line": {"color": color, "width": width},
        "hoverinfo": "skip",
        "showlegend": False,
        **_polyline(points),
    }


def _wire(points: list[list[float]], edges: tuple[tuple[int, int], ...]) -> list[Any]:
    return [entry for a, b in edges for entry in (points[a], points[b], None)]


def _box_wire(entry: dict[str, Any]) -> list[Any]:
    """A box's edges at the last step, its front's arrow included."""
    points = entry["points"][-1]
    return _wire(points, EDGES + FRONT_EDGES if len(points) > 8 else EDGES)


def _context_traces(
    code: SpatialCode, frusta: FloatArray, objects: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Room, paths of camera and moving objects, and the traces that the script fills."""
    path = _plain(frusta[:, 0])
    moving = [np.asarray(entry["points"]) for entry in objects if len(entry["points"]) > 1]
    tracks = [point for points in moving for point in (*_plain(points[:, :8].mean(axis=1)), None)]
    pyramid = _wire(_plain(frusta[-1]), FRUSTUM_EDGES) if len(frusta) else []
    names = {
        "type": "scatter3d",
        "mode": "text",
        "name": "names",
        "textfont": {"size": 12, "color": _INK},
        "hoverinfo": "skip",
        "showlegend": False,
        "text": [],
        **_polyline([]),
    }
    return [
        *([] if code.room is None else _room_traces(code.room)),
        _line("camera path", path, "#b9c8e4", 3),
        _line("tracks", tracks, _SOFT, 3),
        _line("travelled", path, _PATH, 5),
        _line("frustum", pyramid, _PATH, 4),
        names,
        _line("selected", [], _INK, 8),
    ]


def _room_traces(room: Room) -> list[dict[str, Any]]:
    if len(room.polygon_m) < 3:
        return []
    outline = np.asarray(room.polygon_m, dtype=float)
    ceiling_z_m = room.ceiling_z_m
    if ceiling_z_m is None:
        ceiling_z_m = room.floor_z_m + UNKNOWN_CEILING_M
    floor, ceiling = (
        _plain(np.column_stack([outline, np.full(len(outline), z)]))
        for z in (room.floor_z_m, ceiling_z_m)
    )
    uprights = [entry for pair in zip(floor, ceiling, strict=True) for entry in (*pair, None)]
    corners = np.array(triangulate(room.polygon_m)).reshape(-1, 3)
    solid = {
        "type": "mesh3d",
        "name": "floor",
        "color": _FLOOR,
        "opacity": 0.5,
        "flatshading": True,
        "hoverinfo": "skip",
        "showlegend": False,
        **_polyline(floor),
        **{key: corners[:, n].tolist() for n, key in enumerate("ijk")},
    }
    return [
        solid,
        _line("floor outline", [*floor, floor[0]], _SOFT, 5),
        _line("walls", [*ceiling, ceiling[0], None, *uprights], "#d5dae1", 2),
    ]


def _group_traces(label: str, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Faces and edges of one label's boxes at the last step."""
    color = css_rgb(label_rgb(label))
    vertices = [point for entry in entries for point in entry["points"][-1][:8]]
    faces = [
        [corner + 8 * n for corner in triangle]
        for n in range(len(entries))
        for triangle in TRIANGLES
    ]
    solid = {
        "type": "mesh3d",
        "name": html.escape(label),
        "legendgroup": label,
        "showlegend": True,
        "color": color,
        "opacity": 0.22,
        "flatshading": True,
        "hoverinfo": "text",
        "text": [entry["hover"] for entry in entries for _ in range(8)],
        **_polyline(vertices),
        **{key: [face[n] for face in faces] for n, key in enumerate("ijk")},
    }
    wire = [point for entry in entries for point in _box_wire(entry)]
    return [solid, {**_line(html.escape(label), wire, color, 4), "legendgroup": label}]


def _layout(
    code: SpatialCode, objects: list[dict[str, Any]], frusta: FloatArray, eye: dict[str, float]
) -> dict[str, Any]:
    clouds = [np.zeros((1, 3)), frusta.reshape(-1, 3)]
    clouds += [np.asarray(entry["points"], dtype=float).reshape(-1, 3) for entry in objects]
    if code.room is not None:
        outline = np.asarray(code.room.polygon_m, dtype=float).reshape(-1, 2)
        heights = [z for z in (code.room.floor_z_m, code.room.ceiling_z_m) if z is not None]
        clouds += [np.column_stack([outline, np.full(len(outline), z)]) for z in heights]
    cloud = np.concatenate(clouds)
    low, high = cloud.min(axis=0) - 0.2, cloud.max(axis=0) + 0.2
    axes = {
        f"{name}axis": {
            "title": {"text": f"{name} (m)"},
            "range": [round(float(low[n]), 3), round(float(high[n]), 3)],
            "showbackground": False,
            "gridcolor": "#e7eaee",
            "zeroline": False,
            "showspikes": False,
        }
        for n, name in enumerate("xyz")
    }
    return {
        "scene": {
            **axes,
            "aspectmode": "data",
            "dragmode": "turntable",
            "camera": {"eye": eye, "center": {"x": 0, "y": 0, "z": -0.15}},
        },
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "legend": {
            "x": 1,
            "xanchor": "right",
            "y": 0.94,
            "font": {"size": 10},
            "tracegroupgap": 2,
            "bgcolor": "rgba(255,255,255,0.5)",
        },
        "uirevision": "kept",
    }
