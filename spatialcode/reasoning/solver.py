"""The deterministic reasoner: a typed question and a code in, an answer with evidence out."""

from __future__ import annotations

from dataclasses import replace

from spatialcode.errors import SchemaError
from spatialcode.questions.types import Question, UnparsedQuestion
from spatialcode.reasoning.answers.forms import cleaned
from spatialcode.reasoning.answers.numbers import read_number
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.families.registry import family_of
from spatialcode.reasoning.priors.guesses import corrected, guess
from spatialcode.reasoning.priors.known import Priors
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode


def solve(question: Question, code: SpatialCode, priors: Priors | None = None) -> Answer:
    """The answer to a question about a code.

    Exact where every thing named is in the code (``grounded``), else from ``priors`` (None: those
    that know nothing of any room). A number's ``option`` is the offered number that is nearest.
    SchemaError for an `UnparsedQuestion`: there is nothing to answer.
    """
    if isinstance(question, UnparsedQuestion):
        raise SchemaError("question", "one that was understood", question.reason)
    index = SceneIndex.of(code)
    answer = family_of(question).solve(question, index)
    no_option = answer is not None and answer.option is None and isinstance(answer.value, str)
    if answer is None or (no_option and question.options):
        answer = guess(question, index, priors or Priors())
    elif priors is not None:
        answer = corrected(question, answer, priors)
    return with_letter(question, answer)


def solve_blind(question: Question, priors: Priors | None = None) -> Answer:
    """The answer without any code, from priors alone."""
    if isinstance(question, UnparsedQuestion):
        raise SchemaError("question", "one that was understood", question.reason)
    return with_letter(question, guess(question, None, priors or Priors()))


def with_letter(question: Question, answer: Answer) -> Answer:
    """A number's letter, where options offer numbers: that of the nearest; the first of equals.

    An option's own unit counts ("1.2 m" for a length in centimetres), and so do number words. One
    that says no single number is never the nearest.
    """
    if isinstance(answer.value, str) or not question.options:
        return answer
    read = [(read_number(cleaned(one.text), question), one.letter) for one in question.options]
    offered = [(abs(n - answer.value), letter) for n, letter in read if isinstance(n, float)]
    if not offered:
        return answer
    return replace(answer, option=min(offered, key=lambda pair: pair[0])[1])
