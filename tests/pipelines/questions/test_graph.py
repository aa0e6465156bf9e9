"""A folder of codes becomes a question set: nothing is lost, and it does not matter who runs it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.questions import main
from pipelines.questions.config import QuestionsConfig
from pipelines.questions.graph import run_questions
from pipelines.stored import rows
from pipelines.stored.questions import read_questions
from pipelines.stored.reading import list_codes, read_stored
from spatialcode.errors import ConfigError, InputError
from spatialcode.files import locked_folder
from spatialcode.questions.types import UnparsedQuestion
from spatialcode.reasoning.families.registry import parse
from spatialcode.reasoning.generate import GenerateConfig, generate
from spatialcode.reasoning.solver import solve
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import to_row, to_table
from spatialcode.scene.text import to_json
from tests.questions.by_hand import scene_of, thing

ASKED = GenerateConfig(questions_per_family=2)
KEYS = [f"{n:x}" * 64 for n in range(10)]


def room_of(n: int) -> SpatialCode:
    """Eight things, further apart in every room; each comes into view half a second later."""
    labels = ("sofa", "tv", "lamp", "door", "bed", "stove", "window", "toilet")
    places = [(0, 0), (0, 4), (-2, 2), (3, 1), (-3, -2), (2, -3), (4, 4), (-4, 3)]
    step = 1.0 + 0.05 * n
    placed = zip(labels, places, strict=True)
    return scene_of(
        *(thing(label, x * step, y * step, first_seen_s=0.6 * k)
          for k, (label, (x, y)) in enumerate(placed))
    )  # fmt: skip


def result(n: int, **changes: Any) -> dict[str, Any]:
    """A row of the encode job's output."""
    return {
        "input_id": f"clip_{n}.mp4", "uri": f"videos/clip_{n}.mp4", "work_key": KEYS[n],
        "content_id": KEYS[n], "status": rows.OK, "error_code": None, "error": None, "stage": None,
        "attempts": 1, "warnings": None, "num_frames": 2, "decode_s": 0.0, "encode_s": 0.0,
        "finished_s": 1.0, "code": to_row(room_of(n)), **changes,
    }  # fmt: skip


def broken() -> dict[str, Any]:
    """A code whose first box has a negative size."""
    document = to_row(room_of(3))
    first = {**document["objects"][0], "size_m": [-1.0, 1.0, 1.0]}
    return {**document, "objects": [first, *document["objects"][1:]]}


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    """Three sound codes, one of them under two inputs, and three that fail in their own ways."""
    folder = tmp_path / "encoded"
    (folder / "codes").mkdir(parents=True)
    failed = {"status": rows.FAILED, "error_code": "video_corrupt", "error": "damage", "code": None}
    first = [result(0), result(1), result(5, work_key="", **failed)]
    second = [
        result(2),
        result(6, work_key=KEYS[0]),
        result(3, code=broken()),
        result(4, code=None),
    ]
    for name, part in (("part-a", first), ("part-b", second)):
        pq.write_table(rows.table(part, rows.RESULT), folder / "codes" / f"{name}.parquet")
    (folder / "report.json").write_text("{}")
    return folder


def config_for(codes: Path, output: Path, **changes: Any) -> QuestionsConfig:
    settings: dict[str, Any] = {"num_workers": 0, "generate": ASKED, **changes}
    return QuestionsConfig(codes=str(codes), output=str(output), **settings)


def table_of(output: Path, part: str) -> list[dict[str, Any]]:
    files = sorted((output / part).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_every_code_is_done_or_failed_with_its_reason(encoded: Path, tmp_path: Path) -> None:
    report = run_questions(config_for(encoded, tmp_path / "out"))
    counted = {name: report[name] for name in ("codes", "done", "failed", "unfinished")}
    assert counted == {"codes": 6, "done": 3, "failed": 3, "unfinished": 0}
    assert report["duplicates"] == 1
    assert report["failed_by_code"] == {"parse": 2, "video_corrupt": 1}
    assert not report["ok"]
    scenes = {row["scene"]: row for row in table_of(tmp_path / "out", "scenes")}
    assert len(scenes) == 6
    assert scenes["clip_5.mp4"]["error"] == "damage"
    assert scenes["clip_5.mp4"]["stage"] == "listed"
    assert "size_m" in scenes[KEYS[3]]["error"]
    assert scenes[KEYS[3]]["stage"] == "read"
    assert "without a code" in scenes[KEYS[4]]["error"]
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written == json.loads(json.dumps(report))


def test_report_adds_up_and_questions_are_those_of_generate(encoded: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    report = run_questions(config_for(encoded, output, seed=7, max_failed_fraction=0.5))
    assert report["ok"]
    asked = table_of(output, "questions")
    assert len({row["id"] for row in asked}) == len(asked) == report["questions"]
    by_family = Counter(row["question_type"] for row in asked)
    for family, counts in report["families"].items():
        wanted = 1 if family == "room_size_estimation" else 2
        assert counts["wanted"] == 3 * wanted
        assert counts["questions"] == by_family[family]
        assert counts["wanted"] == counts["questions"] + sum(counts["skipped"].values())
        with_options = sum(bool(row["options"]) for row in asked if row["question_type"] == family)
        assert sum(counts["letters"].values()) == with_options
        assert sum(counts["answers"].values()) == counts["questions"]
    assert report["families"]["object_counting"]["answers"] == {"1": 6}
    scenes = {row["scene"]: row for row in table_of(output, "scenes")}
    for n in range(3):
        made = generate(room_of(n), scene=KEYS[n], seed=7, config=ASKED)
        own = [row for row in asked if row["scene"] == KEYS[n]]
        assert [row["id"] for row in own] == [item.id for item in made.items]
        assert [row["question"] for row in own] == [item.question for item in made.items]
        assert scenes[KEYS[n]]["num_questions"] == len(own)
        assert {row["seed"] for row in own} == {7}


def test_both_forms_are_read_as_the_benchmark_reads_questions(
    encoded: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    run_questions(config_for(encoded, output, jsonl=True))
    stored = read_questions(output / "questions")
    assert stored == read_questions(output / "questions.jsonl")
    codes = {KEYS[n]: room_of(n) for n in range(3)}
    for item in stored:
        question = parse(item.question, item.options)
        assert not isinstance(question, UnparsedQuestion)
        solved = solve(question, codes[item.scene])
        if item.options:
            assert solved.option == item.ground_truth


def test_a_plain_loop_and_ray_write_the_same_files(
    encoded: Path, tmp_path: Path, ray_session: Any
) -> None:
    plain, spread = tmp_path / "plain", tmp_path / "ray"
    settings = {"codes_per_task": 2, "jsonl": True}
    one = run_questions(config_for(encoded, plain, **settings))
    two = run_questions(config_for(encoded, spread, num_workers=2, **settings))
    assert one | {"output": ""} == two | {"output": ""}
    files = sorted(path.relative_to(plain) for path in plain.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(spread) for p in spread.rglob("*") if p.is_file())
    assert len(files) >= 8
    for name in files:
        if name.name != "report.json":
            assert (plain / name).read_bytes() == (spread / name).read_bytes(), name


def test_a_question_set_is_replaced_only_where_that_is_said(encoded: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run_questions(config_for(encoded, output, jsonl=True, codes_per_task=1))
    before = {path.name for path in (output / "questions").iterdir()}
    with pytest.raises(InputError, match="overwrite=true"):
        run_questions(config_for(encoded, output))
    run_questions(config_for(encoded, output, overwrite=True, seed=1))
    after = {path.name for path in (output / "questions").iterdir()}
    assert not before & after  # other codes a file: nothing of the old set is left
    assert not (output / "questions.jsonl").exists()
    assert {row["seed"] for row in table_of(output, "questions")} == {1}


def test_the_codes_own_folder_is_never_written_to(encoded: Path, tmp_path: Path) -> None:
    for output in (encoded, encoded / "codes"):
        with pytest.raises(InputError, match="another folder"):
            run_questions(config_for(encoded, output, overwrite=True))
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.json").write_text('{"num_rooms": 3}')
    with pytest.raises(InputError, match="another job"):
        run_questions(config_for(encoded, other, overwrite=True))
    assert len(list((encoded / "codes").iterdir())) == 2


def test_other_ways_to_store_codes(tmp_path: Path) -> None:
    codes = [room_of(n) for n in range(5)]
    (tmp_path / "json").mkdir()
    for n, code in enumerate(codes):
        (tmp_path / "json" / f"room_{n}.json").write_text(to_json(code), encoding="utf-8")
    (tmp_path / "json" / "bad.json").write_text("{", encoding="utf-8")
    (tmp_path / "json" / "report.json").write_text("{}", encoding="utf-8")
    listed, duplicates = list_codes(tmp_path / "json")
    assert [code.scene for code in listed] == ["bad", *(f"room_{n}" for n in range(5))]
    assert duplicates == 0
    # as the synthesize job stores them: a column a part of the code
    table = to_table(codes).append_column("work_key", pa.array(KEYS[:5]))
    table = table.append_column("status", pa.array([rows.OK] * 5))
    pq.write_table(table, tmp_path / "rooms.parquet", row_group_size=2)
    listed, _ = list_codes(tmp_path / "rooms.parquet")
    assert [code.scene for code in listed] == KEYS[:5]
    # rows out of order and from several row groups
    assert list(read_stored(listed[0].file, [4, 0, 3])) == [codes[4], codes[0], codes[3]]
    pq.write_table(to_table(codes), tmp_path / "bare.parquet")
    listed, _ = list_codes(tmp_path / "bare.parquet")
    assert [code.scene for code in listed] == [f"bare-{n}" for n in range(5)]


def test_files_that_are_no_codes_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "codes"
    folder.mkdir()
    (folder / "noise.parquet").write_bytes(b"no parquet at all")
    pq.write_table(pa.table({"x": [1]}), folder / "other.parquet")
    pq.write_table(to_table([room_of(0)]), folder / "sound.parquet")
    report = run_questions(config_for(folder, tmp_path / "out"))
    assert (report["codes"], report["done"], report["failed"]) == (3, 1, 2)
    assert {failure["uri"] for failure in report["failures"]} == {"noise.parquet", "other.parquet"}


def test_nothing_to_ask_about_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        run_questions(config_for(tmp_path / "nowhere", tmp_path / "out"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no code"):
        run_questions(config_for(tmp_path / "empty", tmp_path / "out"))


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"seed": -1}, "seed"), ({"codes_per_task": 0}, "codes_per_task"),
     ({"num_workers": -1}, "num_workers"), ({"max_failed_fraction": 2.0}, "max_failed_fraction")],
)  # fmt: skip
def test_bad_settings_name_their_key(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: expected"):
        config_for(tmp_path, tmp_path / "out", **changes)


def test_the_exit_code_follows_the_report(
    encoded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"codes={encoded}", f"output={tmp_path / 'out'}", "num_workers=0"]
    assert main(arguments) == 1  # three of six codes failed
    assert "6 codes: 3 done, 3 failed" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "overwrite=true" in capsys.readouterr().err
    assert main([*arguments, "overwrite=true", "max_failed_fraction=0.5"]) == 0
    assert main([*arguments, "generate.margins.bearing=3"]) == 2
    assert "generate.margins.bearing_deg" in capsys.readouterr().err


def test_two_runs_do_not_write_one_question_set(encoded: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with locked_folder(str(output)), pytest.raises(InputError, match="another run"):
        run_questions(config_for(encoded, output))
    assert not (output / "report.json").exists()
