from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pipelines.train_reasoner.rewards.pool import (
    CAUSES,
    PlainRewards,
    RewardPool,
    RewardPoolConfig,
    Rewards,
    ScoringChild,
)
from pipelines.train_reasoner.rewards.scorers import (
    RewardSample,
    RubricScorer,
    item_from_json,
    item_to_json,
)
from spatialcode.errors import ActorsLostError, ConfigError, InputError
from spatialcode.grpo.types import Scored
from spatialcode.questions.types import QuestionItem
from tests.pipelines.train_reasoner.rewards import stand_in_scorers
from tests.pipelines.train_reasoner.rewards.reward_samples import marked, reward_samples, with_text

CONFIG = RewardPoolConfig(
    num_actors=2, num_cpus=0.5, scorer=stand_in_scorers.NAME, deadline_s=20.0, samples_per_call=3
)


@pytest.fixture
def child() -> Iterator[ScoringChild]:
    child = ScoringChild(replace(CONFIG, deadline_s=1.0, start_s=60.0), {})
    yield child
    child.close()


@pytest.fixture(scope="module")
def pool(ray_session: Any) -> Iterator[RewardPool]:
    """Two actors for the tests that leave both alive, or have them replaced."""
    pool = RewardPool(CONFIG)
    yield pool
    pool.close()


def score_in_order(rewards: Rewards, samples: list[RewardSample]) -> list[Scored]:
    """The scores of samples, in their order."""
    handles = rewards.submit(samples)
    scored = dict(rewards.collect(handles))
    return [scored[handle] for handle in handles]


def plain(samples: list[RewardSample]) -> list[Scored]:
    return score_in_order(PlainRewards(), samples)


def scored_by(child: ScoringChild, sample: RewardSample) -> Scored:
    scored = child.score(sample.item, sample.code_id, sample.completion, lambda: sample.code)
    assert (scored.error is None) == scored.valid
    return scored


def counts(rewards: RewardPool | PlainRewards) -> dict[str, float]:
    counted = dict(vars(rewards.statistics))
    by_cause = counted.pop("masked")
    assert set(by_cause) <= set(CAUSES)
    return {**counted, **{f"masked_{cause}": by_cause[cause] for cause in CAUSES}}


def gained(before: dict[str, float], pool: RewardPool) -> dict[str, float]:
    """What the counts of a pool rose by, where they did."""
    after = counts(pool)
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def test_solver_written_reasoning_is_paid_and_cut_reasoning_is_not() -> None:
    scores = plain(reward_samples(30))
    assert all(scored.valid for scored in scores)
    whole = [scored.total or 0.0 for n, scored in enumerate(scores) if n % 3 != 2]
    cut = [scored.total or 0.0 for n, scored in enumerate(scores) if n % 3 == 2]
    assert min(whole) > 0.9
    assert max(cut) < 0.5
    assert {"answer", "format", "brevity"} <= set(scores[0].terms or {})


def test_errors_are_masked_and_counted_where_they_happen_in_this_process() -> None:
    samples = reward_samples(4)
    samples[1] = marked(samples[1], "<raise>")
    samples[2] = replace(samples[2], item="{}")
    rewards = PlainRewards(stand_in_scorers.NAME)
    scores = score_in_order(rewards, samples)
    assert [scored.valid for scored in scores] == [True, False, False, True]
    assert scores[1] == Scored(None, None, error="error: ZeroDivisionError: planted")
    assert "not a question item" in str(scores[2].error)
    assert counts(rewards)["num_scored"] == 2
    assert counts(rewards)["masked_error"] == 2


def test_a_question_or_gold_that_cannot_be_read_is_our_error_not_a_zero() -> None:
    sample = reward_samples(1)[0]
    item = item_from_json(sample.item)
    assert item_to_json(item) == sample.item
    unread = QuestionItem(**{**vars(item), "question": "Why is the moon?", "options": ()})
    no_gold = QuestionItem(**{**vars(item), "ground_truth": "Z"})
    scores = plain([replace(sample, item=item_to_json(one)) for one in (unread, no_gold)])
    assert [scored.total for scored in scores] == [None, None]
    assert "not understood" in str(scores[0].error)


def test_scorers_are_named_and_their_settings_checked() -> None:
    with pytest.raises(ConfigError, match="no_such"):
        PlainRewards("no_such.module:Class")
    with pytest.raises(ConfigError, match="weight_of_gold"):
        PlainRewards(settings={"weight_of_gold": 1.0})
    only_answer = {
        f"weight_{term}": 0.0
        for term in ("format", "smooth", "grounding", "perspective", "geometry")
    } | {"weight_consistency": 0.0, "weight_brevity": 0.0, "weight_answer": 1.0}
    for scored in score_in_order(PlainRewards(settings=only_answer), reward_samples(20)):
        assert scored.total == (scored.terms or {})["answer"]


def test_a_child_scores_as_this_process_does_and_is_started_once(child: ScoringChild) -> None:
    samples = reward_samples(24)
    assert [scored_by(child, sample) for sample in samples] == plain(samples)
    assert child.num_starts == 1


@pytest.mark.parametrize("marker", ["<hang>", "<sleep>"])
def test_a_hanging_scorer_is_killed_at_its_deadline(child: ScoringChild, marker: str) -> None:
    good = reward_samples(1)[0]
    expected = scored_by(child, good)  # the start is not part of the deadline
    begun_s = time.monotonic()
    masked = scored_by(child, marked(good, marker))
    taken_s = time.monotonic() - begun_s
    assert masked == Scored(None, None, error="timeout: no score within 1 s")
    assert 1.0 <= taken_s < 3.0
    assert scored_by(child, good) == expected
    assert child.num_starts == 2


def test_a_scorer_that_dies_costs_its_sample_alone(child: ScoringChild) -> None:
    good = reward_samples(1)[0]
    assert "crash: the scoring process died (status -9)" in str(
        scored_by(child, marked(good, "<die>")).error
    )
    assert "ZeroDivisionError" in str(scored_by(child, marked(good, "<raise>")).error)
    assert scored_by(child, good) == plain([good])[0]
    assert child.num_starts == 2  # an exception costs no process


def test_a_child_asks_again_for_codes_it_no_longer_keeps(
    child: ScoringChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = reward_samples(1)[0]
    expected = plain([sample])[0]
    for n in [*range(258), 0, 1]:  # it keeps 256; the first two were pushed out
        assert scored_by(child, replace(sample, code_id=f"{n}")) == expected


def test_a_child_that_cannot_start_masks_and_says_why() -> None:
    config = replace(CONFIG, scorer="no_such.module:Class", start_s=60.0)
    scored = scored_by(ScoringChild(config, {}), reward_samples(1)[0])
    assert "no_such.module:Class" in str(scored.error)


def test_the_pool_gives_what_this_process_gives_in_order(pool: RewardPool) -> None:
    samples = reward_samples(40)
    samples[5] = marked(samples[5], "<slow 0.5>")  # it and what follows it finish late
    before = counts(pool)
    first = pool.submit(samples[:25])
    second = pool.submit(samples[25:])  # while the first are scored
    assert first + second == list(range(first[0], first[0] + 40))
    late = dict(pool.collect(second))
    assert set(late) == set(second)
    scores = late | dict(pool.collect())
    assert [scores[handle] for handle in first + second] == plain(samples)
    assert gained(before, pool) == {"num_submitted": 40, "num_scored": 40}
    with pytest.raises(KeyError, match="collected before"):
        next(pool.collect(first))
    with pytest.raises(InputError, match="two different codes"):
        pool.submit([replace(samples[0], code="{}")])


def test_a_hanging_sample_is_masked_and_the_rest_are_scored(
    ray_session: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pool = RewardPool(replace(CONFIG, num_actors=1, deadline_s=1.0, samples_per_call=4))
    try:
        samples = reward_samples(12)
        samples[6] = marked(samples[6], "<hang>")
        expected = plain([*samples[:6], with_text(samples[6], ""), *samples[7:]])
        pool.pids()
        begun_s = time.monotonic()
        with caplog.at_level(logging.WARNING, logger="pipelines.train_reasoner.rewards.pool"):
            scores = score_in_order(pool, samples)
        assert time.monotonic() - begun_s < 1.0 + 10.0
        expected[6] = Scored(None, None, error="timeout: no score within 1 s")
        assert scores == expected
        assert "sample 6 has no reward: timeout" in caplog.text
        assert counts(pool) == {
            "num_submitted": 12, "num_scored": 11, "num_repeated": 0, "num_replaced": 0,
            "masked_timeout": 1, "masked_crash": 0, "masked_error": 0, "masked_actor": 0,
        }  # fmt: skip
    finally:
        pool.close()


def test_killed_actors_cost_nothing_once_and_their_own_samples_twice(pool: RewardPool) -> None:
    samples = [marked(sample, "<slow 0.05>") for sample in reward_samples(24)]
    before = counts(pool)
    handles = pool.submit(samples)
    scores = dict(pool.collect(handles[:3]))
    os.kill(pool.pids()[1], signal.SIGKILL)
    scores |= dict(pool.collect())
    assert [scores[handle] for handle in handles] == plain(samples)
    after = gained(before, pool)
    assert after.pop("num_repeated", 0) <= CONFIG.samples_per_call
    assert after == {"num_submitted": 24, "num_scored": 24, "num_replaced": 1}

    # one that kills its actor every time takes those that travel with it along, and no others
    samples[4] = marked(samples[4], "<kill-actor>")
    before = counts(pool)
    again = score_in_order(pool, samples)
    assert [n for n, scored in enumerate(again) if not scored.valid] == [3, 4, 5]
    assert all(str(again[n].error).startswith("actor: lost") for n in (3, 4, 5))
    expected = plain(samples)
    assert [again[n] for n in range(24) if n not in (3, 4, 5)] == [
        expected[n] for n in range(24) if n not in (3, 4, 5)
    ]
    assert gained(before, pool) == {
        "num_submitted": 24, "num_scored": 21, "masked_actor": 3, "num_repeated": 3,
        "num_replaced": 2,
    }  # fmt: skip


def test_a_stuck_actor_is_replaced_and_endless_replacing_ends(
    ray_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.train_reasoner.rewards.pool._GRACE_S", 0.0)
    config = replace(CONFIG, num_actors=1, deadline_s=0.5, start_s=3.5, max_replaced=1)
    pool = RewardPool(replace(config, samples_per_call=1))
    try:
        samples = reward_samples(2)
        assert score_in_order(pool, samples) == plain(samples)
        (pid,) = pool.pids()
        os.kill(pid, signal.SIGSTOP)  # alive, but no longer working
        begun_s = time.monotonic()
        assert score_in_order(pool, samples) == plain(samples)
        assert 4.0 <= time.monotonic() - begun_s < 30.0
        assert pool.statistics.num_replaced == 1
        with pytest.raises(ActorsLostError, match="more than 1 actors lost"):
            score_in_order(pool, [marked(samples[0], "<kill-actor>")])
    finally:
        pool.close()


def test_the_rubric_scorer_is_what_the_pool_uses_by_default() -> None:
    assert RewardPoolConfig().scorer == f"{RubricScorer.__module__}:{RubricScorer.__name__}"
