"""Where things are for one who stands somewhere and looks somewhere; what is above, on, inside.

Directions are horizontal: a `View` is a point and a direction in world x, y. Bearings are in
degrees from the
viewing direction, counter-clockwise seen from above, so left is positive, in (-180, 180].
Vertical relations compare the boxes' world-aligned bounds and know nothing of what lies between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spatialcode.errors import SchemaError
from spatialcode.scene.boxes import Boxes
from spatialcode.scene.frames import level_rotation, matrix_from_quaternion
from spatialcode.scene.schema import Camera, SceneObject

Side = Literal["left", "right"]
Third = Literal["left", "right", "back"]
Quadrant = Literal["front-left", "front-right", "back-left", "back-right"]
XY = tuple[float, float]

#: VSI-Bench: "to my back if I would have to turn at least 135 degrees".
BACK_DEG = 135.0
#: Least share of the smaller footprint that must lie over or under the other's bounds.
OVERLAP_SHARE = 0.3
#: How far a thing may hover over, or sink into, what it stands on, in metres.
CONTACT_M = 0.1
#: Least share of a thing's volume that lies inside the other's bounds.
INSIDE_SHARE = 0.8


@dataclass(frozen=True)
class View:
    """Where one stands (world x, y, metres) and looks (any length but zero)."""

    origin_xy: XY
    forward_xy: XY

    def __post_init__(self) -> None:
        if not math.hypot(*self.forward_xy) > 0.0:
            raise SchemaError("forward_xy", "a direction that is not zero", self.forward_xy)

    @classmethod
    def between(cls, stand: SceneObject, face: SceneObject) -> View:
        """At one object's centre, facing another's."""
        x, y, _ = stand.center_m
        return cls((x, y), (face.center_m[0] - x, face.center_m[1] - y))

    @classmethod
    def of_front(cls, item: SceneObject) -> View:
        """At an object, looking where it faces: along its own +y."""
        front = matrix_from_quaternion(np.array(item.quaternion_wxyz))[:, 1]
        return cls((item.center_m[0], item.center_m[1]), (float(front[0]), float(front[1])))

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


def side(bearing_deg: float) -> Side:
    """Left or right."""
    return "left" if bearing_deg > 0.0 else "right"


def third(bearing_deg: float) -> Third:
    """Left, right, or back from 135 degrees on. Also which way to turn on a route."""
    return "back" if abs(bearing_deg) >= BACK_DEG else side(bearing_deg)


def quadrant(bearing_deg: float) -> Quadrant:
    """The quadrant, with the viewing direction as +y."""
    ahead = "front" if abs(bearing_deg) < 90.0 else "back"
    return f"{ahead}-{side(bearing_deg)}"  # type: ignore[return-value]


def margin_deg(bearing_deg: float, level: Literal["easy", "medium", "hard"]) -> float:
    """How far a bearing lies from the nearest border between two answers of a level."""
    turn = abs(bearing_deg)
    borders = {"easy": (0.0, 180.0), "medium": (0.0, BACK_DEG), "hard": (0.0, 90.0, 180.0)}
    return min(abs(turn - border) for border in borders[level])


@dataclass(frozen=True)
class Verdict:
    """Whether a relation holds, and by how much (metres; negative: how far from holding)."""

    holds: bool
    margin_m: float


def _bounds(item: SceneObject) -> tuple[np.ndarray, np.ndarray]:
    corners = Boxes.of([item]).corners()[0]
    return corners.min(axis=0), corners.max(axis=0)


def _overlap_share(a: SceneObject, b: SceneObject) -> float:
    """Common area of the footprints' bounds over the smaller of them."""
    (low_a, high_a), (low_b, high_b) = _bounds(a), _bounds(b)
    common = np.clip(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0.0, None)[:2].prod()
    smaller = min((high_a - low_a)[:2].prod(), (high_b - low_b)[:2].prod())
    return float(common / smaller) if smaller > 0.0 else 0.0


def gap_m(upper: SceneObject, lower: SceneObject) -> float:
    """From the lower one's top to the upper one's bottom; negative where they interlock."""
    return float(_bounds(upper)[0][2] - _bounds(lower)[1][2])


def above(a: SceneObject, b: SceneObject) -> Verdict:
    """A's bottom is not below b's top (by more than the contact tolerance), and footprints meet."""
    margin = gap_m(a, b) + CONTACT_M
    return Verdict(margin >= 0.0 and _overlap_share(a, b) >= OVERLAP_SHARE, margin)


def below(a: SceneObject, b: SceneObject) -> Verdict:
    """B is above a."""
    return above(b, a)


def on(a: SceneObject, b: SceneObject) -> Verdict:
    """A's bottom touches b's top, within the contact tolerance, and footprints meet."""
    margin = CONTACT_M - abs(gap_m(a, b))
    return Verdict(margin >= 0.0 and _overlap_share(a, b) >= OVERLAP_SHARE, margin)


def inside(a: SceneObject, b: SceneObject) -> Verdict:
    """At least 80 % of the volume of a's bounds lies in b's; margin by the root of what lacks."""
    (low_a, high_a), (low_b, high_b) = _bounds(a), _bounds(b)
    common = np.clip(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0.0, None).prod()
    volume = float((high_a - low_a).prod())
    share = float(common / volume) if volume > 0.0 else 0.0
    return Verdict(share >= INSIDE_SHARE, (share - INSIDE_SHARE) * float(np.cbrt(volume)))


def viewed(relation: str, view: View, a_xy: XY, b_xy: XY) -> Verdict:
    """Whether a is left of, right of, in front of or behind b, for a view.

    Left and right compare the two along the view's right; in front of b is nearer to the viewer
    than b along the viewing direction, behind is beyond. From b's own front (the view stands at b)
    "in front of" is where b faces, and left is b's own left.
    """
    fx, fy = view.forward_xy
    length = math.hypot(fx, fy)
    dx, dy = a_xy[0] - b_xy[0], a_xy[1] - b_xy[1]
    ahead = (dx * fx + dy * fy) / length
    leftward = (fx * dy - fy * dx) / length
    if view.origin_xy == b_xy:
        ahead = -ahead  # what b faces lies in front of it
    margin = {"left": leftward, "right": -leftward, "front": -ahead, "behind": ahead}[relation]
    return Verdict(margin > 0.0, margin)
