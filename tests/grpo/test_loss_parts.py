"""Losses in micro-batches, at the edges, and with old samples."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from spatialcode.errors import ConfigError
from spatialcode.grpo.losses import LOSSES, LossSettings, LossTerms, denominator
from spatialcode.grpo.objective import truncated_importance_weights
from spatialcode.grpo.statistics import StepStatistics, WorkerStep, over_workers
from tests.grpo.batches import LIMIT, floats, loss_of, random_batch
from tests.grpo.torch_stepper import TorchStepper

NAMES = sorted(LOSSES)
SETTINGS = LossSettings(max_completion_tokens=LIMIT, kl_coefficient=0.05)


def with_grad(values: Tensor) -> Tensor:
    return values.detach().clone().requires_grad_(True)


def reported(parts: list[LossTerms]) -> StepStatistics:
    """What one optimizer step over these micro-batches reports."""
    step = WorkerStep(parts, entropy=0.0, num_tokens=1.0, num_sequences=1.0, grad_norm=0.0)
    return over_workers(TorchStepper(torch.nn.Identity(), None), [step])


@pytest.mark.parametrize("name", NAMES)
def test_micro_batches_add_up_to_the_batch(name: str) -> None:
    batch = random_batch(21, rows=9)
    whole, parts = with_grad(batch.logprobs), with_grad(batch.logprobs)
    arguments = (batch.old, batch.advantages, batch.mask)
    terms = loss_of(name, whole, *arguments, SETTINGS, ref_logprobs=batch.ref)
    terms.loss.backward()
    shared = denominator(name, batch.mask, SETTINGS)
    pieces = []
    for rows in (slice(0, 1), slice(1, 2), slice(2, 3), slice(3, 6), slice(6, 9)):
        piece = loss_of(name,
            parts[rows], *(one[rows] for one in arguments), SETTINGS,
            ref_logprobs=batch.ref[rows], normaliser=shared,
        )  # fmt: skip
        piece.loss.backward()
        pieces.append(replace(piece, loss=piece.loss.detach()))
    torch.testing.assert_close(parts.grad, whole.grad)
    merged = reported(pieces)
    for field in ("loss", "policy", "kl", "clip_fraction", "clip_fraction_low"):
        assert getattr(merged, field) == pytest.approx(getattr(terms, field).item(), rel=1e-5)
    for side in ("first", "before", "after"):
        expected = floats(terms.after if side == "after" else terms.before)
        assert getattr(merged, side) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (2, 0), (0, 3)])
def test_nothing_to_count_is_a_loss_of_zero(name: str, shape: tuple[int, int]) -> None:
    logprobs = torch.full(shape, float("nan"), requires_grad=True)
    nothing = torch.zeros(shape, dtype=torch.bool)
    terms = loss_of(name,
        logprobs, logprobs.detach(), torch.full(shape[:1], float("nan")), nothing, SETTINGS,
        ref_logprobs=logprobs.detach(), weights=torch.full(shape[:1], float("nan")),
    )  # fmt: skip
    terms.loss.backward()
    assert terms.loss.item() == 0
    assert logprobs.grad is not None
    assert torch.equal(logprobs.grad, torch.zeros(shape))
    assert terms.clip_fraction.item() == 0
    for statistics in (terms.before, terms.after):
        found = floats(statistics)
        assert found["num"] == 0
        assert found["mean"] == found["minimum"] == found["maximum"] == 1
        assert all(math.isfinite(value) for value in found.values())
    part = replace(terms, loss=terms.loss.detach())
    merged = reported([part, part])
    assert merged.before["mean"] == 1
    assert merged.clip_fraction == 0


@pytest.mark.parametrize("name", NAMES)
def test_extreme_ratios_stay_finite(name: str) -> None:
    # Probabilities that fell and rose by e^300: float32 holds e^88.
    logprobs = torch.tensor([[-300.0, -1.0], [-0.0, -1.0]]).requires_grad_(True)
    old = torch.tensor([[-0.0, -1.0], [-300.0, -1.0]])
    mask = torch.ones(2, 2, dtype=torch.bool)
    for sign in (1.0, -1.0):
        terms = loss_of(name, logprobs, old, torch.tensor([sign, sign]), mask, SETTINGS,
                             ref_logprobs=old)  # fmt: skip
        (grad,) = torch.autograd.grad(terms.loss, logprobs)
        assert terms.loss.isfinite()
        assert grad.isfinite().all()
        # The difference as it came is reported, not the one held within limits.
        largest = 150.0 if name == "gspo" else 300.0
        assert terms.before.max_abs_log.item() == largest


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_log_probabilities_lose_no_ratio(name: str) -> None:
    logprobs = torch.tensor([[-1.0, -2.0]], dtype=torch.bfloat16)
    old = torch.tensor([[-1.0001, -2.0]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    terms = loss_of(name, logprobs, old, torch.ones(1), mask, SETTINGS, ref_logprobs=old)
    assert terms.loss.dtype == torch.float32
    assert terms.before.max_abs_log.item() == pytest.approx(
        5e-5 if name == "gspo" else 1e-4, rel=1e-2
    )


def test_importance_weights_by_hand() -> None:
    # Ratios π_old / μ: 4 → 2 (the cap), 1/2; second row: 3/2, padding, padding.
    old = torch.tensor([[4.0, 0.5, 1.0], [1.5, 1.0, 1.0]]).log() - 5
    behaviour = torch.tensor([[-5.0, -5.0, -5.0], [-5.0, float("nan"), float("-inf")]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    old.requires_grad_(True)
    weights = truncated_importance_weights(old, behaviour, mask)
    assert not weights.requires_grad
    torch.testing.assert_close(weights, torch.tensor([[2.0, 0.5, 1.0], [1.5, 1.0, 1.0]]))
    # Geometric means: (4 × 1/2 × 1)^(1/3), 3/2.
    by_sequence = truncated_importance_weights(old, behaviour, mask, level="sequence", cap=1.4)
    torch.testing.assert_close(by_sequence, torch.tensor([2 ** (1 / 3), 1.4]))
    empty = truncated_importance_weights(old, behaviour, mask & False, level="sequence")
    assert empty.tolist() == [1.0, 1.0]


def test_importance_weights_undo_an_older_sampler() -> None:
    # Expectations over a vocabulary of 3, exactly: the gradient of samples from μ with weights
    # π_old / μ (uncapped) is that of samples from π_old; without weights it is not.
    mu = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    old = torch.tensor([0.3, 0.3, 0.4], dtype=torch.float64)
    reward = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    mask = torch.ones(3, 1, dtype=torch.bool)

    def gradient(sampler: Tensor, weights: Tensor | None) -> Tensor:
        # Each row is one token; its advantage times how often the sampler draws it.
        logprobs = old.log()[:, None].requires_grad_(True)
        terms = loss_of("dapo",
            logprobs, old.log()[:, None], 3 * sampler * reward, mask, LossSettings(),
            weights=weights,
        )  # fmt: skip
        return torch.autograd.grad(terms.loss, logprobs)[0]

    fresh = gradient(old, None)
    weights = truncated_importance_weights(old.log()[:, None], mu.log()[:, None], mask, cap=10)
    torch.testing.assert_close(gradient(mu, weights), fresh)
    assert not torch.allclose(gradient(mu, None), fresh)


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "dapo"])
def test_one_weight_a_sequence_is_that_of_its_tokens(name: str) -> None:
    batch = random_batch(5)
    arguments = (batch.logprobs, batch.old, batch.advantages, batch.mask, SETTINGS)
    by_row = loss_of(name, *arguments, ref_logprobs=batch.ref, weights=batch.weights[:, 0])
    spread = batch.weights[:, :1].expand_as(batch.mask)
    assert loss_of(name, *arguments, ref_logprobs=batch.ref, weights=spread).loss == by_row.loss


def test_importance_settings_are_checked() -> None:
    ones, mask = torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool)
    with pytest.raises(ConfigError, match="cap"):
        truncated_importance_weights(ones, ones, mask, cap=0)
    with pytest.raises(ConfigError, match="level"):
        truncated_importance_weights(ones, ones, mask, level="batch")  # type: ignore[arg-type]
