"""Pairs of boxes, each pair in the frame of its first box: common volume, distance, overlap; all
pairs at once, exactly. How a box's corners are numbered.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Signs of the corners along the box's axes: the bottom ring counter-clockwise, then the top.
CORNER_SIGNS = np.array(
    [[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1],
     [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], dtype=np.float64
)  # fmt: skip
#: Corners of each face, counter-clockwise seen from outside: -z, +z, -y, +x, +y, -x.
FACES = np.array(
    [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
)
#: Corner pairs of the twelve edges.
EDGES = np.array(
    [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]]
)
#: The box axis that each edge runs along.
EDGE_AXIS = np.array([0, 1, 0, 1, 0, 1, 0, 1, 2, 2, 2, 2])

#: Relative to the pair's extent: gaps below this are rounding, and count as touching.
_TOUCHING = 1e-13
#: Relative slack of the duality test; a pair that fails it only costs time.
_DUALITY_SLACK = 1e-10
#: Squared sine below which two edges are parallel and their cross product is noise.
_PARALLEL = 1e-14


class Pairs(NamedTuple):
    """N pairs of boxes a, b in the frame of a: its centre is the origin, its axes are x, y, z.

    ``half_a``, ``half_b`` (N, 3): half extents. ``rotation`` (N, 3, 3), ``offset`` (N, 3): axes of
    b (as columns) and its centre.
    """

    half_a: Floats
    half_b: Floats
    rotation: Floats
    offset: Floats

    def take(self, chosen: NDArray[np.bool_]) -> Pairs:
        """The pairs where the mask is set."""
        return Pairs(*(values[chosen] for values in self))

    def axes_b(self) -> Floats:
        """Axes of b as rows (N, 3, 3)."""
        return np.swapaxes(self.rotation, 1, 2)

    def corners_a(self) -> Floats:
        """(N, 8, 3)."""
        return CORNER_SIGNS * self.half_a[:, None]

    def corners_b(self) -> Floats:
        """(N, 8, 3)."""
        return (CORNER_SIGNS * self.half_b[:, None]) @ self.axes_b() + self.offset[:, None]


def clip_polygons(polygons: Floats, inside: Floats) -> Floats:
    """The part of polygons (P, V, D) where a linear function is >= 0: (P, W, D).

    ``inside`` (P, V): the function at the vertices. Polygons with fewer corners than the most
    repeat their last one; those with nothing left are all zeros. W is V + 1 at most for convex
    polygons, but rounding makes corners that lie on one line change sides several times, and
    all of those crossings are kept: dropping one can lose half a polygon.
    """
    num_polygons, _, dimension = polygons.shape
    following, inside_following = np.roll(polygons, -1, axis=1), np.roll(inside, -1, axis=1)
    keep, keep_following = inside >= 0.0, inside_following >= 0.0
    crosses = keep != keep_following
    share = inside / np.where(crosses, inside - inside_following, 1.0)
    crossing = polygons + share[..., None] * (following - polygons)

    slots = np.stack([polygons, crossing], axis=2).reshape(num_polygons, -1, dimension)
    used = np.stack([keep, crosses], axis=2).reshape(num_polygons, -1)
    count = used.sum(axis=1)
    width = max(int(count.max(initial=0)), 3)
    position = np.cumsum(used, axis=1) - 1
    result = np.zeros((num_polygons, width, dimension))
    rows, columns = np.nonzero(used)
    result[rows, position[rows, columns]] = slots[rows, columns]
    last = np.minimum(np.arange(width), np.maximum(count, 1)[:, None] - 1)
    return np.take_along_axis(result, last[..., None], axis=1)


def integrate(polygons: Floats, values: Floats) -> Floats:
    """Signed integral over the shadow on the xy plane of functions linear on each polygon.

    ``polygons`` (P, V, >= 2), ``values`` (P, V) at the vertices; counter-clockwise is positive.
    """
    spokes = polygons[:, 1:, :2] - polygons[:, :1, :2]
    x, y = spokes[..., 0], spokes[..., 1]
    doubled_area = x[:, :-1] * y[:, 1:] - x[:, 1:] * y[:, :-1]
    mean = (values[:, :1] + values[:, 1:-1] + values[:, 2:]) / 3.0
    return 0.5 * np.sum(doubled_area * mean, axis=1)


def common_volume(pairs: Pairs) -> Floats:
    """Common volume (N,) of boxes turned any way.

    In the first box's frame it is the block |x| <= hx, |y| <= hy, |z| <= hz. Above a point (x, y)
    the second box fills the interval [bottom, top], and the common length is
    clip(top, -hz, hz) - clip(bottom, -hz, hz). So the volume is a sum over the second box's six
    faces: clip the face to the window |x| <= hx, |y| <= hy and integrate clip(z) over its shadow,
    whose orientation gives the sign. Every term is continuous in its inputs and no face of the
    result is looked for, so touching, identical and nearly parallel boxes need no special case.

    The clipping is Sutherland and Hodgman's, "Reentrant polygon clipping" (1974).
    """
    num_pairs = len(pairs.offset)
    faces = pairs.corners_b()[:, FACES].reshape(num_pairs * 6, 4, 3)
    half = np.repeat(pairs.half_a, 6, axis=0)
    faces = _clip_to_window(faces, half)
    z, top = faces[..., 2], half[:, 2:]
    # Shadows of the upper and the lower faces are equal, so any constant may be taken off;
    # this one keeps a small box's volume from drowning in a large one's rounding.
    middle = np.clip(np.repeat(pairs.offset[:, 2], 6)[:, None], -top, top)
    total = integrate(faces, np.broadcast_to(-top - middle, z.shape))
    above_bottom = clip_polygons(faces, z + top)
    total += integrate(above_bottom, above_bottom[..., 2] + top)
    above_top = clip_polygons(above_bottom, above_bottom[..., 2] - top)
    total -= integrate(above_top, above_top[..., 2] - top)
    return np.maximum(total.reshape(num_pairs, 6).sum(axis=1), 0.0)


def common_volume_upright(pairs: Pairs) -> Floats:
    """Common volume (N,) of boxes turned about one z axis: common outline times common height."""
    outline = _clip_to_window(pairs.corners_b()[:, :4, :2], pairs.half_a[:, :2])
    area = integrate(outline, np.ones(outline.shape[:2]))
    half_a, half_b, offset = pairs.half_a[:, 2], pairs.half_b[:, 2], pairs.offset[:, 2]
    height = np.minimum(half_a, offset + half_b) - np.maximum(-half_a, offset - half_b)
    return np.maximum(area, 0.0) * np.maximum(height, 0.0)


def _clip_to_window(polygons: Floats, half: Floats) -> Floats:
    for axis in (0, 1):
        for sign in (1.0, -1.0):
            polygons = clip_polygons(polygons, half[:, axis, None] - sign * polygons[..., axis])
    return polygons


class Segments(NamedTuple):
    """Line segments: ``middle`` (..., 3), unit ``direction`` (..., 3), ``half`` length (...)."""

    middle: Floats
    direction: Floats
    half: Floats


def overlapping(pairs: Pairs) -> NDArray[np.bool_]:
    """(N,): the boxes' interiors meet; touching, up to rounding, is not enough.

    Separating axes, Gottschalk, Lin and Manocha, "OBBTree" (1996).
    """
    return _widest_slab(pairs, _edge_normals(pairs)) < -_TOUCHING * _extent(pairs)


def separation(pairs: Pairs) -> Floats:
    """Distances (N,) in metres; 0 for boxes that touch or overlap.

    Two disjoint convex bodies have a nearest pair of points of one of two kinds: a corner of one
    and any point of the other, or crossing points of two edges, whose connection is then parallel
    to the cross product of the edges, so that both are extreme edges in that direction. That
    leaves 8 + 8 corners and 9 edge pairs. Where several edges are extreme (parallel faces) the
    right one of them may have been missed; duality finds such pairs: the slab between the bodies,
    perpendicular to the connection found, is as wide as the connection is long exactly if that is
    the minimum. The few that fail go through all 144 edge pairs.
    """
    normals, extent = _edge_normals(pairs), _extent(pairs)
    widest = _widest_slab(pairs, normals)
    apart = widest > _TOUCHING * extent

    disjoint = pairs.take(apart)
    found, connection = _nearest_corners_and_edges(disjoint, normals[apart])
    lower = np.maximum(_slabs(connection[:, None], disjoint)[:, 0], widest[apart])
    unsure = lower < found - _DUALITY_SLACK * extent[apart]
    if unsure.any():
        found[unsure] = np.minimum(found[unsure], _nearest_edges(disjoint.take(unsure)))
    distance = np.zeros(len(extent))
    distance[apart] = found
    return np.where(distance > _TOUCHING * extent, distance, 0.0)


def _extent(pairs: Pairs) -> Floats:
    parts = (pairs.half_a, pairs.half_b, pairs.offset)
    return np.sum([np.linalg.norm(part, axis=1) for part in parts], axis=0)


def _edge_normals(pairs: Pairs) -> Floats:
    """Cross products (N, 9, 3) of axis i of a with axis j of b, row 3 i + j."""
    return np.cross(np.eye(3)[None, :, None], pairs.axes_b()[:, None]).reshape(-1, 9, 3)


def _widest_slab(pairs: Pairs, edge_normals: Floats) -> Floats:
    faces = np.broadcast_to(np.eye(3), pairs.rotation.shape)
    axes = np.concatenate([faces, pairs.axes_b(), edge_normals], axis=1)
    return _slabs(axes, pairs).max(axis=1)


def _slabs(directions: Floats, pairs: Pairs) -> Floats:
    """Width (N, K) of the empty slab across directions (N, K, 3); negative for overlap."""
    length = np.linalg.norm(directions, axis=2)
    usable = length**2 > _PARALLEL
    reach_a = np.einsum("nki,ni->nk", np.abs(directions), pairs.half_a)
    reach_b = np.einsum("nki,ni->nk", np.abs(directions @ pairs.rotation), pairs.half_b)
    across = np.abs(np.einsum("nki,ni->nk", directions, pairs.offset))
    gap = (across - reach_a - reach_b) / np.where(usable, length, 1.0)
    return np.where(usable, gap, -np.inf)


def _nearest_corners_and_edges(pairs: Pairs, edge_normals: Floats) -> tuple[Floats, Floats]:
    """Length (N,) and vector (N, 3) of the shortest of 25 connections per pair."""
    half_a, half_b = pairs.half_a[:, None], pairs.half_b[:, None]
    corners_b = pairs.corners_b()
    to_b = corners_b - np.clip(corners_b, -half_a, half_a)
    corners_a = (pairs.corners_a() - pairs.offset[:, None]) @ pairs.rotation
    to_a = (np.clip(corners_a, -half_b, half_b) - corners_a) @ pairs.axes_b()
    connections = np.concatenate([to_b, to_a, _extreme_edges(pairs, edge_normals)], axis=1)
    squared = np.einsum("nki,nki->nk", connections, connections)
    best = np.argmin(squared, axis=1)
    rows = np.arange(len(best))
    return np.sqrt(squared[rows, best]), connections[rows, best]


def _extreme_edges(pairs: Pairs, normals: Floats) -> Floats:
    """Connections (N, 9, 3) of the edge pairs (i, j) extreme along axis i x axis j."""
    toward_b = np.einsum("nki,ni->nk", normals, pairs.offset)
    normals = normals * _signs(toward_b)[..., None]
    i, j = np.divmod(np.arange(9), 3)
    # A middle point has no component along its own edge.
    signs_a = _signs(normals) * (1.0 - np.eye(3)[i])
    signs_b = -_signs(normals @ pairs.rotation) * (1.0 - np.eye(3)[j])
    middle_a = signs_a * pairs.half_a[:, None]
    middle_b = (signs_b * pairs.half_b[:, None]) @ pairs.axes_b() + pairs.offset[:, None]
    return segment_connections(
        Segments(middle_a, np.broadcast_to(np.eye(3)[i], middle_a.shape), pairs.half_a[:, i]),
        Segments(middle_b, pairs.axes_b()[:, j], pairs.half_b[:, j]),
    )


def segment_connections(a: Segments, b: Segments) -> Floats:
    """Shortest vectors (..., 3) from segments ``a`` to segments ``b``, leading axes broadcast.

    Ericson, "Real-Time Collision Detection" (2005), 5.1.9: the lines' nearest points, clamped.
    """
    between = a.middle - b.middle
    cosine = np.sum(a.direction * b.direction, axis=-1)
    along_a = np.sum(between * a.direction, axis=-1)
    along_b = np.sum(between * b.direction, axis=-1)
    sine_squared = 1.0 - cosine**2
    usable = sine_squared > _PARALLEL
    s = np.where(usable, (cosine * along_b - along_a) / np.where(usable, sine_squared, 1.0), 0.0)
    s = np.clip(s, -a.half, a.half)
    u = np.clip(along_b + s * cosine, -b.half, b.half)
    s = np.clip(u * cosine - along_a, -a.half, a.half)
    return -between + u[..., None] * b.direction - s[..., None] * a.direction


def _nearest_edges(pairs: Pairs) -> Floats:
    """Smallest distance (N,) over all 12 x 12 edge pairs."""
    middle_a = pairs.corners_a()[:, EDGES].mean(axis=2)[:, :, None]
    middle_b = pairs.corners_b()[:, EDGES].mean(axis=2)[:, None]
    direction_a = np.broadcast_to(np.eye(3)[EDGE_AXIS][:, None], middle_a.shape)
    connections = segment_connections(
        Segments(middle_a, direction_a, pairs.half_a[:, EDGE_AXIS, None]),
        Segments(middle_b, pairs.axes_b()[:, None, EDGE_AXIS], pairs.half_b[:, None, EDGE_AXIS]),
    )
    return np.linalg.norm(connections, axis=-1).min(axis=(1, 2))


def _signs(values: Floats) -> Floats:
    return np.where(values < 0.0, -1.0, 1.0)
