"""Which frames are compared, and the features that neighbours and revisits have in common.

Source: SIFT (Lowe, IJCV 2004) with root-normalised descriptors, matched both ways with a ratio
test, and two-view geometry by RANSAC, as COLMAP does it (Schönberger and Frahm, CVPR 2016). Loop
candidates: source none.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from spatialcode.encoder.structure.settings import StructureSettings

#: Frames between those that are looked at for revisits, and features of each that are compared.
_LOOP_STEP, _LOOP_FEATURES = 3, 192
#: A descriptor's nearest one must be nearer than this share of the second nearest one, and than
#: this angle.
_MAX_RATIO, _MAX_ANGLE_RAD = 0.8, 0.7
#: Fewer features in common are chance.
_MIN_COMMON = 12


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one frame: ``points_px`` (F, 2), pixel centres at +0.5, ``scale_px`` (F,), and
    ``descriptors`` (F, 128) uint8, by falling scale.
    """

    points_px: Float[np.ndarray, "f 2"]
    scale_px: Float[np.ndarray, " f"]
    descriptors: UInt8[np.ndarray, "f 128"]


def extract(
    gray: UInt8[np.ndarray, "h w"],
    movers: Bool[np.ndarray, "h w"] | None,
    extractor: Any,
) -> Features:
    """Features of a picture, none of them where something is known to move by itself."""
    import pycolmap

    found, described = extractor.extract_from_uint8_array(gray)
    keypoints = np.asarray(pycolmap.keypoints_to_matrix(found), np.float64).reshape(-1, 4)
    descriptors = np.asarray(described.data, np.uint8).reshape(len(keypoints), -1)
    points_px, scale_px = keypoints[:, :2], keypoints[:, 2]
    order = np.argsort(-scale_px, kind="stable")
    if movers is not None:
        column, row = points_px[order].astype(int).T
        height, width = gray.shape
        order = order[~movers[row.clip(0, height - 1), column.clip(0, width - 1)]]
    return Features(points_px[order], scale_px[order], descriptors[order])


def frame_pairs(features: list[Features], settings: StructureSettings) -> list[tuple[int, int]]:
    """Pairs of frames to match: each with those that follow it, then likely revisits."""
    num = len(features)
    near = [
        (first, first + step)
        for first in range(num)
        for step in range(1, settings.overlap + 1)
        if first + step < num
    ]
    return near + loop_candidates(features, settings.overlap, settings.num_loops)


def loop_candidates(
    features: list[Features], overlap: int, num_loops: int
) -> list[tuple[int, int]]:
    """Pairs of frames further apart than ``overlap`` that have most features in common, best first.

    Every third frame is compared with every other such one, by its largest features.
    """
    frames = range(0, len(features), _LOOP_STEP)
    small = {k: unit_descriptors(features[k])[:_LOOP_FEATURES] for k in frames}
    far = [(a, b) for a, b in itertools.combinations(frames, 2) if b - a > overlap]
    counted = [(len(matches(small[a], small[b])), a, b) for a, b in far]
    likely = sorted((-count, a, b) for count, a, b in counted if count >= _MIN_COMMON)
    return [(a, b) for _, a, b in likely[:num_loops]]


def unit_descriptors(features: Features) -> Float[np.ndarray, "f 128"]:
    """Descriptors of length 1, float32."""
    values = features.descriptors.astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def matches(
    first: Float[np.ndarray, "a 128"], second: Float[np.ndarray, "b 128"]
) -> NDArray[np.uint32]:
    """(M, 2) uint32 rows of unit descriptors that are each other's nearest, near enough, and
    clearly nearer than the second nearest, seen from either side.
    """
    if min(len(first), len(second)) < 2:
        return np.zeros((0, 2), np.uint32)
    alike = first @ second.T
    column = alike.argmax(axis=1)
    row = np.flatnonzero(alike.argmax(axis=0)[column] == np.arange(len(first)))
    column = column[row]
    angle = _angle(alike[row, column])
    alike[row, column] = -1.0
    second_angle = _angle(np.maximum(alike.max(axis=1)[row], alike.max(axis=0)[column]))
    good = (angle < _MAX_RATIO * second_angle) & (angle < _MAX_ANGLE_RAD)
    return np.stack((row[good], column[good]), axis=1).astype(np.uint32)


def _angle(cosine: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.arccos(cosine.clip(-1.0, 1.0)))
