"""The loop on four rendered frames: it overfits them, and goes on as if never stopped."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from pipelines.train_encoder.unified.clips import RenderedClips, with_most_seen
from spatialcode.encoder.unified.clips import collated, tracked_truth
from spatialcode.encoder.unified.config import TowerTraining, UnifiedOptimisation
from spatialcode.encoder.unified.model import UnifiedOutput
from spatialcode.encoder.unified.objective import box_overlap
from spatialcode.encoder.unified.training import (
    PlainStepper,
    parameter_groups,
    scheduled_rate,
    train_unified,
)
from tests.encoder.unified.tiny import make_model

QUANTILES = torch.tensor([0.0, 0.5, 1.0])
TOWERS = TowerTraining(mode="full", rate_factor=0.5)
SETTINGS = UnifiedOptimisation(
    num_steps=120, learning_rate=3e-3, warmup_steps=10, weight_decay=0.0, bfloat16=False
)


@pytest.fixture(scope="module")
def four_frames():
    clip = RenderedClips(num_frames=4, width_px=128, height_px=96).clip(3)
    return collated([with_most_seen(clip, 5)])


def trained(model, batch, settings, *, start=0, stepper=None):
    """The model's loss by step."""
    stepper = stepper or PlainStepper(model, settings, TOWERS)
    losses = []
    train_unified(
        stepper,
        lambda step: itertools.repeat(batch),
        settings,
        model.config.unit_m,
        lambda step, figures: losses.append(figures),
        start=start,
    )
    return losses


@torch.no_grad()
def judged(model, batch):
    truth = tracked_truth(batch)
    output = UnifiedOutput(**model(batch.rgb, batch.K, truth.masks))
    present = truth.is_present
    off_m = (output.center_m - truth.center_m).norm(dim=-1)[present]
    depth_m = torch.nn.functional.interpolate(batch.depth_m, output.depth_m.shape[-2:])
    depth_off = (output.depth_m / depth_m - 1).abs().median()
    found = torch.sigmoid(output.presence_logit)
    return {
        "off_m": off_m,
        "overlap": box_overlap(output, truth)[present],
        "depth_off": float(depth_off),
        "present": found[present],
    }


def test_fifty_steps_on_four_frames_lower_the_loss_tenfold(tmp_path, four_frames):
    model = make_model(tmp_path, mode="frozen", geometry_side_px=56)
    towers = {k: v.clone() for k, v in model.object_tower.state_dict().items()}
    before = judged(model, four_frames)
    losses = trained(model, four_frames, replace(SETTINGS, num_steps=50))
    after = judged(model, four_frames)
    assert losses[-1]["loss"] < 0.1 * losses[0]["loss"]
    assert after["off_m"].mean() < before["off_m"].mean()
    assert after["overlap"].mean() > 3 * before["overlap"].mean()
    assert after["present"].min() > 0.6
    kept = model.object_tower.state_dict()
    assert all(torch.equal(towers[name], kept[name]) for name in towers), "towers are frozen"


def test_a_checkpoint_goes_on_as_if_never_stopped(tmp_path, four_frames):
    settings = replace(SETTINGS, num_steps=4)
    whole = make_model(tmp_path, mode="lora", geometry_side_px=56)
    losses = trained(whole, four_frames, settings)

    first = make_model(tmp_path, mode="lora", geometry_side_px=56)
    stepper = PlainStepper(first, settings, TOWERS)
    stepped = trained(first, four_frames, replace(settings, num_steps=4), stepper=Halting(stepper))
    stepper.save(tmp_path / "state.pt", 2)
    second = make_model(tmp_path, mode="lora", geometry_side_px=56)
    again = PlainStepper(second, settings, TOWERS)
    start = again.load(tmp_path / "state.pt")
    assert start == 2
    resumed = trained(second, four_frames, settings, start=start, stepper=again)
    assert [row["loss"] for row in stepped[:2] + resumed] == [row["loss"] for row in losses]


class Halting:
    """A stepper that stops changing anything after two steps, as a process that was killed."""

    def __init__(self, stepper: PlainStepper) -> None:
        self._stepper, self.num_steps = stepper, 0

    def __getattr__(self, name: str):
        return getattr(self._stepper, name)

    def step(self) -> float:
        self.num_steps += 1
        return self._stepper.step() if self.num_steps <= 2 else 0.0


def test_rates_of_towers_and_decay_of_vectors(tmp_path):
    model = make_model(tmp_path, mode="full")
    settings = replace(SETTINGS, weight_decay=0.1)
    groups = parameter_groups(model, settings, TOWERS)
    factor_of = {id(p): g["rate_factor"] for g in groups for p in g["params"]}
    decay_of = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    trained_ones = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert factor_of.keys() == {id(p) for p in trained_ones.values()}
    for name, parameter in trained_ones.items():
        assert factor_of[id(parameter)] == (0.5 if "_tower" in name else 1.0), name
        assert decay_of[id(parameter)] == (0.1 if parameter.ndim > 1 else 0.0), name


def test_the_rate_warms_up_and_falls_to_nothing():
    settings = UnifiedOptimisation(num_steps=100, learning_rate=2.0, warmup_steps=10)
    assert scheduled_rate(0, settings) == pytest.approx(0.2)
    assert scheduled_rate(50, settings) == pytest.approx(1.0)
    assert scheduled_rate(100, settings) == pytest.approx(0.0)


@pytest.mark.slow
def test_the_whole_network_overfits_four_frames(tmp_path, four_frames):
    model = make_model(tmp_path, mode="full")
    before = judged(model, four_frames)
    losses = trained(model, four_frames, replace(SETTINGS, num_steps=400))
    after = judged(model, four_frames)
    shown = {k: v if isinstance(v, float) else v.quantile(QUANTILES) for k, v in after.items()}
    print(before["off_m"].median(), before["depth_off"], losses[0], losses[-1], shown)
    assert after["off_m"].median() < 0.03
    assert after["off_m"].max() < 0.1
    assert after["overlap"].median() > 0.7
    assert after["depth_off"] < 0.05 < before["depth_off"]
    assert losses[-1]["rotation"] < 0.01 < losses[0]["rotation"]
    assert after["present"].min() > 0.99
