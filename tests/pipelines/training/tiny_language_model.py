"""A random Qwen3 of a few thousand weights, and training loops over fixed tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.training.config import AdamConfig, LoraConfig, ZeroConfig
from pipelines.training.deepspeed import DeepSpeedStepper, with_adapters

VOCABULARY, LENGTH, ROWS = 48, 12, 6
Trajectory = tuple[list[float], list[float]]
ADAM = AdamConfig(learning_rate=3e-3, weight_decay=0.05, max_grad_norm=0.5)


def tiny_qwen3(tied: bool = True, seed: int = 0) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    return Qwen3ForCausalLM(config).float()


def tokens(step: int) -> Tensor:
    """(ROWS, LENGTH + 1) tokens of a step; 0 ends a row: rows differ in length."""
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(2, VOCABULARY, (ROWS, LENGTH + 1), generator=generator)
    for row in range(ROWS):
        ids[row, LENGTH + 1 - 2 * row :] = 0
    return ids


def summed_loss(model: Any, ids: Tensor) -> Tensor:
    """Sum over tokens of the negative log-probability of the next one."""
    logits = model(input_ids=ids[:, :-1]).logits.float()
    targets = ids[:, 1:]
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none"
    )
    return (losses * (targets.flatten() != 0)).sum()


def num_targets(ids: Tensor) -> int:
    return int((ids[:, 1:] != 0).sum())


def plain_trajectory(num_steps: int, lora: LoraConfig | None = None) -> Trajectory:
    """Mean losses and gradient norms of one process that sees the whole batch at once."""
    model = with_adapters(tiny_qwen3(), lora or LoraConfig())
    trainable = [p for p in model.parameters() if p.requires_grad]
    betas = (ADAM.beta1, ADAM.beta2)
    optimizer = torch.optim.AdamW(
        trainable, lr=ADAM.learning_rate, betas=betas, weight_decay=ADAM.weight_decay
    )
    losses, norms = [], []
    for step in range(num_steps):
        ids = tokens(step)
        loss = summed_loss(model, ids) / num_targets(ids)
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(trainable, ADAM.max_grad_norm)))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses, norms


def stepper_trajectory(stepper: DeepSpeedStepper, steps: range) -> Trajectory:
    """The same by several ranks: rank 0 has one row of six, the others share the rest row by
    row, and all call backward equally often.
    """
    losses, norms = [], []
    for step in steps:
        ids = tokens(step)
        mine = _share(stepper.rank, stepper.world_size)
        share = num_targets(ids[mine])
        count = stepper.total(share)
        rounds = int(stepper.largest(len(mine)))
        added = 0.0
        for number in range(rounds):
            row = mine[number] if number < len(mine) else 0
            loss = summed_loss(stepper.model, ids[row : row + 1]) / count
            loss = loss if number < len(mine) else loss * 0.0
            stepper.backward(loss)
            added += loss.item()
        norms.append(stepper.step())
        losses.append(stepper.total(added))
    return losses, norms


def _share(rank: int, world_size: int) -> list[int]:
    if world_size == 1:
        return list(range(ROWS))
    return [0] if rank == 0 else [r for r in range(1, ROWS) if r % (world_size - 1) == rank - 1]


def trajectories_worker(values: dict[str, Any]) -> None:
    """Ray Train worker: a trajectory for every setting in ``values['settings']``."""
    import ray.train

    found = {}
    for name, setting in values["settings"].items():
        zero = ZeroConfig(**setting.get("zero", {}))
        lora = LoraConfig(**setting.get("lora", {}))
        model = with_adapters(tiny_qwen3(), lora)
        stepper = DeepSpeedStepper(model, zero, ADAM)
        losses, norms = stepper_trajectory(stepper, range(values["num_steps"]))
        weights = {n: w.double().sum().item() for n, w in stepper.full_weights()}
        found[name] = {"losses": losses, "norms": norms, "weights": weights}
    if ray.train.get_context().get_world_rank() == 0:
        Path(values["output"]).write_text(json.dumps(found))
