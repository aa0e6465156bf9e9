import re
from pathlib import Path

import pytest

from spatialcode.reasoning.rubric.scoring import RubricConfig, score
from spatialcode.reasoning.rubric.terms import TERMS
from tests.reasoning.red_team import ATTACKS, CODE, HONEST
from tests.reasoning.red_team_programs import PROGRAM_ATTACKS
from tests.reasoning.red_team_table import END, START, TERMS_END, TERMS_START, table, terms_table

_ALL = ATTACKS + PROGRAM_ATTACKS


@pytest.mark.parametrize("family", HONEST)
def test_honest_completion_scores_one_and_a_slip_less(family):
    question, gold, honest, slip = HONEST[family]
    result = score(question, CODE, honest, gold)
    assert result.total == 1.0, result
    assert result.reasons == {}
    assert score(question, CODE, slip, gold).total < 0.99


@pytest.mark.parametrize("attack", _ALL, ids=lambda attack: attack.name)
def test_cheating_stays_under_its_ceiling(attack):
    result = score(attack.question, CODE, attack.completion, attack.gold)
    assert result.total <= attack.ceiling, result
    assert set(result.reasons) == {name for name, value in result.terms.items() if value < 1.0}
    assert all(result.reasons.values())


def test_red_team_is_large_enough():
    assert len({attack.name for attack in _ALL}) == len(_ALL) >= 80


def test_the_page_shows_what_is_measured():
    page = (Path(__file__).parents[2] / "docs" / "rubric.md").read_text(encoding="utf-8")
    assert page.partition(START)[2].partition(END)[0] == table()


def test_the_page_shows_the_terms():
    page = (Path(__file__).parents[2] / "docs" / "rubric.md").read_text(encoding="utf-8")
    assert page.partition(TERMS_START)[2].partition(TERMS_END)[0] == terms_table()
    shown = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", page, re.MULTILINE))
    assert {name: float(value) for name, value in shown.items()} == RubricConfig().weights()
    assert list(shown) == list(TERMS)
