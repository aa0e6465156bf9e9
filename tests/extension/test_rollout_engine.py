"""A rollout engine that is defined here alone, chosen by key, writes what a step learns from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from jobs import train_reasoner
from pipelines.train_reasoner.config import DRAWN
from pipelines.train_reasoner.metrics import METRICS_FILE, SAMPLES_FILE, read_rows
from spatialcode.grpo.types import Engine, Sample, SamplerSettings
from spatialcode.tiny.model import load_reasoner, program_text

#: What the engine writes: these tokens in turn, each with a log-probability of its own.
TOKENS = (300, 301, 302)


class Parrot:
    """Writes one token, whatever it is asked, and keeps what it is given."""

    made: ClassVar[list[Parrot]] = []

    def __init__(self, model: str, **settings: object) -> None:
        self.model, self.settings = model, settings
        self.weights: list[tuple[int, list[str]]] = []
        self.num_written = 0
        Parrot.made.append(self)

    @property
    def weight_version(self) -> int:
        return self.weights[-1][0] if self.weights else -1

    def generate(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> list[list[Sample]]:
        groups = []
        for prompt in prompts:
            self.num_written += num_samples
            groups.append([
                Sample(tuple(prompt), (TOKENS[n % 3],), (-1.0,), False, self.weight_version)
                for n in range(num_samples)
            ])  # fmt: skip
        return groups

    def load_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        self.weights.append((version, [name for name, _ in tensors]))


ARGUMENTS = (
    "launcher=process", f"rollouts.engine={__name__}:Parrot", "rewards_in_process=true",
    f"rewards.scorer={DRAWN}", "model.hidden_size=32", "model.num_layers=1", "model.num_heads=2",
    "model.num_kv_heads=1", "model.tokenizer_rooms=2", "model.vocabulary_size=600",
    "data.rooms_per_block=1", "sft.num_steps=0", "grpo.num_steps=2", "grpo.prompts_per_step=2",
    "grpo.samples_per_prompt=3", "grpo.max_new_tokens=4", "grpo.max_refills=0",
    "grpo.parity_tolerance=100", "evaluation.num_rooms=1", "evaluation.every_steps=0",
)  # fmt: skip


def test_a_rollout_engine_chosen_by_key_writes_what_is_learnt_from(tmp_path: Path) -> None:
    assert isinstance(Parrot("x"), Engine)
    Parrot.made.clear()
    assert train_reasoner.main([f"output={tmp_path}", *ARGUMENTS]) == 0
    (engine,) = Parrot.made
    assert engine.model == str(tmp_path / "start")
    assert engine.settings["dtype"] == "float32"
    assert engine.num_written > 2 * 2 * 3, "the evaluations' completions, too"
    assert [version for version, _ in engine.weights] == [0, 1, 2]
    assert all("model.embed_tokens.weight" in names for _, names in engine.weights)
    _, tokenizer = load_reasoner(tmp_path / "start", "cpu")
    said = {f"program: {program_text(tokenizer, (token,))}" for token in TOKENS}
    shown = read_rows(tmp_path / SAMPLES_FILE)
    assert shown
    assert {row["completion"] for row in shown} <= said
    rows = [r for r in read_rows(tmp_path / METRICS_FILE) if r["kind"] == "train"]
    assert [row["num_tokens"] for row in rows] == [6.0, 6.0], "one token a completion"
    assert rows[0]["grad_norm"] > 0
