"""Question benchmarks over hand-made rooms: scores, baselines, folds, attribution, faults."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.evaluate import main
from pipelines.evaluate.answering import AskedRoom, Known, answer_rooms, score
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.vsibench import BenchmarkData, folds_of, known_by_fold, run_vsibench
from pipelines.stored.questions import read_questions
from pipelines.stored.reading import read_codes
from spatialcode.errors import FormatError, InputError
from spatialcode.evaluation.answer_report import attribution, markdown, summarise
from spatialcode.questions.types import QuestionItem
from spatialcode.reasoning.priors.fit import MostFrequent
from spatialcode.reasoning.priors.known import Priors
from spatialcode.scene.table import ARROW_SCHEMA, to_row
from spatialcode.scene.text import to_json
from tests.scene.builders import chair, code

NOTHING = Known(None, Priors(), MostFrequent())


def thing(name: str, x_m: float, y_m: float) -> Any:
    """A cube of 1 m, so that aligned ones are the gap along an axis apart."""
    return chair(
        id=f"{name}_1", label=name, center_m=(x_m, y_m, 0.5), size_m=(1.0, 1.0, 1.0), score=1.0
    )


def room(shift_m: float = 0.0, without: str = "") -> Any:
    """A sofa, a tv 4 m north of it, a lamp 3 m west; ``shift_m`` moves the tv farther north."""
    things = [thing("sofa", 0.0, 0.0), thing("tv", 0.0, 4.0 + shift_m), thing("lamp", -3.0, 0.0)]
    return code(objects=tuple(item for item in things if item.label != without))


def asked(scene: str, dataset: str = "a") -> list[QuestionItem]:
    """Four questions with answers by hand: cubes 4 m apart leave 3 m; west is left of north."""

    def ask(name: str, kind: str, text: str, truth: str, *options: str) -> QuestionItem:
        return QuestionItem(
            id=f"{scene}-{name}", scene=scene, question_type=kind, question=text,
            options=options, ground_truth=truth, dataset=dataset,
        )  # fmt: skip

    return [
        ask("far", "object_abs_distance",
            "What is the distance between the sofa and the tv (in meters)?", "3.0"),
        ask("count", "object_counting", "How many tv(s) are in this room?", "1"),
        ask("side", "object_rel_direction_easy",
            "If I am standing by the sofa and facing the tv, is the lamp to the left or the right?",
            "A", "A. left", "B. right"),
        ask("odd", "object_counting", "What does the room smell of?", "2"),
    ]  # fmt: skip


def written(folder: Path, scenes: list[str], codes: dict[str, Any]) -> tuple[Path, Path]:
    """Questions as JSONL and codes as a folder of JSON."""
    items = [item for scene in scenes for item in asked(scene, scene[0])]
    questions = folder / "questions.jsonl"
    questions.write_text("".join(json.dumps(vars(item)) + "\n" for item in items))
    boxes = folder / "codes_of_scenes"
    boxes.mkdir(exist_ok=True)
    for scene, made in codes.items():
        (boxes / f"{scene}.json").write_text(to_json(made))
    return questions, boxes


@pytest.fixture
def config(tmp_path: Path) -> EvaluateConfig:
    scenes = [f"a{n}" for n in range(4)] + ["b0"]
    questions, boxes = written(tmp_path, scenes, {scene: room() for scene in scenes})
    return EvaluateConfig(
        report=str(tmp_path / "report"), benchmark="vsibench", questions=str(questions),
        boxes=str(boxes), num_workers=0, priors="none", prior_folds=2,
    )  # fmt: skip


def test_scores_by_hand(config: EvaluateConfig) -> None:
    report = run_vsibench(config)
    tasks = report["tasks"]
    assert tasks["object_abs_distance"]["score"] == 100.0
    assert tasks["object_rel_direction_easy"]["score"] == 100.0
    # every second counting question is none: it stays a row, with 0 points
    assert tasks["object_counting"]["score"] == 50.0
    assert (tasks["object_counting"]["unanswered"], report["num_unanswered"]) == (5, 5)
    assert report["num_questions"] == sum(
        task["n"] for name, task in tasks.items() if name != "object_rel_direction"
    )
    # the mean of three tasks, and of the same three, which boxes decide
    assert report["mean"]["score"] == pytest.approx(250 / 3)
    assert report["mean_of_box_tasks"]["score"] == pytest.approx(250 / 3)
    assert set(report["datasets"]) == {"a", "b"}
    answers = [json.loads(x) for x in (Path(config.report) / "answers.jsonl").open()]
    (far,) = [answer for answer in answers if answer["id"] == "a0-far"]
    assert far["value"] == 3.0
    assert "distance(sofa_1, tv_1) = 3.00 m" in far["evidence"]
    (odd,) = [answer for answer in answers if answer["id"] == "b0-odd"]
    assert "not understood" in odd["error"]
    for name in ("report.json", "report.md", "report.html"):
        assert (Path(config.report) / name).stat().st_size > 500


def test_ray_gives_the_same_answers(config: EvaluateConfig, ray_session: Any) -> None:
    plain = run_vsibench(config)
    through_ray = run_vsibench(replace(config, num_workers=2))
    assert through_ray["tasks"] == plain["tasks"]


def test_attribution_adds_up(config: EvaluateConfig, tmp_path: Path) -> None:
    # the perceiver puts the tv 0.6 m too far: 3.6 for 3.0 is 20 % off, levels 0.5 to 0.8: 70
    other = tmp_path / "perceived"
    other.mkdir()
    _, perceived = written(other, [], {f"a{n}": room(0.6) for n in range(4)})
    config = replace(config, boxes=str(perceived), truth_boxes=config.boxes)
    report = run_vsibench(config)
    assert report["num_without_boxes"] == 4  # those of room b0
    lost = report["attribution"]["object_abs_distance"]
    assert lost["perceived"] == pytest.approx(70.0)
    assert lost["annotated"] == pytest.approx(100.0)
    assert lost["lost_to_perception"] == pytest.approx(30.0)
    for entry in report["attribution"].values():
        total = entry["perceived"] + entry["lost_to_perception"] + entry["lost_to_reasoning"]
        assert total == pytest.approx(100.0)


def test_a_missing_thing_is_guessed_and_said_so(config: EvaluateConfig) -> None:
    rooms = [AskedRoom("a0", room(without="tv"), tuple(asked("a0")))]
    answers = {row["id"]: row for row in answer_rooms(rooms, [NOTHING], config)}
    assert answers["a0-far"]["grounded"] is False
    assert answers["a0-far"]["error"] is None
    assert "assumed" in answers["a0-far"]["evidence"]


def test_an_error_of_the_reasoner_is_a_failed_row(
    config: EvaluateConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    # priors that are no priors break the solver on every question it has no grounded answer to
    broken = Known(
        "priors",  # type: ignore[arg-type]
        Priors(), MostFrequent(),
    )  # fmt: skip
    rooms = [AskedRoom("a0", room(without="tv"), tuple(asked("a0")))]
    answers = {row["id"]: row for row in answer_rooms(rooms, [broken], config)}
    assert answers["a0-far"]["failed"] is True
    assert "AttributeError" in answers["a0-far"]["error"]
    report = summarise(list(answers.values()))
    assert report["num_failed"] >= 1
    assert report["tasks"]["object_abs_distance"]["score"] == 0.0


def test_folds_keep_scans_of_one_room_together_and_priors_apart(
    config: EvaluateConfig, tmp_path: Path
) -> None:
    fold = folds_of(["scene0001_00", "scene0001_01", "scene0002_00", "x"], 3)
    assert fold["scene0001_00"] == fold["scene0001_01"]
    assert len(set(fold.values())) == 3
    # what a room's own questions say cannot reach its baselines: a wild truth in a0 changes
    # the guesses of other folds at most
    lines = Path(str(config.questions)).read_text().splitlines()
    wild = [
        json.dumps({**json.loads(line), "ground_truth": "9000"}) if '"a0-far"' in line else line
        for line in lines
    ]
    changed = tmp_path / "wild.jsonl"
    changed.write_text("\n".join(wild) + "\n")

    def blind(questions: str) -> dict[str, float]:
        run_vsibench(replace(config, questions=questions, priors="folds"))
        rows = [json.loads(x) for x in (Path(config.report) / "answers.jsonl").open()]
        same_fold = ("a0", "a2", "b0")
        assert {folds_of(["a0", "a1", "a2", "a3", "b0"], 2)[name] for name in same_fold} == {0}
        return {
            row["id"]: row["most_frequent"] for row in rows
            if row["scene"] in same_fold and row["id"] != "a0-far"
        }  # fmt: skip

    assert blind(str(changed)) == blind(str(config.questions))


def test_nothing_is_known_of_a_fold_from_its_own_rooms(config: EvaluateConfig) -> None:
    # every truth of fold 0 is made wild: what is known in fold 0 stays, in fold 1 it changes
    def known(truths_of_fold_0: dict[str, str]) -> list[Known]:
        scenes = {"a0": 0, "a1": 1, "a2": 0, "a3": 1}
        codes = {scene: room() for scene in scenes}
        items = [
            replace(item, ground_truth=truths_of_fold_0[item.question_type])
            if scenes[item.scene] == 0 and item.question_type in truths_of_fold_0 else item
            for scene in scenes for item in asked(scene)
        ]  # fmt: skip
        material = BenchmarkData(items, codes, None)
        return known_by_fold(replace(config, priors="folds", prior_folds=2), material, scenes)

    wild = {"object_abs_distance": "9.0", "object_counting": "7", "object_rel_direction_easy": "B"}
    true_0, true_1 = known({})
    wild_0, wild_1 = known(wild)
    assert (true_0.frequent, true_0.blind) == (wild_0.frequent, wild_0.blind)
    assert true_0.priors == true_0.blind
    assert true_1.frequent.numbers == {"object_abs_distance": 3.0, "object_counting": 1.0}
    assert wild_1.frequent.numbers == {"object_abs_distance": 9.0, "object_counting": 7.0}
    assert true_1.blind.typical_distance_m != wild_1.blind.typical_distance_m


def test_questions_about_rooms_without_boxes_are_said(config: EvaluateConfig) -> None:
    (Path(str(config.boxes)) / "b0.json").unlink()
    report = run_vsibench(config)
    assert (report["num_questions"], report["num_without_boxes"]) == (16, 4)
    assert "4 more are about rooms without boxes" in markdown(report)
    assert "more are about" not in markdown(summarise([]) | {"num_without_boxes": 0})


def test_most_frequent_answer_by_hand() -> None:
    items = [item for n in range(3) for item in asked(f"r{n}")]
    items.append(replace(items[0], id="more", ground_truth="5.0"))
    frequent = MostFrequent.of(items)
    far, count, side, _ = asked("new")
    assert frequent.answer(far) == (None, 3.0)  # three times 3.0, once 5.0
    assert frequent.answer(count) == (None, 1.0)  # 1 and 2 three times each: the smaller
    assert frequent.answer(side) == ("A", 0.0)
    # the words are what counts, wherever they are offered; else the letter
    assert frequent.answer(replace(side, options=("A. right", "B. left"))) == ("B", 0.0)
    assert frequent.answer(replace(side, options=("A. up", "B. down"))) == ("A", 0.0)
    assert MostFrequent().answer(replace(side, options=("C. up", "D. down"))) == ("C", 0.0)


def test_score_by_hand() -> None:
    far, _, side, _ = asked("s")
    assert score("A", "left", side) == 100.0
    assert score("B", "right", side) == 0.0
    assert score(None, None, side) == 0.0
    assert score(None, 3.3, far) == 90.0  # 10 % off: all levels but 0.95
    assert score(None, None, far) == 0.0


def test_direction_is_the_mean_of_its_levels() -> None:
    def row(task: str, points: float, scene: str) -> dict[str, Any]:
        return {
            "task": task, "score": points, "priors_only": 0.0, "most_frequent": 0.0,
            "scene": scene, "dataset": "", "grounded": True, "error": None, "failed": False,
        }  # fmt: skip

    rows = [row("object_rel_direction_easy", 100.0, "x")] * 9
    rows += [row("object_rel_direction_hard", 0.0, "y"), row("object_counting", 80.0, "x")]
    report = summarise(rows)
    assert report["tasks"]["object_rel_direction"]["score"] == 50.0
    assert report["mean"]["score"] == 65.0
    low, high = report["tasks"]["object_rel_direction"]["ci95"]
    assert (low, high) == (0.0, 100.0)  # a draw may miss either room
    assert "| object_counting | 80.0 (80.0–80.0)" in markdown(report)
    assert attribution(report, report)["object_counting"]["lost_to_perception"] == 0.0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", ":2: not JSON"),
        ('{"id": "x"}', ":2: expected id, scene"),
        ("[1]", ":2: expected id, scene"),
        (json.dumps(vars(asked("a0")[0])), ":2: id 'a0-far' occurs twice"),
        (
            json.dumps({**vars(asked("b")[0]), "ground_truth": "n/a"}),
            ":2: ground_truth: expected a number without options, got 'n/a'",
        ),
        (json.dumps({**vars(asked("b")[0]), "ground_truth": "nan"}), ":2: ground_truth: .*number"),
        (
            json.dumps({**vars(asked("b")[2]), "ground_truth": "C"}),
            ":2: ground_truth: expected one of A, B, got 'C'",
        ),
    ],
)
def test_a_bad_question_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(vars(asked("a0")[0])) + "\n" + line + "\n")
    with pytest.raises(FormatError, match=message):
        read_questions(path)


def test_missing_files_and_foreign_rooms_are_named(
    config: EvaluateConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_questions(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="does not exist"):
        read_codes(tmp_path / "none")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no code"):
        read_codes(empty)
    (empty / "other.json").write_text(to_json(room()))
    arguments = [f"report={tmp_path / 'r'}", "benchmark=vsibench", "num_workers=0"]
    assert main([*arguments, f"questions={config.questions}", f"boxes={empty}"]) == 1
    assert "none of 20 is about a scene" in capsys.readouterr().err


def test_codes_are_known_by_their_videos_names_where_benchmarks_are(tmp_path: Path) -> None:
    def stored(*rows_: tuple[str, str]) -> Path:
        kept = [
            {"work_key": key, "uri": uri, "status": "ok", "code": to_row(room())}
            for key, uri in rows_
        ]
        keys = [(name, pa.string()) for name in ("work_key", "uri", "status")]
        schema = pa.schema([*keys, ("code", pa.struct(ARROW_SCHEMA))])
        path = tmp_path / "codes.parquet"
        pq.write_table(pa.Table.from_pylist(kept, schema=schema), path)
        return path

    path = stored(("k1", "/videos/a0.mp4"), ("k2", "s3://bucket/b0.mp4"), ("k3", "c.mp4"))
    assert set(read_codes(path)) == {"k1", "k2", "k3"}
    assert set(read_codes(path, {"a0", "b0", "other"})) == {"a0", "b0", "k3"}
    assert set(read_codes(path, {"a0", "k1"})) == {"k1", "k2", "k3"}  # its own name goes first
    with pytest.raises(InputError, match="more than one code of scene 'a0'"):
        read_codes(stored(("k1", "x/a0.mp4"), ("k2", "y/a0.mp4")), {"a0"})


def test_what_boxes_do_not_say_is_stated(config: EvaluateConfig, tmp_path: Path) -> None:
    # y is up, so published (x, y, z) is world (z, x, y) and north is published x; w comes last
    turn = (0.0, 0.0, 0.0, 1.0)
    things = [
        {"label": label, "bbox_3d": [north_m, 0.5, east_m, 1.0, 1.0, 1.0, *turn]}
        for label, north_m, east_m in (("sofa", 0.0, 0.0), ("tv", 4.0, 0.0), ("lamp", 0.0, -3.0))
    ]
    boxes = tmp_path / "ten.jsonl"
    boxes.write_text(json.dumps({"scene": "a0", "objects": things}) + "\n")
    with pytest.raises(FormatError, match="scalar_first to be stated"):
        run_vsibench(replace(config, boxes=str(boxes)))
    stated = replace(
        config, boxes=str(boxes), boxes_up="y", boxes_order=(0, 1, 2), boxes_scalar_first=False
    )
    tasks = run_vsibench(stated)["tasks"]
    assert tasks["object_abs_distance"]["score"] == 100.0
    assert tasks["object_rel_direction_easy"]["score"] == 100.0


def test_a_broken_table_of_codes_is_no_smaller_benchmark(config: EvaluateConfig) -> None:
    (Path(str(config.boxes)) / "more.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(InputError, match=r"more\.parquet: is no Parquet file"):
        read_codes(str(config.boxes))


def test_the_job_prints_the_table(
    config: EvaluateConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"report={tmp_path / 'r'}", "benchmark=vsibench", "num_workers=0"]
    assert main([*arguments, f"questions={config.questions}", f"boxes={config.boxes}"]) == 0
    out = capsys.readouterr().out
    assert "| object_abs_distance | 100.0 (100.0–100.0) |" in out
    assert str(tmp_path / "r") in out
