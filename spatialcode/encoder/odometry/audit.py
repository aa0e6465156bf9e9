"""How the camera moved, by the pictures alone: it stood still, only turned, or went somewhere.

A path that is estimated from depth drifts even where the camera stands. Points are followed
between frames that lie well apart, and the simplest motion that explains them is believed: no
motion, a turn about the camera's centre, or anything else. What moves by itself (people, pets,
hands) is outvoted, since every patch of the picture has one vote. The same points later tell by
how many pixels a path misses what the pictures show.

It does not know scale, and a camera that goes less far than its pictures can show, about a
hundredth of the distance to what it sees, counts as one that only turns.

Source: the pyramidal Lucas-Kanade tracker (Bouguet 2001); first-order epipolar distance
(Sampson 1982; Hartley & Zisserman 2004, eq. 11.9); the decision: none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import lsqr
from scipy.spatial.transform import Rotation

from spatialcode.encoder.odometry.flow import coarse_shift_px
from spatialcode.encoder.odometry.path import in_first_camera_world
from spatialcode.errors import EncodeError

Array = NDArray[np.float64]
Gray = NDArray[np.uint8]
CameraMotion = Literal["still", "rotation", "full"]

#: Errors are told in pixels of a picture whose longer side is this.
REFERENCE_SIDE_PX = 640
#: A path that misses by less is as good as the points are followed; by more, it is rough.
_GOOD_PX, ROUGH_PX = 1.5, 4.0
#: Fewer points followed say nothing of a path.
_MIN_CHECKED = 30
#: Frames between those that are compared to tell a turn from a path.
_PROBE_STEPS = (1, 3, 9)
#: Below this minimal eigenvalue of the gradient a cell has no texture to follow.
_MIN_CORNER = 4e-4
_NUM_LENSES = 7
_NUM_DRAWS = 64
#: A turn that explains fewer of the points between two frames is not believed.
_SOUND_SHARE = 0.5
#: Weight of a path's own turn between neighbours beside that of a measured one.
_OWN_TURN_WEIGHT = 0.05
_NUM_AVERAGINGS = 4
_ENDS = ("first", "second")
#: A path that goes less far between two frames has no epipolar lines worth the name.
_NO_PARALLAX_M = 1e-4


@dataclass(frozen=True)
class AuditConfig:
    """Lengths are in pixels of a picture whose longer side is ``side_px``.

    ``cell_px``: one point is followed in each cell that has texture. ``max_round_trip_px``: how
    far a point may end from its start when it is followed there and back. ``still_px``: a cell
    that has moved less stands; ``turn_px``: a cell that is missed by less fits a turn.
    ``still_share``: of the cells followed, the share that must stand, as hardly any does once a
    camera has moved; ``turn_share``: the share that turns must explain, and
    ``followed_share``: of neighbouring frames, those between which a turn must have been measured,
    since a claim about the whole clip must rest on all of it. ``min_span``: share of the
    picture's width that the standing cells must span. ``num_looks``: frames compared with the first
    one to see whether the camera stands. ``num_anchors``: frames from which others are compared to
    tell a turn from a path. ``min_cells``: a pair with fewer says nothing. ``min_shift_px``: how
    far the picture
    must have shifted between two frames for their parallax to be judged. ``max_focal_ratio``:
    how wrong an assumed focal length may be.
    """

    side_px: int = REFERENCE_SIDE_PX
    cell_px: int = 32
    window_px: int = 15
    num_levels: int = 5
    max_round_trip_px: float = 1.0
    still_px: float = 1.0
    turn_px: float = 1.5
    still_share: float = 0.35
    turn_share: float = 0.8
    followed_share: float = 0.9
    min_span: float = 0.4
    num_looks: int = 12
    min_cells: int = 12
    num_anchors: int = 4
    min_shift_px: float = 12.0
    max_focal_ratio: float = 1.4

    def for_side(self, side_px: int) -> AuditConfig:
        """The same for pictures of another size; what limits the tracker stays at least what it
        can do in small ones.
        """
        scale = side_px / self.side_px
        return replace(
            self,
            side_px=side_px,
            cell_px=max(8, round(self.cell_px * scale)),
            window_px=max(7, round(self.window_px * scale)),
            num_levels=max(3, self.num_levels + round(np.log2(scale))),
            max_round_trip_px=max(0.5, self.max_round_trip_px * scale),
            still_px=max(0.6, self.still_px * scale),
            turn_px=max(1.2, self.turn_px * scale),
            min_shift_px=self.min_shift_px * scale,
        )


@dataclass(frozen=True, eq=False)
class FollowedPair:
    """Points followed from one frame into another: ``first_px``, ``second_px`` (K, 2)."""

    first: int
    second: int
    first_px: Float[np.ndarray, "k 2"]
    second_px: Float[np.ndarray, "k 2"]

    @property
    def shift_px(self) -> float:
        """How far the middle one of the points has moved."""
        return float(np.median(np.linalg.norm(self.second_px - self.first_px, axis=1)))


@dataclass(frozen=True, eq=False)
class MeasuredTurn:
    """``R_second_first`` (3, 3) between two frames, and the share of points that it explains."""

    first: int
    second: int
    R_second_first: Float[np.ndarray, "3 3"]
    share: float


@dataclass(frozen=True, eq=False)
class PathAudit:
    """What the pictures say of a camera's motion.

    ``pairs``: points followed, in pixels of pictures to which ``K`` (3, 3) belongs and whose longer
    side is ``side_px``. ``turns``: where the camera only turned, by how much between frames that
    could be compared.
    """

    motion: CameraMotion
    pairs: tuple[FollowedPair, ...]
    K: Float[np.ndarray, "3 3"]
    side_px: int
    turns: tuple[MeasuredTurn, ...] = ()

    def held(self, T_world_camera: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
        """A path (N, 4, 4) as far as the motion allows: one pose where the camera stood, one place
        and the measured turns where it only turned (the path's own where none was measured), the
        path itself where the motion is full.
        """
        if self.motion == "full":
            return T_world_camera
        held = T_world_camera.copy()
        held[:, :3, 3] = np.median(T_world_camera[:, :3, 3], axis=0)
        if self.motion == "still":
            held[:, :3, :3] = _mean_rotation(T_world_camera[:, :3, :3])
        else:
            held[:, :3, :3] = _averaged(T_world_camera[:, :3, :3], self.turns)
        return in_first_camera_world(held)

    def error_px(self, T_world_camera: Float[np.ndarray, "n 4 4"]) -> float | None:
        """By how much a path misses the points followed: the median first-order distance from
        their epipolar lines, or from where a turn puts them where the path has no parallax.

        In pixels of pictures of `REFERENCE_SIDE_PX`; None where too few points were followed to
        say.
        """
        errors = [_missed_px(pair, T_world_camera, self.K) for pair in self.pairs]
        if sum(map(len, errors)) < _MIN_CHECKED:
            return None
        return float(np.median(np.concatenate(errors))) * REFERENCE_SIDE_PX / self.side_px

    def trust(self, T_world_camera: Float[np.ndarray, "n 4 4"]) -> float:
        """See `trust_in`, of the error of a path."""
        return trust_in(self.error_px(T_world_camera))

    def warnings(self, T_world_camera: Float[np.ndarray, "n 4 4"]) -> tuple[str, ...]:
        """What a user of a code with that path should know, in sentences."""
        error_px = self.error_px(T_world_camera)
        if error_px is None:
            return ("Too few points could be followed to check the camera path.",)
        found = standing_camera(self.motion)
        if error_px > ROUGH_PX:
            found.append(rough_path(error_px))
        return tuple(found)


def trust_in(error_px: float | None) -> float:
    """From 1 for a path that fits what the pictures show towards 0 for one that does not; 0.5 where
    nothing could be checked. ``error_px``: as `PathAudit.error_px` gives it.
    """
    return 0.5 if error_px is None else min(1.0, _GOOD_PX / max(error_px, _GOOD_PX))


def overall(motions: Iterable[CameraMotion]) -> CameraMotion:
    """The motion of a clip whose parts move so: the largest of theirs."""
    return max(motions, key=("still", "rotation", "full").index)


def standing_camera(motion: CameraMotion) -> list[str]:
    """The warning of a camera that went nowhere; none for one that did."""
    if motion == "full":
        return []
    how = "stood still" if motion == "still" else "only turned"
    return [f"The camera {how}: distances rest on predicted depth alone."]


def rough_path(error_px: float) -> str:
    """The warning of a path that misses the pictures by so much."""
    return (
        f"The camera path misses what the pictures show by {error_px:.1f} pixels in the median "
        f"(of a picture of {REFERENCE_SIDE_PX}): places are rough."
    )


def audit_path(
    gray: Sequence[Gray],
    K: Float[np.ndarray, "3 3"],
    focal_is_known: bool = False,
    config: AuditConfig | None = None,
    ignored: Sequence[Bool[np.ndarray, "h w"] | None] | None = None,
) -> PathAudit:
    """Audit the frames of a clip, each (H, W) uint8, of one size, in time order.

    ``K`` belongs to the frames. Where its focal length is only assumed (``focal_is_known`` False),
    a longer or shorter one may explain a turn. ``ignored``: by frame, what has no say, such as what
    is known to move by itself. EncodeError without frames.
    """
    num = len(gray)
    if not num:
        raise EncodeError("a path audit needs at least one frame, got none")
    config = (config or AuditConfig()).for_side(max(gray[0].shape))
    follower = _Follower(gray, config, ignored)
    looks = _looks_while_standing(follower)
    if looks is not None:
        return PathAudit("still", looks, K, config.side_px)
    probes = follower.probes()
    lenses = _lenses(K, config)
    lens = K if focal_is_known else max(lenses, key=lambda k: _explained(probes, k, config))
    if not _only_turns(probes, lens, config):
        return PathAudit("full", tuple(probes), K, config.side_px)
    neighbours = [follower(k, k + 1) for k in range(num - 1)]
    turns = [turn for turn in (_turn(pair, lens, config) for pair in neighbours)
             if turn.share >= _SOUND_SHARE]  # fmt: skip
    if len(turns) < config.followed_share * (num - 1):
        return PathAudit("full", tuple(probes), K, config.side_px)
    turns += [_turn(pair, lens, config) for pair in probes]
    return PathAudit("rotation", tuple(probes), lens, config.side_px, tuple(turns))


class _Follower:
    """Follows one point a cell from any frame of a clip to any other."""

    def __init__(
        self, gray: Sequence[Gray], config: AuditConfig,
        ignored: Sequence[NDArray[np.bool_] | None] | None = None,
    ) -> None:  # fmt: skip
        self.gray, self.config = gray, config
        self.ignored = [None] * len(gray) if ignored is None else list(ignored)
        self.width_px = gray[0].shape[1]
        self._points: dict[int, NDArray[np.float32]] = {}

    def __call__(self, first: int, second: int, turned: bool = True) -> FollowedPair:
        config = self.config
        if first not in self._points:
            points = _cell_points(self.gray[first], config.cell_px)
            self._points[first] = points[~_lies_in(self.ignored[first], points[:, 0])]
        start = self._points[first]
        if not len(start):
            return FollowedPair(first, second, np.zeros((0, 2)), np.zeros((0, 2)))
        options: dict[str, Any] = {
            "winSize": (config.window_px, config.window_px),
            "maxLevel": config.num_levels - 1,
            "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
        }
        a, b = self.gray[first], self.gray[second]
        # a turn moves the whole picture nearly alike, further than flow alone can follow
        shift = (coarse_shift_px(a, b) if turned else np.zeros(2)).astype(np.float32)
        there, found, _ = cv2.calcOpticalFlowPyrLK(a, b, start, start + shift, **options)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(b, a, there, there - shift, **options)
        trip = np.linalg.norm((back - start)[:, 0], axis=1)
        good = (found[:, 0] > 0) & (found_back[:, 0] > 0) & (trip < config.max_round_trip_px)
        good &= ~_lies_in(self.ignored[second], there[:, 0])
        # pixel centres at +0.5
        return FollowedPair(first, second, start[good, 0] + 0.5, there[good, 0] + 0.5)

    def probes(self) -> list[FollowedPair]:
        """Pairs over the whole clip, near and far apart, that followed enough points to tell."""
        num = len(self.gray)
        anchors = np.linspace(0, num - 1, self.config.num_anchors + 1)[:-1].astype(int)
        wanted = {(int(k), min(int(k) + step, num - 1)) for k in anchors for step in _PROBE_STEPS}
        pairs = [self(first, second) for first, second in sorted(wanted) if first < second]
        return [pair for pair in pairs if len(pair.first_px) >= self.config.min_cells]


def _lies_in(mask: NDArray[np.bool_] | None, points: Any) -> NDArray[np.bool_]:
    """Which points (K, 2), pixel centres at whole numbers, lie in a mask (H, W)."""
    if mask is None:
        return np.zeros(len(points), bool)
    place = np.rint(np.nan_to_num(points)).astype(int)
    column, row = (np.clip(place[:, k], 0, mask.shape[1 - k] - 1) for k in (0, 1))
    return np.asarray(mask[row, column])


def _cell_points(image: Gray, cell_px: int) -> NDArray[np.float32]:
    """The best corner of each cell with texture, (K, 1, 2), pixel centres at whole numbers."""
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    corner = cv2.cornerMinEigenVal(smooth, 5)
    rows, columns = corner.shape[0] // cell_px, corner.shape[1] // cell_px
    blocks = corner[: rows * cell_px, : columns * cell_px].reshape(rows, cell_px, columns, cell_px)
    cells = blocks.transpose(0, 2, 1, 3).reshape(rows * columns, cell_px * cell_px)
    best = cells.argmax(axis=1)
    textured = np.flatnonzero(cells[np.arange(len(cells)), best] > _MIN_CORNER)
    x = textured % columns * cell_px + best[textured] % cell_px
    y = textured // columns * cell_px + best[textured] // cell_px
    return np.stack((x, y), axis=1).astype(np.float32)[:, None]


def _stands(pair: FollowedPair, follower: _Follower) -> bool:
    """Whether enough of the cells stand, and they span enough of the picture."""
    config = follower.config
    still = np.linalg.norm(pair.second_px - pair.first_px, axis=1) < config.still_px
    if still.mean() < config.still_share:
        return False
    return float(np.ptp(pair.first_px[still, 0])) >= config.min_span * follower.width_px


def _looks_while_standing(follower: _Follower) -> tuple[FollowedPair, ...] | None:
    """The first frame against others, the farthest first; None once one has moved.

    A look at which too few points could be followed (someone stands before the camera) says
    nothing, but half of all looks must say something.
    """
    config, num = follower.config, len(follower.gray)
    frames = np.unique(np.linspace(0, num - 1, config.num_looks + 1).astype(int)[1:])
    said = []
    for k in frames[::-1]:
        pair = follower(0, int(k), turned=False)
        if k == 0 or len(pair.first_px) < config.min_cells:
            continue
        if not _stands(pair, follower):
            return None
        said.append(pair)
    return tuple(said) if num == 1 or 2 * len(said) >= len(frames) else None


def _lenses(K: Array, config: AuditConfig) -> list[Array]:
    """Pinhole matrices with shorter and longer focal lengths; that of ``K`` is among them."""
    ratios = config.max_focal_ratio ** np.linspace(-1, 1, _NUM_LENSES)
    return [K * np.array([[r, 1, 1], [1, r, 1], [1, 1, 1]]) for r in ratios]


def _turn(pair: FollowedPair, K: Array, config: AuditConfig) -> MeasuredTurn:
    """The turn about the camera's centre that explains most points, by random pairs of them
    (RANSAC with fixed draws), then by all that it explains; a share of 0 where there are too few.
    """
    if len(pair.first_px) < config.min_cells:
        return MeasuredTurn(pair.first, pair.second, np.eye(3), 0.0)
    rays_first, rays_second = (_rays(pixels, K) for pixels in (pair.first_px, pair.second_px))
    draws = np.random.default_rng(0).integers(0, len(rays_first), (_NUM_DRAWS, 2))
    R = _triads(rays_second[draws]) @ np.swapaxes(_triads(rays_first[draws]), 1, 2)
    missed_px = _turned_away_px(pair, K, R)
    best = R[np.argmax((missed_px < config.turn_px).sum(axis=1))]
    for _ in range(2):
        fits = _turned_away_px(pair, K, best[None])[0] < config.turn_px
        if fits.sum() >= 2:
            best = Rotation.align_vectors(rays_second[fits], rays_first[fits])[0].as_matrix()
    share = float((_turned_away_px(pair, K, best[None])[0] < config.turn_px).mean())
    return MeasuredTurn(pair.first, pair.second, best, share)


def _rays(pixel_px: Array, K: Array) -> Array:
    rays = np.column_stack((pixel_px, np.ones(len(pixel_px)))) @ np.linalg.inv(K).T
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _triads(rays: Array) -> Array:
    """(D, 3, 3) right-handed frames, as columns, of pairs of unit rays (D, 2, 3)."""
    first = rays[:, 0]
    across = np.cross(first, rays[:, 1])
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    return np.stack((first, across, np.cross(first, across)), axis=2)


def _turned_away_px(pair: FollowedPair, K: Array, R_second_first: Array) -> Array:
    """(D, K) how far each point lies from where each of the turns (D, 3, 3) puts it."""
    turned = _rays(pair.first_px, K) @ np.swapaxes(R_second_first, 1, 2) @ K.T
    ahead = np.maximum(turned[..., 2:], 1e-6)
    return np.linalg.norm(turned[..., :2] / ahead - pair.second_px, axis=-1)


def _explained(pairs: Sequence[FollowedPair], K: Array, config: AuditConfig) -> float:
    """The share of all points of the pairs that turns explain; 0 where there are none."""
    counts = [len(pair.first_px) for pair in pairs]
    return float(np.dot(counts, [_turn(p, K, config).share for p in pairs])) / max(sum(counts), 1)


def _only_turns(probes: Sequence[FollowedPair], K: Array, config: AuditConfig) -> bool:
    """Whether turns explain the pairs, of which some have shifted enough to show parallax."""
    if _explained(probes, K, config) < config.turn_share:
        return False
    far = [pair for pair in probes if pair.shift_px >= config.min_shift_px]
    return _explained(far, K, config) >= config.turn_share


def _mean_rotation(R: Array) -> Array:
    return np.asarray(Rotation.from_matrix(R).mean().as_matrix())


def _averaged(R_world_camera: Array, turns: Sequence[MeasuredTurn]) -> Array:
    """Orientations (N, 3, 3) that agree with measured turns, and with the path's own between
    neighbours where no other is measured; on average turned as the path is.

    Gauss-Newton on the rotation group; source: none.
    """
    num = len(R_world_camera)
    R = np.swapaxes(R_world_camera, 1, 2)
    own = [MeasuredTurn(k, k + 1, R[k + 1] @ R[k].T, 1.0) for k in range(num - 1)]
    first, second = (np.array([getattr(t, end) for t in (*own, *turns)]) for end in _ENDS)
    measured = np.stack([turn.R_second_first for turn in (*own, *turns)])
    weight = np.repeat([_OWN_TURN_WEIGHT] * len(own) + [turn.share for turn in turns], 3)
    for _ in range(_NUM_AVERAGINGS):
        missed = Rotation.from_matrix(measured @ R[first] @ np.swapaxes(R[second], 1, 2))
        system = _turn_system(num, first, second, measured)
        step = lsqr(diags(weight) @ system, weight * missed.as_rotvec().ravel())[0]
        R = Rotation.from_rotvec(step.reshape(num, 3)).as_matrix() @ R
    averaged = np.swapaxes(R, 1, 2)
    return _mean_rotation(R_world_camera @ np.swapaxes(averaged, 1, 2)) @ averaged


def _turn_system(num: int, first: Array, second: Array, measured: Array) -> csr_matrix:
    """(3 L, 3 N): how what L turns are missed by falls with small turns of the N frames."""
    rows = 3 * np.arange(len(first))[:, None, None] + np.arange(3)[:, None]
    rows = np.broadcast_to(rows, measured.shape)
    columns = np.broadcast_to(np.arange(3), measured.shape)
    ends = np.concatenate([columns + 3 * second[:, None, None], columns + 3 * first[:, None, None]])
    values = np.concatenate([np.broadcast_to(np.eye(3), measured.shape), -measured])
    places = (np.concatenate([rows, rows]).ravel(), ends.ravel())
    return csr_matrix((values.ravel(), places), shape=(3 * len(first), 3 * num))


def _missed_px(pair: FollowedPair, T_world_camera: Array, K: Array) -> Array:
    """(K,) how far the points of a pair lie from where a path allows them to be."""
    T_second_first = np.linalg.inv(T_world_camera[pair.second]) @ T_world_camera[pair.first]
    R, t = T_second_first[:3, :3], T_second_first[:3, 3]
    if np.linalg.norm(t) < _NO_PARALLAX_M:
        return _turned_away_px(pair, K, R[None])[0]
    cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    inverse = np.linalg.inv(K)
    F = inverse.T @ cross @ R @ inverse
    first, second = (np.column_stack((p, np.ones(len(p)))) for p in (pair.first_px, pair.second_px))
    line_second, line_first = first @ F.T, second @ F
    gradient = np.hypot(np.linalg.norm(line_second[:, :2], axis=1),
                        np.linalg.norm(line_first[:, :2], axis=1))  # fmt: skip
    return np.abs((second * line_second).sum(axis=1)) / np.maximum(gradient, 1e-12)
