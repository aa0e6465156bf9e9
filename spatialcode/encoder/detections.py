"""Objects of a clip from its dense maps and poses: lift, fuse, score, suppress, number.

The steps after the network, joined; plain numpy in and out, so that the evaluation can
replace any map by truth and see what it costs. The last step writes detections as the scene
objects of a spatial code.

A score says how likely a detection is a real, well placed object. It is a logistic regression on a
handful of readable features, fitted on validation rooms and stored in the weights' card, since it
belongs to those weights. Features compare a cluster with what the clip could have shown of it
(frames in view), so that one threshold serves clips of any length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from spatialcode.encoder.maps import DenseMaps
from spatialcode.encoder.tracks import (
    MovingPath,
    TrackConfig,
    link_moving,
    moving_path,
    observed_places,
    whole_cluster,
)
from spatialcode.encoder.votes import (
    Array,
    Cluster,
    FusionConfig,
    LiftingConfig,
    Votes,
    cluster_votes,
    joined,
    lift,
)
from spatialcode.errors import WeightsError
from spatialcode.scene.boxes import Boxes, iou_matrix
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import Camera, SceneObject, TrackPoint, VideoInfo, make_id
from spatialcode.version import __version__

FEATURES = (
    "cells_per_view",
    "frames",
    "view_share",
    "class_prob",
    "class_margin",
    "relative_spread",
    "center_sigma",
    "axis_agreement",
    "vote_confidence",
    "volume",
    "wall",
    "surface",
)


def frames_in_view(
    center_m: Float[np.ndarray, "3"],
    K_grid: Array,
    T_world_camera: Array,
    grid_hw: tuple[int, int],
    max_distance_m: float = 7.0,
) -> NDArray[np.bool_]:
    """In which frames a point projects into the picture, in front and not too far. (N,)"""
    rotation, origin = T_world_camera[:, :3, :3], T_world_camera[:, :3, 3]
    camera = np.einsum("nji,nj->ni", rotation, center_m - origin)
    depth = np.maximum(camera[:, 2], 1e-6)
    u = K_grid[0, 0] * camera[:, 0] / depth + K_grid[0, 2]
    v = K_grid[1, 1] * camera[:, 1] / depth + K_grid[1, 2]
    h, w = grid_hw
    inside = (u >= 0) & (u < w) & (v >= 0) & (v < h)
    return inside & (camera[:, 2] > 0.2) & (camera[:, 2] < max_distance_m)


def features(cluster: Cluster, votes: Votes, in_view: NDArray[np.bool_]) -> Float[np.ndarray, " f"]:
    """Values of FEATURES for one cluster; ``in_view`` (N,) is of :func:`frames_in_view`."""
    own = votes.select(cluster.members)
    num_frames = len(np.unique(own.frame))
    num_views = max(int(in_view.sum()), num_frames)
    ordered = np.sort(cluster.class_prob)
    traits = votes.kinds.traits[cluster.label_index]
    values = {
        "cells_per_view": np.log1p(own.num_cells.sum() / num_views),
        "frames": np.log(num_frames),
        "view_share": num_frames / num_views,
        "class_prob": ordered[-1],
        "class_margin": ordered[-1] - ordered[-2],
        "relative_spread": np.log(0.02 + cluster.spread_m / np.linalg.norm(cluster.size_m)),
        "center_sigma": np.log(0.01 + cluster.center_sigma_m),
        "axis_agreement": cluster.axis_agreement,
        "vote_confidence": np.log(own.weight.sum() / own.num_cells.sum()),
        "volume": np.log(np.prod(cluster.size_m) + 1e-3),
        "wall": float(traits.mount == "wall"),
        "surface": float(traits.mount == "surface"),
    }
    return np.array([values[name] for name in FEATURES])


@dataclass(frozen=True, eq=False)
class Confidence:
    """Logistic regression over FEATURES and the score from which on an object is kept."""

    mean: Float[np.ndarray, " f"]
    scale: Float[np.ndarray, " f"]
    coefficient: Float[np.ndarray, " f"]
    bias: float
    threshold: float

    def score(self, values: Float[np.ndarray, "k f"]) -> Float[np.ndarray, " k"]:
        """Probability per row of features."""
        logit = ((values - self.mean) / self.scale) @ self.coefficient + self.bias
        return 1.0 / (1.0 + np.exp(-np.clip(logit, -30, 30)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the weights' card."""
        return {
            "features": list(FEATURES),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "coefficient": self.coefficient.tolist(),
            "bias": self.bias,
            "threshold": self.threshold,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Confidence:
        """Inverse of :meth:`to_dict`; WeightsError where features differ from this code's."""
        if tuple(values["features"]) != FEATURES:
            raise WeightsError(
                f"confidence: expected features {FEATURES}, got {values['features']}"
            )
        mean, scale, coefficient = (
            np.asarray(values[k], np.float64) for k in ("mean", "scale", "coefficient")
        )
        return cls(mean, scale, coefficient, float(values["bias"]), float(values["threshold"]))

    @classmethod
    def uncalibrated(cls) -> Confidence:
        """For weights without a fit: more cells in more of the possible views is better."""
        coefficient = np.zeros(len(FEATURES))
        coefficient[FEATURES.index("cells_per_view")] = 1.0
        coefficient[FEATURES.index("view_share")] = 1.0
        coefficient[FEATURES.index("class_prob")] = 2.0
        ones, zeros = np.ones(len(FEATURES)), np.zeros(len(FEATURES))
        return cls(zeros, ones, coefficient, bias=-3.0, threshold=0.5)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Two fits: for poses that the caller gave and for estimated ones.

    The same features mean less where the path is uncertain, and where less can be right a
    lower threshold gives the best balance of found and false.
    """

    given: Confidence
    estimated: Confidence

    def of(self, poses_given: bool) -> Confidence:
        """The fit for given or for estimated poses."""
        return self.given if poses_given else self.estimated

    def with_threshold(self, threshold: float) -> Calibration:
        """The same fits, keeping objects from another score on."""
        return Calibration(
            replace(self.given, threshold=threshold), replace(self.estimated, threshold=threshold)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the weights' card."""
        return {"given": self.given.to_dict(), "estimated": self.estimated.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Inverse of :meth:`to_dict`; WeightsError as :meth:`Confidence.from_dict`."""
        given, estimated = (Confidence.from_dict(values[k]) for k in ("given", "estimated"))
        return cls(given, estimated)

    @classmethod
    def uncalibrated(cls, threshold: float = 0.5) -> Calibration:
        """For weights without a fit."""
        plain = replace(Confidence.uncalibrated(), threshold=threshold)
        return cls(plain, plain)


def fit(
    values: Float[np.ndarray, "k f"], correct: NDArray[np.bool_], l2: float = 1.0
) -> Confidence:
    """Ridge-penalised logistic regression by Newton's method, threshold left at 0.5."""
    mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-6
    design = np.column_stack(((values - mean) / scale, np.ones(len(values))))
    penalty = np.diag([l2] * len(FEATURES) + [0.0])
    theta = np.zeros(design.shape[1])
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ theta, -30, 30)))
        gradient = design.T @ (p - correct) + penalty @ theta
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + penalty
        theta -= np.linalg.solve(hessian + 1e-9 * np.eye(len(theta)), gradient)
    return Confidence(mean, scale, theta[:-1], bias=float(theta[-1]), threshold=0.5)


@dataclass(frozen=True)
class DetectionConfig:
    """Parameters of every step from maps to objects.

    Of two boxes that overlap by ``max_iou`` or more, the one of lower score goes.
    """

    lifting: LiftingConfig = field(default_factory=LiftingConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    tracks: TrackConfig = field(default_factory=TrackConfig)
    max_iou: float = 0.15


@dataclass(frozen=True, eq=False)
class Detection:
    """One object of a clip; ``center_m`` and ``yaw_rad`` are where it was last.

    ``frames``: indices of the frames that voted for it; ``view_share``: these over the frames
    that could have; ``features``: see confidence; ``path``: where it was when, if it moved.
    """

    label: str
    score: float
    center_m: Float[np.ndarray, "3"]
    size_m: Float[np.ndarray, "3"]
    yaw_rad: float
    frames: Int[np.ndarray, " k"]
    view_share: float
    features: Float[np.ndarray, " f"]
    path: MovingPath | None = None


def boxes_of(detections: list[Detection] | list[Cluster]) -> Boxes:
    """Boxes of detections or clusters, in their order."""
    return Boxes(
        np.array([d.center_m for d in detections]).reshape(-1, 3),
        np.array([d.size_m for d in detections]).reshape(-1, 3),
        quaternion_from_yaw(np.array([d.yaw_rad for d in detections])).reshape(-1, 4),
    )


def suppress(detections: list[Detection], max_iou: float) -> list[Detection]:
    """Best first; a box that overlaps a better one by ``max_iou`` or more is dropped."""
    ordered = sorted(detections, key=lambda d: -d.score)
    if not ordered:
        return []
    boxes = boxes_of(ordered)
    overlap = iou_matrix(boxes, boxes)
    kept: list[int] = []
    for i in range(len(ordered)):
        if all(overlap[i, j] < max_iou for j in kept):
            kept.append(i)
    return [ordered[i] for i in kept]


@dataclass(frozen=True, eq=False)
class _View:
    """The cameras of a clip: pinhole matrix of the grid, poses, (h, w) of the grid."""

    K_grid: Array
    T_world_camera: Array
    grid_hw: tuple[int, ...]

    def shows(self, cluster: Cluster) -> NDArray[np.bool_]:
        """(N,): in which frames the cluster's place is in the picture."""
        h, w = self.grid_hw
        return frames_in_view(cluster.center_m, self.K_grid, self.T_world_camera, (h, w))


def _detection(
    own: list[Cluster],
    votes: Votes,
    view: _View,
    confidence: Confidence,
    config: DetectionConfig,
) -> Detection:
    """The scored object that clusters, in order of time, make together."""
    whole = whole_cluster(own, votes)
    path = moving_path(own, votes, config.fusion, config.tracks)
    in_view = np.logical_or.reduce([view.shows(cluster) for cluster in own])
    values = features(whole, votes, in_view)
    frames = np.unique(votes.frame[whole.members])
    return Detection(
        label=votes.kinds.labels[whole.label_index],
        score=float(confidence.score(values[None])[0]),
        center_m=whole.center_m if path is None else path.center_m[-1],
        size_m=whole.size_m,
        yaw_rad=whole.yaw_rad if path is None else float(path.yaw_rad[-1]),
        frames=frames,
        view_share=len(frames) / max(int(in_view.sum()), len(frames)),
        features=values,
        path=path,
    )


def detect(
    maps: DenseMaps,
    K_grid: Array,
    T_world_camera: Array,
    confidence: Confidence,
    config: DetectionConfig,
) -> list[Detection]:
    """All scored objects of a clip, best first, overlaps suppressed, whatever their score.

    World and units are those of ``T_world_camera`` (N, 4, 4); see :func:`confident`.
    """
    votes = joined(lift(maps, K_grid, T_world_camera, config.lifting), config.lifting)
    clusters = cluster_votes(votes, config.fusion)
    places = observed_places(clusters, maps, K_grid, T_world_camera, config.tracks)
    groups = link_moving(clusters, votes, places, config.tracks)
    view = _View(K_grid, T_world_camera, maps.depth_m.shape[1:])
    detections = [
        _detection([clusters[i] for i in group], votes, view, confidence, config)
        for group in groups
    ]
    return suppress(detections, config.max_iou)


def confident(detections: list[Detection], confidence: Confidence) -> list[Detection]:
    """Those at or above the score threshold."""
    return [d for d in detections if d.score >= confidence.threshold]


#: As written into codes.
SOFTWARE = f"spatialcode {__version__}"


def first_sight(detection: Detection) -> tuple[int, float]:
    """Sort key: earlier first, then the surer one."""
    return int(detection.frames[0]), -detection.score


def scene_objects(detections: list[Detection], times_s: Array) -> tuple[SceneObject, ...]:
    """Detections as scene objects, numbered per label in order of first sight."""
    ordered = sorted(detections, key=first_sight)
    counts: Counter[str] = Counter()
    objects = []
    for detection in ordered:
        counts[detection.label] += 1
        objects.append(
            SceneObject(
                id=make_id(detection.label, counts[detection.label]),
                label=detection.label,
                score=detection.score,
                center_m=detection.center_m.tolist(),
                size_m=detection.size_m.tolist(),
                quaternion_wxyz=quaternion_from_yaw(detection.yaw_rad).tolist(),
                first_seen_s=float(times_s[detection.frames[0]]),
                last_seen_s=float(times_s[detection.frames[-1]]),
                num_observations=len(detection.frames),
                visibility=min(1.0, detection.view_share),
                motion="static" if detection.path is None else "moving",
                track=() if detection.path is None else _track(detection.path, times_s),
            )
        )
    return tuple(objects)


def _track(path: MovingPath, times_s: Array) -> tuple[TrackPoint, ...]:
    return tuple(
        TrackPoint(float(times_s[frame]), center.tolist(), quaternion.tolist())
        for frame, center, quaternion in zip(
            path.frames, path.center_m, quaternion_from_yaw(path.yaw_rad), strict=True
        )
    )


def cameras_of(
    T_world_camera: Array, K: Array, network_size: tuple[int, int], video: VideoInfo
) -> tuple[Camera, ...]:
    """Cameras with intrinsics in pixels of the full-size video.

    ``K``, one for all frames (3, 3) or one a frame (N, 3, 3), belongs to pictures of
    ``network_size`` (width, height).
    """
    scale = [video.width_px / network_size[0], video.height_px / network_size[1], 1.0]
    each = np.broadcast_to(np.diag(scale) @ K, (len(T_world_camera), 3, 3))
    frames = zip(video.sampled_s, T_world_camera, each, strict=True)
    return tuple(Camera.of(t, T, own) for t, T, own in frames)
