"""A floor's outline from how far one sees: which cells between wall lines are inside.

Walls give lines along two perpendicular axes. The lines cut the floor into rectangles, and
the cheapest choice of rectangles, by sight through them and by how much of the outline runs
along walls, is a minimum cut. Works in the axes of the walls; knows no frames and no classes.

How far one sees along the floor: one distance for each horizontal direction of each frame.

Walls are vertical, so a picture's wall cells above one another agree; their median is both
smaller and steadier than the cells. Knows nothing of rooms, only of sight and walls.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from spatialcode.encoder.maps import WALL_CHANNEL, DenseMaps

Array = NDArray[np.float64]

#: What hangs in a wall ends the room as the wall does.
_IN_WALLS = ("door", "window")
NUM_BINS = 180
BIN_RAD = 2 * np.pi / NUM_BINS
#: A segment of wall joins what is seen this many bins apart.
_STEP = 3
_MIN_CELLS = 3
#: Beyond this the rest of a column is no wall that one could place.
MAX_RANGE_M = 15.0
#: Lengths that a segment may have: less is noise, more a jump from one wall to another.
_SEGMENT_M = (0.02, 1.5)


@dataclass(frozen=True, eq=False)
class Lifted:
    """Seen points (N, h, w, 3) in the world and, (N, h, w), their horizontal distance from the
    camera and its direction as a bin from the frame's own viewing direction.
    """

    point_m: Float[np.ndarray, "n h w 3"]
    range_m: Float[np.ndarray, "n h w"]
    bin: NDArray[np.int64]
    heading_rad: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Profile:
    """By frame and bin of direction, (N, B): ``range_m`` that is free to see along the floor
    (0: not looked at), whether a wall ends it (``is_wall``), and the relative Laplace
    ``scale`` of the distance. ``camera_m`` (N, 2), ``heading_rad`` (N,) in the world.
    """

    camera_m: Float[np.ndarray, "n 2"]
    heading_rad: Float[np.ndarray, " n"]
    range_m: Float[np.ndarray, "n b"]
    is_wall: Bool[np.ndarray, "n b"]
    scale: Float[np.ndarray, "n b"]


@dataclass(frozen=True, eq=False)
class WallSegments:
    """S short pieces of wall: ``middle_m`` (S, 2), ``along_m`` (S, 2) from end to end,
    ``camera_m`` (S, 2) that saw them, ``sigma_m`` (S,) error across.
    """

    middle_m: Float[np.ndarray, "s 2"]
    along_m: Float[np.ndarray, "s 2"]
    camera_m: Float[np.ndarray, "s 2"]
    sigma_m: Float[np.ndarray, " s"]


def lift_cells(depth_m: NDArray[np.floating], K_grid: Array, T_world_camera: Array) -> Lifted:
    """All cells of all frames as points of the world."""
    n, h, w = depth_m.shape
    x = (np.arange(w) + 0.5 - K_grid[0, 2]) / K_grid[0, 0]
    y = (np.arange(h) + 0.5 - K_grid[1, 2]) / K_grid[1, 1]
    rays = np.ones((h, w, 3))
    rays[..., 0], rays[..., 1] = x, y[:, None]
    rotation = T_world_camera[:, :3, :3]
    sight = (rays.reshape(-1, 3) @ np.swapaxes(rotation, 1, 2)).reshape(n, h, w, 3)
    sight *= depth_m[..., None]
    forward = rotation[:, :2, 2]
    heading = np.arctan2(forward[:, 1], forward[:, 0])
    azimuth = np.arctan2(sight[..., 1], sight[..., 0]) - heading[:, None, None]
    bins = np.floor(azimuth / BIN_RAD).astype(np.int64) % NUM_BINS
    distance = np.minimum(np.hypot(sight[..., 0], sight[..., 1]), MAX_RANGE_M)
    return Lifted(sight + T_world_camera[:, None, None, :3, 3], distance, bins, heading)


def _quantile(key: NDArray[np.int64], value: Array, size: int, q: float) -> Array:
    """(size,) quantile of the values of every key, 0 where there are too few."""
    if not len(key):
        return np.zeros(size)
    order = np.sort(key * (2 * MAX_RANGE_M) + value)
    count = np.bincount(key, minlength=size)
    start = np.cumsum(count) - count
    pick = start + (q * count).astype(np.int64)
    enough = count >= _MIN_CELLS
    found = order[np.minimum(pick, len(order) - 1)] - np.arange(size) * (2 * MAX_RANGE_M)
    return np.where(enough, found, 0.0)


def make_profile(maps: DenseMaps, lifted: Lifted, T_world_camera: Array) -> Profile:
    """The sight of every frame, as maps tell wall from other things."""
    wall_like = [maps.kinds.index[label] for label in _IN_WALLS if label in maps.kinds.index]
    wall = maps.class_prob[:, [WALL_CHANNEL, *wall_like]].sum(axis=1) > 0.5
    # a cast to every cell of the scale is not worth it: it hardly varies within a frame
    scale = np.median(maps.depth_log_scale.reshape(maps.num_frames, -1), axis=1)
    range_m, is_wall = sight_of(lifted, wall, wall_quantile=0.5)
    return Profile(
        camera_m=T_world_camera[:, :2, 3],
        heading_rad=lifted.heading_rad,
        range_m=range_m,
        is_wall=is_wall,
        scale=np.repeat(np.maximum(scale, 0.01).astype(np.float64)[:, None], NUM_BINS, axis=1),
    )


def sight_of(
    lifted: Lifted, wall: Bool[np.ndarray, "n h w"], wall_quantile: float
) -> tuple[Float[np.ndarray, "n b"], Bool[np.ndarray, "n b"]]:
    """``range_m`` and ``is_wall`` of a profile. Where no wall is seen, sight goes as far as most of
    what is.
    """
    n = len(wall)
    key = np.arange(n)[:, None, None] * NUM_BINS + lifted.bin
    size = n * NUM_BINS
    to_wall = _quantile(key[wall], lifted.range_m[wall], size, wall_quantile)
    other = ~wall
    to_any = _quantile(key[other], lifted.range_m[other], size, 0.9)
    is_wall = to_wall > 0
    range_m = np.where(is_wall, to_wall, to_any)
    return range_m.reshape(n, NUM_BINS), is_wall.reshape(n, NUM_BINS)


def bin_directions(profile: Profile) -> Array:
    """(N, B, 2): unit vectors in the world along the middles of the bins."""
    azimuth = (np.arange(NUM_BINS) + 0.5) * BIN_RAD + profile.heading_rad[:, None]
    return np.stack((np.cos(azimuth), np.sin(azimuth)), axis=-1)


def sight_ends(profile: Profile) -> Float[np.ndarray, "e 2"]:
    """The cameras, and where sight from them ends."""
    end = profile.camera_m[:, None] + bin_directions(profile) * profile.range_m[..., None]
    return np.concatenate((profile.camera_m, end[profile.range_m > 0]))


def wall_segments(profile: Profile) -> WallSegments:
    """What joins the ends of sight a few bins apart, where walls end both."""
    end = profile.camera_m[:, None] + bin_directions(profile) * profile.range_m[..., None]
    next_end = np.roll(end, -_STEP, axis=1)
    along = next_end - end
    length = np.hypot(along[..., 0], along[..., 1])
    both = profile.is_wall & np.roll(profile.is_wall, -_STEP, axis=1)
    both &= (length > _SEGMENT_M[0]) & (length < _SEGMENT_M[1])
    camera = np.broadcast_to(profile.camera_m[:, None], end.shape)
    return WallSegments(
        middle_m=0.5 * (end + next_end)[both],
        along_m=along[both],
        camera_m=camera[both],
        sigma_m=(profile.scale * profile.range_m)[both],
    )


def dominant_yaw(profile: Profile, segments: WallSegments) -> float:
    """Yaw in [-pi/4, pi/4] of the axes that most wall lies along; where no wall is seen, of the
    smallest rectangle around all that is.
    """
    if not len(segments.sigma_m):
        (_, _, angle_deg) = cv2.minAreaRect(sight_ends(profile).astype(np.float32))
        return float(np.angle(np.exp(4j * np.deg2rad(angle_deg))) / 4)
    along = segments.along_m[:, 0] + 1j * segments.along_m[:, 1]
    length = np.abs(along)
    weight = np.minimum(length, 0.5) / (0.1 + segments.sigma_m)
    return float(np.angle(np.sum(weight * (along / length) ** 4)) / 4)


@dataclass(frozen=True)
class LayoutConfig:
    """What an outline costs, and when lines are walls.

    ``cell_m``: grid of sight, coarser where more than ``max_cells`` of it would be needed.
    ``blur_m``: how far votes for a wall line reach. ``apart_m``: least distance of two lines.
    ``min_share``: votes a line needs, of the best line's of its axis, and ``min_wall_m`` the
    wall along it. ``reach_m``: distance at which wall supports an outline.
    ``bare_cost_m``, ``wall_cost_m``: what a metre of outline costs without and with wall, in
    square metres. ``unseen``: value of a square metre that nobody saw, seen floor being 1.
    ``door_m``: a gap in a wall up to this wide is a door, if ``min_door_wall_m`` of wall is
    beside it.
    """

    cell_m: float = 0.1
    max_cells: int = 250
    blur_m: float = 0.12
    apart_m: float = 0.35
    min_share: float = 0.03
    min_wall_m: float = 0.4
    reach_m: float = 0.25
    bare_cost_m: float = 0.35
    wall_cost_m: float = 0.05
    unseen: float = 0.2
    door_m: float = 1.7
    min_door_wall_m: float = 0.5
    max_lines: int = 10


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells of ``cell_m`` from ``low_m`` (2,) on; ``inside`` (X, Y): 1 for floor that sight
    went over, -1 for what lies behind walls, 0 for what nobody saw.
    """

    low_m: Array
    cell_m: float
    inside: Float[np.ndarray, "x y"]

    def centres(self, axis: int) -> Array:
        size = self.inside.shape[axis]
        return self.low_m[axis] + (np.arange(size) + 0.5) * self.cell_m


def sight_grid(profile: Profile, config: LayoutConfig) -> Grid:
    """What all frames together say of each cell."""
    ends = sight_ends(profile)
    low = np.quantile(ends, 0.002, axis=0) - 0.5
    high = np.quantile(ends, 0.998, axis=0) + 0.5
    cell_m = max(config.cell_m, float((high - low).max()) / config.max_cells)
    size = np.ceil((high - low) / cell_m).astype(int)
    x = low[0] + (np.arange(size[0]) + 0.5) * cell_m
    y = low[1] + (np.arange(size[1]) + 0.5) * cell_m
    votes, weight = np.zeros(size), np.zeros(size)
    for n in range(len(profile.camera_m)):
        dx = (x - profile.camera_m[n, 0])[:, None].astype(np.float32)
        dy = (y - profile.camera_m[n, 1])[None, :].astype(np.float32)
        turn = np.arctan2(dy, dx) - np.float32(profile.heading_rad[n])
        column = np.floor(turn * np.float32(1 / BIN_RAD)).astype(np.int32) % NUM_BINS
        distance = np.sqrt(dx * dx + dy * dy)
        limit = profile.range_m[n].astype(np.float32)[column]
        softness = 0.1 + profile.scale[n].astype(np.float32)[column] * limit
        beyond = np.clip((distance - limit) / softness, -1.0, 1.0)
        hit = profile.is_wall[n][column]
        # what lies far behind a wall may be a room again
        behind = np.exp(-np.maximum(distance - limit - 0.3, 0.0)) * hit
        worth = (limit > 0) * np.where(beyond > 0, behind, 1.0) / (0.3 + softness)
        votes -= beyond * worth
        weight += worth
    return Grid(low, cell_m, votes / (weight + 1.0))


@dataclass(frozen=True, eq=False)
class WallMap:
    """Wall seen across one axis: ``votes`` (X, Y) metres of wall on the grid, and ``lines_m``
    (L,) ascending, where it piles up along the axis.
    """

    votes: Float[np.ndarray, "x y"]
    lines_m: Float[np.ndarray, " l"]


def wall_map(segments: WallSegments, grid: Grid, axis: int, config: LayoutConfig) -> WallMap:
    """Wall that stands across ``axis`` (0: x is constant along it)."""
    along = np.abs(segments.along_m)
    length = np.hypot(along[:, 0], along[:, 1])
    across = along[:, 1 - axis] > 0.8 * length
    at = segments.middle_m[across]
    index = np.floor((at - grid.low_m) / grid.cell_m).astype(int)
    shape = grid.inside.shape
    kept = np.all((index >= 0) & (index < shape), axis=1)
    weight = np.minimum(length[across], 0.5) / (0.15 + segments.sigma_m[across])
    votes = np.zeros(shape)
    np.add.at(votes, tuple(index[kept].T), weight[kept])
    lines: list[float] = []
    side = np.sign(at[:, axis] - segments.camera_m[across, axis])
    edges = np.arange(shape[axis] * 2 + 1) * (grid.cell_m / 2) + grid.low_m[axis]
    peaks: list[tuple[float, float]] = []
    for facing in (-1.0, 1.0):
        chosen = side == facing
        density, _ = np.histogram(at[chosen, axis], edges, weights=weight[chosen])
        peaks += _peaks(density, edges, config.blur_m)
    best = max((height for height, _ in peaks), default=0.0)
    centres = grid.centres(axis)
    for height, place in sorted(peaks, reverse=True):
        if height < config.min_share * best or len(lines) >= config.max_lines:
            break
        along = votes.compress(np.abs(centres - place) < config.reach_m, axis=axis).sum(axis=axis)
        covered_m = np.minimum(along, 1.0).sum() * grid.cell_m
        clear = all(abs(place - line) >= config.apart_m for line in lines)
        if clear and covered_m >= config.min_wall_m:
            lines.append(place)
    return WallMap(votes, np.sort(np.array(lines)))


def _peaks(density: Array, edges: Array, blur_m: float) -> list[tuple[float, float]]:
    """Height and place of the maxima of a blurred histogram."""
    step = edges[1] - edges[0]
    reach = int(np.ceil(3 * blur_m / step))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / blur_m) ** 2)
    smooth = np.convolve(density, kernel, mode="full")[reach:-reach]
    padded = np.concatenate(([0.0], smooth, [0.0]))
    top = (smooth > 0) & (smooth >= padded[:-2]) & (smooth > padded[2:])
    return [(float(smooth[i]), float(edges[i] + step / 2)) for i in np.flatnonzero(top)]


def _with_extent(lines: Array, grid: Grid, axis: int, config: LayoutConfig) -> Array:
    """Lines, and where sight ends if that is beyond them."""
    free = np.flatnonzero((grid.inside > 0.3).sum(axis=1 - axis) * grid.cell_m > 0.5)
    if not len(free):
        return lines
    low = grid.low_m[axis] + free[0] * grid.cell_m
    high = grid.low_m[axis] + (free[-1] + 1) * grid.cell_m
    first = [] if len(lines) and lines[0] < low + config.apart_m else [low]
    last = [] if len(lines) and lines[-1] > high - config.apart_m else [high]
    return np.concatenate((first, lines, last))


@dataclass(frozen=True, eq=False)
class Layout:
    """Rectangles between ``x_m`` (I + 1,) and ``y_m`` (J + 1,): ``inside`` (I, J), and the share
    of wall along each line: ``wall_x`` (I + 1, J), ``wall_y`` (I, J + 1).
    """

    x_m: Array
    y_m: Array
    inside: Bool[np.ndarray, "i j"]
    wall_x: Float[np.ndarray, "i1 j"]
    wall_y: Float[np.ndarray, "i j1"]


def _support(walls: WallMap, grid: Grid, lines: Array, cuts: Array, config: LayoutConfig) -> Array:
    """(L, C) share of the pieces of lines along which there is wall; axis 0 is across them."""
    centres = grid.low_m[0] + (np.arange(walls.votes.shape[0]) + 0.5) * grid.cell_m
    near = np.abs(centres - lines[:, None]) < config.reach_m
    along = near.astype(float) @ walls.votes
    padded = np.pad(along, ((0, 0), (1, 1)))
    smooth = padded[:, :-2] + along + padded[:, 2:]
    covered = np.clip(smooth / 3.0, 0.0, 1.0)
    total = np.concatenate((np.zeros((len(lines), 1)), np.cumsum(covered, axis=1)), axis=1)
    at = np.clip((cuts - grid.low_m[1]) / grid.cell_m, 0, covered.shape[1])
    whole = np.stack([np.interp(at, np.arange(total.shape[1]), row) for row in total])
    return np.diff(whole, axis=1) / np.maximum(np.diff(at), 1e-6)


def _turned(grid: Grid) -> Grid:
    return Grid(grid.low_m[::-1], grid.cell_m, grid.inside.T)


def arrange(segments: WallSegments, grid: Grid, config: LayoutConfig) -> Layout | None:
    """The cheapest set of rectangles; None if there are none or all are outside."""
    across_x, across_y = (wall_map(segments, grid, axis, config) for axis in (0, 1))
    x = _with_extent(across_x.lines_m, grid, 0, config)
    y = _with_extent(across_y.lines_m, grid, 1, config)
    if len(x) < 2 or len(y) < 2:
        return None
    wall_x = _support(across_x, grid, x, y, config)
    turned = WallMap(across_y.votes.T, across_y.lines_m)
    wall_y = _support(turned, _turned(grid), y, x, config).T
    value = _integral(grid, x, y, config)
    cost_x = _cost(wall_x, np.diff(y), config)
    cost_y = _cost(wall_y, np.diff(x)[:, None], config)
    inside = _cut(value, cost_x, cost_y)
    return Layout(x, y, inside, wall_x, wall_y) if inside.any() else None


def _integral(grid: Grid, x: Array, y: Array, config: LayoutConfig) -> Array:
    """(I, J) evidence in square metres of each rectangle for being inside."""
    total = np.zeros(np.array(grid.inside.shape) + 1)
    total[1:, 1:] = (grid.inside + config.unseen).cumsum(axis=0).cumsum(axis=1) * grid.cell_m**2
    i = np.clip(np.rint((x - grid.low_m[0]) / grid.cell_m).astype(int), 0, total.shape[0] - 1)
    j = np.clip(np.rint((y - grid.low_m[1]) / grid.cell_m).astype(int), 0, total.shape[1] - 1)
    return np.diff(np.diff(total[np.ix_(i, j)], axis=0), axis=1)


def _cost(wall: Array, length: Array, config: LayoutConfig) -> Array:
    """What pieces of outline cost, by length and share of wall along them."""
    bare = config.bare_cost_m
    return length * (bare + (config.wall_cost_m - bare) * wall)


def _cut(value: Array, cost_x: Array, cost_y: Array) -> NDArray[np.bool_]:
    """(I, J) labels of the minimum cut between the rectangles for and against being inside.

    ``cost_x`` (I + 1, J), ``cost_y`` (I, J + 1): of the outline along each side.
    """
    shape = value.shape
    node = np.arange(value.size).reshape(shape)
    source, sink = value.size, value.size + 1
    # all beyond the outermost lines is outside
    against = np.maximum(-value, 0.0)
    against[0] += cost_x[0]
    against[-1] += cost_x[-1]
    against[:, 0] += cost_y[:, 0]
    against[:, -1] += cost_y[:, -1]
    pairs = [
        (np.full(value.size, source), node.ravel(), np.maximum(value, 0.0).ravel()),
        (node.ravel(), np.full(value.size, sink), against.ravel()),
        (node[:-1].ravel(), node[1:].ravel(), cost_x[1:-1].ravel()),
        (node[1:].ravel(), node[:-1].ravel(), cost_x[1:-1].ravel()),
        (node[:, :-1].ravel(), node[:, 1:].ravel(), cost_y[:, 1:-1].ravel()),
        (node[:, 1:].ravel(), node[:, :-1].ravel(), cost_y[:, 1:-1].ravel()),
    ]
    start, stop, capacity = (np.concatenate([pair[k] for pair in pairs]) for k in range(3))
    units = np.rint(capacity * 1000).astype(np.int32)
    graph = coo_matrix((units, (start, stop)), shape=(sink + 1, sink + 1)).tocsr()
    left = graph - maximum_flow(graph, source, sink).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = breadth_first_order(left, source, return_predecessors=False)
    inside = np.zeros(sink + 1, bool)
    inside[reached] = True
    return inside[: value.size].reshape(shape)
