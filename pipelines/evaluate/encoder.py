"""Evaluating an encoder on many clips: one Ray Data stage, or a plain loop.

A clip is a row, and a clip that cannot be evaluated is a row with an error: the report says
how many there were, and its counts add up.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.evaluate.config import EvaluateConfig
from pipelines.on_ray.dataset import through_actors
from pipelines.stored import rows
from spatialcode.config import to_dict
from spatialcode.errors import EncodeError
from spatialcode.evaluation.encoder_plot import write_plot
from spatialcode.evaluation.encoder_report import Failure, aggregate, markdown
from spatialcode.evaluation.recorded import evaluate_recorded, list_recorded
from spatialcode.evaluation.room import ClipEncoder, RoomOptions, RoomResult, evaluate_room
from spatialcode.loading import load
from spatialcode.scene.text import from_json, to_json
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.threads import limit_threads

BUNDLED = "spatialcode.evaluation.watched:EvaluatedEncoder"

Row = dict[str, Any]
Report = dict[str, Any]
#: Called after every clip with how many are done, how many failed, and of how many.
Progress = Callable[[int, int, int], None]


def load_evaluated(name: str, device: str) -> ClipEncoder:
    """The encoder that a configuration names. ConfigError where there is no such class."""
    spec = name if ":" in name else BUNDLED
    encoder: ClipEncoder = load(spec, "encoder").load(name, device)
    return encoder


def inputs_of(config: EvaluateConfig) -> list[Row]:
    """One row a clip: its name, and the seed or the path of the recording.

    Raises InputError where a folder holds no recorded clips.
    """
    if config.clips is not None:
        found = list_recorded(Path(config.clips))[: config.num_rooms]
        return [
            {"name": video.name, "seed": -1, "video": str(video), "code": to_json(code)}
            for video, code in found
        ]
    seeds = range(config.seed, config.seed + config.num_rooms)
    return [{"name": str(seed), "seed": seed, "video": "", "code": ""} for seed in seeds]


class Evaluator:
    """The stage: one input row in, one result row out, whatever happens."""

    def __init__(self, config: EvaluateConfig) -> None:
        # One core a worker, as it reserves: the times reported are those of one core.
        limit_threads(1)
        self.encoder = load_evaluated(config.encoder, config.device)
        limit_threads(1)  # again, for libraries that the encoder has brought
        self.options = RoomOptions(config.num_frames, config.known_intrinsics, config.ladder)

    def __call__(self, row: Row) -> Row:
        try:
            if row["video"]:
                code = from_json(row["code"])
                result = evaluate_recorded(Path(row["video"]), code, self.encoder, self.options)
            else:
                result = evaluate_room(row["seed"], self.encoder, self.options)
        except Exception as error:  # the one boundary of a row: an error is data
            return {"name": row["name"], "result": b"", **rows.failure(error, "evaluate")}
        done = {"status": rows.OK, "error_code": None, "error": None}
        return {"name": row["name"], "result": pickle.dumps(result), **done}


def run_evaluate(config: EvaluateConfig, on_progress: Progress | None = None) -> Report:
    """Evaluate and write ``report.json``, ``report.md``, ``report.html`` and ``rooms.jsonl``
    into the report folder; returns the report.

    Raises ConfigError, WeightsError or InputError before anything is computed, EncodeError
    where every clip failed.
    """
    inputs = inputs_of(config)
    if config.num_workers == 0:
        evaluator = Evaluator(config)
        stream: Iterator[Row] = (evaluator(row) for row in inputs)
    else:
        load_evaluated(config.encoder, "cpu")  # a wrong name fails here, not in every actor
        stream = through_actors(inputs, Evaluator, (config,), config)
    results: list[RoomResult] = []
    failures: list[Failure] = []
    for row in stream:
        if row["status"] == rows.OK:
            results.append(pickle.loads(row["result"]))  # noqa: S301 - pickled by the stage above
        else:
            failures.append(Failure(row["name"], row["error_code"], row["error"]))
        if on_progress is not None:
            on_progress(len(results), len(failures), len(inputs))
    if not results:
        raise EncodeError(f"all {len(failures)} clips failed, the first with: {failures[0].error}")
    report = aggregate(results, failures)
    report["config"] = to_dict(config)
    report["held_out"] = config.clips is None and config.seed in HELD_OUT_ROOMS
    assert report["num_rooms"] == len(inputs), "a clip was lost"
    write_report(report, results, Path(config.report))
    return report


def write_report(report: Report, results: Sequence[RoomResult], folder: Path) -> None:
    """The report in its forms, and every clip's scores as a JSON line."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    write_plot(report, folder / "report.html")
    with (folder / "rooms.jsonl").open("w", encoding="utf-8") as lines:
        for result in sorted(results, key=lambda entry: entry.name):
            lines.write(json.dumps(asdict(result), allow_nan=False) + "\n")
