"""The settings of the encoder's training job. Light: ``--help`` loads neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.train_encoder.unified.config import UnifiedTrainingConfig
from spatialcode.config import checked, require, setting

LAUNCHERS = ("process", "ray")
ENCODERS = ("small", "unified")


@dataclass(frozen=True)
@checked
class TrainEncoderConfig:
    """All settings of ``python -m jobs.train_encoder``."""

    output: str = setting("folder for checkpoints, metrics, curve, weights and card")
    encoder: str = setting("which encoder is trained", "small", one_of=ENCODERS)
    launcher: str = setting(
        "process: one plain torch process; ray: Ray Train (small: DDP; unified: DeepSpeed)",
        "ray",
        one_of=LAUNCHERS,
    )
    num_workers: int = setting("training workers of the ray launcher", 1, at_least=1)
    use_gpu: bool = setting("train on GPUs, one a worker", False)
    num_threads: int = setting("torch threads a worker, where it trains on the CPU", 1, at_least=1)
    num_renderers: int = setting(
        "processes (or Ray tasks at once) that render frames", 1, at_least=1
    )
    max_failures: int = setting("restarts from the last checkpoint before giving up", 3)
    num_steps: int = setting("optimiser steps", 10_000, at_least=1)
    max_seconds: float | None = setting("training time after which the schedule ends too", None)
    batch_size: int = setting("pictures (unified: clips) a step and worker", 32, at_least=1)
    learning_rate: float = setting("peak learning rate", 2e-3, above=0)
    bfloat16: bool = setting("compute in bfloat16 (fast where the processor has it)", True)
    first_seed: int = setting("seed of the first training room", 0)
    furniture_share: float = setting(
        "small: share of rooms with real furniture (renderer=furniture), the rest primitives",
        0.0,
        at_least=0,
        at_most=1,
    )
    frames_per_room: int = setting("pictures rendered of each room", 6, at_least=1)
    frame_uses: float = setting(
        "times each rendered picture is trained on, on average", 2.5, at_least=1
    )
    buffer_frames: int = setting("rendered pictures kept to draw from", 16_384, at_least=1)
    validate_every_s: float = setting("seconds between validations on unseen rooms", 300.0)
    num_validation_rooms: int = setting("unseen rooms of a validation", 24)
    checkpoint_every_steps: int = setting("steps between checkpoints", 100, at_least=1)
    num_calibration_rooms: int = setting("unseen rooms that the score is fitted on at the end", 60)
    ray_address: str | None = setting("cluster to join; null: RAY_ADDRESS or a local one", None)
    unified: UnifiedTrainingConfig = setting("", default_factory=UnifiedTrainingConfig)

    def __post_init__(self) -> None:
        require(
            self.launcher == "ray" or self.num_workers == 1,
            "num_workers",
            "1 with launcher=process",
            self.num_workers,
        )
        # Workers that stop by their own clocks would wait for each other forever.
        require(
            self.max_seconds is None or self.num_workers == 1,
            "max_seconds",
            "null where num_workers is above 1 (end by num_steps)",
            self.max_seconds,
        )
