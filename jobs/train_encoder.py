"""Trains the small encoder on rendered rooms; resumes where its output folder left off.

Writes encoder.safetensors with its card, metrics.jsonl and curve.html.
"""

from __future__ import annotations

import shlex
import sys
from functools import partial

from jobs.cli import EventLog, run_job
from pipelines.train_encoder.config import TrainEncoderConfig


def _work(config: TrainEncoderConfig, log: EventLog) -> bool:
    from pipelines.train_encoder.launch import finish, train_in_process, train_on_ray

    launch = train_on_ray if config.launcher == "ray" else train_in_process
    launch(config)
    command = shlex.join(["python", "-m", "jobs.train_encoder", *sys.argv[1:]])
    card = finish(config, command)
    log.event("trained", **card["training"])
    print(f"weights and card: {config.output}/encoder.safetensors, encoder.json")
    return True


main = partial(run_job, "train_encoder", TrainEncoderConfig, _work, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main())
