"""The number that a short text gives as the answer to a question, in the question's unit."""

from __future__ import annotations

import re

from spatialcode.questions.names import match
from spatialcode.questions.types import (
    AbsoluteDistance,
    Counting,
    ObjectSize,
    Question,
    RoomSize,
    UnparsedQuestion,
)
from spatialcode.reasoning.answers.choices import Unread
from spatialcode.reasoning.answers.quantities import (
    Quantity,
    digits_for_words,
    is_range,
    point_for_comma,
    quantities,
)

#: Two numbers of one answer in different units ("2.5 m, 8.2 ft") may differ by their rounding.
_ALIKE = 0.02

#: Words that may stand beside a number that is an answer by itself.
_ABOUT = re.compile(
    r"\W|\b(?:about|roughly|approximately|approx|around|circa|exactly|only|nearly|almost|it is|its"
    r"|a|an|the|total|of|apart|away|long)\b"
)


def unit_of(question: Question) -> str:
    """The unit of a number that answers the question: "m", "cm", "m2", "" for a count."""
    if isinstance(question, ObjectSize | AbsoluteDistance):
        return question.unit
    return "m2" if isinstance(question, RoomSize) else ""


_BRACKETS = re.compile(r"\([^()]{0,200}\)|\[[^\[\]]{0,200}\]")
_MARGIN = re.compile(r"\s?(?:±|\+/-|\\pm)\s?\d[\d.]{0,12}")
_PRODUCT = re.compile(r"\d\s?(?:×|x)\s?\d|\b[a-z]{1,3}\s?(?:×|x)\s?\d")


def read_number(text: str, question: Question) -> float | Unread:
    """The one number of a cleaned text. What follows the last "=" counts; brackets only where
    there is no number outside; a number with a fitting unit before one without.
    """
    text = text.lower()
    text = digits_for_words(_MARGIN.sub("", text))
    if not isinstance(question, Counting):
        text = point_for_comma(text)
    _, equals, result = text.rpartition("=")
    if equals and any(character.isdigit() for character in result):
        text = result
    outside = _BRACKETS.sub(" ", text)
    if any(character.isdigit() for character in outside):
        text = outside
    if is_range(text):
        return Unread("a range, or several numbers", several=True)
    if _PRODUCT.search(text):
        return Unread("a product that is not worked out", several=True)
    found = quantities(text)
    if not found and isinstance(question, Counting) and _says_none(text, question):
        return 0.0
    return _chosen(found, text, question)


def _chosen(found: list[Quantity], text: str, question: Question) -> float | Unread:
    """The one number that the question asks for, in its unit."""
    wanted = {"m": "length", "cm": "length", "m2": "area"}.get(unit_of(question), "none")
    fitting = [q for q in found if q.dimension == wanted]
    fitting = fitting or [q for q in found if q.dimension == "none"]
    if isinstance(question, UnparsedQuestion):  # nobody knows its unit: the number as written
        fitting = [Quantity(q.written, "none", q.start, q.end) for q in fitting or found]
    if isinstance(question, Counting):
        counted = [q for q in fitting if _counts(text[q.end : q.end + 60], question)]
        fitting = counted or fitting
    if not fitting:
        units = ", ".join(dict.fromkeys(q.unit for q in found))
        return Unread(f"no number in {unit_of(question) or 'whole things'}; got {units}"
                      if found else "names no number")  # fmt: skip
    first = fitting[0]
    for other in fitting[1:]:
        slack = 1e-9 if other.unit == first.unit else _ALIKE
        if abs(other.value - first.value) > slack * max(abs(first.value), 1e-9):
            return Unread("more than one number", several=True)
    if first.value < 0.0:
        return Unread("a negative number")
    centimetres = wanted == "length" and unit_of(question) == "cm"
    return first.value * 100.0 if centimetres and first.dimension == "length" else first.value


def _counts(following: str, question: Counting) -> bool:
    """Whether the words behind a number are the kind that is counted."""
    words = re.findall(r"[a-z]+", following.partition(".")[0])[:3]
    noun = question.target.noun
    return any(match(noun, " ".join(words[i:j])) > 0.0
               for j in range(1, len(words) + 1) for i in range(j))  # fmt: skip


def _says_none(text: str, question: Counting) -> bool:
    if re.fullmatch(r"\W*(?:none|no|nothing)\W*", text) or re.search(r"\bnone\b", text):
        return True
    found = re.search(r"\b(?:no|not any|aren't any)\s+", text)
    return found is not None and _counts(text[found.end() :], question)


def is_only_number(text: str, question: Question) -> bool:
    """Whether a cleaned text is a number and nothing else but its unit or what is counted."""
    text = digits_for_words(_MARGIN.sub("", text.lower()))
    for quantity in reversed(quantities(text)):
        text = f"{text[: quantity.start]} {text[quantity.end :]}"
    rest = " ".join(_ABOUT.sub(" ", text).split())
    if isinstance(question, Counting) and len(rest.split()) <= 2 and _counts(rest, question):
        return True
    return rest in ("", "none")
