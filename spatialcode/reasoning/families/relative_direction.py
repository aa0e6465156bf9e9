"""Where a thing is for one who stands at another and faces a third: in three levels of words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, get_args

import numpy as np

from spatialcode.questions.names import reference, thing
from spatialcode.questions.parse import AT, FACE, WHO, Common, Match, Reader, rule
from spatialcode.questions.types import (
    DIRECTION_WORDS,
    Question,
    RelativeDirection,
    same_meaning,
)
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.answers.choices import Choice
from spatialcode.reasoning.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool, by_word
from spatialcode.reasoning.evidence import (
    Answer,
    answer_of,
    apart,
    at,
    bearing_evidence,
    letter_of,
    surest,
    vector,
)
from spatialcode.reasoning.families.family import Family, Sentences, Wording
from spatialcode.reasoning.families.viewing import (
    LEFT_RIGHT,
    PERSON,
    STAND,
    true_bearing,
    turned_deg,
    words_allowed,
)
from spatialcode.reasoning.naming import NamedRoom, Rng, the
from spatialcode.reasoning.priors.guesses import NUM_DRAWS, Sight, assumed_choice
from spatialcode.reasoning.program.of_question import not_an_answer, said
from spatialcode.reasoning.program.scene import Function, Given, Scene, one_of
from spatialcode.reasoning.program.values import Value, kind_of
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.rubric import steps
from spatialcode.reasoning.rubric.answers import Meaning
from spatialcode.reasoning.rubric.facts import Allows, Case, Fact
from spatialcode.reasoning.rubric.steps import Ends, Need
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.relations import BORDERS_DEG, Level, View, word_of, words_of

_ROLES = ("observer", "facing", "target")
_LEVELS: tuple[Level, ...] = get_args(Level)
_NAMES: dict[str, Level] = {f"object_rel_direction_{level}": level for level in _LEVELS}
#: What lies behind is neither left nor right "of" what one faces.
_EASY_DEG = 135.0

_WORDS = frozenset({
    "to", "on", "in", "at", "of", "my", "the", "your", "his", "her", "their", "left", "right",
    "back", "behind", "rear", "front", "me", "you", "him", "them", "or", "and", "side", "quadrant",
    "located", "positioned",
})  # fmt: skip
_QUADRANT = re.compile(r"\b(front|back)[ -](left|right)\b")
_BORDER = re.compile(r"\([^()]*\)|, which begins at 135 degrees")


def _read(found: Match, common: Common) -> Question | None:
    facing = thing(found["facing"])
    level = _level(found["rest"].lower(), facing)
    if level is None:
        return None
    return RelativeDirection(
        observer=thing(found["observer"]), facing=facing, target=thing(found["target"]),
        level=level, **common,
    )  # fmt: skip


def _level(rest: str, facing: Any) -> Level | None:
    """The level whose directions are asked for; None where other words stand among them."""
    rest = _BORDER.sub(" ", rest)
    quadrants = {match[0].replace(" ", "-") for match in _QUADRANT.finditer(rest)}
    rest = _QUADRANT.sub(" ", rest)
    # "the left or the right of the sofa": of what is faced
    if whose := re.search(r"\bof (?!me\b|you\b)([^,]+)$", rest):
        if not same_meaning(thing(whose[1]), facing):
            return None
        rest = rest[: whose.start()]
    words = set(re.findall(r"[a-z0-9-]+", rest))
    if not words <= _WORDS or "or" not in words:
        return None
    behind = bool(words & {"back", "behind", "rear"})
    sides = {"left", "right"} <= words
    if quadrants:
        plain = behind or words & {"left", "right", "front"}
        return "hard" if len(quadrants) == 4 and not plain else None
    if "front" in words or not sides:
        return None
    return "medium" if behind else "easy"


_READER = Reader((
    rule("standing",
         rf"{WHO}standing {AT} <observer>{FACE} <facing>[,.] is <target> "
         r"(?P<rest>(?:located |positioned )?(?:to|on|in|at|left|behind)\b[^?]{1,200})",
         _read),
))  # fmt: skip

_QUADRANTS = (
    "\nThe directions refer to the quadrants of a Cartesian plane (if I am standing at the origin"
    " and facing along the positive y-axis)."
)
_BACK = (
    "\nAn object is to my back if I would have to turn at least 135 degrees in order to face it."
)
_TEMPLATES: Mapping[str, Sentences] = {
    "object_rel_direction_easy": Sentences(
        "If I am standing by {observer} and facing {facing}, is {target} to the left or the right"
        " of {facing}?",
        ("When standing next to {observer} and facing {facing}, is {target} on my left or on my"
         " right?",
         "Imagine standing at {observer}, facing {facing}, is {target} to the left or to the"
         " right?"),
        ("I am standing at {observer} and facing {facing}. Is {target} on my right or on my left?",
         "Someone standing by {observer} is facing {facing}. Is {target} to the left or to the"
         " right?"),
    ),
    "object_rel_direction_medium": Sentences(
        "If I am standing by {observer} and facing {facing}, is {target} to my left, right, or"
        " back?" + _BACK,
        ("When standing next to {observer} and facing {facing}, is {target} to my left, to my right"
         " or behind me? Behind begins at a turn of 135 degrees.",
         "Imagine standing at {observer}, facing {facing}, is {target} to the left, the right or"
         " the back (135 degrees and more)?"),
        ("I am standing at {observer} and facing {facing}. Is {target} on my left, on my right or"
         " at my back, which begins at 135 degrees?",),
    ),
    "object_rel_direction_hard": Sentences(
        "If I am standing by {observer} and facing {facing}, is {target} to my front-left,"
        " front-right, back-left, or back-right?" + _QUADRANTS,
        ("When standing next to {observer} and facing {facing}, is {target} in the front-left,"
         " front-right, back-left or back-right quadrant?",
         "Imagine standing at {observer}, facing {facing}, is {target} to the front-left,"
         " front-right, back-left or back-right?"),
        ("I am standing at {observer} and facing {facing}. Is {target} to my front left, front"
         " right, back left or back right?",),
    ),
}  # fmt: skip

_SIDES = (
    "(to my left or to my right|to the right or to the left|on the left or on the right"
    "|left or right)"
)
_THREE = (
    "(left, right or behind|on the left, on the right or behind me|to my right, to my left or to"
    " my back|on my right, on my left or behind|left, right or back)"
    "(| if behind starts at 135 degrees|, where back means 135 degrees or more|, counting 135"
    " degrees and more as back)"
)
_FOUR = (
    "(front-left, front-right, back-left or back-right|ahead left, ahead right, behind left or"
    " behind right|in front to the left, in front to the right, behind to the left or behind to the"
    " right|front right, front left, back right or back left)"
)
_WHERE = "(is|would|will) {target}( be|) "
_GRAMMARS: Mapping[str, tuple[str, ...]] = {
    "object_rel_direction_easy": (
        STAND + ", " + _WHERE + _SIDES + "?",
        PERSON + " (Is|Would) {target} " + _SIDES + "?",
        STAND + ", (on which side|on what side|on which hand) is {target}: left or right?",
        PERSON + " (On which side|On what hand) is {target}, left or right?",
        STAND + ", do I find {target} " + _SIDES + "?",
    ),
    "object_rel_direction_medium": (
        STAND + ", " + _WHERE + _THREE + "?",
        PERSON + " (Is|Would) {target} " + _THREE + "?",
        STAND + ", where is {target}: " + _THREE + "?",
        PERSON + " (Where|In which direction) is {target}, " + _THREE + "?",
    ),
    "object_rel_direction_hard": (
        STAND + ", " + _WHERE + _FOUR + "?",
        PERSON + " (Is|Would) {target} " + _FOUR + "?",
        STAND + ", (where|in which quadrant|in which direction) is {target}: " + _FOUR + "?",
        PERSON + " (Where|In which quadrant) is {target}, " + _FOUR + "?",
    ),
}  # fmt: skip


def _asked(scene: Scene, given: Given, level: Level) -> Answer:
    observer, facing, target = (scene.meant(given[role], role).reference for role in _ROLES)
    return scene.ask(
        RelativeDirection(observer=observer, facing=facing, target=target, level=level)
    )


def _direction(scene: Scene, given: Given) -> Value:
    """Where the target is for the observer, in the words of a level."""
    level = one_of(_LEVELS, given.get("level", "hard"), "level")
    return str(_asked(scene, given, level).value)


def _bearing(scene: Scene, given: Given) -> Value:
    """Degrees from the facing direction to the target, left positive."""
    stated = _asked(scene, given, "hard").evidence.statements
    bearing_deg = [s.value_deg for s in stated if isinstance(s, say.Angle)][-1]
    return 180.0 if bearing_deg == -180.0 else bearing_deg


class RelativeDirectionFamily(Family[RelativeDirection]):
    """A direction word answers. Each level is reported under its own name."""

    question_type = RelativeDirection
    names = tuple(_NAMES)
    group = "object_rel_direction"
    reader = _READER
    templates = _TEMPLATES
    grammars = _GRAMMARS
    functions = (
        Function("direction", _ROLES, _direction,
                 'where the target is for an observer; level "easy": left, right; "medium": left, '
                 'right, back; "hard": front-left, front-right, back-left, back-right',
                 {"level": '"hard"'}),
        Function("bearing", _ROLES, _bearing,
                 "angle from the facing direction to the target, left positive"),
    )  # fmt: skip
    undefined = "observer, facing and target must stand apart, seen from above"
    permutes = True
    box_task = True
    demo = "object_rel_direction_medium"
    lines = (
        "observer: ID is at (X, Y, Z)", "facing: ID is at (X, Y, Z)",
        "target: ID is at (X, Y, Z)",
        "forward = FACED - OBSERVER = (X, Y)", "to_target = TARGET - OBSERVER = (X, Y)",
        "dot(forward, to_target) = D", "cross(forward, to_target) = D",
        "angle(forward, to_target) = DEG degrees", "ID is to the WORD",
    )  # fmt: skip
    conclusion = say.Direction

    def pool(self, name: str, room: NamedRoom, rng: Rng) -> Pool:
        """Candidates are rows (observer, facing, target), all kinds told apart."""
        level, margins = _NAMES[name], room.config.margins
        rows = room.things(rng)
        n = np.arange(len(rows))
        o, f, t = (axis.ravel() for axis in np.meshgrid(n, n, n, indexing="ij"))
        told_apart = room.apart_rows(rows)
        distinct = told_apart[o, f] & told_apart[o, t] & told_apart[f, t]
        triples = np.array(rows, np.intp)[np.stack([o, f, t], axis=1)[distinct]].reshape(-1, 3)
        triples = triples[room.wanted(triples)]
        xy = room.xy_m
        observer, facing, target = (xy[triples[:, k]] for k in range(3))
        bearing = turned_deg(facing - observer, target - observer)
        size = np.abs(bearing)
        kept = np.ones(len(triples), bool)
        for a, b in ((observer, facing), (observer, target), (facing, target)):
            kept &= np.linalg.norm(a - b, axis=1) >= margins.separation_m
        for border in BORDERS_DEG[level]:
            kept &= np.abs(size - border) >= margins.bearing_deg
        if level == "easy":
            kept &= size <= _EASY_DEG - margins.bearing_deg
        cells = by_word(triples, words_of(bearing, level), kept)
        words = DIRECTION_WORDS[level]

        def draft(chosen: Sequence[int], _: str, answer: str, rng: Rng) -> Draft:
            names = [room.name(row, rng) for row in chosen]
            slots = dict(zip(_ROLES, names, strict=True))
            meant = partial(
                RelativeDirection, observer=reference(names[0]), facing=reference(names[1]),
                target=reference(names[2]), level=level,
            )  # fmt: skip
            wrong = tuple(word for word in words if word != answer)
            return Draft(name, slots, meant, choices=(answer, *wrong))

        return Pool(cells, draft, words, reason=AMBIGUOUS if len(triples) else TOO_FEW)

    def wording(self, question: RelativeDirection, rng: Rng) -> Wording:
        return Wording(question.family, {role: the(getattr(question, role)) for role in _ROLES})

    def solve(self, question: RelativeDirection, index: SceneIndex) -> Answer | None:
        """The bearing from the observer, read at the level asked for."""
        references = question.observer, question.facing, question.target
        things = [resolve(one, index) for one in references]
        if not all(things):
            return None
        observer, facing, target = (surest(found) for found in things)
        if not apart(observer, facing) or not apart(observer, target):
            return None  # there is no direction to where one stands
        view = View.between(observer, facing)
        bearing_deg = view.bearing_deg((target.center_m[0], target.center_m[1]))
        word = word_of(bearing_deg, question.level)
        forward = vector("forward", observer, facing)
        to_target = vector("to_target", observer, target)
        statements: list[say.Statement] = [
            at(observer, "observer"), at(facing, "facing"), at(target, "target"),
            *bearing_evidence(forward, to_target),
            say.Direction(target.id, word),
        ]  # fmt: skip
        items = (observer, facing, target)
        named = list(zip(references, items, strict=True))
        ids = [item.id for item in items]
        return answer_of(question, word, statements, ids=ids, named=named)

    def guess(self, question: RelativeDirection, sight: Sight) -> Answer:
        """The direction that most of the places where things may be lead to."""
        places, refs = sight.places, (question.observer, question.facing, question.target)
        if places is None or all(resolve(one, places.index) for one in refs):
            return sight.usual(question)  # all known, but two of them in one place
        observer, facing, target = (places.of(one) for one in refs)
        words = words_of(turned_deg(facing - observer, target - observer), question.level)
        names, counts = np.unique(words, return_counts=True)
        ranked = zip(counts.tolist(), names.tolist(), strict=True)
        for count, word in sorted(ranked, key=lambda pair: (-pair[0], pair[1])):
            letter = letter_of(question.options, word)
            if letter is not None or not question.options:
                what = f"direction of {question.target.noun}"
                return assumed_choice(word, letter, what, count / NUM_DRAWS)
        return sight.usual(question)

    def any_words(self, question: RelativeDirection) -> str:
        return DIRECTION_WORDS[question.level][0]

    def program(self, question: RelativeDirection) -> str:
        roles = ", ".join(f"{role}={said(getattr(question, role))}" for role in _ROLES)
        return f'direction({roles}, level="{question.level}")'

    def read_value(
        self, question: RelativeDirection, value: Value, index: SceneIndex
    ) -> float | Choice:
        words = DIRECTION_WORDS[question.level]
        if not isinstance(value, str) or value not in words:
            got = repr(value) if isinstance(value, str) else kind_of(value)
            raise not_an_answer(
                f"the question asks for one of {', '.join(words)}; the program gave {got}"
            )
        return Choice(value)

    def rule(self, question: RelativeDirection) -> str:
        bearing = (
            "forward runs from the observer to what is faced, to_target from the observer to the "
            "target."
        )
        decides = {
            "easy": f"{LEFT_RIGHT}.",
            "medium": f"back from 135 degrees on, else {LEFT_RIGHT}.",
            "hard": f"front under 90 degrees, else back; {LEFT_RIGHT}.",
        }[question.level]
        return f"{bearing} The angle decides: {decides}"

    def value_words(self, question: RelativeDirection) -> str:
        return f'the word that direction(…, level="{question.level}") gives'

    def choice_words(self, question: RelativeDirection) -> tuple[str, ...]:
        return DIRECTION_WORDS[question.level]

    def needs(self, case: Case[RelativeDirection]) -> list[Need]:
        needs = [
            need
            for role, ids in zip(_ROLES, case.found, strict=True)
            for need in (steps.position(ids, role), steps.role(role, ids))
        ]
        return needs + steps.turned(_ends(case))

    def allows(self, case: Case[RelativeDirection], used: Sequence[Fact]) -> Allows | None:
        words = words_allowed(used, _ends(case), case.question.level)
        return None if words is None else lambda meaning: meaning[0] in words

    def concludes(self, case: Case[RelativeDirection], stated: Sequence[Any]) -> Allows:
        return lambda meaning: all(s.direction == meaning[0] for s in stated)

    def asks(self, case: Case[RelativeDirection], conclusion: Any) -> bool:
        words = DIRECTION_WORDS[case.question.level]
        return conclusion.object_id in case.found[2] and conclusion.direction in words

    def refutes(self, case: Case[RelativeDirection], conclusion: Any) -> str:
        observer, facing = (
            case.cast.one(case.found[place], _ROLES[place], case.context) for place in (0, 1)
        )
        ends = (observer, facing, observer, conclusion.object_id)
        bearing_deg = true_bearing(case.context, ends)
        if bearing_deg is None:
            return f"not in the code: {conclusion.object_id}"
        # a word of another level than the one asked for may be true as well
        asked = case.question.level
        levels = [asked, *(level for level in DIRECTION_WORDS if level != asked)]
        said_at = (each for each in levels if conclusion.direction in DIRECTION_WORDS[each])
        true = word_of(bearing_deg, next(said_at, asked))
        return "" if conclusion.direction == true else f"it is to the {true}"

    def meaning(self, question: RelativeDirection, words: str) -> Meaning | None:
        word = words.replace(" ", "-")
        return (word,) if word in DIRECTION_WORDS[question.level] else None

    def mirrors(self, question: RelativeDirection) -> bool:
        return True


def _ends(case: Case[RelativeDirection]) -> Ends:
    """Ends of the forward vector and of the one to the target."""
    observer, facing, target = (case.chosen(place, role) for place, role in enumerate(_ROLES))
    return observer, facing, observer, target


FAMILY = RelativeDirectionFamily()
