"""A rubric term that is defined here alone: weighted from YAML, paid, and shown in the metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.cli import run_job
from pipelines.train_reasoner.config import TrainReasonerConfig
from pipelines.train_reasoner.evaluation import Judge
from pipelines.train_reasoner.metrics import figures_of, sums_of
from pipelines.train_reasoner.prompts import PromptRow
from pipelines.train_reasoner.rewards.scorers import RubricScorer
from pipelines.train_reasoner.step import Harvest, ScoredGroup
from spatialcode.config import to_dict
from spatialcode.grpo.types import Sample
from spatialcode.questions.types import QuestionItem
from spatialcode.reasoning.rubric.reading import ReadCompletion
from spatialcode.reasoning.rubric.scoring import RubricConfig, score
from spatialcode.reasoning.rubric.terms import TERMS, TermValue, term, unregister
from spatialcode.scene.text import to_json
from tests.reasoning.red_team import CODE, DIRECTION, DIRECTION_TEXT

ITEM = QuestionItem(
    id="room:0", scene="room", question_type="object_counting", options=(), ground_truth="2",
    question="How many chair(s) are in this room?", dataset="test",
)  # fmt: skip
CALM, LOUD = "count(chair) = 2 [chair_1, chair_2]\nAnswer: 2", "!!\nAnswer: 2"


def calm(read: ReadCompletion) -> TermValue | None:
    """Calm writing.

    1 where there is no exclamation mark; of answered questions.
    """
    if read.given.value is None:
        return None
    shouts = "!" in read.completion
    return TermValue(0.0, "it shouts") if shouts else TermValue(1.0)


@pytest.fixture(autouse=True)
def registered():
    term(weight=0.0, process=False)(calm)
    yield
    unregister("calm")


def loaded(folder: Path, text: str) -> TrainReasonerConfig:
    """Settings as `jobs.train_reasoner` loads them from a YAML file."""
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    found = []
    argv = [f"config={path}", f"output={folder}"]
    exit_code = run_job(
        "train_reasoner", TrainReasonerConfig, lambda c, _: not found.append(c), "", argv
    )
    assert exit_code == 0
    return found[0]


def test_it_is_weighted_from_yaml_and_changes_the_total(tmp_path, capsys):
    config = loaded(tmp_path, "rubric:\n  weight_calm: 0.5\n  weight_brevity: 0.2\n").rubric
    assert config.weights() == RubricConfig().weights() | {"calm": 0.5, "brevity": 0.2}
    quiet = score(DIRECTION, CODE, DIRECTION_TEXT, "A", config)
    loud = score(DIRECTION, CODE, f"!\n{DIRECTION_TEXT}", "A", config)
    assert (quiet.total, quiet.terms["calm"]) == (1.0, 1.0)
    # all terms but smooth apply: 0.95 of the built-in weights, 0.1 more for brevity, and its own
    assert loud.total == pytest.approx(1.0 - 0.5 / (0.95 + 0.1 + 0.5))
    assert loud.reasons == {"calm": "it shouts"}
    assert score(DIRECTION, CODE, f"!\n{DIRECTION_TEXT}", "A").total == 1.0, "no weight, no pay"
    assert run_job("train_reasoner", TrainReasonerConfig, lambda *_: True, "", ["--help"]) == 0
    assert "rubric.weight_calm=0.0" in capsys.readouterr().out


def test_it_shows_in_the_metrics_of_training(tmp_path):
    config = loaded(tmp_path, "rubric:\n  weight_calm: 0.5\n")
    scorer = RubricScorer.load(to_dict(config.rubric))
    scored = [scorer.score(ITEM, CODE, text) for text in (CALM, LOUD, LOUD, "no answer")]
    samples = [Sample((1,), (2,), (-0.5,), True, 0) for _ in scored]
    item = json.dumps(vars(ITEM))
    row = PromptRow(0, ITEM.question_type, "[]", "", item, "room", to_json(CODE))
    found = Harvest(every=[ScoredGroup(row, samples, scored)])
    assert figures_of(sums_of(found, None))["terms"]["calm"] == pytest.approx(1 / 3)
    assert any("calm: it shouts" in one.reasons for one in scored)


def test_it_can_be_held_out_of_the_reward_and_watched(tmp_path):
    text = "rubric:\n  weight_calm: 0.0\nevaluation:\n  heldout_term: calm\n"
    config = loaded(tmp_path, text)
    judge = Judge(config.rubric, config.evaluation.heldout_term)
    item = json.dumps(vars(ITEM))
    row = PromptRow(0, ITEM.question_type, "[]", "", item, "room", to_json(CODE))
    assert judge.figures(row, LOUD)["heldout"] == 0.0
    assert judge.figures(row, CALM)["heldout"] == 1.0


def test_it_is_gone_with_its_registration():
    unregister("calm")
    try:
        assert "calm" not in RubricConfig().weights()
        with pytest.raises(TypeError, match="weight_calm"):
            RubricConfig(weight_calm=1.0)
        assert "calm" not in score(DIRECTION, CODE, DIRECTION_TEXT, "A").terms
    finally:
        term(weight=0.0, process=False)(calm)


def test_a_name_is_given_once_and_a_term_says_what_it_means():
    with pytest.raises(ValueError, match="'calm' already"):
        term(weight=0.1)(calm)

    def silent(read: ReadCompletion) -> TermValue | None:
        return None

    with pytest.raises(ValueError, match="'silent' needs a docstring"):
        term(weight=0.1)(silent)
    assert "silent" not in TERMS
