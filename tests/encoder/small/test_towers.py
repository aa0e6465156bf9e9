"""A tower of another kind: defined here, known by its entry in the table alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spatialcode.encoder.small.encoder import load_weights, read_card, save_weights
from spatialcode.encoder.small.inference import DenseRunner, without_gravity
from spatialcode.encoder.small.inputs import NUM_CHANNELS
from spatialcode.encoder.small.model import TOWERS, ModelConfig, TowerKind, make_model
from spatialcode.encoder.small.towers import TrunkConfig
from spatialcode.encoder.small.training import TrainConfig, start_state, train
from spatialcode.errors import ConfigError, WeightsError
from tests.encoder.small.test_training import frames as pictures

TRUNK = TrunkConfig((8, 8, 16, 16), (0, 0, 0, 0), 0, 2)


@dataclass(frozen=True)
class PoolOptions:
    widths: tuple[int, int, int] = (6, 10, 12)


class PoolTower(nn.Module):
    """Average pooling and a 1x1 convolution at each stride; counts how often it is run."""

    def __init__(self, options: PoolOptions) -> None:
        super().__init__()
        self.channels = options.widths
        self.num_runs = 0
        self.projections = nn.ModuleList(nn.Conv2d(NUM_CHANNELS, w, 1) for w in options.widths)

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        self.num_runs += 1
        return tuple(
            projection(nn.functional.avg_pool2d(inputs, stride))
            for projection, stride in zip(self.projections, (4, 8, 16), strict=True)
        )


@pytest.fixture
def pool() -> Iterator[None]:
    TOWERS["pool"] = TowerKind(PoolOptions, PoolTower)
    yield
    del TOWERS["pool"]


CONFIGS = [
    ModelConfig(PoolOptions((4, 6, 8)), 16),
    ModelConfig(TRUNK, 16, PoolOptions((4, 6, 8))),
    ModelConfig(PoolOptions(), 16, TRUNK),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["both", "geometry", "object"])
def test_another_tower_is_built_trained_saved_and_loaded(
    pool: None, config: ModelConfig, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = make_model(config)
    before = {name: value.clone() for name, value in model.named_parameters()}
    frames = pictures(4, seed=0)
    batch = {name: torch.from_numpy(values) for name, values in frames.arrays().items()}
    settings = TrainConfig(num_steps=2, batch_size=4, warmup_steps=1, bfloat16=False)
    train(start_state(model, settings), iter([batch, batch]), settings)
    changed = {name for name, value in model.named_parameters() if not value.equal(before[name])}
    tower = "geometry" if isinstance(config.geometry_tower, PoolOptions) else "trunk"
    assert any(name.startswith(f"{tower}.projections") for name in changed)

    path = tmp_path / "pool.safetensors"
    save_weights(model.half().float(), path, {})
    loaded, _ = load_weights(path)
    assert loaded.config == config
    images = without_gravity(frames.rgb, frames.K[0].astype(np.float64))
    one, other = (DenseRunner(m, "cpu", False)(images) for m in (model, loaded))
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, other.arrays()[name])


def test_a_tower_that_serves_as_both_is_run_once(pool: None) -> None:
    model = make_model(CONFIGS[0]).eval()
    rgb = torch.zeros((1, 32, 48, 3), dtype=torch.uint8)
    K = torch.tensor([[[40.0, 0, 24], [0, 40, 16], [0, 0, 1]]])
    up, one = torch.tensor([[0.0, -1.0, 0.0]]), torch.ones(1)
    with torch.inference_mode():
        model(rgb, K, up, one, one)
    assert model.trunk.num_runs == 1
    assert not hasattr(model, "geometry")


def test_a_card_of_the_trunk_alone_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "trunk.safetensors"
    save_weights(make_model(ModelConfig(TRUNK, 16)), path, {})
    assert set(read_card(path)["architecture"]) == {"trunk", "fusion_width"}


def test_a_tower_that_nobody_knows_is_named(pool: None, tmp_path: Path) -> None:
    path = tmp_path / "pool.safetensors"
    save_weights(make_model(CONFIGS[1]), path, {})
    del TOWERS["pool"]
    try:
        with pytest.raises(WeightsError, match="expected one of lite0, trunk, got 'pool'"):
            load_weights(path)
        with pytest.raises(ConfigError, match="PoolOptions"):
            make_model(CONFIGS[0])
    finally:
        TOWERS["pool"] = TowerKind(PoolOptions, PoolTower)
