import re
from pathlib import Path

import pytest

from spatialcode.errors import ProgramError
from spatialcode.reasoning.program.functions import functions
from spatialcode.reasoning.program.interpreter import Limits, run
from tests.reasoning.program_room import ROOM
from tests.reasoning.test_program import REFUSED

FUNCTIONS = functions()

PAGE = (Path(__file__).parents[2] / "docs" / "program.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^(\S.*?) +-> (.+)$", PAGE, re.MULTILINE)


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_page_shows_every_function_as_it_is_and_no_other():
    tables = section("Functions of a room") + section("Functions of numbers")
    shown = re.findall(r"^\| `([^`]+)` \|", tables, re.MULTILINE)
    assert sorted(shown) == sorted(function.signature() for function in FUNCTIONS.values())


@pytest.mark.parametrize(("source", "value"), EXAMPLES)
def test_example_runs_and_gives_what_the_page_says(source, value):
    assert repr(run(source, ROOM).value) == value


def test_page_has_examples():
    assert len(EXAMPLES) >= 10
    source = re.search(r"run\('(.+)', code\)", PAGE)
    shown = re.search(r"result\.value +# ([0-9.]+)…", PAGE)
    assert str(run(source[1], ROOM).value).startswith(shown[1])


def test_page_shows_every_kind_of_error():
    kinds = set(re.findall(r"^\| `([a-z ]+)` \|", section("Errors"), re.MULTILINE))
    assert kinds == {kind for kind, *_ in REFUSED.values()} | {"limit", "answer"}


def test_page_shows_every_limit_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", section("Limits"), re.MULTILINE)
    assert {name: float(value) for name, value in rows} == vars(Limits())


def test_page_quotes_a_message_in_its_form():
    quoted = re.search(r"`(line 1, column 7: nothing in the code is 'piano'; it has: )", PAGE)
    with pytest.raises(ProgramError) as caught:
        run('count("piano")', ROOM)
    assert str(caught.value).startswith(quoted[1])


def test_refused_forms_of_the_page_are_refused():
    for source in ("ｅval('1')", "'a' * 10**9", "...", "None"):
        with pytest.raises(ProgramError):
            run(source, ROOM)
