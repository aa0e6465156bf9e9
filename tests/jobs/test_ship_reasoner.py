"""The job that makes the bundled reasoner, at a size of seconds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from jobs import ship_reasoner
from jobs.ship_reasoner import ShipReasonerConfig, _recipe
from spatialcode.plain_recipe.recipe import Recipe

SMALL = ("hidden_size=32", "num_layers=1", "num_heads=2", "num_kv_heads=1", "num_taught=60",
         "num_steps=2", "batch_tokens=800", "num_rooms=1", "num_processes=1")  # fmt: skip


def test_it_writes_a_folder_that_holds_together_and_only_measures_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship_reasoner, "_recipe", few_copying_steps)
    arguments = [f"output={tmp_path / 'tiny'}", *SMALL]
    assert ship_reasoner.main(arguments) == 0
    folder = tmp_path / "tiny"
    card = json.loads((folder / "card.json").read_text())
    weights = (folder / "model.safetensors").read_bytes()
    assert card["sha256"] == hashlib.sha256(weights).hexdigest()
    assert [stage["steps"] for stage in card["steps"]] == [3, 2]
    settings = card["reproduce"]["settings"]
    assert settings["num_taught"] == 60
    assert settings["output"] == "", "no machine's path in a card that ships"
    assert set(card["metrics"]) == {"made_up_rooms", "furnished_rooms"}
    (folder / "card.json").write_text(json.dumps({**card, "metrics": {}}))
    assert ship_reasoner.main([*arguments, "num_steps=9"]) == 0
    again = json.loads((folder / "card.json").read_text())
    assert again == card, "measured, not trained"
    assert (folder / "model.safetensors").read_bytes() == weights
    assert "held-out rooms, heldout sentences: " in capsys.readouterr().out


def few_copying_steps(config: ShipReasonerConfig) -> Recipe:
    """The job's recipe with three steps of copying in place of a thousand."""
    recipe = _recipe(config)
    return replace(recipe, copy_steps=replace(recipe.copy_steps, steps=3))


def test_settings_reach_the_recipe() -> None:
    config = ShipReasonerConfig(output="x", hidden_size=256, num_layers=6, num_steps=7, seed=3)
    recipe = _recipe(config)
    assert (recipe.seed, recipe.teaching.steps, recipe.num_taught) == (3, 7, 150_000)
    assert (recipe.shape.hidden, recipe.shape.layers, recipe.shape.intermediate) == (256, 6, 704)
    assert recipe.narrow.wording_share > 0, "taught on many sentences"
