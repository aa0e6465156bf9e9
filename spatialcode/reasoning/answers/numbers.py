"""The number that a short text gives as the answer to a question, in the question's unit.

Numbers with units are read from texts like "2.5 m", "8 ft 2 in", "three chairs", "half a metre".
Lengths come out in metres, areas in square metres, everything else as written. A unit that
measures neither (kg, degrees, km: no room is measured in kilometres) makes a quantity ``other``.
It does not calculate: "4 x 5 m" stays two numbers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from spatialcode.questions.names import match
from spatialcode.questions.types import Question, Reference, UnparsedQuestion
from spatialcode.reasoning.answers.choices import NoAnswer
from spatialcode.reasoning.families.registry import family_of

Dimension = Literal["length", "area", "none", "other"]

_FOOT_M, _INCH_M = 0.3048, 0.0254
_LENGTHS_M = {
    "m": 1.0, "meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0,
    "cm": 0.01, "cms": 0.01, "centimeter": 0.01, "centimeters": 0.01, "centimetre": 0.01,
    "centimetres": 0.01, "mm": 1e-3, "millimeter": 1e-3, "millimeters": 1e-3, "millimetre": 1e-3,
    "millimetres": 1e-3, "dm": 0.1, "ft": _FOOT_M, "foot": _FOOT_M, "feet": _FOOT_M,
    "′": _FOOT_M, "'": _FOOT_M, "in": _INCH_M, "inch": _INCH_M, "inches": _INCH_M,
    "″": _INCH_M, '"': _INCH_M, "yd": 0.9144, "yard": 0.9144, "yards": 0.9144,
}  # fmt: skip
#: Read only as factors of a square: the rest of a length's spellings follow from `_LENGTHS_M`.
_SHORT = ("m", "cm", "mm", "ft", "in")
_FOREIGN = (
    "km", "km2", "kilometers", "kilometres", "miles", "kg", "g", "s", "sec", "seconds", "min",
    "minutes", "hours", "degrees", "degree", "deg", "rad", "radians", "px", "pixels", "percent",
    "m3", "cm3", "ft3", "hz", "°", "%", "cubic meters", "cubic metres", "cubic feet",
)  # fmt: skip


def _areas_m2() -> dict[str, float]:
    table = {"sqm": 1.0, "sqft": _FOOT_M**2}
    for name, metres in _LENGTHS_M.items():
        if name.isalpha():
            table |= {f"{word} {name}": metres**2 for word in ("square", "sq", "sq.")}
        if name in _SHORT:
            table[f"{name}2"] = metres**2
    return table


_UNITS: dict[str, tuple[Dimension, float]] = {
    **{name: ("length", metres) for name, metres in _LENGTHS_M.items()},
    **{name: ("area", m2) for name, m2 in _areas_m2().items()},
    **dict.fromkeys(_FOREIGN, ("other", 1.0)),
}
_BY_LENGTH = sorted(_UNITS, key=len, reverse=True)
#: After "in", these words show a preposition and no inches.
_AFTER_IN = (
    r"(?!\s+(?:the|this|that|total|all|an?|my|your|our|its|their|each|every|front|view|sight|room"
    r"|both|square|(?:centi|milli)?met(?:er|re)s?|c?m|mm|feet|foot)\b)"
)
_UNIT_WORDS = "|".join(
    re.escape(name).replace(r"\ ", r"\s{1,2}")
    + (_AFTER_IN if name == "in" else "")
    + (r"(?![^\W\d_]|\d)" if name[-1].isalnum() or name[-1] == "." else "")
    for name in _BY_LENGTH
)
_DIGITS = r"(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.\d{1,15})?|\.\d{1,15}"
_NUMBER = rf"(?:(?:{_DIGITS})(?:e[-+]?\d{{1,3}}(?!\w))?)"
_FRACTION = r"(?:(?P<whole>\d{1,4})[ -])?(?P<top>\d{1,4})\s?/\s?(?P<bottom>\d{1,4})(?![\d./])"
_QUANTITY = re.compile(
    rf"(?<![\w.])(?P<sign>(?<![\w.)\s])-|(?<!\S)-|)(?:{_FRACTION}|(?P<number>{_NUMBER}))"
    rf"(?![\d])(?:(?:\s{{0,3}}-?\s?|\s{{1,2}}in\s{{1,2}}(?=\w{{2}}))(?P<unit>{_UNIT_WORDS})"
    r"|(?P<glued>[^\W\d]))?",
)
#: "2-3", "2 m to 3 m", "between 2 and 3"; "2 or 3 m", "2, 3 m".
_RANGE = re.compile(
    rf"(?<![\w.]){_NUMBER}\s{{0,3}}(?:{_UNIT_WORDS})?\s{{0,3}}(?:-|\.\.|~|\bto\b)\s{{0,3}}\d"
    rf"|\bbetween\s{{1,3}}{_NUMBER}\s{{0,3}}(?:{_UNIT_WORDS})?\s{{0,3}}and\s{{1,3}}\d"
    rf"|(?<![\w.]){_NUMBER}\s{{0,3}}(?:(?:\bor\b|\band\b|[;&])\s{{1,3}}"
    r"|,(?!\d{3}(?!\d))\s{0,3})\d"
)
#: "2,5", but not "1,200" or "1,2,3".
_DECIMAL_COMMA = re.compile(r"(?<![\w.,])(\d{1,15}),(\d{1,2})(?![\d,])")
_GAP = re.compile(r"\s*,?\s*(?:and)?\s*")

_ONES = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = (
    {word: float(n) for n, word in enumerate(_ONES, 1)}
    | {word: 10.0 * n for n, word in enumerate(_TENS, 2)}
    | {"zero": 0.0, "single": 1.0, "dozen": 12.0, "hundred": 100.0}
)
_ONE = f"(?:{'|'.join(sorted(_ONES, key=len, reverse=True))})"
_UNDER_HUNDRED = f"(?:(?:{'|'.join(_TENS)})(?:[ -]{_ONE})?|{_ONE}|zero|single|dozen)"
_SPELLED = re.compile(
    rf"(?<![\w-])(?:an? (?=hundred|dozen|single))?(?P<words>(?:{_ONE} )?hundred"
    rf"(?: (?:and )?{_UNDER_HUNDRED})?|{_UNDER_HUNDRED})"
    r"(?P<half> and a half)?(?P<quarter> and a quarter)?(?![\w-])"
)
_HALF = re.compile(r"\b(?:one[ -])?half (?:an? |of an? )")
#: "One" after these words stands for a thing, not for a number.
_PRONOUN = re.compile(
    r"\b(?:the|this|that|which|each|every|any|another|closest|nearest|first|second|third|last"
    r"|other|left|right|no)\s+$"
)


@dataclass(frozen=True)
class WrittenNumber:
    """A number as metres, square metres or, without a unit, as it is.

    ``written``: before conversion. ``start``, ``end``: where it stands. ``unit``: as written.
    """

    value: float
    dimension: Dimension
    start: int
    end: int
    unit: str = ""
    written: float = 0.0


def digits_for_words(text: str) -> str:
    """Lower-case text with number words as digits; unchanged where it holds digits already."""
    if any(character.isdigit() for character in text):
        return text
    text = _HALF.sub("0.5 ", text)
    return _SPELLED.sub(lambda found: _digits(found, text), text)


def _digits(found: re.Match[str], text: str) -> str:
    words = [word for word in re.split(r"[ -]", found["words"]) if word != "and"]
    before = text[max(0, found.start() - 12) : found.start()]
    if words == ["one"] and (_PRONOUN.search(before) or text.startswith(" of ", found.end())):
        return found[0]
    total = 0.0
    for word in words:
        total = max(total, 1.0) * 100.0 if word == "hundred" else total + _WORDS[word]
    total += (0.5 if found["half"] else 0.0) + (0.25 if found["quarter"] else 0.0)
    return f"{total:g}"


def quantities(text: str) -> list[WrittenNumber]:
    """Every quantity of a lower-case text, in order; "2 m 30 cm" and "5 ft 2 in" are one each.

    Numbers inside words (chair_1, 3d) are none; a number too large for a float is none.
    """
    found: list[WrittenNumber] = []
    for one_match in _QUANTITY.finditer(text):
        if one_match["glued"]:
            continue
        value = _value(one_match)
        if value is None or not math.isfinite(value):
            continue
        unit = " ".join((one_match["unit"] or "").split())
        if unit in ("'", '"') and text.count(unit) % 2 == 0:
            unit = ""  # quotation marks come in pairs
        dimension, factor = _UNITS.get(unit, ("none", 1.0))
        one = WrittenNumber(
            value * factor, dimension, one_match.start(), one_match.end(), unit, value
        )
        before = found[-1] if found else None
        if before and _continues(before, one, text):
            total = before.value + one.value
            found[-1] = WrittenNumber(total, "length", before.start, one.end, one.unit, total)
        else:
            found.append(one)
    return found


def _value(one_match: re.Match[str]) -> float | None:
    if one_match["number"] is not None:
        value = float(one_match["number"].replace(",", ""))
    elif int(one_match["bottom"]) == 0:
        return None
    else:
        value = int(one_match["whole"] or 0) + int(one_match["top"]) / int(one_match["bottom"])
    return -value if one_match["sign"] else value


def _continues(before: WrittenNumber, one: WrittenNumber, text: str) -> bool:
    """Whether a smaller unit follows a larger one, as in "2 m 30 cm"."""
    if before.dimension != "length" or one.dimension != "length" or not before.unit:
        return False
    smaller = _UNITS[one.unit][1] < _UNITS[before.unit][1]
    larger = one.value < _UNITS[before.unit][1]
    return smaller and larger and _GAP.fullmatch(text, before.end, one.start) is not None


#: Two numbers of one answer in different units ("2.5 m, 8.2 ft") may differ by their rounding.
_ALIKE = 0.02

#: Words that may stand beside a number that is an answer by itself.
_ABOUT = re.compile(
    r"\W|\b(?:about|roughly|approximately|approx|around|circa|exactly|only|nearly|almost|it is|its"
    r"|a|an|the|total|of|apart|away|long)\b"
)


_BRACKETS = re.compile(r"\([^()]{0,200}\)|\[[^\[\]]{0,200}\]")
_MARGIN = re.compile(r"\s?(?:±|\+/-|\\pm)\s?\d[\d.]{0,12}")
_PRODUCT = re.compile(r"\d\s?(?:×|x)\s?\d|\b[a-z]{1,3}\s?(?:×|x)\s?\d")


def read_number(text: str, question: Question) -> float | NoAnswer:
    """The one number of a cleaned text. What follows the last "=" counts; brackets only where
    there is no number outside; a number with a fitting unit before one without.
    """
    text = text.lower()
    text = digits_for_words(_MARGIN.sub("", text))
    counted = family_of(question).counted(question)
    if counted is None:
        text = _DECIMAL_COMMA.sub(r"\1.\2", text)
    _, equals, result = text.rpartition("=")
    if equals and any(character.isdigit() for character in result):
        text = result
    outside = _BRACKETS.sub(" ", text)
    if any(character.isdigit() for character in outside):
        text = outside
    if _RANGE.search(text):
        return NoAnswer("a range, or several numbers", several=True)
    if _PRODUCT.search(text):
        return NoAnswer("a product that is not worked out", several=True)
    found = quantities(text)
    if not found and counted is not None and _says_none(text, counted):
        return 0.0
    return _chosen(found, text, question)


def _chosen(found: list[WrittenNumber], text: str, question: Question) -> float | NoAnswer:
    """The one number that the question asks for, in its unit."""
    unit = family_of(question).unit(question)
    wanted = {"m": "length", "cm": "length", "m2": "area"}.get(unit, "none")
    fitting = [q for q in found if q.dimension == wanted]
    fitting = fitting or [q for q in found if q.dimension == "none"]
    if isinstance(question, UnparsedQuestion):  # its unit is not known: the number as written
        fitting = [WrittenNumber(q.written, "none", q.start, q.end) for q in fitting or found]
    counted = family_of(question).counted(question)
    if counted is not None:
        fitting = [q for q in fitting if _counts(text[q.end : q.end + 60], counted)] or fitting
    if not fitting:
        units = ", ".join(dict.fromkeys(q.unit for q in found))
        return NoAnswer(f"no number in {unit or 'whole things'}; got {units}"
                      if found else "names no number")  # fmt: skip
    first = fitting[0]
    for other in fitting[1:]:
        slack = 1e-9 if other.unit == first.unit else _ALIKE
        if abs(other.value - first.value) > slack * max(abs(first.value), 1e-9):
            return NoAnswer("more than one number", several=True)
    if first.value < 0.0:
        return NoAnswer("a negative number")
    centimetres = unit == "cm" and first.dimension == "length"
    return first.value * 100.0 if centimetres else first.value


def _counts(following: str, counted: Reference) -> bool:
    """Whether the words behind a number are the kind that is counted."""
    words = re.findall(r"[a-z]+", following.partition(".")[0])[:3]
    return any(match(counted.noun, " ".join(words[i:j])) > 0.0
               for j in range(1, len(words) + 1) for i in range(j))  # fmt: skip


def _says_none(text: str, counted: Reference) -> bool:
    if re.fullmatch(r"\W*(?:none|no|nothing)\W*", text) or re.search(r"\bnone\b", text):
        return True
    found = re.search(r"\b(?:no|not any|aren't any)\s+", text)
    return found is not None and _counts(text[found.end() :], counted)


def is_only_number(text: str, question: Question) -> bool:
    """Whether a cleaned text is a number and nothing else but its unit or what is counted."""
    text = digits_for_words(_MARGIN.sub("", text.lower()))
    for quantity in reversed(quantities(text)):
        text = f"{text[: quantity.start]} {text[quantity.end :]}"
    rest = " ".join(_ABOUT.sub(" ", text).split())
    counted = family_of(question).counted(question)
    if counted is not None and len(rest.split()) <= 2 and _counts(rest, counted):
        return True
    return rest in ("", "none")
