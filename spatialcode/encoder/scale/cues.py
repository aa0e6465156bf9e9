"""What speaks of a path's scale: predicted depth, the floor, the ceiling, things of usual height.

Points whose depth is known in the path's own unit are looked up in what the network says of their
cells. From them come heights in that unit, of which the metres are usual. It does not know whether
a camera was held in a hand: one on a robot or a pole lies, and is outvoted by the others if they
agree.

Source: none, but for what the settings and `_HEIGHT_SIGMA` name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from spatialcode.encoder.maps import (
    CEILING_CHANNEL,
    FLOOR_CHANNEL,
    DenseMaps,
)
from spatialcode.encoder.scale.fusion import ScaleCue
from spatialcode.encoder.scale.settings import ScaleSettings
from spatialcode.errors import SchemaError
from spatialcode.scene.categories import traits_of
from spatialcode.scene.frames import pixel_centres

Array = NDArray[np.float64]

#: A cell is of what it most likely shows, if it is that likely.
_SURE = 0.5
#: Points of one kind that a frame, and a clip, must show.
_MIN_POINTS, _MIN_FRAMES = 8, 2
#: Cells of an outline; and how much of its height lies between these shares of its cells.
_MIN_CELLS, _ENDS = 8, (0.03, 0.97)
#: Error of one outline's height, and what all outlines have in common: what hides feet and tops.
_OUTLINE_SIGMA, _COMMON_SIGMA = 0.25, 0.3
#: Of the heights of a kind's outlines, which is taken: the quantile of the least hidden.
_LEAST_HIDDEN = 0.25
#: How much the heights of things of one kind differ. Source: EN 1116 and ANSI A112 (kitchens,
#: toilets), ISO 5970 (tables and chairs), DIN 18101 (doors), rounded.
_HEIGHT_SIGMA = {
    "door": 0.05, "stove": 0.06, "washer": 0.06, "toilet": 0.08, "table": 0.08, "chair": 0.12,
    "bathtub": 0.12, "refrigerator": 0.18, "sofa": 0.15, "nightstand": 0.2,
}  # fmt: skip
#: Share of a floor's points that must lie below the camera, and of a ceiling's above it.
_SAME_SIDE = 0.9
#: A foot may miss the floor by this share of the camera's height.
_FOOT_SHARE = 0.25
#: What is this much nearer than a thing covers it, if it does so at so much of its outline.
_NEARER, _COVERED_SHARE = 0.85, 0.15
#: Nobody walks through a room at a steeper angle; tangents beyond it are no heights.
_MAX_SLOPE = 3.0


@dataclass(frozen=True, eq=False)
class SeenPoints:
    """M points, each seen in a frame: ``frame`` (M,), ``cell`` (M, 2) column and row in the maps'
    cells, and z-``depth`` (M,) in the unit of the path. SchemaError where shapes differ.
    """

    frame: Int[np.ndarray, " m"]
    cell: Int[np.ndarray, "m 2"]
    depth: Float[np.ndarray, " m"]

    def __post_init__(self) -> None:
        num = len(self.frame)
        for name, shape in {"cell": (num, 2), "depth": (num,)}.items():
            if np.shape(getattr(self, name)) != shape:
                got = np.shape(getattr(self, name))
                raise SchemaError(f"SeenPoints.{name}", f"shape {shape}", got)

    @classmethod
    def of_maps(cls, maps: DenseMaps) -> SeenPoints:
        """Every cell at its predicted depth, for a path that rests on that depth."""
        frame, row, column = (axis.ravel() for axis in np.indices(maps.depth_m.shape))
        return cls(frame, np.stack([column, row], axis=1), maps.depth_m.ravel().astype(float))


@dataclass(frozen=True, eq=False)
class ScaledView:
    """A clip as its scale is judged: what the network says, cameras in the path's unit with z up,
    and points along it. ``K_grid`` (3, 3) belongs to the maps' cells, ``T_world_camera``
    (N, 4, 4) to their frames.
    """

    maps: DenseMaps
    K_grid: Float[np.ndarray, "3 3"]
    T_world_camera: Float[np.ndarray, "n 4 4"]
    points: SeenPoints

    def at_points(self, values: Float[np.ndarray, "n h w"]) -> Array:
        """The cells' values (M,) where the points are seen."""
        column, row = self.points.cell.T
        return np.asarray(values[self.points.frame, row, column], np.float64)

    def slopes(self) -> Array:
        """(N, h, w, 3): world directions of all cells at z-depth 1."""
        _, height, width = self.maps.depth_m.shape
        pixels = pixel_centres(width, height)
        rays = np.concatenate([pixels, np.ones((height, width, 1))], axis=-1)
        rays = rays @ np.linalg.inv(self.K_grid).T
        return np.asarray(np.einsum("nij,hwj->nhwi", self.T_world_camera[:, :3, :3], rays))

    def above(self) -> Array:
        """(M,): how far each point lies above its camera."""
        return self.at_points(self.slopes()[..., 2]) * self.points.depth


def cues_of(view: ScaledView, settings: ScaleSettings) -> tuple[ScaleCue, ...]:
    """Everything that speaks of the scale; of what is not seen there is no cue."""
    found: list[ScaleCue | None] = [depth_cue(view, settings)]
    floor = surface_below(view) if settings.is_fused else None
    if floor is not None:
        height = -float(np.median(floor))
        found += [height_cue(floor, settings), ceiling_cue(view, floor, settings)]
        found += [sizes_cue(view, height)]
    return tuple(cue for cue in found if cue is not None)


def depth_cue(view: ScaledView, settings: ScaleSettings) -> ScaleCue:
    """Predicted depth over that of the points: the median of frames, in each of its points; of all
    points where no frame has enough; the unit is taken for the metre where there are none.

    It is as sure as the network says of its cells, less the settings' doubt, and as frames agree.
    """
    points = view.points
    known = points.depth > 0
    ratio = np.log(view.at_points(view.maps.depth_m)[known] / points.depth[known])
    each = _by_frame(points.frame[known], ratio)
    if not len(each):
        each = np.array([np.median(ratio) if len(ratio) else 0.0])
    # a Laplace scale b has the standard deviation √2 b
    stated = np.sqrt(2) * float(np.median(view.maps.depth_log_scale))
    sigma = np.hypot(settings.depth_doubt * stated, _error_of_median(each))
    return ScaleCue("metric-depth", float(np.median(each)), float(sigma))


def surface_below(view: ScaledView) -> Array | None:
    """By frame that shows it, how far the floor lies above the camera, below 0; None where hardly
    any frame does, or what is taken for the floor is none.
    """
    return _plane(view, FLOOR_CHANNEL, -1.0)


def height_cue(floor: Array, settings: ScaleSettings) -> ScaleCue:
    """The camera's height above the floor, which is a hand's. ``floor``: `surface_below`."""
    log_scale = np.log(settings.camera_height_m) - np.log(-np.median(floor))
    sigma = np.hypot(settings.camera_height_sigma, _error_of_median(np.log(-floor)))
    return ScaleCue("camera-height", float(log_scale), float(sigma))


def ceiling_cue(view: ScaledView, floor: Array, settings: ScaleSettings) -> ScaleCue | None:
    """The ceiling's height above the floor, where it is seen. ``floor``: `surface_below`."""
    ceiling = _plane(view, CEILING_CHANNEL, 1.0)
    if ceiling is None:
        return None
    height = float(np.median(ceiling) - np.median(floor))
    error = np.hypot(_error_of_median(floor), _error_of_median(ceiling)) / height
    log_scale = np.log(settings.ceiling_height_m / height)
    sigma = np.hypot(settings.ceiling_height_sigma, error)
    return ScaleCue("ceiling-height", float(log_scale), float(sigma))


def sizes_cue(view: ScaledView, camera_height: float) -> ScaleCue | None:
    """Heights of outlined things against those that are usual of their kinds."""
    by_label: dict[str, list[float]] = {}
    for label, height in outlined_heights(view, camera_height):
        usual = traits_of(label).usual_size_m
        assert usual is not None, f"a kind of _HEIGHT_SIGMA without a usual size: {label}"
        by_label.setdefault(label, []).append(float(np.log(usual[2] / height)))
    if not by_label:
        return None
    # what hides a part of a thing makes it lower, nothing makes it higher
    said = np.array([np.quantile(values, _LEAST_HIDDEN) for values in by_label.values()])
    sigma = np.array(
        [
            np.hypot(_HEIGHT_SIGMA[label], _OUTLINE_SIGMA / np.sqrt(len(values)))
            for label, values in by_label.items()
        ]
    )
    weight = sigma**-2
    log_scale = float((weight * said).sum() / weight.sum())
    return ScaleCue("object-sizes", log_scale, float(np.hypot(weight.sum() ** -0.5, _COMMON_SIGMA)))


def outlined_heights(view: ScaledView, camera_height: float) -> Iterator[tuple[str, float]]:
    """Label and height, in the path's unit, of things of known height that a frame shows whole.

    A thing stands at the middle distance of its points; its height is what its outline spans there.
    Its foot must lie on the floor, ``camera_height`` below the camera, and nothing nearer may stand
    at its outline.
    """
    slopes = view.slopes()
    horizontal = np.linalg.norm(slopes[..., :2], axis=-1)
    slope = slopes[..., 2] / np.maximum(horizontal, 1e-9)
    away = view.at_points(horizontal) * view.points.depth
    for frame in range(view.maps.num_frames):
        own = view.points.frame == frame
        column, row = view.points.cell[own].T
        for label, cells in _outlines(view.maps, frame):
            distances = away[own][cells[row, column]]
            if len(distances) < _MIN_POINTS or _is_covered(view.maps, frame, cells):
                continue
            distance = float(np.median(distances))
            low, high = np.quantile(slope[frame][cells], _ENDS)
            stands = abs(low * distance + camera_height) < _FOOT_SHARE * camera_height
            if stands and low < high < _MAX_SLOPE:
                # from between the centres of cells to the edges of all of them
                spanned = (high - low) / (_ENDS[1] - _ENDS[0]) + 1 / view.K_grid[1, 1]
                yield label, float(distance * spanned)


def _is_covered(maps: DenseMaps, frame: int, cells: NDArray[np.bool_]) -> bool:
    """Whether something other than the floor that stands at an outline is nearer than the thing."""
    rim = (cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~cells
    rim &= maps.class_prob[frame, FLOOR_CHANNEL] < _SURE
    depth = maps.depth_m[frame]
    nearer = depth[rim] < _NEARER * np.median(depth[cells])
    return float(nearer.mean()) > _COVERED_SHARE if rim.any() else False


def _outlines(maps: DenseMaps, frame: int) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Label and cells (h, w) of things of known height that do not touch the picture's border."""
    class_prob = maps.class_prob[frame]
    likeliest = class_prob.argmax(axis=0)
    likeliest[class_prob.max(axis=0) < _SURE] = -1
    for number in np.unique(likeliest[(likeliest >= 0) & (likeliest < len(maps.kinds))]):
        label = maps.kinds.labels[number]
        if label not in _HEIGHT_SIGMA:
            continue
        count, parts = cv2.connectedComponents((likeliest == number).astype(np.uint8))
        for part in range(1, count):
            cells = parts == part
            border = cells[[0, -1]].any() or cells[:, [0, -1]].any()
            if cells.sum() >= _MIN_CELLS and not border:
                yield label, cells


def _plane(view: ScaledView, channel: int, side: float) -> Array | None:
    """By frame with enough points of what a channel stands for, how far they lie above the camera;
    None where these are too few, or too many of them lie on the other ``side`` (1: above) of it.
    """
    sure = view.at_points(view.maps.class_prob[:, channel]) > _SURE
    above = view.above()[sure]
    if not len(above) or float((side * above > 0).mean()) < _SAME_SIDE:
        return None
    right = side * above > 0
    each = _by_frame(view.points.frame[sure][right], above[right])
    return each if len(each) >= _MIN_FRAMES else None


def _by_frame(frame: NDArray[np.int64], values: Array) -> Array:
    """The median of each frame with enough points."""
    order = np.argsort(frame, kind="stable")
    frames, starts = np.unique(frame[order], return_index=True)
    parts = np.split(values[order], starts[1:]) if len(frames) else []
    return np.array([np.median(part) for part in parts if len(part) >= _MIN_POINTS])


def _error_of_median(values: Array) -> float:
    """By how much the median of so many values is uncertain, by their own spread."""
    spread = 1.4826 * np.median(np.abs(values - np.median(values)))  # of a normal distribution
    return float(1.2533 * spread / np.sqrt(len(values)))
