"""Prompts by number, metrics files, judging, the alarm: the parts of a training run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines.train_reasoner.config import DRAWN, PromptDataConfig, TrainReasonerConfig
from pipelines.train_reasoner.evaluation import Judge, alarm, red_team_ceiling, summary
from pipelines.train_reasoner.launch import GRPO_ROOM
from pipelines.train_reasoner.metrics import RunFiles, figures_of, sums_of, table
from pipelines.train_reasoner.prompts import (
    BLOCK_NUMBERS,
    LocalPrompts,
    PromptMaker,
    PromptRow,
    StreamedPrompts,
    next_task,
    prompt_rows,
    write_next_task,
)
from pipelines.train_reasoner.rewards.pool import PlainRewards
from pipelines.train_reasoner.rewards.scorers import DrawnScorer
from pipelines.train_reasoner.rollouts.rollouts import RolloutRequest
from pipelines.train_reasoner.step import (
    Clock,
    Harvest,
    Harvester,
    ScoredGroup,
    batch_of,
    paid_terms,
)
from pipelines.training.rows import METRICS_FILE, cut_back, read_rows
from spatialcode.config import load_config
from spatialcode.errors import InputError
from spatialcode.grpo.types import Sample, Scored
from spatialcode.reasoning.rubric.scoring import RubricConfig
from spatialcode.seeds import HELD_OUT_ROOMS

MAKER = PromptMaker(PromptDataConfig(rooms_per_block=1), seed=3, compact=True)
ALONE: Any = SimpleNamespace(total=lambda value: value)
JUDGE = Judge(RubricConfig(), "counterfactual")


def test_workers_share_out_the_same_prompts_whatever_their_number() -> None:
    alone = LocalPrompts(MAKER, 0, 0, 1).draw(30)
    for world_size in (2, 3):
        shares = [LocalPrompts(MAKER, 0, rank, world_size).draw(10) for rank in range(world_size)]
        merged = sorted((row for share in shares for row in share), key=lambda row: row.number)
        assert merged == [row for row in alone if row in merged]
        assert len({row.number for row in merged}) == 10 * world_size


def test_a_resumed_worker_goes_on_where_the_run_stood() -> None:
    alone = LocalPrompts(MAKER, 0, 0, 1).draw(50)
    later = LocalPrompts(MAKER, alone[40].number, 0, 1).draw(10)
    assert later == alone[40:]
    skipping = LocalPrompts(MAKER, 0, 0, 1)
    skipping.draw(5)
    skipping.skip_to(alone[40].number)
    assert skipping.draw(10) == alone[40:]
    assert alone[40].number >= BLOCK_NUMBERS, "that was in the second block"


def test_ray_data_makes_the_same_prompts_and_leaves_out_what_was_had(tmp_path: Path) -> None:
    place = (str(tmp_path), "grpo", 0)
    blocks = list(prompt_rows({"id": np.array([0, 1])}, MAKER, *place))
    rows = [dict(zip(block, values, strict=True)) for block in blocks
            for values in zip(*block.values(), strict=True)]  # fmt: skip
    alone = LocalPrompts(MAKER, 0, 0, 1).draw(len(rows))
    assert [row["number"] for row in rows] == [row.number for row in alone]
    shard = SimpleNamespace(iter_rows=lambda: iter(rows))
    streamed = StreamedPrompts(shard, start=alone[7].number)
    assert streamed.draw(3) == alone[7:10]
    with pytest.raises(InputError, match="ended"):
        streamed.draw(len(rows))
    write_next_task(str(tmp_path), "grpo", BLOCK_NUMBERS + 2)
    assert next_task(str(tmp_path), "grpo") == BLOCK_NUMBERS + 2
    assert next_task(str(tmp_path), "sft") == 0, "another stage begins at its beginning"
    left = list(prompt_rows({"id": np.array([0, 1])}, MAKER, *place))
    assert len(left) == 1
    assert left[0]["number"].min() >= BLOCK_NUMBERS


def test_taught_programs_earn_the_full_reward_and_blind_ones_little() -> None:
    rows = MAKER.held_out(HELD_OUT_ROOMS[:2])
    figures = [JUDGE.figures(row, f"program: {row.target}") for row in rows]
    assert np.mean([f["accuracy"] for f in figures]) > 0.98
    assert np.mean([f["reward"] for f in figures]) > 0.75
    assert np.mean([f.get("heldout", 1.0) for f in figures]) > 0.75
    ceiling = red_team_ceiling(rows, JUDGE, "program: ")
    assert 0.02 < ceiling["ceiling"] < 0.4
    assert ceiling["ceiling"] == max(v for name, v in ceiling.items() if name != "ceiling")


def test_trained_and_held_out_rooms_do_not_meet() -> None:
    trained = {row.code_id for row in MAKER.block(0)}
    grpo = PromptMaker(MAKER.config, 3, True, first_room=GRPO_ROOM)
    assert not trained & {row.code_id for row in MAKER.held_out(HELD_OUT_ROOMS[:2])}
    assert not trained & {row.code_id for row in grpo.block(0)}


def test_the_mean_counts_every_family_once() -> None:
    """Three right of three in one family, none of one in the other: 50, not 75."""
    sums = {"accuracy/a": 3.0, "num/accuracy/a": 3.0, "accuracy/b": 0.0, "num/accuracy/b": 1.0,
            "accuracy": 3.0, "num/accuracy": 4.0, "reward": 2.0, "num/reward": 4.0}  # fmt: skip
    found = summary(sums)
    assert found.accuracy == {"a": 100.0, "b": 0.0, "mean": 50.0}
    assert found.reward == 0.5
    assert found.num == 4


def test_the_alarm_hears_a_reward_that_leaves_accuracy_behind() -> None:
    def row(reward: float, accuracy: float, heldout: float) -> dict[str, Any]:
        return {"reward": reward, "accuracy": {"mean": accuracy}, "heldout": heldout}

    assert alarm([row(0.5, 50, 0.5)], 0.05) is None
    assert alarm([row(0.5, 50, 0.5), row(0.6, 60, 0.6)], 0.05) is None
    assert alarm([row(0.5, 50, 0.5), row(0.4, 30, 0.2)], 0.05) is None, "the reward fell too"
    told = alarm([row(0.5, 50, 0.5), row(0.6, 44, 0.5)], 0.05)
    assert told is not None
    assert "accuracy fell by 0.060" in told
    told = alarm([row(0.5, 50, 0.5), row(0.6, 50, 0.4)], 0.05)
    assert told is not None
    assert "held-out term fell by 0.100" in told
    assert alarm([row(0.5, 50, 0.5), row(0.6, 46, 0.5)], 0.05) is None, "within the limit"


def test_files_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    files = RunFiles(tmp_path, -1)
    for step in range(1, 6):
        files.row("train", {"total_steps": step, "stage": "sft", "step": step})
        files.samples(step, [asdict_sample(step)])
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"kind": "train", "total_st')  # a crash in the middle of a line
    again = RunFiles(tmp_path, 3)
    again.row("train", {"total_steps": 4, "stage": "sft", "step": 4})
    assert [row["total_steps"] for row in read_rows(tmp_path / METRICS_FILE)] == [1, 2, 3, 4]
    text = (tmp_path / "samples.md").read_text()
    assert "completion of 3" in text
    assert "completion of 4" not in text
    cut_back(tmp_path / METRICS_FILE, -1, "total_steps")
    assert read_rows(tmp_path / METRICS_FILE) == []
    assert table(read_rows(tmp_path / METRICS_FILE)).row_count == 0


def asdict_sample(step: int) -> dict[str, Any]:
    return {"family": "f", "prompt": "p", "completion": f"completion of {step}", "reward": 1.0,
            "terms": {"answer": 1.0}, "reasons": ["r"], "advantage": 0.5}  # fmt: skip


def group(totals: list[float | None], family: str = "a") -> ScoredGroup:
    row = PromptRow(0, family, "[]", "", "", "", "")
    samples = [Sample((1,), (2, 3), (-0.5, -0.5), n > 0, 0) for n in range(len(totals))]
    scored = [Scored(None, None, error="hung") if t is None
              else Scored({"answer": t, "format": 1 - t}, t) for t in totals]  # fmt: skip
    return ScoredGroup(row, samples, scored)


def test_groups_without_variance_and_invalid_samples_are_told_apart() -> None:
    assert group([0.0, 1.0]).varies
    assert not group([1.0, 1.0]).varies
    assert not group([1.0, None]).varies, "one valid reward teaches nothing"
    found = Harvest(
        kept=[group([0.0, 1.0, None])], every=[group([0.0, 1.0, None]), group([1.0, 1.0])]
    )
    figures = figures_of(sums_of(found, None))
    assert figures["reward"] == pytest.approx(3 / 4), "invalid ones do not count as 0"
    assert figures["invalid"] == pytest.approx(1 / 5)
    assert figures["truncated"] == pytest.approx(2 / 5)
    assert figures["without_variance"] == pytest.approx(1 / 2)
    assert figures["terms"] == {"answer": pytest.approx(3 / 4), "format": pytest.approx(1 / 4)}


@pytest.mark.parametrize("aggregation", ["weighted_sum", "normalise_then_sum"])
def test_invalid_samples_are_masked(aggregation: str) -> None:
    config = load_config(TrainReasonerConfig, None, ["output=x", f"grpo.aggregation={aggregation}"])
    batch = batch_of([group([0.0, 1.0, None])], config, ALONE)
    assert batch is not None
    assert batch.mask.any(1).tolist() == [True, True, False]
    assert batch.advantages[0] < 0 < batch.advantages[1]
    assert batch.advantages[2] == 0
    assert batch_of([], config, ALONE) is None


def test_the_aggregation_is_the_one_named() -> None:
    """Answers 0 and 1 with forms 1 and 0: the total pays the answer more, terms of like weight
    cancel once each is normalised.
    """
    found = {}
    for name in ("weighted_sum", "normalise_then_sum"):
        arguments = ["output=x", f"grpo.aggregation={name}", "rubric.weight_format=0.4",
                     "rubric.weight_answer=0.4"]  # fmt: skip
        config = load_config(TrainReasonerConfig, None, arguments)
        batch = batch_of([group([0.0, 1.0])], config, ALONE)
        assert batch is not None
        found[name] = batch.advantages.tolist()
    assert found["weighted_sum"] == pytest.approx([-(0.5**0.5), 0.5**0.5])
    assert found["normalise_then_sum"] == [0.0, 0.0]


def test_truncated_samples_and_the_advantage_named_reach_the_batch() -> None:
    def made(*more: str) -> Any:
        config = load_config(TrainReasonerConfig, None, ["output=x", *more])
        return batch_of([group([0.0, 1.0])], config, ALONE)

    assert made().mask.any(1).tolist() == [True, True]
    masked = made("grpo.mask_truncated=true")
    assert masked.mask.any(1).tolist() == [False, True], "the first was cut off"
    assert made("grpo.advantages=mean").advantages.tolist() == pytest.approx([-0.5, 0.5])


def test_a_term_without_a_weight_does_not_reach_the_advantages() -> None:
    arguments = ["output=x", "grpo.aggregation=normalise_then_sum"]
    config = load_config(TrainReasonerConfig, None, arguments)
    unpaid = next(name for name, weight in config.rubric.weights().items() if weight == 0)
    assert unpaid not in paid_terms(config)
    paid = {name: weight for name, weight in config.rubric.weights().items() if weight > 0}
    assert paid_terms(config) == paid


class WrittenByHand:
    """Rollouts that are given: each prompt's completions, as the one token of each."""

    def __init__(self, tokens: list[list[int]]) -> None:
        self.tokens = tokens

    def start(self, request: RolloutRequest, on_group: Any) -> None:
        self.groups = [
            [Sample(prompt, (token,), (0.0,), True, 0) for token in tokens]
            for prompt, tokens in zip(request.prompts, self.tokens, strict=True)
        ]
        for number, group in enumerate(self.groups):
            on_group(number, group)

    def take(self, version: int) -> list[list[Sample]]:
        return self.groups


def test_what_samples_say_alike_is_scored_once_for_all_of_them() -> None:
    """Two prompts, of four and three completions with three and one different texts."""
    config = load_config(TrainReasonerConfig, None, ["output=x"])
    rewards = PlainRewards(DRAWN)
    text = SimpleNamespace(prompt_ids=lambda _: (1,), completion=lambda ids: f"text {ids[0]}")
    rollouts = WrittenByHand([[5, 6, 5, 7], [5, 5, 5]])
    harvester = Harvester(config, text, rollouts, rewards, LocalPrompts(MAKER, 0, 0, 1))  # type: ignore[arg-type]
    harvester.begin(2, 0)
    first, second = harvester.take(0, Clock())
    assert rewards.statistics.num_submitted == 3 + 1
    totals = [one.total for one in first.scored]
    assert totals[0] == totals[2]
    assert len(set(totals)) == 3
    assert [one.total for one in second.scored] == [totals[0]] * 3
    assert first.varies
    assert not second.varies
    assert list(rewards.collect()) == [], "nothing is left behind"


def test_drawn_rewards_follow_from_the_completion() -> None:
    scorer = DrawnScorer.load({})
    item, code = SimpleNamespace(), SimpleNamespace()
    first, second = (scorer.score(item, code, text) for text in ("a", "b"))  # type: ignore[arg-type]
    assert first != second
    assert first == scorer.score(item, code, "a")  # type: ignore[arg-type]


def test_vsibench_questions_become_rows(data_dir: Path) -> None:
    folder = data_dir / "vsibench"
    if not folder.is_dir():
        pytest.skip("no VSI-Bench there")
    rows = MAKER.of_files(folder)
    assert len(rows) > 1000
    assert json.loads(rows[0].item)["ground_truth"]
    assert asdict(rows[0])["family"] == "object_counting"
