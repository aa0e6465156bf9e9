"""Furnished rooms with exact codes, not rendered: times come from a camera that turns about."""

from __future__ import annotations

from math import atan2, cos, pi, sin

import numpy as np
import pytest

from spatialcode.scene.schema import SceneObject, SpatialCode
from spatialcode.synthetic.layout import furnish
from spatialcode.synthetic.rooms import plan_outline
from tests.questions.by_hand import LOOKING_NORTH, scene_of
from tests.scene import builders

NUM_ROOMS = 110
#: A full turn; frames are 0.4 s apart.
SWEEP_S, FRAME_S = 12.0, 0.4


def furnished(seed: int) -> SpatialCode:
    """What a camera at the middle of the first room sees while it turns once from north on."""
    rng = np.random.default_rng([seed, 2])
    interior = furnish(rng)
    left, low, right, high = interior.plan.rects[0]
    x, y = (left + right) / 2, (low + high) / 2
    things = []
    for placed in interior.objects:
        turn = (pi / 2 - atan2(placed.center_m[1] - y, placed.center_m[0] - x)) % (2 * pi)
        seen_s = round(turn / (2 * pi) * SWEEP_S / FRAME_S) * FRAME_S
        half = placed.yaw_rad / 2
        things.append(
            builders.chair(
                id=f"{placed.model.label.replace(' ', '_')}_1", label=placed.model.label,
                center_m=placed.center_m, size_m=placed.model.size_m, first_seen_s=seen_s,
                last_seen_s=seen_s, quaternion_wxyz=(cos(half), 0.0, 0.0, sin(half)),
            )
        )  # fmt: skip
    polygon, area_m2 = plan_outline(interior.plan, list(range(len(interior.plan.rooms))))
    pose = [list(row) for row in LOOKING_NORTH]
    pose[0][3], pose[1][3] = x, low
    return scene_of(
        *_by_first_sight(things), cameras=(builders.camera(T_world_camera=pose),),
        room=builders.room(polygon_m=polygon, area_m2=area_m2),
    )  # fmt: skip


def _by_first_sight(things: list[SceneObject]) -> list[SceneObject]:
    return sorted(things, key=lambda one: one.first_seen_s)


@pytest.fixture(scope="session")
def rooms() -> dict[str, SpatialCode]:
    """Codes by name."""
    return {f"room_{seed}": furnished(seed) for seed in range(NUM_ROOMS)}
