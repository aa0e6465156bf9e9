"""The stages of a reasoner's training in their order, and the gates between them, on one worker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.train_reasoner.config import STAGES, TrainReasonerConfig
from pipelines.train_reasoner.grpo import train_grpo
from pipelines.train_reasoner.model import start_folder
from pipelines.train_reasoner.supervised import copying_progress, train_copying, train_sft
from pipelines.train_reasoner.worker import Setting, Worker, make_worker
from spatialcode.errors import ParityError

_TRAINED_BY = {
    "copying": train_copying,
    "sft": train_sft,
    "grpo": train_grpo,
    "control": train_sft,
}


def run(setting: Setting) -> None:
    """Go through all stages, from a checkpoint if there is one, and write the result."""
    worker, found = make_worker(setting)
    names, folders = setting.config.stages, start_folders(setting.config)
    if found is not None:
        worker.log("resume", {"written_by": found.world_size})
    if worker.position.stage != "done":
        for place, name in enumerate(names):
            if place < names.index(worker.position.stage):
                continue
            worker.open_stage(name, folders[name], found)
            found = None
            _begin(worker)
            failed = _stage(worker)
            if failed is not None:
                worker.keep(failed=f"{name}: {failed}")
                break
            worker.close_stage(names[place + 1] if place + 1 < len(names) else "done")
    worker.write_result()
    if worker.files is not None:
        worker.files.close()


def start_folders(config: TrainReasonerConfig) -> dict[str, str]:
    """The weights that each stage starts from: those of the one before; GRPO's for the control."""
    folders, last = {}, start_folder(config)
    for name in config.stages:
        folders[name] = folders["grpo"] if name == "control" else last
        last = str(Path(config.output, name))
    return folders


def _stage(worker: Worker) -> str | None:
    """Train a stage to its end, unless a checkpoint says that it was; why it must not go on."""
    name = worker.opened.name
    if name not in worker.position.kept["accuracy"]:
        try:
            _TRAINED_BY[name](worker)
        except ParityError as error:
            return str(error)
        if name != "copying":  # words are no answers yet
            worker.evaluate(name)
        if name == max(set(worker.config.stages) - {"control"}, key=STAGES.index):
            worker.evaluate_vsibench()
        worker.checkpoint({})
    return None if worker.config.dry_run else missed_gate(worker.config, name, worker.position.kept)


def _begin(worker: Worker) -> None:
    """Before a run's first step: how good the start is, and what cheats would get."""
    worker.measure_red_team()
    if "start" not in worker.position.kept.get("accuracy", {}):
        worker.evaluate("start")


def missed_gate(config: TrainReasonerConfig, name: str, kept: Mapping[str, Any]) -> str | None:
    """What is wrong where a stage ended below what it must reach; ``kept``: results so far."""
    if name == "copying":
        need, reached = config.copying.min_longest, copying_progress(config, kept).longest
        return None if reached >= need else f"expected runs of {need} words, got to {reached}"
    found = kept["accuracy"]
    needs: list[tuple[str, float]] = []
    if name == "sft":
        needs = [("mean", config.sft.min_accuracy)]
    elif name == "grpo":
        before = found.get("sft", found["start"])
        gains = (("mean", config.grpo.min_gain),
                 (config.grpo.named_family, config.grpo.min_family_gain))  # fmt: skip
        needs = [(key, before[key] + gain) for key, gain in gains if key and gain > 0]
    for key, need in needs:
        if found[name][key] < need:
            what = "held-out accuracy" + ("" if key == "mean" else f" in {key}")
            return f"expected a {what} of at least {need:.1f}, got {found[name][key]:.1f}"
    return None
