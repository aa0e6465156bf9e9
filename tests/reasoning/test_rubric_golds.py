"""The solver's own completions, and the canonical programs, over rooms by hand and drawn ones."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from pipelines.stored.questions import read_questions
from pipelines.stored.reading import read_codes
from spatialcode.questions.types import (
    Question,
    UnparsedQuestion,
)
from spatialcode.reasoning.families.registry import family_named, family_names, parse
from spatialcode.reasoning.program.of_question import to_program
from spatialcode.reasoning.rubric.scoring import RubricConfig, score
from spatialcode.reasoning.solver import solve
from spatialcode.scene.schema import SpatialCode
from spatialcode.synthetic.clips import ClipConfig, make_clip
from tests.reasoning.asking import every_question
from tests.reasoning.red_team import CODE
from tests.reasoning.rooms import HOME, room, thing

FAMILIES = family_names()
NUMERIC_FAMILIES = frozenset(name for name in family_names() if family_named(name).numeric)

_NUMBER = re.compile(r"-?\d+\.\d+")
_COUNT = re.compile(r"(?<== )\d+(?= \[)")
_CONCLUSIONS = (
    (" = yes", " = no"), (" = no", " = yes"), ("-left", "-right"), ("-right", "-left"),
    (": left", ": right"), (": right", ": left"), (": back", ": left"), ("to the left", "to the X"),
    ("to the right", "to the left"), ("to the back", "to the left"), ("to the X", "to the right"),
)  # fmt: skip


def _tilted() -> SpatialCode:
    """HOME with every box tilted by 25 degrees about its own x, and a second, turned table."""
    tilt = (math.cos(math.radians(12.5)), math.sin(math.radians(12.5)), 0.0, 0.0)
    objects = [_turned(item, tilt) for item in HOME.objects]
    objects.append(thing("table", -2, 3, 0.4, (1.0, 1.6, 0.7), yaw_deg=-77, seen=(4.0, 5.0)))
    return room(*objects, room=HOME.room)


def _turned(item, q):
    (a, b, c, d), (w, x, y, z) = item.quaternion_wxyz, q
    product = (
        a * w - b * x - c * y - d * z, a * x + b * w + c * z - d * y,
        a * y - b * z + c * w + d * x, a * z + b * y - c * x + d * w,
    )  # fmt: skip
    return replace(item, quaternion_wxyz=product)


@cache
def _codes() -> tuple[SpatialCode, ...]:
    drawn = (make_clip(seed, ClipConfig(num_frames=8)).code for seed in range(5))
    return (CODE, HOME, _tilted(), *drawn)


@cache
def _golds() -> tuple[tuple[Question, SpatialCode, str, float | str], ...]:
    """Question, code, the solver's completion, its answer: all that are grounded."""
    found = []
    for code in _codes():
        for question in every_question(code):
            answer = solve(question, code)
            if answer.grounded:
                found.append((question, code, answer.text(), answer.option or answer.value))
    return tuple(found)


def test_every_family_relation_and_view_is_asked():
    counts = Counter(question.family for question, *_ in _golds())
    assert set(counts) == set(FAMILIES)
    assert min(counts.values()) == 8  # the size of each room, asked once
    asked = {(q.relation, q.view) for q, *_ in _golds() if q.family == "configuration"}
    assert len(asked) == 4 * 3 + 4


def test_what_the_solver_writes_scores_one():
    for question, code, text, gold in _golds():
        result = score(question, code, text, gold)
        assert result.total == 1.0, (question, text, result)
        assert result.reasons == {}


def test_reasoning_of_the_solver_follows_changed_rooms():
    config = RubricConfig(weight_counterfactual=0.1)
    for question, code, text, gold in _golds()[::17]:
        result = score(question, code, text, gold, config)
        assert result.total == 1.0, (question, text, result)


def test_canonical_programs_score_one():
    for question, code, _, gold in _golds()[::13]:
        text = f"```program\n{to_program(question)}\n```"
        result = score(question, code, text, gold)
        assert result.total == 1.0, (text, result)


def _slips(text: str) -> Iterator[str]:
    """The completion with one thing wrong: a number off by 11, a conclusion turned round."""
    *lines, final = text.split("\n")
    for n, line in enumerate(lines):
        wrong = _NUMBER.sub(lambda found: f"{float(found[0]) + 11:.2f}", line, count=1)
        wrong = _COUNT.sub(lambda found: str(int(found[0]) + 1), wrong)
        for said, instead in _CONCLUSIONS:
            if wrong == line and line.endswith(said):
                wrong = line.replace(said, instead)
        if wrong != line:
            yield "\n".join([*lines[:n], wrong, *lines[n + 1 :], final])


def test_one_wrong_statement_costs():
    num_slips = Counter()
    for question, code, text, gold in _golds()[::11]:
        for wrong in _slips(text):
            num_slips[question.family] += 1
            result = score(question, code, wrong, gold)
            assert result.total < 0.99, (question, wrong, result)
    assert set(num_slips) == set(FAMILIES)


def test_one_line_left_out_costs_unless_it_is_optional():
    """A product follows from the vectors; a stop that was faced has its place stated before."""
    for question, code, text, gold in _golds()[::19]:
        lines = text.split("\n")
        for n, line in enumerate(lines):
            again = line.removeprefix("stop: ") in text.replace(line, "")
            if line.startswith(("dot", "cross")) or again:
                continue
            result = score(question, code, "\n".join(lines[:n] + lines[n + 1 :]), gold)
            assert result.total < 1.0, (question, line, result)


@pytest.mark.parametrize("family", FAMILIES)
def test_another_answer_under_right_reasoning_earns_nothing_of_it(family):
    for question, code, text, gold in [row for row in _golds() if row[0].family == family][:40]:
        if family in NUMERIC_FAMILIES:
            other = f"Answer: {float(gold) * 3 + 5:.2f}"
        else:
            letters = [option.letter for option in question.options if option.letter != gold]
            other = f"Answer: {letters[0]}"
        result = score(question, code, text.rpartition("\n")[0] + "\n" + other, gold)
        assert result.total <= 0.16, result  # form, and the smooth term's tail


@pytest.mark.parametrize("boxes", ["scenes.jsonl", "predicted_boxes.jsonl"])
def test_published_questions_over_published_boxes_score_one(boxes):
    folder = Path(os.environ.get("SPATIALCODE_DATA", "")) / "vsibench"
    if not os.environ.get("SPATIALCODE_DATA") or not (folder / boxes).exists():
        pytest.skip("the published questions and boxes are not here")
    codes = read_codes(folder / boxes)
    num_scored = 0
    for item in read_questions(folder / "questions.jsonl")[::4]:
        question = parse(item.question, item.options)
        if item.scene not in codes or isinstance(question, UnparsedQuestion):
            continue
        code = codes[item.scene]
        answer = solve(question, code)
        if answer.grounded:
            num_scored += 1
            result = score(question, code, answer.text(), answer.option or answer.value)
            assert result.total == 1.0, (item.id, answer.text(), result)
    assert num_scored > 100
