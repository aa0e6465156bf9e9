"""The real benchmark over real rooms, on the plain path without Ray. Skips without the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.vsibench import run_vsibench

#: What boxes decide; order of appearance and routes name what they lack.
_SIX = (
    "object_counting", "object_abs_distance", "object_size_estimation", "room_size_estimation",
    "object_rel_distance", "object_rel_direction",
)  # fmt: skip


@pytest.fixture
def folder(data_dir: Path) -> Path:
    if not (data_dir / "vsibench" / "questions.jsonl").is_file():
        pytest.skip("no vsibench folder among the real data")
    return data_dir / "vsibench"


def test_annotated_boxes_answer_nearly_everything_that_boxes_decide(folder, tmp_path):
    report = run_vsibench(
        EvaluateConfig(
            report=str(tmp_path), benchmark="vsibench", questions=str(folder / "questions.jsonl"),
            boxes=str(folder / "scenes.jsonl"), num_workers=0,
        )
    )  # fmt: skip
    assert (report["num_questions"], report["num_rooms"], report["num_failed"]) == (2762, 201, 0)
    scores = {name: task["score"] for name, task in report["tasks"].items()}
    assert scores["object_counting"] >= 99.0
    assert scores["object_abs_distance"] >= 97.0
    assert scores["object_size_estimation"] >= 99.5
    assert scores["object_rel_distance"] >= 99.5
    for level in ("easy", "medium", "hard"):
        assert scores[f"object_rel_direction_{level}"] >= 99.5
    # priors alone do not come near: the boxes are what answers
    assert all(report["tasks"][name]["priors_only"] < 70.0 for name in _SIX)


def test_published_predictions_with_priors_of_other_rooms(folder, tmp_path):
    report = run_vsibench(
        EvaluateConfig(
            report=str(tmp_path), benchmark="vsibench", questions=str(folder / "questions.jsonl"),
            boxes=str(folder / "predicted_boxes.jsonl"),
            truth_boxes=str(folder / "scenes.jsonl"), num_workers=0,
        )
    )  # fmt: skip
    assert (report["num_rooms"], report["num_failed"]) == (51, 0)
    assert sum(report["tasks"][name]["score"] for name in _SIX) / 6 >= 66.0
