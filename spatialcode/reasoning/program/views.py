"""Functions of the program language that depend on where one stands and looks, or on heights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from spatialcode.questions.types import (
    Blank,
    Configuration,
    Forward,
    Level,
    RelativeDirection,
    RoutePlanning,
    Viewpoint,
)
from spatialcode.reasoning import grounded
from spatialcode.reasoning.configurations import configuration
from spatialcode.reasoning.program.limits import Refused
from spatialcode.reasoning.program.scene import Scene
from spatialcode.reasoning.program.signature import Given
from spatialcode.reasoning.program.values import Value, items, kind_of
from spatialcode.reasoning.statements import Angle, TurnAt

#: Marks a turn in a route: no noun phrase is written so.
TURN_MARK = "?"


def _choice(value: Value, words: Sequence[str], argument: str) -> Any:
    if not isinstance(value, str) or value not in words:
        shown = ", ".join(f'"{word}"' for word in words)
        got = f'"{value}"' if isinstance(value, str) else kind_of(value)
        raise Refused("arguments", f"expected one of {shown}, got {got}", argument)
    return value


def _relative_direction(scene: Scene, given: Given, level: Level) -> tuple[str, float]:
    observer, facing, target = (
        scene.meant(given[role], role).reference for role in ("observer", "facing", "target")
    )
    question = RelativeDirection(observer=observer, facing=facing, target=target, level=level)
    answer = scene.ask(grounded.relative_direction, question)
    angles = [s.value_deg for s in answer.evidence.statements if isinstance(s, Angle)]
    return str(answer.value), 180.0 if angles[-1] == -180.0 else angles[-1]


def direction(scene: Scene, given: Given) -> Value:
    """Where the target is for the observer, in the words of a level."""
    level = _choice(given.get("level", "hard"), get_args(Level), "level")
    return _relative_direction(scene, given, level)[0]


def bearing(scene: Scene, given: Given) -> Value:
    """Degrees from the facing direction to the target, left positive."""
    return _relative_direction(scene, given, "hard")[1]


def turns(scene: Scene, given: Given) -> Value:
    """The turns of a route, one a mark in its path."""
    start, facing = (scene.meant(given[name], name).reference for name in ("start", "facing"))
    path = items(given["path"], "path")
    if TURN_MARK not in path:
        raise Refused("arguments", f'mark each turn in the path by "{TURN_MARK}"', "path")
    if path[-1] == TURN_MARK:
        raise Refused("arguments", "a turn leads to a stop; name it after the turn", "path")
    steps = tuple(
        Blank() if one == TURN_MARK else Forward(scene.meant(one, "path", n).reference)
        for n, one in enumerate(path)
    )
    question = RoutePlanning(start=start, facing=facing, destination=start, steps=steps)
    answer = scene.ask(grounded.route, question)
    return [s.turn for s in answer.evidence.statements if isinstance(s, TurnAt)]


def viewed(relation: Any, scene: Scene, given: Given) -> Value:
    """Whether a relation that depends on a view holds."""
    roles = {
        name: scene.meant(given[name], name).reference
        for name in ("a", "b", "observer", "facing")
        if name in given
    }
    usual = "observer" if "observer" in roles else "camera"
    view = _choice(given.get("view", usual), get_args(Viewpoint), "view")
    if (view == "observer") != ("observer" in roles):
        raise Refused("arguments", 'view="observer" and observer= go together', "view")
    if "facing" in roles and view != "observer":
        raise Refused("arguments", "facing= needs observer=", "facing")
    question = Configuration(relation=relation, view=view, **roles)  # type: ignore[arg-type]
    return scene.ask(configuration, question).value == "yes"


def vertical(relation: Any, scene: Scene, given: Given) -> Value:
    """Whether a relation of heights and footprints holds."""
    a, b = (scene.meant(given[name], name).reference for name in ("a", "b"))
    return scene.ask(configuration, Configuration(a=a, relation=relation, b=b)).value == "yes"
