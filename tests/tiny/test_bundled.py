"""The bundled tiny reasoner: it is what its card says, and answers through the harness."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from pipelines.evaluate.answering import load_reasoner, model_of
from pipelines.evaluate.config import EvaluateConfig
from pipelines.train_reasoner.ship import CARD_FILE, FORMAT
from spatialcode.errors import ConfigError
from spatialcode.reasoning.models.loading import BUNDLED_REASONER, ModelSpec, load_model
from spatialcode.reasoning.reasoner import ProgramReasoner
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.tasks.tasks import held_out_settings, room_tasks
from tests.tasks.scores import score_of

CARD = json.loads((BUNDLED_REASONER / CARD_FILE).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model():
    return load_model(ModelSpec(model=str(BUNDLED_REASONER), device="cpu", max_tokens=96))


def test_card_and_weights_belong_together(model):
    weights = BUNDLED_REASONER / "model.safetensors"
    assert CARD["format"] == FORMAT
    assert CARD["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert CARD["num_parameters"] == sum(p.numel() for p in model.model.parameters()) < 15e6
    assert CARD["vocabulary"] == len(model.tokenizer)
    assert {"data", "steps", "metrics", "reproduce"} <= set(CARD)


@pytest.mark.parametrize("words", ["standard", "heldout"])
def test_it_is_as_good_as_its_card_says(model, words):
    """Over other rooms than the card's; by chance a few points less."""
    rooms = HELD_OUT_ROOMS[5000:5004]
    tasks = [t for room in rooms for t in room_tasks(room, held_out_settings(words))]
    answers = ProgramReasoner(model).answer_all([(task.question, task.code) for task in tasks])
    scores = [
        score_of(task, given.evidence) if given.evidence is not None else 0.0
        for task, given in zip(tasks, answers, strict=True)
    ]
    claimed = CARD["metrics"]["made_up_rooms"][words]["mean"]
    assert 100 * sum(scores) / len(scores) >= claimed - 12


def test_it_writes_the_programs_of_those_who_name_no_model(tmp_path):
    config = EvaluateConfig(
        report=str(tmp_path), benchmark="vsibench", questions="q", boxes="b", reasoner="program"
    )
    spec = model_of(config)
    assert spec.model == str(BUNDLED_REASONER)
    assert load_reasoner(config).reasoner.settings.style == "compact"
    named = replace(config, model=ModelSpec(model="elsewhere"))
    assert model_of(named) == named.model
    with pytest.raises(ConfigError, match=r"model\.model"):
        replace(config, reasoner="text")
    with pytest.raises(ConfigError, match=r"model\.model"):
        replace(config, model=ModelSpec(base_url="http://localhost:1/v1"))
