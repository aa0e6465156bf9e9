"""How likely a fused cluster is a real, well placed object: a calibrated score.

A logistic regression on a handful of readable features, fitted on validation rooms and
stored in the weights' card, since it belongs to those weights. Features compare a
cluster with what the clip could have shown of it (frames in view), so that one threshold
serves clips of any length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spatialcode.encoder.votes import Array, Cluster, Votes
from spatialcode.errors import WeightsError
from spatialcode.scene.categories import CATEGORIES

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
    category = CATEGORIES[cluster.label_index]
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
        "wall": float(category.mount == "wall"),
        "surface": float(category.mount == "surface"),
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
