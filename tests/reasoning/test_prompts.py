"""Prompts: what they show, what they leave out, and that they tell no answer."""

import re
from dataclasses import replace

import pytest

from spatialcode.errors import ConfigError, ProgramError, PromptError
from spatialcode.questions.types import (
    AbsoluteDistance,
    Blank,
    Configuration,
    Counting,
    Forward,
    Reference,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
    Selector,
    UnparsedQuestion,
)
from spatialcode.reasoning.families.registry import family_of
from spatialcode.reasoning.program.functions import function_list, functions
from spatialcode.reasoning.program.interpreter import run
from spatialcode.reasoning.prompts import (
    LANGUAGE,
    MESSAGE_TOKENS,
    Message,
    PromptSettings,
    estimate_tokens,
    render,
)
from spatialcode.reasoning.resolve import kept_code, named_ids, references_of
from spatialcode.reasoning.rubric.claims import read_statements
from spatialcode.reasoning.solver import solve
from spatialcode.reasoning.statements import Final
from tests.reasoning.red_team import CODE, HONEST
from tests.scene.builders import camera, chair, code, room

FUNCTIONS = functions()

SOFA, TV, LAMP, CHAIR, PILLOW = map(Reference, ("sofa", "tv", "lamp", "chair", "pillow"))
FAMILIES = pytest.mark.parametrize("family", HONEST)


def words(text):
    """A strict tokenizer: every character is a token."""
    return len(text)


def shown_ids(prompt):
    """Ids that stand in a prompt's second message."""
    known = {item.id for item in CODE.objects}
    return set(re.findall(r"\w+_\d+", prompt.messages[1].content)) & known


def test_a_text_prompt_to_the_letter():
    one = chair(
        center_m=(1.006, -2.0, 0.5), quaternion_wxyz=(0.7071068, 0.0, 0.0, 0.7071068),
        first_seen_s=0.25,
    )  # fmt: skip
    other = chair(id="trash_bin_1", label="trash bin", first_seen_s=0.0, size_m=(0.3, 0.3, 0.404))
    question = AbsoluteDistance(a=CHAIR, b=Reference("trash bin"), text="How far?")
    pose = ((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, -1.0, 0.0, 1.5), (0.0, 0.0, 0.0, 1.0))
    scene = code(objects=(one, other), cameras=(camera(T_world_camera=pose),), room=room())
    # yaw of (cos 45°, sin 45°) is 90° = 1.57; the bin was seen first and stands first
    assert (
        render(question, scene).messages[1].content
        == """\
camera: starts at (0.00, 0.00, 1.50), front(camera) = (0.00, 1.00)
room: floor area 6.00 m2, floor at z = 0.00, ceiling at z = 2.50
objects in order of first sight: id | label | center | size | yaw | first seen
trash_bin_1 | trash bin | (1.00, 2.00, 0.50) | (0.30, 0.30, 0.40) | 0.00 | 0.00
chair_1 | chair | (1.01, -2.00, 0.50) | (0.50, 0.50, 1.00) | 1.57 | 0.25

Question: How far?

End with a single line of the form "Answer: N m", where N is a number."""
    )


@FAMILIES
def test_numbers_have_two_decimals_and_are_the_codes_own(family):
    content = render(HONEST[family][0], CODE).messages[1].content
    scene = content.partition("\n\n")[0]
    given = {0.0}
    for item in CODE.objects:
        given |= {*item.center_m, *item.size_m, item.first_seen_s}
    given |= {CODE.room.area_m2, CODE.room.ceiling_z_m}
    found = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", scene)
    assert found
    assert all(re.fullmatch(r"-?\d+\.\d\d", one) for one in found)
    assert {float(one) for one in found} <= given


@FAMILIES
@pytest.mark.parametrize("mode", ["text", "program"])
def test_nothing_worked_out_is_in_the_prompt(family, mode):
    question = HONEST[family][0]
    settings = PromptSettings(mode)
    before = render(question, CODE, settings)
    # every object elsewhere, larger and in another order: all answers change, or could
    moved = replace(CODE, objects=tuple(
        replace(item, center_m=(-2.0 * item.center_m[0], item.center_m[1] - 3.0, 0.5 + 0.3 * n),
                size_m=(0.3 + 0.1 * n, 0.4, 0.5), first_seen_s=9.0 - n)
        for n, item in enumerate(CODE.objects)
    ))  # fmt: skip
    after = render(question, moved, settings)
    assert before.messages[0] == after.messages[0]
    old, new = (p.messages[1].content.split("\n") for p in (before, after))
    lines = set(old) ^ set(new)
    if mode == "text":  # only the rows of the objects differ
        assert lines
        assert all(re.match(r"\w+_\d+ \| ", line) for line in lines)
    else:
        assert old == new
    assert not [s for s in read_statements(before.messages[1].content)
                if not isinstance(s.statement, Final)]  # fmt: skip
    for statement in solve(question, CODE).evidence.statements:
        if family != "room":  # the room's area is a field of the code
            assert statement.text() not in before.messages[1].content


@FAMILIES
def test_the_rubric_reads_the_forms_that_are_asked_for(family):
    """Every line that the solver states has a form in the prompt."""
    question = HONEST[family][0]
    system = render(question, CODE).messages[0].content
    forms = [line for line in system.split("\n") if line in family_of(question).forms(question)]
    assert len(forms) == len(family_of(question).forms(question))
    number = r"-?\d+(?:\.\d+)?"
    fill = {
        "ID": r"\w+", "KIND": r"[\w ]+", "DEG": number, "WORD": r"[\w-]+", "N": r"\d+",
        **dict.fromkeys(("FACED", "OBSERVER", "TARGET", "FIRST", "SECOND", "TO", "FROM"), r"\w+"),
        "X": number, "Y": number, "Z": number, "D": number, "yes or no": "(?:yes|no)",
    }  # fmt: skip
    names = "|".join(sorted(fill, key=len, reverse=True))
    patterns = [
        re.sub(rf"(?<![a-z])(?:{names})(?![a-zA-Z])", lambda m: fill[m[0]], re.escape(form)
               .replace("\\ ", " ").replace(r"\-", "-"))
        .replace(r", \w+\]", r"(?:, \w+)*\]").replace(r"order: \w+, \w+", r"order: \w+(?:, \w+)*")
        for form in forms
    ]  # fmt: skip
    for statement in solve(question, CODE).evidence.statements:
        text = statement.text()
        assert any(re.fullmatch(pattern, text) for pattern in patterns), (text, patterns)


def _num_characters(question, mode, ids):
    """Of the prompt with these objects alone: by removing the others' lines from the full one."""
    system, user = render(question, CODE, PromptSettings(mode, 10**6)).messages
    lines = user.content.split("\n")
    hidden = [item.id for item in CODE.objects if item.id not in ids]
    if mode == "text":
        lines = [line for line in lines if not line.startswith(tuple(f"{one} |" for one in hidden))]
    else:
        gone = [f"{one.rpartition('_')[0]}: " for one in hidden]
        lines = [line for line in lines if not line.startswith(tuple(gone))]
    note = f"{len(hidden)} more object{'s' * (len(hidden) > 1)} not shown\n" if hidden else ""
    return len(system.content) + len("\n".join(lines)) + len(note) + 2 * MESSAGE_TOKENS


@FAMILIES
@pytest.mark.parametrize("mode", ["text", "program"])
@pytest.mark.parametrize("share", [1.0, 0.98, 0.95])
def test_the_budget_is_kept_with_the_strictest_tokenizer(family, mode, share):
    question = HONEST[family][0]
    full = render(question, CODE, PromptSettings(mode, 10**6), count_tokens=words)
    assert full.dropped_ids == ()
    assert full.num_tokens == sum(len(m.content) + MESSAGE_TOKENS for m in full.messages)
    budget = int(full.num_tokens * share)
    settings = PromptSettings(mode, budget)
    if _num_characters(question, mode, named_ids(question, CODE)) > budget:
        with pytest.raises(PromptError, match=f"at most {budget} tokens"):
            render(question, CODE, settings, count_tokens=words)
        return
    prompt = render(question, CODE, settings, count_tokens=words)
    assert prompt.num_tokens <= budget
    assert not named_ids(question, CODE) & set(prompt.dropped_ids)
    assert shown_ids(prompt) | set(prompt.dropped_ids) == {item.id for item in CODE.objects}
    if prompt.dropped_ids:
        number = len(prompt.dropped_ids)
        assert f"{number} more object{'s' * (number > 1)} not shown" in prompt.messages[1].content


def test_the_farthest_from_what_is_named_goes_first():
    question = AbsoluteDistance(a=SOFA, b=TV)
    # sofa (0,0,.5), tv (0,4,.5). To the nearest of them: pillow 1.0, lamp 3.0,
    # chair_1 (5,0,.5) 5.0, chair_2 (5,3,.5) sqrt(25 + 1) = 5.10
    order = ["chair_2", "chair_1", "lamp_1", "pillow_1"]
    full = render(question, CODE, count_tokens=words)
    dropped, budget = [], full.num_tokens
    while len(dropped) < 4:
        budget -= 1
        prompt = render(question, CODE, PromptSettings(max_tokens=budget), count_tokens=words)
        if len(prompt.dropped_ids) > len(dropped):
            dropped += [name for name in prompt.dropped_ids if name not in dropped]
    assert dropped == order
    least = PromptSettings(max_tokens=_num_characters(question, "text", {"sofa_1", "tv_1"}))
    render(question, CODE, least, count_tokens=words)
    one_less = replace(least, max_tokens=least.max_tokens - 1)
    with pytest.raises(PromptError, match="2 objects that the question names"):
        render(question, CODE, one_less, count_tokens=words)


def test_where_nothing_is_named_the_least_sure_goes_first():
    scores = {"sofa_1": 0.9, "tv_1": 0.3, "lamp_1": 0.8, "chair_1": 0.2, "chair_2": 0.7}
    scene = replace(CODE, objects=tuple(
        replace(item, score=scores.get(item.id, 1.0)) for item in CODE.objects
    ))  # fmt: skip
    full = render(RoomSize(), scene, count_tokens=words).num_tokens
    settings = PromptSettings(max_tokens=full - 100)  # two rows of about 75, with the added line
    assert render(RoomSize(), scene, settings, count_tokens=words).dropped_ids == (
        "tv_1", "chair_1",
    )  # fmt: skip


def test_only_what_is_named_is_kept():
    def ids(question):
        return [item.id for item in kept_code(question, CODE).objects]

    couch = Reference("couch")  # a synonym of sofa
    assert ids(AbsoluteDistance(a=couch, b=TV)) == ["sofa_1", "tv_1"]
    assert ids(Counting(target=CHAIR)) == ["chair_1", "chair_2"]
    nearest = Reference("chair", selector=Selector("nearest", LAMP))
    # every chair is needed to know which is nearest, and the lamp
    assert ids(AbsoluteDistance(a=nearest, b=TV)) == ["tv_1", "lamp_1", "chair_1", "chair_2"]
    assert ids(Counting(target=Reference("piano"))) == []
    assert ids(AbsoluteDistance(a=Reference("chair", object_id="chair_2"), b=TV)) == [
        "tv_1", "chair_2",
    ]  # fmt: skip
    assert ids(RelativeDistance(anchor=SOFA, candidates=(TV, LAMP))) == ["sofa_1", "tv_1", "lamp_1"]
    direction = RelativeDirection(observer=SOFA, facing=TV, target=LAMP, level="easy")
    assert ids(direction) == ["sofa_1", "tv_1", "lamp_1"]
    steps = (Blank(), Forward(LAMP), Blank(), Forward(TV))
    route = RoutePlanning(start=SOFA, facing=PILLOW, destination=TV, steps=steps)
    assert ids(route) == ["sofa_1", "tv_1", "lamp_1", "pillow_1"]
    seen = Configuration(a=LAMP, relation="left", b=TV, view="observer", observer=SOFA, facing=TV)
    assert ids(seen) == ["sofa_1", "tv_1", "lamp_1"]
    for question in (RoomSize(), UnparsedQuestion(reason="?")):
        assert kept_code(question, CODE) is CODE
    assert [one.noun for one in references_of(route)] == ["sofa", "pillow", "tv", "lamp"]


@FAMILIES
def test_keeping_what_is_named_changes_no_exact_answer(family):
    question = HONEST[family][0]
    whole, part = solve(question, CODE), solve(question, kept_code(question, CODE))
    assert (part.value, part.option) == (whole.value, whole.option)


def test_keeping_what_is_named_hides_the_rest_and_says_so():
    prompt = render(Counting(target=CHAIR), CODE, PromptSettings(keep="named"))
    assert shown_ids(prompt) == {"chair_1", "chair_2"}
    assert "4 more objects not shown" in prompt.messages[1].content
    assert prompt.dropped_ids == ("sofa_1", "tv_1", "lamp_1", "pillow_1")


def test_a_code_without_times_shows_none():
    still = replace(CODE, objects=tuple(replace(o, first_seen_s=0.0) for o in CODE.objects))
    content = render(Counting(target=CHAIR), still).messages[1].content
    assert "first seen" not in content
    assert "when each was seen is unknown" in content


def test_a_program_prompt_lists_every_function_and_no_number():
    assert all(function.meaning for function in FUNCTIONS.values())
    prompt = render(Counting(target=CHAIR, text="How many?"), CODE, PromptSettings("program"))
    system, user = prompt.messages
    assert system == Message("system", f"{LANGUAGE}{function_list()}\n")
    assert all(f"\n{function.signature()}: " in system.content for function in FUNCTIONS.values())
    assert (
        user.content
        == """\
things in the scene, by label:
chair: chair_1, chair_2
lamp: lamp_1
pillow: pillow_1
sofa: sofa_1
tv: tv_1

Question: How many?

Write the program in one fenced code block. Its value must be a whole number."""
    )


def test_what_the_language_is_said_to_have_it_has():
    assert run('chairs = things("chair")\nlen(chairs)', CODE).value == 2
    values = {
        "2 + 3 * 4 - 1": 13, "7 / 2": 3.5, "7 // 2": 3, "7 % 4": 3, "2 ** 3": 8, "[4, 5][1]": 5,
        "1 < 2 and not 3 < 2 or 5 == 6": True, "1 if 2 > 3 else 4": 4,
        'count("chair")': 2, 'exists("largest chair")': True, 'longest("chair_1")': 1.0,
        'distance("chair nearest the tv", "tv")': 4.0,  # chair_2 from x = 4.5, tv to x = 0.5
    }  # fmt: skip
    for source, value in values.items():
        assert run(source, CODE).value == pytest.approx(value)
    for source in ("import os", "[x for x in [1]]", '"a".upper()', "def f(): 1", "for x in [1]: x"):
        with pytest.raises(ProgramError):
            run(source, CODE)


def test_every_family_has_forms_and_an_ending():
    for family in HONEST:
        question = HONEST[family][0]
        assert family_of(question).forms(question)
        bare = replace(question, options=())
        assert "Answer: " in render(bare, CODE).messages[1].content
    unknown = UnparsedQuestion(reason="?", text="Why?")
    for mode in ("text", "program"):
        assert "Why?" in render(unknown, CODE, PromptSettings(mode)).messages[1].content


def test_the_estimate_by_hand():
    # refrigerator: 12 letters by threes 4; " ": before a letter 0; "tv" 1; "_" 1; "1" 1
    assert estimate_tokens("refrigerator tv_1") == 7
    assert estimate_tokens("(-0.50, 1.25)\n") == 14  # 13 signs and digits, blank 1 - but one is it
    assert estimate_tokens("é") == 2  # UTF-8 bytes
    assert estimate_tokens("") == 0


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"mode": "json"}, "mode"), ({"keep": "some"}, "keep"), ({"max_tokens": 0}, "max_tokens")],
)
def test_settings_out_of_range_are_named(settings, key):
    with pytest.raises(ConfigError, match=key):
        PromptSettings(**settings)
