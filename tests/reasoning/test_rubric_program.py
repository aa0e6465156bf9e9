"""Programs as reasoning, in the red team's room of unit cubes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialcode.questions.types import Counting, ObjectSize, Reference, RoomSize
from spatialcode.reasoning.program.of_question import to_program
from spatialcode.reasoning.rubric.claims import read_statements
from spatialcode.reasoning.rubric.reading import find_program
from spatialcode.reasoning.rubric.scoring import RubricConfig, score
from tests.reasoning.red_team import CODE, DIRECTION, DIRECTION_TEXT, DISTANCE, HONEST
from tests.reasoning.red_team_programs import CALL, program


@pytest.mark.parametrize("family", HONEST)
def test_canonical_program_scores_one(family):
    question, gold, *_ = HONEST[family]
    result = score(question, CODE, program(to_program(question)), gold)
    assert result.total == 1.0, result
    assert result.reasons == {}


@pytest.mark.parametrize(
    "text",
    [
        program(CALL),
        program(CALL, tag="python"),
        program(CALL, tag=""),
        f"program: {CALL}",
        "The lamp stands at -x.\n" + program(CALL),
        program(CALL) + "\nAnswer: A",
        f"Program: {CALL}\nAnswer: left\n",
        program("# which side?", f"side = {CALL}", "side"),
    ],
)
def test_forms_of_a_program(text):
    assert score(DIRECTION, CODE, text, "A").total == 1.0


def test_a_block_of_statements_is_text():
    fenced = "```\n" + DIRECTION_TEXT.replace("\nAnswer: A", "\n```\nAnswer: A")
    assert find_program(fenced, read_statements(fenced)) is None
    assert score(DIRECTION, CODE, fenced, "A").total == 1.0


def test_a_program_that_finds_it_another_way():
    # the angle from the tv to the lamp, seen from the sofa, is 90 degrees: left
    text = program(
        'turn = bearing(observer="sofa", facing="tv", target="lamp")',
        '"left" if turn > 0 else "right"',
    )
    terms = score(DIRECTION, CODE, text, "A").terms
    # the trace holds a quadrant, which is true and not asked for: 8 of 9 statements serve
    assert terms.pop("brevity") == 8 / 9
    assert set(terms.values()) == {1.0}
    constant = text.replace("turn > 0", "turn > -999")
    assert score(DIRECTION, CODE, constant, "A").terms["consistency"] == 0.0


def test_where_only_answers_pay_changed_rooms_are_not_looked_at():
    """The total is that of the answer either way; only the unpaid term is not told apart."""
    process = ("grounding", "perspective", "geometry", "consistency", "brevity")
    answers = RubricConfig(**{f"weight_{name}": 0.0 for name in process})
    assert not answers.pays_process
    constant = program('0 * distance("sofa", "tv") + 3')
    canonical = program(to_program(DISTANCE))
    for text in (constant, canonical):
        assert score(DISTANCE, CODE, text, "3.0", answers).total == 1.0
    told = score(DISTANCE, CODE, constant, "3.0", answers)
    assert score(DISTANCE, CODE, constant, "3.0").total < 1.0
    assert told.terms["answer"] == told.terms["format"] == 1.0
    paid = RubricConfig(**{f"weight_{name}": 0.0 for name in process[:-1]})
    assert paid.pays_process, "brevity is shut with the process"


@pytest.mark.parametrize(
    ("question", "gold", "source"),
    [
        (DISTANCE, "3.0", '0 * distance("sofa", "tv") + 3'),
        (DISTANCE, "3.0", 'min(distance("sofa", "tv"), 3) if 1 < 0 else 3.0'),
        (Counting(target=Reference("chair")), "2", 'count("chair") * 0 + 2'),
        (ObjectSize(target=Reference("sofa")), "100", '100 if longest("sofa") > 0 else 1'),
        (RoomSize(), "60", "60 if area() > 1 else area()"),
        (*HONEST["order"][:2], '["sofa", "tv", "lamp"] if exists("tv") else []'),
        (*HONEST["nearest"][:2], '"lamp" if distance("sofa", "lamp") > 0 else "tv"'),
        (*HONEST["above"][:2], 'above("pillow", "sofa") or 1 < 2'),
    ],
)
def test_values_that_do_not_rest_on_the_code_earn_no_process_terms(question, gold, source):
    result = score(question, CODE, program(source), gold)
    assert result.terms["answer"] == 1.0, result
    free = {"format", "answer", "smooth"}
    assert all(value == 0.0 for name, value in result.terms.items() if name not in free)


def test_roles_are_those_of_the_question():
    swapped = CALL.replace('"sofa"', '"x"').replace('"tv"', '"sofa"').replace('"x"', '"tv"')
    # from the tv, facing the sofa, the lamp is to the right: the wrong answer
    assert score(DIRECTION, CODE, program(swapped), "A").terms["answer"] == 0.0
    assert score(DIRECTION, CODE, program(swapped), "B").terms["perspective"] == 0.0


def test_looking_at_what_is_not_asked_costs():
    extra = program('d = distance("tv", "lamp")', 'e = count("chair")', CALL)
    result = score(DIRECTION, CODE, extra, "A")
    # 9 statements serve; the two calls add 2 positions said before in no role, a distance, a count
    assert result.terms["brevity"] < 0.9
    assert result.total < 0.99
    assert "statements serve the question" in result.reasons["brevity"]


def test_a_failing_program_says_why():
    result = score(DISTANCE, CODE, program('distance("sofa", "piano")'), "3.0")
    assert result.total == 0.0
    assert "piano" in result.reasons["answer"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(["```program", "```", "```python", "program: ", CALL, "Answer: A"]),
            st.text(max_size=40),
        ),
        max_size=12,
    )
)
def test_any_text_with_fences_scores_in_range(lines):
    result = score(DIRECTION, CODE, "\n".join(lines), "A")
    assert 0.0 <= result.total <= 1.0
