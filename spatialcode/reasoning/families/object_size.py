"""The longest extent of a thing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from spatialcode.questions.names import canonical, reference, thing
from spatialcode.questions.parse import (
    IN_UNIT,
    UNIT_FIRST,
    WHAT_IS,
    Common,
    Match,
    Reader,
    rule,
    unit_named,
)
from spatialcode.questions.types import ObjectSize, Question
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool
from spatialcode.reasoning.evidence import Answer, answer_of
from spatialcode.reasoning.families.family import LEAD, Sentences, Wording
from spatialcode.reasoning.families.numeric import NumericFamily
from spatialcode.reasoning.naming import NamedRoom, Rng, the
from spatialcode.reasoning.priors.fit import Samples, metres_of
from spatialcode.reasoning.priors.guesses import Sight, assumed_number
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.program.of_question import said, scaled
from spatialcode.reasoning.program.scene import Function, Given, Scene
from spatialcode.reasoning.program.values import Value
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.rubric import steps
from spatialcode.reasoning.rubric.changes import larger
from spatialcode.reasoning.rubric.facts import Case
from spatialcode.reasoning.rubric.steps import Need
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode

_LONGEST = r"(?:length of the )?longest (?:dimension|side|edge|extent)(?: \([^()?]{1,80}\))?"


def _read(found: Match, common: Common) -> Question:
    return ObjectSize(target=thing(found["what"]), unit=unit_named(found, "cm"), **common)


_READER = Reader((
    rule("longest",
         rf"{UNIT_FIRST}(?:how long is|{WHAT_IS}|what does) the {_LONGEST} of <what>(?: measure)?"
         rf"{IN_UNIT}", _read),
    rule("how l|how big", rf"{UNIT_FIRST}how (?:long|large|big) is <what>{IN_UNIT}", _read),
))  # fmt: skip

_TEMPLATES: Mapping[str, Sentences] = {
    "object_size_estimation": Sentences(
        "What is the length of the longest dimension (length, width, or height) of {a}, measured in"
        " centimeters?",
        ("In centimeters, what is the longest dimension of {a}?",
         "How long is the longest side of {a} in centimeters?"),
        ("What does the longest side of {a} measure in centimeters?",
         "How long is {a}, measured in centimeters?"),
    ),
}  # fmt: skip


_GRAMMARS: Mapping[str, tuple[str, ...]] = {
    "object_size_estimation": (
        LEAD + "(what is|give|estimate|tell me) the (length of the longest side|longest dimension"
        "|longest extent|largest dimension|maximum dimension|greatest extent) of {a}( in cm"
        "| in centimeters|, in centimeters|, measured in centimeters).",
        "(How long|How big|How large) is {a}( along its longest side| at its longest|"
        " at most| in its largest dimension)(, in centimeters| in centimeters| in cm)?",
        "{a}: (how many|what number of) centimeters (long is it|is its longest side"
        "|does its longest side have|does it measure at most)?",
        "(How many|What number of) centimeters (is|does) the (longest|largest) (side|dimension"
        "|edge) of {a}( measure| have| be|)?",
    ),
}  # fmt: skip


def _longest(scene: Scene, given: Given) -> Value:
    """The longest extent, metres; of several things, of the middle one."""
    target = scene.meant(given["x"], "x").reference
    return scene.ask(ObjectSize(target=target, unit="m")).value


class ObjectSizeFamily(NumericFamily[ObjectSize]):
    """The answer is in the question's unit; generated questions ask for whole centimetres."""

    question_type = ObjectSize
    names = (ObjectSize.family,)
    reader = _READER
    templates = _TEMPLATES
    grammars = _GRAMMARS
    functions = (Function("longest", ("x",), _longest, "longest extent of a thing"),)
    box_task = True
    quantity = (say.Longest, "value_m")
    decided = "The longest of the three extents."
    lines = ("ID measures X x Y x Z m", "longest(ID) = D m")

    def pool(self, name: str, room: NamedRoom, rng: Rng) -> Pool:
        """The longest extent of one thing."""
        rows = np.array(room.things(rng, static=False), np.intp).reshape(-1, 1)
        rows = rows[room.wanted(rows)]
        longest_cm = 100.0 * room.index.boxes.size.max(axis=1, initial=0.0)
        kept = [row for row in rows.tolist() if room.exact(longest_cm[row[0]], 0)]
        cells: dict[tuple[str, str], list[list[int]]] = {}
        for row in kept:
            cells.setdefault(("", room.kinds[row[0]]), []).append(row)

        def draft(chosen: Sequence[int], _: str, __: str, rng: Rng) -> Draft:
            target = room.name(chosen[0], rng)
            meant = partial(ObjectSize, target=reference(target), unit="cm")
            return Draft(name, {"a": target}, meant, truth=f"{longest_cm[chosen[0]]:.0f}")

        reason = AMBIGUOUS if len(room.index.objects) else TOO_FEW
        return Pool({key: np.array(found) for key, found in cells.items()}, draft, reason=reason)

    def wording(self, question: ObjectSize, rng: Rng) -> Wording | None:
        """The sentences ask for centimetres."""
        if question.unit != "cm":
            return None
        return Wording(question.family, {"a": the(question.target)})

    def solve(self, question: ObjectSize, index: SceneIndex) -> Answer | None:
        """The longest of the three extents of the thing."""
        found = resolve(question.target, index)
        if not found:
            return None
        # of several of a kind, the middle one: the question meant a single thing
        item = sorted(found, key=lambda one: max(one.size_m))[(len(found) - 1) // 2]
        longest_m = max(item.size_m)
        statements: list[say.Statement] = [
            say.Extents(item.id, item.size_m), say.Longest(item.id, longest_m),
        ]  # fmt: skip
        value = longest_m * self.per_metre(question)
        named = [(question.target, item)]
        return answer_of(
            question, value, statements, ids=[item.id], named=named, unit=question.unit
        )

    def guess(self, question: ObjectSize, sight: Sight) -> Answer:
        value = sight.priors.longest_m(question.target.noun) * self.per_metre(question)
        return assumed_number(value, question.unit, f"longest({question.target.noun})")

    def corrected(self, question: ObjectSize, value: float, priors: Priors) -> float:
        if priors.size_of_size is None:
            return value
        scale, prior_m = self.per_metre(question), priors.longest_m(canonical(question.target.noun))
        return scale * priors.size_of_size.value(math.log(value / scale), math.log(prior_m))

    def fit(self, samples: Samples) -> dict[str, Any]:
        """Typical sizes by kind, in metres, drawn toward that of all kinds."""
        logs = defaultdict(list)
        for item, question in samples.asked:
            assert isinstance(question, ObjectSize)
            if (size_m := metres_of(item, question)) > 0.0:
                logs[canonical(question.target.noun)].append(math.log(size_m))
        everything = [value for values in logs.values() for value in values]
        middle = float(np.mean(everything)) if everything else 0.0
        size_m_of = {k: math.exp((sum(v) + middle) / (len(v) + 1)) for k, v in logs.items()}
        fitted = {"size_m": size_m_of} | samples.typical("typical_size_m")

        def features(question: ObjectSize, size_m: float) -> list[float] | None:
            prior_m = size_m_of.get(canonical(question.target.noun))
            return None if prior_m is None else [math.log(size_m), math.log(prior_m)]

        if samples.perceived:
            fitted["size_of_size"] = samples.habit(features)
        return fitted

    def program(self, question: ObjectSize) -> str:
        return scaled(question.unit, f"longest({said(question.target)})")

    def needs(self, case: Case[ObjectSize]) -> list[Need]:
        ids = case.chosen(0, "measured")
        return [
            Need("grounding", "extents", steps.about(say.Extents, ids)),
            Need("geometry", "longest", steps.about(say.Longest, ids)),
        ]

    def telling(
        self, question: ObjectSize, code: SpatialCode, named: Sequence[Sequence[str]]
    ) -> Iterator[SpatialCode]:
        yield larger(code)


FAMILY = ObjectSizeFamily()
