"""Evaluating an encoder on many clips: one Ray Data stage, or a plain loop.

A clip is a row, and a clip that cannot be evaluated is a row with an error: the report says
how many there were, and its counts add up.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.placement import placed_workers
from pipelines.on_ray.dataset import through_actors
from pipelines.stored import rows
from spatialcode.config import build, to_dict
from spatialcode.encoder.prompted.encoder import PromptedSettings
from spatialcode.encoder.protocol import Encoder, LoadedEncoder
from spatialcode.errors import EncodeError
from spatialcode.evaluation.encoder_report import FailedClip, aggregate, figure, markdown
from spatialcode.evaluation.oracle_parts import OracleOptions, oracle_encoder
from spatialcode.evaluation.report import Report, write_report
from spatialcode.evaluation.room import (
    RoomOptions,
    RoomResult,
    evaluate_clip,
    evaluate_recorded,
)
from spatialcode.recordings.registry import recordings_in
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.synthetic.clips import make_clip
from spatialcode.synthetic.renderers import check_renderer
from spatialcode.threads import limit_threads

Row = dict[str, Any]
#: Frames of a room with an oracle, which has no number of frames of its own.
ORACLE_FRAMES = 64
#: Called after every clip with how many are done, how many failed, and of how many.
Progress = Callable[[int, int, int], None]


def inputs_of(config: EvaluateConfig) -> list[Row]:
    """One row a clip: its name, and the seed or the pickled recording.

    Raises InputError where a folder holds no recorded clips, ConfigError for a wrong format.
    """
    if config.clips is not None:
        found = recordings_in(Path(config.clips), config.clips_format)[: config.num_rooms]
        return [{"name": one.name, "seed": -1, "recording": pickle.dumps(one)} for one in found]
    seeds = range(config.seed, config.seed + config.num_rooms)
    return [{"name": str(seed), "seed": seed, "recording": b""} for seed in seeds]


def oracle_of(config: EvaluateConfig) -> OracleOptions:
    """What stands in the place of the prompted encoder's networks, which are not loaded."""
    settings = build(PromptedSettings, config.encoder.settings, "encoder.settings")
    return OracleOptions(
        config.oracle_parts,
        config.noise == "network",
        config.missed,
        config.switched,
        settings.fusion,
    )


class Evaluator:
    """The stage: one input row in, one result row out, whatever happens."""

    def __init__(self, config: EvaluateConfig, encoder: Encoder | OracleOptions) -> None:
        # One core a worker, as it reserves: the times reported are those of one core.
        limit_threads(1)
        num_frames = config.num_frames or (
            ORACLE_FRAMES if isinstance(encoder, OracleOptions) else encoder.frames.count
        )
        self.options = RoomOptions(
            num_frames, config.known_intrinsics, config.ladder, config.num_side, config.renderer
        )
        self.encoder: LoadedEncoder | OracleOptions = (
            encoder if isinstance(encoder, OracleOptions) else encoder.load(config.device)
        )
        limit_threads(1)  # again, for libraries that the encoder has brought

    def __call__(self, row: Row) -> Row:
        try:
            if row["recording"] and not isinstance(self.encoder, OracleOptions):
                recording = pickle.loads(row["recording"])  # noqa: S301 - pickled by `inputs_of`
                result = evaluate_recorded(recording, self.encoder, self.options)
            else:
                clip, encoder = make_clip(row["seed"], self.options.clip), self.encoder
                if isinstance(encoder, OracleOptions):
                    encoder = oracle_encoder(clip, encoder)
                result = evaluate_clip(row["name"], clip, encoder, self.options)
        except Exception as error:  # the one boundary of a row: an error is data
            return {"name": row["name"], "result": b"", **rows.failure(error, "evaluate")}
        done = {"status": rows.OK, "error_code": None, "error": None}
        return {"name": row["name"], "result": pickle.dumps(result), **done}


def run_evaluate(config: EvaluateConfig, on_progress: Progress | None = None) -> Report:
    """Evaluate and write ``report.json``, ``report.md``, ``report.html`` and ``rooms.jsonl``
    into the report folder; returns the report.

    Raises ConfigError, WeightsError, FurnitureError or InputError before anything is computed,
    EncodeError where every clip failed.
    """
    # a wrong name and a missing package fail here, not in every actor
    if config.clips is None:
        check_renderer(config.renderer)
    encoder = oracle_of(config) if config.oracle else config.encoder.make()
    inputs = inputs_of(config)
    workers = config.workers
    if not isinstance(encoder, OracleOptions):
        workers = placed_workers(config, encoder, config.num_frames or encoder.frames.count)
    results: list[RoomResult] = []
    failures: list[FailedClip] = []
    for row in through_actors(inputs, Evaluator, (config, encoder), workers):
        if row["status"] == rows.OK:
            results.append(pickle.loads(row["result"]))  # noqa: S301 - pickled by the stage above
        else:
            failures.append(FailedClip(row["name"], row["error_code"], row["error"]))
        if on_progress is not None:
            on_progress(len(results), len(failures), len(inputs))
    if not results:
        raise EncodeError(f"all {len(failures)} clips failed, the first with: {failures[0].error}")
    report = aggregate(results, failures)
    report["config"] = to_dict(config)
    report["held_out"] = config.clips is None and config.seed in HELD_OUT_ROOMS
    assert report["num_rooms"] == len(inputs), "a clip was lost"
    clips = (asdict(result) for result in sorted(results, key=lambda entry: entry.name))
    write_report(
        report, Path(config.report), markdown=markdown(report), figure=figure(report),
        rows={"rooms.jsonl": clips},
    )  # fmt: skip
    return report
