from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from spatialcode.errors import ConfigError, ParityError
from spatialcode.grpo.parity import ParityTolerance, check_parity, compare
from spatialcode.grpo.scoring import ScoringSettings
from spatialcode.grpo.types import SamplerSettings
from tests.grpo.tiny_policy import END, PROMPTS, drawn, policy, sample


@pytest.mark.parametrize("kind", ["qwen3", "gpt2", "mistral"])
def test_fresh_samples_pass(kind) -> None:
    model = policy(kind).train()
    samples = drawn(model)
    report = check_parity(model, samples)
    assert report.max_difference < 1e-4
    assert report.num_tokens == sum(len(one.completion_ids) for one in samples)
    assert report.mean_ratio == pytest.approx(1, abs=1e-4)
    assert model.training


def test_perturbed_weights_stop_with_the_difference() -> None:
    model = policy()
    samples = drawn(model)
    with torch.no_grad():
        model.lm_head.weight.mul_(1.2)
    with pytest.raises(ParityError, match=r"expected at most 0\.001") as caught:
        check_parity(model, samples)
    report = compare(model, samples)
    assert report.max_difference > 0.05
    assert f"{report.max_difference:.3g}" in str(caught.value)
    assert report.kl > 0
    assert check_parity(model, samples, ParityTolerance(100.0, 100.0, math.inf)) == report


def test_one_wrong_token_is_found_by_place_and_size() -> None:
    model = policy()
    samples = drawn(model)
    number = next(n for n, one in enumerate(samples) if n > 4 and len(one.completion_ids) > 3)
    wrong = list(samples[number].logprobs)
    wrong[2] -= 0.5
    samples[number] = replace(samples[number], logprobs=tuple(wrong))
    report = compare(model, samples)
    assert report.max_difference == pytest.approx(0.5, abs=1e-4)
    assert (report.worst_sample, report.worst_place) == (number, 2)
    # trainer minus sampler is +0.5: ratio e^0.5, others 1; k3 = r - 1 - log r at that token
    assert report.max_ratio == pytest.approx(1.64872, abs=1e-3)
    assert report.min_ratio == pytest.approx(1, abs=1e-4)
    assert report.mean_difference == pytest.approx(0.5 / report.num_tokens, abs=1e-5)
    assert report.kl == pytest.approx(0.14872 / report.num_tokens, abs=1e-5)


def test_another_temperature_stops() -> None:
    model = policy()
    settings = SamplerSettings(temperature=0.8, max_new_tokens=6, seed=1)
    samples = [g[0] for g in sample(model, PROMPTS, 1, settings, end_ids=(END,))]
    assert check_parity(model, samples, scoring=ScoringSettings(temperature=0.8))
    with pytest.raises(ParityError):
        check_parity(model, samples)


def test_what_is_no_number_stops() -> None:
    model = policy()
    samples = drawn(model)
    with torch.no_grad():
        model.lm_head.weight[5, 0] = float("nan")
    with pytest.raises(ParityError, match="inf"):
        check_parity(model, samples, ParityTolerance(1e6, 1e6, math.inf))


def test_mean_and_divergence_have_limits_of_their_own() -> None:
    model = policy()
    samples = drawn(model)
    with torch.no_grad():
        model.lm_head.weight.mul_(1.1)
    with pytest.raises(ParityError, match="mean_difference"):
        check_parity(model, samples, ParityTolerance(max_difference=10, mean_difference=1e-3))
    with pytest.raises(ParityError, match="kl"):
        check_parity(model, samples, ParityTolerance(10, 10, kl=1e-6))
    with pytest.raises(ConfigError, match="kl"):
        ParityTolerance(kl=0)
    with pytest.raises(ValueError, match="samples"):
        compare(model, [])
