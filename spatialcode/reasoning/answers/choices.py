"""Which choice a short text names: by its letter, by its words, or by both.

Choices are a question's options; without options they follow from its family: yes and no, the
direction words, the candidates, an order of them, a list of turns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from spatialcode.questions.names import SYNONYM, match, plain
from spatialcode.questions.types import Question
from spatialcode.reasoning.families.registry import family_of


@dataclass(frozen=True)
class Choice:
    """A choice: its words, and its letter where the words alone do not tell it."""

    words: str
    letter: str | None = None


@dataclass(frozen=True)
class NoAnswer:
    """Why a text gives no single answer; ``several``: it gives more than one."""

    reason: str
    several: bool = False


_SEPARATORS = re.compile(
    r"\s*(?:,\s*)?(?:[-=]*>|→|⟶|;|/|\band then\b|\bthen\b|\band\b|&)\s*|\s*,\s*"
)
_HYPHEN = re.compile(r"(?<=\w)-(?=\w)")
_NEGATED = re.compile(
    r"\b(?:not|rather than|instead of|neither|unlike)\s+(?:(?:the|to|option|an?|my|on)\s+){0,3}"
    r"\(?[\w-]{1,40}\)?",
    re.IGNORECASE,
)
_TRUTH = {"true": "yes", "false": "no"}
#: A letter with more words than these behind it is trusted over words of another choice.
_FEW_WORDS = 4


def choices_of(question: Question) -> tuple[Choice, ...]:
    """The choices to tell apart; empty where an order, a route or anything at all may be said."""
    if question.options:
        return tuple(Choice(option.text, option.letter) for option in question.options)
    return tuple(Choice(words) for words in family_of(question).choice_words(question))


def read_choice(text: str, question: Question) -> Choice | NoAnswer:
    """The choice that a short text names. Letters beside another choice's words name two."""
    choices = choices_of(question)
    if not choices:
        return family_of(question).read_listed(text, question)
    exact = exact_choice(text, choices)
    if exact is not None:
        return exact
    text = _NEGATED.sub(" ", text)
    named = _lettered(text, choices)
    spoken = _spoken(text, choices)
    if len(named) == 1:
        if spoken and named[0] not in spoken and len(text.split()) <= _FEW_WORDS:
            return NoAnswer(f"the letter {named[0].letter} beside other words", several=True)
        return named[0]
    several = named or spoken
    if len(several) > 1:
        return NoAnswer("more than one choice", several=True)
    return spoken[0] if spoken else NoAnswer("names no choice")


def exact_choice(text: str, choices: tuple[Choice, ...]) -> Choice | None:
    """The choice that a text is, and nothing beside: "B", "(B) chair", "the chair"."""
    bare = text.strip().strip("\"'.,:!").strip()
    alone = re.fullmatch(r"[(\[]?\s?([A-Za-z])\s?[)\]]?", bare)
    if alone:
        return next((one for one in choices if one.letter == alone[1].upper()), None)
    words = _TRUTH.get(flat(bare), flat(bare))
    for one in choices:
        if words == flat(one.words):
            return one
    head = re.match(r"(?:option\s+)?[(\[]?([A-Z])(?:[)\]]\s*[-.:]?|\s*[.:-])?\s*(.+)$", bare)
    tail = re.match(r"(.+?)\s*[(\[]([A-Z])[)\]]$", bare)
    for letter, rest in ((head[1], head[2]),) if head else ((tail[2], tail[1]),) if tail else ():
        for one in choices:
            if one.letter == letter and flat(rest.strip(" ()")) == flat(one.words):
                return one
    alike = [one for one in choices if match(bare, one.words) >= SYNONYM]
    return alike[0] if len(alike) == 1 and len(bare) <= 60 else None


def flat(text: str) -> str:
    """Lower case, one blank, hyphens as blanks, lists parted by commas, without "turn"."""
    text = _HYPHEN.sub(" ", text.lower())
    text = re.sub(r"\bturn(?:ing)?\s+", "", text)
    parts = (plain(part) for part in _SEPARATORS.split(text))
    return ",".join(part for part in parts if part)


def _lettered(text: str, choices: tuple[Choice, ...]) -> list[Choice]:
    """Choices named by letter: in brackets, after "option", or where no noun can follow."""
    by_letter = {one.letter: one for one in choices if one.letter}
    if not by_letter:
        return []
    letter = f"[{''.join(by_letter)}]"
    pattern = (
        rf"[(\[]\s?({letter})\s?[)\]]|\b(?:[Oo]ption|[Cc]hoice|[Ll]etter|[Aa]nswer)\s+\(?({letter})\b"
        rf"|(?<![\w'_])({letter})(?=\s*(?:[.):,;/!]|$|\s-|\s+(?:is|or|and)\b))"
    )
    found = (next(filter(None, match.groups())) for match in re.finditer(pattern, text))
    return [by_letter[one] for one in dict.fromkeys(found)]


def _spoken(text: str, choices: tuple[Choice, ...]) -> list[Choice]:
    """Choices whose words stand in the text, longer ones first: "front-left" is not "left"."""
    by_words: dict[str, Choice] = {}
    for one in choices:
        by_words.setdefault(flat(one.words), one)
    by_words.pop("", None)
    if not by_words:
        return []
    longest_first = sorted(by_words, key=len, reverse=True)
    pattern = "|".join(re.escape(words) for words in longest_first)
    found = re.finditer(rf"(?<!\w)({pattern})(?:s|es)?(?!\w)", flat(text))
    return [by_words[words] for words in dict.fromkeys(match[1] for match in found)]
