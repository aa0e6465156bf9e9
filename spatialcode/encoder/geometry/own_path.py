"""A camera path from pictures and a source's depth, without gravity or height being given.

Points are followed between neighbours, then between frames further apart and, where the path
comes back to what it saw before, between those; poses and one depth scale a frame are adjusted
together. Level surfaces give gravity, the floor gives height, walls give a heading.

It does not know of cuts: frames that nothing joins to their neighbours are only carried along.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from spatialcode.encoder.geometry.adjustment import (
    Adjusted,
    AdjustmentConfig,
    FrameStates,
    PairObservations,
    SurfaceHints,
    adjust_pairs,
)
from spatialcode.encoder.geometry.pairs import PairFollower, PointPairs
from spatialcode.encoder.geometry.planes import (
    Patches,
    find_floor,
    find_heading,
    find_patches,
    find_up,
)
from spatialcode.encoder.geometry.protocol import DepthNoise
from spatialcode.encoder.odometry.alignment import AlignmentConfig, align
from spatialcode.encoder.odometry.flow import sample_log_depth
from spatialcode.encoder.odometry.path import chained, in_first_camera_world
from spatialcode.encoder.odometry.problem import RelativeMotions, exp_rotation, log_rotation
from spatialcode.errors import EncodeError
from spatialcode.scene.frames import level_rotation

Array = NDArray[np.float64]

#: No depth is better than this, as standard deviation of its log.
_LEAST_DEPTH_SIGMA, _LEAST_SCALE_SIGMA = 0.005, 1e-4
#: Neighbours are first aligned in pictures of this side, with depth in cells of so many pixels.
_ALIGNED_SIDE_PX, _ALIGNED_CELL_PX = 160, 4
_ALIGNMENT = AlignmentConfig(halvings=(2, 1), steps=(10, 6))
#: Least information of a turn, 1 / rad², from which on edges tell it: a blank wall's do not.
_TELLING = 600.0
#: A step is odd where it differs by more from the middle one of so many around it.
_STEPS_AROUND, _ODD_TURN_RAD, _ODD_STEP_M = 7, 0.07, 0.25
#: Frames between those that are followed once a first path is known.
_STEPS = (1, 3, 9)
#: Frames that look alike are joined where they share this much and lie further apart than that.
_LOOP_SHARE, _LOOP_APART, _LOOPS_A_FRAME = 0.35, 14, 1
_LOOP_GRID = 8
#: Depth at a predicted place may differ by this factor's log before another surface is meant.
_SAME_SURFACE = 0.2
#: Errors of the direction of one patch's plane, and how many patches err as one.
_NORMAL_SIGMA_RAD, _ALIKE = 0.06, 10.0
#: Farthest from an axis that a normal counts as along it.
_AXIS_RAD = 0.2
#: Of gravity that is given: it outweighs what surfaces say.
_GIVEN_UP_SIGMA_RAD = 0.002
#: With fewer points of known depth a frame is better seen from another.
_FEW_POINTS = 20
_FLOOR_SIGMA_M, _FLOOR_NEAR_M = 0.03, 0.15


@dataclass(frozen=True, eq=False)
class OwnPath:
    """A path and what it rests on.

    ``T_world_camera`` (N, 4, 4): world of the first camera, floor at z = 0 where ``has_floor``.
    ``log_depth_scale`` (N,): log of believed over given depth. ``pairs``: points followed, in
    pixels of the given pictures, and ``weight`` (P,) their trust. ``num_joined`` (N-1,): trusted
    points between neighbours. ``reprojection_px``: median miss of trusted points, None without any.
    """

    T_world_camera: Float[np.ndarray, "n 4 4"]
    log_depth_scale: Float[np.ndarray, " n"]
    pairs: PointPairs
    weight: Float[np.ndarray, " p"]
    num_joined: NDArray[np.int64]
    reprojection_px: float | None
    has_floor: bool
    has_up: bool


@dataclass(frozen=True, eq=False)
class PathInput:
    """What a path is estimated from.

    ``gray`` (N, H, W); ``depth_m`` (N, h, w) of the same aspect, NaN where unknown; ``K``
    (N, 3, 3) in pixels of ``gray``; ``error``: of the depth, edges in pixels of ``gray``;
    ``up_camera`` (N, 3) where gravity is known; ``ignored`` (N, H, W): what moves by itself.
    """

    gray: UInt8[np.ndarray, "n h w"]
    depth_m: Float[np.ndarray, "n hh ww"]
    K: Float[np.ndarray, "n 3 3"]
    error: DepthNoise
    up_camera: Float[np.ndarray, "n 3"] | None = None
    ignored: Bool[np.ndarray, "n h w"] | None = None

    def __post_init__(self) -> None:
        num = len(self.gray)
        if self.gray.ndim != 3 or not num or self.depth_m.ndim != 3 or len(self.depth_m) != num:
            got = f"{self.gray.shape} and {self.depth_m.shape}"
            raise EncodeError(f"a path needs one picture and depth map a frame, got {got}")
        if self.K.shape != (num, 3, 3):
            raise EncodeError(f"a path needs intrinsics ({num}, 3, 3), got {self.K.shape}")

    @property
    def map_scale(self) -> Float[np.ndarray, " 2"]:
        """Pixels of the depth maps to one of the pictures, along x and y."""
        (high, wide), (height, width) = self.depth_m.shape[1:], self.gray.shape[1:]
        return np.array((wide / width, high / height))


def own_path(given: PathInput) -> OwnPath:
    """The path of a window's cameras. See `PathInput` and `OwnPath`."""
    tracker = _Tracker(given)
    surfaces = _Surfaces(given)
    states = surfaces.levelled(tracker.aligned())
    tracker.follow(states, _spaced(len(given.gray)))
    states = tracker.adjusted(states, surfaces.hints(states), 2.0).states
    states = surfaces.levelled(states)
    tracker.follow(states, tracker.loops(states))
    result = tracker.adjusted(states, surfaces.hints(states), 2.0)
    states = surfaces.levelled(result.states)
    result = tracker.adjusted(states, surfaces.hints(states), 1.5)
    return tracker.path(result, surfaces)


def _spaced(num: int) -> list[tuple[int, int]]:
    return [(k, k + step) for step in _STEPS for k in range(num - step)]


class _Tracker:
    """Points followed so far, and what they say of the path."""

    def __init__(self, given: PathInput) -> None:
        self.given, self.num = given, len(given.gray)
        self.follower = PairFollower(list(given.gray), given.ignored)
        with np.errstate(invalid="ignore", divide="ignore"):
            depth = np.asarray(given.depth_m, np.float64)
            self.log_depth = np.log(np.where(depth > 0, depth, np.nan))
        self.inverse_K = np.linalg.inv(given.K)
        self.points = [self._placed(k) for k in range(self.num)]
        self.found: dict[tuple[int, int], tuple[NDArray[np.int64], Array]] = {}
        self.motions = self._neighbours_aligned()
        turns = np.linalg.eigvalsh(self.motions.information[:, :3, :3])
        self.told = turns[:, 0] > _TELLING

    def _neighbours_aligned(self) -> RelativeMotions:
        """Motions between neighbours by all edges at once, in small pictures."""
        gray, share = self.given.gray, _ALIGNED_SIDE_PX / max(self.given.gray.shape[1:])
        height, width = (_ALIGNED_CELL_PX * max(1, round(side * share / _ALIGNED_CELL_PX))
                         for side in gray.shape[1:])  # fmt: skip
        small = np.stack(
            [cv2.resize(g, (width, height), interpolation=cv2.INTER_AREA) for g in gray]
        )
        if self.given.ignored is not None:
            small = np.stack(
                [_painted_over(s, i) for s, i in zip(small, self.given.ignored, strict=True)]
            )
        K = self.given.K[0].copy()
        K[0] *= width / gray.shape[2]
        K[1] *= height / gray.shape[1]
        cells = (height // _ALIGNED_CELL_PX, width // _ALIGNED_CELL_PX)
        depth = np.exp(self._at_cells(*cells))
        first = np.arange(self.num - 1)
        return align(small, depth, K, first, first + 1, config=_ALIGNMENT)

    def _at_cells(self, rows: int, columns: int) -> Array:
        """Log depth (N, rows, columns); where unknown the frame's middle depth, or the clip's."""
        _, height, width = self.log_depth.shape
        row = ((np.arange(rows) + 0.5) * height / rows).astype(int)
        column = ((np.arange(columns) + 0.5) * width / columns).astype(int)
        cells = self.log_depth[:, row][:, :, column].reshape(self.num, -1)
        known = np.isfinite(cells)
        middle = np.array([np.median(c[k]) if k.any() else np.nan
                           for c, k in zip(cells, known, strict=True)])  # fmt: skip
        usual = np.median(middle[np.isfinite(middle)]) if np.isfinite(middle).any() else 0.0
        middle = np.where(np.isfinite(middle), middle, usual)
        return np.where(known, cells, middle[:, None]).reshape(self.num, rows, columns)

    def _depth_at(self, frame: int, pixel_px: Array) -> tuple[Array, Array]:
        """Log depth and its sigma (P,) at pixels of a frame; NaN where unknown."""
        at = np.full(len(pixel_px), frame)
        value, spread = self._sampled(at, pixel_px)
        return value, np.hypot(max(self.given.error.pixel, _LEAST_DEPTH_SIGMA), spread)

    def _sampled(self, frame: NDArray[np.int64], pixel_px: Array) -> tuple[Array, Array]:
        return sample_log_depth(self.log_depth, frame, pixel_px * self.given.map_scale, 1.0)

    def _placed(self, frame: int) -> tuple[Array, Array]:
        """A frame's points in its camera (K, 3), and the sigma of their log depth (K,)."""
        pixel_px = self.follower.points_px[frame]
        z, sigma = self._depth_at(frame, pixel_px)
        ray = np.column_stack((pixel_px, np.ones(len(pixel_px)))) @ self.inverse_K[frame].T
        return ray * np.exp(z)[:, None], sigma

    def _directed(self, a: int, b: int) -> tuple[int, int]:
        """A pair such that its first frame is the one with more points of known depth: a frame
        without depth can be seen from others all the same.
        """
        known = [int(np.isfinite(self.points[k][1]).sum()) for k in (a, b)]
        return (b, a) if known[0] < _FEW_POINTS and known[1] > known[0] else (a, b)

    def aligned(self) -> FrameStates:
        """The chain of neighbours aligned by their edges. Over steps that edges do not tell, or
        that are unlike those around them, the camera is taken to go on as it did.
        """
        T = self.motions.T_second_first
        steps = np.concatenate([log_rotation(T[:, :3, :3]), T[:, :3, 3]], axis=1)
        usual = median_filter(steps, (_STEPS_AROUND, 1), mode="nearest")
        off = np.abs(steps - usual)
        told = self.told & (np.linalg.norm(off[:, :3], axis=1) < _ODD_TURN_RAD)
        told &= np.linalg.norm(off[:, 3:], axis=1) < _ODD_STEP_M
        here = np.arange(len(steps))
        if told.any():
            steps = np.stack([np.interp(here, here[told], axis[told]) for axis in steps.T], axis=1)
        T = np.tile(np.eye(4), (len(steps), 1, 1))
        T[:, :3, :3], T[:, :3, 3] = exp_rotation(steps[:, :3]), steps[:, 3:]
        path = chained(T)
        return FrameStates(path[:, :3, :3], path[:, :3, 3], np.zeros(self.num))

    def _predicted(self, states: FrameStates, a: int, b: int) -> tuple[NDArray[np.int64], Array]:
        """Which of a frame's points another one should see, and where (K, 2)."""
        point, sigma = self.points[a]
        rows = np.flatnonzero(np.isfinite(sigma))
        R, c, s = states.R_world_camera, states.centre, states.log_scale
        world = point[rows] @ R[a].T * np.exp(s[a]) + c[a]
        camera = (world - c[b]) @ R[b]
        ahead = camera[:, 2] > 0.1
        rows, camera = rows[ahead], camera[ahead]
        seen = camera @ self.given.K[b].T
        pixel_px = seen[:, :2] / seen[:, 2:]
        height, width = self.given.gray.shape[1:]
        inside = ((pixel_px > 2) & (pixel_px < (width - 2, height - 2))).all(-1)
        rows, camera, pixel_px = rows[inside], camera[inside], pixel_px[inside]
        there, spread = self._depth_at(b, pixel_px)
        with np.errstate(invalid="ignore"):
            off = np.abs(there + s[b] - np.log(camera[:, 2])) > _SAME_SURFACE + spread
        return rows[~off], pixel_px[~off]

    def follow(self, states: FrameStates, pairs: list[tuple[int, int]]) -> None:
        for pair in pairs:
            a, b = self._directed(*pair)
            rows, guess = self._predicted(states, a, b)
            self.found[a, b] = self.follower.follow(a, b, rows, guess, predicted=True)

    def loops(self, states: FrameStates) -> list[tuple[int, int]]:
        """Pairs of frames far apart in time that show the same by the path so far."""
        share = self._shared(states)
        far = np.abs(np.subtract.outer(np.arange(self.num), np.arange(self.num))) >= _LOOP_APART
        share = np.where(far, share, 0)
        chosen = []
        for a in range(self.num):
            left = share[a].copy()
            for _ in range(_LOOPS_A_FRAME):
                b = int(np.argmax(left))
                if left[b] < _LOOP_SHARE:
                    break
                chosen.append((a, b))
                left[max(0, b - _LOOP_APART // 2) : b + _LOOP_APART // 2] = 0
        return chosen

    def _shared(self, states: FrameStates) -> Array:
        """(N, N) share of frame a's points that frame b should see from much the same side."""
        height, width = self.given.gray.shape[1:]
        share = np.zeros((self.num, self.num))
        R, c, s = states.R_world_camera, states.centre, states.log_scale
        focal, middle = self.given.K[:, [0, 1], [0, 1]], self.given.K[:, :2, 2]
        for a in range(self.num):
            point, sigma = self.points[a]
            point = point[np.isfinite(sigma)][::_LOOP_GRID]
            if not len(point):
                continue
            world = point @ R[a].T * np.exp(s[a]) + c[a]
            camera = np.einsum("bij,bpi->bpj", R, world[None] - c[:, None])
            z = np.maximum(camera[..., 2], 1e-3)
            pixel = camera[..., :2] / z[..., None] * focal[:, None] + middle[:, None]
            ratio = np.log(z / (point[:, 2] * np.exp(s[a])))
            seen = ((pixel > 0) & (pixel < (width, height))).all(-1) & (np.abs(ratio) < 0.4)
            share[a] = seen.mean(axis=1)
        # a view turned about its axis, or from the other side, cannot be followed into
        facing = np.einsum("ai,bi->ab", R[:, :, 2], R[:, :, 2])
        return np.where(facing > np.cos(0.6), share, 0)

    def observations(self) -> PairObservations:
        keys = sorted(self.found)
        first, second, point, sigma, pixel, whitening = [], [], [], [], [], []
        for a, b in keys:
            rows, end = self.found[a, b]
            first.append(np.full(len(rows), a))
            second.append(np.full(len(rows), b))
            point.append(self.points[a][0][rows])
            sigma.append(self.points[a][1][rows])
            pixel.append(end)
            whitening.append(self.follower.whitening[a][rows])
        frame_a, frame_b = (np.concatenate([*v, np.zeros(0, np.int64)]) for v in (first, second))
        pixel_px = np.concatenate([*pixel, np.zeros((0, 2))])
        there, spread = self._sampled(frame_b, pixel_px)
        least = max(self.given.error.pixel, _LEAST_DEPTH_SIGMA)
        return PairObservations(
            frame_a, frame_b, np.concatenate([*point, np.zeros((0, 3))]), pixel_px,
            np.concatenate([*whitening, np.zeros((0, 2, 2))]), there,
            np.concatenate([*sigma, np.zeros(0)]), np.hypot(least, spread), self.given.K,
        )  # fmt: skip

    def adjusted(self, states: FrameStates, hints: SurfaceHints, cauchy: float) -> Adjusted:
        scale_sigma = max(self.given.error.frame, _LEAST_SCALE_SIGMA)
        config = AdjustmentConfig(pixel_cauchy=cauchy, scale_sigma=scale_sigma)
        return adjust_pairs(self.observations(), states, hints, self._telling(), config)

    def _telling(self) -> RelativeMotions:
        m, rows = self.motions, self.told
        return RelativeMotions(
            m.first[rows], m.second[rows], m.T_second_first[rows], m.information[rows]
        )

    def path(self, result: Adjusted, surfaces: _Surfaces) -> OwnPath:
        keys = sorted(self.found)
        first_px = [self.follower.points_px[a][self.found[a, b][0]] for a, b in keys]
        seen = self.observations()
        pairs = PointPairs(
            seen.first, seen.second, np.concatenate([*first_px, np.zeros((0, 2))]), seen.pixel_px
        )
        trusted = result.weight > 0.3
        neighbours = trusted & (np.abs(seen.second - seen.first) == 1)
        earlier = np.minimum(seen.first, seen.second)[neighbours]
        return OwnPath(
            T_world_camera=in_first_camera_world(result.states.T_world_camera),
            log_depth_scale=result.states.log_scale,
            pairs=pairs,
            weight=result.weight,
            num_joined=np.bincount(earlier, minlength=self.num)[: self.num - 1],
            reprojection_px=float(np.median(result.missed_px[trusted])) if trusted.any() else None,
            has_floor=surfaces.has_floor,
            has_up=surfaces.has_up,
        )


def _painted_over(image: NDArray[np.uint8], ignored: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A picture with no edges where it is ignored, nor around that."""
    size = (image.shape[1], image.shape[0])
    mask = cv2.resize(ignored.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA), np.uint8)


class _Surfaces:
    """What level, upright and floor surfaces, or given gravity, say of a path."""

    def __init__(self, given: PathInput) -> None:
        self.given = given
        K = given.K.copy()
        K[:, :2] *= given.map_scale[:, None]
        self.patches: Patches = find_patches(given.depth_m, K)
        self.has_floor = self.has_up = False

    def levelled(self, states: FrameStates) -> FrameStates:
        """The path turned upright and put onto the floor, as far as either can be told."""
        R = states.R_world_camera
        if self.given.up_camera is not None:
            up = np.median(np.einsum("nij,nj->ni", R, self.given.up_camera), axis=0)
        else:
            up = find_up(self.patches, R)
        self.has_up = up is not None
        # without any sign, the first picture's up
        turn = level_rotation(R[0].T @ (-R[0][:, 1] if up is None else up)) @ R[0].T
        states = FrameStates(turn @ R, states.centre @ turn.T, states.log_scale)
        floor = find_floor(self.patches, states.T_world_camera)
        self.has_floor = floor is not None
        lift = np.array((0, 0, 0.0 if floor is None else -floor))
        return FrameStates(states.R_world_camera, states.centre + lift, states.log_scale)

    def hints(self, states: FrameStates) -> SurfaceHints:
        """For a path that is nearly upright and stands on the floor."""
        frames, normals, axes, information = [], [], [], []
        for axis in self._axes(states):
            frame, normal, weight = self._along(states, axis)
            frames.append(frame)
            normals.append(normal)
            axes.append(np.tile(axis, (len(frame), 1)))
            information.append(weight)
        if self.given.up_camera is not None:
            num = len(self.given.up_camera)
            frames.append(np.arange(num))
            normals.append(self.given.up_camera)
            axes.append(np.tile((0.0, 0.0, 1.0), (num, 1)))
            information.append(np.full(num, 1 / _GIVEN_UP_SIGMA_RAD**2))
        floor = self._floor(states)
        if not frames:
            return SurfaceHints()
        return SurfaceHints(
            np.concatenate(frames), np.concatenate(normals), np.concatenate(axes),
            np.concatenate(information), *floor,
        )  # fmt: skip

    def _axes(self, states: FrameStates) -> list[Array]:
        if not self.has_up:
            return []
        axes = [] if self.given.up_camera is not None else [np.array((0.0, 0.0, 1.0))]
        heading = find_heading(self.patches, states.R_world_camera)
        if heading is not None:
            quarters = heading + np.arange(4) * np.pi / 2
            axes += [np.array((np.cos(q), np.sin(q), 0.0)) for q in quarters]
        return axes

    def _along(self, states: FrameStates, axis: Array) -> tuple[NDArray[np.int64], Array, Array]:
        """By frame, the mean normal of surfaces along an axis (or its opposite where it is up), and
        its information.
        """
        p, num = self.patches, len(states.centre)
        cosine = np.einsum("qi,qi->q", p.normal, states.R_world_camera[p.frame].transpose(
            0, 2, 1) @ axis)  # fmt: skip
        sign = np.sign(cosine) if abs(axis[2]) > 0.5 else np.ones(len(cosine))
        angle = np.arccos(np.clip(sign * cosine, -1, 1))
        near = angle < 2 * _AXIS_RAD
        weight = np.where(near, p.weight / (1 + (angle / _AXIS_RAD * 2) ** 2) ** 2, 0)
        total = np.bincount(p.frame, weight, num)
        mean = np.stack(
            [np.bincount(p.frame, weight * sign * p.normal[:, i], num) for i in range(3)], axis=-1
        )
        frame = np.flatnonzero(total > 1)
        mean = mean[frame] / np.linalg.norm(mean[frame], axis=1, keepdims=True)
        return frame, mean, total[frame] / (_NORMAL_SIGMA_RAD**2 * _ALIKE)

    def _floor(self, states: FrameStates) -> tuple[NDArray[np.int64], Array, Array]:
        """By frame, the mean floor point that it sees."""
        p, num = self.patches, len(states.centre)
        T = states.T_world_camera[p.frame]
        grown = p.point * np.exp(states.log_scale[p.frame])[:, None]
        z = np.einsum("qi,qi->q", T[:, 2, :3], grown) + T[:, 2, 3]
        up = np.einsum("qi,qi->q", T[:, 2, :3], p.normal)
        weight = np.where((up > np.cos(_AXIS_RAD)) & (np.abs(z) < _FLOOR_NEAR_M), p.weight, 0)
        total = np.bincount(p.frame, weight, num)
        mean = np.stack([np.bincount(p.frame, weight * p.point[:, i], num) for i in range(3)], -1)
        frame = np.flatnonzero(total > 2) if self.has_floor else np.zeros(0, np.int64)
        return frame, mean[frame] / total[frame, None], np.full(len(frame), _FLOOR_SIGMA_M)
