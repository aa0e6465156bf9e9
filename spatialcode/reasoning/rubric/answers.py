"""The answer that a completion gives: read, and understood as what it says of the scene.

A *meaning* is a number in the question's unit, or a tuple of words: the direction, yes or no, the
turns in order, candidates by their place in the question ("0", "1", …).
"""

from __future__ import annotations

import re

from spatialcode.questions.names import plain
from spatialcode.questions.types import (
    DIRECTION_WORDS,
    NUMERIC_FAMILIES,
    TURNS,
    AbsoluteDistance,
    AppearanceOrder,
    Blank,
    Configuration,
    Counting,
    ObjectSize,
    Question,
    Reference,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
)

Meaning = float | tuple[str, ...]

_QUANTITY = re.compile(r"([-+]?\d{1,9}(?:\.\d{1,9})?)\s*([a-zA-Z²]{0,8}2?)\.?")
_LETTER = re.compile(r"\(?([A-Z])\)?(?:[.):]\s*(.{1,200}))?")
_PREFIX = re.compile(r"^\s*[A-Z][.)]\s*")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_TURN = re.compile("|".join(TURNS))
#: Answers in the forms that other readers take: boxed, bold alone on a line, JSON.
_OTHER = re.compile(
    r"\\boxed\{([^{}\n]{1,60})\}|\"answer\"\s{0,4}:\s{0,4}\"?([^\",{}\n]{1,60})"
    r"|^\*\*([^*\n]{1,60})\*\*$",
    re.MULTILINE,
)
_PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
_AREA_UNITS = ("", "m2", "m²", "sqm")


def per_metre(question: Question) -> float:
    """How many of the question's units a metre has; 1 where the unit is no length."""
    if isinstance(question, ObjectSize | AbsoluteDistance):
        return _PER_METRE[question.unit]
    return 1.0


def is_numeric(question: Question) -> bool:
    """Whether a number answers the question: a numeric family, and no options to choose from."""
    return question.family in NUMERIC_FAMILIES and not question.options


def given_answer(text: str, question: Question) -> float | str | None:
    """A final answer as a number in the question's unit, or an option's letter; None if neither.

    A letter with other words behind it than that option's own is neither. Where a choice has no
    options, the words themselves in lower case, if they can answer the question.
    """
    if is_numeric(question):
        return _number(text, question)
    if question.options:
        return _letter(text, question)
    words = plain(text)
    return words if 0 < len(words) <= 200 and _said(words, question) is not None else None


def other_answers(completion: str, question: Question) -> set[float | str]:
    """Answers given outside an ``Answer:`` line: boxed, bold alone on a line, JSON."""
    texts = (next(filter(None, found.groups())) for found in _OTHER.finditer(completion))
    given = {given_answer(text.strip(), question) for text in texts}
    return {answer for answer in given if answer is not None}


def _number(text: str, question: Question) -> float | None:
    match = _QUANTITY.fullmatch(text.strip())
    if not match:
        return None
    value, unit = float(match[1]), match[2].lower()
    if isinstance(question, RoomSize):
        return value if unit in _AREA_UNITS else None
    if isinstance(question, Counting):
        return value
    if unit and unit not in _PER_METRE:
        return None
    return value if not unit else value / _PER_METRE[unit] * per_metre(question)


def _letter(text: str, question: Question) -> str | None:
    text = text.strip().rstrip(".")
    for option in question.options:
        if text.lower() == bare(option.text):
            return option.letter
    match = _LETTER.fullmatch(text)
    if not match:
        return None
    chosen = [o for o in question.options if o.letter == match[1]]
    if not chosen or (match[2] and match[2].lower() != bare(chosen[0].text)):
        return None
    return match[1]


def bare(option: str) -> str:
    """An option's words in lower case, without its letter."""
    return _PREFIX.sub("", option).strip().rstrip(".").lower()


def meaning_of(question: Question, given: float | str | None) -> Meaning | None:
    """What an answer says of the scene; None where it says nothing that fits the question."""
    if given is None or isinstance(given, float):
        return given
    if not question.options:
        return _said(given, question)
    at = next((n for n, option in enumerate(question.options) if option.letter == given), None)
    if at is None:
        return None
    if isinstance(question, RelativeDistance):
        return (str(at),) if at < len(question.candidates) else None
    text = bare(question.options[at].text)
    if question.family in NUMERIC_FAMILIES:
        found = _NUMBER.search(text)
        return float(found[0]) if found else None
    return _said(text, question)


def _said(words: str, question: Question) -> tuple[str, ...] | None:
    """Words as a meaning: as options and free answers write them."""
    words = words.lower()
    match question:
        case RelativeDirection():
            word = words.replace(" ", "-")
            return (word,) if word in DIRECTION_WORDS[question.level] else None
        case Configuration():
            return (words,) if words in ("yes", "no") else None
        case RoutePlanning():
            turns = tuple(_TURN.findall(words))
            blanks = sum(isinstance(step, Blank) for step in question.steps)
            return turns if len(turns) == blanks else None
        case RelativeDistance():
            at = _candidate(words, question.candidates)
            return None if at is None else (at,)
        case AppearanceOrder():
            listed = [_candidate(word, question.candidates) for word in words.split(",")]
            whole = len(set(listed)) == len(listed) == len(question.candidates)
            return tuple(map(str, listed)) if whole and None not in listed else None
    return None


def _candidate(words: str, candidates: tuple[Reference, ...]) -> str | None:
    """The place of the candidate that is so called: its phrase, else its noun."""
    name = plain(words)
    for names in ([plain(one.phrase) for one in candidates], [one.noun for one in candidates]):
        if name in names:
            return str(names.index(name))
    return None


def nearest_offers(question: Question, value: float, slack: float) -> list[float]:
    """The offered numbers that a value may stand for: the nearest, within what rounding leaves."""
    numbers = [_NUMBER.search(bare(option.text)) for option in question.options]
    offers = [float(found[0]) for found in numbers if found]
    least = min((abs(offer - value) for offer in offers), default=0.0)
    return [offer for offer in offers if abs(offer - value) <= least + slack]
