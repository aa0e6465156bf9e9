"""Poses and depth scales of all frames together.

What pairs of frames say of the motion between them, measured motions, surfaces that lie level,
stand along the walls or are floor, and that people move a camera steadily: a step solves seven
unknowns a frame.

Not modelled: lens distortion, rolling shutter.

Source: Levenberg-Marquardt on reweighted least squares; Sim(3) by frame as in Strasdat et al.,
"Scale drift-aware large scale monocular SLAM", RSS 2010, with the scale on depth alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.sparse import bsr_matrix, csc_matrix, diags
from scipy.sparse.linalg import splu

from spatialcode.encoder.geometry.path.pair_terms import CondensedPairs, PointTerms, by_unknowns
from spatialcode.encoder.geometry.path.states import FRAME_UNKNOWNS, FrameStates
from spatialcode.encoder.odometry.problem import (
    RelativeMotions,
    log_rotation,
    motion_error,
    motion_jacobian,
    skew,
    whitening,
)

Array = NDArray[np.float64]
Frames = NDArray[np.integer[Any]]

#: Levenberg-Marquardt gives up above this damping.
_MAX_DAMPING = 1e6
#: From so many frames on few of which are joined with each other.
_SPARSE_FROM = 48


@dataclass(frozen=True, eq=False)
class SurfaceHints:
    """Directions of surfaces: ``frame`` (Q,), ``normal`` (Q, 3) unit in the camera, ``axis`` (Q, 3)
    the world direction it should have, ``information`` (Q,) 1 / rad²; and floors: ``floor_frame``
    (F,), ``floor_point`` (F, 3) in the camera, whose height should be 0, ``floor_sigma_m`` (F,).
    """

    frame: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    normal: Float[np.ndarray, "q 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    axis: Float[np.ndarray, "q 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    information: Float[np.ndarray, " q"] = field(default_factory=lambda: np.zeros(0))
    floor_frame: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    floor_point: Float[np.ndarray, "f 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    floor_sigma_m: Float[np.ndarray, " f"] = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class AdjustmentConfig:
    """``scale_sigma``: of a frame's log scale; ``steady_m``, ``steady_rad``: of the change of
    velocity and of turning rate between frames, which carries the path over blank ones;
    ``motion_cauchy``, ``steady_cauchy``: robust scales in standard deviations.
    """

    scale_sigma: float = 0.05
    motion_cauchy: float = 3.0
    steady_m: float = 0.15
    steady_rad: float = 0.06
    steady_cauchy: float = 2.0
    max_iterations: int = 10
    tolerance: float = 1e-4


@dataclass(frozen=True, eq=False)
class PathProblem:
    """What is known of N frames, and what of them may change.

    ``pairs``: frames joined by points. ``free`` (N, 7): which unknowns of a frame (turn in the
    camera, shift in the world, log scale) are solved for; the others are held. The first
    ``num_in_order`` frames follow one another in time, those after them do not. ``motions``:
    measured between frames beside the points.
    """

    pairs: PointTerms | CondensedPairs
    free: Bool[np.ndarray, "n 7"]
    num_in_order: int
    hints: SurfaceHints = field(default_factory=SurfaceHints)
    motions: RelativeMotions = field(default_factory=RelativeMotions.none)


class _Normal:
    """Normal equations in the making: blocks (7, 7) of the Hessian between frames, and the gradient
    (N, 7).
    """

    def __init__(self, num: int) -> None:
        self.gradient = np.zeros((num, FRAME_UNKNOWNS))
        self._blocks: list[tuple[Frames, Frames, Array]] = []

    def add(self, first: Frames, second: Frames, block: Array, part: slice = slice(None)) -> None:
        """Blocks (B, n, n) of some of the unknowns between frames (B,)."""
        whole = block
        if block.shape[1] < FRAME_UNKNOWNS:
            whole = np.zeros((len(block), FRAME_UNKNOWNS, FRAME_UNKNOWNS))
            whole[:, part, part] = block
        self._blocks.append((first, second, whole))

    def slope(self, frame: Frames, values: Array, part: slice = slice(None)) -> None:
        """Parts (B, n) of the gradient of frames (B,)."""
        np.add.at(self.gradient[:, part], frame, values)

    def hessian(self, free: NDArray[np.int64]) -> Any:
        """(F, F) by the free unknowns: dense for few frames, else sparse."""
        num, d = len(self.gradient), FRAME_UNKNOWNS
        first, second, block = (np.concatenate(part) for part in zip(*self._blocks, strict=True))
        if num < _SPARSE_FROM:
            dense = np.zeros((num, num, d, d))
            np.add.at(dense, (first, second), block)
            return dense.transpose(0, 2, 1, 3).reshape(num * d, num * d)[np.ix_(free, free)]
        order = np.lexsort((second, first))
        pointer = np.searchsorted(first[order], np.arange(num + 1))
        blocks = bsr_matrix((block[order], second[order], pointer), shape=(num * d, num * d))
        return csc_matrix(blocks)[free][:, free]


def _solved(hessian: Any, damping: float, gradient: Array) -> Array | None:
    """The damped step (F,); None where it cannot be told."""
    diagonal = np.maximum(hessian.diagonal(), 1e-6) * damping
    if isinstance(hessian, np.ndarray):
        try:
            factor = cho_factor(hessian + np.diag(diagonal), check_finite=False)
        except LinAlgError:
            return None
        return np.asarray(-cho_solve(factor, gradient, check_finite=False))
    try:
        return np.asarray(-splu(csc_matrix(hessian + diags(diagonal))).solve(gradient))
    except RuntimeError:  # exactly singular
        return None


class _System:
    """The terms of one problem."""

    def __init__(self, problem: PathProblem, config: AdjustmentConfig) -> None:
        self.problem, self.config, self.hints = problem, config, problem.hints
        self.motions, self.motion_root = problem.motions, whitening(problem.motions)
        self.num = len(problem.free)
        self.free = np.flatnonzero(problem.free)

    def cost(self, at: FrameStates) -> float:
        """Robust cost of all but the pairs."""
        c = self.config
        turn, floor = self._hint_errors(at)
        cost = float((self.hints.information * (turn**2).sum(-1)).sum())
        cost += float(((floor / self.hints.floor_sigma_m) ** 2).sum())
        cost += float((at.log_scale**2).sum() / c.scale_sigma**2)
        cost += float((self._unsteady_places(at) ** 2).sum())
        for error, cauchy in (
            (self._motion_error(at), c.motion_cauchy),
            (self._unsteady_turns(at), c.steady_cauchy),
        ):
            cost += float(cauchy**2 * np.log1p((error**2).sum(-1) / cauchy**2).sum())
        return cost

    def _motion_error(self, at: FrameStates) -> Array:
        """Whitened (B, 6)."""
        error = motion_error(self.motions, at.R_world_camera, at.centre, at.log_scale)
        return np.einsum("bij,bj->bi", self.motion_root, error)

    def _unsteady_places(self, at: FrameStates) -> Array:
        """Whitened changes (M-2, 3) of the step from frame to frame."""
        places = at.centre[: self.problem.num_in_order]
        return np.diff(places, n=2, axis=0) / self.config.steady_m

    def _unsteady_turns(self, at: FrameStates) -> Array:
        """Whitened changes (M-2, 3) of the turn from frame to frame, in world coordinates."""
        R = at.R_world_camera[: self.problem.num_in_order]
        turn = log_rotation(R[:-1].transpose(0, 2, 1) @ R[1:])
        return np.diff(np.einsum("nij,nj->ni", R[:-1], turn), axis=0) / self.config.steady_rad

    def _hint_errors(self, at: FrameStates) -> tuple[Array, Array]:
        h = self.hints
        turn = np.einsum("qij,qj->qi", at.R_world_camera[h.frame], h.normal) - h.axis
        grown = h.floor_point * np.exp(at.log_scale[h.floor_frame])[:, None]
        up = at.R_world_camera[h.floor_frame][:, 2]
        return turn, np.einsum("fi,fi->f", up, grown) + at.centre[h.floor_frame, 2]

    def build(self, at: FrameStates, pairs_at: Any) -> tuple[Any, Array]:
        """Hessian (F, F) and gradient (F,) of the F free unknowns. ``pairs_at``: what the pairs
        said of these states.
        """
        normal = _Normal(self.num)
        self._add_pairs(at, pairs_at, normal)
        self._add_hints(at, normal)
        self._add_motions(at, normal)
        self._add_steadiness(at, normal)
        every, scale = np.arange(self.num), slice(6, 7)
        weight = 1 / self.config.scale_sigma**2
        normal.add(every, every, np.full((self.num, 1, 1), weight), scale)
        normal.slope(every, weight * at.log_scale[:, None], scale)
        return normal.hessian(self.free), normal.gradient.ravel()[self.free]

    def _add_pairs(self, at: FrameStates, pairs_at: Any, normal: _Normal) -> None:
        d, pairs = FRAME_UNKNOWNS, self.problem.pairs
        chain = by_unknowns(at, pairs.first, pairs.second)
        block = chain.transpose(0, 2, 1) @ pairs.summed(pairs_at) @ chain
        ends = ((pairs.first, slice(0, d)), (pairs.second, slice(d, 2 * d)))
        for i, row in ends:
            normal.slope(i, block[:, row, -1])
            for j, column in ends:
                normal.add(i, j, block[:, row, column])

    def _add_hints(self, at: FrameStates, normal: _Normal) -> None:
        h = self.hints
        turn, floor = self._hint_errors(at)
        jacobian = -at.R_world_camera[h.frame] @ skew(h.normal)
        weighted = (jacobian * h.information[:, None, None]).transpose(0, 2, 1)
        normal.add(h.frame, h.frame, weighted @ jacobian, slice(0, 3))
        normal.slope(h.frame, np.einsum("qji,qi->qj", weighted, turn), slice(0, 3))
        grown = h.floor_point * np.exp(at.log_scale[h.floor_frame])[:, None]
        up = at.R_world_camera[h.floor_frame][:, 2]
        row = np.zeros((len(floor), FRAME_UNKNOWNS))
        row[:, :3] = np.cross(grown, up)
        row[:, 5] = 1
        row[:, 6] = (up * grown).sum(-1)
        row /= h.floor_sigma_m[:, None]
        normal.add(h.floor_frame, h.floor_frame, row[:, :, None] * row[:, None])
        normal.slope(h.floor_frame, row * (floor / h.floor_sigma_m)[:, None])

    def _add_motions(self, at: FrameStates, normal: _Normal) -> None:
        m, d = self.motions, FRAME_UNKNOWNS
        error = self._motion_error(at)
        jacobian = self.motion_root @ motion_jacobian(m, at.R_world_camera, at.centre, at.log_scale)
        weight = 1 / (1 + (error**2).sum(-1) / self.config.motion_cauchy**2)
        weighted = jacobian.transpose(0, 2, 1) * weight[:, None, None]
        block, slope = weighted @ jacobian, (weighted @ error[..., None])[..., 0]
        ends = ((m.first, slice(0, d)), (m.second, slice(d, 2 * d)))
        for i, row in ends:
            normal.slope(i, slope[:, row])
            for j, column in ends:
                normal.add(i, j, block[:, row, column])

    def _add_steadiness(self, at: FrameStates, normal: _Normal) -> None:
        """Of turning; to first order a turn w in the camera acts as R w in the world. And of going
        along.
        """
        c = self.config
        turns, places = self._unsteady_turns(at), self._unsteady_places(at)
        weight = 1 / (1 + (turns**2).sum(-1) / c.steady_cauchy**2)
        every, turned, gone = np.arange(len(turns)), slice(0, 3), slice(3, 6)
        R = at.R_world_camera / c.steady_rad
        still = np.tile(np.eye(3) / c.steady_m**2, (len(turns), 1, 1))
        factors = (1, -2, 1)
        for i, first in enumerate(factors):
            by_first = first * weight[:, None, None] * R[every + i].transpose(0, 2, 1)
            normal.slope(every + i, np.einsum("nik,nk->ni", by_first, turns), turned)
            normal.slope(every + i, first * places / c.steady_m, gone)
            for j, second in enumerate(factors):
                normal.add(every + i, every + j, by_first @ (second * R[every + j]), turned)
                normal.add(every + i, every + j, first * second * still, gone)


@dataclass(frozen=True, eq=False)
class Adjusted:
    """The states, and what the pairs said of them."""

    states: FrameStates
    pairs: Any


def adjust(
    problem: PathProblem, start: FrameStates, config: AdjustmentConfig | None = None
) -> Adjusted:
    """Minimise from ``start``; the robust cost never rises. Units are those of the depth."""
    config = config or AdjustmentConfig()
    system, pairs = _System(problem, config), problem.pairs
    states, damping = start, 1e-4
    pairs_at = pairs.at(states)
    cost = pairs_at.cost + system.cost(states)
    for _ in range(config.max_iterations):
        hessian, gradient = system.build(states, pairs_at)
        accepted = False
        while not accepted and damping < _MAX_DAMPING:
            solved = _solved(hessian, damping, gradient)
            if solved is None:
                damping *= 10
                continue
            step = np.zeros(system.num * FRAME_UNKNOWNS)
            step[system.free] = solved
            trial = states.moved(step.reshape(-1, FRAME_UNKNOWNS))
            trial_at = pairs.at(trial)
            trial_cost = trial_at.cost + system.cost(trial)
            accepted = trial_cost <= cost
            damping = max(damping / 10, 1e-9) if accepted else damping * 10
        if not accepted:
            break
        gain = cost - trial_cost
        states, pairs_at, cost = trial, trial_at, trial_cost
        if gain <= config.tolerance * abs(cost):
            break
    return Adjusted(states, pairs_at)
