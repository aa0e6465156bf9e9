"""Language models that answer questions about codes, by reasoning in text or by a program.

Every question gives one `ModelAnswer`, which also says what went wrong.

A completion's **program** is its last fenced block; without a fence its last line, with the lines
of the form ``name = …`` directly above. Text up to a closing ``</think>`` is not read.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

from spatialcode.errors import ProgramError, PromptError, SchemaError
from spatialcode.questions.types import Question
from spatialcode.reasoning.answers.choices import NoAnswer
from spatialcode.reasoning.answers.extraction import extract
from spatialcode.reasoning.answers.forms import after_thinking
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.models.loading import Completion, CompletionModel
from spatialcode.reasoning.program.of_question import answer_of_program
from spatialcode.reasoning.prompts import Prompt, PromptSettings, render
from spatialcode.reasoning.resolve import kept_code
from spatialcode.scene.schema import SpatialCode

Asked = Sequence[tuple[Question, SpatialCode]]

_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"[ \t]*[A-Za-z_]\w{0,80}[ \t]*=(?!=)")


@dataclass(frozen=True)
class ModelAnswer:
    """A model's answer to one question, or why there is none.

    ``value``: a number in the question's unit, or the choice's words; ``option``: its letter.
    ``error`` is None exactly where there is a value. ``stage``: "prompt", "model" or "answer",
    where it went wrong, else "". ``form``: how text gave the answer. ``program``: what was run;
    ``evidence``: what it rests on, both in program mode.
    """

    value: float | str | None = None
    option: str | None = None
    error: str | None = None
    stage: str = ""
    prompt: Prompt | None = None
    completion: Completion | None = None
    form: str = ""
    program: str = ""
    evidence: Answer | None = None

    @property
    def text(self) -> str:
        """What the model wrote."""
        return "" if self.completion is None else self.completion.text


class _Reasoner(ABC):
    """Prompts rendered, completions asked for together, each read by ``_read``."""

    mode = "text"

    def __init__(self, model: CompletionModel, settings: PromptSettings | None = None) -> None:
        self.model = model
        given = settings or PromptSettings()
        trained_on = getattr(model, "prompt_style", "full")  # endpoints do not say
        style = given.style if trained_on == "full" else trained_on
        self.settings = replace(given, mode=self.mode, style=style)  # type: ignore[arg-type]

    def answer_all(self, asked: Asked) -> list[ModelAnswer]:
        """One answer a question, in order. Raises only what the model itself raises."""
        prompts = [self._prompt(question, code) for question, code in asked]
        ready = [prompt for prompt in prompts if isinstance(prompt, Prompt)]
        completions = iter(self.model.complete(ready))
        answers = []
        for (question, code), prompt in zip(asked, prompts, strict=True):
            if isinstance(prompt, Prompt):
                answers.append(self._answer(question, code, prompt, next(completions)))
            else:
                answers.append(ModelAnswer(error=prompt, stage="prompt"))
        return answers

    def _prompt(self, question: Question, code: SpatialCode) -> Prompt | str:
        try:
            return render(question, code, self.settings, count_tokens=self.model.count_tokens)
        except PromptError as error:
            return str(error)

    def _answer(
        self, question: Question, code: SpatialCode, prompt: Prompt, completion: Completion
    ) -> ModelAnswer:
        given = ModelAnswer(prompt=prompt, completion=completion)
        if completion.error is not None:
            return replace(given, error=completion.error, stage="model")
        answer = self._read(question, code, given)
        if answer.error is not None and completion.truncated:
            return replace(answer, error=f"cut off by the limit of tokens; {answer.error}")
        return answer

    @abstractmethod
    def _read(self, question: Question, code: SpatialCode, given: ModelAnswer) -> ModelAnswer:
        """``given`` with the answer that its completion holds, or why it holds none."""


class TextReasoner(_Reasoner):
    """A model that reasons in text; its answer is what `answers.extract` reads."""

    mode = "text"

    def _read(
        self,
        question: Question,
        code: SpatialCode,  # noqa: ARG002 - an answer in text needs no boxes to be read
        given: ModelAnswer,
    ) -> ModelAnswer:
        read = extract(given.text, question)
        if isinstance(read, NoAnswer):
            return replace(given, error=read.reason, stage="answer")
        return replace(given, value=read.value, option=read.option, form=read.form)


class ProgramReasoner(_Reasoner):
    """A model that writes a program; its answer is the program's value over the code.

    With ``keep`` "named" the program runs over the boxes that were kept; boxes left out for want of
    tokens are there.
    """

    mode = "program"

    def _read(self, question: Question, code: SpatialCode, given: ModelAnswer) -> ModelAnswer:
        source = read_program(given.text)
        if isinstance(source, NoAnswer):
            return replace(given, error=source.reason, stage="answer")
        shown = kept_code(question, code) if self.settings.keep == "named" else code
        given = replace(given, program=source)
        try:
            answer = answer_of_program(source, question, shown)
        except (ProgramError, SchemaError) as error:
            return replace(given, error=f"{type(error).__name__}: {error}", stage="answer")
        return replace(given, value=answer.value, option=answer.option, evidence=answer)


def read_program(completion: str) -> str | NoAnswer:
    """The program that a completion holds, by the module's rule."""
    text = after_thinking(completion)
    if text is None:
        return NoAnswer("cut off while reasoning")
    blocks = _FENCE.findall(text)
    if blocks:
        source = str(blocks[-1]).strip()
        return source or NoAnswer("an empty block")
    lines = text.rstrip().split("\n")
    first = len(lines) - 1
    while first > 0 and _ASSIGNMENT.match(lines[first - 1]):
        first -= 1
    source = "\n".join(lines[first:]).strip().strip("`")
    return source or NoAnswer("empty")
