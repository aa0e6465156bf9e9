from __future__ import annotations

import math

import pytest
import torch

from spatialcode.errors import ConfigError, ModelError
from spatialcode.grpo.engine import draw, sampling_logprobs
from spatialcode.grpo.types import Sample, SamplerSettings, Scored
from tests.grpo.tiny_policy import (
    END,
    PROMPTS,
    VOCABULARY,
    drawn,
    full_logits,
    full_logprobs,
    policy,
    sample,
)

KINDS = ("qwen3", "gpt2", "mistral")


def greedy_by_hand(model, prompt, num_new: int) -> list[int]:
    ids = list(prompt)
    for _ in range(num_new):
        ids.append(int(full_logits(model, ids)[-1].argmax()))
        if ids[-1] == END:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_is_the_argmax_of_full_forwards(kind) -> None:
    model = policy(kind)
    settings = SamplerSettings(temperature=0, max_new_tokens=12)
    groups = sample(model, PROMPTS, 2, settings, end_ids=(END,))
    written = set()
    for prompt, group in zip(PROMPTS, groups, strict=True):
        expected = greedy_by_hand(model, prompt, 12)
        assert [list(one.completion_ids) for one in group] == [expected, expected]
        assert group[0].prompt_ids == prompt
        written.add(tuple(expected))
    assert len(written) > 1  # the prompts matter


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_are_those_of_a_full_forward(kind, temperature) -> None:
    model = policy(kind)
    settings = SamplerSettings(temperature=temperature, max_new_tokens=9, seed=3)
    for group in sample(model, PROMPTS, 4, settings, end_ids=(END,)):
        for one in group:
            logits = full_logits(model, one.prompt_ids + one.completion_ids) / temperature
            for place, token in enumerate(one.completion_ids):
                row = logits[len(one.prompt_ids) + place - 1].double()
                expected = row[token] - math.log(sum(math.exp(x) for x in row.tolist()))
                assert one.logprobs[place] == pytest.approx(expected.item(), abs=1e-4)


def test_logprobs_of_greedy_are_at_temperature_one() -> None:
    model = policy()
    settings = SamplerSettings(temperature=0, max_new_tokens=5)
    one = sample(model, PROMPTS[:1], 1, settings, end_ids=(END,))[0][0]
    expected = full_logprobs(model, one.prompt_ids, one.completion_ids)
    assert one.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_first_tokens_are_as_frequent_as_likely() -> None:
    model = policy(scale=4.0)
    prompt, count = PROMPTS[2], 4000
    settings = SamplerSettings(max_new_tokens=1, seed=11)
    group = sample(model, [prompt], count, settings, end_ids=(END,))[0]
    likely = full_logits(model, prompt)[-1].softmax(-1) * count
    seen = torch.bincount(torch.tensor([one.completion_ids[0] for one in group]), minlength=24)
    assert likely.min() > 5  # else the statistic is no chi-square
    assert likely.max() > 3 * likely.min()  # a uniform draw would not pass
    chi_square = ((seen - likely).square() / likely).sum()
    # 23 degrees of freedom: mean 23, standard deviation 6.8; beyond 60 by chance in 1 of 25,000
    assert chi_square < 60
    uniform = torch.full((24,), count / 24)
    assert ((seen - uniform).square() / uniform).sum() > 200


def test_second_tokens_follow_the_first() -> None:
    model = policy(scale=20.0)
    settings = SamplerSettings(max_new_tokens=2, seed=2)
    group = sample(model, [PROMPTS[1]], 3000, settings, end_ids=(END,))[0]
    first = max(range(2, VOCABULARY), key=[one.completion_ids[0] for one in group].count)
    seconds = [
        one.completion_ids[1]
        for one in group
        if one.completion_ids[0] == first and len(one.completion_ids) == 2
    ]
    likely = full_logits(model, [*PROMPTS[1], first])[-1].softmax(-1)
    seen = torch.bincount(torch.tensor(seconds), minlength=VOCABULARY) / len(seconds)
    # 4 standard deviations of a share, and a bit for the smallest
    bound = 4 * (likely * (1 - likely) / len(seconds)).sqrt() + 0.005
    assert len(seconds) > 100
    assert bool(((seen - likely).abs() < bound).all())


def test_completions_end_with_the_end_or_are_flagged() -> None:
    samples = drawn(policy(scale=2.0), num_samples=40, max_new_tokens=10)
    finished = [one for one in samples if one.finished]
    cut = [one for one in samples if not one.finished]
    assert finished
    assert cut
    assert all(one.completion_ids[-1] == END for one in finished)
    assert all(END not in one.completion_ids[:-1] for one in finished)
    assert all(len(one.completion_ids) == 10 and END not in one.completion_ids for one in cut)


def test_every_end_token_ends() -> None:
    model = policy(scale=2.0)
    settings = SamplerSettings(max_new_tokens=6, seed=1)
    ends = (2, 7, 9)
    for one in sample(model, PROMPTS[:2], 30, settings, end_ids=ends)[1]:
        assert not set(one.completion_ids[:-1]) & set(ends)
        assert one.finished == (one.completion_ids[-1] in ends)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_does_not_depend_on_its_batch(kind) -> None:
    model = policy(kind)
    settings = SamplerSettings(max_new_tokens=8, seed=4)
    together = sample(model, PROMPTS, 3, settings, end_ids=(END,))
    for prompt, group in zip(PROMPTS, together, strict=True):
        alone = sample(model, [prompt], 3, settings, end_ids=(END,))[0]
        assert [one.completion_ids for one in alone] == [one.completion_ids for one in group]
    in_twos = sample(model, PROMPTS, 3, settings, end_ids=(END,), max_rows=6)
    assert [[one.completion_ids for one in group] for group in in_twos] == [
        [one.completion_ids for one in group] for group in together
    ]
    more = sample(model, PROMPTS[:1], 5, settings, end_ids=(END,))[0]
    assert [one.completion_ids for one in more[:3]] == [one.completion_ids for one in together[0]]


def test_seeds_samples_and_equal_prompts_differ() -> None:
    model = policy(scale=1.0)
    settings = SamplerSettings(max_new_tokens=12, seed=4)
    never = (VOCABULARY,)  # all of 12 tokens: two alike are no chance
    groups = sample(model, [PROMPTS[0], PROMPTS[0]], 4, settings, end_ids=never)
    other = SamplerSettings(max_new_tokens=12, seed=5)
    groups += sample(model, [PROMPTS[0]], 4, other, end_ids=never)
    written = [one.completion_ids for group in groups for one in group]
    assert len(set(written)) == 12


@pytest.mark.parametrize("kind", ["qwen3", "mistral"])
def test_prompts_are_read_once_and_ended_rows_leave(kind) -> None:
    model = policy(kind, scale=1.0)
    shapes = []
    settings = SamplerSettings(max_new_tokens=20, seed=0)
    sample(model, PROMPTS, 1, settings, end_ids=(END,))  # whatever is tried out on a new model
    hook = model.register_forward_pre_hook(
        lambda _module, _args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)),
        with_kwargs=True,
    )
    sample(model, PROMPTS, 8, settings, end_ids=range(1, 8))  # a good quarter ends at each token
    hook.remove()
    assert shapes[0] == (5, 9)  # 5 prompts, the longest of 9 tokens; not 40 rows
    assert shapes[1][1] == 1
    rows = [shape[0] for shape in shapes[1:]]
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] < rows[0] <= 40


def test_model_keeps_its_mode_and_takes_no_gradient() -> None:
    model = policy().train()
    sample(model, PROMPTS, 1, SamplerSettings(max_new_tokens=2), end_ids=(END,))
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_weight_version_is_stored() -> None:
    settings = SamplerSettings(max_new_tokens=2)
    groups = sample(policy(), PROMPTS[:1], 1, settings, end_ids=(END,), weight_version=7)
    assert groups[0][0].weight_version == 7


def test_cut_distributions_by_hand() -> None:
    logits = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()[None]

    def shares(**settings) -> list[float]:
        return sampling_logprobs(logits, SamplerSettings(**settings)).exp()[0].tolist()

    assert shares() == pytest.approx([0.5, 0.25, 0.15, 0.1])
    assert shares(top_k=2) == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert shares(top_p=0.5) == pytest.approx([1, 0, 0, 0])
    assert shares(top_p=0.51) == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert shares(top_p=0.9, top_k=3) == pytest.approx([5 / 9, 2.5 / 9, 1.5 / 9, 0])
    squares = [0.25, 0.0625, 0.0225, 0.01]  # temperature 1/2 squares the shares
    assert shares(temperature=0.5) == pytest.approx([x / sum(squares) for x in squares])


def test_draw_inverts_the_cumulated_distribution() -> None:
    shares = torch.tensor([0.5, 0.0, 0.25, 0.25])
    uniforms = torch.tensor([0.0, 0.499, 0.501, 0.749, 0.751, 1 - 1e-9], dtype=torch.float64)
    tokens, logprobs = draw(shares.log().expand(6, 4), uniforms, SamplerSettings())
    assert tokens.tolist() == [0, 0, 2, 2, 3, 3]  # never the impossible 1
    assert logprobs.exp().tolist() == pytest.approx([0.5, 0.5, 0.25, 0.25, 0.25, 0.25])
    shares = torch.tensor([[0.0, 0.5, 0.5]])
    least = torch.zeros(1, dtype=torch.float64)
    assert draw(shares.log(), least, SamplerSettings())[0].tolist() == [1]


def test_what_cannot_be_sampled_says_so() -> None:
    settings = SamplerSettings(max_new_tokens=2)
    with pytest.raises(ValueError, match=r"prompts\[1\]"):
        sample(policy(), [(3,), ()], 1, settings, end_ids=(END,))
    with pytest.raises(ValueError, match="num_samples"):
        sample(policy(), [(3,)], 0, settings, end_ids=(END,))
    assert sample(policy(), [], 2, settings, end_ids=(END,)) == []
    broken = policy()
    with torch.no_grad():
        broken.lm_head.weight[3] = float("nan")
    with pytest.raises(ModelError, match="finite"):
        sample(broken, [(3,)], 1, settings, end_ids=(END,))
    with pytest.raises(ModelError, match="MambaForCausalLM"):
        sample(policy("mamba"), [(3, 4)], 1, settings, end_ids=(END,))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("max_new_tokens", 0),
        ("seed", -1),
    ],
)
def test_settings_out_of_range_are_named(key, value) -> None:
    with pytest.raises(ConfigError, match=key):
        SamplerSettings(**{key: value})


def test_samples_and_scores_are_checked() -> None:
    with pytest.raises(ValueError, match="logprobs"):
        Sample((3,), (4, 5), (0.0,), True, 0)
    with pytest.raises(ValueError, match="error"):
        Scored(None, None)
    with pytest.raises(ValueError, match="total"):
        Scored({}, float("nan"))
    assert not Scored(None, None, error="timeout").valid
    assert Scored({"a": 0.0}, 0.0).valid
