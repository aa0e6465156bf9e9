"""The table of the rubric's terms, and the decorator that fills it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from spatialcode.reasoning.rubric.reading import ReadCompletion


@dataclass(frozen=True)
class TermValue:
    """A term's value in [0, 1], and why it is below 1 ("" if it is not)."""

    value: float
    reason: str = ""


Judge = Callable[[ReadCompletion], TermValue | None]


@dataclass(frozen=True)
class Term:
    """A criterion of the rubric.

    ``meaning``: what it is about, for ``--help``. ``definition``: what its value is, for
    docs/rubric.md. ``weight``: the default of the setting ``weight_<name>``. ``judge`` gives the
    value, or None where the term does not apply. A ``process`` term judges the reasoning, and pays
    only beside an answer that is right. A term that is computed ``only_if_paid`` is left out where
    its weight is 0.
    """

    name: str
    meaning: str
    definition: str
    weight: float
    process: bool
    only_if_paid: bool
    judge: Judge


#: Every term by name, in the order in which they are summed.
TERMS: dict[str, Term] = {}
#: Called whenever a term comes or goes: settings are made from the table.
WATCHERS: list[Callable[[], None]] = []


def term(
    weight: float, *, process: bool = True, only_if_paid: bool = False
) -> Callable[[Judge], Judge]:
    """Register a function as the term of its name.

    Its docstring's first line is the term's meaning, the paragraph after it the definition; the
    parameters are those of `Term`. Raises ValueError for a name that is taken and for a function
    without a docstring.
    """

    def register(judge: Judge) -> Judge:
        name = judge.__name__
        if name in TERMS:
            raise ValueError(f"there is a rubric term {name!r} already")
        meaning, *rest = (inspect.getdoc(judge) or "").split("\n\n")
        if not meaning:
            raise ValueError(f"the rubric term {name!r} needs a docstring that says what it means")
        definition = " ".join(rest[0].split()) if rest else ""
        TERMS[name] = Term(name, meaning, definition, weight, process, only_if_paid, judge)
        _tell()
        return judge

    return register


def unregister(name: str) -> None:
    """Take a term out of the table. Raises KeyError if there is none of the name."""
    del TERMS[name]
    _tell()


def _tell() -> None:
    for watcher in WATCHERS:
        watcher()
