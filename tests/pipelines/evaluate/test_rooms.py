"""From rendered videos to answers: the bundled encoder on three small rooms, in one process."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pipelines.evaluate.answering
import pipelines.evaluate.rooms
import spatialcode.api
from jobs.evaluate import main
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.rooms import CONDITIONS, run_rooms
from spatialcode.errors import EncodeError
from spatialcode.evaluation.answer_report import rooms_markdown, summarise_rooms

SEED = 1_000_000_000


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EvaluateConfig:
    return EvaluateConfig(
        report=str(tmp_path_factory.mktemp("rooms")), benchmark="rooms", num_rooms=3, seed=SEED,
        num_frames=16, num_questions=2, num_workers=0, prior_folds=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(config: EvaluateConfig) -> dict[str, Any]:
    return run_rooms(config)


def test_the_true_code_answers_everything(report: dict[str, Any]) -> None:
    true = report["conditions"]["true_code"]
    assert len(true["tasks"]) >= 10
    assert all(task["score"] == 100.0 for task in true["tasks"].values())
    assert true["num_unanswered"] == 0


def test_all_conditions_ask_the_same_and_losses_add_up(
    config: EvaluateConfig, report: dict[str, Any]
) -> None:
    asked = {
        name: {task: entry["n"] for task, entry in condition["tasks"].items()}
        for name, condition in report["conditions"].items()
    }
    assert tuple(asked) == CONDITIONS
    assert len({json.dumps(one, sort_keys=True) for one in asked.values()}) == 1
    for task, lost in report["attribution"].items():
        assert report["tasks"][task]["score"] + sum(lost.values()) == pytest.approx(100.0)
    rows = [json.loads(x) for x in (Path(config.report) / "answers.jsonl").open()]
    assert len(rows) == 3 * report["num_questions"]
    # the encoder is no oracle: something it was asked is not right, and boxes are to blame
    assert report["mean"]["score"] < 100.0
    assert max(lost["boxes"] + lost["poses"] for lost in report["attribution"].values()) > 0.0


def test_the_same_rooms_give_the_same_report(
    config: EvaluateConfig, report: dict[str, Any], tmp_path: Path
) -> None:
    again = run_rooms(replace(config, report=str(tmp_path)))
    assert again["conditions"] == report["conditions"]


def test_a_room_that_cannot_be_encoded_is_counted_and_fails_the_job(
    config: EvaluateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = spatialcode.api.encode

    def faulty(path: Any, **options: Any) -> Any:
        if str(SEED) in str(path):
            raise EncodeError("planted")
        return encode(path, **options)

    monkeypatch.setattr(spatialcode.api, "encode", faulty)
    arguments = [f"{name}={getattr(config, name)}" for name in (
        "benchmark", "num_rooms", "seed", "num_frames", "num_questions", "num_workers",
        "prior_folds")]  # fmt: skip
    assert main([f"report={tmp_path}", *arguments]) == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["num_rooms"], report["num_failed"]) == (3, 1)
    assert report["failures"] == [f"room_{SEED}: planted"]
    assert f"- room_{SEED}: planted" in (tmp_path / "report.md").read_text()
    assert main([f"report={tmp_path}", *arguments, "num_rooms=1"]) == 1  # none is left


def row(condition: float, task: str = "object_counting") -> dict[str, Any]:
    return {
        "task": task, "score": condition, "priors_only": 10.0, "most_frequent": 5.0,
        "scene": "x", "dataset": "", "grounded": True, "error": None, "failed": False,
    }  # fmt: skip


def test_losses_by_hand() -> None:
    report = summarise_rooms(
        {"true_code": [row(90.0)], "given_poses": [row(70.0)], "predicted_poses": [row(40.0)]}
    )
    assert report["attribution"]["object_counting"] == {
        "poses": 30.0, "boxes": 20.0, "reasoning": 10.0,
    }  # fmt: skip
    text = rooms_markdown({**report, "num_rooms": 1, "num_failed": 0, "failures": []})
    assert "| object_counting | 1 | 90.0 (90.0–90.0) | 70.0 (70.0–70.0) | 40.0" in text
    assert "| object_counting | 30.0 | 20.0 | 10.0 |" in text
    assert "answers failed" not in text


def test_a_reasoner_that_breaks_fails_the_job(
    config: EvaluateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: Any) -> Any:
        raise RuntimeError("planted")

    monkeypatch.setattr(pipelines.evaluate.answering, "solve", faulty)
    monkeypatch.setattr(pipelines.evaluate.rooms.RoomMaker, "_seen", lambda _, __, code: {
        "given_poses": code, "predicted_poses": code})  # fmt: skip
    arguments = ["benchmark=rooms", "num_rooms=2", "num_workers=0", "prior_folds=2",
                 "num_frames=4", "num_questions=1"]  # fmt: skip
    assert main([f"report={tmp_path}", *arguments]) == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["num_failed"] == 0  # the rooms are there
    assert report["num_failed_questions"] == 3 * report["num_questions"] > 0
    failed = f"{report['num_failed_questions']} answers failed"
    assert failed in (tmp_path / "report.md").read_text()
