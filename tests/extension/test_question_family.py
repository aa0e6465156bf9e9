"""A family of questions that is defined here alone: how high up the top of a thing is.

Registered, it is read, generated, solved, asked as a program, prompted, rewarded and put into
training sentences like the families that come with the package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import pytest

from pipelines.questions.config import QuestionsConfig
from spatialcode import ask
from spatialcode.config import load_config
from spatialcode.errors import ConfigError, ProgramError, SchemaError
from spatialcode.questions.names import reference, thing
from spatialcode.questions.parse import Reader, rule
from spatialcode.questions.types import Question, Reference, UnparsedQuestion
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.answers.extraction import extract
from spatialcode.reasoning.drawing import Draft, Pool
from spatialcode.reasoning.evidence import answer_of
from spatialcode.reasoning.families.family import Sentences, Wording
from spatialcode.reasoning.families.numeric import NumericFamily
from spatialcode.reasoning.families.registry import (
    families,
    family_names,
    parse,
    register,
    unregister,
)
from spatialcode.reasoning.generate import GenerateConfig, generate
from spatialcode.reasoning.naming import the
from spatialcode.reasoning.priors.guesses import assumed_number
from spatialcode.reasoning.program.interpreter import run
from spatialcode.reasoning.program.of_question import answer_of_program, to_program
from spatialcode.reasoning.program.scene import Function
from spatialcode.reasoning.prompts import PromptSettings, render
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.rubric import steps
from spatialcode.reasoning.rubric.changes import moved
from spatialcode.reasoning.rubric.scoring import RubricConfig, score
from spatialcode.reasoning.solver import solve_blind
from spatialcode.tasks.tasks import TaskSettings, reworded, room_tasks
from tests.questions.by_hand import scene_of
from tests.questions.by_hand import thing as box

CODE = scene_of(
    box("lamp", 1.0, 2.0, size=(0.3, 0.3, 1.5)), box("table", -1.0, 2.0, size=(1.0, 1.0, 0.7)),
    box("sofa", 0.0, 4.0, size=(2.0, 0.9, 0.8)),
)  # fmt: skip
TEXT = "How high is the top of the lamp in centimeters?"


@dataclass(frozen=True, kw_only=True)
class TopHeight(Question):
    """World z of a thing's top, in centimetres."""

    target: Reference
    family: ClassVar[str] = "top_height"


def _read(found, common):
    return TopHeight(target=thing(found["what"]), **common)


def _summit(scene, given):
    target = scene.meant(given["x"], "x").reference
    return scene.ask(TopHeight(target=target)).value / 100.0


TEMPLATES = {
    "top_height": Sentences(
        "How high is the top of {a} in centimeters?",
        ("How high is the top of {a}, in centimeters?",),
        ("Please tell me, how high is the top of {a} in centimeters?",),
    )
}
GRAMMARS = {"top_height": ("(How far up|At what height) does {a} end, in centimeters?",)}


class TopHeightFamily(NumericFamily[TopHeight]):
    question_type = TopHeight
    names = (TopHeight.family,)
    reader = Reader((rule("how high", r"how high is the top of <what> in centimeters", _read),))
    templates = TEMPLATES
    grammars = GRAMMARS
    functions = (Function("summit", ("x",), _summit, "height of the top of the first of a kind"),)
    quantity = (say.Height, "z_m")

    def pool(self, name, room, rng):
        rows = np.array(room.things(rng), np.intp).reshape(-1, 1)
        rows = rows[room.wanted(rows)]
        top_cm = 100.0 * room.index.corners_m[:, :, 2].max(axis=1)

        def draft(chosen, group, answer, rng):
            target = room.name(chosen[0], rng)
            meant = partial(TopHeight, target=reference(target))
            return Draft(name, {"a": target}, meant, truth=f"{top_cm[chosen[0]]:.0f}")

        return Pool({("", ""): rows}, draft)

    def wording(self, question, rng):
        return Wording(question.family, {"a": the(question.target)})

    def solve(self, question, index):
        found = resolve(question.target, index)
        if not found:
            return None
        item = found[0]
        top_m = float(index.corners_m[index.row[item.id], :, 2].max())
        stated = [say.Height(item.id, "top", top_m)]
        named = [(question.target, item)]
        return answer_of(question, 100.0 * top_m, stated, ids=[item.id], named=named, unit="cm")

    def guess(self, question, sight):
        return assumed_number(99.0, "cm", f"top({question.target.noun})")

    def program(self, question):
        return f'100 * summit("{question.target.phrase}")'

    def rule(self, question):
        return "The top of the box."

    def forms(self, question):
        return ("top(ID) = D m",)

    def unit(self, question):
        return "cm"

    def needs(self, case):
        return [steps.height("top", case.found[0])]

    def telling(self, question, code, named):
        yield moved(code, named[0], (0.0, 0.0, 1.0))


TOY = TopHeightFamily()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    register(TOY)
    yield
    if TOY in families():
        unregister(TOY)


def test_it_is_read_from_a_sentence():
    question = parse(TEXT)
    assert isinstance(question, TopHeight)
    assert question.target.noun == "lamp"
    assert parse("How many lamps are there?").family == "object_counting"
    unregister(TOY)
    assert isinstance(parse(TEXT), UnparsedQuestion)


def test_it_is_generated_from_a_code():
    config = GenerateConfig(families=("top_height",), questions_per_family=5)
    made = generate(CODE, scene="toy", seed=0, config=config)
    assert {item.ground_truth for item in made.items} == {"150", "70", "80"}
    assert made.skipped == {"top_height": {"no further question": 2}}
    # by default all families are asked, and those of the package as without it
    assert family_names()[-1] == "top_height"
    with_toy = generate(CODE, scene="toy", seed=0).items
    unregister(TOY)
    without = generate(CODE, scene="toy", seed=0).items
    assert [item for item in with_toy if item.question_type != "top_height"] == list(without)
    assert len(with_toy) > len(without)


def test_a_job_knows_it_by_name():
    arguments = ["codes=c", "output=o", "generate.families=[top_height]"]
    assert load_config(QuestionsConfig, dotlist=arguments).generate.families == ("top_height",)
    unregister(TOY)
    with pytest.raises(ConfigError, match="families: expected some of object_counting"):
        load_config(QuestionsConfig, dotlist=arguments)


def test_it_is_solved_with_evidence():
    answer = ask(CODE, TEXT)
    assert (answer.final(), answer.grounded) == ("150.00 cm", True)
    assert answer.evidence.text() == "top(lamp_1) = 1.50 m"
    assert answer.evidence.object_ids == ("lamp_1",)
    missing = ask(CODE, TEXT.replace("lamp", "piano"))
    assert (missing.value, missing.grounded) == (99.0, False)
    assert solve_blind(parse(TEXT)).value == 99.0
    assert ask(CODE, TEXT, ["A. 20 cm", "B. 1.4 m"]).option == "B"


def test_it_is_asked_as_a_program():
    question = parse(TEXT)
    program = to_program(question)
    assert program == '100 * summit("the lamp")'
    answer = answer_of_program(program, question, CODE)
    assert answer.value == pytest.approx(ask(CODE, TEXT).value)
    assert answer.evidence == ask(CODE, TEXT).evidence
    with pytest.raises(ProgramError, match="asks for a number"):
        answer_of_program('"high"', question, CODE)
    unregister(TOY)
    with pytest.raises(ProgramError, match="summit"):
        run(program, CODE)


def test_it_appears_in_prompts():
    question = parse(TEXT)
    system, user = render(question, CODE).messages
    assert "How this question is decided: The top of the box." in system.content
    assert "\ntop(ID) = D m\n" in system.content
    assert 'End with a single line of the form "Answer: N cm"' in user.content
    system, user = render(question, CODE, PromptSettings(mode="program")).messages
    assert "\nsummit(x): height of the top of the first of a kind\n" in system.content
    assert "Its value must be a number in centimetres." in user.content


def test_it_is_rewarded():
    question = parse(TEXT)
    right = score(question, CODE, ask(CODE, TEXT).text(), "150")
    assert right.total == 1.0
    followed = RubricConfig(weight_counterfactual=1.0)
    right = score(question, CODE, ask(CODE, TEXT).text(), "150", followed)
    assert right.total == 1.0
    assert {"geometry", "consistency", "counterfactual"} <= set(right.terms)
    wrong = score(question, CODE, "top(lamp_1) = 0.70 m\nAnswer: 70 cm", "150")
    unfounded = score(question, CODE, "top(table_1) = 0.70 m\nAnswer: 150 cm", "150")
    assert wrong.total < unfounded.total < right.total
    program = score(question, CODE, f"```program\n{to_program(question)}\n```", "150")
    assert program.total == 1.0
    constant = '```program\n150 + 0 * summit("lamp")\n```'
    assert score(question, CODE, constant, "150").total < program.total
    assert extract("It is about 1.5 m high.", question).value == 150.0


def test_it_is_trained_on():
    question = reworded(parse(TEXT), np.random.default_rng(0))
    assert question.text in (
        "How far up does the lamp end, in centimeters?",
        "At what height does the lamp end, in centimeters?",
    )
    settings = TaskSettings(questions=GenerateConfig(families=("top_height",)), wording_share=0.0)
    tasks = room_tasks(0, settings)
    assert {task.family for task in tasks} == {"top_height"}
    assert all(task.program.startswith("100 * summit(") for task in tasks)


def test_no_two_families_share_a_type_or_a_name():
    with pytest.raises(SchemaError, match="a type and names that no other has"):
        register(TopHeightFamily())
    assert len(families()) == len({family.question_type for family in families()})
    assert len(family_names()) == len(set(family_names()))
    assert replace(parse(TEXT), options=()) == parse(TEXT)
