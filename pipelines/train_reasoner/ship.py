"""The folder of a reasoner that ships: weights in half precision, tokenizer, and a card.

A run that is done and started again only measures and writes the folder again.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipelines.train_reasoner.config import TrainReasonerConfig
from pipelines.train_reasoner.evaluation import (
    Evaluation,
    Judge,
    evaluate,
    judged,
    summary,
)
from pipelines.train_reasoner.model import ReasonerText
from pipelines.train_reasoner.prompts import PromptMaker, PromptRow
from pipelines.train_reasoner.rollouts.rollouts import TrainerRollouts
from pipelines.training.rows import METRICS_FILE, read_rows
from spatialcode.config import to_dict
from spatialcode.files import read_json, write_json
from spatialcode.grpo.engine import HFEngine
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.tiny.model import load_reasoner, save_reasoner

FORMAT = "spatialcode-reasoner/1"
CARD_FILE = "card.json"
_WEIGHTS_FILE = "model.safetensors"
#: Rooms that are measured for the card; neither training nor its evaluations see them.
_CARD_ROOMS = HELD_OUT_ROOMS[2000:]


def ship(config: TrainReasonerConfig, report: Mapping[str, Any]) -> dict[str, Any]:
    """Write the folder that ``ship.folder`` names, from a run's ``report``; returns its card."""
    assert config.ship.folder is not None
    folder = Path(config.ship.folder)
    write_half(Path(report["model"]), folder)
    metrics = measure(config, folder)
    card = {**_identity(folder), **card_of(config, report), "metrics": metrics}
    write_json(folder / CARD_FILE, card)
    return card


def write_half(source: Path, folder: Path) -> None:
    """The model of a folder in half precision, with its tokenizer.

    The configuration says float32, so that whoever loads them still computes in float32.
    """
    model, tokenizer = load_reasoner(source, "cpu")
    save_reasoner(model.half(), tokenizer, folder)
    path = folder / "config.json"
    settings = read_json(path)
    settings.pop("torch_dtype", None)
    settings["dtype"] = "float32"
    write_json(path, settings)


def measure(config: TrainReasonerConfig, folder: Path) -> dict[str, Any]:
    """Greedy accuracies of a folder's reasoner on rooms never trained on, in standard and in
    held-out sentences; and on VSI-Bench, where its files are given, beside those of the usual
    programs, which is what perfect reading gives.
    """
    model, tokenizer = load_reasoner(folder, "cuda" if config.use_gpu else "cpu")
    max_rows = config.rollouts.max_rows
    rollouts = TrainerRollouts(HFEngine(model, max_rows=max_rows), max_rows)
    text = ReasonerText(tokenizer, compact=True, mode=config.data.mode)
    judge = Judge(config.rubric, config.evaluation.heldout_term)
    maker = PromptMaker(config.data, config.seed, compact=True)

    def found(rows: list[PromptRow]) -> dict[str, Any]:
        return _percent(summary(evaluate(rollouts, text, rows, judge, config)))

    rooms = _CARD_ROOMS[: config.ship.num_rooms]
    metrics: dict[str, Any] = {
        name: {words: found(maker.held_out(rooms, words, furnished=furnished))
               for words in ("standard", "heldout")}
        for name, furnished in (("made_up_rooms", False), ("furnished_rooms", True))
    }  # fmt: skip
    if config.evaluation.vsibench is not None:
        files = {"annotated_boxes": "scenes.jsonl", "predicted_boxes": "predicted_boxes.jsonl"}
        for name, boxes in files.items():
            rows = maker.of_files(Path(config.evaluation.vsibench), boxes)
            usual = summary(judged(rows, [f"program: {row.target}" for row in rows], judge))
            metrics[f"vsibench_{name}"] = {
                "reasoner": found(rows), "usual_programs": _percent(usual),
            }  # fmt: skip
    return metrics


def card_of(config: TrainReasonerConfig, report: Mapping[str, Any]) -> dict[str, Any]:
    """What the card says of how the reasoner was trained."""
    data, stages = config.data, [name for name in config.stages if name != "control"]
    nonsense = round(100 * data.nonsense_share)
    rewarded = "grpo" in stages
    muon = "Muon for the matrices of the layers, AdamW for the rest"
    return {
        "what": "Qwen3 architecture, from random weights; reads the compact prompt (names and "
        "question), writes programs",
        "data": {
            "rooms": f"made up (spatialcode.tasks.rooms.made_up_room), from number "
            f"{data.first_room} on; {nonsense} % of labels are nonsense words, the others things "
            "of homes",
            "questions": "by spatialcode.reasoning.generate, with referring expressions and ids; "
            + ("in VSI-Bench's own sentences" if config.sft.standard_sentences
               else "in standard and train sentences, and in those of spatialcode.tasks.tasks"),
            "targets": "usual programs (spatialcode.tasks.tasks.target_program)",
            "left_out": "held-out sentences of spatialcode.reasoning.families; rooms from "
            f"{HELD_OUT_ROOMS.start} on; all of VSI-Bench",
        },
        "steps": [_last_step(config, name) for name in stages],
        "optimizer": muon if config.adam.muon else "AdamW",
        "trained_by": "supervised steps, then GRPO" if rewarded else "supervised steps, no reward",
        "seconds": round(report["seconds"]),
        "hardware": torch.cuda.get_device_name() if config.use_gpu else platform.machine(),
        "metrics_are": "percent; numbers by mean relative accuracy, choices by exact letter; mean "
        f"over families. Rooms from {_CARD_ROOMS.start} on",
        "reproduce": {"command": "python -m jobs.train_reasoner", "settings": _settings(config)},
        "licence": "Apache-2.0",
    }  # fmt: skip


def _identity(folder: Path) -> dict[str, Any]:
    """Format, sizes and checksum of what the folder holds."""
    model, tokenizer = load_reasoner(folder, "cpu")
    return {
        "format": FORMAT,
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "sha256": hashlib.sha256((folder / _WEIGHTS_FILE).read_bytes()).hexdigest(),
    }


def _last_step(config: TrainReasonerConfig, stage: str) -> dict[str, Any]:
    rows = read_rows(Path(config.output, METRICS_FILE))
    last = [row for row in rows if row["kind"] == "train" and row["stage"] == stage][-1]
    return {"stage": stage, "steps": last["step"], "loss": last["loss"],
            "seconds": last["seconds"]}  # fmt: skip


def _settings(config: TrainReasonerConfig) -> dict[str, Any]:
    """The run's settings, without the paths of the machine that it ran on."""
    found = to_dict(config)
    found["output"] = found["ship"]["folder"] = ""
    found["evaluation"]["vsibench"] = None
    return found


def _percent(found: Evaluation) -> dict[str, Any]:
    by_family = {name: round(value, 1) for name, value in found.accuracy.items()}
    return {"mean": by_family.pop("mean"), "num": found.num, "by_family": by_family}
