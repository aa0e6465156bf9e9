"""An engine without a network: what it writes follows from prompt, seed and its one weight.

Completion n of a prompt is a few tokens that a checksum of all of these decides, so that mixed-up
prompts, weights or orders show. Files in a control folder make it slow or note what it wrote.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from spatialcode.grpo.types import Sample, SamplerSettings

NAME = "tests.pipelines.train_reasoner.rollouts.stand_in_engine:Echo"


class Echo:
    """``slow_s``: seconds a prompt; ``journal``: file to which each prompt written is noted."""

    def __init__(
        self, slow_s: float = 0.0, journal: str = "", hang_once: str = "", weight: float = 0.0
    ) -> None:
        self.slow_s = slow_s
        self.journal = journal
        self.hang_once = hang_once
        self.weights = {"w": torch.tensor([weight])}
        self._version = 0

    @property
    def weight_version(self) -> int:
        return self._version

    def generate(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> list[list[Sample]]:
        if self.hang_once and Path(self.hang_once).exists():
            Path(self.hang_once).unlink()
            time.sleep(3600)
        seen: dict[tuple[int, ...], int] = {}
        groups = []
        for prompt in map(tuple, prompts):
            time.sleep(self.slow_s)
            first = seen.get(prompt, 0)
            seen[prompt] = first + num_samples
            groups.append([self._sample(prompt, first + n, settings) for n in range(num_samples)])
            if self.journal:
                with Path(self.journal).open("a") as journal:
                    journal.write(f"{os.getpid()} {prompt[0]}\n")
        return groups

    def _sample(self, prompt: tuple[int, ...], number: int, settings: SamplerSettings) -> Sample:
        told = [prompt, number, settings.seed, self.weights["w"].tolist()]
        mixed = zlib.crc32(repr(told).encode())
        tokens = tuple((mixed >> shift) & 0xFF for shift in (0, 8, 16)[: settings.max_new_tokens])
        logprobs = tuple(-token / 256 for token in tokens)
        return Sample(prompt, tokens, logprobs, mixed % 2 == 0, self._version)

    def load_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        self.weights = {name: tensor.clone() for name, tensor in tensors}
        self._version = version
