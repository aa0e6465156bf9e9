"""Trains the small encoder on rendered rooms; resumes where its output folder left off.

Writes encoder.safetensors with its card, metrics.jsonl and curve.html.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from jobs.cli import EventLog, run_job
from pipelines.train_encoder.config import TrainEncoderConfig

SCHEMA = TrainEncoderConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; the exit code is 0 only if weights and card are written."""
    return run_job("train_encoder", SCHEMA, _work, argv, __doc__ or "")


def _work(config: TrainEncoderConfig, log: EventLog) -> bool:
    from pipelines.train_encoder.launch import finish, train_in_process, train_on_ray

    launch = train_on_ray if config.launcher == "ray" else train_in_process
    launch(config)
    command = shlex.join(["python", "-m", "jobs.train_encoder", *sys.argv[1:]])
    card = finish(config, command)
    log.event("trained", **card["training"])
    print(f"weights and card: {config.output}/encoder.safetensors, encoder.json")
    return True


if __name__ == "__main__":
    sys.exit(main())
