"""Rows through actors and blocks through tasks: all come back, and Ray's errors end a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.evaluate.config import EvaluateConfig
from pipelines.on_ray.dataset import Workers, through_actors, through_tasks
from pipelines.questions.config import QuestionsConfig
from pipelines.questions.graph import run_questions
from pipelines.synthesize.config import SynthesizeConfig
from pipelines.synthesize.graph import run_synthesize
from spatialcode.scene.text import to_json
from tests.export.codes import code, item


class Adder:
    def __init__(self, summand: int) -> None:
        self.summand = summand

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"n": row["n"] + self.summand}


def add(block: pa.Table, summand: int) -> pa.Table:
    return pa.table({"n": [n + summand for n in block["n"].to_pylist()]})


def fail(block: pa.Table, **_: Any) -> pa.Table:
    raise ZeroDivisionError("planted\nin two lines")


def test_every_row_comes_back_from_actors_and_from_tasks(ray_session: Any) -> None:
    rows = [{"n": n} for n in range(5)]
    found = through_actors(rows, Adder, (10,), Workers(max_workers=1))
    assert sorted(row["n"] for row in found) == [10, 11, 12, 13, 14]
    blocks = [pa.table({"n": [0, 1]}), pa.table({"n": [2, 3, 4]})]
    aborted: list[str] = []
    parts = list(through_tasks(blocks, add, {"summand": 10}, Workers(), aborted.append))
    assert sorted(len(part) for part in parts) == [2, 3]
    assert sorted(row["n"] for part in parts for row in part) == [10, 11, 12, 13, 14]
    assert aborted == []


def test_an_error_in_a_task_ends_the_run_in_one_line(ray_session: Any) -> None:
    aborted: list[str] = []
    parts = through_tasks([pa.table({"n": [1]})], fail, {}, Workers(), aborted.append)
    assert list(parts) == []
    (line,) = aborted
    assert line.startswith("RayTaskError")
    assert "\n" not in line


def test_a_run_that_ray_ends_says_so_in_its_report(
    ray_session: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("pipelines.synthesize.graph.render_shard", fail)
    monkeypatch.setattr("pipelines.questions.graph.ask_codes", fail)
    (tmp_path / "codes").mkdir()
    (tmp_path / "codes" / "a.json").write_text(to_json(code(item("table_1", "table"))))
    rooms = run_synthesize(SynthesizeConfig(output=str(tmp_path / "rooms"), num_rooms=2))
    asked = run_questions(
        QuestionsConfig(codes=str(tmp_path / "codes"), output=str(tmp_path / "questions"))
    )
    for report, unfinished in ((rooms, 2), (asked, 1)):
        assert report["aborted"].startswith("RayTaskError")
        assert (report["done"], report["failed"], report["unfinished"]) == (0, 0, unfinished)
        assert not report["ok"]


def test_an_evaluation_states_its_workers() -> None:
    config = EvaluateConfig(report="r", num_workers=3, num_gpus=0.5, ray_address="a:1")
    assert config.workers == Workers(3, 1.0, 0.5, "a:1")
