"""Answers where a thing is missing from the code: priors, and geometry over where it might be.

A missing thing is given many possible places, from where its kind stands in other rooms, laid into
this room's rectangle in all eight ways. Each choice is then as probable as the share of these
places that lead to it. Nothing is random: places are drawn by a low-discrepancy sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from spatialcode.questions.types import Question
from spatialcode.reasoning.evidence import Answer, Evidence, letter_of
from spatialcode.reasoning.families.registry import family_of
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.priors.places import Extent, Places
from spatialcode.reasoning.statements import Assumed
from spatialcode.scene.index import SceneIndex

_CHANCE_CONFIDENCE = 0.2


@dataclass(frozen=True)
class Sight:
    """What one who guesses has to go by. ``index`` is None for one who has seen nothing."""

    index: SceneIndex | None
    priors: Priors

    @cached_property
    def extent(self) -> Extent | None:
        """The rectangle around all things; None where none is seen."""
        seen = self.index is not None and self.index.objects
        return Extent.around(self.index.corners_m) if self.index is not None and seen else None

    @cached_property
    def places(self) -> Places | None:
        """Where things may be; None where none is seen."""
        if self.index is None or self.extent is None:
            return None
        return Places(self.index, self.extent, self.priors)

    def likeliest(self, question: Question, chances: Mapping[str, float]) -> Answer:
        """The likeliest of the options, or of all words where there are none; else the usual."""
        ranked = sorted(chances.items(), key=lambda pair: -pair[1])
        for words, chance in ranked:
            letter = letter_of(question.options, words)
            if chance > 0.0 and (letter is not None or not question.options):
                return assumed_choice(words, letter, question.family, chance)
        return self.usual(question)

    def usual(self, question: Question) -> Answer:
        """What is right most often in this family, else the first option."""
        words = self.priors.answers.get(question.family, "")
        letter = letter_of(question.options, words) if words else None
        if letter is None and question.options:
            words, letter = question.options[0].text, question.options[0].letter
        elif letter is None:
            words = family_of(question).any_words(question)
        return assumed_choice(words, letter, question.family, _CHANCE_CONFIDENCE)


def guess(question: Question, index: SceneIndex | None, priors: Priors) -> Answer:
    """An ungrounded answer; ``index`` None: of one who has seen nothing."""
    return family_of(question).guess(question, Sight(index, priors))


def corrected(question: Question, answer: Answer, priors: Priors) -> Answer:
    """A grounded number without the habits of who made the code; other answers as they are."""
    if not isinstance(answer.value, float):
        return answer
    value = family_of(question).corrected(question, answer.value, priors)
    if value == answer.value:
        return answer
    note = Assumed("answer after correction", f"{value:.2f} {answer.unit}".strip())
    evidence = Evidence(answer.evidence.object_ids, (*answer.evidence.statements, note))
    return Answer(value, answer.option, evidence, answer.grounded, answer.confidence, answer.unit)


def assumed_number(value: float, unit: str, what: str) -> Answer:
    """A number in ``unit`` that no code holds."""
    assumed = Assumed(what, f"{value:.2f} {unit}".strip())
    return Answer(value, None, Evidence((), (assumed,)), False, _CHANCE_CONFIDENCE, unit)


def assumed_choice(words: str, letter: str | None, what: str, share: float) -> Answer:
    """A choice that no code decides; ``share``: how probable it is, 0 to 1."""
    return Answer(words, letter, Evidence((), (Assumed(what, words),)), False, float(share))
