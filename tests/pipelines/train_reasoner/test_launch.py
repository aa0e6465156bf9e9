"""The reasoner's training end to end, tiny: what it leaves, resuming, planted crashes."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.train_reasoner.config import TrainReasonerConfig
from pipelines.train_reasoner.launch import train
from pipelines.train_reasoner.metrics import SAMPLES_FILE
from pipelines.train_reasoner.stages import missed_gate, start_folders, train_copying
from pipelines.train_reasoner.step import update_config
from pipelines.training.rows import METRICS_FILE, read_rows
from spatialcode.config import load_config
from spatialcode.errors import ConfigError
from tests.pipelines.train_reasoner.rewards import planted_scorer

ROOT = Path(__file__).parents[3]
STAGES = ("start", "sft", "grpo", "control")
SMALL = (
    "model.hidden_size=32", "model.num_layers=1", "model.num_heads=2", "model.num_kv_heads=1",
    "model.tokenizer_rooms=2", "model.vocabulary_size=600", "data.rooms_per_block=1",
    "sft.batch_size=4", "grpo.prompts_per_step=2", "grpo.samples_per_prompt=3",
    "grpo.max_new_tokens=4", "evaluation.num_rooms=1", "evaluation.every_steps=0",
    f"rewards.scorer={planted_scorer.NAME}", "rewards_in_process=true",
)  # fmt: skip


def train_steps(output: Path) -> list[int]:
    rows = read_rows(output / METRICS_FILE)
    return [row["total_steps"] for row in rows if row["kind"] == "train"]


def test_a_dry_run_goes_through_every_stage(tmp_path: Path) -> None:
    arguments = ["launcher=process", "rewards_in_process=true", "dry_run=true", "control=true",
                 "rollouts.engine=vllm"]  # fmt: skip
    config = load_config(TrainReasonerConfig, None, [f"output={tmp_path}", *arguments])
    report = train(config)
    assert report["done"]
    assert report["notes"] == [
        "dry run: rollouts.engine=hf wrote with the random tiny weights, in place of vllm"
    ]
    assert tuple(report["heldout_accuracy"]) == STAGES
    for accuracy in report["heldout_accuracy"].values():
        families = [value for name, value in accuracy.items() if name != "mean"]
        assert len(families) >= 9
        assert accuracy["mean"] == pytest.approx(sum(families) / len(families), abs=0.01)
    assert report["seconds"] == pytest.approx(
        sum(s for name, s in report["seconds_by_stage"].items() if name != "control"), abs=0.11
    )
    rows = read_rows(tmp_path / METRICS_FILE)
    learnt = [row for row in rows if row["kind"] == "train" and row["stage"] == "grpo"]
    assert [row["num_steps"] for row in learnt] == [1.0, 1.0], "weights were updated"
    assert all(row["grad_norm"] > 0 for row in learnt)
    assert learnt[0]["parity"]["max_difference"] < 1e-4
    assert set(learnt[0]["share"]) == {"generation", "reward", "update", "sync"}
    assert train_steps(tmp_path) == list(range(1, len(train_steps(tmp_path)) + 1))
    samples = read_rows(tmp_path / SAMPLES_FILE)
    assert {row["total_steps"] for row in samples} == {3, 4}
    assert samples[0]["completion"] in (tmp_path / "samples.md").read_text()
    assert list((tmp_path / "tensorboard").iterdir())
    before = read_rows(tmp_path / METRICS_FILE)
    assert train(config)["heldout_accuracy"] == report["heldout_accuracy"], "nothing left to do"
    after = read_rows(tmp_path / METRICS_FILE)
    assert after[: len(before)] == before
    assert [row["kind"] for row in after[len(before) :]] == ["resume"]


@pytest.mark.slow
def test_an_exported_stage_is_what_the_next_one_starts_from(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = load_config(
        TrainReasonerConfig, None,
        [f"output={tmp_path}", "launcher=process", "rewards_in_process=true", "dry_run=true"],
    )  # fmt: skip
    train(config)
    folders = [tmp_path / name for name in ("start", "sft", "grpo")]
    weights = [AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in folders]
    for one, other in itertools.pairwise(weights):
        assert one.keys() == other.keys()
        assert any(bool((one[name] != other[name]).any()) for name in one)
    tokenizer = AutoTokenizer.from_pretrained(folders[-1])
    assert tokenizer.eos_token_id is not None
    assert json.loads((folders[-1] / "spatialcode.json").read_text())["prompt_style"] == "compact"


def test_a_stage_below_its_gate_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no steps to learn in, nothing reaches 99."""
    arguments = [*SMALL, "launcher=process", "sft.num_steps=1", "sft.min_accuracy=99"]
    monkeypatch.setenv(planted_scorer.VARIABLE, str(tmp_path))
    config = load_config(TrainReasonerConfig, None, [f"output={tmp_path / 'out'}", *arguments])
    report = train(config)
    assert not report["done"]
    assert report["failed"].startswith("sft: expected a held-out accuracy of at least 99.0, got")
    assert "grpo" not in report["heldout_accuracy"]


@pytest.mark.parametrize(
    ("arguments", "accuracy", "told"),
    [
        (["grpo.min_gain=8"], {"mean": 47.9}, "held-out accuracy of at least 48.0, got 47.9"),
        (
            ["grpo.named_family=object_counting", "grpo.min_family_gain=10"],
            {"object_counting": 59.0},
            "held-out accuracy in object_counting of at least 60.0, got 59.0",
        ),
        (["grpo.min_gain=8", "sft.num_steps=0"], {"mean": 9.0}, None),
        (["grpo.min_gain=7.5"], {}, None),
    ],
)
def test_gains_are_asked_for_over_what_grpo_starts_from(
    arguments: list[str], accuracy: dict[str, float], told: str | None
) -> None:
    """From 40 and 50 after supervised steps, or from 1 where there were none."""
    config = load_config(TrainReasonerConfig, None, ["output=x", *arguments])
    found = {
        "start": {"mean": 1.0, "object_counting": 0.0},
        "sft": {"mean": 40.0, "object_counting": 50.0},
        "grpo": {"mean": 48.0, "object_counting": 60.0, **accuracy},
    }
    if "sft" not in config.stages:
        found.pop("sft")
    missed = missed_gate(config, "grpo", {"accuracy": found})
    assert missed is None if told is None else missed == f"expected a {told}"


def test_copying_comes_first_and_must_get_somewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps are too few to copy eight words; the next stage would start from its weights."""
    arguments = [*SMALL, "launcher=process", "copying.num_steps=3", "sft.num_steps=1",
                 "grpo.num_steps=0", "checkpoint_every_steps=2"]  # fmt: skip
    monkeypatch.setenv(planted_scorer.VARIABLE, str(tmp_path))
    config = load_config(TrainReasonerConfig, None, [f"output={tmp_path / 'out'}", *arguments])
    assert start_folders(config)["sft"] == str(tmp_path / "out" / "copying")
    missed = replace(config, copying=replace(config.copying, min_longest=12))
    report = train(missed)
    assert report["failed"] == "copying: expected runs of 12 words, got to 8"
    assert not (tmp_path / "out" / "sft").exists()
    report = train(config)  # goes on from where that one stood
    assert report["done"]
    assert report["copying"]["longest"] == 8
    assert len(report["copying"]["losses"]) == 3
    assert train_steps(tmp_path / "out") == [1, 2, 3, 4]
    assert tuple(report["heldout_accuracy"]) == ("start", "sft")


def test_copying_goes_on_as_if_unbroken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is copied follows from the step; how long it is, from losses that checkpoints keep."""
    monkeypatch.setenv(planted_scorer.VARIABLE, str(tmp_path))
    arguments = [*SMALL, "launcher=process", "copying.num_steps=6", "sft.num_steps=0",
                 "grpo.num_steps=0", "checkpoint_every_steps=2"]  # fmt: skip
    whole = load_config(TrainReasonerConfig, None, [f"output={tmp_path / 'whole'}", *arguments])
    kept = train(whole)["copying"]
    parts = replace(whole, output=str(tmp_path / "parts"))
    train(parts)
    shutil.rmtree(tmp_path / "parts" / "checkpoints" / "last")
    again = train(parts)["copying"]  # from the checkpoint before the last
    assert again["losses"] == pytest.approx(kept["losses"], rel=1e-5)
    assert len(set(kept["losses"])) == 6
    assert train_steps(tmp_path / "parts") == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_vsibench_is_watched_in_part_and_reported_in_full(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data_dir / "vsibench"
    if not folder.is_dir():
        pytest.skip("no VSI-Bench there")
    monkeypatch.setenv(planted_scorer.VARIABLE, str(tmp_path))
    arguments = [*SMALL, "launcher=process", "sft.num_steps=2", "grpo.num_steps=0",
                 "evaluation.every_steps=1", f"evaluation.vsibench={folder}",
                 "evaluation.vsibench_questions=40"]  # fmt: skip
    config = load_config(TrainReasonerConfig, None, [f"output={tmp_path / 'out'}", *arguments])
    report = train(config)
    rows = [r for r in read_rows(tmp_path / "out" / METRICS_FILE) if r["kind"] == "vsibench"]
    assert [row["step"] for row in rows] == [1, 2, 2]
    assert all(30 <= row["accuracy"]["num"] <= 40 for row in rows[:2])
    assert rows[2]["accuracy"] == report["vsibench"]
    assert report["vsibench"]["num"] > 2000


def test_settings_of_supervised_steps_reach_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rise of one step, and repeated words of prompts that count, each change the first step."""
    monkeypatch.setenv(planted_scorer.VARIABLE, str(tmp_path))
    found = []
    for name, more in (("plain", []), ("changed", ["sft.warmup_steps=1", "sft.repeat_weight=0.5"])):
        arguments = [*SMALL, "launcher=process", "sft.num_steps=1", "grpo.num_steps=0", *more]
        config = load_config(TrainReasonerConfig, None, [f"output={tmp_path / name}", *arguments])
        train(config)
        rows = read_rows(tmp_path / name / METRICS_FILE)
        found.append(next(row for row in rows if row["kind"] == "train"))
    plain, changed = found
    assert changed["learning_rate"] == pytest.approx(20 * plain["learning_rate"])
    assert changed["loss"] == pytest.approx(plain["loss"]), "the loss shown is of completions"
    assert abs(changed["grad_norm"] - plain["grad_norm"]) > 1e-3


def test_a_chat_model_cannot_copy_words() -> None:
    config = load_config(TrainReasonerConfig, None, ["output=x", "copying.num_steps=1"])
    worker = SimpleNamespace(config=config, text=SimpleNamespace(compact=False))
    with pytest.raises(ConfigError, match=r"copying\.num_steps: expected 0"):
        train_copying(worker)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["grpo.named_family=colours"], "grpo.named_family"),
        (["grpo.min_family_gain=3"], "grpo.named_family"),
        (["grpo.clip_low=0"], "grpo.clip_low"),
        (["copying.min_longest=25"], "copying.min_longest"),
        (["copying.batch_tokens=10"], "copying.batch_tokens"),
        (["launcher=process", "num_workers=2"], "num_workers"),
        (["launcher=process", "rollouts.num_actors=1"], "rollouts.num_actors"),
        (["num_workers=2", "sft.batch_size=5"], "sft.batch_size"),
        (["rubric.weight_counterfactual=0.1"], "evaluation.heldout_term"),
        (["rollouts.one_step_off=true"], "rollouts.one_step_off"),
        (["data.questions=q"], "data.codes"),
        (["zero.stage=0", "zero.bfloat16=true"], "zero.bfloat16"),
        (["adam.muon=true"], "adam.muon"),
        (["grpo.aggregation=normalise_then_sum", "grpo.advantages=mean"], "grpo.advantages"),
        (["model.source=x", "ship.folder=y"], "ship.folder"),
    ],
)
def test_settings_that_cannot_work_are_named(arguments: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: "):
        load_config(TrainReasonerConfig, None, ["output=x", *arguments])


def test_keys_of_the_loss_reach_the_update() -> None:
    arguments = ["output=x", "grpo.clip_low=0.1", "grpo.clip_high=0.4", "grpo.kl_coefficient=0.01",
                 "grpo.kl_estimator=k2", "grpo.loss=dr_grpo", "grpo.max_new_tokens=9"]  # fmt: skip
    config = load_config(TrainReasonerConfig, None, arguments)
    found = update_config(config)
    assert found.settings.clips("dr_grpo") == (0.1, 0.4)
    assert (found.settings.kl_coefficient, found.settings.kl_estimator) == (0.01, "k2")
    assert found.settings.max_completion_tokens == 9
    usual = update_config(load_config(TrainReasonerConfig, None, ["output=x"]))
    assert usual.settings.clips(usual.loss) == (0.2, 0.28), "DAPO's own"
    more = ["output=x", "grpo.updates_per_batch=3", "grpo.entropy_coefficient=0.01",
            "grpo.micro_batch_tokens=99"]  # fmt: skip
    other = update_config(load_config(TrainReasonerConfig, None, more))
    assert (other.num_epochs, other.entropy_coefficient) == (3, 0.01)
    assert other.scoring.max_tokens == 99


@pytest.mark.parametrize(
    ("more", "old_policy"),
    [
        (["zero.stage=2"], "sampled"),
        (["zero.stage=2", "rollouts.one_step_off=true"], "recomputed"),
        (["zero.stage=3", "rollouts.one_step_off=true"], "sampled"),
    ],
)
def test_one_step_off_the_old_policy_is_scored_anew(more: list[str], old_policy: str) -> None:
    """What was sampled with older weights is no old policy; but ZeRO 3 would hang."""
    arguments = ["output=x", "rollouts.num_actors=1", *more]
    config = load_config(TrainReasonerConfig, None, arguments)
    assert update_config(config).old_policy == old_policy


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3_4b_1x8", "qwen3_4b_2x8", "tiny"])
def test_recipes_dry_run_on_this_machine(name: str, tmp_path: Path) -> None:
    """Same classes, ZeRO stage, precision and rollout actors; random tiny weights."""
    done = run_job(tmp_path, f"config=configs/train_reasoner/{name}.yaml", "dry_run=true")
    text = done.communicate(timeout=500)[0]
    assert done.returncode == 0, text
    steps = train_steps(tmp_path / "out")
    assert steps == list(range(1, len(steps) + 1))
    rows = [row for row in read_rows(tmp_path / "out" / METRICS_FILE) if row["stage"] == "grpo"]
    assert [row["num_steps"] for row in rows if row["kind"] == "train"] == [1.0, 1.0]


def run_job(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.train_reasoner", f"output={folder / 'out'}", *arguments],
        cwd=ROOT,
        env={**os.environ, planted_scorer.VARIABLE: str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_step(process: subprocess.Popen[str], folder: Path, step: int) -> None:
    while not [n for n in train_steps(folder / "out") if n >= step]:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


FAULTS = (*SMALL, "sft.num_steps=6", "grpo.num_steps=24", "checkpoint_every_steps=4",
          "zero.stage=2")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_worker_killed_in_a_step_resumes_without_gap_or_repeat(
    tmp_path: Path, num_workers: int
) -> None:
    process = run_job(tmp_path, *FAULTS, f"num_workers={num_workers}")
    wait_for_step(process, tmp_path, 15)
    (tmp_path / "kill").touch()
    text = process.communicate(timeout=500)[0]
    assert process.returncode == 0, text
    assert list(tmp_path.glob("killed_*")), "the fault was planted"
    assert_whole(tmp_path / "out", num_workers)


@pytest.mark.slow
def test_a_driver_killed_goes_on_when_run_again(tmp_path: Path) -> None:
    process = run_job(tmp_path, *FAULTS)
    wait_for_step(process, tmp_path, 15)
    process.send_signal(signal.SIGKILL)
    process.wait()
    at_kill = max(train_steps(tmp_path / "out"))
    again = run_job(tmp_path, *FAULTS, "num_workers=2")  # and at another world size
    text = again.communicate(timeout=500)[0]
    assert again.returncode == 0, text
    assert at_kill < 30
    assert_whole(tmp_path / "out", 1)


def assert_whole(output: Path, written_by: int) -> None:
    """Every step once, in order; no evaluation twice; what was learnt before the crash is kept."""
    assert train_steps(output) == list(range(1, 31))
    rows = read_rows(output / METRICS_FILE)
    evaluations = [(r["stage"], r["step"]) for r in rows if r["kind"] == "evaluation"]
    assert evaluations == [("sft", 0), ("sft", 6), ("grpo", 24)]
    resumed = [row for row in rows if row["kind"] == "resume"]
    assert len(resumed) == 1
    assert resumed[0]["total_steps"] >= 10, "from a checkpoint of the stage, not from the start"
    assert resumed[0]["written_by"] == written_by
    report = json.loads((output / "report.json").read_text())
    assert report["done"]
    assert tuple(report["heldout_accuracy"]) == STAGES[:3]


def test_a_process_resumes_in_the_middle_of_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same losses and rewards with a break as without, from step 4 on."""
    monkeypatch.setenv(planted_scorer.VARIABLE, str(tmp_path))
    arguments = [*SMALL, "launcher=process", "sft.num_steps=3", "grpo.num_steps=5",
                 "checkpoint_every_steps=2"]  # fmt: skip
    whole = load_config(TrainReasonerConfig, None, [f"output={tmp_path / 'whole'}", *arguments])
    train(whole)
    parts = replace(whole, output=str(tmp_path / "parts"))
    train(replace(parts, grpo=replace(parts.grpo, num_steps=3)))
    (tmp_path / "parts" / "checkpoints" / "last").rename(tmp_path / "end")
    train(parts)  # from the checkpoint before the last: step 2 of GRPO
    figures = [[{key: row.get(key, 0.0) for key in ("total_steps", "loss", "reward", "grad_norm")}
                for row in read_rows(tmp_path / name / METRICS_FILE) if row["kind"] == "train"]
               for name in ("whole", "parts")]  # fmt: skip
    for one, other in zip(*figures, strict=True):
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.slow
def test_two_seeds_differ_and_one_repeats(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(planted_scorer.VARIABLE, str(tmp_path))
    arguments = [*SMALL, "launcher=process", "sft.num_steps=2", "grpo.num_steps=0"]
    losses = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        config = load_config(
            TrainReasonerConfig, None, [f"output={tmp_path / name}", f"seed={seed}", *arguments]
        )
        train(config)
        losses.append([row.get("loss") for row in read_rows(tmp_path / name / METRICS_FILE)])
    assert losses[0] == losses[1] != losses[2]
