"""A rollout engine that is defined here alone, chosen by key, writes what a step learns from."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from jobs import train_reasoner
from pipelines.train_reasoner.config import DRAWN
from pipelines.train_reasoner.metrics import METRICS_FILE, SAMPLES_FILE, read_rows
from spatialcode.grpo.types import Engine, Sample, SamplerSettings
from spatialcode.tiny.model import load_reasoner, program_text

#: What the engine writes: one of these tokens in turn.
TOKENS = (300, 301, 302)


class Parrot:
    """Writes the same few tokens whatever it is asked, and says truly how likely they were."""

    made: ClassVar[list[Parrot]] = []

    def __init__(self, model: str, **settings: object) -> None:
        self.folder, self.settings = model, settings
        self.model: Any = AutoModelForCausalLM.from_pretrained(model).eval()
        self.versions: list[int] = []
        self.num_written = 0
        Parrot.made.append(self)

    @property
    def weight_version(self) -> int:
        return self.versions[-1] if self.versions else -1

    def generate(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> list[list[Sample]]:
        groups = []
        for prompt in prompts:
            with torch.no_grad():
                logprobs = self.model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
            version = self.weight_version
            groups.append([
                Sample(tuple(prompt), (token,), (float(logprobs[token]),), False, version)
                for token in itertools.islice(itertools.cycle(TOKENS), num_samples)
            ])  # fmt: skip
            self.num_written += num_samples
        return groups

    def load_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        self.model.load_state_dict(dict(tensors), strict=False)
        self.versions.append(version)


ARGUMENTS = (
    "launcher=process", f"rollouts.engine={__name__}:Parrot", "rewards_in_process=true",
    f"rewards.scorer={DRAWN}", "model.hidden_size=32", "model.num_layers=1", "model.num_heads=2",
    "model.num_kv_heads=1", "model.tokenizer_rooms=2", "model.vocabulary_size=600",
    "data.rooms_per_block=1", "sft.num_steps=0", "grpo.num_steps=2", "grpo.prompts_per_step=2",
    "grpo.samples_per_prompt=3", "grpo.max_new_tokens=4", "grpo.max_refills=0",
    "evaluation.num_rooms=1", "evaluation.every_steps=0",
)  # fmt: skip


def test_a_rollout_engine_chosen_by_key_writes_what_is_learnt_from(tmp_path: Path) -> None:
    Parrot.made.clear()
    assert train_reasoner.main([f"output={tmp_path}", *ARGUMENTS]) == 0
    (engine,) = Parrot.made
    assert isinstance(engine, Engine)
    assert engine.folder == str(tmp_path / "start")
    assert engine.settings["dtype"] == "float32"
    assert engine.num_written > 2 * 2 * 3, "the evaluations' completions, too"
    assert engine.versions == [0, 1, 2], "the weights of the start and of each step"
    _, tokenizer = load_reasoner(tmp_path / "start", "cpu")
    said = {f"program: {program_text(tokenizer, (token,))}" for token in TOKENS}
    shown = read_rows(tmp_path / SAMPLES_FILE)
    assert shown
    assert {row["completion"] for row in shown} <= said
    rows = [r for r in read_rows(tmp_path / METRICS_FILE) if r["kind"] == "train"]
    assert [row["num_tokens"] for row in rows] == [6.0, 6.0], "one token a completion"
    assert rows[0]["grad_norm"] > 0
    assert rows[0]["parity"]["max_difference"] < 1e-4
    assert rows[1]["first/max_abs_log"] < 1e-4, "its weights are those of the step before"
