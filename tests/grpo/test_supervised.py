"""Supervised updates: the loss counts completions alone, repeats by weight, and is learnt."""

from __future__ import annotations

import pytest
import torch

from spatialcode.grpo.types import TaughtExample
from spatialcode.grpo.update import repeated, supervised_update
from tests.grpo.tiny_policy import PROMPTS, full_logprobs, gradients, policy
from tests.grpo.torch_stepper import TorchStepper

EXAMPLES = [
    TaughtExample(prompt, (prompt[0], prompt[-1], 1)[: 1 + number % 3])
    for number, prompt in enumerate(PROMPTS)
]


class Still(TorchStepper):
    """Keeps the gradients of a step and leaves the weights alone."""

    def __init__(self, model) -> None:
        super().__init__(model, torch.optim.SGD(model.parameters(), lr=0.0), max_grad_norm=0.0)

    def step(self) -> float:
        self.found = gradients(self.model)
        return super().step()


def test_loss_and_gradient_are_the_mean_over_completion_tokens():
    """Against one example at a time, without padding, token by token."""
    model = policy()
    logprobs = [full_logprobs(model, one.prompt_ids, one.completion_ids) for one in EXAMPLES]
    expected = -torch.cat(logprobs).mean()
    expected.backward()
    wanted = gradients(model)
    for max_tokens in (4096, 16):  # in one part, and in several
        model.zero_grad()
        stepper = Still(model)
        step = supervised_update(stepper, EXAMPLES, max_tokens)
        assert step.loss == pytest.approx(expected.item(), rel=1e-4)
        assert step.num_tokens == sum(len(one.completion_ids) for one in EXAMPLES)
        for name, gradient in wanted.items():
            torch.testing.assert_close(stepper.found[name], gradient, rtol=1e-3, atol=1e-5)


def test_repeats_in_prompts_count_by_weight():
    """Of 5 6 7 5 6 the last follows its 5 again; of the completion both tokens count."""
    assert repeated((5, 6, 7, 5, 6)) == {4}
    assert repeated((5, 5, 5)) == {2}
    model = policy()
    example = TaughtExample((5, 6, 7, 5, 6), (8, 9))
    own = -full_logprobs(model, example.prompt_ids, example.completion_ids).sum()
    repeat = -full_logprobs(model, (5, 6, 7, 5), (6,)).sum()
    ((own + 0.5 * repeat) / 2.5).backward()
    wanted = gradients(model)
    model.zero_grad()
    stepper = Still(model)
    step = supervised_update(stepper, [example, example], 4096, repeat_weight=0.5)
    assert step.loss == pytest.approx(own.item() / 2, rel=1e-4), "of completions alone"
    for name, gradient in wanted.items():
        torch.testing.assert_close(stepper.found[name], gradient, rtol=1e-3, atol=1e-5)


def test_steps_learn_a_fixed_batch():
    model = policy(scale=1.0)
    stepper = TorchStepper(model, torch.optim.AdamW(model.parameters(), lr=1e-2))
    losses = [supervised_update(stepper, EXAMPLES, 4096).loss for _ in range(25)]
    assert losses[-1] < 0.6 * losses[0]
