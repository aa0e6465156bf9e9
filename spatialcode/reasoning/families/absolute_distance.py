"""The smallest distance between two things."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from spatialcode.questions.names import reference, thing
from spatialcode.questions.parse import (
    IN_UNIT,
    PLACE,
    UNIT_FIRST,
    UNITS,
    WHAT_IS,
    Common,
    Match,
    Reader,
    rule,
    unit_named,
)
from spatialcode.questions.types import AbsoluteDistance, Question
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool
from spatialcode.reasoning.evidence import Answer, answer_of, at
from spatialcode.reasoning.families.family import LEAD, Sentences, Wording
from spatialcode.reasoning.families.numeric import NumericFamily
from spatialcode.reasoning.naming import NamedRoom, Rng, the
from spatialcode.reasoning.priors.fit import Samples
from spatialcode.reasoning.priors.guesses import Sight, assumed_number
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.program.of_question import said, scaled
from spatialcode.reasoning.program.scene import Function, Given, Scene
from spatialcode.reasoning.program.values import Value
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.rubric import steps
from spatialcode.reasoning.rubric.facts import Case, Ids
from spatialcode.reasoning.rubric.steps import Need
from spatialcode.reasoning.rubric.verify import DISTANCE_M, Context
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SceneObject

#: What is added to a distance before its logarithm: touching things are 0 apart.
_OFFSET_M = 0.5


def _read(found: Match, common: Common) -> Question:
    """The pair of things, whichever groups of the pattern hold them."""
    groups = found.groupdict()
    pair = [groups[name] for name in "abcdef" if groups.get(name)]
    a, b = (thing(phrase) for phrase in pair)
    return AbsoluteDistance(a=a, b=b, unit=unit_named(found, "m"), **common)


_READER = Reader((
    rule("distance",
         rf"{UNIT_FIRST}{WHAT_IS} the (?:shortest |smallest |minimum |closest )?distance "
         rf"(?:between <a> and <b>|from <c> to <d>)(?: {PLACE})?{IN_UNIT}", _read),
    rule("how far", rf"{UNIT_FIRST}how far (?:away )?is <a> (?:away )?from <b>(?: {PLACE})?"
         rf"{IN_UNIT}", _read),
    rule("apart", rf"{UNIT_FIRST}how far apart are <a> and <b>(?: {PLACE})?{IN_UNIT}", _read),
    rule("how many", rf"how many (?P<unit>{UNITS}) (?:(?:lie|are|are there|is it) between <a> and "
         r"<b>|(?:away )?is <c> (?:away )?from <d>|(?:apart are) <e> and <f>)", _read),
))  # fmt: skip

_TEMPLATES: Mapping[str, Sentences] = {
    "object_abs_distance": Sentences(
        "Measuring from the closest point of each object, what is the distance between {a} and {b}"
        " (in meters)?",
        ("How far is {a} from {b} in meters?",
         "Measured at their closest points, what is the distance between {a} and {b} in meters?"),
        ("How many meters lie between {a} and {b}?",
         "How far apart are {a} and {b}, in meters?"),
    ),
}  # fmt: skip


_GRAMMARS: Mapping[str, tuple[str, ...]] = {
    "object_abs_distance": (
        LEAD + "(what is|give|estimate|tell me) the (distance|shortest distance|gap|separation"
        "|space|minimum distance) (between|in meters between) {a} and {b}( in meters|, in meters"
        "|).",
        "(How far|How distant|How many meters|How far away) (is|are) {a} (from|away from) {b}"
        "( in meters|, in meters|)?",
        "(How much|What) (distance|space|room) (is there|is|lies|separates) (between|from) {a}"
        " (and|to) {b}(, in meters| in meters|)?",
        "From {a} to {b}, (how many meters is it|what is the distance in meters|how far is it)?",
        "(How close|How near) (is|are) {a} (to|and) {b}, in meters?",
        "(By how many meters|By what distance) are {a} and {b} (separated|apart)?",
    ),
}  # fmt: skip


def nearest_pair(
    a: tuple[SceneObject, ...], b: tuple[SceneObject, ...], index: SceneIndex
) -> tuple[SceneObject, SceneObject, float]:
    """The two things, one of each, that are closest, and how far apart (metres)."""
    pairs = [(x, y) for x, y in product(a, b) if x.id != y.id] or list(product(a, b))
    x, y = min(pairs, key=lambda pair: index.distance_m(pair[0].id, pair[1].id))
    return x, y, index.distance_m(x.id, y.id)


def nearest_pairs(a: Ids, b: Ids, context: Context) -> frozenset[Ids]:
    """The pairs, one of each, that are closest, rounding forgiven."""
    pairs = {frozenset((i, j)): context.index.distance_m(i, j) for i in a for j in b if i != j} or {
        frozenset((i, j)): 0.0 for i in a for j in b
    }
    least = min(pairs.values())
    return frozenset(pair for pair, metres in pairs.items() if metres <= least + DISTANCE_M)


def _distance(scene: Scene, given: Given) -> Value:
    """Metres between the closest pair."""
    a, b = scene.meant(given["a"], "a"), scene.meant(given["b"], "b")
    scene.budget.spend(len(a.things) * len(b.things))
    return scene.ask(AbsoluteDistance(a=a.reference, b=b.reference)).value


class AbsoluteDistanceFamily(NumericFamily[AbsoluteDistance]):
    """The answer is in the question's unit; of several things of a kind the closest pair counts."""

    question_type = AbsoluteDistance
    names = (AbsoluteDistance.family,)
    reader = _READER
    templates = _TEMPLATES
    grammars = _GRAMMARS
    functions = (
        Function("distance", ("a", "b"), _distance, "smallest distance between two things"),
    )
    undefined = "both are the same thing"
    permutes = True
    box_task = True
    demo = AbsoluteDistance.family
    quantity = (say.Distance, "value_m")
    decided = "The smallest distance between the two things."
    lines = (
        "first: ID is at (X, Y, Z)", "second: ID is at (X, Y, Z)", "distance(ID, ID) = D m",
    )  # fmt: skip

    def pool(self, name: str, room: NamedRoom, rng: Rng) -> Pool:
        """Between two things, each the only one that its name can mean."""
        rows = room.things(rng)
        apart = np.triu(room.apart_rows(rows), 1)
        pairs = np.array(rows, np.intp)[np.argwhere(apart)].reshape(-1, 2)
        pairs = pairs[room.wanted(pairs)]
        metres = room.index.distances_m
        kept = np.array([room.exact(metres[a, b], 1) for a, b in pairs], bool)

        def draft(chosen: Sequence[int], _: str, __: str, rng: Rng) -> Draft:
            order = [chosen[n] for n in rng.permutation(2)]
            a, b = (room.name(row, rng) for row in order)
            meant = partial(AbsoluteDistance, a=reference(a), b=reference(b), unit="m")
            truth = f"{metres[chosen[0], chosen[1]]:.1f}"
            return Draft(name, {"a": a, "b": b}, meant, truth=truth)

        return Pool({("", ""): pairs[kept]}, draft, reason=AMBIGUOUS if len(pairs) else TOO_FEW)

    def wording(self, question: AbsoluteDistance, rng: Rng) -> Wording | None:
        """The sentences ask for metres."""
        if question.unit != "m":
            return None
        return Wording(question.family, {"a": the(question.a), "b": the(question.b)})

    def solve(self, question: AbsoluteDistance, index: SceneIndex) -> Answer | None:
        """Between the two closest things of the two kinds."""
        a, b = resolve(question.a, index), resolve(question.b, index)
        if not a or not b:
            return None
        x, y, metres = nearest_pair(a, b, index)
        if x.id == y.id:  # two words for the only thing there: one of the two is missing
            return None
        statements: list[say.Statement] = [at(x, "first"), at(y, "second")]
        statements.append(say.Distance(x.id, y.id, metres))
        value = metres * self.per_metre(question)
        named = [(question.a, x), (question.b, y)]
        return answer_of(
            question, value, statements, ids=(x.id, y.id), named=named, unit=question.unit
        )

    def guess(self, question: AbsoluteDistance, sight: Sight) -> Answer:
        priors, metres = sight.priors, sight.priors.typical_distance_m
        if sight.extent is not None and priors.distance_of_extent is not None:
            metres = priors.distance_of_extent.value(math.log(sight.extent.area_m2() + 1.0))
        value, what = metres * self.per_metre(question), f"{question.a.noun}, {question.b.noun}"
        return assumed_number(value, question.unit, f"distance({what})")

    def corrected(self, question: AbsoluteDistance, value: float, priors: Priors) -> float:
        if priors.distance_of_distance is None:
            return value
        scale = self.per_metre(question)
        return scale * priors.distance_of_distance.value(math.log(value / scale + _OFFSET_M))

    def fit(self, samples: Samples) -> dict[str, Any]:
        fitted = {"distance_of_extent": samples.of_extent()} | samples.typical("typical_distance_m")
        if samples.perceived:
            habit = samples.habit(lambda _, metres: [math.log(metres + _OFFSET_M)])
            fitted["distance_of_distance"] = habit
        return fitted

    def program(self, question: AbsoluteDistance) -> str:
        return scaled(question.unit, f"distance({said(question.a)}, {said(question.b)})")

    def needs(self, case: Case[AbsoluteDistance]) -> list[Need]:
        pairs = nearest_pairs(case.found[0], case.found[1], case.context)
        near: Ids = frozenset().union(*pairs)
        a, b = case.found[0] & near, case.found[1] & near
        return [
            steps.position(a, "first"),
            steps.position(b, "second"),
            steps.distance(pairs),
            steps.role("first", a, required=False),
            steps.role("second", b, required=False),
        ]


FAMILY = AbsoluteDistanceFamily()
