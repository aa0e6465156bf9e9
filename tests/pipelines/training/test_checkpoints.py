"""Checkpoints from two ranks go on with one and with three as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.training.checkpoints import (
    POSITION_FILE,
    FoundCheckpoint,
    RunPosition,
    export,
    find,
    load,
    random_states,
    restore_random_states,
    save,
)
from pipelines.training.config import ZeroConfig
from pipelines.training.deepspeed import DeepSpeedStepper
from spatialcode.errors import InputError
from tests.pipelines.training.tiny_language_model import (
    ADAM,
    plain_trajectory,
    stepper_trajectory,
    tiny_qwen3,
)

STAGES = (0, 2, 3)  # 1 is 2 as far as files go
FIRST, LAST = 3, 6
POSITION = RunPosition(
    stage="grpo", step=FIRST, next_task=17, weight_version=3, seconds=1.5, seed=5,
    sampler={"temperature": 1.0}, rubric={"gate": "answer"}, rubric_version="ab12", kept={"sft": 2},
)  # fmt: skip


def write_worker(rank: int, root: str) -> None:
    """Train, save, go on; each rank writes a folder of its own, then they are put together."""
    for stage in STAGES:
        stepper = DeepSpeedStepper(tiny_qwen3(), ZeroConfig(stage=stage), ADAM)
        stepper_trajectory(stepper, range(FIRST))
        random.seed(rank)
        np.random.seed(rank)  # noqa: NPY002
        torch.manual_seed(rank)
        own = Path(root, f"own_{stage}_{rank}")
        save(stepper, own, POSITION)
        losses, _ = stepper_trajectory(stepper, range(FIRST, LAST))
        told = {"losses": losses, "drawn": draws()}
        Path(root, f"written_{stage}_{rank}.json").write_text(json.dumps(told))


def read_worker(rank: int, root: str) -> None:
    world_size = torch.distributed.get_world_size()
    for stage in STAGES:
        found = find(Path(root, f"checkpoint_{stage}"))
        universal = found.universal(world_size, stage)
        model = tiny_qwen3(seed=rank + 1)  # nothing of the right weights is there before
        stepper = DeepSpeedStepper(model, ZeroConfig(stage=stage), ADAM, load_universal=universal)
        position = load(stepper, found)
        told: dict[str, Any] = {"position": position.__dict__, "universal": universal}
        told["drawn"] = draws()
        told["losses"], _ = stepper_trajectory(stepper, range(FIRST, LAST))
        folder = Path(root, f"exported_{stage}_{world_size}")
        export(stepper, tiny_qwen3().config, folder, None)
        if world_size == 1:
            stepper.model.eval()
            with torch.no_grad():
                logits = stepper.model(input_ids=torch.arange(8)[None]).logits
            torch.save(logits, Path(root, f"logits_{stage}.pt"))
        Path(root, f"read_{stage}_{world_size}_{rank}.json").write_text(json.dumps(told))


def draws() -> list[float]:
    legacy = float(np.random.rand())  # noqa: NPY002
    return [random.random(), legacy, torch.rand(1).item()]


def in_group(rank: int, worker: Any, world_size: int, port: int, root: str) -> None:
    """Run a worker in a process group that all ranks leave together, before any of them exits."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=world_size)
    worker(rank, root)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def spawn(worker: Any, world_size: int, root: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (worker, world_size, port, str(root))
    torch.multiprocessing.spawn(in_group, arguments, nprocs=world_size, join=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks wrote, and what one and three made of it."""
    root = tmp_path_factory.mktemp("checkpoints")
    spawn(write_worker, 2, root)
    for stage in STAGES:
        merged = root / f"checkpoint_{stage}"
        for rank in range(2):
            own = root / f"own_{stage}_{rank}"
            for path in (p for p in own.rglob("*") if p.is_file()):
                target = merged / path.relative_to(own)
                assert not target.exists(), "the ranks' files do not overwrite one another"
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
    for world_size in (1, 2, 3):
        spawn(read_worker, world_size, root)
    return root


def told(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / f"{name}.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("stage", STAGES)
def test_it_goes_on_at_any_world_size(root: Path, stage: int, world_size: int) -> None:
    """Losses of steps 3 to 5 need the weights and Adam's moments and step of the first three."""
    expected = plain_trajectory(LAST)[0][FIRST:]
    assert told(root, f"written_{stage}_0")["losses"] == pytest.approx(expected, rel=2e-5)
    found = told(root, f"read_{stage}_{world_size}_0")
    assert found["losses"] == pytest.approx(expected, rel=2e-5)
    assert found["universal"] == (stage > 0 and world_size != 2)
    assert RunPosition(**found["position"]) == POSITION


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_every_rank_gets_its_own_random_numbers_back(root: Path, stage: int) -> None:
    for rank in (0, 1):
        written = told(root, f"written_{stage}_{rank}")["drawn"]
        assert told(root, f"read_{stage}_2_{rank}")["drawn"] == written
    others = [told(root, f"read_{stage}_3_{rank}")["drawn"][2] for rank in range(3)]
    assert len(set(others)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_transformers_loads_the_export_with_the_same_logits(root: Path, stage: int) -> None:
    from transformers import AutoModelForCausalLM

    expected = torch.load(root / f"logits_{stage}.pt", weights_only=True)
    for world_size in (1, 2, 3):
        folder = root / f"exported_{stage}_{world_size}"
        assert [p.suffix for p in folder.iterdir() if "model" in p.name] == [".safetensors"]
        model = AutoModelForCausalLM.from_pretrained(folder)
        with torch.no_grad():
            logits = model(input_ids=torch.arange(8)[None]).logits
        tolerance = 1e-6 if world_size == 1 else 1e-3  # sums in another order, then Adam
        torch.testing.assert_close(logits, expected, atol=tolerance, rtol=tolerance)


def test_random_states_round_trip() -> None:
    states = random_states()
    first = (random.gauss(0, 1), np.random.randn(), torch.randn(1).item())  # noqa: NPY002
    restore_random_states(states)
    assert (random.gauss(0, 1), np.random.randn(), torch.randn(1).item()) == first  # noqa: NPY002


def test_what_is_no_whole_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a checkpoint with position\.json"):
        find(tmp_path)
    values = {**POSITION.__dict__, "world_size": 2, "zero_stage": 2}
    (tmp_path / POSITION_FILE).write_text(json.dumps(values))
    (tmp_path / "rank_00000.pt").touch()
    with pytest.raises(InputError, match=r"parts of 2 ranks, rank_00001\.pt"):
        find(tmp_path)


def test_only_zero_stages_read_one_another(tmp_path: Path) -> None:
    found = FoundCheckpoint(tmp_path, POSITION, world_size=2, zero_stage=2)
    assert not found.universal(2, 2)
    assert found.universal(3, 2)
    assert found.universal(2, 3)
    with pytest.raises(InputError, match=r"zero\.stage 2.*got 0"):
        found.universal(2, 0)
