"""Does the stated reasoning follow the room, or only repeat it? Change the room and re-run it.

The room is mirrored (x negated). The completion's own vectors and angles, read as formulas, are
evaluated there; where they serve the direction asked, left and right must change places. Only
relative directions depend on handedness: other families score 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spatialcode.questions.types import Question, RelativeDirection
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric_answers import turn_word
from spatialcode.reasoning.rubric_terms import ids_of
from spatialcode.reasoning.verify import Context, bind, signed_angle_deg
from spatialcode.scene.schema import SpatialCode


def counterfactual(question: Question, code: SpatialCode, statements: Sequence[Any]) -> float:
    """1 if the formulas, re-run in the mirrored room, give the mirrored direction; else 0."""
    if not isinstance(question, RelativeDirection):
        return 1.0
    context = Context(code)
    roles = [ids_of(r, context) for r in (question.observer, question.facing, question.target)]
    for tail_id in sorted(roles[0]):
        for head_id in sorted(roles[1]):
            for target_id in sorted(roles[2]):
                wanted = _mirrored_angle(context, (tail_id, head_id, tail_id, target_id))
                if wanted is None:
                    continue
                if _rerun(context, statements, turn_word(wanted, question.level), question.level):
                    return 1.0
    return 0.0


def _mirrored_angle(context: Context, ends: tuple[str, str, str, str]) -> float | None:
    u, v = bind(context, *ends[:2]), bind(context, *ends[2:])
    if u is None or v is None:
        return None
    return signed_angle_deg((-u.xy_m[0], u.xy_m[1]), (-v.xy_m[0], v.xy_m[1]))


def _rerun(context: Context, statements: Sequence[Any], wanted: str, level: str) -> bool:
    named = {s.name: (s.tail_id, s.head_id) for s in statements if isinstance(s, say.Vector)}
    words = set()
    for s in statements:
        if isinstance(s, say.Angle) and s.u in named and s.v in named:
            angle = _mirrored_angle(context, (*named[s.u], *named[s.v]))
            words.add(None if angle is None else turn_word(angle, level))
    return words == {wanted}
