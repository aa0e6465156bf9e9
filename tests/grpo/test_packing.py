from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.errors import ConfigError
from spatialcode.grpo.attention import takes_own_masks
from spatialcode.grpo.scoring import (
    ScoringSettings,
    micro_batches,
    pack,
    plan_micro_batches,
    plan_rows,
    score,
    sequence_logprobs,
)
from spatialcode.grpo.types import Sample
from tests.grpo.tiny_policy import PROMPTS, drawn, full_logits, full_logprobs, gradients, policy


def made_up(prompt: tuple[int, ...], completion: tuple[int, ...]) -> Sample:
    return Sample(prompt, completion, (0.0,) * len(completion), True, 0)


@pytest.mark.parametrize(
    ("kind", "shared"), [("qwen3", True), ("gpt2", True), ("mistral", False), ("mamba", False)]
)
def test_models_that_follow_masks_are_told_apart(kind, shared) -> None:
    model = policy(kind).train()
    assert takes_own_masks(model) is shared
    assert model.training


def test_a_model_that_ignores_masks_is_found_out() -> None:
    model = policy()
    forward = model.model.forward
    model.model.forward = lambda attention_mask=None, **given: forward(**given)
    assert takes_own_masks(model) is False


@pytest.mark.parametrize(
    ("kind", "packing"),
    [("qwen3", "tree"), ("qwen3", "padded"), ("gpt2", "tree"), ("mistral", "auto"),
     ("mamba", "auto")],
)  # fmt: skip
@pytest.mark.parametrize("max_tokens", [1, 40, 10_000])
def test_packed_logprobs_and_gradients_are_those_of_each_alone(kind, packing, max_tokens) -> None:
    model = policy(kind)
    samples = drawn(policy("qwen3"))
    settings = ScoringSettings(packing=packing, max_tokens=max_tokens, max_row_tokens=20)
    factors = torch.randn(len(samples), 7, generator=torch.Generator().manual_seed(0))
    found = {}
    batches = micro_batches(model, samples, range(len(samples)), settings)
    for packed in batches:
        logprobs, _ = score(model, packed)
        (logprobs * factors[packed.numbers, packed.places]).sum().backward()
        for number, place, value in zip(
            packed.numbers.tolist(), packed.places.tolist(), logprobs.tolist(), strict=True
        ):
            found[number, place] = value
    packed_gradients = gradients(model)
    model.zero_grad()
    for number, one in enumerate(samples):
        alone = full_logprobs(model, one.prompt_ids, one.completion_ids)
        (alone * factors[number, : len(alone)]).sum().backward()
        for place, value in enumerate(alone.tolist()):
            assert found.pop((number, place)) == pytest.approx(value, abs=2e-5)
    assert not found
    for name, expected in gradients(model).items():
        scale = max(1.0, expected.abs().max().item())
        assert torch.allclose(packed_gradients[name], expected, atol=2e-5 * scale), name


def test_entropy_and_its_gradient_are_of_the_distribution_drawn_from() -> None:
    model = policy()
    one = drawn(model)[0]
    settings = ScoringSettings(temperature=0.7)
    packed = micro_batches(model, [one], [0], settings)[0]
    _, entropy = score(model, packed, 0.7, entropy_gradient=True)
    entropy.sum().backward()
    found = gradients(model)
    model.zero_grad()
    logits = full_logits(model, one.prompt_ids + one.completion_ids)[len(one.prompt_ids) - 1 : -1]
    shares = (logits / 0.7).softmax(-1)
    expected = -(shares * shares.log()).sum(-1)
    expected.sum().backward()
    assert entropy.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    for name, gradient in gradients(model).items():
        assert torch.allclose(found[name], gradient, atol=1e-5), name
    assert not score(model, packed, 0.7)[1].requires_grad


def test_large_vocabularies_are_scored_in_chunks(monkeypatch) -> None:
    model = policy()
    samples = drawn(model)
    packed = micro_batches(model, samples, range(len(samples)), ScoringSettings())[0]
    whole, entropy = score(model, packed, entropy_gradient=True)
    (whole.sum() + entropy.sum()).backward()
    expected = gradients(model)
    model.zero_grad()
    monkeypatch.setattr("spatialcode.grpo.scoring._MAX_LOGITS", 24 * 10)
    chunks, other = score(model, packed, entropy_gradient=True)
    (chunks.sum() + other.sum()).backward()
    assert torch.equal(whole, chunks)
    assert torch.equal(entropy, other)
    for name, gradient in gradients(model).items():
        assert torch.allclose(expected[name], gradient, atol=1e-4), name


def test_padded_values_stand_at_their_sample_and_place() -> None:
    model = policy()
    samples = drawn(model)
    logprobs, entropies = sequence_logprobs(model, samples, ScoringSettings(max_tokens=50))
    for row, one in enumerate(samples):
        expected = full_logprobs(model, one.prompt_ids, one.completion_ids).tolist()
        assert logprobs[row, : len(expected)].tolist() == pytest.approx(expected, abs=1e-5)
        assert not logprobs[row, len(expected) :].any()
        assert not entropies[row, len(expected) :].any()
        assert bool((entropies[row, : len(expected)] > 0).all())


def test_a_row_by_hand() -> None:
    samples = [made_up((3, 4), (5, 6, 7)), made_up((3, 4), (8, 9))]
    rows = plan_rows(samples, [0, 1], shared=True, max_row_tokens=100)
    packed = pack(samples, rows, shared=True)
    assert packed.input_ids.tolist() == [[3, 4, 5, 6, 8]]  # 7 and 9 predict nothing
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 2]]
    assert packed.visible[0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],  # 8 sees the prompt, not 5 and 6
    ]
    assert packed.targets.tolist() == [5, 6, 7, 8, 9]
    assert packed.columns.tolist() == [1, 2, 3, 1, 4]
    assert packed.numbers.tolist() == [0, 0, 0, 1, 1]
    assert packed.places.tolist() == [0, 1, 2, 0, 1]
    assert packed.first_column == 1


def test_long_groups_take_several_rows_with_the_prompt_in_each() -> None:
    samples = [made_up((3, 4), (5,) * 4) for _ in range(5)]  # 3 more columns each
    rows = plan_rows(samples, range(5), shared=True, max_row_tokens=8)
    assert [row.numbers for row in rows] == [(0, 1), (2, 3), (4,)]
    assert [row.num_tokens for row in rows] == [8, 8, 5]
    alone = plan_rows(samples, range(5), shared=True, max_row_tokens=1)
    assert [row.numbers for row in alone] == [(0,), (1,), (2,), (3,), (4,)]


@given(
    sizes=st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 9)), min_size=1, max_size=25
    ),
    shared=st.booleans(),
    max_tokens=st.integers(1, 120),
    max_row_tokens=st.integers(1, 40),
)  # fmt: skip
def test_every_sample_is_in_one_row_within_the_budget(
    sizes, shared, max_tokens, max_row_tokens
) -> None:
    samples = [made_up(PROMPTS[which], (2,) * length) for which, length in sizes]
    used = [number for number in range(len(samples)) if number % 5 != 3] or [0]
    rows = plan_rows(samples, used, shared=shared, max_row_tokens=max_row_tokens)
    batches = plan_micro_batches(rows, max_tokens)
    assert sorted(n for batch in batches for row in batch for n in row.numbers) == used
    for batch in batches:
        packed = pack(samples, batch, shared=shared)
        assert packed.input_ids.numel() <= max_tokens or len(batch) == 1
        assert len(packed.targets) == sum(
            len(samples[n].completion_ids) for row in batch for n in row.numbers
        )
        for row in batch:
            assert all(samples[n].prompt_ids == row.prompt_ids for n in row.numbers)
            assert row.num_tokens <= max_row_tokens or len(row.numbers) == 1


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match="packing"):
        ScoringSettings(packing="flat")
    with pytest.raises(ConfigError, match="max_tokens"):
        ScoringSettings(max_tokens=0)
    with pytest.raises(ConfigError, match="temperature"):
        ScoringSettings(temperature=-1)
    with pytest.raises(ValueError, match="rows"):
        pack([], [], shared=True)
