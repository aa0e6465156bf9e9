"""The training loop as a library function: it learns, stops, resumes and keeps its word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spatialcode.encoder.small.encoder import load_weights, read_card, save_weights
from spatialcode.encoder.small.model import ModelConfig, make_model
from spatialcode.encoder.small.targets import (
    MAX_OBJECTS,
    ReplayBuffer,
    ReplayConfig,
    TrainingFrames,
)
from spatialcode.encoder.small.towers import TrunkConfig
from spatialcode.encoder.small.training import TrainConfig, learning_rate, start_state, train
from spatialcode.errors import WeightsError

TINY = ModelConfig(TrunkConfig((8, 8, 16, 16), (0, 1, 1, 1), 1, 2), fusion_width=16)
CONFIG = TrainConfig(num_steps=6, batch_size=4, warmup_steps=2, bfloat16=False, learning_rate=3e-3)


def frames(num: int, seed: int) -> TrainingFrames:
    """Pictures of a bright box on a dark floor; what is in them can be learned."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 40, (num, 48, 64, 3)).astype(np.uint8)
    instance = np.full((num, 12, 16), -1, np.int16)
    for i in range(num):
        col = rng.integers(0, 10)
        rgb[i, 16:40, 4 * col : 4 * col + 20] += 180
        instance[i, 4:10, col : col + 5] = 0
    label = np.full((num, MAX_OBJECTS), -1, np.int16)
    label[:, 0] = 3
    ones = np.ones((num, MAX_OBJECTS, 3), np.float32)
    axis = np.zeros_like(ones)
    axis[..., 0] = 1
    return TrainingFrames(
        rgb=rgb,
        K=np.tile(np.array([[50, 0, 32], [0, 50, 24], [0, 0, 1]], np.float32), (num, 1, 1)),
        up_camera=np.tile(np.array([0, -0.98, -0.199], np.float32), (num, 1)),
        camera_height_m=np.full(num, 1.5, np.float32),
        cell_instance=instance,
        cell_depth_m=np.full((num, 12, 16), 2.0, np.float32),
        label_index=label,
        center_camera_m=ones * np.array([0, 0.3, 2.2], np.float32),
        size_m=ones * 0.5,
        box_x_camera=axis,
    )


def batches(config: TrainConfig, skip: int = 0) -> Iterator[dict[str, torch.Tensor]]:
    """The same batch for the same step, whoever asks."""
    for step in range(skip, 10_000):
        arrays = frames(config.batch_size, seed=step).arrays()
        yield {k: torch.from_numpy(v) for k, v in arrays.items()}


def fresh(config: TrainConfig) -> object:
    torch.manual_seed(0)
    return start_state(make_model(TINY), config)


def test_the_loss_falls() -> None:
    config = replace(CONFIG, num_steps=40)
    losses: list[float] = []
    train(fresh(config), batches(config), config, (lambda _, m: losses.append(m["loss"]),))
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    whole = train(fresh(CONFIG), batches(CONFIG), CONFIG)
    # the schedule is that of the whole run; the interruption comes after three steps
    first = fresh(CONFIG)
    three = (batch for _, batch in zip(range(3), batches(CONFIG), strict=False))
    train(first, three, CONFIG)
    assert first.step == 3
    first.save(tmp_path / "state.pt")
    second = fresh(CONFIG)
    second.load(tmp_path / "state.pt")
    train(second, batches(CONFIG, skip=3), CONFIG)
    assert second.step == whole.step == 6
    for name, value in whole.ema.state_dict().items():
        assert torch.equal(second.ema.state_dict()[name], value), name


def test_the_schedule_ends_by_time() -> None:
    config = replace(CONFIG, num_steps=10_000, max_seconds=0.5)
    state = train(fresh(config), batches(config), config)
    assert 0 < state.step < 10_000
    assert state.seconds >= 0.5


def test_learning_rate_warms_up_and_decays_by_hand() -> None:
    config = replace(CONFIG, learning_rate=1.0, warmup_steps=4)
    assert learning_rate(0, 0.0, config) == pytest.approx(0.25)
    assert learning_rate(3, 0.0, config) == pytest.approx(1.0)
    assert learning_rate(50, 0.5, config) == pytest.approx(0.5)
    assert learning_rate(100, 1.0, config) == pytest.approx(0.0)


def test_a_step_without_a_finite_gradient_changes_nothing() -> None:
    state = fresh(CONFIG)
    before = {k: v.clone() for k, v in state.model.named_parameters()}
    batch = next(batches(CONFIG))
    batch["cell_depth_m"] = torch.full_like(batch["cell_depth_m"], float("nan"))
    seen: list[dict[str, float]] = []
    train(state, iter([batch]), CONFIG, (lambda _, m: seen.append(m),))
    assert not np.isfinite(seen[0]["grad_norm"]), "the fault shows in the metrics"
    for name, value in state.model.named_parameters():
        assert torch.equal(value, before[name]), name


def test_replay_uses_every_frame_the_stated_number_of_times_and_ends() -> None:
    source = [frames(6, seed=i) for i in range(5)]
    buffer = ReplayBuffer(source, ReplayConfig(capacity=64, max_uses=2.0, warm_up=12))
    drawn = sum(len(batch["rgb"]) for batch in buffer.batches(4))
    assert buffer.num_received == 30
    assert drawn == 60


def test_replay_keeps_the_newest_and_rows_together() -> None:
    source = [frames(4, seed=i) for i in range(3)]
    for i, part in enumerate(source):
        part.camera_height_m[:] = i
        part.cell_depth_m[:] = 10 + i
    buffer = ReplayBuffer(source, ReplayConfig(capacity=4, max_uses=1.0, warm_up=4))
    heights = []
    for batch in buffer.batches(4):
        heights.append(batch["camera_height_m"].unique().tolist())
        assert torch.equal(batch["cell_depth_m"][:, 0, 0], batch["camera_height_m"] + 10)
    assert heights == [[0.0], [1.0], [2.0]]


def test_weights_survive_the_disk_in_half_precision(tmp_path: Path) -> None:
    model = make_model(TINY)
    path = tmp_path / "tiny.safetensors"
    save_weights(model, path, {"data": "none"})
    loaded, card = load_weights(path)
    assert card["data"] == "none"
    for name, value in model.named_parameters():
        expected = value.detach().half().float()
        assert torch.equal(dict(loaded.named_parameters())[name], expected), name


@pytest.mark.parametrize("fault", ["flip a byte", "no card", "card of another", "no weights"])
def test_unusable_weights_say_why(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "tiny.safetensors"
    save_weights(make_model(TINY), path, {})
    if fault == "flip a byte":
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        message = "sha256"
    elif fault == "no card":
        path.with_suffix(".json").unlink()
        message = "found none"
    elif fault == "card of another":
        path.with_suffix(".json").write_text('{"sha256": "00"}')
        message = "not a weights card"
    else:
        path.unlink()
        message = "found none"
    with pytest.raises(WeightsError, match=message):
        load_weights(path)
    with pytest.raises(WeightsError):
        read_card(path)
