"""Checkpoints of a reasoner in training, and its export.

Every rank writes what it holds into a folder of its own; put together (Ray Train does so with the
folders that the ranks report) they are one checkpoint::

    position.json     what all ranks agree on: stage, step, data, sampler, rubric, world size
    rank_00000.pt     random number generators of a rank
    deepspeed/        weights and optimizer state, split over the ranks

It resumes at another number of ranks, or another ZeRO stage of 1 to 3, through DeepSpeed's
universal layout, into which it is converted once. DeepSpeed reads its files with pickle: give
it only checkpoints that this software wrote.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.training.deepspeed import DeepSpeedStepper
from spatialcode.errors import InputError
from spatialcode.files import read_json, write_json

POSITION_FILE, ENGINE_TAG, UNIVERSAL_TAG = "position.json", "deepspeed", "universal"
_UNIVERSAL_INFO = {"universal_checkpoint_info": {"universal_checkpoint_version": 0.2}}
_MAX_SEED = 2**63


@dataclass(frozen=True)
class RunPosition:
    """Where a run stands: enough to go on with the next step as if nothing had happened.

    ``stage``: which part of the run; ``step``: optimiser steps done in it; ``total_steps``: in all
    stages together; ``next_task``: number of the first prompt not drawn yet; ``weight_version``: of
    the weights that rollouts have; ``seconds``: spent in the stage. ``sampler``, ``rubric``: the
    settings of both; ``rubric_version`` changes whenever a setting of the rubric does. ``kept``:
    results of stages that are done.
    """

    stage: str
    step: int
    total_steps: int = 0
    next_task: int = 0
    weight_version: int = 0
    seconds: float = 0.0
    seed: int = 0
    sampler: Mapping[str, Any] = field(default_factory=dict)
    rubric: Mapping[str, Any] = field(default_factory=dict)
    rubric_version: str = ""
    kept: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint to resume from: its folder, position, and how DeepSpeed must read it."""

    folder: Path
    position: RunPosition
    world_size: int
    zero_stage: int

    def universal(self, world_size: int, zero_stage: int) -> bool:
        """Whether it must be converted for so many ranks and this ZeRO stage.

        InputError where it cannot be: without ZeRO there is nothing to convert from or to.
        """
        if (world_size, zero_stage) == (self.world_size, self.zero_stage):
            return False
        if zero_stage == self.zero_stage == 0:
            return False  # every rank holds everything
        if 0 in (zero_stage, self.zero_stage):
            raise InputError(
                f"{self.folder}: expected zero.stage {self.zero_stage}, with which it was "
                f"written, got {zero_stage}; only stages 1 to 3 read one another's"
            )
        return True


def save(stepper: DeepSpeedStepper, folder: Path, position: RunPosition) -> None:
    """Write this rank's part of a checkpoint. All ranks call it, each with its own folder, or all
    with one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {**_UNIVERSAL_INFO, "iteration": position.step}
    stepper.engine.save_checkpoint(
        str(folder), tag=ENGINE_TAG, client_state=state, save_latest=False
    )
    torch.save(random_states(), folder / _rank_file(stepper.rank))
    if stepper.rank == 0:
        held = {"world_size": stepper.world_size, "zero_stage": stepper.zero.stage}
        write_json(folder / POSITION_FILE, {**asdict(position), **held})


def find(folder: Path) -> FoundCheckpoint:
    """What a folder holds; InputError where it is no whole checkpoint."""
    path = folder / POSITION_FILE
    if not path.is_file():
        raise InputError(f"{folder}: expected a checkpoint with {POSITION_FILE}, found none")
    values = read_json(path)
    world_size, zero_stage = values.pop("world_size"), values.pop("zero_stage")
    missing = [n for n in map(_rank_file, range(world_size)) if not (folder / n).is_file()]
    if missing:
        raise InputError(
            f"{folder}: expected the parts of {world_size} ranks, {missing[0]} is missing"
        )
    return FoundCheckpoint(folder, RunPosition(**values), world_size, zero_stage)


def load(stepper: DeepSpeedStepper, found: FoundCheckpoint) -> RunPosition:
    """Restore weights, optimizer and this rank's random numbers; returns the position.

    The stepper was made with ``load_universal=found.universal(…)``. A rank that the checkpoint
    does not have draws from a seed of its own.
    """
    folder, tag = found.folder, ENGINE_TAG
    if stepper.load_universal:
        folder, tag = convert(found.folder), UNIVERSAL_TAG
    path, _ = stepper.engine.load_checkpoint(str(folder), tag=tag, load_module_strict=False)
    if path is None:
        raise InputError(f"{folder / tag}: DeepSpeed found no checkpoint there")
    states = found.folder / _rank_file(stepper.rank)
    if states.is_file() and stepper.world_size == found.world_size:
        restore_random_states(torch.load(states, map_location="cpu", weights_only=True))
    else:
        seed_everything(found.position.seed, found.position.step, stepper.rank)
    return found.position


def convert(folder: Path) -> Path:
    """The checkpoint in the universal layout, beside it and made once; ranks wait for the first.

    Returns the folder that holds it as ``universal/``.
    """
    target = folder / UNIVERSAL_TAG
    with (folder / ".convert.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return folder
        partial = folder / ".partial" / UNIVERSAL_TAG
        shutil.rmtree(partial.parent, ignore_errors=True)
        partial.mkdir(parents=True)
        # a child: the converter forks workers, which a process with open gloo threads must not
        done = subprocess.run(
            [
                *(sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal"),
                *("--input_folder", str(folder / ENGINE_TAG), "--output_folder", str(partial)),
                *("--num_extract_workers", "1", "--num_merge_workers", "1"),
            ],
            env={**os.environ, "DS_ACCELERATOR": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise InputError(f"{folder}: no conversion to a universal checkpoint: {''.join(last)}")
        partial.replace(target)
        shutil.rmtree(partial.parent)
    return folder


def random_states() -> dict[str, Any]:
    """States of this process's generators, of types that load without pickle."""
    version, words, gauss = random.getstate()
    name, keys, place, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    states = {
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss],
        "numpy": [
            name,
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            place,
            has_gauss,
            cached,
        ],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Put back what `random_states` gave."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    name, keys, place, has_gauss, cached = states["numpy"]
    keys = keys.numpy().astype(np.uint32)
    np.random.set_state((name, keys, place, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def seed_everything(*parts: int) -> None:
    """Seed this process's generators from numbers, such as seed, step and rank."""
    words = np.random.SeedSequence(parts).generate_state(2, np.uint64)
    random.seed(int(words[0]))
    np.random.seed(int(words[0]) % 2**32)  # noqa: NPY002
    torch.manual_seed(int(words[1]) % _MAX_SEED)


def export(stepper: DeepSpeedStepper, model_config: Any, folder: Path, tokenizer: Any) -> None:
    """Write the model as a Hugging Face folder of safetensors; all ranks call it, rank 0 writes.

    ``model_config``: a transformers configuration; adapters are merged into the weights.
    """
    held = {}
    for name, weight in stepper.full_weights():
        if stepper.rank == 0:
            held[name] = weight.to("cpu", copy=True)
    if stepper.rank == 0:
        write_model(model_config, held, folder, tokenizer)


def write_model(
    model_config: Any, weights: Mapping[str, torch.Tensor], folder: Path, tokenizer: Any = None
) -> None:
    """Write weights by name as a folder that transformers loads; whole or not at all."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(model_config)
    state = dict(weights)
    if model_config.tie_word_embeddings:
        state.setdefault("lm_head.weight", state["model.embed_tokens.weight"])
    model.load_state_dict(state, assign=True, strict=True)
    model.tie_weights()
    model.config.dtype = next(iter(weights.values())).dtype
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    if tokenizer is not None:
        tokenizer.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _rank_file(rank: int) -> str:
    return f"rank_{rank:05d}.pt"
