"""Launching the reasoner's training: on Ray Train, or in this process; and its report.

Both hand `stages.run` prompts and take its checkpoints. The output folder is the state of
a run: started again with the same command, it goes on from its last checkpoint.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cluster.connect import connect
from pipelines.train_reasoner.config import TrainReasonerConfig, dry_run
from pipelines.train_reasoner.model import is_compact, prepare_start
from pipelines.train_reasoner.prompts import (
    BLOCK_NUMBERS,
    LocalPrompts,
    PromptMaker,
    Prompts,
    StreamedPrompts,
    next_task,
    prompt_rows,
)
from pipelines.train_reasoner.worker import RESULT_FILE, WorkerSetup
from pipelines.training.rows import METRICS_FILE, read_rows
from pipelines.training.workers import train_on_workers
from spatialcode.config import to_dict
from spatialcode.files import read_json, write_json

CHECKPOINTS = "checkpoints"
#: Prompts that a block of made-up rooms surely has, a room.
_PROMPTS_PER_ROOM = 10
#: GRPO's rooms are counted from here, so that it meets none that were taught.
GRPO_ROOM = 100_000_000
Row = dict[str, Any]


def train(config: TrainReasonerConfig, on_rows: Callable[[list[Row]], None] | None = None) -> Row:
    """Run all stages, or go on with them; returns the report, which is also written.

    ``on_rows`` is called about once a second with all lines of metrics so far.
    """
    asked = config
    config = dry_run(config, has_gpu=_has_gpu()) if config.dry_run else config
    Path(config.output).mkdir(parents=True, exist_ok=True)
    prepare_start(config)
    done = threading.Event()
    if on_rows is not None:
        threading.Thread(target=_watch, args=(config, on_rows, done), daemon=True).start()
    try:
        (_train_on_ray if config.launcher == "ray" else _train_in_process)(config)
    finally:
        done.set()
    notes = []
    if asked.rollouts.engine != config.rollouts.engine:
        notes.append(
            f"dry run: rollouts.engine={config.rollouts.engine} wrote with the random tiny "
            f"weights, in place of {asked.rollouts.engine}"
        )
    report = write_report(config, notes)
    if config.ship.folder is not None and report["done"]:
        from pipelines.train_reasoner.ship import ship

        report["shipped"] = ship(config, report)["metrics"]
    return report


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def prompt_maker(config: TrainReasonerConfig, stage: str) -> PromptMaker:
    """What makes a stage's prompts: GRPO meets other rooms than supervised training."""
    compact = is_compact(config)
    if stage == "grpo":
        return PromptMaker(config.data, config.seed, compact, first_room=GRPO_ROOM)
    standard = config.sft.standard_sentences
    return PromptMaker(config.data, config.seed, compact, standard=standard)


def _train_in_process(config: TrainReasonerConfig) -> None:
    """A process group of one, in this process; checkpoints in ``checkpoints/last``."""
    import torch

    from pipelines.train_reasoner.stages import run

    torch.set_num_threads(config.num_threads)
    last = Path(config.output, CHECKPOINTS, "last")
    if not torch.distributed.is_initialized():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        torch.distributed.init_process_group(
            "nccl" if config.use_gpu else "gloo", f"tcp://127.0.0.1:{port}", rank=0, world_size=1
        )

    def report(_: Row, folder: Path) -> None:
        """The new checkpoint takes the old one's place; at every moment one of them is whole."""
        arriving = last.with_name("arriving")
        shutil.rmtree(arriving, ignore_errors=True)
        shutil.copytree(folder, arriving)
        before = last.with_name("before")
        shutil.rmtree(before, ignore_errors=True)
        if last.is_dir():
            last.replace(before)
        arriving.replace(last)

    def prompts(stage: str, start: int) -> Prompts:
        return LocalPrompts(prompt_maker(config, stage), start, 0, 1)

    found = [path for path in (last, last.with_name("before")) if path.is_dir()]
    run(WorkerSetup(config, 0, prompts, report, found[0] if found else None))


def _train_on_ray(config: TrainReasonerConfig) -> None:
    """Workers, checkpoints and restarts by Ray Train; a run of the same output goes on."""
    cores = config.num_workers * config.num_threads + config.data.num_tasks * config.data.stream
    if not config.rewards_in_process:
        cores += max(config.num_workers, config.rewards.num_actors)
    cores += int(config.rollouts.num_actors * config.rollouts.num_cpus)
    connect(config.ray_address, cores)
    datasets = {
        name: _stream(config, name)
        for name in config.stages
        if config.data.stream and name != "copying"
    }
    train_on_workers(_train_worker, config, datasets, num_checkpoints=2)


def _stream(config: TrainReasonerConfig, name: str) -> Any:
    """A stage's prompts by Ray Data tasks, from where it stands: as many as it can need."""
    import ray

    drawn = config.sft.num_steps * config.sft.batch_size
    if name != "sft":  # the control takes GRPO's time, whose steps are slower
        per_step = config.grpo.prompts_per_step * (1 + config.grpo.max_refills)
        drawn = config.grpo.num_steps * max(per_step, 10 * config.sft.batch_size)
    num_blocks = 2 + drawn // (_PROMPTS_PER_ROOM * config.data.rooms_per_block)
    output = str(Path(config.output).resolve())
    first = next_task(output, name) // BLOCK_NUMBERS
    stage: Any = prompt_rows
    return ray.data.range(num_blocks).map_batches(
        stage,
        fn_kwargs={"maker": prompt_maker(config, name), "output": output, "stage": name,
                   "first_block": first},
        batch_size=1,
        num_cpus=1,  # a room's geometry is one thread of numpy
        compute=ray.data.TaskPoolStrategy(config.data.num_tasks),
    )  # fmt: skip


def _train_worker(values: dict[str, Any]) -> None:
    """One Ray Train worker."""
    import ray.train
    import torch
    from ray.train import Checkpoint

    from pipelines.train_reasoner.stages import run

    config: TrainReasonerConfig = values["config"]
    torch.set_num_threads(config.num_threads)
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()

    def report(figures: Row, folder: Path) -> None:
        ray.train.report(figures, checkpoint=Checkpoint.from_directory(str(folder)))

    def prompts(stage: str, start: int) -> Prompts:
        if config.data.stream and stage != "copying":
            return StreamedPrompts(ray.train.get_dataset_shard(stage), start)
        return LocalPrompts(prompt_maker(config, stage), start, rank, world_size)

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        run(WorkerSetup(config, rank, prompts, report))
        return
    with checkpoint.as_directory() as folder:
        run(WorkerSetup(config, rank, prompts, report, Path(folder)))


def write_report(config: TrainReasonerConfig, notes: Sequence[str] = ()) -> Row:
    """``report.json`` from what the workers left, and notes for a reader."""
    output = Path(config.output)
    result = read_json(output / RESULT_FILE)
    kept = result["kept"]
    seconds = kept.get("seconds", {})
    last = next((name for name in ("grpo", "sft") if name in seconds), None)
    report = {
        "done": result["stage"] == "done" and "failed" not in kept,
        "failed": kept.get("failed"),
        "seconds": round(sum(s for name, s in seconds.items() if name != "control"), 1),
        "seconds_by_stage": {name: round(s, 1) for name, s in seconds.items()},
        "copying": kept.get("copying"),
        "heldout_accuracy": kept.get("accuracy", {}),
        "red_team": kept.get("red_team", {}),
        "vsibench": kept.get("vsibench"),
        "alarms": kept.get("alarms", []),
        "notes": list(notes),
        "steps": result["total_steps"],
        "rubric_version": result["rubric_version"],
        "model": str(output / last) if last else None,
        "settings": to_dict(config),
    }
    write_json(output / "report.json", report, default=str)
    return report


def _watch(
    config: TrainReasonerConfig, on_rows: Callable[[list[Row]], None], done: threading.Event
) -> None:
    path = Path(config.output, METRICS_FILE)
    seen = -1
    while not done.wait(1.0):
        size = path.stat().st_size if path.is_file() else 0
        if size != seen:
            seen = size
            on_rows(read_rows(path))
