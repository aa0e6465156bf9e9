"""In which order kinds of things first appear."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, pairwise, permutations
from typing import Any

import numpy as np

from spatialcode.questions.names import plain, reference, things
from spatialcode.questions.parse import LIST, PLACE, WHAT_IS, Common, Match, Reader, rule
from spatialcode.questions.types import AppearanceOrder, Question
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.answers.choices import Choice, NoAnswer, flat
from spatialcode.reasoning.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool
from spatialcode.reasoning.evidence import Answer, answer_of, bare
from spatialcode.reasoning.families.family import Family, Sentences, Wording
from spatialcode.reasoning.naming import NamedRoom, Rng, drawn_kinds, the, words_in_row
from spatialcode.reasoning.priors.guesses import Sight
from spatialcode.reasoning.program.of_question import listed, not_an_answer
from spatialcode.reasoning.program.scene import Function, Given, Scene, numbered
from spatialcode.reasoning.program.values import Refused, Value, items
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.rubric import steps
from spatialcode.reasoning.rubric.answers import Meaning, candidate_named
from spatialcode.reasoning.rubric.changes import backwards
from spatialcode.reasoning.rubric.facts import TIE_M, Allows, Case, Fact, Ids
from spatialcode.reasoning.rubric.steps import Need
from spatialcode.reasoning.rubric.verify import HALF_M, Context
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode


def _read(found: Match, common: Common) -> Question:
    return AppearanceOrder(candidates=things(found["listed"]), **common)


_READER = Reader((
    rule("appearance order",
         rf"{WHAT_IS} the (?:first-time )?appearance order of the following (?:categories|objects|"
         rf"things|items)(?: {PLACE})?: ?(?P<listed>{LIST})", _read),
    rule("order",
         rf"in (?:which|what) order (?:do|did|are|were|will) (?P<listed>{LIST}?) (?:first )?"
         r"(?:be )?(?:appear|seen|shown|come into view|show up|become visible)"
         rf"(?: first| for the first time)?(?: {PLACE})?", _read),
))  # fmt: skip

_TEMPLATES: Mapping[str, Sentences] = {
    "obj_appearance_order": Sentences(
        "What will be the first-time appearance order of the following categories in the video:"
        " {listed}?",
        ("In which order do {listed_and} first appear in the video?",
         "In what order are {listed_and} first seen in the video?"),
        ("In which order did {listed_and} come into view?",
         "Give the appearance order of the following categories: {listed}?"),
    ),
}  # fmt: skip

_GRAMMARS: Mapping[str, tuple[str, ...]] = {
    "obj_appearance_order": (
        "(What is the order|Give the order|Tell me the order|State the sequence|What is the"
        " sequence) in which (the following|these)( things| objects| categories|)( first|) (appear"
        "|show up|are seen|become visible|come up)( in the video|): {listed}.",
        "(Order|Sort|Arrange|Put in order) (the following|these)( things| objects|) by (first"
        " appearance|when they first appear|first sight|the time they are first seen): {listed}.",
        "(In which|In what) (order|sequence) (do|are|did) {listed_and} (appear|show up|become"
        " visible|first shown|come up|get seen)( in the video|)?",
        "(Which|What) (appears|comes|is seen) first, second and so on: {listed}?",
        "What is the first-time (appearance|viewing) order of {listed}?",
    ),
}  # fmt: skip


def orders(truth: Sequence[str], num_options: int, rng: Rng) -> tuple[tuple[str, ...], ...]:
    """The true order and other ones.

    Four of four or more things: two disjoint pairs of places, each exchanged or not, which makes
    every option as near to the others as any: nothing about the set tells which is right. Otherwise
    other orders at random.
    """
    if num_options == 4 and len(truth) >= 4:
        a, b, c, d = (int(n) for n in rng.permutation(len(truth))[:4])
        exchanged = [((a, b),), ((c, d),), ((a, b), (c, d))]
        return (tuple(truth), *(_exchange(truth, pairs) for pairs in exchanged))
    others = [order for order in permutations(truth) if order != tuple(truth)]
    chosen = rng.permutation(len(others))[: num_options - 1]
    return (tuple(truth), *(others[n] for n in chosen))


def _exchange(truth: Sequence[str], pairs: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    order = list(truth)
    for a, b in pairs:
        order[a], order[b] = order[b], order[a]
    return tuple(order)


def _order(scene: Scene, given: Given) -> Value:
    """Phrases or things by first sight."""
    given_list = items(given["x"], "x")
    if len(given_list) < 2:
        raise Refused("arguments", "an order needs two things or more", "x")
    meant = [scene.meant(one, "x", n) for n, one in enumerate(given_list)]
    answer = scene.ask(AppearanceOrder(candidates=numbered(meant)))
    return [given_list[int(n)] for n in str(answer.value).split(", ")]


class AppearanceOrderFamily(Family[AppearanceOrder]):
    """The candidates answer, in order of the first sight of the earliest thing of each."""

    question_type = AppearanceOrder
    names = (AppearanceOrder.family,)
    reader = _READER
    templates = _TEMPLATES
    grammars = _GRAMMARS
    functions = (Function("order", ("x",), _order, "a list sorted by first sight"),)
    demo = AppearanceOrder.family
    undefined = "the code does not say what was seen first"
    decided = "Kinds by the time at which the earliest object of each is first seen."
    lines = ("first_seen(ID) = D s", "order: ID, ID")
    wanted = "a list of the kinds, as the question names them, in order"
    conclusion = say.Order

    def pool(self, name: str, room: NamedRoom, rng: Rng) -> Pool:
        """In which order kinds come into view: four of them, or three where there are no four."""
        margin_s = room.config.margins.first_seen_s
        kinds = [] if room.referring else drawn_kinds(list(room.clear), rng)
        objects = room.index.objects
        first_s = np.array(
            [min(objects[row].first_seen_s for row in room.rows[kind]) for kind in kinds]
        )
        cells: dict[tuple[str, str], Any] = {}
        tried = 0
        for size in (4, 3):
            sets = room.sets_of_kinds(kinds, size)
            tried += len(sets)
            if len(sets) and room.config.num_options <= 6:
                times = first_s[sets]
                order = np.argsort(times, axis=1)
                gaps = np.diff(np.take_along_axis(times, order, axis=1), axis=1)
                rows = np.take_along_axis(sets, order, axis=1)[(gaps >= margin_s).all(axis=1)]
                for first in np.unique(rows[:, 0]) if len(rows) else ():
                    cells["", kinds[first]] = rows[rows[:, 0] == first]
            if cells:
                break

        def draft(chosen: Sequence[int], _: str, __: str, rng: Rng) -> Draft:
            truth = [kinds[n] for n in chosen]
            in_text = [truth[n] for n in rng.permutation(len(truth))]
            slots = {
                "listed": ", ".join(in_text),
                "listed_and": words_in_row([f"the {kind}" for kind in in_text]),
            }
            options = orders(truth, room.config.num_options, rng)
            meant = partial(AppearanceOrder, candidates=tuple(map(reference, in_text)))
            choices = tuple(", ".join(option) for option in options)
            return Draft(name, slots, meant, choices=choices)

        return Pool(cells, draft, reason=AMBIGUOUS if tried else TOO_FEW)

    def wording(self, question: AppearanceOrder, rng: Rng) -> Wording:
        names = ", ".join(one.phrase for one in question.candidates)
        joined = words_in_row([the(one) for one in question.candidates])
        return Wording(question.family, {"listed": names, "listed_and": joined})

    def solve(self, question: AppearanceOrder, index: SceneIndex) -> Answer | None:
        """Kinds by the first sight of their earliest thing."""
        found = [resolve(candidate, index) for candidate in question.candidates]
        if not all(found):
            return None
        firsts = [min(meant, key=lambda item: item.first_seen_s) for meant in found]
        # a code without times (imported boxes) knows nothing of order
        if len({item.first_seen_s for item in firsts}) == 1:
            return None
        order = _seen_order(question, [item.first_seen_s for item in firsts])
        statements: list[say.Statement] = [
            say.FirstSeen(item.id, item.first_seen_s) for item in firsts
        ]
        ids = tuple(firsts[n].id for n in order)
        statements.append(say.Order(ids))
        words = ", ".join(question.candidates[n].phrase for n in order)
        named = zip(question.candidates, firsts, strict=True)
        return answer_of(question, words, statements, ids=ids, named=named)

    def guess(self, question: AppearanceOrder, sight: Sight) -> Answer:
        chances = {} if sight.index is None else _chances(question, sight.index)
        return sight.likeliest(question, chances)

    def any_words(self, question: AppearanceOrder) -> str:
        return ", ".join(one.phrase for one in question.candidates)

    def program(self, question: AppearanceOrder) -> str:
        return f"order({listed(question.candidates)})"

    def read_value(
        self, question: AppearanceOrder, value: Value, index: SceneIndex
    ) -> float | Choice:
        """All candidates once. Of orders that differ only in things first seen at one time, the
        first option is meant, as for the solver.
        """
        names = [bare(one.phrase) for one in question.candidates]
        listed_names = value if isinstance(value, list) else []
        given = [bare(one) for one in listed_names if isinstance(one, str)]
        if len(given) != len(listed_names) or sorted(given) != sorted(names):
            raise not_an_answer(
                "the question asks for a list of all the things it names, as it names them"
            )
        times_s = {
            name: min((item.first_seen_s for item in resolve(one, index)), default=math.inf)
            for name, one in zip(names, question.candidates, strict=True)
        }
        for option in question.options:
            parts = [(part,) for part in bare(option.text)]
            if sorted(parts) == sorted(names) and (
                [times_s[part] for part in parts] == [times_s[name] for name in given]
            ):
                said = ", ".join(question.candidates[names.index(part)].phrase for part in parts)
                return Choice(said, option.letter)
        words = ", ".join(question.candidates[names.index(one)].phrase for one in given)
        return Choice(words)

    def read_listed(self, text: str, question: AppearanceOrder) -> Choice | NoAnswer:
        names = {flat(one.phrase): one.phrase for one in question.candidates}
        pattern = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        order = re.findall(rf"(?<!\w)({pattern})(?!\w)", flat(text))
        if sorted(order) == sorted(names):
            return Choice(", ".join(names[one] for one in order))
        return NoAnswer("not every candidate once", several=len(order) > len(names))

    def needs(self, case: Case[AppearanceOrder]) -> list[Need]:
        return [
            Need("geometry", "first sight",
                 steps.about(say.FirstSeen, _earliest(ids, case.context)))
            for ids in case.found
        ]  # fmt: skip

    def allows(self, case: Case[AppearanceOrder], used: Sequence[Fact]) -> Allows | None:
        times: list[float] = []
        for ids in case.found:
            seen = [
                f.statement.t_s
                for f in used
                if isinstance(f.statement, say.FirstSeen) and f.statement.object_id in ids
            ]
            if not seen:
                return None
            times.append(min(seen))

        def allows(meaning: Meaning) -> bool:
            assert isinstance(meaning, tuple)
            return all(a <= b + TIE_M for a, b in pairwise(times[int(n)] for n in meaning))

        return allows

    def concludes(self, case: Case[AppearanceOrder], stated: Sequence[Any]) -> Allows:
        ids, found = stated[0].object_ids, case.found
        return lambda meaning: (
            len(ids) == len(meaning)
            and all(i in found[int(n)] for i, n in zip(ids, meaning, strict=True))
        )

    def refutes(self, case: Case[AppearanceOrder], conclusion: Any) -> str:
        ids = conclusion.object_ids
        known = [item for i in ids if (item := case.context.item(i)) is not None]
        times = [item.first_seen_s for item in known]
        if len(times) != len(ids):
            return "it names things that are not in the code"
        if not frozenset().union(*case.found).issuperset(ids):
            return "it names things that are not asked for"
        return "" if times == sorted(times) else "not the order of first sight"

    def meaning(self, question: AppearanceOrder, words: str) -> Meaning | None:
        """The candidates' places, in order."""
        places = [candidate_named(word, question.candidates) for word in words.split(",")]
        whole = len(set(places)) == len(places) == len(question.candidates)
        return tuple(map(str, places)) if whole and None not in places else None

    def telling(
        self, question: AppearanceOrder, code: SpatialCode, named: Sequence[Sequence[str]]
    ) -> Iterator[SpatialCode]:
        yield backwards(code)


def _seen_order(question: AppearanceOrder, times_s: list[float]) -> list[int]:
    """Candidates by time. Things seen first in one frame are in the order that an option has."""
    order = sorted(range(len(times_s)), key=lambda n: times_s[n])
    names = [bare(candidate.phrase)[0] for candidate in question.candidates]
    for option in question.options:
        parts = bare(option.text)
        if sorted(parts) == sorted(names) and len(set(names)) == len(names):
            chosen = [names.index(name) for name in parts]
            if [times_s[n] for n in chosen] == [times_s[n] for n in order]:
                return chosen
    return order


def _chances(question: AppearanceOrder, index: SceneIndex) -> dict[str, float]:
    """The options' orders by the share of pairs of known things that they have right."""
    times = {}
    for candidate in question.candidates:
        found = resolve(candidate, index)
        if found:
            times[plain(candidate.phrase)] = min(item.first_seen_s for item in found)
    pairs = [(a, b) for a, b in combinations(times, 2) if times[a] != times[b]]
    chances = {}
    for option in question.options:
        order = [plain(part) for part in option.text.split(",")]
        rank = {name: n for n, name in enumerate(order)}
        if pairs and all(name in rank for name in times):
            right = [(rank[a] < rank[b]) == (times[a] < times[b]) for a, b in pairs]
            chances[option.text] = sum(right) / len(right)
    best = max(chances.values(), default=0.0)
    equal = [words for words, share in chances.items() if share == best]
    return {words: 1.0 / len(equal) for words in equal if best > 0.0}


def _earliest(ids: Ids, context: Context) -> Ids:
    seen = {i: context.index.objects[context.index.row[i]].first_seen_s for i in ids}
    return frozenset(i for i in ids if seen[i] <= min(seen.values()) + HALF_M)


FAMILY = AppearanceOrderFamily()
