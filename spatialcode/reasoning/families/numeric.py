"""What families have in common whose questions are answered by a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from spatialcode.reasoning.families.family import Family, Q
from spatialcode.reasoning.program.of_question import not_an_answer
from spatialcode.reasoning.program.values import Value, kind_of
from spatialcode.reasoning.rubric.answers import Meaning, first_number, nearest_offers
from spatialcode.reasoning.rubric.facts import Allows, Case, Fact
from spatialcode.reasoning.rubric.verify import HALF_M
from spatialcode.scene.index import SceneIndex

#: How a unit is called in prompts.
UNIT_WORDS = {"m": "metres", "cm": "centimetres", "m2": "square metres"}


class NumericFamily(Family[Q]):
    """A number in `unit` answers. ``quantity``: the kind of statement that holds it, in metres, and
    the statement's field; ``half``: how far it may be off by rounding.
    """

    numeric = True
    quantity: ClassVar[tuple[type, str]]
    half: ClassVar[float] = HALF_M

    def unit(self, question: Q) -> str:
        return str(getattr(question, "unit", ""))

    def read_value(self, question: Q, value: Value, index: SceneIndex) -> float:
        return number_of(value)

    def value_words(self, question: Q) -> str:
        return self.wanted or f"a number in {UNIT_WORDS[self.unit(question)]}"

    def allows(self, case: Case[Q], used: Sequence[Fact]) -> Allows | None:
        """A number stated in metres against one in the question's unit, both rounded."""
        kind, name = self.quantity
        stated = [getattr(f.statement, name) for f in used if isinstance(f.statement, kind)]
        if not stated:
            return None
        question, scale = case.question, self.per_metre(case.question)
        value, slack = stated[0] * scale, self.half * (1.0 + scale)
        if question.options:
            offers = nearest_offers(question, value, 2.0 * slack)
            return lambda meaning: meaning in offers
        return lambda meaning: abs(meaning - value) <= slack

    def meaning_of_option(self, question: Q, place: int, words: str) -> Meaning | None:
        return first_number(words)


def number_of(value: Value) -> float:
    """A program's value as a number of 0 or more; ProgramError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise not_an_answer(f"the question asks for a number; the program gave {kind_of(value)}")
    if value < 0:
        raise not_an_answer(f"the question asks for a number >= 0; the program gave {value:g}")
    return float(value)
