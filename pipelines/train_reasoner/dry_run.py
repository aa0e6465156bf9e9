"""A training run made tiny: the same classes and the same ways through the code, in seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipelines.train_reasoner.config import TrainReasonerConfig
from spatialcode.grpo.types import Scored
from spatialcode.questions.types import QuestionItem
from spatialcode.scene.schema import SpatialCode

SCORER = "pipelines.train_reasoner.dry_run:DrawnScorer"


class DrawnScorer:
    """Rewards that follow from the completion's hash.

    A random model earns nothing from the rubric, and without variance no update would be tried.
    """

    @classmethod
    def load(cls, settings: Mapping[str, Any]) -> DrawnScorer:  # noqa: ARG003
        return cls()

    def score(self, item: QuestionItem, code: SpatialCode, completion: str) -> Scored:  # noqa: ARG002
        drawn = hashlib.sha256(completion.encode()).digest()[0] / 255
        return Scored({"answer": drawn}, drawn, ("a dry run's reward is drawn",))


def dry(config: TrainReasonerConfig) -> TrainReasonerConfig:
    """The settings with at most two workers and two steps a stage, and drawn rewards.

    Model classes, ZeRO stage, precision, adapters and who writes completions stay.
    """
    import torch

    workers = min(2, config.num_workers)
    gpu = config.use_gpu and torch.cuda.is_available()
    rollouts = replace(
        config.rollouts,
        num_actors=min(workers, config.rollouts.num_actors),
        use_gpu=config.rollouts.use_gpu and gpu,
        num_cpus=1.0,
    )
    return replace(
        config,
        num_workers=workers,
        use_gpu=gpu,
        num_threads=1,
        checkpoint_every_steps=2,
        data=replace(config.data, rooms_per_block=1, num_tasks=1),
        model=replace(config.model, hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2),
        copying=replace(config.copying, num_steps=min(2, config.copying.num_steps)),
        sft=replace(
            config.sft, num_steps=min(2, config.sft.num_steps), max_seconds=None,
            batch_size=2 * workers,
        ),
        grpo=replace(
            config.grpo, num_steps=min(2, config.grpo.num_steps), max_seconds=None,
            prompts_per_step=2 * workers, samples_per_prompt=4, max_new_tokens=8, max_refills=1,
        ),
        rewards=replace(config.rewards, num_actors=workers, num_cpus=0.5, scorer=SCORER),
        rollouts=rollouts,
        evaluation=replace(config.evaluation, num_rooms=1, every_steps=0, vsibench=None),
    )  # fmt: skip
