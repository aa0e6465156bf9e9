"""How many things of a kind there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from spatialcode.questions.names import reference, thing
from spatialcode.questions.parse import PLACE, THE_ROOM, WHAT_IS, Common, Match, Reader, rule
from spatialcode.questions.types import Counting, Question, Reference
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool
from spatialcode.reasoning.evidence import Answer, answer_of
from spatialcode.reasoning.families.family import LEAD, Sentences, Wording
from spatialcode.reasoning.families.numeric import NumericFamily, number_of
from spatialcode.reasoning.naming import NamedRoom, Rng, kind_of, plural
from spatialcode.reasoning.priors.fit import Samples
from spatialcode.reasoning.priors.guesses import Sight, assumed_number
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.program.of_question import not_an_answer, said
from spatialcode.reasoning.program.scene import Function, Given, Scene, of_kind
from spatialcode.reasoning.program.values import Value
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.rubric.changes import one_more
from spatialcode.reasoning.rubric.facts import Case, Fact
from spatialcode.reasoning.rubric.steps import Need
from spatialcode.scene.index import SceneIndex

_TAIL = (
    rf"(?:,? (?:are there|is there|there are|are|is|exist|visible|shown|present|in total|"
    r"altogether|appear|do you see|do we see|can you (?:see|count|find|spot)|"
    rf"can be (?:seen|counted|found)|does {THE_ROOM} (?:have|contain|hold)|{PLACE}))"
)


def _read(found: Match, common: Common) -> Question:
    return Counting(target=thing(found["what"]), **common)


_READER = Reader((
    rule("how many", rf"how many (?:different )?<what>(?:\(s\))?{_TAIL}{{0,4}}", _read),
    rule("number of|count of",
         rf"(?:{WHAT_IS} )?(?:the )?(?:total )?(?:number|count) of <what>(?:\(s\))?"
         rf"{_TAIL}{{0,3}}", _read),
    rule("count", rf"count (?:all )?(?:of )?(?:the )?<what>(?:\(s\))?{_TAIL}{{0,3}}", _read),
))  # fmt: skip

_TEMPLATES: Mapping[str, Sentences] = {
    "object_counting": Sentences(
        "How many {kind}(s) are in this room?",
        ("How many {kinds} are there in the room?", "What is the number of {kinds} in this room?",
         "Count the {kinds} in this room."),
        ("How many {kinds} can you see in the video?", "How many {kinds} does this room have?"),
    ),
}  # fmt: skip


_GRAMMARS: Mapping[str, tuple[str, ...]] = {
    "object_counting": (
        LEAD + "(how many|what number of) {kinds} (are here|are there|are present|exist|do we have"
        "|can be found|can be counted|are visible|do you see|appear|are shown)"
        "( in total| altogether| in the scene| in the video| in this space| around here|)?",
        "(Count|Please count|Give the count of|Tell me the number of|Report how many there are of)"
        "( all|) the {kinds}(| here| in the video| in the scene| you see).",
        "(What is the|State the|Give me the) (number|count|total|quantity|amount) of {kinds}"
        "( here| in the scene| in the video| that you see|).",
        "Does the room have one {kind} or more, and how many?",
        "The (room|scene|space) (contains|has|holds|shows) how many {kinds}?",
    ),
}  # fmt: skip


def _count(scene: Scene, given: Given) -> Value:
    """How many things a phrase means."""
    return int(scene.ask(Counting(target=of_kind(scene, given).reference)).value)


class CountingFamily(NumericFamily[Counting]):
    """The answer is a whole number."""

    question_type = Counting
    names = (Counting.family,)
    reader = _READER
    templates = _TEMPLATES
    grammars = _GRAMMARS
    functions = (Function("count", ("x",), _count, "number of things of a kind"),)
    box_task = True
    demo = Counting.family
    quantity = (say.Count, "value")
    half = 0.0
    decided = "Count every object of the kind that is asked for."
    lines = ("count(KIND) = N [ID, ID]",)
    wanted = "a whole number"

    def pool(self, name: str, room: NamedRoom, rng: Rng) -> Pool:
        """How many of a clear kind."""
        kinds = [] if room.referring else [
            kind for kind in room.clear if len(room.rows[kind]) >= room.config.min_count
        ]  # fmt: skip
        cells: dict[tuple[str, str], list[list[int]]] = {}
        for kind in kinds:
            rows = room.rows[kind]
            cells.setdefault(("", str(len(rows))), []).append([rows[0]])

        def draft(chosen: Sequence[int], _: str, answer: str, __: Rng) -> Draft:
            kind = room.kinds[chosen[0]]
            slots = {"kind": kind, "kinds": plural(kind)}
            return Draft(name, slots, partial(Counting, target=reference(kind)), truth=answer)

        arrays = {key: np.array(rows) for key, rows in cells.items()}
        unclear = any(len(rows) >= room.config.min_count for rows in room.rows.values())
        return Pool(arrays, draft, reason=AMBIGUOUS if unclear else TOO_FEW)

    def wording(self, question: Counting, rng: Rng) -> Wording:
        """One of a kind, or several, as the sentence says it."""
        kind = kind_of(question.target.phrase)
        slots = {"kind": kind, "kinds": plural(kind)}
        return Wording(question.family, slots, {"kind": "target", "kinds": "target"})

    def solve(self, question: Counting, index: SceneIndex) -> Answer | None:
        """How many things match the noun."""
        found = resolve(question.target, index)
        if not found:
            return None
        ids = tuple(item.id for item in found)
        counted = say.Count(question.target.noun, ids, len(ids))
        named = [(question.target, item) for item in found]
        return answer_of(question, float(len(ids)), [counted], ids=ids, named=named)

    def guess(self, question: Counting, sight: Sight) -> Answer:
        count = float(sight.priors.typical_count)
        return assumed_number(count, "", f"count({question.target.noun})")

    def corrected(self, question: Counting, value: float, priors: Priors) -> float:
        """No smaller count is ever asked for."""
        return max(value, float(priors.least_count))

    def fit(self, samples: Samples) -> dict[str, Any]:
        fitted = {name: round(value) for name, value in samples.typical("typical_count").items()}
        if samples.perceived:
            fitted["least_count"] = int(min(samples.truths(), default=0))
        return fitted

    def program(self, question: Counting) -> str:
        return f"count({said(question.target)})"

    def read_value(self, question: Counting, value: Value, index: SceneIndex) -> float:
        count = number_of(value)
        if not count.is_integer():
            raise not_an_answer(f"the question asks for a whole number; the program gave {count:g}")
        return count

    def counted(self, question: Counting) -> Reference:
        return question.target

    def needs(self, case: Case[Counting]) -> list[Need]:
        """A count of things that a selector picks has no statement of its own, so nothing of it can
        be asked for.
        """
        target, ids, twins = case.question.target, case.found[0], case.context.index.twins
        if target.selector is not None or target.object_id is not None:
            return []

        def accepts(fact: Fact) -> bool:
            s = fact.statement
            if not isinstance(s, say.Count) or not s.object_ids:
                return False
            return all(i in ids or ids & twins.get(i, frozenset()) for i in s.object_ids)

        return [Need("geometry", "count", accepts)]

    def telling(self, question: Counting, code: Any, named: Sequence[Sequence[str]]) -> Any:
        """One more of the kind."""
        yield one_more(code, named[0][0])


FAMILY = CountingFamily()
