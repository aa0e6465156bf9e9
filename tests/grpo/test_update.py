from __future__ import annotations

import copy
import math
import threading
from dataclasses import replace

import pytest
import torch

from spatialcode.errors import ConfigError
from spatialcode.grpo.batch import rollout_batch
from spatialcode.grpo.engine import HFEngine
from spatialcode.grpo.losses import LossSettings
from spatialcode.grpo.scoring import ScoringSettings, sequence_logprobs
from spatialcode.grpo.types import SamplerSettings
from spatialcode.grpo.update import UpdateConfig, update
from tests.grpo.tiny_policy import (
    END,
    batch_of,
    drawn,
    full_logits,
    full_logprobs,
    gradients,
    policy,
)
from tests.grpo.torch_stepper import TorchStepper

SETTINGS = LossSettings(max_completion_tokens=7)
LOSS_NAMES = ("grpo", "dr_grpo", "dapo", "gspo")


class Recorder(TorchStepper):
    """Keeps the gradients of each step, and leaves the weights alone if told to."""

    def __init__(self, model, learning_rate: float = 0.0, max_grad_norm: float = 0.0) -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
        super().__init__(model, optimizer, max_grad_norm)
        self.found: list[dict[str, torch.Tensor]] = []

    def step(self) -> float:
        self.found.append(gradients(self.model))
        return super().step()


def gradients_of(model, batch, config) -> dict[str, torch.Tensor]:
    recorder = Recorder(model)
    update(recorder, batch, config)
    assert len(recorder.found) == 1
    return recorder.found[0]


def chance_of(model, prompt, token) -> float:
    return full_logits(model, prompt)[-1].softmax(-1)[token].item()


def bandit(model, rewarded: int, num_steps: int, **config) -> list[float]:
    """Reward 1 for one token of 24 after a fixed prompt; its likelihood after each step."""
    prompt, num_samples = (3, 4), 32
    engine = HFEngine(model, end_ids=[END])
    stepper = TorchStepper(model, torch.optim.Adam(model.parameters(), lr=3e-3))
    chances = []
    for step in range(num_steps):
        settings = SamplerSettings(max_new_tokens=1, seed=step)
        samples = engine.generate([prompt], num_samples, settings)[0]
        rewards = torch.tensor([float(one.completion_ids[0] == rewarded) for one in samples])
        advantages = rewards - rewards.mean()
        batch = rollout_batch(samples, advantages)
        update(stepper, batch, UpdateConfig(settings=SETTINGS, **config))
        engine.weight_version = step + 1
        chances.append(chance_of(model, prompt, rewarded))
    return chances


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_a_rewarded_token_becomes_likely(loss) -> None:
    model = policy(scale=1.0)
    start = chance_of(model, (3, 4), 5)
    chances = bandit(model, rewarded=5, num_steps=40, loss=loss)
    assert start < 0.15
    assert chances[-1] > 0.8


def test_the_gradient_is_the_policy_gradient() -> None:
    # On fresh samples the ratio is 1 and no clip binds: dapo's gradient is
    # -(1/N) Σ A ∇ log π over all N tokens.
    model = policy()
    samples = drawn(model)
    batch = batch_of(samples)
    found = gradients_of(model, batch, UpdateConfig(loss="dapo"))
    total = sum(len(one.completion_ids) for one in samples)
    for one, advantage in zip(samples, batch.advantages, strict=True):
        alone = full_logprobs(model, one.prompt_ids, one.completion_ids)
        (-(advantage / total) * alone.sum()).backward()
    for name, expected in gradients(model).items():
        assert torch.allclose(found[name], expected, atol=1e-5), name


@pytest.mark.parametrize("loss", LOSS_NAMES)
@pytest.mark.parametrize("packing", ["tree", "padded"])
def test_accumulated_gradients_are_those_of_one_batch(loss, packing) -> None:
    model = policy().double()
    batch = batch_of(drawn(policy(seed=3)))  # another policy's: ratios differ from 1, clips bind
    old = sequence_logprobs(policy(seed=3), batch.samples, ScoringSettings())[0]
    batch = replace(batch, ref_logprobs=old + 0.1, mask=batch.mask.clone())
    batch.mask[4] = False
    settings = replace(SETTINGS, kl_coefficient=0.05)
    whole = UpdateConfig(loss=loss, settings=settings, entropy_coefficient=0.01)
    one = gradients_of(model, batch, whole)
    for max_tokens in (1, 33, 70):
        scoring = ScoringSettings(packing=packing, max_tokens=max_tokens, max_row_tokens=15)
        parts = gradients_of(model, batch, replace(whole, scoring=scoring))
        for name, expected in one.items():
            assert torch.allclose(parts[name], expected, atol=1e-6, rtol=1e-6), name
    assert max(gradient.abs().max() for gradient in one.values()) > 1e-3


def test_statistics_do_not_depend_on_micro_batches() -> None:
    model = policy()
    batch = batch_of(drawn(policy(seed=3)))
    config = UpdateConfig(loss="dapo", scoring=ScoringSettings(max_tokens=33))
    many = update(Recorder(model), batch, config).as_floats()
    whole = update(Recorder(model), batch, UpdateConfig(loss="dapo")).as_floats()
    assert many == pytest.approx(whole, rel=1e-4, abs=1e-6)
    assert whole["num_tokens"] == batch.mask.sum()
    assert whole["num_sequences"] == len(batch.samples)


class Meeting:
    """Workers that wait for each other and add up: what a process group does, in threads."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count, timeout=30)
        self.held = [None] * count

    def exchange(self, rank: int, value):
        self.held[rank] = value
        self.barrier.wait()
        everyone = list(self.held)
        self.barrier.wait()
        return everyone


class Worker(Recorder):
    def __init__(self, model, rank: int, meeting: Meeting) -> None:
        super().__init__(model)
        self.rank, self.meeting, self.num_backward = rank, meeting, 0

    def backward(self, loss) -> None:
        self.num_backward += 1
        super().backward(loss)

    def total(self, value: float) -> float:
        return sum(self.meeting.exchange(self.rank, value))

    def largest(self, value: float) -> float:
        return max(self.meeting.exchange(self.rank, value))


def on_workers(model, batches, config) -> tuple[list[Worker], list]:
    meeting = Meeting(len(batches))
    workers = [Worker(copy.deepcopy(model), rank, meeting) for rank in range(len(batches))]
    found = [None] * len(batches)

    def run(rank: int) -> None:
        found[rank] = update(workers[rank], batches[rank], config)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return workers, found


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_workers_shares_add_up_to_one_process(loss) -> None:
    model = policy().double()
    batch = batch_of(drawn(policy(seed=3)))
    scoring = ScoringSettings(max_tokens=40)
    config = UpdateConfig(loss=loss, settings=SETTINGS, scoring=scoring, entropy_coefficient=0.02)
    recorder = Recorder(model)
    expected = update(recorder, batch, config)
    shares = []
    for numbers in (range(3), range(3, 15), range(15)):
        samples = [batch.samples[n] for n in numbers]
        part = rollout_batch(samples, batch.advantages[list(numbers)])
        shares.append(part)
    shares[2].mask[:] = False  # a worker with nothing to learn
    workers, found = on_workers(model, shares, config)
    assert len({worker.num_backward for worker in workers}) == 1
    for name, whole in recorder.found[0].items():
        added = sum(worker.found[0][name] for worker in workers)
        assert torch.allclose(added, whole, atol=1e-6, rtol=1e-6), name
    for one in found:
        values, whole = one.as_floats(), expected.as_floats()
        for name in set(values) - {"grad_norm"}:  # of the share alone: this stand-in adds none
            assert values[name] == pytest.approx(whole[name], rel=1e-4, abs=1e-6), name


def test_masked_samples_do_not_matter_whatever_they_hold() -> None:
    model = policy()
    samples = drawn(model)
    advantages = batch_of(samples).advantages
    valid = torch.arange(len(samples)) % 4 != 1
    found = []
    for value in (float("nan"), 100.0):
        filled = torch.where(valid, advantages, value)
        batch = rollout_batch(samples, filled, valid=valid)
        assert batch.advantages.tolist() == torch.where(valid, advantages, 0.0).tolist()
        found.append(gradients_of(model, batch, UpdateConfig()))
    kept = [one for one, use in zip(samples, valid.tolist(), strict=True) if use]
    alone = gradients_of(model, rollout_batch(kept, advantages[valid]), UpdateConfig())
    for name, expected in alone.items():
        assert torch.allclose(found[0][name], expected, atol=1e-6), name
        assert torch.equal(found[0][name], found[1][name]), name


def test_truncated_samples_can_be_left_out() -> None:
    samples = drawn(policy(scale=2.0), num_samples=20)
    batch = rollout_batch(samples, torch.ones(len(samples)), mask_truncated=True)
    assert batch.mask.any(1).tolist() == [one.finished for one in samples]
    finished = torch.tensor([sample.finished for sample in samples])
    lengths = torch.tensor([len(sample.completion_ids) for sample in samples])
    assert 0 < finished.sum() < len(samples)
    assert bool((batch.mask.sum(1) == lengths)[finished].all())


def test_entropy_bonus_raises_entropy() -> None:
    model = policy()
    samples = drawn(model)
    batch = replace(batch_of(samples), advantages=torch.zeros(len(samples)))
    stepper = Recorder(model, learning_rate=0.05)
    before = update(stepper, batch, UpdateConfig(entropy_coefficient=0.1)).entropy
    shares = [
        full_logits(policy(), one.prompt_ids + one.completion_ids)[
            len(one.prompt_ids) - 1 : -1
        ].softmax(-1)
        for one in samples
    ]
    by_hand = sum(-(share * share.log()).sum().item() for share in shares)
    assert before == pytest.approx(by_hand / sum(len(share) for share in shares), abs=1e-4)
    assert update(Recorder(model), batch, UpdateConfig()).entropy > before + 0.001


def test_reference_pulls_back() -> None:
    model, reference = policy(seed=1), policy(seed=2)
    samples = drawn(reference)
    batch = replace(batch_of(samples), advantages=torch.zeros(len(samples)))
    found, _ = sequence_logprobs(reference, samples, ScoringSettings())
    batch = replace(batch, ref_logprobs=found)
    config = UpdateConfig(loss="dapo", settings=LossSettings(kl_coefficient=1.0))
    start = update(Recorder(model), batch, config).kl
    stepper = Recorder(model, learning_rate=0.02, max_grad_norm=1.0)
    for _ in range(20):
        last = update(stepper, batch, config)
    assert start > 0.5
    assert last.kl < 0.5 * start
    assert last.loss == pytest.approx(last.policy + last.kl)


def test_fresh_samples_have_ratio_one_and_later_epochs_do_not() -> None:
    model = policy()
    batch = batch_of(drawn(model))
    config = UpdateConfig(num_epochs=3)
    found = update(Recorder(model, learning_rate=0.1), batch, config)
    assert found.num_steps == 3
    assert found.first["max_abs_log"] < 1e-4
    assert found.before["max_abs_log"] > 1e-2
    assert found.first["num"] < found.before["num"] == 3 * batch.mask.sum()
    assert found.after["maximum"] <= found.before["maximum"]


def test_stale_samples_are_weighed() -> None:
    model = policy(seed=1)
    samples = drawn(policy(seed=2))
    batch = batch_of(samples)
    config = UpdateConfig(loss="dapo", old_policy="recomputed", importance_cap=1.5)
    found = gradients_of(model, batch, config)
    total = sum(len(one.completion_ids) for one in samples)
    for one, advantage in zip(samples, batch.advantages, strict=True):
        alone = full_logprobs(model, one.prompt_ids, one.completion_ids)
        weights = (alone.detach() - torch.tensor(one.logprobs)).exp().clamp(max=1.5)
        (-(advantage / total) * (weights * alone).sum()).backward()
    for name, expected in gradients(model).items():
        assert torch.allclose(found[name], expected, atol=2e-5), name
    statistics = update(Recorder(model), batch, config)
    assert statistics.first["max_abs_log"] < 1e-4  # compared with itself
    assert update(Recorder(model), batch, UpdateConfig(loss="gspo", old_policy="recomputed"))


def test_nothing_to_learn_changes_nothing() -> None:
    model = policy()
    batch = batch_of(drawn(model))
    batch.mask[:] = False
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    found = update(TorchStepper(model, optimizer), batch, UpdateConfig())
    assert (found.num_steps, found.num_tokens, found.loss) == (0, 0, 0.0)
    assert found.first["mean"] == 1.0
    assert all(torch.equal(before[name], held) for name, held in model.state_dict().items())


def test_gradients_are_clipped_and_bad_ones_not_used() -> None:
    model = policy()
    batch = batch_of(drawn(model))
    before = copy.deepcopy(model.state_dict())
    stepper = TorchStepper(model, torch.optim.SGD(model.parameters(), lr=1.0), max_grad_norm=0.01)
    found = update(stepper, batch, UpdateConfig())
    moved = sum((before[n] - p).square().sum().item() for n, p in model.state_dict().items())
    assert found.grad_norm > 0.1
    assert math.sqrt(moved) == pytest.approx(0.01, rel=1e-2)
    broken = replace(batch, advantages=batch.advantages * float("inf"))
    before = copy.deepcopy(model.state_dict())
    assert update(stepper, broken, UpdateConfig()).num_skipped == 1
    assert all(torch.equal(before[name], held) for name, held in model.state_dict().items())
    assert update(stepper, batch, UpdateConfig()).num_skipped == 0


def test_settings_and_shapes_are_checked() -> None:
    for config in ({"loss": "ppo"}, {"num_epochs": 0}, {"old_policy": "new"}, {"loss": "dr_grpo"}):
        with pytest.raises(ConfigError, match=next(iter(config)).replace("loss", "loss|settings")):
            UpdateConfig(**config)
    batch = batch_of(drawn(policy()))
    with pytest.raises(ValueError, match="advantages"):
        replace(batch, advantages=torch.zeros(3))
    with pytest.raises(ValueError, match="mask"):
        replace(batch, mask=batch.mask[:, :-1])
    with pytest.raises(ValueError, match="samples"):
        rollout_batch([], torch.zeros(0))
    with pytest.raises(ConfigError, match="ref_logprobs"):
        update(Recorder(policy()), batch, UpdateConfig(settings=LossSettings(kl_coefficient=0.1)))
