"""What a family of questions consists of: one class, which every family fills in.

The parser, the generator, the solver, priors, programs, prompts, the reading of answers, the rubric
and the training sentences all ask the family of a question (`registry.family_of`); they know no
family by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from spatialcode.questions.parse import Reader
from spatialcode.questions.types import Question, Reference, UnparsedQuestion
from spatialcode.reasoning.resolve import references_in

if TYPE_CHECKING:  # each of these modules looks families up
    import numpy as np

    from spatialcode.reasoning.answers.choices import Choice, NoAnswer
    from spatialcode.reasoning.drawing import Pool
    from spatialcode.reasoning.evidence import Answer
    from spatialcode.reasoning.naming import NamedRoom
    from spatialcode.reasoning.priors.fit import Samples
    from spatialcode.reasoning.priors.guesses import Sight
    from spatialcode.reasoning.priors.known import Priors
    from spatialcode.reasoning.program.scene import Function
    from spatialcode.reasoning.program.values import Value
    from spatialcode.reasoning.rubric.answers import Meaning
    from spatialcode.reasoning.rubric.facts import Allows, Case, Fact
    from spatialcode.reasoning.rubric.steps import Need
    from spatialcode.scene.index import SceneIndex
    from spatialcode.scene.schema import SpatialCode

Q = TypeVar("Q", bound=Question)

#: What may stand before a training sentence, as a choice of a grammar.
LEAD = "(|||In this room, |In the video, |Here, |Please tell me: |Looking at this room, )"


class Sentences(NamedTuple):
    """The sentences of one template, with ``{slots}``; the parser reads every one of them.

    ``standard``: the benchmark's own. ``train``: others, to train on. ``heldout``: kept apart, so
    that whoever trains on generated questions can test on words never trained on.
    """

    standard: str
    train: tuple[str, ...]
    heldout: tuple[str, ...]

    def others(self, which: str) -> tuple[str, ...]:
        """Those that are not the standard one: "train", "heldout" or "all"."""
        return {
            "train": self.train, "heldout": self.heldout, "all": self.train + self.heldout
        }[which]  # fmt: skip


@dataclass(frozen=True)
class Wording:
    """What a training sentence is made of: the grammars' name, and what fills their slots.

    ``phrases``: slots that also name a thing of the question in these words: the field's name by
    the slot's.
    """

    grammar: str
    slots: Mapping[str, str]
    phrases: Mapping[str, str] = field(default_factory=dict)


class Family(ABC, Generic[Q]):
    """All that is known about one kind of question.

    ``question_type``: the type of its questions. ``names``: under which they are reported, one, or
    one a level of difficulty; a question's ``family`` is one of them. ``group``: the name of the
    mean of several levels. ``numeric``: a number answers it, in `unit`; else one of the options.
    ``reader``: how it is read from text. ``templates``: the sentences of generated questions.
    ``grammars``: more sentences for training, with ``(a|b)`` for choices. ``most_of_a_room``: most
    questions generated about one room, None for no bound. ``functions``: those of the program
    language that ask questions of this family.
    ``lines``, ``decided``, ``wanted``: what `forms`, `rule` and `value_words` say, where it is the
    same for every question. ``conclusion``: the kind of statement that concludes an answer.
    ``undefined``: why a question about things that are all there may have no answer. ``permutes``:
    the answer depends on which thing has which box. ``box_task``: a task of VSI-Bench that boxes
    decide; reports give the mean of these. ``demo``: the name that the demo asks for, "" for none.
    """

    question_type: ClassVar[type[Any]]
    names: ClassVar[tuple[str, ...]]
    group: ClassVar[str] = ""
    numeric: ClassVar[bool] = False
    reader: ClassVar[Reader] = Reader()
    templates: ClassVar[Mapping[str, Sentences]] = {}
    grammars: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    most_of_a_room: ClassVar[int | None] = None
    functions: ClassVar[tuple[Function, ...]] = ()
    undefined: ClassVar[str] = ""
    permutes: ClassVar[bool] = False
    box_task: ClassVar[bool] = False
    demo: ClassVar[str] = ""
    lines: ClassVar[tuple[str, ...]] = ()
    decided: ClassVar[str] = ""
    wanted: ClassVar[str] = ""
    conclusion: ClassVar[type[Any]] = type(None)

    # Generated questions

    @abstractmethod
    def pool(self, name: str, room: NamedRoom, rng: np.random.Generator) -> Pool:
        """All questions that a room allows, of one of the family's names."""

    def wording(self, question: Q, rng: np.random.Generator) -> Wording | None:
        """How a training sentence of `grammars` says the question; None where none can."""
        return None

    # Answers

    @abstractmethod
    def solve(self, question: Q, index: SceneIndex) -> Answer | None:
        """The exact answer with its evidence; None where something that is named is missing."""

    def guess(self, question: Q, sight: Sight) -> Answer:
        """The answer where something is missing, from priors; by default the usual one."""
        return sight.usual(question)

    def any_words(self, question: Q) -> str:
        """An answer in the words of the question, where there are neither options nor priors."""
        return "no"

    def corrected(self, question: Q, value: float, priors: Priors) -> float:
        """A grounded number, in the question's unit, corrected for the habits of the encoder."""
        return value

    def fit(self, samples: Samples) -> dict[str, Any]:
        """Fields of `Priors` that answered questions of this family tell."""
        return {}

    # Programs

    @abstractmethod
    def program(self, question: Q) -> str:
        """The program that answers the question as `solve` does."""

    @abstractmethod
    def read_value(self, question: Q, value: Value, index: SceneIndex) -> float | Choice:
        """A program's value as an answer; ProgramError of kind "answer" where it is none."""

    # Prompts, and answers in text

    def forms(self, question: Q) -> tuple[str, ...]:
        """The lines in which reasoning about the question is checked (`reasoning.prompts`)."""
        return self.lines

    def rule(self, question: Q) -> str:
        """How the question is decided, in a sentence or two."""
        return self.decided

    def value_words(self, question: Q) -> str:
        """What value a program must have, in words."""
        return self.wanted

    def unit(self, question: Q) -> str:
        """The unit of a number that answers the question: "m", "cm", "m2", "" for a count."""
        return ""

    def per_metre(self, question: Q) -> float:
        """How many of the question's units a metre has; 1 where the unit is no length."""
        return 100.0 if self.unit(question) == "cm" else 1.0

    def counted(self, question: Q) -> Reference | None:
        """The kind of things that the question counts; None where it counts nothing."""
        return None

    def choice_words(self, question: Q) -> tuple[str, ...]:
        """The answers to choose from where there are no options; none where they are too many."""
        return ()

    def read_listed(self, text: str, question: Q) -> Choice | NoAnswer:
        """The answer that a text gives where there are no choices to tell apart."""
        from spatialcode.reasoning.answers.choices import NoAnswer

        return NoAnswer("no kind of answer is known")

    # The rubric

    def references(self, question: Q) -> list[Reference]:
        """Every thing that reasoning must find in the code; by default all references, in order."""
        values = (getattr(question, one.name) for one in fields(question))
        return [one for value in values for one in references_in(value)]

    def needs(self, case: Case[Q]) -> list[Need]:
        """The steps that reasoning must state. Everything that the question names was found."""
        return []

    def allows(self, case: Case[Q], used: Sequence[Fact]) -> Allows | None:
        """Which meanings the true, needed quantities allow; None where they do not suffice."""
        return None

    def concludes(self, case: Case[Q], stated: Sequence[Any]) -> Allows | None:
        """Which meanings the conclusions that were asked for say; at least one is stated."""
        return None

    def asks(self, case: Case[Q], conclusion: Any) -> bool:
        """Whether the question asks for this one of the conclusions of the family's kind."""
        return True

    def refutes(self, case: Case[Q], conclusion: Any) -> str:
        """Why a conclusion of the family's kind is false; "" where it is true."""
        return ""

    def meaning(self, question: Q, words: str) -> Meaning | None:
        """Lower-case words, of an option or given freely, as what they say of the scene."""
        return None

    def meaning_of_option(self, question: Q, place: int, words: str) -> Meaning | None:
        """An option, by its place and its lower-case words, as what it says of the scene."""
        return self.meaning(question, words)

    def telling(
        self, question: Q, code: SpatialCode, named: Sequence[Sequence[str]]
    ) -> Iterator[SpatialCode]:
        """Rooms in which the question may well have another answer, the likeliest first.

        ``named``: ids, at least one, of each of `references`. By default the mirrored room, and
        those in which a thing is far away.
        """
        from spatialcode.reasoning.rubric.changes import mirrored_and_moved

        return mirrored_and_moved(code, named)

    def mirrors(self, question: Q) -> bool:
        """Whether the answer turns round in a mirrored room."""
        return False


class Unparsed(Family[UnparsedQuestion]):
    """Stands for the family of a question that no rule reads: nothing can be said about it."""

    question_type = UnparsedQuestion
    names = (UnparsedQuestion.family,)
    lines = (
        "ID is at (X, Y, Z)", "ID measures X x Y x Z m", "distance(ID, ID) = D m",
        "count(KIND) = N [ID, ID]",
    )  # fmt: skip
    wanted = "the answer"

    def _nothing(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("an unparsed question is not generated, solved or programmed")

    pool = solve = program = read_value = _nothing
