from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from spatialcode.errors import ConfigError, SchemaError
from spatialcode.grpo.losses import DEFAULT_CLIPS, LOSSES, LossSettings, denominator
from tests.grpo.batches import CLIPS, LIMIT, Batch, floats, loss_of, random_batch
from tests.grpo.loops import SLOW, rows_of, slow_mean_kl

NAMES = sorted(LOSSES)
NARROW = {"gspo": (0.05, 0.08)}
SETTINGS = {
    name: LossSettings(
        clip_low=NARROW.get(name, CLIPS)[0],
        clip_high=NARROW.get(name, CLIPS)[1],
        max_completion_tokens=LIMIT,
    )
    for name in NAMES
}
#: Two sequences by hand. Row 0, advantage 1: ratios 2 (clipped to 1.2) and 1/2 (kept). Row 1,
#: advantage -1: ratio 1/2 (clipped to 0.8); its second token is padding.
LOGPROBS = torch.tensor([[2.0, 0.5], [0.5, 77.0]], dtype=torch.float64).log() - 3
OLD = torch.full((2, 2), -3.0, dtype=torch.float64)
MASK = torch.tensor([[True, True], [True, False]])
ADVANTAGES = torch.tensor([1.0, -1.0], dtype=torch.float64)


def with_grad(values: Tensor) -> Tensor:
    return values.detach().clone().requires_grad_(True)


def gradient(values: Tensor) -> Tensor:
    assert values.grad is not None
    return values.grad


@pytest.mark.parametrize(
    ("name", "expected", "grads"),
    [
        # Token objectives: 1.2, 0.5; -0.8. Only the token of ratio 1/2 in row 0 has a gradient:
        # -A r / denominator = -0.5 / denominator.
        # grpo: rows 0.85 and -0.8, mean 0.025. Denominator 2 tokens × 2 rows.
        ("grpo", -0.025, [[0.0, -0.125], [0.0, 0.0]]),
        # dr_grpo: (1.2 + 0.5 - 0.8) / (2 rows × 9).
        ("dr_grpo", -0.9 / 18, [[0.0, -0.5 / 18], [0.0, 0.0]]),
        # dapo with its own clip: 1.28 + 0.5 - 0.8 = 0.98, over 3 tokens.
        ("dapo", -0.98 / 3, [[0.0, -0.5 / 3], [0.0, 0.0]]),
        # gspo: row 0 has ratio sqrt(2 × 1/2) = 1 and objective 1; row 1 1/2, clipped to 1 - 3e-4.
        # Mean (1 - 0.9997) / 2. Gradient of row 0: -A s / 2 tokens / 2 rows on both.
        ("gspo", -0.00015, [[-0.25, -0.25], [0.0, 0.0]]),
    ],
)
def test_hand_computed(name: str, expected: float, grads: list[list[float]]) -> None:
    logprobs = with_grad(LOGPROBS)
    terms = loss_of(
        name, logprobs, OLD, ADVANTAGES, MASK, LossSettings(max_completion_tokens=LIMIT)
    )
    assert terms.loss.item() == pytest.approx(expected, rel=1e-9)
    assert terms.policy.item() == pytest.approx(expected, rel=1e-9)
    terms.loss.backward()
    torch.testing.assert_close(gradient(logprobs), torch.tensor(grads, dtype=torch.float64))


def test_hand_computed_statistics() -> None:
    terms = loss_of("grpo", LOGPROBS, OLD, ADVANTAGES, MASK, LossSettings())
    # Ratios 2, 1/2, 1/2: mean 1; log 2 each. k3 of (2): 2 - 1 - log 2; of 1/2: 1/2 - 1 + log 2.
    log2 = math.log(2)
    assert floats(terms.before) == pytest.approx(
        {"num": 3, "mean": 1, "minimum": 0.5, "maximum": 2, "mean_abs_log": log2,
         "max_abs_log": log2, "kl": log2 / 3},
        rel=1e-6,
    )  # fmt: skip
    # As used: 1.2, 1/2, 0.8. The kept 1/2 moved the wrong way and keeps its gradient.
    after = floats(terms.after)
    assert after["mean"] == pytest.approx(2.5 / 3, rel=1e-6)
    assert after["minimum"] == pytest.approx(0.5, rel=1e-6)
    assert after["maximum"] == pytest.approx(1.2, rel=1e-6)
    assert terms.clip_fraction.item() == pytest.approx(2 / 3)
    assert terms.clip_fraction_high.item() == pytest.approx(1 / 3)
    assert terms.clip_fraction_low.item() == pytest.approx(1 / 3)
    # With both advantages positive only the ratio 2 is clipped, at the upper bound; negative: both
    # ratios 1/2, at the lower.
    both = loss_of("grpo", LOGPROBS, OLD, ADVANTAGES.abs(), MASK, LossSettings())
    assert both.clip_fraction_high.item() == pytest.approx(1 / 3)
    assert both.clip_fraction_low.item() == 0
    both = loss_of("grpo", LOGPROBS, OLD, -ADVANTAGES.abs(), MASK, LossSettings())
    assert both.clip_fraction_high.item() == 0
    assert both.clip_fraction_low.item() == pytest.approx(2 / 3)
    # gspo counts sequences: ratios 1 and 1/2, the second clipped.
    terms = loss_of("gspo", LOGPROBS, OLD, ADVANTAGES, MASK, LossSettings())
    assert terms.before.num.item() == 2
    assert terms.before.mean.item() == pytest.approx(0.75, rel=1e-6)
    assert terms.clip_fraction.item() == 0.5


def slow(name: str, batch: Batch, weights: Tensor, logprobs: Tensor) -> Tensor:
    rows = rows_of(logprobs, batch.old, batch.advantages, batch.mask, weights)
    return SLOW[name](rows, SETTINGS[name].clips(name), LIMIT)


def weights_for(name: str, batch: Batch) -> Tensor:
    return batch.weights[:, 0] if name == "gspo" else batch.weights


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_equal_the_loop(name: str, seed: int) -> None:
    batch = random_batch(seed, SETTINGS[name].clips(name))
    weights = weights_for(name, batch)
    fast, reference = with_grad(batch.logprobs), with_grad(batch.logprobs)
    terms = loss_of(
        name, fast, batch.old, batch.advantages, batch.mask, SETTINGS[name], weights=weights
    )
    expected = slow(name, batch, weights, reference)
    terms.loss.backward()
    expected.backward()
    torch.testing.assert_close(terms.loss, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient(fast), gradient(reference), rtol=1e-10, atol=1e-14)
    assert (gradient(fast) != 0).any()


def test_batches_reach_every_case() -> None:
    for name in NAMES:
        clips = SETTINGS[name].clips(name)
        seen = [
            loss_of(name, b.logprobs, b.old, b.advantages, b.mask, SETTINGS[name])
            for b in (random_batch(seed, clips) for seed in range(5))
        ]
        assert sum(terms.clip_fraction_low.item() for terms in seen) > 0
        assert sum(terms.clip_fraction_high.item() for terms in seen) > 0
        # Beyond a bound on the side where the clip does not bind, too.
        assert max(terms.after.maximum.item() for terms in seen) > 1.01 + clips[1]
        assert min(terms.after.minimum.item() for terms in seen) < 0.99 - clips[0]


@pytest.mark.parametrize("kl", ["k2", "k3"])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_equals_finite_differences(name: str, kl: str) -> None:
    settings = replace(SETTINGS[name], kl_coefficient=0.3, kl_estimator=kl)
    batch = random_batch(11, settings.clips(name))
    weights = weights_for(name, batch)

    def loss(values: Tensor) -> Tensor:
        return loss_of(name,
            values, batch.old, batch.advantages, batch.mask, settings,
            weights=weights, ref_logprobs=batch.ref,
        ).loss  # fmt: skip

    logprobs = with_grad(batch.logprobs)
    loss(logprobs).backward()
    step = 1e-6
    for i, t in batch.mask.nonzero().tolist():
        up, down = batch.logprobs.clone(), batch.logprobs.clone()
        up[i, t] += step
        down[i, t] -= step
        slope = (loss(up) - loss(down)).item() / (2 * step)
        assert gradient(logprobs)[i, t].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)
    assert (gradient(logprobs)[~batch.mask] == 0).all()


@pytest.mark.parametrize("kl", ["k2", "k3"])
@pytest.mark.parametrize("name", NAMES)
def test_divergence_equals_the_loop(name: str, kl: str) -> None:
    settings = replace(SETTINGS[name], kl_coefficient=0.7, kl_estimator=kl)
    batch = random_batch(3, settings.clips(name))
    # No advantage: the loss is the divergence alone.
    zero = torch.zeros_like(batch.advantages)
    fast, reference = with_grad(batch.logprobs), with_grad(batch.logprobs)
    terms = loss_of(name, fast, batch.old, zero, batch.mask, settings, ref_logprobs=batch.ref)
    rows = [
        [(reference[i, t], batch.ref[i, t].item()) for t in range(6) if batch.mask[i, t]]
        for i in range(len(batch.mask))
    ]
    rows = [row for row in rows if row]
    if name == "dr_grpo":
        # Sum over tokens / (rows × limit): as the mean over tokens, times tokens / that.
        share = batch.mask.sum().item() / (len(rows) * LIMIT)
        expected = slow_mean_kl(kl, "dapo", rows) * share
    else:
        expected = slow_mean_kl(kl, name, rows)
    (0.7 * expected).backward()
    terms.loss.backward()
    assert terms.kl.item() == pytest.approx(expected.item(), rel=1e-12)
    assert terms.loss.item() == pytest.approx(0.7 * expected.item(), rel=1e-12)
    torch.testing.assert_close(gradient(fast), gradient(reference))


@pytest.mark.parametrize("name", NAMES)
def test_divergence_is_measured_but_not_pulled_on_without_a_coefficient(name: str) -> None:
    batch = random_batch(4)
    plain, measured = with_grad(batch.logprobs), with_grad(batch.logprobs)
    arguments = (batch.old, batch.advantages, batch.mask, SETTINGS[name])
    first = loss_of(name, plain, *arguments)
    second = loss_of(name, measured, *arguments, ref_logprobs=batch.ref)
    first.loss.backward()
    second.loss.backward()
    assert first.kl.item() == 0
    assert second.kl.item() > 0
    assert first.loss.item() == second.loss.item()
    assert torch.equal(gradient(plain), gradient(measured))


@pytest.mark.parametrize("name", NAMES)
def test_raising_a_good_token_lowers_the_loss_and_a_bad_one_raises_it(name: str) -> None:
    old = torch.full((2, 3), -1.0, dtype=torch.float64)
    mask = torch.ones(2, 3, dtype=torch.bool)
    advantages = torch.tensor([1.5, -0.5], dtype=torch.float64)

    def loss(logprobs: Tensor) -> Tensor:
        return loss_of(name, logprobs, old, advantages, mask, SETTINGS[name]).loss

    on_policy = with_grad(old)
    loss(on_policy).backward()
    assert (gradient(on_policy)[0] < 0).all()
    assert (gradient(on_policy)[1] > 0).all()
    for row, direction in ((0, -1), (1, 1)):
        raised = old.clone()
        raised[row, 1] += 0.01
        assert direction * (loss(raised) - loss(old)).item() > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_clip_stops_what_has_moved_far_enough_and_only_that(name: str) -> None:
    low, high = SETTINGS[name].clips(name)
    mask = torch.ones(1, 1, dtype=torch.bool)
    old = torch.full((1, 1), -1.0, dtype=torch.float64)
    # (ratio, advantage, does the gradient flow)
    cases = [
        (1 + high + 0.01, 1.0, False),
        (1 + high - 0.01, 1.0, True),
        (1 + high + 0.01, -1.0, True),
        (1 - low - 0.01, -1.0, False),
        (1 - low + 0.01, -1.0, True),
        (1 - low - 0.01, 1.0, True),
    ]
    for ratio, advantage, flows in cases:
        logprobs = with_grad(old + math.log(ratio))
        loss_of(
            name, logprobs, old, torch.tensor([advantage]), mask, replace(SETTINGS[name])
        ).loss.backward()
        assert (gradient(logprobs).item() != 0) == flows, (ratio, advantage)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_rows_padding_and_masked_rows_do_not_matter(name: str) -> None:
    batch = random_batch(6, SETTINGS[name].clips(name))
    weights = weights_for(name, batch)

    def run(rows: Tensor, pad: int) -> Tensor:
        def padded(values: Tensor, fill: float) -> Tensor:
            return torch.nn.functional.pad(values[rows], (0, pad), value=fill)

        return loss_of(name,
            padded(batch.logprobs, float("nan")), padded(batch.old, 3.0), batch.advantages[rows],
            padded(batch.mask, False), SETTINGS[name],
            weights=weights[rows] if name == "gspo" else padded(weights, 5.0),
        ).loss  # fmt: skip

    whole = run(torch.arange(7), 0)
    torch.testing.assert_close(run(torch.arange(7).flip(0), 3), whole)
    torch.testing.assert_close(run(torch.tensor([0, 1, 3, 4, 6]), 0), whole)


@pytest.mark.parametrize("name", NAMES)
def test_token_advantages_equal_those_of_the_sequence(name: str) -> None:
    batch = random_batch(8)
    spread = batch.advantages[:, None].expand_as(batch.mask)
    arguments = (batch.logprobs, batch.old)
    if name == "gspo":
        with pytest.raises(SchemaError, match="advantages"):
            loss_of(name, *arguments, spread, batch.mask, SETTINGS[name])
        return
    one = loss_of(name, *arguments, batch.advantages, batch.mask, SETTINGS[name]).loss
    assert loss_of(name, *arguments, spread, batch.mask, SETTINGS[name]).loss == one


@pytest.mark.parametrize("name", NAMES)
def test_default_clips_are_the_papers(name: str) -> None:
    assert LossSettings().clips(name) == {
        "grpo": (0.2, 0.2), "dr_grpo": (0.2, 0.2), "dapo": (0.2, 0.28), "gspo": (3e-4, 4e-4),
    }[name]  # fmt: skip
    assert (LossSettings().kl_coefficient, LossSettings().kl_estimator) == (0.0, "k3")
    assert LossSettings(clip_high=0.5).clips(name) == (DEFAULT_CLIPS[name][0], 0.5)


def test_losses_differ_in_how_long_answers_count() -> None:
    # On-policy, equal advantages, lengths 1 and 3: the gradient of one token of each.
    old = torch.full((2, 3), -1.0)
    mask = torch.tensor([[True, False, False], [True, True, True]])
    expected = {
        "grpo": (1 / 2, 1 / 6),
        "dr_grpo": (1 / 18, 1 / 18),
        "dapo": (1 / 4, 1 / 4),
        "gspo": (1 / 2, 1 / 6),
    }
    for name, (short, long) in expected.items():
        logprobs = with_grad(old)
        loss_of(name, logprobs, old, torch.ones(2), mask, SETTINGS[name]).loss.backward()
        got = -gradient(logprobs)[:, 0]
        torch.testing.assert_close(got, torch.tensor([short, long]))


def test_denominators() -> None:
    batch = random_batch(0)
    num_rows, num_tokens = int(batch.mask.any(1).sum()), int(batch.mask.sum())
    assert num_rows == 5
    expected = {
        "grpo": num_rows, "gspo": num_rows, "dapo": num_tokens, "dr_grpo": num_rows * LIMIT,
    }  # fmt: skip
    got = {name: denominator(name, batch.mask, SETTINGS[name]).item() for name in NAMES}
    assert got == expected


def test_settings_are_checked() -> None:
    for wrong, key in (
        ({"clip_low": 0.0}, "clip_low"),
        ({"clip_low": 1.5}, "clip_low"),
        ({"clip_high": -0.1}, "clip_high"),
        ({"kl_coefficient": -1.0}, "kl_coefficient"),
        ({"kl_coefficient": float("nan")}, "kl_coefficient"),
        ({"kl_estimator": "k4"}, "kl_estimator"),
        ({"kl_estimator": "k1", "kl_coefficient": 0.1}, "kl_estimator"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ):
        with pytest.raises(ConfigError, match=f"^{key}:"):
            LossSettings(**wrong)  # type: ignore[arg-type]
    mask = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ConfigError, match="max_completion_tokens"):
        denominator("dr_grpo", mask, LossSettings())
    with pytest.raises(ConfigError, match="loss: expected one of"):
        denominator("ppo", mask, LossSettings())


@pytest.mark.parametrize("name", NAMES)
def test_wrong_inputs_are_named(name: str) -> None:
    ones, mask = torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool)
    good, settings = torch.ones(2), SETTINGS[name]
    with pytest.raises(SchemaError, match="old_logprobs"):
        loss_of(name, ones, ones[:, :2], good, mask, settings)
    with pytest.raises(SchemaError, match="mask"):
        loss_of(name, ones, ones, good, mask[:1], settings)
    with pytest.raises(SchemaError, match="advantages"):
        loss_of(name, ones, ones, torch.ones(3), mask, settings)
    with pytest.raises(SchemaError, match="weights"):
        loss_of(name, ones, ones, good, mask, settings, weights=torch.ones(3))
    with pytest.raises(SchemaError, match="ref_logprobs"):
        loss_of(name, ones, ones, good, mask, settings, ref_logprobs=torch.ones(2, 1))
    with pytest.raises(ConfigError, match="kl_coefficient: above 0 needs ref_logprobs"):
        loss_of(name, ones, ones, good, mask, replace(settings, kl_coefficient=0.1))
