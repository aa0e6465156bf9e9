"""Rewards to advantages to loss to weights, on a policy small enough to know the answer."""

from __future__ import annotations

import pytest
import torch

from spatialcode.grpo.advantages import ADVANTAGES
from spatialcode.grpo.losses import LOSSES, LossSettings
from tests.grpo.batches import loss_of

ROUNDS, GROUP, LENGTH, ACTIONS, BEST = 25, 8, 3, 4, 2


@pytest.mark.parametrize("advantage", sorted(ADVANTAGES))
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_rewarded_token_becomes_likely(loss: str, advantage: str) -> None:
    # Sequences of 3 tokens out of 4, the reward the share of token 2: from 1/4 to nearly always.
    generator = torch.Generator().manual_seed(0)
    logits = torch.zeros(ACTIONS, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.2)
    mask = torch.ones(4 * GROUP, LENGTH, dtype=torch.bool)
    ids = torch.arange(4).repeat_interleave(GROUP)
    settings = LossSettings(max_completion_tokens=LENGTH)
    for _ in range(ROUNDS):
        probs = logits.detach().softmax(-1)
        tokens = torch.multinomial(probs, mask.numel(), replacement=True, generator=generator)
        tokens = tokens.reshape(mask.shape)
        rewards = (tokens == BEST).float().mean(1)
        advantages = ADVANTAGES[advantage](rewards, ids)
        old = probs.log()[tokens]
        for _ in range(2):  # the second pass is off-policy: the clip takes part
            terms = loss_of(loss, logits.log_softmax(-1)[tokens], old, advantages, mask, settings)
            optimizer.zero_grad()
            terms.loss.backward()
            optimizer.step()
    assert logits.softmax(-1)[BEST].item() > 0.8


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_the_reference_holds_the_policy_back(loss: str) -> None:
    # The same pull for ever, with and without divergence: the held policy moves less.
    ends = {}
    for coefficient in (0.0, 2.0):
        logits = torch.zeros(ACTIONS, requires_grad=True)
        optimizer = torch.optim.SGD([logits], lr=0.5)
        tokens = torch.arange(ACTIONS)[:, None]
        mask = torch.ones(ACTIONS, 1, dtype=torch.bool)
        advantages = torch.tensor([-1.0, -1.0, 3.0, -1.0])
        ref = torch.zeros(ACTIONS).log_softmax(-1)[tokens]
        settings = LossSettings(max_completion_tokens=1, kl_coefficient=coefficient)
        for _ in range(30):
            logprobs = logits.log_softmax(-1)[tokens]
            # Every token once: weighted as the policy itself would draw it.
            drawn = ACTIONS * logprobs.detach().exp()[:, 0]
            terms = loss_of(loss,
                logprobs, logprobs.detach(), advantages, mask, settings,
                weights=drawn, ref_logprobs=ref,
            )  # fmt: skip
            optimizer.zero_grad()
            terms.loss.backward()
            optimizer.step()
        ends[coefficient] = logits.softmax(-1)[BEST].item()
    assert 0.25 < ends[2.0] < ends[0.0] - 0.1
