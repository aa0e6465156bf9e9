"""Rooms made by hand for tests of the solver: things with a label, a place, a size and a yaw."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from spatialcode.questions.types import Option, Reference
from spatialcode.scene.schema import Camera, SceneObject, SpatialCode, make_id
from tests.scene import builders

#: A camera at (0, -5, 1.5) that looks along +y: its z is world y, its y is world -z.
CAMERA = builders.camera(
    T_world_camera=(
        (1.0, 0.0, 0.0, 0.0),
        (0.0, 0.0, 1.0, -5.0),
        (0.0, -1.0, 0.0, 1.5),
        (0.0, 0.0, 0.0, 1.0),
    )
)


def thing(
    label: str, x: float, y: float, z: float = 0.5, size: tuple[float, float, float] = (0.2,) * 3,
    *, yaw_deg: float = 0.0, score: float = 1.0, seen: tuple[float, float] = (0.0, 0.0),
) -> SceneObject:  # fmt: skip
    half = math.radians(yaw_deg) / 2
    return builders.chair(
        id=make_id(label, 1), label=label, score=score, center_m=(x, y, z), size_m=size,
        quaternion_wxyz=(math.cos(half), 0.0, 0.0, math.sin(half)), first_seen_s=seen[0],
        last_seen_s=max(seen),
    )  # fmt: skip


def room(*things: SceneObject, camera: Camera | None = CAMERA, **changes: Any) -> SpatialCode:
    """A code of these things; ids count each label in the order given."""
    counts: Counter[str] = Counter()
    objects = []
    for one in things:
        counts[one.label] += 1
        values = {**vars(one), "id": make_id(one.label, counts[one.label])}
        objects.append(SceneObject(**values))
    cameras = () if camera is None else (camera,)
    return builders.code(**{"objects": tuple(objects), "cameras": cameras, "room": None, **changes})


def ref(noun: str, **changes: Any) -> Reference:
    return Reference(noun, **changes)


def options(*texts: str) -> tuple[Option, ...]:
    return tuple(Option("ABCDEFGH"[n], text) for n, text in enumerate(texts))


#: Seen from above (y up the page), metres; sizes and heights beside it.
#:
#:      tv_1 (0, 4)            sofa 2 x 1 x 0.8      tv 1.2 x 0.2 x 0.6, turned by 180 degrees
#:              table_1 (3, 3) table 2 x 1 x 0.8, turned by 30 degrees
#: lamp_1      sofa_1          lamp 0.4 x 0.4 x 1.5, turned by 45 degrees
#: (-3, 0)     (0, 0)          clock a 0.2 cube at (1.4, 0, 1.3)
HOME = room(
    thing("sofa", 0, 0, 0.4, (2.0, 1.0, 0.8), score=0.9, seen=(1.0, 4.0)),
    thing("tv", 0, 4, 1.0, (1.2, 0.2, 0.6), yaw_deg=180, score=0.8, seen=(0.5, 2.0)),
    thing("lamp", -3, 0, 0.75, (0.4, 0.4, 1.5), yaw_deg=45, score=0.5, seen=(2.0, 3.0)),
    thing("table", 3, 3, 0.4, (2.0, 1.0, 0.8), yaw_deg=30, score=0.7, seen=(3.0, 9.0)),
    thing("clock", 1.4, 0, 1.3, score=0.6, seen=(0.0, 0.5)),
    room=builders.room(area_m2=37.25),
)  # fmt: skip
