import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialcode.config import load_config
from spatialcode.errors import ConfigError, SchemaError
from spatialcode.questions.types import Counting, Reference
from spatialcode.reasoning.claims import read_statements
from spatialcode.reasoning.counterfactual import counterfactual
from spatialcode.reasoning.rubric import RubricConfig, score
from tests.reasoning.red_team import CODE, DIRECTION, DIRECTION_TEXT, DISTANCE, HONEST

_LINES = [
    line for _, _, honest, slip in HONEST.values() for line in (honest + "\n" + slip).split("\n")
]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(list(HONEST)),
    st.lists(st.one_of(st.sampled_from(_LINES), st.text(max_size=60)), max_size=20),
)
def test_any_text_scores_in_range_and_always_the_same(family, lines):
    question, gold, _, _ = HONEST[family]
    first = score(question, CODE, "\n".join(lines), gold)
    assert 0.0 <= first.total <= 1.0
    assert all(0.0 <= value <= 1.0 for value in first.terms.values())
    assert first == score(question, CODE, "\n".join(lines), gold)


def test_yaml_is_the_default():
    assert load_config(RubricConfig, "configs/rubric.yaml") == RubricConfig()


def test_bad_config_names_its_key():
    with pytest.raises(ConfigError, match="weight_answer"):
        RubricConfig(weight_answer=-1.0)


def test_importing_loads_no_torch():
    source = "import sys, spatialcode.reasoning.rubric; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0


def test_gold_that_is_no_answer_raises():
    with pytest.raises(SchemaError, match="gold"):
        score(DIRECTION, CODE, "Answer: A", "Z")


def test_numbers_have_a_gradient_inside_a_threshold():
    near, far = (score(DISTANCE, CODE, f"Answer: {v} m", "3.0").terms for v in ("3.30", "3.40"))
    assert near["answer"] == pytest.approx(0.9)  # off by a tenth: all thresholds but .95
    assert near["smooth"] > far["smooth"]


def test_repeating_earns_once():
    repeated = "\n".join(DIRECTION_TEXT.split("\n")[:3]) + "\n" + DIRECTION_TEXT
    terms = score(DIRECTION, CODE, repeated, "A").terms
    assert terms.pop("brevity") == 9 / 12  # 9 statements, 3 of them twice
    assert set(terms.values()) == {1.0}
    once = score(DIRECTION, CODE, DIRECTION_TEXT, "A").total
    assert score(DIRECTION, CODE, repeated, "A").total < once == 1.0


def test_a_thing_that_is_not_there_leaves_format_answer_and_brevity():
    piano = Counting(target=Reference("piano"))
    result = score(piano, CODE, "not in the code, assumed: count of piano = 1\nAnswer: 1", "1")
    assert result.total == 1.0
    assert set(result.terms) == {"format", "answer", "smooth", "brevity"}


def test_mirrored_room_tells_a_wrong_target():
    def read(text):
        return [found.statement for found in read_statements(text)]

    assert counterfactual(DIRECTION, CODE, read(DIRECTION_TEXT)) == 1.0
    assert counterfactual(DIRECTION, CODE, read(DIRECTION_TEXT.replace("lamp_1", "chair_1"))) == 0.0
