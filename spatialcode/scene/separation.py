"""Smallest distance between two boxes, exactly, all pairs at once.

Two disjoint convex bodies have a nearest pair of points of one of two kinds: a corner of one
and any point of the other, or crossing points of two edges, whose connection is then parallel
to the cross product of the edges, so that both are extreme edges in that direction. That
leaves 8 + 8 corners and 9 edge pairs. Where several edges are extreme (parallel faces) the
right one of them may have been missed; duality finds such pairs: the slab between the bodies,
perpendicular to the connection found, is as wide as the connection is long exactly if that is
the minimum. The few that fail go through all 144 edge pairs.

Overlap: separating axes, Gottschalk, Lin and Manocha, "OBBTree" (1996).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.pairs import EDGE_AXIS, EDGES, Floats, Pairs

#: Relative to the pair's extent: gaps below this are rounding, and count as touching.
_TOUCHING = 1e-13
#: Relative slack of the duality test; a pair that fails it only costs time.
_DUALITY_SLACK = 1e-10
#: Squared sine below which two edges are parallel and their cross product is noise.
_PARALLEL = 1e-14


class Segments(NamedTuple):
    """Line segments: ``middle`` (..., 3), unit ``direction`` (..., 3), ``half`` length (...)."""

    middle: Floats
    direction: Floats
    half: Floats


def overlapping(pairs: Pairs) -> NDArray[np.bool_]:
    """(N,): the boxes' interiors meet; touching, up to rounding, is not enough."""
    return _widest_slab(pairs, _edge_normals(pairs)) < -_TOUCHING * _extent(pairs)


def separation(pairs: Pairs) -> Floats:
    """Distances (N,) in metres; 0 for boxes that touch or overlap."""
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
