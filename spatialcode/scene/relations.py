"""Where things are for one who stands somewhere and looks somewhere; what is above, on, inside.

Directions are horizontal: a `View` is a point and a direction in world x, y. Bearings are in
degrees from the viewing direction, counter-clockwise seen from above, so left is positive, in
(-180, 180]. Vertical relations compare heights and footprints and know nothing of what lies
between. Turning the whole room about z changes no answer.

A footprint is the rectangle, turned as the box is, that holds the box seen from above: the box's
own where it is upright. It turns with the room, unlike world-aligned bounds. Footprints are plain
Python: one pair at a time, a hundred times quicker than numpy on four points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import SchemaError
from spatialcode.scene.boxes import Boxes
from spatialcode.scene.frames import (
    level_rotation,
    matrix_from_quaternion,
    quaternion_from_yaw,
    yaw_from_quaternion,
)
from spatialcode.scene.schema import Camera, SceneObject

Level = Literal["easy", "medium", "hard"]
XY = tuple[float, float]

#: VSI-Bench: "to my back if I would have to turn at least 135 degrees".
BACK_DEG = 135.0
#: Sizes of bearings at which the answer changes, by level. Straight behind is a border of left and
#: right only where back is not an answer.
BORDERS_DEG: dict[Level, tuple[float, ...]] = {
    "easy": (0.0, 180.0),
    "medium": (0.0, BACK_DEG),
    "hard": (0.0, 90.0, 180.0),
}
#: Least share of the smaller footprint that must lie over or under the other.
OVERLAP_SHARE = 0.3
#: How far a thing may hover over, or sink into, what it stands on, in metres.
CONTACT_M = 0.1
#: Least share of a thing's volume that lies inside the other.
INSIDE_SHARE = 0.8
#: A direction shorter than this is rounding: two things in one place, a front that points up.
_LEAST_FORWARD = 1e-6


@dataclass(frozen=True)
class View:
    """Where one stands (world x, y, metres) and looks (any length but zero).

    SchemaError for a direction shorter than 1e-6 or a number that is not finite.
    """

    origin_xy: XY
    forward_xy: XY

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.origin_xy)):
            raise SchemaError("origin_xy", "finite numbers", self.origin_xy)
        if not _LEAST_FORWARD <= math.hypot(*self.forward_xy) < math.inf:
            raise SchemaError("forward_xy", "a direction that is not zero", self.forward_xy)

    @classmethod
    def between(cls, stand: SceneObject, face: SceneObject) -> View:
        """At one object's centre, facing another's."""
        x, y, _ = stand.center_m
        return cls((x, y), (face.center_m[0] - x, face.center_m[1] - y))

    @classmethod
    def of_camera(cls, camera: Camera) -> View:
        """At a camera, along its horizontal viewing direction."""
        pose = camera.matrix()
        up_camera = pose[2, :3]
        # +y of the level frame, also where the camera looks straight down
        forward = pose[:3, :3] @ level_rotation(up_camera).T @ np.array([0.0, 1.0, 0.0])
        return cls((pose[0, 3], pose[1, 3]), (float(forward[0]), float(forward[1])))

    def bearing_deg(self, point_xy: XY) -> float:
        """Signed angle from the viewing direction to a point; 0 for the origin itself."""
        ux, uy = self.forward_xy
        vx, vy = point_xy[0] - self.origin_xy[0], point_xy[1] - self.origin_xy[1]
        degrees = math.degrees(math.atan2(ux * vy - uy * vx, ux * vx + uy * vy))
        return 180.0 if degrees == -180.0 else degrees


def front_xy(item: SceneObject) -> XY | None:
    """The horizontal unit vector of where a thing faces, along its own +y; None where that is up
    or down.
    """
    x, y = matrix_from_quaternion(np.array(item.quaternion_wxyz))[:2, 1].tolist()
    length = math.hypot(x, y)  # less than 1 for a box that is tilted
    return (x / length, y / length) if length > _LEAST_FORWARD else None


def words_of(bearing_deg: NDArray[np.float64], level: Level) -> NDArray[np.str_]:
    """(...) direction words of bearings (...): left or right; of the level "medium" also back, from
    135 degrees on; of "hard" the quadrants, with the viewing direction as +y. 0 counts as right.
    """
    side = np.where(bearing_deg > 0.0, "left", "right")
    if level == "easy":
        return side
    if level == "medium":
        return np.where(np.abs(bearing_deg) >= BACK_DEG, "back", side)
    return np.char.add(np.where(np.abs(bearing_deg) < 90.0, "front-", "back-"), side)


def word_of(bearing_deg: float, level: Level) -> str:
    """The direction word of one bearing; of "medium" also the turn to take on a route."""
    return str(words_of(np.array(bearing_deg), level))


@dataclass(frozen=True)
class Verdict:
    """Whether a relation holds, and by how much in metres: above zero where it does.

    On the border, at zero, it does not: of two opposites at most one holds.
    """

    holds: bool
    margin_m: float


def gap_m(upper: SceneObject, lower: SceneObject) -> float:
    """From the lower one's top to the upper one's bottom; negative where they interlock."""
    return standing(upper).bottom_m - standing(lower).top_m


def _rise_m(a: SceneObject, b: SceneObject) -> float:
    """How much higher a's middle is."""
    upper, lower = standing(a), standing(b)
    return (upper.bottom_m + upper.top_m) / 2 - (lower.bottom_m + lower.top_m) / 2


def _meeting_m(a: SceneObject, b: SceneObject) -> float:
    """Share of the smaller footprint beyond the least one, as a length; apart: less the gap."""
    first, second = standing(a), standing(b)
    smaller = min(first.area_m2, second.area_m2)
    common = common_area_m2(first, second)
    share = common / smaller if smaller > 0.0 else 0.0
    gap = 0.0 if common > 0.0 else gap_between_m(first, second)
    return (share - OVERLAP_SHARE) * math.sqrt(smaller) - gap


def _contained_m(part: Prism, whole: Prism) -> float:
    """Share of a volume in another beyond the least one, as a length; apart: less the gap."""
    level = min(part.top_m, whole.top_m) - max(part.bottom_m, whole.bottom_m)
    area = common_area_m2(part, whole)
    volume = part.volume_m3
    share = area * max(level, 0.0) / volume if volume > 0.0 else 0.0
    beside = 0.0 if area > 0.0 else gap_between_m(part, whole)
    return (share - INSIDE_SHARE) * math.cbrt(volume) - math.hypot(beside, min(level, 0.0))


def _verdict(*margins_m: float) -> Verdict:
    margin = min(margins_m)
    return Verdict(margin > 0.0, margin)


def above(a: SceneObject, b: SceneObject) -> Verdict:
    """A's bottom is not below b's top (by more than the contact tolerance), and footprints meet.

    Of two things thinner than the tolerance the one whose middle is higher is above.
    """
    return _verdict(gap_m(a, b) + CONTACT_M, _rise_m(a, b), _meeting_m(a, b))


def below(a: SceneObject, b: SceneObject) -> Verdict:
    """B is above a."""
    return above(b, a)


def on(a: SceneObject, b: SceneObject) -> Verdict:
    """A's bottom touches b's top, within the contact tolerance, and footprints meet."""
    return _verdict(CONTACT_M - abs(gap_m(a, b)), _rise_m(a, b), _meeting_m(a, b))


def inside(a: SceneObject, b: SceneObject) -> Verdict:
    """At least ``INSIDE_SHARE`` of a's volume lies in b, which is the larger.

    The margin is a length: the share beyond, times the cube root of a's volume.
    """
    part, whole = standing(a), standing(b)
    larger = math.cbrt(whole.volume_m3) - math.cbrt(part.volume_m3)
    return _verdict(_contained_m(part, whole), larger)


#: Relations that need no viewer, by name.
VERTICAL = {"above": above, "below": below, "on": on, "inside": inside}


def viewed(relation: str, forward_xy: XY, a_xy: XY, b_xy: XY, *, from_b: bool) -> Verdict:
    """Whether a is left of, right of, in front of or behind b, for a viewing direction.

    Left and right compare the two along the view's right. ``from_b`` says whose front is meant.
    False, a viewer's who looks at b: in front of b is nearer to the viewer along the viewing
    direction, behind is beyond. True, b's own or that of one who stands at b: in front of b is
    where the view looks.
    """
    fx, fy = forward_xy
    length = math.hypot(fx, fy)
    dx, dy = a_xy[0] - b_xy[0], a_xy[1] - b_xy[1]
    ahead = (dx * fx + dy * fy) / length
    leftward = (fx * dy - fy * dx) / length
    front = ahead if from_b else -ahead
    margin = {"left": leftward, "right": -leftward, "front": front, "behind": -front}[relation]
    return Verdict(margin > 0.0, margin)


@dataclass(frozen=True)
class Prism:
    """An upright prism: corners counter-clockwise (world x, y), bottom and top (world z)."""

    corners_xy: tuple[XY, ...]
    bottom_m: float
    top_m: float
    area_m2: float

    @property
    def height_m(self) -> float:
        return self.top_m - self.bottom_m

    @property
    def volume_m3(self) -> float:
        return self.area_m2 * self.height_m


@lru_cache(maxsize=4096)
def standing(item: SceneObject) -> Prism:
    """The prism on an object's footprint, from its lowest to its highest point."""
    box = Boxes.of([item])
    # x, y of the world turned into the footprint's frame and back
    turn = matrix_from_quaternion(quaternion_from_yaw(yaw_from_quaternion(box.quaternion)))[0]
    corners = box.corners()[0] @ turn
    (left, near, bottom), (right, far, top) = corners.min(axis=0), corners.max(axis=0)
    flat = [(left, near), (right, near), (right, far), (left, far)]
    world = tuple(
        (float(turn[0, 0] * x + turn[0, 1] * y), float(turn[1, 0] * x + turn[1, 1] * y))
        for x, y in flat
    )
    return Prism(world, float(bottom), float(top), float((right - left) * (far - near)))


def common_area_m2(a: Prism, b: Prism) -> float:
    """Area of the footprints' intersection; Sutherland and Hodgman, CACM 17 (1974)."""
    inside = list(a.corners_xy)
    for (px, py), (qx, qy) in _edges(b.corners_xy):
        left = [(qx - px) * (y - py) - (qy - py) * (x - px) for x, y in inside]
        kept: list[XY] = []
        for n, (x, y) in enumerate(inside):
            before, here = left[n - 1], left[n]
            if (before > 0.0) != (here > 0.0):
                share = before / (before - here)
                bx, by = inside[n - 1]
                kept.append((bx + share * (x - bx), by + share * (y - by)))
            if here > 0.0:
                kept.append((x, y))
        inside = kept
    doubled = math.fsum(px * qy - py * qx for (px, py), (qx, qy) in _edges(inside))
    return min(max(0.5 * doubled, 0.0), a.area_m2, b.area_m2)


def gap_between_m(a: Prism, b: Prism) -> float:
    """Smallest distance in the plane between footprints that do not overlap."""
    pairs = ((a.corners_xy, b.corners_xy), (b.corners_xy, a.corners_xy))
    return min(
        _to_segment(point, edge) for points, other in pairs for point in points
        for edge in _edges(other)
    )  # fmt: skip


def _edges(corners: list[XY] | tuple[XY, ...]) -> list[tuple[XY, XY]]:
    return list(zip(corners, [*corners[1:], *corners[:1]], strict=True))


def _to_segment(point: XY, edge: tuple[XY, XY]) -> float:
    (px, py), (qx, qy) = edge
    dx, dy = qx - px, qy - py
    length2 = dx * dx + dy * dy
    along = ((point[0] - px) * dx + (point[1] - py) * dy) / length2 if length2 > 0.0 else 0.0
    along = min(max(along, 0.0), 1.0)
    return math.hypot(point[0] - px - along * dx, point[1] - py - along * dy)


def inside_polygon(points: NDArray[np.float64], polygon: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(...) which points (..., 2) lie in a polygon (P, 2), by the even-odd rule."""
    x, y = points[..., 0], points[..., 1]
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if ay != by:
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return inside
