"""The reasoner that ships: trained by `recipe.thorough`, measured, written with its card."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatialcode.grpo.engine import HFEngine
from spatialcode.plain_recipe.heldout import greedy_accuracy, row_of, summarise
from spatialcode.plain_recipe.recipe import (
    Reasoner,
    Recipe,
    copy_stage,
    start,
    tasks_from,
    teaching_stage,
)
from spatialcode.plain_recipe.sft import SftStep
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.tasks.tasks import Task, held_out_settings
from spatialcode.tiny.model import save_reasoner

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FORMAT = "spatialcode-reasoner/1"
CARD_FILE = "card.json"
_WEIGHTS_FILE = "model.safetensors"
#: Rooms from here on are measured for the card; neither training nor its evaluations see them.
_CARD_ROOM = HELD_OUT_ROOMS.start + 2000
_LOGGED_EVERY = 50
#: Told of what happens: a name and figures.
Log = Callable[..., None]


@dataclass(frozen=True)
class Trained:
    """A reasoner, and for its card what was done to it."""

    reasoner: Reasoner
    steps: tuple[Mapping[str, Any], ...]
    seconds: float
    hardware: str

    @property
    def pair(self) -> tuple[Any, PreTrainedTokenizerFast]:
        """Model and tokenizer."""
        return self.reasoner.model, self.reasoner.tokenizer


def train(recipe: Recipe, device: str, num_processes: int, log: Log) -> Trained:
    """Copying, then programs, in float32 (matrix products on GPUs in TF32)."""
    import torch

    torch.set_float32_matmul_precision("high")
    began = time.perf_counter()
    reasoner = start(recipe)
    reasoner.model.to(device)
    stages = (
        ("copying, short runs first (spatialcode.tiny.copying)", copy_stage(reasoner, recipe)),
        ("programs", teaching_stage(reasoner, recipe, num_processes)),
    )
    done = [_stage_row(name, stage, log) for name, stage in stages]
    hardware = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    return Trained(reasoner, tuple(done), time.perf_counter() - began, hardware or device)


def _stage_row(name: str, stage: Iterator[SftStep], log: Log) -> dict[str, Any]:
    last = None
    for last in stage:
        if last.step % _LOGGED_EVERY == 0:
            log("step", stage=name, **vars(last))
    assert last is not None
    return {"stage": name, "steps": last.step + 1, "loss": last.loss, "seconds": last.seconds}


def measure(
    reasoner: Reasoner, num_rooms: int, files: Mapping[str, Sequence[Task]]
) -> dict[str, Any]:
    """Greedy accuracies on rooms never trained on, in standard and in held-out sentences; and on
    sets of tasks by name, beside that of usual programs, which is what perfect reading gives.
    """

    def found(tasks: Sequence[Task]) -> dict[str, Any]:
        engine = HFEngine(reasoner.model)
        return row_of(greedy_accuracy(engine, reasoner.tokenizer, tasks))

    metrics: dict[str, Any] = {}
    for name, furnished in (("made_up_rooms", False), ("furnished_rooms", True)):
        metrics[name] = {}
        for words in ("standard", "heldout"):
            settings = held_out_settings(words)
            settings = replace(settings, first_room=_CARD_ROOM, furnished=furnished)
            metrics[name][words] = found(list(tasks_from(settings, num_rooms)))
    for name, tasks in files.items():
        usual = row_of(summarise(tasks, [task.program for task in tasks]))
        metrics[name] = {"reasoner": found(tasks), "usual_programs": usual}
    return metrics


def card_of(trained: Trained, recipe: Recipe, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the card says of training. ``settings``: of the job that makes all of it again."""
    narrow = recipe.narrow
    nonsense = round(100 * narrow.room.nonsense_share)
    reworded = round(100 * narrow.wording_share)
    return {
        "what": "Qwen3 architecture, from random weights; reads the compact prompt (names and "
        "question), writes programs",
        "data": {
            "rooms": f"made up (spatialcode.tasks.rooms.made_up_room), from number "
            f"{narrow.first_room} on; {nonsense} % of labels are nonsense words, the others "
            "things of homes",
            "questions": f"{recipe.num_taught}, by spatialcode.reasoning.generate; {reworded} % "
            "put into sentences of spatialcode.tasks.wordings, the others half in standard, half "
            "in train sentences; a third with referring expressions and ids",
            "targets": "usual programs (spatialcode.tasks.tasks.target_program)",
            "left_out": "held-out sentences of spatialcode.questions.phrasing; rooms from "
            f"{HELD_OUT_ROOMS.start} on; all of VSI-Bench",
        },
        "steps": list(trained.steps),
        "optimizer": "Muon for the matrices of the layers, AdamW for the rest",
        "trained_by": "supervised steps alone, no reward",
        "seconds": round(trained.seconds),
        "hardware": trained.hardware,
        "metrics_are": "percent; numbers by mean relative accuracy, choices by exact letter; mean "
        f"over families. Rooms from {_CARD_ROOM} on",
        "reproduce": {"command": "python -m jobs.ship_reasoner", "settings": dict(settings)},
        "licence": "Apache-2.0",
    }


def ship(
    model: Any, tokenizer: PreTrainedTokenizerFast, folder: str | Path, card: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the folder; what ``card`` says is joined by sizes and the weights' checksum. Returns
    the whole card.

    Weights are stored in half precision and computed with in float32: the configuration says so.
    The model itself is left in half precision.
    """
    folder = Path(folder)
    save_reasoner(model.half(), tokenizer, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    full = {
        "format": FORMAT,
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "sha256": hashlib.sha256((folder / _WEIGHTS_FILE).read_bytes()).hexdigest(),
        **card,
    }
    write_card(folder, full)
    return full


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Put the card into the folder, in place of one that is there."""
    text = json.dumps(card, indent=2, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")
