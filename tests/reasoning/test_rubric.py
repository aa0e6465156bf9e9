import itertools
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialcode.config import describe, load_config
from spatialcode.errors import ConfigError, SchemaError
from spatialcode.questions.types import Counting, Reference
from spatialcode.reasoning.rubric.scoring import RubricConfig, score
from spatialcode.reasoning.rubric.terms import TERMS
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
    written = re.findall(r"^(\w+):", Path("configs/rubric.yaml").read_text("utf-8"), re.MULTILINE)
    assert sorted(written) == sorted(vars(RubricConfig()))


def test_each_term_is_a_setting_with_a_line_of_help():
    shown = describe(RubricConfig)
    for name, one in TERMS.items():
        about = one.meaning[0].lower() + one.meaning[1:].rstrip(".")
        line = rf"^  weight_{name}={one.weight} +weight of {about} \(float\)$"
        assert re.search(line, shown, re.MULTILINE), shown
    assert RubricConfig().weights() == {name: one.weight for name, one in TERMS.items()}
    assert load_config(RubricConfig, None, ["weight_smooth=0.25"]).weights()["smooth"] == 0.25


def test_bad_config_names_its_key():
    with pytest.raises(ConfigError, match="weight_answer"):
        RubricConfig(weight_answer=-1.0)


def test_importing_loads_no_torch():
    source = "import sys, spatialcode.reasoning.rubric.scoring; sys.exit('torch' in sys.modules)"
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


def _offset(line, by):
    return _DECIMAL.sub(lambda found: f"{float(found[0]) + by:.2f}", line, count=1)


_DECIMAL = re.compile(r"-?\d+\.\d+")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(HONEST)), st.data())
def test_correcting_a_wrong_number_never_lowers_the_score(family, data):
    question, gold, honest, _ = HONEST[family]
    lines = honest.split("\n")
    numbered = [n for n, line in enumerate(lines) if _DECIMAL.search(line)]
    if not numbered:
        return
    wrong = data.draw(st.sets(st.sampled_from(numbered), min_size=1))
    offsets = {n: data.draw(st.sampled_from([0.6, 7.0, 40.0, -3.0])) for n in wrong}
    corrected = data.draw(st.sampled_from(sorted(wrong)))

    def total(left_wrong):
        changed = [
            _offset(line, offsets[n]) if n in left_wrong else line for n, line in enumerate(lines)
        ]
        return score(question, CODE, "\n".join(changed), gold).total

    assert total(wrong) <= total(wrong - {corrected})


@pytest.mark.parametrize(
    ("field", "broken", "completion"),
    [
        ("size_m", None, DIRECTION_TEXT),
        ("center_m", (0.0, 0.0), DIRECTION_TEXT),
        ("first_seen_s", None, HONEST["order"][2]),
        ("first_seen_s", None, '```program\norder(["tv", "sofa", "lamp"])\n```'),
    ],
)
def test_a_broken_code_raises_and_is_no_zero(field, broken, completion):
    family = "direction" if completion is DIRECTION_TEXT else "order"
    question, gold, *_ = HONEST[family]
    objects = tuple(replace(item) for item in CODE.objects)
    code = replace(CODE, objects=objects)
    object.__setattr__(objects[0], field, broken)
    with pytest.raises((TypeError, ValueError, IndexError)):
        score(question, code, completion, gold)


def test_scoring_changes_nothing():
    before = repr(CODE), repr(DIRECTION)
    score(DIRECTION, CODE, DIRECTION_TEXT, "A", RubricConfig(weight_counterfactual=1.0))
    assert (repr(CODE), repr(DIRECTION)) == before


def test_other_forms_pay_for_the_answer_and_not_for_the_form():
    for text in ("\\boxed{A}", '{"answer": "A"}', "**A**"):
        terms = score(DIRECTION, CODE, text, "A").terms
        assert (terms["answer"], terms["format"]) == (1.0, 0.0)
    boxed = DIRECTION_TEXT.replace("Answer: A", "\\boxed{A}")
    result = score(DIRECTION, CODE, boxed, "A")
    assert result.terms.pop("format") == 0.0
    assert set(result.terms.values()) == {1.0}


def test_reasons_say_what_is_wrong():
    wrong = DIRECTION_TEXT.replace("= 12.00", "= -12.00").replace("target: ", "anchor: ")
    reasons = score(DIRECTION, CODE, wrong, "A").reasons
    assert "cross(forward, to_target) = -12.00 (it is 12.00)" in reasons["geometry"]
    assert "role target" in reasons["perspective"]
    assert reasons["brevity"] == "8 of 9 statements serve the question"
    shut = score(DIRECTION, CODE, DIRECTION_TEXT.replace("Answer: A", "Answer: B"), "A").reasons
    assert shut["answer"] == "given B, expected A"
    assert shut["geometry"] == "shut: the answer is wrong"


def test_padding_with_what_is_true_and_not_asked_costs():
    def total(num):
        lines = [f"distance({a}, chair_2) = {d} m" for a, d in _FAR[:num]]
        return score(DIRECTION, CODE, "\n".join([*lines, DIRECTION_TEXT]), "A").total

    totals = [total(num) for num in range(len(_FAR) + 1)]
    assert totals[0] == 1.0
    assert all(a > b for a, b in itertools.pairwise(totals))


#: Gaps to chair_2, a cube at (5, 3): to the tv 4, to chair_1 2, to the sofa sqrt(4² + 2²).
_FAR = (("tv_1", "4.00"), ("chair_1", "2.00"), ("sofa_1", "4.47"), ("lamp_1", "7.28"))
