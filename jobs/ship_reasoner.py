"""Trains the bundled tiny reasoner anew, on plain torch, and writes its folder with the card.

Copying, then programs for made-up rooms' questions, then accuracy on held-out rooms and, where its
files are given, on VSI-Bench. No reward is used, and neither Ray nor DeepSpeed. A folder that holds
a reasoner is only measured again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from jobs.cli import EventLog, run_job
from spatialcode.config import require, setting, to_dict

if TYPE_CHECKING:
    from spatialcode.plain_recipe.recipe import Recipe
    from spatialcode.tasks.tasks import Task


@dataclass(frozen=True)
class ShipReasonerConfig:
    """All settings of ``python -m jobs.ship_reasoner``."""

    output: str = setting("folder for weights, tokenizer and card")
    device: Literal["cpu", "cuda"] = setting("where it is trained", "cpu")
    num_processes: int = setting("processes that make examples", 2)
    seed: int = setting("decides weights and examples", 0)
    hidden_size: int = setting("width", 192)
    num_layers: int = setting("blocks", 4)
    num_heads: int = setting("attention heads", 4)
    num_kv_heads: int = setting("key and value heads", 2)
    num_taught: int = setting("different examples", 150_000)
    num_steps: int = setting("optimiser steps on programs", 5000)
    max_seconds: float = setting("seconds after which those steps end; 0: never", 0.0)
    batch_tokens: int = setting("tokens of a step at most", 2560)
    learning_rate: float = setting("peak learning rate", 2e-3)
    num_rooms: int = setting("held-out rooms that accuracy is measured on", 20)
    vsibench: str | None = setting("folder of the VSI-Bench files", None)

    def __post_init__(self) -> None:
        for key in ("num_processes", "num_taught", "num_steps", "num_rooms"):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))


SCHEMA = ShipReasonerConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; the exit code is 0 only if the folder was written."""
    return run_job("ship_reasoner", SCHEMA, _work, argv, __doc__ or "")


def _work(config: ShipReasonerConfig, log: EventLog) -> bool:
    import json
    from pathlib import Path

    from spatialcode.plain_recipe.recipe import Reasoner
    from spatialcode.plain_recipe.shipping import (
        CARD_FILE,
        card_of,
        measure,
        ship,
        train,
        write_card,
    )
    from spatialcode.tiny.model import load_reasoner

    folder = Path(config.output)
    if not (folder / CARD_FILE).is_file():
        recipe = _recipe(config)
        trained = train(recipe, config.device, config.num_processes, log.event)
        settings = {**to_dict(config), "output": "", "vsibench": None}
        ship(*trained.pair, folder, card_of(trained, recipe, settings))
    reasoner = Reasoner(*load_reasoner(folder, config.device))
    card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    card["metrics"] = measure(reasoner, config.num_rooms, _vsibench(config.vsibench))
    write_card(folder, card)
    for words, found in card["metrics"]["made_up_rooms"].items():
        print(f"held-out rooms, {words} sentences: {found['mean']}")
    print(f"{card['num_parameters']} weights, trained in {card['seconds']} s: {folder}")
    return True


def _recipe(config: ShipReasonerConfig) -> Recipe:
    """The thorough recipe with this job's sizes."""
    from spatialcode.plain_recipe.recipe import thorough
    from spatialcode.tiny.model import TinyShape

    recipe = thorough()
    teaching = replace(
        recipe.teaching, steps=config.num_steps, max_seconds=config.max_seconds,
        batch_tokens=config.batch_tokens, learning_rate=config.learning_rate,
    )  # fmt: skip
    shape = TinyShape.of_width(
        config.hidden_size, config.num_layers, config.num_heads, config.num_kv_heads
    )
    return replace(
        recipe, seed=config.seed, shape=shape, num_taught=config.num_taught, teaching=teaching
    )


def _vsibench(folder: str | None) -> dict[str, list[Task]]:
    """The benchmark's questions about annotated and about predicted boxes."""
    from pathlib import Path

    from pipelines.stored.questions import read_questions
    from pipelines.stored.reading import read_codes
    from spatialcode.tasks.tasks import tasks_of

    if folder is None:
        return {}
    items = read_questions(Path(folder, "questions.jsonl"))
    files = {"annotated_boxes": "scenes.jsonl", "predicted_boxes": "predicted_boxes.jsonl"}
    return {
        f"vsibench_{name}": tasks_of(items, read_codes(Path(folder, file)))
        for name, file in files.items()
    }


if __name__ == "__main__":
    sys.exit(main())
