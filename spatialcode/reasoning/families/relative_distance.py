"""Which of several things is closest to another thing, or farthest from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from spatialcode.errors import SchemaError
from spatialcode.questions.names import reference, thing, things
from spatialcode.questions.parse import LIST, Common, Match, Reader, rule
from spatialcode.questions.types import Question, RelativeDistance
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.answers.choices import Choice
from spatialcode.reasoning.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool, drawn
from spatialcode.reasoning.evidence import Answer, answer_of, at, bare
from spatialcode.reasoning.families.absolute_distance import nearest_pair, nearest_pairs
from spatialcode.reasoning.families.family import LEAD, Family, Sentences, Wording
from spatialcode.reasoning.naming import Floats, NamedRoom, Rng, drawn_kinds, the
from spatialcode.reasoning.priors.guesses import Sight, assumed_choice
from spatialcode.reasoning.program.of_question import listed, not_an_answer, said
from spatialcode.reasoning.program.scene import Function, Given, Meant, Scene, numbered, several
from spatialcode.reasoning.program.values import Refused, Value, kind_of
from spatialcode.reasoning.resolve import against, resolve
from spatialcode.reasoning.rubric import steps
from spatialcode.reasoning.rubric.answers import Meaning, candidate_named
from spatialcode.reasoning.rubric.facts import TIE_M, Allows, Case, Fact, Ids
from spatialcode.reasoning.rubric.steps import Need
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SceneObject

Extreme = Literal["closest", "farthest"]

#: Exact numbers may differ by the order of their float64 additions.
_EXACT_M = 1e-9

_HOW = (
    r"(?:the )?(?:(?P<far>farthest|furthest|farther|further|most distant)|closest|nearest|closer|"
    r"nearer)(?: away)?(?: to| from)"
)
_THESE = r"(?:these|the following|those|the listed)(?: (?:objects|things|items))?"
_WORDS = "closest|nearest|closer|nearer|farthest|furthest|farther|further|most distant"


def _read(found: Match, common: Common) -> Question:
    groups = found.groupdict()
    in_text = groups.get("listed") or groups.get("listed_first") or ""
    named = tuple(thing(option.text) for option in common["options"])
    named = named or things(in_text)
    if len(named) < 2:
        raise SchemaError("options", "two things or more", named)
    extreme: Any = "farthest" if found["far"] else "closest"
    return RelativeDistance(
        anchor=thing(found["anchor"]), extreme=extreme, candidates=named, **common
    )


_READER = Reader((
    rule(_WORDS,
         rf"(?:which|what) (?:one )?of {_THESE}(?: \((?P<listed_first>{LIST})\))? is {_HOW} "
         rf"<anchor>(?::(?P<listed>{LIST}))?", _read),
    rule(_WORDS,
         rf"(?:which|what)(?: one| thing| object| item)? is {_HOW} <anchor>"
         rf"(?:[:,](?P<listed>{LIST}))?", _read),
    rule(_WORDS,
         rf"(?:of|among) {_THESE}(?: \((?P<listed_first>{LIST})\))?, which(?: one| thing| object)?"
         rf" is {_HOW} <anchor>(?::(?P<listed>{LIST}))?", _read),
))  # fmt: skip

_TEMPLATES: Mapping[str, Sentences] = {
    "object_rel_distance": Sentences(
        "Measuring from the closest point of each object, which of these objects ({listed}) is the"
        " {extreme} {anchor}?",
        ("Which of these objects ({listed}) is {extreme} {anchor}?",
         "Measured at the closest points, which is {extreme} {anchor}: {listed}?"),
        ("Of these things, which one is the {extreme} {anchor}: {listed}?",
         "Which object is {extreme} {anchor}?"),
    ),
}  # fmt: skip


_GRAMMARS: Mapping[str, tuple[str, ...]] = {
    "object_rel_distance": (
        LEAD + "(which|what|which one) (of these|of the following|among these)( objects| things"
        "| items|) (is|lies|stands) {extreme} {anchor}(: {listed}?|, {listed}?|?)",
        "(Which|What) (thing|item|one|of them) (is|lies|stands|would be) (the |){extreme}"
        " {anchor}?",
        "({listed}: which|Out of {listed}, which|Among {listed}, which) (one |)(is|lies|stands)"
        " {extreme} {anchor}?",
        "(Name|Pick|Choose|Tell me) the (object|thing|item|one) {extreme} {anchor}"
        "( from {listed}|: {listed}| among {listed}|).",
    ),
}  # fmt: skip

_EXTREMES = {
    "closest": ("closest to", "nearest to", "the nearest to", "nearer to", "least far from"),
    "farthest": ("farthest from", "furthest from", "most distant from", "the farthest from"),
}


def _meant(*, anchor: str, extreme: Any, **common: Any) -> Question:
    candidates = tuple(reference(option.text) for option in common["options"])
    return RelativeDistance(
        anchor=reference(anchor), candidates=candidates, extreme=extreme, **common
    )


def _clear_sets(sets: Any, metres: Floats, sign: float, room: NamedRoom) -> Any:
    """Sets whose extreme kind is so by the margins, that kind first."""
    if not len(sets):
        return sets
    margins = room.config.margins
    order = np.argsort(sign * metres[sets], axis=1, kind="stable")
    rows = np.take_along_axis(sets, order, axis=1)
    best, second = metres[rows[:, 0]], metres[rows[:, 1]]
    low, high = np.minimum(best, second), np.maximum(best, second)
    return rows[(high - low >= margins.distance_m) & (high >= margins.distance_ratio * low)]


def _extreme(extreme: Extreme, scene: Scene, given: Given) -> Value:
    """Of phrases the one whose thing is closest (farthest); of several things one of them."""
    anchor = scene.meant(given["to"], "to")
    given_list = given["candidates"]
    if not isinstance(given_list, list) or any(isinstance(one, SceneObject) for one in given_list):
        return _picked(extreme, scene, anchor, several(scene, given_list, "candidates"))
    meant = [scene.meant(one, "candidates", n) for n, one in enumerate(given_list)]
    if not meant:
        raise Refused("undefined", "an empty list", "candidates")
    scene.budget.spend(sum(len(one.things) for one in meant) * len(anchor.things))
    question = RelativeDistance(
        anchor=anchor.reference, candidates=numbered(meant), extreme=extreme
    )
    return given_list[int(scene.ask(question).value)]


def _picked(
    extreme: Extreme, scene: Scene, anchor: Meant, found: tuple[SceneObject, ...]
) -> SceneObject:
    """The thing of several that is closest to (farthest from) the nearest of the anchors."""
    compared, anchors = against(found, anchor.things)
    scene.budget.spend(len(compared) * len(anchors))
    pairs = [nearest_pair(anchors, (item,), scene.index) for item in compared]
    choose = min if extreme == "closest" else max
    near, chosen, _ = choose(pairs, key=lambda pair: pair[2])
    scene.state(
        _compared(pairs, near, chosen, extreme), [near.id, *(item.id for _, item, _ in pairs)]
    )
    return chosen


def _compared(
    pairs: Sequence[tuple[SceneObject, SceneObject, float]],
    anchor: SceneObject,
    chosen: SceneObject,
    extreme: Extreme,
) -> list[say.Statement]:
    """The distances of (anchor, candidate, metres) that are compared, and the conclusion."""
    statements: list[say.Statement] = [at(anchor, "anchor")]
    statements += [at(item, "candidate") for _, item, _ in pairs]
    statements += [say.Distance(one.id, item.id, metres) for one, item, metres in pairs]
    return [*statements, say.Extreme(extreme, chosen.id, anchor.id)]


def _function(name: str, extreme: Extreme, what: str) -> Function:
    meaning = f"of a list, or of a kind, the one {what} another thing"
    return Function(name, ("candidates", "to"), partial(_extreme, extreme), meaning)


class RelativeDistanceFamily(Family[RelativeDistance]):
    """One of the candidates is the answer, by the smallest distance between boxes."""

    question_type = RelativeDistance
    names = (RelativeDistance.family,)
    reader = _READER
    templates = _TEMPLATES
    grammars = _GRAMMARS
    functions = (
        _function("nearest", "closest", "closest to"),
        _function("farthest", "farthest", "farthest from"),
    )
    permutes = True
    box_task = True
    demo = RelativeDistance.family
    decided = "Compare the smallest distances from the anchor to each candidate."
    lines = (
        "anchor: ID is at (X, Y, Z)", "candidate: ID is at (X, Y, Z)",
        "distance(ID, ID) = D m", "closest to ID: ID", "farthest to ID: ID",
    )  # fmt: skip
    wanted = "one of the things to choose from, as the question names it"
    conclusion = say.Extreme

    def pool(self, name: str, room: NamedRoom, rng: Rng) -> Pool:
        """Which kind's nearest thing is closest to one thing; farthest: kinds of one thing only.

        Candidates are rows (anchor, kind, kind, …), the kind that is the answer first.
        """
        num_options = room.config.num_options
        kinds = [kind for kind in room.clear if room.static[room.rows[kind]].all()]
        kinds = drawn_kinds(kinds, rng)
        anchors = np.array(room.things(rng), np.intp)
        anchors = anchors[room.wanted(anchors.reshape(-1, 1))]
        sets = room.sets_of_kinds(kinds, num_options)
        metres = room.index.distances_m
        to_kind = np.array([metres[:, room.rows[kind]].min(axis=1) for kind in kinds])
        to_kind = to_kind.reshape(len(kinds), len(metres))  # also where there are none
        single = np.array([len(room.rows[kind]) == 1 for kind in kinds], bool)
        cells: dict[tuple[str, str], Any] = {}
        for anchor in anchors.tolist():
            apart = np.array([room.apart(room.kinds[anchor], kind) for kind in kinds], bool)
            possible = sets[apart[sets].all(axis=1)] if len(sets) else sets
            for extreme, sign in (("closest", 1.0), ("farthest", -1.0)):
                usable = possible if sign > 0 else possible[single[possible].all(axis=1)]
                rows = _clear_sets(usable, to_kind[:, anchor], sign, room)
                for best in np.unique(rows[:, 0]):
                    found = rows[rows[:, 0] == best]
                    found = np.hstack([np.full((len(found), 1), anchor), found])
                    cells.setdefault((extreme, kinds[best]), []).append(found)

        def draft(chosen: Sequence[int], extreme: str, _: str, rng: Rng) -> Draft:
            anchor = room.name(chosen[0], rng)
            words = "closest to" if extreme == "closest" else "farthest from"
            return Draft(
                name, {"anchor": anchor, "extreme": words},
                partial(_meant, anchor=anchor, extreme=extreme),
                choices=tuple(kinds[n] for n in chosen[1:]), listed=True,
            )  # fmt: skip

        share = room.config.farthest_share
        wanted = {"closest": 1.0 - share, "farthest": share}
        enough = len(sets) and len(anchors)
        return Pool(
            {key: np.vstack(found) for key, found in cells.items() if wanted[key[0]] > 0.0}, draft,
            reason=AMBIGUOUS if enough else TOO_FEW, weights=wanted,
        )  # fmt: skip

    def wording(self, question: RelativeDistance, rng: Rng) -> Wording:
        in_text = ", ".join(option.text for option in question.options)
        extreme = drawn(_EXTREMES[question.extreme], rng)
        slots = {"listed": in_text, "extreme": extreme, "anchor": the(question.anchor)}
        return Wording(question.family, slots)

    def solve(self, question: RelativeDistance, index: SceneIndex) -> Answer | None:
        """Every candidate, by its nearest instance to the anchor."""
        anchors = resolve(question.anchor, index)
        found = [resolve(candidate, index) for candidate in question.candidates]
        if not anchors or not all(found):
            return None
        pairs = [nearest_pair(anchors, meant, index) for meant in found]
        sign = 1.0 if question.extreme == "closest" else -1.0
        best = min(range(len(pairs)), key=lambda n: sign * pairs[n][2])
        anchor = pairs[best][0]
        statements = _compared(pairs, anchor, pairs[best][1], question.extreme)
        words = question.candidates[best].phrase
        letter = question.options[best].letter if question.options else None
        ids = (anchor.id, *(item.id for _, item, _ in pairs))
        named = [(question.anchor, one) for one, _, _ in pairs]
        named += [(c, item) for c, (_, item, _) in zip(question.candidates, pairs, strict=True)]
        answer = answer_of(question, words, statements, ids=ids, named=named)
        return replace(answer, option=letter)  # two options may say the same

    def guess(self, question: RelativeDistance, sight: Sight) -> Answer:
        """The candidate that is the closest for most of the places where things may be."""
        places = sight.places
        if places is None:
            return sight.usual(question)
        sign = 1.0 if question.extreme == "closest" else -1.0
        away = np.array([places.distances(question.anchor, one) for one in question.candidates])
        votes = np.bincount((sign * away).argmin(axis=0), minlength=len(away)) / away.shape[1]
        best = int(votes.argmax())
        letter = question.options[best].letter if question.options else None
        phrase, what = question.candidates[best].phrase, question.anchor.noun
        return assumed_choice(phrase, letter, f"{question.extreme} to {what}", votes[best])

    def any_words(self, question: RelativeDistance) -> str:
        return question.candidates[0].phrase

    def program(self, question: RelativeDistance) -> str:
        name = "nearest" if question.extreme == "closest" else "farthest"
        return f"{name}({listed(question.candidates)}, to={said(question.anchor)})"

    def read_value(
        self, question: RelativeDistance, value: Value, index: SceneIndex
    ) -> float | Choice:
        """A thing, or the words of one of the candidates."""
        names = [bare(one.phrase) for one in question.candidates]
        if isinstance(value, str) and bare(value) in names:
            place = names.index(bare(value))
        elif isinstance(value, SceneObject):
            of = [n for n, one in enumerate(question.candidates) if value in resolve(one, index)]
            if len(of) != 1:
                raise not_an_answer(f"{value.id} is {len(of)} of the things to choose from")
            place = of[0]
        else:
            got = repr(value) if isinstance(value, str) else kind_of(value)
            raise not_an_answer(
                f"the question asks for one of the things it names; the program gave {got}"
            )
        letter = question.options[place].letter if question.options else None
        return Choice(question.candidates[place].phrase, letter)

    def choice_words(self, question: RelativeDistance) -> tuple[str, ...]:
        return tuple(candidate.phrase for candidate in question.candidates)

    def needs(self, case: Case[RelativeDistance]) -> list[Need]:
        anchor, *candidates = case.found
        needs = [steps.position(anchor, "anchor"), steps.role("anchor", anchor, required=False)]
        for ids in candidates:
            pairs = nearest_pairs(anchor, ids, case.context)
            near = frozenset().union(*pairs)
            needs.append(steps.position(ids & near, "candidate"))
            needs.append(steps.role("candidate", ids & near, required=False))
            needs.append(steps.distance(pairs))
            needs.append(steps.position(anchor & near, "anchor", required=False))
        return needs

    def allows(self, case: Case[RelativeDistance], used: Sequence[Fact]) -> Allows | None:
        anchors, *sets = case.found
        stated: list[float] = []
        for ids in sets:
            values = [
                f.statement.value_m
                for f in used
                if isinstance(f.statement, say.Distance) and _joins(f.statement, anchors, ids)
            ]
            if not values:
                return None
            stated.append(min(values))
        if case.question.extreme == "closest":
            best = min(stated)
            return lambda meaning: stated[int(meaning[0])] <= best + TIE_M
        most = max(stated)
        return lambda meaning: stated[int(meaning[0])] >= most - TIE_M

    def concludes(self, case: Case[RelativeDistance], stated: Sequence[Any]) -> Allows:
        found = case.found
        return lambda meaning: all(s.object_id in found[1 + int(meaning[0])] for s in stated)

    def asks(self, case: Case[RelativeDistance], conclusion: Any) -> bool:
        fits = conclusion.extreme == case.question.extreme
        return fits and conclusion.anchor_id in case.found[0]

    def refutes(self, case: Case[RelativeDistance], conclusion: Any) -> str:
        anchors, *candidates = case.found
        index = case.context.index
        metres = [
            {i: min((index.distance_m(i, j) for j in anchors if j != i), default=0.0) for i in ids}
            for ids in candidates
        ]
        stated = [each[conclusion.object_id] for each in metres if conclusion.object_id in each]
        if not stated or conclusion.anchor_id not in anchors:
            return "neither asked nor offered"
        nearest = [min(each.values()) for each in metres]
        best = min(nearest) if conclusion.extreme == "closest" else max(nearest)
        exact = abs(stated[0] - best) <= _EXACT_M
        return "" if exact else f"the {conclusion.extreme} one is at {best:.2f} m"

    def meaning(self, question: RelativeDistance, words: str) -> Meaning | None:
        """The candidate's place."""
        place = candidate_named(words, question.candidates)
        return None if place is None else (place,)

    def meaning_of_option(
        self, question: RelativeDistance, place: int, words: str
    ) -> Meaning | None:
        return (str(place),) if place < len(question.candidates) else None


def _joins(s: say.Distance, a: Ids, b: Ids) -> bool:
    return (s.a_id in a and s.b_id in b) or (s.b_id in a and s.a_id in b)


FAMILY = RelativeDistanceFamily()
