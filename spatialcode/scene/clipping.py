"""Volume common to two boxes, by clipping polygons; all pairs at once.

In the first box's frame it is the block |x| <= hx, |y| <= hy, |z| <= hz. Above a point (x, y)
the second box fills the interval [bottom, top], and the common length is
clip(top, -hz, hz) - clip(bottom, -hz, hz). So the volume is a sum over the second box's six
faces: clip the face to the window |x| <= hx, |y| <= hy and integrate clip(z) over its shadow,
whose orientation gives the sign. Every term is continuous in its inputs and no face of the
result is looked for, so touching, identical and nearly parallel boxes need no special case.

The clipping is Sutherland and Hodgman's, "Reentrant polygon clipping" (1974).
"""

from __future__ import annotations

import numpy as np

from spatialcode.scene.pairs import FACES, Floats, Pairs


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
    """Common volume (N,) of boxes turned any way."""
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
