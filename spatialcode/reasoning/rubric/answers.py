"""The answer that a completion gives: read, and understood as what it says of the scene.

A *meaning* is a number in the question's unit, or a tuple of words: the direction, yes or no, the
turns in order, candidates by their place in the question ("0", "1", …).
"""

from __future__ import annotations

import re

from spatialcode.questions.names import plain
from spatialcode.questions.types import Question, Reference
from spatialcode.reasoning.families.registry import family_of

Meaning = float | tuple[str, ...]

_QUANTITY = re.compile(r"([-+]?\d{1,9}(?:\.\d{1,9})?)\s*([a-zA-Z²]{0,8}2?)\.?")
_LETTER = re.compile(r"\(?([A-Z])\)?(?:[.):]\s*(.{1,200}))?")
_PREFIX = re.compile(r"^\s*[A-Z][.)]\s*")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
#: Answers in the forms that other readers take: boxed, bold alone on a line, JSON.
_OTHER = re.compile(
    r"\\boxed\{([^{}\n]{1,60})\}|\"answer\"\s{0,4}:\s{0,4}\"?([^\",{}\n]{1,60})"
    r"|^\*\*([^*\n]{1,60})\*\*$",
    re.MULTILINE,
)
_PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
_AREA_UNITS = ("", "m2", "m²", "sqm")


def is_numeric(question: Question) -> bool:
    """Whether a number answers the question: a numeric family, and no options to choose from."""
    return family_of(question).numeric and not question.options


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
    if not 0 < len(words) <= 200 or family_of(question).meaning(question, words) is None:
        return None
    return words


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
    family = family_of(question)
    wanted = family.unit(question)
    if wanted == "m2":
        return value if unit in _AREA_UNITS else None
    if not wanted:  # a count: whatever is counted may stand behind it
        return value
    if unit and unit not in _PER_METRE:
        return None
    return value if not unit else value / _PER_METRE[unit] * family.per_metre(question)


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
    family = family_of(question)
    if not question.options:
        return family.meaning(question, given.lower())
    at = next((n for n, option in enumerate(question.options) if option.letter == given), None)
    if at is None:
        return None
    return family.meaning_of_option(question, at, bare(question.options[at].text))


def first_number(words: str) -> float | None:
    """The first number of an option's words; None where they hold none."""
    found = _NUMBER.search(words)
    return float(found[0]) if found else None


def candidate_named(words: str, candidates: tuple[Reference, ...]) -> str | None:
    """The place of the candidate that is so called: its phrase, else its noun."""
    name = plain(words)
    for names in ([plain(one.phrase) for one in candidates], [one.noun for one in candidates]):
        if name in names:
            return str(names.index(name))
    return None


def nearest_offers(question: Question, value: float, slack: float) -> list[float]:
    """The offered numbers that a value may stand for: the nearest, within what rounding leaves."""
    numbers = [first_number(bare(option.text)) for option in question.options]
    offers = [number for number in numbers if number is not None]
    least = min((abs(offer - value) for offer in offers), default=0.0)
    return [offer for offer in offers if abs(offer - value) <= least + slack]
