"""Questions read from their text and options alone.

Every sentence is tried with every rule, and a rule reads a whole sentence or nothing. So what is
not quite a question of some family becomes an `UnparsedQuestion`, as does a text that asks two
things. Whether a word names a thing is judged by grammar only: "the distance between Paris and
London" is a distance between two things.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from spatialcode.errors import SchemaError
from spatialcode.questions import rules, rules_viewed
from spatialcode.questions.rules import Common
from spatialcode.questions.same import same_question
from spatialcode.questions.sentences import bare, flat, sentences
from spatialcode.questions.types import Option, Question, UnparsedQuestion

#: Longer texts are not questions.
MAX_CHARS = 4000
#: Longer sentences are not read.
_MAX_SENTENCE = 800
_OPTION = re.compile(r"^\s*\(?([A-Za-z])\s*[.):]\s*(.*)$", re.DOTALL)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_RULES = rules.RULES + rules_viewed.RULES


def read_options(options: Sequence[str]) -> tuple[Option, ...]:
    """Options with their letters; bare words get A, B, C, … in order."""
    read = []
    for n, text in enumerate(options):
        found = _OPTION.match(text)
        letter = found[1].upper() if found else _LETTERS[n % 26]
        read.append(Option(letter, (found[2] if found else text).strip()))
    return tuple(read)


def parse(text: str, options: Sequence[str] = ()) -> Question:
    """The typed question; `UnparsedQuestion` where no rule fits. Never raises for a string."""
    common: Common = {"text": text, "options": read_options(options)}
    line = flat(text) if len(text) <= MAX_CHARS else text
    if len(line) > MAX_CHARS:  # some characters stand for many
        return UnparsedQuestion(reason=f"longer than {MAX_CHARS} characters", **common)
    reasons: list[str] = []
    try:
        if "robot" in line.lower() and (found := rules_viewed.route(line, common)):
            return found
    except SchemaError as error:
        reasons.append(str(error))
    asked = _asked(sentences(line))
    if len(asked) > 1 and _is_marked(asked[0]):
        return UnparsedQuestion(reason=f"{len(asked)} questions in one text", **common)
    # lines without a mark are sentences too, unless a sentence runs over them
    by_line = [part for row in text.splitlines() for part in sentences(flat(row))]
    for parts in (asked, _asked(by_line)):
        first: Question | None = None
        for sentence in parts:
            for one in _readings(sentence, common, reasons):
                if first is not None and not same_question(first, one):
                    families = f"{first.family}, {one.family}"
                    return UnparsedQuestion(reason=f"two readings: {families}", **common)
                first = first or one
        if first is not None:
            return first
    reason = f"; {reasons[-1]}" if reasons else ""
    return UnparsedQuestion(reason="no known kind of question" + reason, **common)


def _asked(parts: Sequence[str]) -> list[str]:
    """The sentences with a question mark, else all; each with where one stands, if said before."""
    asked = []
    for n, part in enumerate(parts):
        before = bare(parts[n - 1]) if n else ""
        stands = rules_viewed.STANDS.fullmatch(before) if len(before) <= _MAX_SENTENCE else None
        asked.append(f"{before}, {part}" if stands else part)
    return [part for part in asked if _is_marked(part)] or asked


def _is_marked(sentence: str) -> bool:
    return sentence.rstrip("\"' )").endswith("?")


def _readings(sentence: str, common: Common, reasons: list[str]) -> list[Question]:
    """What the rules make of a sentence; ``reasons`` gets why one that fitted made nothing."""
    if len(sentence) > _MAX_SENTENCE:
        reasons.append(f"a sentence longer than {_MAX_SENTENCE} characters")
        return []
    sentence = bare(sentence)
    lower = sentence.lower()
    read: list[Question] = []
    for rule in _RULES:
        if not any(word in lower for word in rule.words):
            continue
        for pattern in rule.patterns:
            found = pattern.fullmatch(sentence)
            if found is None:
                break  # the other one would not fit either
            try:
                question = rule.build(found, common)
            except SchemaError as error:
                reasons.append(str(error))
                continue
            if question is not None:
                read.append(question)
    return read
