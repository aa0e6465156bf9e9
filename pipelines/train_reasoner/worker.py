"""One training worker's run: its stages in order, checkpoints, metrics, evaluations.

Knows nothing of Ray: a launcher gives it prompts and takes its checkpoints. All workers go through
the same steps together; rank 0 writes.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from pipelines.train_reasoner.config import STAGES, TrainReasonerConfig
from pipelines.train_reasoner.evaluation import (
    Evaluation,
    Judge,
    alarm,
    evaluate,
    red_team_ceiling,
    summary,
)
from pipelines.train_reasoner.metrics import RunFiles
from pipelines.train_reasoner.model import load_model, load_text, start_folder
from pipelines.train_reasoner.prompts import PromptMaker, PromptRow, Prompts, write_next_task
from pipelines.train_reasoner.rewards.pool import PlainRewards, RewardPool, Rewards
from pipelines.train_reasoner.rollouts.rollouts import Rollouts, make_rollouts
from pipelines.training import checkpoints
from pipelines.training.checkpoints import FoundCheckpoint, RunPosition
from pipelines.training.deepspeed import DeepSpeedStepper, with_adapters
from spatialcode.config import to_dict
from spatialcode.files import write_json
from spatialcode.reasoning.models.local import STYLE_FILE
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.workkey import config_sha256

#: Told of every checkpoint by every rank: figures, and the folder with this rank's part.
Reporter = Callable[[dict[str, Any], Path], None]
RESULT_FILE = "result.json"


@dataclass
class WorkerSetup:
    """What a worker is given: its settings, prompts by stage and first number, and who takes its
    checkpoints.
    """

    config: TrainReasonerConfig
    rank: int
    prompts: Callable[[str, int], Prompts]
    report: Reporter
    resume: Path | None = None


@dataclass
class OpenStage:
    """What a stage works with, made anew for each from the folder that it starts from."""

    name: str
    stepper: DeepSpeedStepper
    rollouts: Rollouts
    prompts: Prompts
    folder: str


@dataclass
class Worker:
    """The state of a run on one rank."""

    setup: WorkerSetup
    position: RunPosition
    files: RunFiles | None
    judge: Judge
    stage: OpenStage | None = None
    begun_s: float = field(default_factory=time.monotonic)

    @property
    def config(self) -> TrainReasonerConfig:
        return self.setup.config

    def __post_init__(self) -> None:
        self.text = load_text(start_folder(self.config), self.config)
        maker = PromptMaker(self.config.data, self.config.seed, self.text.compact)
        asked = self.config.evaluation
        self.heldout = maker.held_out(HELD_OUT_ROOMS[: asked.num_rooms], asked.words)

    def open_stage(self, name: str, folder: str, found: FoundCheckpoint | None) -> OpenStage:
        """Model, optimizer and rollouts of a stage, restored from a checkpoint if one is given."""
        config = self.config
        checkpoints.seed_everything(*stage_seed(config.seed, self.setup.rank, name))
        model = load_model(folder, revision=config.model.revision, bfloat16=config.zero.bfloat16)
        torch.manual_seed(config.seed)  # adapters are drawn alike on all ranks
        model = with_adapters(model, config.lora)
        rate = config.grpo.learning_rate if name == "grpo" else config.sft.learning_rate
        world_size = torch.distributed.get_world_size()
        stepper = DeepSpeedStepper(
            model,
            config.zero,
            replace(config.adam, learning_rate=rate),
            use_gpu=config.use_gpu,
            load_universal=bool(found and found.universal(world_size, config.zero.stage)),
        )
        if found is not None:
            self.position = checkpoints.load(stepper, found)
        trained, device = stepper.engine.module, str(stepper.device)
        self.stage = OpenStage(
            name=name,
            stepper=stepper,
            rollouts=make_rollouts(config, trained, device, folder),
            prompts=self.setup.prompts(name, self.position.next_task),
            folder=folder,
        )
        self.begun_s = time.monotonic() - self.position.seconds
        self.stage.rollouts.sync(stepper.full_weights(), self.position.weight_version)
        return self.stage

    def close_stage(self, next_stage: str) -> str:
        """Export the model, free everything, and stand at the next stage's beginning."""
        stage = self.opened
        folder = Path(self.config.output, stage.name)
        self.export(stage, folder)
        seconds = {**self.position.kept.get("seconds", {}), stage.name: self.seconds}
        kept = {**self.position.kept, "seconds": seconds}
        self.position = replace(
            self.position, stage=next_stage, step=0, next_task=0, weight_version=0, seconds=0.0,
            kept=kept,
        )  # fmt: skip
        stage.rollouts.close()
        self.stage = None
        torch.distributed.barrier()
        return str(folder)

    def export(self, stage: OpenStage, folder: Path) -> None:
        """The stage's weights as a folder that transformers loads."""
        from transformers import AutoConfig

        model_config = AutoConfig.from_pretrained(stage.folder, revision=self.config.model.revision)
        checkpoints.export(stage.stepper, model_config, folder, self.text.tokenizer)
        style = Path(stage.folder, STYLE_FILE)
        if self.setup.rank == 0 and style.is_file():
            shutil.copyfile(style, folder / STYLE_FILE)

    @property
    def opened(self) -> OpenStage:
        assert self.stage is not None, "no stage is open"
        return self.stage

    @property
    def seconds(self) -> float:
        """Of the present stage, on the slowest worker's clock; all workers ask together."""
        return self.opened.stepper.largest(time.monotonic() - self.begun_s)

    def log(self, kind: str, row: dict[str, Any]) -> None:
        if self.files is not None:
            place = {"stage": self.position.stage, "step": self.position.step}
            self.files.row(kind, {**place, "total_steps": self.position.total_steps, **row})

    def show(self, samples: list[dict[str, Any]]) -> None:
        """Keep samples of the step that is done for a reader."""
        if self.files is not None:
            self.files.samples(self.position.total_steps, samples)

    def advanced(self, next_task: int, seconds: float) -> None:
        """Count one optimiser step that is done."""
        now = self.position
        number = int(self.opened.stepper.largest(max(next_task, now.next_task)))
        self.opened.prompts.skip_to(number)
        self.position = replace(
            now, step=now.step + 1, total_steps=now.total_steps + 1, next_task=number,
            weight_version=now.weight_version + 1, seconds=seconds,
        )  # fmt: skip

    def checkpoint(self, figures: dict[str, Any]) -> None:
        """Hand a checkpoint to the launcher: every rank its own part."""
        with tempfile.TemporaryDirectory(prefix="reasoner-") as folder:
            checkpoints.save(self.opened.stepper, Path(folder), self.position)
            self.setup.report({"total_steps": self.position.total_steps, **figures}, Path(folder))
        if self.setup.rank == 0:
            write_next_task(self.config.output, self.opened.name, self.position.next_task)

    def checkpoint_if_due(self) -> None:
        if self.position.step % self.config.checkpoint_every_steps == 0:
            self.checkpoint({})

    def evaluate_if_due(self) -> float:
        """The accuracy where this step is evaluated, else below any."""
        asked = self.config.evaluation
        if not asked.every_steps or self.position.step % asked.every_steps:
            return -1.0
        self.evaluate_vsibench(asked.vsibench_questions)
        return self.evaluate()

    def evaluate(self, name: str | None = None) -> float:
        """Held-out figures of the present weights, once a step; their accuracy is kept under
        ``name``. Returns its mean.
        """
        history = list(self.position.kept.get("evaluations", []))
        place = {"stage": self.position.stage, "step": self.position.step}
        if not history or not place.items() <= history[-1].items():
            history.append({**place, **vars(self._judged(self.heldout))})
            self.keep(evaluations=history)
            self._tell_evaluation(history)
        accuracy = history[-1]["accuracy"]
        if name is not None:
            self.keep(accuracy={**self.position.kept.get("accuracy", {}), name: accuracy})
        return float(accuracy["mean"])

    def _tell_evaluation(self, history: list[dict[str, Any]]) -> None:
        """Log the last evaluation, and an alarm where the reward deceives."""
        ceiling = self.position.kept.get("red_team", {}).get("ceiling", 0.0)
        place = {"seconds": self.position.seconds, "red_team_ceiling": ceiling}
        self.log("evaluation", {**history[-1], **place})
        same = [row for row in history if row["stage"] == self.position.stage]
        told = alarm(same, self.config.evaluation.alarm_fall)
        if self.position.stage == "grpo" and told:
            self.log("alarm", {"alarm": told})
            self.keep(alarms=[*self.position.kept.get("alarms", []), told])

    @cached_property
    def _vsibench(self) -> list[PromptRow]:
        """All of VSI-Bench's questions about annotated boxes, where its files are given."""
        folder = self.config.evaluation.vsibench
        if folder is None:
            return []
        maker = PromptMaker(self.config.data, self.config.seed, self.text.compact)
        return maker.of_files(Path(folder))

    def evaluate_vsibench(self, most: int | None = None) -> None:
        """VSI-Bench with at most so many questions, evenly out of all; with all of them it is kept
        for the report.
        """
        rows = self._vsibench
        if not rows or most == 0:
            return
        every = 1 if most is None else -(-len(rows) // most)
        found = self._judged(rows[::every])
        figures = {**found.accuracy, "num": found.num}
        self.log("vsibench", {"accuracy": figures, "seconds": self.position.seconds})
        if most is None:
            self.keep(vsibench=figures)

    def _judged(self, rows: list[PromptRow]) -> Evaluation:
        """Figures of the present weights on rows, which workers share out."""
        stepper = self.opened.stepper
        mine = rows[self.setup.rank :: stepper.world_size]
        sums = evaluate(self.opened.rollouts, self.text, mine, self.judge, self.config)
        return summary(stepper.totals(sums))

    def measure_red_team(self) -> None:
        """What blind completions get, once a run."""
        if "red_team" not in self.position.kept:
            prefix = "program: " if self.text.compact else ""
            self.keep(red_team=red_team_ceiling(self.heldout, self.judge, prefix))

    def keep(self, **values: Any) -> None:
        """Add results to those kept in checkpoints."""
        self.position = replace(self.position, kept={**self.position.kept, **values})

    def write_result(self) -> None:
        if self.setup.rank == 0:
            path = Path(self.config.output, RESULT_FILE)
            write_json(path, asdict(self.position))


def stage_seed(seed: int, rank: int, stage: str) -> tuple[int, int, int]:
    """Numbers that set a stage's random numbers on a rank apart from all others."""
    return seed, rank, STAGES.index(stage)


def make_worker(setup: WorkerSetup) -> tuple[Worker, FoundCheckpoint | None]:
    """The worker at the beginning, or where a checkpoint stands."""
    config = setup.config
    found = checkpoints.find(setup.resume) if setup.resume is not None else None
    rubric = to_dict(config.rubric)
    position = found.position if found is not None else RunPosition(
        stage=config.stages[0], step=0, seed=config.seed,
        sampler={"temperature": config.grpo.temperature, "top_p": 1.0, "top_k": 0,
                 "max_new_tokens": config.grpo.max_new_tokens},
        rubric=rubric, rubric_version=config_sha256(rubric),
    )  # fmt: skip
    kept_steps = position.total_steps if found is not None else -1  # not even those before a step
    files = RunFiles(config.output, kept_steps) if setup.rank == 0 else None
    judge = Judge(config.rubric, config.evaluation.heldout_term)
    return Worker(setup, position, files, judge), found


def make_rewards(config: TrainReasonerConfig) -> Rewards:
    """Where this worker's completions are scored."""
    settings = to_dict(config.rubric)
    if config.rewards_in_process:
        return PlainRewards(config.rewards.scorer, settings)
    share = max(1, config.rewards.num_actors // config.num_workers)
    return RewardPool(replace(config.rewards, num_actors=share), settings)
