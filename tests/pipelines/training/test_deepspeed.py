"""Training over two workers with ZeRO against one plain process on the same tokens."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.training.config import LoraConfig, ZeroConfig
from spatialcode.errors import ConfigError
from tests.pipelines.training.tiny_language_model import (
    plain_trajectory,
    tiny_qwen3,
    trajectories_worker,
)

NUM_STEPS = 6
BASIC: dict[str, Any] = {
    **{f"zero{stage}": {"zero": {"stage": stage}} for stage in range(4)},
    "zero3 lora": {"zero": {"stage": 3}, "lora": {"rank": 4}},
}
MORE: dict[str, Any] = {
    "zero3 recomputed": {"zero": {"stage": 3, "activation_checkpointing": True}},
    "zero2 lora": {"zero": {"stage": 2}, "lora": {"rank": 4}},
    **{f"zero{s} bfloat16": {"zero": {"stage": s, "bfloat16": True}} for s in (1, 3)},
}


def run_workers(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Every setting's losses, norms and weights, from one pair of workers."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    output = folder / "found.json"
    TorchTrainer(
        trajectories_worker,
        train_loop_config={"settings": settings, "num_steps": NUM_STEPS, "output": str(output)},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(name="trajectories", storage_path=str(folder)),
    ).fit()
    found: dict[str, Any] = json.loads(output.read_text())
    return found


@pytest.fixture(scope="module")
def found(ray_session: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_workers(BASIC, tmp_path_factory.mktemp("trajectories"))


def assert_follows(result: dict[str, Any], tolerance: float, lora: LoraConfig | None) -> None:
    expected, norms = plain_trajectory(NUM_STEPS, lora)
    assert result["losses"] == pytest.approx(expected, rel=tolerance)
    # Adam forgives a wrong scale of gradients, their norm does not
    assert result["norms"] == pytest.approx(norms, rel=10 * tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero0", "zero1", "zero2", "zero3"])
def test_two_workers_with_zero_follow_one_without(found: dict[str, Any], name: str) -> None:
    """To float32 sums in another order: 2e-5 of the loss."""
    assert_follows(found[name], 2e-5, None)
    losses = found[name]["losses"]
    moved = max(abs(a - b) for a, b in itertools.pairwise(losses))
    assert moved > 100 * 2e-5 * losses[0], "the steps differ by far more than the tolerance"


@pytest.mark.slow
def test_adapters_train_alike(found: dict[str, Any]) -> None:
    """peft draws the adapters after the model, from the same seed, in both."""
    assert_follows(found["zero3 lora"], 2e-5, LoraConfig(rank=4))


@pytest.mark.slow
def test_recomputed_activations_bfloat16_and_more_adapters(
    ray_session: Any, tmp_path: Path
) -> None:
    """bfloat16 keeps 8 bits of a number: 2e-2."""
    results = run_workers(MORE, tmp_path)
    assert_follows(results["zero3 recomputed"], 2e-5, None)
    assert_follows(results["zero2 lora"], 2e-5, LoraConfig(rank=4))
    for stage in (1, 3):
        assert_follows(results[f"zero{stage} bfloat16"], 2e-2, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero2", "zero3", "zero3 lora"])
def test_whole_weights_have_the_plain_names(found: dict[str, Any], name: str) -> None:
    plain = dict(tiny_qwen3().named_parameters())
    weights = found[name]["weights"]
    assert weights.keys() == plain.keys()
    start = {n: p.double().sum().item() for n, p in plain.items()}
    linear = "model.layers.0.mlp.up_proj.weight"
    assert weights[linear] != pytest.approx(start[linear], abs=1e-4), "adapters are merged in"
    if "lora" in name:
        frozen = "model.embed_tokens.weight"
        assert weights[frozen] == pytest.approx(start[frozen], abs=1e-6)


@pytest.mark.slow
def test_all_stages_end_with_the_same_weights(found: dict[str, Any]) -> None:
    for name in ("zero1", "zero2", "zero3"):
        for key, value in found["zero0"]["weights"].items():
            assert found[name]["weights"][key] == pytest.approx(value, abs=2e-3)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"stage": 4}, "stage"),
        ({"stage": 0, "bfloat16": True}, "bfloat16"),
        ({"bucket_mb": 0}, "bucket_mb"),
    ],
)
def test_settings_that_cannot_work_are_named(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: "):
        ZeroConfig(**values)
