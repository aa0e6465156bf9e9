"""Sampling, scoring, supervised steps and updates on a CUDA device against the same on the CPU."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch

from pipelines.training.config import AdamConfig
from pipelines.training.deepspeed import MuonBesideAdamW, make_adamw
from spatialcode.grpo.advantages import mean_std_advantages
from spatialcode.grpo.batch import rollout_batch
from spatialcode.grpo.engine import HFEngine
from spatialcode.grpo.parity import check_parity
from spatialcode.grpo.scoring import ScoringSettings, sequence_logprobs
from spatialcode.grpo.types import SamplerSettings, TaughtExample
from spatialcode.grpo.update import UpdateConfig, supervised_update, update
from tests.grpo.tiny_policy import PROMPTS, policy
from tests.grpo.torch_stepper import TorchStepper

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SETTINGS = SamplerSettings(max_new_tokens=12, seed=3)
EXAMPLES = [TaughtExample(prompt, (prompt[0], prompt[-1], 1)) for prompt in PROMPTS]


def both_models():
    """One random model on the CPU and its copy on the device."""
    model = policy()
    return model, copy.deepcopy(model).to("cuda")


def samples_of(model):
    groups = HFEngine(model).generate(PROMPTS, 4, SETTINGS)
    return [sample for group in groups for sample in group]


def test_greedy_completions_are_the_cpus():
    greedy = SamplerSettings(temperature=0.0, max_new_tokens=12)
    there, here = (HFEngine(model).generate(PROMPTS, 1, greedy) for model in both_models())
    assert [g[0].completion_ids for g in there] == [g[0].completion_ids for g in here]


def test_the_parity_gate_passes_and_log_probabilities_are_the_cpus():
    on_cpu, on_gpu = both_models()
    samples = samples_of(on_gpu)
    assert check_parity(on_gpu, samples).max_difference < 1e-3
    expected, _ = sequence_logprobs(on_cpu, samples, ScoringSettings())
    found, _ = sequence_logprobs(on_gpu, samples, ScoringSettings())
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("loss", ["grpo", "dapo", "gspo"])
def test_an_update_moves_the_weights_as_on_the_cpu(loss):
    """SGD, so that a gradient of another size or sign shows; Adam would hide it."""
    models = both_models()
    samples = samples_of(models[0])
    ids = torch.arange(len(PROMPTS)).repeat_interleave(4)
    rewards = torch.tensor([float(sample.completion_ids[0] % 2) for sample in samples])
    before = {n: w.clone() for n, w in models[0].state_dict().items()}
    for model in models:
        stepper = TorchStepper(model, torch.optim.SGD(model.parameters(), lr=0.1))
        batch = rollout_batch(samples, mean_std_advantages(rewards, ids))
        assert update(stepper, batch, UpdateConfig(loss=loss)).as_floats()["grad_norm"] > 0
    cpu, gpu = (model.state_dict() for model in models)
    for name, weight in cpu.items():
        torch.testing.assert_close(gpu[name].cpu(), weight, atol=1e-4, rtol=1e-3)
    assert any(not torch.equal(weight, before[name]) for name, weight in cpu.items())


@pytest.mark.parametrize("muon", [False, True])
def test_supervised_steps_follow_the_cpus(muon):
    """Muon's rounding in bfloat16 differs between devices: the first steps stay close."""
    losses = []
    for model in both_models():
        adam = AdamConfig(learning_rate=1e-3, beta2=0.98, weight_decay=0.05, muon=muon)
        optimizer = MuonBesideAdamW(model, adam) if muon else make_adamw(model.parameters(), adam)
        stepper = TorchStepper(model, optimizer)
        losses.append([supervised_update(stepper, EXAMPLES, 2048).loss for _ in range(4)])
    assert losses[1] == pytest.approx(losses[0], rel=3e-2 if muon else 1e-3)
    assert all(after < before for before, after in pairwise(losses[1]))
