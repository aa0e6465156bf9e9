"""Terms about the reasoning: is it true, needed and brief, and does it lead to the answer?"""

from __future__ import annotations

from spatialcode.reasoning.rubric.answers import is_numeric, meaning_of
from spatialcode.reasoning.rubric.changes import share_followed
from spatialcode.reasoning.rubric.facts import StatementTerm, term_of
from spatialcode.reasoning.rubric.reading import ReadCompletion
from spatialcode.reasoning.rubric.terms.registry import TermValue, term

_STATEMENT_TERMS: tuple[StatementTerm, ...] = ("grounding", "perspective", "geometry")


@term(weight=0.10)
def grounding(read: ReadCompletion) -> TermValue | None:
    """Cited objects.

    Share of the needed positions and extents that a true statement gives × share of its statements
    that are true and needed; where the family needs any.
    """
    return _stated(read, "grounding")


@term(weight=0.10)
def perspective(read: ReadCompletion) -> TermValue | None:
    """Roles and vectors.

    The same for roles and vectors (directions, routes, viewed relations): the forward vector must
    run from the observer to what is faced.
    """
    return _stated(read, "perspective")


@term(weight=0.10)
def geometry(read: ReadCompletion) -> TermValue | None:
    """Recomputed quantities.

    The same for products, angles, distances, extents, counts, times, heights, area.
    """
    return _stated(read, "geometry")


@term(weight=0.10)
def consistency(read: ReadCompletion) -> TermValue | None:
    """Reasoning entailing the answer.

    1 if the true, needed quantities entail the answer and the conclusion says so; ½ without a
    conclusion; 0 with a false one.
    """
    # a false quantity entails nothing, and a false conclusion follows from nothing
    reading, value = read.reading, read.given.value
    if not reading.needs:
        return None
    meaning = meaning_of(read.question, value)
    if meaning is None:
        return TermValue(0.0, "there is no answer to entail")
    if reading.false_conclusion:
        return TermValue(0.0, reading.false_conclusion)
    if reading.allows is None:
        return TermValue(0.0, "what is truly stated does not lead to an answer")
    if not reading.allows(meaning):
        return TermValue(0.0, f"what is truly stated leads to another answer than {value}")
    if is_numeric(read.question) or not isinstance(meaning, tuple):
        return TermValue(1.0)
    if reading.concludes is None:
        return TermValue(0.5, "the conclusion is not stated")
    if reading.concludes(meaning):
        return TermValue(1.0)
    return TermValue(0.0, f"the stated conclusion is another than {value}")


@term(weight=0.0, only_if_paid=True)
def counterfactual(read: ReadCompletion) -> TermValue | None:
    """Reasoning that follows changed rooms.

    Share of the changed rooms that the stated reasoning follows (below); off by default.
    """
    if not read.reading.needs:
        return None
    share = share_followed(read.question, read.code, read.reading.statements)
    return TermValue(share, "the reasoning does not follow a changed room")


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


def _stated(read: ReadCompletion, name: StatementTerm) -> TermValue | None:
    """Share of the term's needs that a true fact meets, times the share of its facts that serve."""
    reading = read.reading
    required = {need.term for need in reading.needs if need.required}
    if name not in required:
        return None
    present = [one for one in _STATEMENT_TERMS if one in required]
    needed = [
        (n, need) for n, need in enumerate(reading.needs) if need.term == name and need.required
    ]
    own = [
        (fact, useful)
        for fact, useful in zip(reading.facts, reading.useful, strict=True)
        if term_of(fact, present) == name
    ]
    missing = [need.what for n, need in needed if n not in reading.met]
    beside = [fact for fact, useful in own if not useful]
    value = (1.0 - len(missing) / len(needed)) * (1.0 - len(beside) / len(own) if own else 1.0)
    reason = "; ".join(
        [fact.reason or f"beside the point: {fact.statement.text()}" for fact in beside[:2]]
        + ([f"not stated: {', '.join(missing[:3])}"] if missing else [])
    )
    return TermValue(value, reason)
