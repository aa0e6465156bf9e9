"""The benchmark's own questions, made again from its own boxes: same words, same answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from pipelines.stored.questions import read_questions
from pipelines.stored.reading import read_codes
from spatialcode.questions.types import QuestionItem
from tests.questions.by_hand import answer, answers, everything

#: How far our numbers may be from the annotators' (they measured between point clouds).
NEAR = {"object_size_estimation": 1.0, "object_abs_distance": 0.2, "object_counting": 0.0}
FAMILIES = (*NEAR, *(f"object_rel_direction_{level}" for level in ("easy", "medium", "hard")))


def test_the_benchmarks_own_questions_are_made_with_its_answers(data_dir: Path) -> None:
    folder = data_dir / "vsibench"
    if not folder.is_dir():
        pytest.skip("no vsibench in SPATIALCODE_DATA")
    codes = read_codes(folder / "scenes.jsonl")
    asked: dict[tuple[str, str], list[QuestionItem]] = defaultdict(list)
    for item in read_questions(folder / "questions.jsonl"):
        if item.question_type in FAMILIES:
            asked[item.scene, item.question_type].append(item)
    met, agreed = Counter(), Counter()
    for (scene, family), items in list(asked.items())[::3]:
        made = answers(everything(codes[scene], family))
        for item in items:
            ours = made.get(item.question.split("\n")[0])
            if ours is None:  # closer to a border than we ask, or a pair in the other order
                continue
            met[family] += 1
            if family in NEAR:
                agreed[family] += abs(float(ours) - float(item.ground_truth)) <= NEAR[family]
            else:
                agreed[family] += ours == answer(item)
    assert all(met[family] >= 15 for family in FAMILIES), met
    for family in FAMILIES:
        assert agreed[family] >= 0.97 * met[family], (family, agreed[family], met[family])
