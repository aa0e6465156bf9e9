from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import spatialcode
from jobs.ask import main
from spatialcode.api import ASSETS
from spatialcode.errors import SchemaError
from spatialcode.reasoning.families.registry import parse
from spatialcode.reasoning.priors.known import Priors, read_priors, write_priors
from spatialcode.reasoning.solver import solve
from spatialcode.scene.text import render_scene, to_json
from tests.reasoning.rooms import HOME

_NEAREST = "Which of these objects is the closest to the sofa?"
_KEYS = ["answer", "option", "value", "unit", "grounded", "confidence", "objects", "evidence"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "home.json"
    file.write_text(to_json(HOME))
    return file


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_a_number_with_its_evidence(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "What is the distance between the sofa and the lamp (in meters)?"
    shown = asked(capsys, f"code={path}", f"question={text}")
    assert list(shown) == _KEYS
    assert (shown["answer"], shown["option"], shown["unit"]) == ("1.72 m", None, "m")
    assert shown["value"] == pytest.approx(2 - 0.2 * 2**0.5, abs=1e-5)
    assert (shown["grounded"], shown["confidence"]) == (True, pytest.approx(0.45))
    assert shown["objects"] == ["sofa_1", "lamp_1"]
    assert shown["evidence"][-1] == "distance(sofa_1, lamp_1) = 1.72 m"


@pytest.mark.parametrize(
    "options", ["[table,tv,clock,lamp]", "['A. table','B. tv','C. clock','D. lamp']"]
)
def test_options_with_and_without_letters(
    path: Path, capsys: pytest.CaptureFixture[str], options: str
) -> None:
    shown = asked(capsys, f"code={path}", f"question={_NEAREST}", f"options={options}")
    assert (shown["answer"], shown["option"], shown["value"]) == ("C", "C", "clock")


def test_a_missing_thing_is_guessed_and_said_so(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"code={path}", "question=How many pianos are in this room?"]
    shown = asked(capsys, *arguments)
    assert (shown["grounded"], shown["objects"]) == (False, [])
    assert shown["evidence"][0].startswith("not in the code, assumed: count(piano)")
    assert 0.0 < shown["confidence"] < 1.0
    write_priors(Priors(typical_count=7), tmp_path / "priors.json", {})
    shown = asked(capsys, *arguments, f"priors={tmp_path / 'priors.json'}")
    assert shown["answer"] == "7"


def test_scene_text_answers_like_json(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = tmp_path / "home.scene.py"
    scene.write_text(render_scene(HOME))
    question = "question=How many lamps are in this room?"
    assert asked(capsys, f"code={scene}", question) == asked(capsys, f"code={path}", question)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("code={path}", "question=What is love?"), 1, "no known kind of question"),
        (("code=/nowhere/code.json", "question=How many tvs are there?"), 1, "does not exist"),
        (("code={broken}", "question=How many tvs are there?"), 1, "jobs.ask: "),
        (("code={path}", "question=How many tvs are there?", "priors=/nowhere.json"), 1, "priors"),
        (("code={path}",), 2, "question"),
        (("code={path}", "question=x", "colour=red"), 2, "colour"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...], exit_code: int, said: str,
) -> None:  # fmt: skip
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    filled = [one.format(path=path, broken=broken) for one in arguments]
    assert main(filled) == exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_the_log_has_the_answer(path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert main([f"code={path}", "question=How many tvs are there?", f"log={log}"]) == 0
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", "answer", "end"]
    assert (events[1]["answer"], events[1]["grounded"]) == ("1", True)


def test_help_names_every_key_and_loads_no_torch() -> None:
    source = (
        "import sys; from jobs.ask import main; code = main(['--help']);"
        "sys.exit(code or 'torch' in sys.modules or 'ray' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True,
                           check=True)  # fmt: skip
    assert all(key in shown.stdout for key in ("code", "question", "options", "priors"))


def test_the_same_from_python() -> None:
    text = "If I am standing by the sofa and facing the tv, is the lamp to my left or to my right?"
    answer = spatialcode.ask(HOME, text, ["right", "left"])
    assert (answer.option, answer.value, answer.grounded) == ("B", "left", True)
    assert answer == solve(parse(text, ["right", "left"]), HOME)
    assert spatialcode.ask(HOME, "How many sofas are there?").final() == "1"
    with pytest.raises(SchemaError, match="no known kind"):
        spatialcode.ask(HOME, "What is love?")


def test_bundled_priors_guess_but_never_correct() -> None:
    """What the code holds is given as it is, whatever rendered rooms are like."""
    for text in ("How many lamps are there?", "How far is the sofa from the lamp?",
                 "How long is the table in meters?"):  # fmt: skip
        assert spatialcode.ask(HOME, text) == solve(parse(text), HOME)
    bed = "How long is the bed in meters?"
    guessed = spatialcode.ask(HOME, bed)
    assert not guessed.grounded
    bundled = read_priors(ASSETS / "priors_rendered_rooms.json")
    assert guessed == solve(parse(bed), HOME, bundled)
    assert spatialcode.ask(HOME, bed, priors=Priors(size_m={"bed": 3.0})).value == 3.0
