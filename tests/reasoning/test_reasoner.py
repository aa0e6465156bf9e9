"""Reasoners over a model that writes what a script says, and the page that shows their prompts."""

import re
from pathlib import Path

import pytest

from spatialcode.questions.types import Counting, Reference, UnparsedQuestion
from spatialcode.reasoning.answers.choices import NoAnswer
from spatialcode.reasoning.answers.extraction import extract
from spatialcode.reasoning.families.registry import parse
from spatialcode.reasoning.models.loading import Completion
from spatialcode.reasoning.program.of_question import to_program
from spatialcode.reasoning.prompts import PromptSettings, estimate_tokens, render
from spatialcode.reasoning.reasoner import ProgramReasoner, TextReasoner, read_program
from spatialcode.reasoning.rubric.scoring import score
from spatialcode.reasoning.solver import solve
from tests.reasoning.red_team import CODE, DIRECTION, HONEST

PAGE = Path(__file__).parents[2] / "docs" / "prompts.md"
CHAIRS = Counting(target=Reference("chair"))


class Scripted:
    """A model: gives the completions it was made with, and keeps what it was asked."""

    def __init__(self, *completions):
        self.completions = [Completion(c) if isinstance(c, str) else c for c in completions]
        self.asked = []

    def complete(self, prompts):
        self.asked += prompts
        assert len(prompts) == len(self.completions)
        return self.completions

    def count_tokens(self, text):
        return estimate_tokens(text)


def test_every_question_gets_one_answer_whatever_happens():
    big = Counting(target=Reference("chair"), text="word " * 4000)  # exceeds the budget
    model = Scripted(
        "reasoning\nAnswer: A", "no idea", Completion("", error="server down"),
        Completion("well, the angle", truncated=True), "\\boxed{2}",
    )  # fmt: skip
    questions = [DIRECTION, DIRECTION, big, DIRECTION, DIRECTION, CHAIRS]
    answers = TextReasoner(model).answer_all([(q, CODE) for q in questions])
    assert len(model.asked) == 5
    right, silent, large, down, cut, two = answers
    assert (right.option, right.value, right.form, right.error) == ("A", "left", "line", None)
    assert right.text == "reasoning\nAnswer: A"
    assert right.prompt == model.asked[0]
    assert (silent.stage, silent.option, silent.value) == ("answer", None, None)
    assert (large.stage, large.text) == ("prompt", "")
    assert "tokens" in large.error
    assert (down.stage, down.error) == ("model", "server down")
    assert cut.error.startswith("cut off by the limit of tokens; ")
    assert (two.value, two.form) == (2.0, "boxed")


@pytest.mark.parametrize("family", HONEST)
def test_the_canonical_program_answers_as_the_solver(family):
    question = HONEST[family][0]
    model = Scripted(f"I compute.\n```python\n{to_program(question)}\n```\nDone.")
    (answer,) = ProgramReasoner(model).answer_all([(question, CODE)])
    exact = solve(question, CODE)
    assert answer.error is None
    assert (answer.value, answer.option) == (exact.value, exact.option)
    assert answer.evidence.evidence.object_ids == exact.evidence.object_ids
    assert answer.program == to_program(question)


def test_a_program_that_fails_says_where():
    model = Scripted("count(chairs)", "```\n```", "import os", 'count("chair")')
    questions = [CHAIRS, CHAIRS, CHAIRS, UnparsedQuestion(reason="?")]
    unknown, empty, refused, unread = ProgramReasoner(model).answer_all(
        [(question, CODE) for question in questions]
    )
    assert "line 1, column 7" in unknown.error  # count( is six characters
    assert unknown.program == "count(chairs)"
    assert empty.error == "an empty block"
    assert "ProgramError" in refused.error
    assert "understood" in unread.error
    assert all(one.stage == "answer" for one in (unknown, empty, refused, unread))


def test_a_program_sees_only_what_is_kept():
    settings = PromptSettings(keep="named")
    asked = [(CHAIRS, CODE)]
    (kept,) = ProgramReasoner(Scripted('count("sofa")'), settings).answer_all(asked)
    assert "nothing in the code is 'sofa'" in kept.error
    (whole,) = ProgramReasoner(Scripted('count("sofa")')).answer_all(asked)
    assert whole.value == 1.0


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\n1\n```", "1"),
        ("First\n```\n1\n```\nbetter:\n```python\na = 2\na\n```", "a = 2\na"),
        ("```python\ncut = 1\ncut", "cut = 1\ncut"),
        ("I think\ncount('chair')", "count('chair')"),
        ("So:\na = 1\nb = a + 1\nb", "a = 1\nb = a + 1\nb"),
        ("a == 1\n2", "2"),
        ("`area()`", "area()"),
        ("<think>```\n1\n```</think>\n```\n2\n```", "2"),
    ],
)
def test_reads_a_program(text, program):
    assert read_program(text) == program


@pytest.mark.parametrize("text", ["", " \n", "```\n\n```", "<think>```\n1\n```"])
def test_no_program(text):
    assert isinstance(read_program(text), NoAnswer)


def test_the_page_shows_real_prompts():
    """The blocks after "rendered" are what render gives for the page's own code and question."""
    from spatialcode.scene.text import parse_scene

    page = PAGE.read_text(encoding="utf-8")
    blocks = dict(re.findall(r"<!-- (\S+) -->\n+```\w*\n(.*?)```", page, re.DOTALL))
    scene = parse_scene(blocks["code"])
    question_text, *options = blocks["question"].strip().split("\n")
    question = parse(question_text, options)
    for mode in ("text", "program"):
        system, user = render(question, scene, PromptSettings(mode)).messages
        assert blocks[f"{mode}-user"].strip() == user.content
        if mode == "text":
            assert blocks["text-system"].strip() == system.content.strip()
    assert solve(question, scene).text() == blocks["text-completion"].strip()
    read = extract(blocks["text-completion"], question)
    assert score(question, scene, blocks["text-completion"].strip(), read.option).total == 1.0
    model = Scripted(f"```python\n{blocks['program-completion']}```")
    (answer,) = ProgramReasoner(model).answer_all([(question, scene)])
    assert read.option == answer.option is not None


def test_the_page_lists_forms_as_they_are_read():
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition("| form | example | read as |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \| (\S+) \|$", table, re.MULTILINE)
    forms = []
    question = HONEST["direction"][0]
    distance = HONEST["distance"][0]
    for form, example, value in rows:
        numeric = value[0].isdigit()
        answer = extract(example.replace("⏎", "\n"), distance if numeric else question)
        assert answer.form == form
        assert (answer.value == float(value)) if numeric else (answer.option == value)
        forms.append(form)
    assert list(dict.fromkeys(forms)) == [
        "tag", "boxed", "json", "final", "line", "bare", "sentence", "conclusion", "prose",
    ]  # fmt: skip
