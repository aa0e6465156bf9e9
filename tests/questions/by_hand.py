"""Rooms written by hand: boxes where they are said to be, and the camera at the origin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import cos, pi, sin
from typing import Any

from spatialcode.questions.types import QuestionItem
from spatialcode.reasoning.generate import GenerateConfig, generate
from spatialcode.scene.schema import SceneObject, SpatialCode
from tests.scene.builders import camera, chair, code, room

#: At the origin, 1.5 m up, looking along +y: image right is +x, image down is -z, ahead is +y.
LOOKING_NORTH = (
    (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, -1.0, 0.0, 1.5), (0.0, 0.0, 0.0, 1.0),
)  # fmt: skip
CUBE = (0.4, 0.4, 0.4)


def thing(
    label: str, x: float, y: float, *, size: Sequence[float] = CUBE, bottom: float = 0.0,
    yaw_deg: float = 0.0, **changes: Any,
) -> SceneObject:  # fmt: skip
    """An upright box that stands at x, y; its id is set by `scene_of`."""
    half = yaw_deg * pi / 360.0
    return chair(
        label=label, id=f"{label.replace(' ', '_')}_1", center_m=(x, y, bottom + size[2] / 2),
        size_m=tuple(size), quaternion_wxyz=(cos(half), 0.0, 0.0, sin(half)),
        **{"last_seen_s": 9.0, **changes},
    )  # fmt: skip


def scene_of(*things: SceneObject, **changes: Any) -> SpatialCode:
    """A code of these things, numbered by label; no outline, so that no leg leaves the room."""
    seen: Counter[str] = Counter()
    named = []
    for one in things:
        seen[one.label] += 1
        name = f"{one.id.rpartition('_')[0]}_{seen[one.label]}"
        named.append(SceneObject(**{**vars(one), "id": name}))
    given: Mapping[str, Any] = {
        "objects": tuple(named), "cameras": (camera(T_world_camera=LOOKING_NORTH),),
        "room": room(polygon_m=(), area_m2=24.04),
    }  # fmt: skip
    return code(**{**given, **changes})


def everything(code: SpatialCode, family: str, **changes: Any) -> list[QuestionItem]:
    """All questions of a family in its standard sentences and without referring expressions."""
    settings: dict[str, Any] = {
        "families": (family,), "questions_per_family": 5000, "paraphrase_share": 0.0,
        "referring_share": 0.0, "balance": "room",
    }  # fmt: skip
    config = GenerateConfig(**{**settings, **changes})
    return list(generate(code, scene="by hand", seed=0, config=config).items)


def answer(item: QuestionItem) -> str:
    """The right option's words, or the number."""
    if not item.options:
        return item.ground_truth
    (right,) = [option for option in item.options if option.startswith(f"{item.ground_truth}. ")]
    return right[3:]


def answers(items: Sequence[QuestionItem]) -> dict[str, str]:
    """Answers by the question's first line."""
    return {item.question.split("\n")[0]: answer(item) for item in items}
