"""Measuring an encoder on real recordings: one Ray Data stage, or a plain loop.

A recording is a row, and one that cannot be measured is a row with an error.
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
from spatialcode.config import to_dict
from spatialcode.encoder.protocol import Encoder
from spatialcode.errors import EncodeError
from spatialcode.evaluation.encoder_report import FailedClip
from spatialcode.evaluation.recorded import (
    MAX_FRAMES,
    RecordedOptions,
    RecordedResult,
    Told,
    measure_recording,
)
from spatialcode.evaluation.recorded_report import (
    aggregate_recorded,
    recorded_figure,
    recorded_markdown,
)
from spatialcode.evaluation.report import Report, write_report
from spatialcode.recordings.registry import READERS, ListedCapture, captures_in
from spatialcode.threads import limit_threads

Row = dict[str, Any]


def captures_of(config: EvaluateConfig) -> list[ListedCapture]:
    """The captures of all folders that are named, without videos of which nothing is known.

    InputError where one holds none.
    """
    return [
        capture
        for folder in config.recordings
        for capture in captures_in(Path(folder), config.clips_format)
        if capture.reader or capture.error
    ]


class RecordingMeasurer:
    """The stage: one capture in, one result out, whatever happens."""

    def __init__(self, config: EvaluateConfig, encoder: Encoder) -> None:
        limit_threads(1)  # one core a worker, as it reserves
        self.options = RecordedOptions(
            stride=config.stride,
            num_frames=config.num_frames or MAX_FRAMES,
            side_px=encoder.frames.side_px,
            told=Told(lens=config.given_lens, poses=config.given_poses),
            ladder=config.ladder,
        )
        self.encoder = encoder.load(config.device)
        limit_threads(1)  # again, for libraries that the encoder has brought

    def __call__(self, row: Row) -> Row:
        import spatialcode.recordings.readers  # noqa: F401 - registers the readers

        capture: ListedCapture = pickle.loads(row["capture"])  # noqa: S301 - see `run_recorded`
        try:
            if capture.error is not None:
                raise capture.error
            recording = READERS[capture.reader].read(capture.place)
            result = measure_recording(recording, self.encoder, self.options)
        except Exception as error:  # the one boundary of a row: an error is data
            failed = rows.failure(error, "evaluate")
            return {"name": capture.place.uri, "result": b"", **failed}
        done = {"status": rows.OK, "error_code": None, "error": None}
        return {"name": result.name, "result": pickle.dumps(result), **done}


def run_recorded(
    config: EvaluateConfig, on_progress: Callable[[int, int, int], None] | None = None
) -> Report:
    """Measure and write ``report.json``, ``report.md``, ``report.html`` and ``recordings.jsonl``
    into the report folder; returns the report.

    Raises ConfigError, WeightsError or InputError before anything is computed, EncodeError where
    every recording failed.
    """
    encoder = config.encoder.make()  # a wrong name fails here, not in every actor
    inputs = [{"capture": pickle.dumps(capture)} for capture in captures_of(config)]
    workers = placed_workers(config, encoder, config.num_frames or MAX_FRAMES)
    results: list[RecordedResult] = []
    failures: list[FailedClip] = []
    for row in through_actors(inputs, RecordingMeasurer, (config, encoder), workers):
        if row["status"] == rows.OK:
            results.append(pickle.loads(row["result"]))  # noqa: S301 - pickled by the stage above
        else:
            failures.append(FailedClip(row["name"], row["error_code"], row["error"]))
        if on_progress is not None:
            on_progress(len(results), len(failures), len(inputs))
    if not results:
        first = failures[0].error
        raise EncodeError(f"all {len(failures)} recordings failed, the first with: {first}")
    report = aggregate_recorded(results, failures)
    report["config"] = to_dict(config)
    write_report(
        report, Path(config.report), markdown=recorded_markdown(report),
        figure=recorded_figure(report),
        rows={"recordings.jsonl": map(asdict, sorted(results, key=lambda one: one.name))},
    )  # fmt: skip
    return report
