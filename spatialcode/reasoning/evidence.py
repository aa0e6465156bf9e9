"""An answer, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.reasoning.statements import Final, Statement


@dataclass(frozen=True)
class Evidence:
    """What led to an answer: the objects used, and every intermediate quantity in order.

    ``object_ids``: ids of the code, in order of use, each once. ``statements``: without the
    final answer.
    """

    object_ids: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()

    def text(self) -> str:
        """The reasoning, one statement a line."""
        return "\n".join(statement.text() for statement in self.statements)


@dataclass(frozen=True)
class Answer:
    """What the question's answer is, and how sure that is.

    ``value``: a number in ``unit`` ("m", "cm", "m2", "" for counts), or the chosen option's
    words. ``option``: its letter, None where there are no options. ``grounded``: every object
    that the question names was found in the code; else priors stood in. ``confidence``: 0 to 1.
    """

    value: float | str
    option: str | None
    evidence: Evidence
    grounded: bool
    confidence: float
    unit: str = ""

    def final(self) -> str:
        """The answer as text: the letter, or the number with its unit."""
        if self.option is not None:
            return self.option
        if isinstance(self.value, str):
            return self.value
        shown = f"{self.value:g}" if self.unit == "" else f"{self.value:.2f}"
        return f"{shown} {self.unit}".strip()

    def text(self) -> str:
        """The reasoning, and the answer on its last line."""
        reasoning = self.evidence.text()
        final = Final(self.final()).text()
        return f"{reasoning}\n{final}" if reasoning else final
