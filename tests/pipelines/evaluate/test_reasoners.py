"""The harness with a language model: a real endpoint on this machine that knows how to answer."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from jobs.evaluate import main
from pipelines.evaluate.answering import SolverReasoner
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.vsibench import run_vsibench
from spatialcode.errors import ConfigError
from spatialcode.reasoning.families.registry import parse
from spatialcode.reasoning.models.loading import ModelSpec
from spatialcode.reasoning.priors.known import LogLinear, Priors
from spatialcode.reasoning.program.of_question import to_program
from spatialcode.reasoning.solver import solve
from tests.pipelines.evaluate.test_vsibench import room, written


def question_in(prompt: str) -> Any:
    """The question that a prompt asks, read back from it."""
    text = re.search(r"^Question: (.*)$", prompt, re.MULTILINE)
    assert text is not None
    return parse(text[1], re.findall(r"^[A-D]\. .*$", prompt[text.end() :], re.MULTILINE))


class Endpoint(BaseHTTPRequestHandler):
    """Answers chat completions as ``manner`` says, and keeps what it was asked."""

    manner: ClassVar[str] = "program"
    prompts: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        type(self).prompts.append(prompt)
        question = question_in(prompt)
        content = {
            "program": lambda: f"It is measured.\n```\n{to_program(question)}\n```",
            "text": lambda: solve(question, room()).text(),
            "prose": lambda: "I would rather not say.",
        }.get(self.manner, str)()
        choice = {
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": content},
        }  # fmt: skip
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "m",
                  "choices": [choice]}  # fmt: skip
        self.send_response(500 if self.manner == "broken" else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Endpoint.prompts.clear()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def config(tmp_path: Path, endpoint: str) -> EvaluateConfig:
    scenes = ["a0", "a1"]
    questions, boxes = written(tmp_path, scenes, {scene: room() for scene in scenes})
    return EvaluateConfig(
        report=str(tmp_path / "report"), benchmark="vsibench", questions=str(questions),
        boxes=str(boxes), num_workers=0, priors="none", prior_folds=2,
        model=ModelSpec(model="m", base_url=endpoint, max_retries=0),
    )  # fmt: skip


def rows_of(config: EvaluateConfig) -> dict[str, Any]:
    lines = (Path(config.report) / "answers.jsonl").read_text().splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


@pytest.mark.parametrize("reasoner", ["program", "text"])
def test_a_model_that_reasons_like_the_solver_scores_like_it(
    config: EvaluateConfig, reasoner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Endpoint, "manner", reasoner)
    solved = run_vsibench(config)
    asked = run_vsibench(replace(config, reasoner=reasoner))
    for name, task in solved["tasks"].items():
        assert asked["tasks"][name]["score"] == task["score"]
    far = rows_of(config)["a0-far"]
    assert far["value"] == 3.0
    if reasoner == "program":
        assert far["program"] == 'distance("the sofa", "the tv")'
        assert "distance(sofa_1, tv_1) = 3.00 m" in far["evidence"]
        assert far["grounded"] is True
    else:
        assert "Answer: 3.00 m" in far["completion"]
    assert len(Endpoint.prompts) == 6  # what is not understood is not asked


def test_only_named_boxes_are_shown_where_asked_for(
    config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Endpoint, "manner", "text")
    run_vsibench(replace(config, reasoner="text", keep="named"))
    (count, *_) = [prompt for prompt in Endpoint.prompts if "How many tv" in prompt]
    assert "tv_1 | tv" in count
    assert "sofa_1" not in count
    solver = run_vsibench(replace(config, keep="named"))
    assert solver["tasks"]["object_abs_distance"]["score"] == 100.0


def test_prose_is_unanswered_and_may_fall_back_on_priors(
    config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Endpoint, "manner", "prose")
    report = run_vsibench(replace(config, reasoner="text"))
    assert (report["num_unanswered"], report["num_failed"]) == (8, 0)
    assert report["mean"]["score"] == 0.0
    assert rows_of(config)["a0-far"]["completion"] == "I would rather not say."
    report = run_vsibench(replace(config, reasoner="text", fallback="priors"))
    assert report["num_unanswered"] == 2
    assert rows_of(config)["a0-far"]["grounded"] is False


def test_an_endpoint_that_breaks_fails_the_job_and_loses_no_row(
    config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Endpoint, "manner", "broken")
    arguments = [
        f"{name}={getattr(config, name)}"
        for name in ("report", "benchmark", "questions", "boxes", "num_workers", "priors")
    ]
    arguments += ["reasoner=text", "model.model=m", f"model.base_url={config.model.base_url}"]
    assert main([*arguments, "model.max_retries=0"]) == 1
    rows = rows_of(config)
    assert len(rows) == 8
    assert sum(row["failed"] for row in rows.values()) == 6
    assert "500" in rows["a0-far"]["error"]


def test_a_reasoner_needs_a_model(config: EvaluateConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.model"):
        replace(config, reasoner="text", model=ModelSpec())
    arguments = [f"report={tmp_path}", "benchmark=vsibench", "num_workers=2"]
    arguments += [f"questions={config.questions}", f"boxes={config.boxes}", "reasoner=program"]
    assert main([*arguments, f"model.model={tmp_path / 'none'}"]) == 1


def test_the_solver_is_shown_only_what_is_named() -> None:
    # how far a missing piano is, is judged by how far things reach: without tv and lamp less far
    question = parse("What is the distance between the sofa and the piano (in meters)?")
    alone = replace(room(), objects=room().objects[:1])
    priors = Priors(distance_of_extent=LogLinear(0.0, (1.0,)))
    (seen,) = SolverReasoner("all").answer_all([question], room(), priors)
    (named,) = SolverReasoner("named").answer_all([question], room(), priors)
    assert named["value"] == solve(question, alone, priors).value
    assert named["value"] < seen["value"]
