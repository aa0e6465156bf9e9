"""Questions about codes: solved exactly, or by the best of a model's samples, and what is said of
them.
"""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from serve.ask.asking import (
    MAX_OBJECTS,
    Asked,
    AskingError,
    CodeTooLargeError,
    ModelFailedError,
    NoAnswerError,
    PromptTooLongError,
    QuestionNotUnderstoodError,
    ReasonerMissingError,
    answer,
)
from serve.ask.choosing import chosen, claims_of, judge
from serve.http.messages import AskAnswer
from spatialcode.api import ask
from spatialcode.errors import ConfigError, ModelError
from spatialcode.reasoning.families.registry import parse
from spatialcode.reasoning.generate import generate
from spatialcode.reasoning.models.loading import Completion
from spatialcode.reasoning.program.of_question import to_program
from spatialcode.reasoning.prompts import estimate_tokens
from spatialcode.reasoning.reasoner import TextReasoner
from spatialcode.reasoning.solver import solve
from spatialcode.scene.text import from_json
from tests.reasoning.red_team import CODE, DIRECTION, DIRECTION_TEXT, HONEST

ASSETS = Path(__file__).parents[3] / "spatialcode" / "assets"
SAMPLE = from_json((ASSETS / "sample_room.json").read_text(encoding="utf-8"))
LAMP = "If I am standing by the sofa and facing the tv, is the lamp to my left or my right?"
SIDES = ("A. left", "B. right")
#: One wrong angle, which the wrong answer follows from.
WRONG = (
    DIRECTION_TEXT.replace("90.0 degrees", "-90.0 degrees")
    .replace("to the left", "to the right")
    .replace("Answer: A", "Answer: B")
)
CHAIRS = "How many chairs are in this room?"


class Scripted:
    """A model that says what it was made to say, and keeps what it was asked."""

    def __init__(self, *said, fails=None):
        self.said = [one if isinstance(one, Completion) else Completion(one) for one in said]
        self.fails = fails
        self.asked = []

    def complete(self, prompts):
        if self.fails:
            raise self.fails
        self.asked += prompts
        assert len(prompts) in (0, len(self.said))
        return self.said[: len(prompts)]

    def count_tokens(self, text):
        return estimate_tokens(text)


def text_answer(*said, question=LAMP, options=SIDES):
    return answer(Asked(question, options, "text", len(said)), CODE, Scripted(*said))


def program_answer(*said, question=LAMP, options=SIDES):
    return answer(Asked(question, options, "program", len(said)), CODE, Scripted(*said))


def test_the_solver_answers_and_says_what_it_rests_on():
    got = answer(Asked("What is the distance between the sofa and the tv in meters?"), CODE)
    # cubes of 1 m whose centres are 4 m apart along y
    assert (got.answer, got.option, got.unit) == ("3.00 m", None, "m")
    assert got.value == pytest.approx(3.0)
    assert got.verified
    assert got.grounded
    assert got.doubts == ()
    assert [(o.id, o.label, o.first_seen_s, o.last_seen_s) for o in got.evidence.objects] == [
        ("sofa_1", "sofa", 0.0, 9.0), ("tv_1", "tv", 1.0, 9.0),
    ]  # fmt: skip
    last = got.evidence.quantities[-1]
    assert (last.kind, last.objects, last.value, last.unit, last.recomputes) == (
        "distance", ("sofa_1", "tv_1"), pytest.approx(3.0), "m", True,
    )  # fmt: skip
    assert got.evidence.text[-1] == last.text == "distance(sofa_1, tv_1) = 3.00 m"


def test_a_guess_is_not_verified():
    got = answer(Asked("How long is the bathtub in centimeters?"), CODE)
    assert (got.grounded, got.verified) == (False, False)
    (assumed,) = got.evidence.quantities
    assert (assumed.kind, assumed.objects, assumed.recomputes) == ("assumed", (), False)
    assert got.doubts == (assumed.text,)


def test_what_the_solver_states_recomputes():
    """Its answers are verified by construction: recomputing every claim comes to the same."""
    families = set()
    for made in generate(SAMPLE, scene="sample", seed=0).items:
        question = parse(made.question, made.options)
        exact = solve(question, SAMPLE)
        assert exact.grounded
        families.add(question.family)
        claims = claims_of(exact.evidence.statements, question, SAMPLE)
        assert [claim.doubt for claim in claims if claim.doubt] == []
        assert len(claims) == len(exact.evidence.statements) > 0
    assert len(families) >= 8


def test_answers_are_those_of_the_library_and_fit_their_message():
    for question, options in (
        ("How many tables are in this room?", ()),
        ("What is the distance between the door and the toilet in meters?", ()),
        ("In which order do the door, the chair and the toilet first appear in the video?",
         ("A. door, chair, toilet", "B. chair, door, toilet")),
    ):  # fmt: skip
        exact = ask(SAMPLE, question, options)
        got = answer(Asked(question, options), SAMPLE)
        sent = AskAnswer.model_validate_json(got.model_dump_json())
        assert (sent.answer, sent.value, sent.option) == (exact.final(), exact.value, exact.option)
        assert list(sent.evidence.text) == exact.evidence.text().split("\n")
        assert [one.id for one in sent.evidence.objects] == list(exact.evidence.object_ids)
        assert tuple(one.text for one in sent.evidence.quantities) == sent.evidence.text


def test_true_reasoning_is_chosen_over_a_false_majority():
    got = text_answer(WRONG, "Answer: B", DIRECTION_TEXT, "Answer: B")
    assert (got.answer, got.option, got.value, got.verified) == ("A", "A", "left", True)
    assert got.doubts == ()
    assert got.num_samples == 4
    assert got.evidence.text == tuple(DIRECTION_TEXT.split("\n")[:-1])
    assert all(one.recomputes for one in got.evidence.quantities)
    assert [one.id for one in got.evidence.objects] == ["sofa_1", "tv_1", "lamp_1"]
    assert got.confidence == pytest.approx(1.0)  # all scores in this room are 1


def test_a_false_claim_is_said_to_be_one():
    got = text_answer(WRONG)
    assert (got.answer, got.verified, got.confidence) == ("B", False, 0.0)
    angle = "angle(forward, to_target) = -90.0 degrees"
    assert f"false: {angle} (it is 90.00)" in got.doubts
    doubtful = [one.text for one in got.evidence.quantities if not one.recomputes]
    assert doubtful == [angle, "lamp_1 is to the right"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Answer: A", "does not lead"),
        ("I see it. It must be (A).", "does not lead"),
        ("sofa_1 is at (0.00, 0.00, 0.50)\nAnswer: A", "does not lead"),
        (DIRECTION_TEXT.replace("Answer: A", "Answer: B"), "another answer"),
        (DIRECTION_TEXT.replace("to the left", "to the right"), "is to the right"),
        (DIRECTION_TEXT.replace("(-3.00, 0.00, 0.50)", "(-3.10, 0.00, 0.50)"), "-3.10"),
        (DIRECTION_TEXT.replace("= 12.00", "= 13.00"), "= 13.00 (it is 12.00)"),
        (DIRECTION_TEXT.replace("observer: sofa_1", "observer: bed_1"), "not in the code: bed_1"),
        (DIRECTION_TEXT.replace("Answer: A", "tv_1 is at (1.00, 4.00, 0.50)\nAnswer: A"),
         "contradiction"),
        (DIRECTION_TEXT + "\n\\boxed{B}\nFinal answer: A", "two different answers"),
    ],
)  # fmt: skip
def test_what_does_not_hold_or_lead_is_not_verified(said, why):
    got = text_answer(said)
    assert not got.verified
    assert got.confidence == 0.0
    assert why in " ".join(got.doubts)


@pytest.mark.parametrize("ending", ["Answer: A", "\\boxed{A}", "The answer is A.", "A"])
def test_how_an_answer_is_given_is_no_claim(ending):
    got = text_answer(DIRECTION_TEXT.replace("Answer: A", ending))
    assert (got.answer, got.verified) == ("A", True)


def test_the_form_asked_for_is_worth_its_weight():
    loose = DIRECTION_TEXT.replace("Answer: A", "The answer is A.")
    samples = TextReasoner(Scripted(loose, DIRECTION_TEXT)).answer_all([(DIRECTION, CODE)] * 2)
    scores = [judge(DIRECTION, CODE, sample).score for sample in samples]
    # 0.05 for the form, 0.10 each for citing, roles and vectors, quantities, what they lead to
    assert scores == pytest.approx([0.40 / 0.45, 1.0])
    assert chosen(samples, [judge(DIRECTION, CODE, sample) for sample in samples]) == 1


def test_thinking_aloud_is_no_claim():
    got = text_answer(f"<think>lamp_1 is to the right\nAnswer: B</think>{DIRECTION_TEXT}")
    assert (got.answer, got.verified) == ("A", True)


def test_of_equals_the_answer_of_most_is_taken_and_then_the_first():
    assert text_answer("Answer: A", "Answer: B", "Answer: B").answer == "B"
    assert text_answer("Answer: B", "Answer: A").answer == "B"


@pytest.mark.parametrize("family", HONEST)
def test_honest_reasoning_of_every_family_is_verified(family):
    """The honest completion is, the one with a slip is not; and the honest one is chosen."""
    question, _, honest, slip = HONEST[family]
    samples = TextReasoner(Scripted(slip, honest)).answer_all([(question, CODE)] * 2)
    judged = [judge(question, CODE, sample) for sample in samples]
    assert [one.verified for one in judged] == [False, True]
    assert chosen(samples, judged) == 1
    assert judged[1].score == pytest.approx(1.0)


def test_a_program_that_computes_is_verified_and_a_constant_is_not():
    right = f"```program\n{to_program(DIRECTION)}\n```"
    constant = '```program\n"right"\n```'
    got = program_answer(constant, constant, right)
    assert (got.answer, got.verified, got.grounded) == ("A", True, True)
    assert got.program == to_program(DIRECTION)
    assert got.evidence.quantities[-1].kind == "direction"
    alone = program_answer(constant)
    assert (alone.answer, alone.verified, alone.evidence.quantities) == ("B", False, ())
    assert alone.doubts == ("what is truly stated does not lead to an answer",)
    beside = program_answer('count("chair") * 0 + 2', question=CHAIRS, options=())
    assert (beside.answer, beside.verified) == ("2", False)
    assert beside.doubts == ("the value does not depend on the code",)


def test_a_program_for_another_question_is_not_verified():
    counted = program_answer('count("sofa")', question=CHAIRS, options=())
    assert (counted.answer, counted.verified) == ("1", False)
    assert all(one.recomputes for one in counted.evidence.quantities)  # true, but beside the point
    right = program_answer('count("sofa")', 'count("chair")', question=CHAIRS, options=())
    assert (right.answer, right.value, right.verified) == ("2", 2.0, True)


def test_samples_that_fail_are_passed_over_and_their_tokens_counted():
    got = text_answer(
        Completion("", error="server down"), Completion("no idea", 10, 3),
        Completion(DIRECTION_TEXT, 10, 90),
    )  # fmt: skip
    assert (got.answer, got.verified, got.num_samples) == ("A", True, 3)
    assert (got.num_prompt_tokens, got.num_tokens) == (20, 93)


def test_a_number_from_text_has_its_unit():
    said = "distance(sofa_1, tv_1) = 3.00 m\nAnswer: 3.00 m"
    question = "What is the distance between the sofa and the tv in meters?"
    got = text_answer(said, question=question, options=())
    assert (got.answer, got.value, got.unit, got.option) == ("3.00 m", 3.0, "m", None)
    assert got.verified
    off = text_answer(said.replace("3.00", "3.50"), question=question, options=())
    assert (off.answer, off.verified) == ("3.50 m", False)


def test_what_is_not_in_the_code_is_never_grounded_nor_verified():
    got = text_answer("Answer: 2", question="How many bathtubs are in this room?", options=())
    assert (got.answer, got.grounded, got.verified) == ("2", False, False)
    assert got.doubts


@pytest.mark.parametrize("reasoner", ["solver", "text", "program"])
def test_a_question_of_no_known_kind_is_an_error(reasoner):
    with pytest.raises(QuestionNotUnderstoodError, match="no known kind") as caught:
        answer(Asked("What is love?", (), reasoner), CODE, Scripted("Answer: 1"))
    assert isinstance(caught.value, AskingError)
    assert (caught.value.code, caught.value.status) == ("question_not_understood", 422)


def test_what_a_model_cannot_do_is_an_error():
    with pytest.raises(ReasonerMissingError, match="'program' without a model"):
        answer(Asked(CHAIRS, (), "program"), CODE)
    with pytest.raises(NoAnswerError, match="no answer"):
        text_answer("no idea", "neither")
    with pytest.raises(ModelFailedError, match="server down"):
        text_answer(Completion("", error="server down"))
    with pytest.raises(ModelFailedError, match="not set"):
        answer(Asked(CHAIRS, (), "text"), CODE, Scripted(fails=ModelError("KEY is not set")))
    filler = "word " * 700
    with pytest.raises(PromptTooLongError, match="tokens"):
        answer(Asked(f"{filler}. {CHAIRS}", (), "text"), CODE, LongWinded("Answer: 2"))


def test_a_code_of_very_many_objects_is_refused_before_any_work():
    sofa = CODE.objects[0]
    crowd = tuple(replace(sofa, id=f"sofa_{n + 1}") for n in range(MAX_OBJECTS))
    most = answer(Asked("How many tvs are in this room?"), replace(CODE, objects=crowd))
    assert not most.grounded
    more = replace(CODE, objects=(*crowd, CODE.objects[1]))
    with pytest.raises(CodeTooLargeError, match="at most 300 objects, got 301"):
        answer(Asked("What is love?"), more)


class LongWinded(Scripted):
    """A model for which a letter is a token."""

    def count_tokens(self, text):
        return len(text)


@pytest.mark.parametrize(
    ("changed", "name"), [({"reasoner": "oracle"}, "reasoner"), ({"num_samples": 0}, "num_samples")]
)
def test_an_impossible_request_is_refused(changed, name):
    with pytest.raises(ConfigError, match=name):
        Asked(CHAIRS, **changed)


def test_the_bundled_reasoner_writes_programs_that_recompute():
    from spatialcode.reasoning.models.loading import (
        BUNDLED_REASONER,
        BUNDLED_TOKENS,
        ModelSpec,
        load_model,
    )

    spec = ModelSpec(
        model=str(BUNDLED_REASONER), device="cpu", max_tokens=BUNDLED_TOKENS, temperature=0.7
    )
    model = load_model(spec)
    asked = Asked("How many tables are in this room?", (), "program", 3)
    got, exact = answer(asked, SAMPLE, model), ask(SAMPLE, asked.question)
    assert (got.answer, got.value, got.verified) == (exact.final(), exact.value, True)
    assert got.program.startswith("count(")
    assert [one.id for one in got.evidence.objects] == list(exact.evidence.object_ids)
    assert got.confidence == pytest.approx(
        math.prod(SAMPLE.object(one.id).score for one in got.evidence.objects)
    )
    assert got.num_tokens >= 3
