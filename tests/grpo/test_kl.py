from __future__ import annotations

import math

import pytest
import torch

from spatialcode.grpo.objective import KL_ESTIMATORS, k1, k2, k3
from spatialcode.grpo.statistics import masked_mean

ALL = torch.ones(1, 2, dtype=torch.bool)


def test_hand_computed() -> None:
    # π = 1/2, π_ref = 1/4: log(π/π_ref) = log 2. π_ref/π = 1/2: k3 = 1/2 + log 2 - 1.
    # π = 1/2, π_ref = 1: log(π/π_ref) = -log 2. π_ref/π = 2: k3 = 2 - log 2 - 1.
    logprobs = torch.tensor([[0.5, 0.5]]).log()
    ref = torch.tensor([[0.25, 1.0]]).log()
    log2 = math.log(2)
    torch.testing.assert_close(k1(logprobs, ref, ALL), torch.tensor([[log2, -log2]]))
    torch.testing.assert_close(k2(logprobs, ref, ALL), torch.full((1, 2), log2**2 / 2))
    torch.testing.assert_close(k3(logprobs, ref, ALL), torch.tensor([[log2 - 0.5, 1 - log2]]))
    means = {
        name: masked_mean(estimate(logprobs, ref, ALL), ALL).item()
        for name, estimate in KL_ESTIMATORS.items()
    }
    assert means == pytest.approx({"k1": 0.0, "k2": log2**2 / 2, "k3": 0.25}, abs=1e-6)


def test_expectations_under_the_policy() -> None:
    # Exact expectations over a vocabulary of 3, not samples: k1 and k3 give KL(π || π_ref).
    policy = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    ref = torch.tensor([[0.5, 0.2, 0.3]], dtype=torch.float64)
    mask = torch.ones(1, 3, dtype=torch.bool)
    exact = 0.7 * math.log(0.7 / 0.5) + 0.1 * math.log(0.1 / 0.3)
    for estimate in (k1, k3):
        assert (policy * estimate(policy.log(), ref.log(), mask)).sum().item() == pytest.approx(
            exact, rel=1e-12
        )


@pytest.mark.parametrize("name", ["k2", "k3"])
def test_a_loss_pulls_towards_the_reference(name: str) -> None:
    # Above the reference the log-probability must fall (gradient > 0), below it must rise.
    logprobs = torch.tensor([[-0.5, -2.0]], requires_grad=True)
    ref = torch.tensor([[-1.0, -1.0]], requires_grad=True)
    KL_ESTIMATORS[name](logprobs, ref, ALL).sum().backward()
    assert logprobs.grad is not None
    assert logprobs.grad[0, 0] > 0
    assert logprobs.grad[0, 1] < 0
    assert ref.grad is None


def test_gradients_by_hand() -> None:
    # d k2 = log π - log π_ref = 0.5; d k3 = 1 - π_ref/π = 1 - e^-0.5; d k1 = 1.
    for name, expected in (("k1", 1.0), ("k2", 0.5), ("k3", 1 - math.exp(-0.5))):
        logprobs = torch.tensor([[-0.5]], dtype=torch.float64, requires_grad=True)
        ref = torch.tensor([[-1.0]], dtype=torch.float64)
        KL_ESTIMATORS[name](logprobs, ref, ALL[:, :1]).sum().backward()
        assert logprobs.grad is not None
        assert logprobs.grad.item() == pytest.approx(expected, rel=1e-12)


def test_expected_gradients_as_losses() -> None:
    # Expectations over a softmax policy of Σ π · estimate with π held, exactly: k1 does not pull,
    # k2 pulls as KL(π || π_ref), k3 as KL(π_ref || π).
    logits = torch.tensor([[0.3, -0.4, 1.0]], dtype=torch.float64, requires_grad=True)
    logp = logits.log_softmax(-1)
    ref = torch.tensor([[0.5, 0.2, 0.3]], dtype=torch.float64).log()
    mask = torch.ones(1, 3, dtype=torch.bool)
    grads = {}
    for name, estimate in KL_ESTIMATORS.items():
        expected = (logp.exp().detach() * estimate(logp, ref, mask)).sum()
        (grads[name],) = torch.autograd.grad(expected, logits, retain_graph=True)
    reverse = (logp.exp() * (logp - ref)).sum()
    forward = (ref.exp() * (ref - logp)).sum()
    torch.testing.assert_close(grads["k1"], torch.zeros_like(logits), atol=1e-12, rtol=0)
    (exact,) = torch.autograd.grad(reverse, logits, retain_graph=True)
    torch.testing.assert_close(grads["k2"], exact)
    (exact,) = torch.autograd.grad(forward, logits)
    torch.testing.assert_close(grads["k3"], exact)


@pytest.mark.parametrize("name", sorted(KL_ESTIMATORS))
def test_padding_and_extremes_are_harmless(name: str) -> None:
    logprobs = torch.tensor([[float("nan"), -500.0, 0.0]], requires_grad=True)
    ref = torch.tensor([[float("-inf"), -1.0, -500.0]])
    mask = torch.tensor([[False, True, True]])
    value = KL_ESTIMATORS[name](logprobs, ref, mask)
    value.sum().backward()
    assert value[0, 0] == 0
    assert value.isfinite().all()
    assert logprobs.grad is not None
    assert logprobs.grad.isfinite().all()
    assert logprobs.grad[0, 0] == 0
