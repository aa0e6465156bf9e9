"""A short prompt for small models that write programs: names, the question, the choices.

The labels of the code with their numbers, the question, and what there is to choose where the
question does not say it. A program needs names only, so nothing of the boxes is shown; the ids of a
label's things follow from its number. Options have no letters here: a program's value is one of
them. Those that hold the same words in another order are shown once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from spatialcode.questions.types import Question
from spatialcode.scene.schema import SceneObject

_WORD = re.compile(r"\w+")


def compact_text(question: Question, items: Iterable[SceneObject]) -> str:
    """The prompt's text, at least two lines, without a line's end after the last."""
    lines = [roster(item.label for item in items), " ".join(question.text.split())]
    options = [option.text for option in question.options]
    said = set(_WORD.findall(question.text.lower()))
    new = any(not said.issuperset(_WORD.findall(text.lower())) for text in options)
    shown = options_line(options) if new else ""
    return "\n".join([*lines, shown] if shown else lines)


def roster(labels: Iterable[str]) -> str:
    """Labels by the alphabet, the number behind those of several: "bed, chair 4, tv"."""
    counts = Counter(labels)
    return ", ".join(
        label if counts[label] == 1 else f"{label} {counts[label]}" for label in sorted(counts)
    )


def options_line(texts: Iterable[str]) -> str:
    """The options' texts on one line; orders of the same words once."""
    shown: dict[tuple[str, ...], str] = {}
    for text in texts:
        flat = " ".join(text.split())
        shown.setdefault(tuple(sorted(_WORD.findall(flat.lower()))), flat)
    return " / ".join(shown.values())
