"""Terms about the text as a whole."""

from __future__ import annotations

from spatialcode.reasoning.rubric.reading import ReadCompletion
from spatialcode.reasoning.rubric.terms.registry import TermValue, term


@term(weight=0.10)
def brevity(read: ReadCompletion) -> TermValue:
    """Brevity.

    Share of the statements that serve the question × length: 1 up to `full_chars`, falling to 0 at
    `zero_chars`; the length alone where nothing needs to be stated, and 0 for an empty text.
    """
    completion, reading, config = read.completion, read.reading, read.config
    if not completion.strip():
        return TermValue(0.0, "there is nothing")
    over = len(completion) - config.full_chars
    value = min(max(1.0 - over / (config.zero_chars - config.full_chars), 0.0), 1.0)
    reason = f"{len(completion)} characters" if over > 0 else ""
    if reading.needs and reading.num_stated:
        value *= reading.num_useful / reading.num_stated
        if reading.num_useful < reading.num_stated:
            reason = f"{reading.num_useful} of {reading.num_stated} statements serve the question"
    return TermValue(value, reason)
