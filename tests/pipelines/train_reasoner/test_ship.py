"""Shipping a reasoner: the recipe trains, measures, and writes a folder that answers questions."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs import train_reasoner
from pipelines.train_reasoner.config import TrainReasonerConfig
from pipelines.train_reasoner.model import load_text, prepare_start
from pipelines.train_reasoner.prompts import PromptMaker
from pipelines.train_reasoner.ship import write_half
from pipelines.train_reasoner.stages import copied_words
from pipelines.training.deepspeed import MuonBesideAdamW
from spatialcode.config import load_config
from spatialcode.errors import ModelError
from spatialcode.files import read_json
from spatialcode.grpo.update import supervised_update
from spatialcode.reasoning.models.loading import ModelSpec
from spatialcode.reasoning.models.local import STYLE_FILE, HuggingFaceModel
from spatialcode.reasoning.reasoner import ProgramReasoner
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.tasks.tasks import held_out_settings, room_tasks
from spatialcode.tiny.model import load_reasoner
from tests.grpo.test_supervised import EXAMPLES
from tests.grpo.tiny_policy import policy
from tests.grpo.torch_stepper import TorchStepper

RECIPE = "configs/train_reasoner/ship.yaml"
SMALL = (
    "launcher=process", "data.stream=false", "rewards_in_process=true", "model.hidden_size=32",
    "model.num_layers=1", "model.num_heads=2", "model.num_kv_heads=1", "model.tokenizer_rooms=3",
    "model.vocabulary_size=600", "data.rooms_per_block=1", "copying.num_steps=3", "sft.num_steps=2",
    "sft.batch_size=4", "sft.copied_share=1", "grpo.max_new_tokens=5", "evaluation.num_rooms=1",
    "copying.min_longest=4", "evaluation.every_steps=0", "ship.num_rooms=1",
)  # fmt: skip


def settings_of(folder: Path, *more: str) -> TrainReasonerConfig:
    arguments = [f"output={folder}", f"ship.folder={folder / 'shipped'}", *SMALL, *more]
    return load_config(TrainReasonerConfig, RECIPE, arguments)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> TrainReasonerConfig:
    """Settings of a run whose start is made and nothing more."""
    config = settings_of(tmp_path_factory.mktemp("started"))
    prepare_start(config)
    return config


def test_the_recipe_writes_a_folder_that_holds_together_and_only_measures_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shipped"
    arguments = [f"config={RECIPE}", f"output={tmp_path / 'out'}", f"ship.folder={folder}", *SMALL]
    assert train_reasoner.main(arguments) == 0
    card = read_json(folder / "card.json")
    weights = (folder / "model.safetensors").read_bytes()
    assert card["format"] == "spatialcode-reasoner/1"
    assert card["sha256"] == hashlib.sha256(weights).hexdigest()
    assert [(stage["stage"], stage["steps"]) for stage in card["steps"]] == [
        ("copying", 3), ("sft", 2),
    ]  # fmt: skip
    assert card["optimizer"].startswith("Muon")
    assert card["trained_by"] == "supervised steps, no reward"
    settings = card["reproduce"]["settings"]
    assert settings["sft"]["repeat_weight"] == 0.3
    assert str(tmp_path) not in json.dumps(card), "no machine's path in a card that ships"
    assert set(card["metrics"]) == {"made_up_rooms", "furnished_rooms"}
    for found in card["metrics"].values():
        assert set(found) == {"standard", "heldout"}
        assert all(len(one["by_family"]) >= 9 and one["num"] > 9 for one in found.values())
    assert "heldout sentences: " in capsys.readouterr().out
    (folder / "card.json").unlink()
    assert train_reasoner.main(arguments) == 0
    again = read_json(folder / "card.json")
    assert {**again, "seconds": card["seconds"]} == card, "measured, not trained"
    assert (folder / "model.safetensors").read_bytes() == weights


def test_a_shipped_reasoner_answers_through_the_harness(
    started: TrainReasonerConfig, tmp_path: Path
) -> None:
    start = Path(started.output, "start")
    write_half(start, tmp_path)
    weights = load_reasoner(start, "cpu")[0].state_dict()
    model = HuggingFaceModel(tmp_path, ModelSpec(device="cpu", max_tokens=5))
    assert model.prompt_style == "compact"
    assert model.model.dtype == torch.float32  # stored in half precision, not computed in it
    for name, weight in model.model.state_dict().items():
        np.testing.assert_allclose(weight, weights[name].half().float())
    tasks = room_tasks(HELD_OUT_ROOMS.start, held_out_settings("standard"))[:3]
    answers = ProgramReasoner(model).answer_all([(t.question, t.code) for t in tasks])
    text = load_text(str(start), started)
    for task, given in zip(tasks, answers, strict=True):
        assert given.stage != "prompt"
        assert given.prompt is not None
        assert given.prompt.messages[0].content == task.prompt
        messages = json.dumps([{"role": "user", "content": task.prompt}])
        assert model.prompt_ids(given.prompt) == list(text.prompt_ids(messages))
    (tmp_path / STYLE_FILE).write_text('{"prompt_style": "verse"}')
    with pytest.raises(ModelError, match="verse"):
        HuggingFaceModel(tmp_path, ModelSpec(device="cpu"))


def test_the_start_follows_from_the_seed(started: TrainReasonerConfig, tmp_path: Path) -> None:
    model, tokenizer = load_reasoner(Path(started.output, "start"), "cpu")
    again, same = load_reasoner(prepare_start(settings_of(tmp_path / "same")), "cpu")
    assert same.get_vocab() == tokenizer.get_vocab()
    weights = model.state_dict()
    assert all(torch.equal(w, weights[name]) for name, w in again.state_dict().items())
    other = settings_of(tmp_path / "other", "seed=1")
    assert load_reasoner(prepare_start(other), "cpu")[1].get_vocab() != tokenizer.get_vocab()


def test_nonsense_and_furniture_reach_the_rooms() -> None:
    """Without nonsense all labels are known; floor plans are other rooms than boxes at random."""
    known = settings_of(Path("x"), "data.nonsense_share=0").data
    strange = settings_of(Path("x"), "data.nonsense_share=1").data
    prompts = [PromptMaker(data, 0, compact=True).block(0)[0].code for data in (known, strange)]
    assert prompts[0] != prompts[1]
    maker = PromptMaker(known, 0, compact=True)
    made = {row.code for row in maker.held_out(HELD_OUT_ROOMS[:1], "standard")}
    furnished = {row.code for row in maker.held_out(HELD_OUT_ROOMS[:1], "standard", furnished=True)}
    assert made.isdisjoint(furnished)


def test_words_to_copy_are_mixed_among_prompts(started: TrainReasonerConfig) -> None:
    text: Any = load_text(str(Path(started.output, "start")), started)
    drawn = copied_words(started, text.tokenizer, num_prompts=20, step=3, rank=0)
    assert len(drawn) == 20, "a share of one: as many as prompts"
    assert drawn == copied_words(started, text.tokenizer, num_prompts=20, step=3, rank=0)
    assert drawn != copied_words(started, text.tokenizer, num_prompts=20, step=4, rank=0)
    none = settings_of(Path("x"), "sft.copied_share=0")
    assert copied_words(none, text.tokenizer, num_prompts=20, step=3, rank=0) == []


def test_muon_takes_the_matrices_inside_the_layers_and_is_restored() -> None:
    adam = settings_of(Path("x"), "adam.learning_rate=2e-3").adam
    model = policy(scale=1.0)
    named = dict(model.named_parameters())
    optimizer = MuonBesideAdamW(model, adam)
    *others, muon = optimizer.param_groups
    inside = {id(p) for name, p in named.items() if ".layers." in name and p.ndim == 2}
    assert {id(p) for p in muon["params"]} == inside
    assert {id(p) for group in others for p in group["params"]} == (
        {id(p) for p in named.values()} - inside
    )
    assert muon["lr"] == pytest.approx(2.5 * others[0]["lr"])
    before = {name: p.detach().clone() for name, p in named.items()}
    stepper = TorchStepper(model, optimizer)
    losses = [supervised_update(stepper, EXAMPLES, 4096).loss for _ in range(4)]
    assert losses[-1] < losses[0]
    assert not [name for name, p in named.items() if torch.equal(p, before[name])]
    again = policy(scale=1.0)
    again.load_state_dict(model.state_dict())
    other = MuonBesideAdamW(again, adam)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, made in ((model, optimizer), (again, other)):
        supervised_update(TorchStepper(one, made), EXAMPLES, 4096)
    for name, weight in again.state_dict().items():
        torch.testing.assert_close(weight, model.state_dict()[name])
