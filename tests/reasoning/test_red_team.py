import pytest

from spatialcode.reasoning.rubric import score
from tests.reasoning.red_team import ATTACKS, CODE, HONEST
from tests.reasoning.red_team_programs import PROGRAM_ATTACKS

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
