"""What points seen in two frames say of the motion between these, alone and summed up.

A point of one frame is put at its depth, carried into another frame by the poses, and must fall
where it was followed to, at the depth that is known there. The error of its depth moves it along
a line in the other picture, and counts there as much as it is stated to be: so points need no
unknowns of their own. Once poses are nearly right, all points of a pair can be summed up: what they
say to second order of the motion between the two frames is eight numbers and their information.

Errors of one point's depth in several pairs are taken to be independent.

Source: none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spatialcode.encoder.geometry.path.states import FRAME_UNKNOWNS, FrameStates
from spatialcode.encoder.odometry.problem import log_rotation, skew

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PairObservations:
    """Points of frames ``first`` (P,) seen in frames ``second``, sorted by both.

    ``point`` (P, 3): in the first camera at the given depth; ``pixel_px`` (P, 2) in the second
    frame, ``whitening`` (P, 2, 2): times an error there, that in standard deviations;
    ``log_depth`` (P,): given there, NaN where unknown; ``depth_sigma`` (P,),
    ``second_sigma`` (P,): of the logs of both depths; ``K`` (N, 3, 3).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    point: Float[np.ndarray, "p 3"]
    pixel_px: Float[np.ndarray, "p 2"]
    whitening: Float[np.ndarray, "p 2 2"]
    log_depth: Float[np.ndarray, " p"]
    depth_sigma: Float[np.ndarray, " p"]
    second_sigma: Float[np.ndarray, " p"]
    K: Float[np.ndarray, "n 3 3"]


@dataclass(frozen=True)
class PointWeights:
    """Robust scales (Cauchy) of points' misses in the picture and of their depths, in standard
    deviations.
    """

    pixel_cauchy: float = 2.0
    depth_cauchy: float = 1.5


@dataclass(frozen=True, eq=False)
class _Residuals:
    """In the second camera, by component and point: ``arm`` (3, P) from the first camera to the
    point, ``view`` (2, P) the point's x / z and y / z, ``z`` (P,), ``whitening`` (2, 2, P);
    ``missed_px`` (2, P), ``pixel`` (2, P) the same whitened, ``depth`` (P,) whitened; weights (P,)
    of pixels and depths; robust ``cost``.
    """

    arm: Array
    view: Array
    z: Array
    whitening: Array
    missed_px: Array
    pixel: Array
    depth: Array
    pixel_weight: Array
    depth_weight: Array
    cost: float


@dataclass(frozen=True, eq=False)
class _Relative:
    """Of Q pairs, ``R`` (Q, 3, 3) from the first camera to the second, ``t`` (Q, 3) the first
    camera's place in the second, ``log_scale`` (Q, 2) of both.
    """

    R: Array
    t: Array
    log_scale: Array

    @classmethod
    def of(cls, at: FrameStates, first: NDArray[np.int64], second: NDArray[np.int64]) -> _Relative:
        to_second = at.R_world_camera[second].transpose(0, 2, 1)
        apart = at.centre[first] - at.centre[second]
        t = np.einsum("qij,qj->qi", to_second, apart)
        log_scale = np.stack((at.log_scale[first], at.log_scale[second]), axis=-1)
        return cls(to_second @ at.R_world_camera[first], t, log_scale)

    def since(self, before: _Relative) -> Array:
        """(Q, 8) turn, shift and log scales since another state."""
        turn = log_rotation(self.R @ before.R.transpose(0, 2, 1))
        return np.concatenate((turn, self.t - before.t, self.log_scale - before.log_scale), axis=1)


def by_unknowns(
    at: FrameStates, first: NDArray[np.int64], second: NDArray[np.int64]
) -> Float[np.ndarray, "q 9 15"]:
    """By pair, how its turn, shift and two log scales, seen from the second camera, follow from the
    unknowns of both frames; the last row and column stand for a residual.

    R exp([w]) p moves by R [w] p, and the second camera sees the world move against it.
    """
    n, relative = FRAME_UNKNOWNS, _Relative.of(at, first, second)
    to_second = at.R_world_camera[second].transpose(0, 2, 1)
    chain = np.zeros((len(first), 9, 2 * n + 1))
    chain[:, 0:3, 0:3] = relative.R
    chain[:, 3:6, 3:6] = to_second
    chain[:, 6, 6] = 1
    chain[:, 0:3, n : n + 3] = -np.eye(3)
    chain[:, 3:6, n : n + 3] = skew(relative.t)
    chain[:, 3:6, n + 3 : n + 6] = -to_second
    chain[:, 7, n + 6] = chain[:, 8, 2 * n] = 1
    return chain


class PointTerms:
    """Points seen in pairs of frames, as terms of an adjustment. ``first``, ``second`` (Q,): the
    frames of each pair.
    """

    def __init__(self, seen: PairObservations, weights: PointWeights) -> None:
        self._seen, self._weights = seen, weights
        num = len(seen.K)
        keys, start, self._pair = np.unique(
            seen.first * num + seen.second, return_index=True, return_inverse=True
        )
        self.first, self.second = keys // num, keys % num
        bounds = 3 * np.append(start, len(seen.first))
        self._bounds = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
        self._point = np.ascontiguousarray(seen.point.T)
        self._pixel_px = np.ascontiguousarray(seen.pixel_px.T)
        self._whitening = np.ascontiguousarray(seen.whitening.transpose(1, 2, 0))
        self._focal = seen.K[seen.second][:, [0, 1], [0, 1]].T.copy()
        self._middle = seen.K[seen.second][:, :2, 2].T.copy()
        has_depth = np.isfinite(seen.log_depth)
        self._log_depth = np.where(has_depth, seen.log_depth, 0.0)
        both = np.hypot(seen.depth_sigma, seen.second_sigma)
        self._depth_root = np.where(has_depth, 1 / both, 0.0)

    def at(self, states: FrameStates) -> _Residuals:
        """Residuals, their weights and cost."""
        relative = _Relative.of(states, self.first, self.second)
        grown = relative.R * np.exp(relative.log_scale[:, 0])[:, None, None]
        arm = (grown.transpose(1, 2, 0)[:, :, self._pair] * self._point).sum(axis=1)
        x, y, z = arm + relative.t.T[:, self._pair]
        z = np.maximum(z, 0.05)
        view = np.stack((x / z, y / z))
        missed_px = view * self._focal + self._middle - self._pixel_px
        # where the point goes as its depth grows: there its error counts less
        line = (arm[:2] - view * arm[2]) / z * self._focal * self._seen.depth_sigma
        W = self._whitening
        line = (W * line).sum(axis=1)
        square = (line**2).sum(axis=0)
        shrink = (1 - 1 / np.sqrt(1 + square)) / np.maximum(square, 1e-12)
        W = W - (shrink * line)[:, None] * (line[:, None] * W).sum(axis=0)
        pixel = (W * missed_px).sum(axis=1)
        depth = np.log(z) - self._log_depth - relative.log_scale[:, 1][self._pair]
        depth *= self._depth_root
        c = self._weights
        off = (pixel**2).sum(axis=0) / c.pixel_cauchy**2
        off_depth = (depth / c.depth_cauchy) ** 2
        cost = c.pixel_cauchy**2 * np.log1p(off).sum()
        cost += c.depth_cauchy**2 * np.log1p(off_depth).sum()
        return _Residuals(
            arm, view, z, W, missed_px, pixel, depth, 1 / (1 + off), 1 / (1 + off_depth),
            float(cost),
        )  # fmt: skip

    def summed(self, res: _Residuals) -> Float[np.ndarray, "q 9 9"]:
        """By pair, the products of its weighted rows with each other: information, and in the last
        row and column the slope.
        """
        rows = self._rows(res)
        summed = np.empty((len(self._bounds), 9, 9))
        for k, (first, last) in enumerate(self._bounds):
            part = rows[first:last]
            np.matmul(part.T, part, out=summed[k])
        return summed

    def _rows(self, res: _Residuals) -> Array:
        """Whitened rows (3P, 9), seen from the second camera: by a turn about the first camera, by
        a shift, by the log scales of first and second, and the residual.
        """
        root_pixel, root_depth = np.sqrt(res.pixel_weight), np.sqrt(res.depth_weight)
        d = np.zeros((3, 3, len(res.z)))  # by row, by camera coordinate
        d[:2, :2] = res.whitening * (self._focal * (root_pixel / res.z))
        d[:2, 2] = -(d[:2, :2] * res.view).sum(axis=1)
        depth_root = root_depth * self._depth_root
        d[2, 2] = depth_root / res.z
        x, y, z = res.arm
        rows = np.empty((len(res.z), 3, 9))
        by_row = rows.transpose(2, 1, 0)
        by_row[0] = y * d[:, 2] - z * d[:, 1]
        by_row[1] = z * d[:, 0] - x * d[:, 2]
        by_row[2] = x * d[:, 1] - y * d[:, 0]
        by_row[3:6] = d.transpose(1, 0, 2)
        by_row[6] = x * d[:, 0] + y * d[:, 1] + z * d[:, 2]
        by_row[7, :2] = 0
        by_row[7, 2] = -depth_root
        by_row[8, :2] = root_pixel * res.pixel
        by_row[8, 2] = root_depth * res.depth
        return rows.reshape(-1, 9)

    def condensed(self, states: FrameStates) -> CondensedPairs:
        """What the points of each pair say near these states."""
        relative = _Relative.of(states, self.first, self.second)
        return CondensedPairs(self.first, self.second, relative, self.summed(self.at(states)))


@dataclass(frozen=True, eq=False)
class _Departure:
    """By pair, how far it has come (Q, 8) from where it was summed up, the slope (Q, 8) there, and
    the cost of all.
    """

    by: Array
    slope: Array
    cost: float


@dataclass(frozen=True, eq=False)
class CondensedPairs:
    """Pairs of frames ``first``, ``second`` (Q,) with what their points said, as terms of an
    adjustment: ``information`` (Q, 9, 9), as `PointTerms.summed` gives it at ``relative``.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    relative: _Relative
    information: Float[np.ndarray, "q 9 9"]

    @classmethod
    def joined(cls, parts: Sequence[CondensedPairs]) -> CondensedPairs:
        """Those of several in one."""
        relative = _Relative(
            np.concatenate([part.relative.R for part in parts]),
            np.concatenate([part.relative.t for part in parts]),
            np.concatenate([part.relative.log_scale for part in parts]),
        )
        return cls(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.second for part in parts]),
            relative,
            np.concatenate([part.information for part in parts]),
        )

    def named(self, frame: NDArray[np.int64]) -> CondensedPairs:
        """The same with other numbers of frames: ``frame`` (N,) by the number until now."""
        return CondensedPairs(
            frame[self.first], frame[self.second], self.relative, self.information
        )

    def at(self, states: FrameStates) -> _Departure:
        """How far the pairs have come, and what that costs more."""
        by = _Relative.of(states, self.first, self.second).since(self.relative)
        bent = np.einsum("qij,qj->qi", self.information[:, :8, :8], by)
        slope = self.information[:, :8, 8]
        return _Departure(by, slope + bent, float((by * (bent + 2 * slope)).sum()))

    def summed(self, at: _Departure) -> Float[np.ndarray, "q 9 9"]:
        """As `PointTerms.summed`."""
        summed = self.information.copy()
        summed[:, :8, 8] = summed[:, 8, :8] = at.slope
        return summed
