"""Trains an encoder; resumes where its output folder left off.

small: on rendered rooms; writes encoder.safetensors with its card, metrics.jsonl and curve.html.
unified: on a mix of data sets, from pretrained towers; writes the folder unified and metrics.jsonl.
"""

from __future__ import annotations

import shlex
import sys
from functools import partial
from typing import Any

from jobs.cli import EventLog, run_job
from pipelines.train_encoder.config import TrainEncoderConfig


def _work(config: TrainEncoderConfig, log: EventLog) -> bool:
    card, weights = _unified(config) if config.encoder == "unified" else _small(config)
    log.event("trained", **card["training"])
    print(f"weights and card: {weights}")
    return True


def _unified(config: TrainEncoderConfig) -> tuple[dict[str, Any], str]:
    from pipelines.train_encoder.unified.launch import train_unified_encoder

    return train_unified_encoder(config), f"{config.output}/unified"


def _small(config: TrainEncoderConfig) -> tuple[dict[str, Any], str]:
    from pipelines.train_encoder.launch import finish, train_in_process, train_on_ray

    launch = train_on_ray if config.launcher == "ray" else train_in_process
    launch(config)
    command = shlex.join(["python", "-m", "jobs.train_encoder", *sys.argv[1:]])
    card = finish(config, command)
    return card, f"{config.output}/encoder.safetensors, encoder.json"


main = partial(run_job, "train_encoder", TrainEncoderConfig, _work, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main())
