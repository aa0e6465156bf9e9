"""Errors of a camera path, of depth maps, and of matched boxes.

Paths are (N, 4, 4) ``T_world_camera``. Three frames of reference answer three questions:
*world* (both paths already share the world by convention: this is what objects feel),
*first frame* (drift alone, with the first camera made to agree) and *rigid* (shape of the
path alone, best rotation and translation). None of them rescales: a wrong scale is an error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.geometry.similarity import Similarity
from spatialcode.scene.relations import inside_polygon

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PathError:
    """Errors of one path; root mean squares over frames unless the name says otherwise."""

    world_m: float
    first_frame_m: float
    rigid_m: float
    rotation_rad: float
    step_m: float
    step_rad: float
    gravity_rad: float
    height_m: float
    length_m: float


def path_error(predicted: Array, truth: Array) -> PathError:
    """Errors of (N, 4, 4) ``predicted`` against ``truth``, N >= 1.

    ``world_m``, ``first_frame_m``, ``rigid_m``: absolute trajectory error in the three frames
    of reference. ``rotation_rad``: mean angle between orientations after the first frames
    agree. ``step_m``, ``step_rad``: relative pose error from each frame to the next.
    ``gravity_rad``: mean angle between the vertical directions as each camera sees them.
    ``height_m``: mean absolute error of the camera's height. ``length_m``: true path length.

    Source: Sturm et al., "A benchmark for the evaluation of RGB-D SLAM systems", IROS 2012.
    """
    if predicted.shape != truth.shape or predicted.ndim != 3 or predicted.shape[1:] != (4, 4):
        raise ValueError(f"paths: expected two (N, 4, 4), got {predicted.shape}, {truth.shape}")
    aligned = truth[0] @ np.linalg.inv(predicted[0]) @ predicted
    steps = np.linalg.inv(_steps(truth)) @ _steps(predicted)
    up_predicted, up_truth = predicted[:, 2, :3], truth[:, 2, :3]
    length = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum()
    return PathError(
        world_m=_rms(predicted[:, :3, 3] - truth[:, :3, 3]),
        first_frame_m=_rms(aligned[:, :3, 3] - truth[:, :3, 3]),
        rigid_m=_rms(align_rigid(predicted[:, :3, 3], truth[:, :3, 3]) - truth[:, :3, 3]),
        rotation_rad=float(rotation_angle(aligned[:, :3, :3], truth[:, :3, :3]).mean()),
        step_m=_rms(steps[:, :3, 3]) if len(steps) else 0.0,
        step_rad=_rms(rotation_angle(steps[:, :3, :3], np.eye(3))[:, None]) if len(steps) else 0.0,
        gravity_rad=float(vector_angle(up_predicted, up_truth).mean()),
        height_m=float(np.abs(predicted[:, 2, 3] - truth[:, 2, 3]).mean()),
        length_m=float(length),
    )


def _steps(path: Array) -> Array:
    return np.asarray(np.linalg.inv(path[:-1]) @ path[1:])


def _rms(difference: Array) -> float:
    return float(np.sqrt((difference**2).sum(axis=-1).mean()))


def rotation_angle(a: Array, b: Array) -> Array:
    """Angle (radians) of the rotation between (…, 3, 3) matrices; exact for tiny angles too."""
    relative = np.swapaxes(a, -1, -2) @ b
    # |R - I|_F = 2 sqrt(2) sin(angle / 2); arccos of the trace loses half the digits near 0.
    sine = np.linalg.norm(relative - np.eye(3), axis=(-2, -1)) / (2.0 * np.sqrt(2.0))
    return np.asarray(2.0 * np.arcsin(np.clip(sine, 0.0, 1.0)))


def vector_angle(a: Array, b: Array) -> Array:
    """Angle (radians) between (…, 3) vectors."""
    cross = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.asarray(np.arctan2(cross, (a * b).sum(axis=-1)))


def align_rigid(points: Array, target: Array) -> Array:
    """``points`` (N, 3) after the rotation and translation that fit ``target`` best."""
    return Similarity.fitted(points, target, with_scale=False).points(points)


#: A true path that spans less says nothing of scale or shape.
LEAST_SPAN_M = 0.2


@dataclass(frozen=True)
class PathFit:
    """How a path fits the true one after the best similarity.

    ``similarity_m``: root mean square distance of camera centres. ``scale_ratio``: metres of the
    path for one true metre.
    """

    similarity_m: float
    scale_ratio: float


def path_fit(predicted: Array, truth: Array) -> PathFit | None:
    """The fit of camera paths (N, 4, 4); None where the true one has fewer than three cameras or
    spans less than `LEAST_SPAN_M`. A path that stays in one place has a ratio of 0.
    """
    centres, true_centres = predicted[:, :3, 3], truth[:, :3, 3]
    if len(truth) < 3 or span_m(true_centres) < LEAST_SPAN_M:
        return None
    fit = Similarity.fitted(centres, true_centres)
    ratio = 1.0 / fit.scale if fit.scale > 0 else 0.0
    return PathFit(_rms(fit.points(centres) - true_centres), ratio)


def span_m(centres: Array) -> float:
    """The diagonal of the smallest upright box around camera centres (N, 3)."""
    return float(np.linalg.norm(np.ptp(centres, axis=0)))


@dataclass(frozen=True)
class StillError:
    """The largest distance, and the largest turn, of a standing camera from its first frame."""

    m: float
    deg: float


def still_error(predicted: Array) -> StillError:
    """How far a path (N, 4, 4) of a camera that stood goes."""
    away = np.linalg.norm(predicted[:, :3, 3] - predicted[0, :3, 3], axis=1)
    turned = rotation_angle(predicted[:1, :3, :3], predicted[:, :3, :3])
    return StillError(float(away.max()), float(np.degrees(turned.max())))


@dataclass(frozen=True)
class DepthError:
    """``abs_rel``: mean of |d - d*| / d*; ``abs_rel_median``; ``delta_125``: share of cells
    with max(d / d*, d* / d) < 1.25; ``num_cells`` compared.
    """

    abs_rel: float
    abs_rel_median: float
    delta_125: float
    num_cells: int


def depth_error(predicted_m: NDArray[np.floating], truth_m: NDArray[np.floating]) -> DepthError:
    """Errors over all cells whose true depth is finite and positive, and whose predicted depth is
    finite.

    Source: Eigen et al., "Depth map prediction from a single image", NeurIPS 2014; no scale
    is fitted.
    """
    if predicted_m.shape != truth_m.shape:
        raise ValueError(f"depth: expected shape {truth_m.shape}, got {predicted_m.shape}")
    valid = np.isfinite(truth_m) & (truth_m > 0) & np.isfinite(predicted_m)
    if not valid.any():
        raise ValueError("depth: expected at least one cell with both depths, got none")
    predicted = predicted_m[valid].astype(np.float64)
    truth = truth_m[valid].astype(np.float64)
    relative = np.abs(predicted - truth) / truth
    ratio = np.maximum(predicted, truth) / np.maximum(np.minimum(predicted, truth), 1e-9)
    return DepthError(
        float(relative.mean()),
        float(np.median(relative)),
        float((ratio < 1.25).mean()),
        int(valid.sum()),
    )


def fitted_depth(
    predicted_m: NDArray[np.floating], truth_m: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Depth (N, h, w) after the scale and shift of each frame that fit the true depth best: least
    squares of the relative error over its cells with a true depth. A frame with fewer than two
    stays as it is.

    Source: Ranftl et al., "Towards robust monocular depth estimation", PAMI 2022, eq. 4, with the
    errors divided by the true depth as AbsRel divides them.
    """
    fitted = np.array(predicted_m, np.float64)
    for own, truth in zip(fitted, truth_m, strict=True):
        valid = np.isfinite(truth) & (truth > 0) & np.isfinite(own)
        if valid.sum() >= 2:
            wanted = truth[valid].astype(np.float64)
            line = np.column_stack((own[valid], np.ones(len(wanted)))) / wanted[:, None]
            scale, shift = np.linalg.lstsq(line, np.ones(len(wanted)), rcond=None)[0]
            own[:] = scale * own + shift
    return fitted


def polygon_iou(a_m: Array, b_m: Array, step_m: float = 0.05) -> float:
    """Overlap of two simple polygons, (P, 2) and (Q, 2), on a grid of ``step_m``."""
    low = np.minimum(a_m.min(axis=0), b_m.min(axis=0))
    high = np.maximum(a_m.max(axis=0), b_m.max(axis=0))
    axes = [np.arange(low[i] + step_m / 2, high[i] + step_m, step_m) for i in (0, 1)]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    in_a, in_b = inside_polygon(points, a_m), inside_polygon(points, b_m)
    either = int((in_a | in_b).sum())
    return float((in_a & in_b).sum() / either) if either else 0.0
