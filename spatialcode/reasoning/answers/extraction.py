r"""The answer that a completion gives, read by rule.

Forms, the strongest first:

=========== =======================================================================
tag         ``<answer>B</answer>``
boxed       ``\boxed{2.5\,\text{m}}``
json        ``{"answer": "B"}``, also ``final_answer``, ``choice``, ``option``; ``unit`` beside it
final       "Final answer: B"
line        "Answer: B", "**Answer**: (B) chair", "Answer:" and the answer on the next line
bare        the last line is an answer and nothing else: "B", "chair", "about 2.5 m"
sentence    "the answer is B", "the correct option is B"
conclusion  what follows so, therefore, thus, hence: "so it is about 2.5 m"
prose       the last sentence that holds an answer: "the tv is 2.5 m from the sofa"
=========== =======================================================================

**Rule.** The strongest form that can be read counts; weaker ones are not looked at. All its
answers must agree, and the last is taken; where they differ, or one names two ("A or B", "2-3 m"),
there is no answer. Conclusion and prose are tried only where no stronger form is there at all, not
even an unreadable one ("Answer: unknown"); of these the last sentence that names an answer counts.
Text up to a closing ``</think>`` is not read. A range is no answer: neither end was chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from spatialcode.questions.types import Question, UnparsedQuestion
from spatialcode.reasoning.answers import forms
from spatialcode.reasoning.answers.choices import (
    Choice,
    NoAnswer,
    choices_of,
    exact_choice,
    read_choice,
)
from spatialcode.reasoning.answers.numbers import is_only_number, read_number
from spatialcode.reasoning.families.registry import family_of

#: Answers stand at the end: of a longer completion only so many last characters are read.
READ_CHARS = 50_000
#: A longer last line is prose.
_BARE_CHARS = 80


@dataclass(frozen=True)
class Extracted:
    """An answer: a number in the question's unit, or a choice's words.

    ``option``: the choice's letter. ``form``: which form of the module's table. ``text``: the words
    that were read.
    """

    value: float | str
    option: str | None
    form: str
    text: str


def extract(completion: str, question: Question) -> Extracted | NoAnswer:
    """The answer given, by the module's rule. Never raises for a string; work is linear in it."""
    answered = forms.after_thinking(completion)
    if answered is None:
        return NoAnswer("cut off while reasoning")
    text = answered[-READ_CHARS:]
    unread: NoAnswer | None = None
    for form, find in _EXPLICIT.items():
        result = _agreed(find(text), question, form)
        if isinstance(result, Extracted) or (result is not None and result.several):
            return result
        unread = unread or result
    bare = _bare(text, question)
    if bare is not None:
        return bare
    result = _agreed(forms.sentences_of_answers(text), question, "sentence")
    if isinstance(result, Extracted) or (result is not None and result.several):
        return result
    # An explicit form that says nothing ("Answer: unknown") is a refusal: prose is not searched.
    missing = NoAnswer("no answer in the text" if text.strip() else "empty")
    return unread or _in_prose(text, question) or missing


def read_answer(text: str, question: Question) -> float | Choice | NoAnswer:
    """What a short text says: a number in the question's unit, or a choice."""
    text = forms.cleaned(text)
    if question.options or (
        not family_of(question).numeric and not isinstance(question, UnparsedQuestion)
    ):
        return read_choice(text, question)
    return read_number(text, question)


def _agreed(contents: list[str], question: Question, form: str) -> Extracted | NoAnswer | None:
    """The one answer of a form's contents; None where there are none."""
    given: Extracted | None = None
    unread: NoAnswer | None = None
    for content in contents:
        answer = read_answer(forms.clause(content), question)
        if isinstance(answer, NoAnswer):
            if answer.several:
                return answer
            unread = unread or answer
            continue
        now = _extracted(answer, form, content)
        if given is not None and not _same(given, now):
            return NoAnswer(f"contradictory: {given.text!r:.60} and {now.text!r:.60}", several=True)
        given = now
    return given or unread


def _same(a: Extracted, b: Extracted) -> bool:
    if isinstance(a.value, float) and isinstance(b.value, float):
        return abs(a.value - b.value) <= 1e-6 * max(1.0, abs(a.value))
    return (a.option, a.value) == (b.option, b.value)


def _extracted(answer: float | Choice, form: str, content: str) -> Extracted:
    text = " ".join(content.split())[:200]
    if isinstance(answer, Choice):
        return Extracted(answer.words, answer.letter, form, text)
    return Extracted(answer, None, form, text)


def _bare(text: str, question: Question) -> Extracted | None:
    """The last line, where it is an answer and nothing else."""
    line = forms.last_line(text)
    short = forms.cleaned(line.lstrip("#>- "))
    if len(short) > _BARE_CHARS:
        return None
    answer: float | Choice | NoAnswer | None
    if (choices := choices_of(question)) != ():
        answer = exact_choice(short, choices)
    else:
        answer = read_answer(short, question)
        if isinstance(answer, float) and not is_only_number(short, question):
            return None
    if answer is None or isinstance(answer, NoAnswer):
        return None
    return _extracted(answer, "bare", line)


def _in_prose(text: str, question: Question) -> Extracted | NoAnswer | None:
    """The last concluding sentence that names an answer, else the last sentence that does."""
    sentences = forms.last_sentences(text)
    for form in ("conclusion", "prose"):
        for sentence in sentences:
            content = forms.concluded(sentence) if form == "conclusion" else sentence
            if not content:
                continue
            answer = read_answer(forms.clause(content), question)
            if not isinstance(answer, NoAnswer):
                return _extracted(answer, form, sentence)
            if answer.several:
                return answer
    return None


_EXPLICIT: dict[str, Callable[[str], list[str]]] = {
    "tag": forms.tagged,
    "boxed": forms.boxed,
    "json": forms.in_json,
    "final": partial(forms.after_answer, final=True),
    "line": partial(forms.after_answer, final=False),
}
