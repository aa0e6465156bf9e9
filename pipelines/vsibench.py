"""VSI-Bench over spatial codes: a room and its questions are one row of one Ray Data stage, or a
plain loop.

Questions are read from text and options alone. A question that cannot be answered is a scored row
with an error; the report's counts add up.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.evaluate_config import EvaluateConfig
from pipelines.local_ray import connect
from pipelines.vsibench_report import summarise, write_report
from spatialcode.config import to_dict
from spatialcode.errors import FormatError, InputError
from spatialcode.questions.parse import parse
from spatialcode.questions.types import QuestionItem
from spatialcode.reasoning.fit import fit_priors, room_group
from spatialcode.reasoning.metrics import mean_relative_accuracy
from spatialcode.reasoning.priors import Priors
from spatialcode.reasoning.solver import solve, solve_blind
from spatialcode.scene.formats import read_boxes
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import from_json, to_json

Row = dict[str, Any]
#: The most frequent answer, and priors alone, beside the reasoner itself.
BLIND = "blind"


def read_questions(path: str | Path) -> list[QuestionItem]:
    """The questions of a JSONL file. FormatError with file and line where one does not fit."""
    items = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            items.append(
                QuestionItem(
                    id=str(row["id"]), scene=str(row["scene"]), dataset=str(row.get("dataset", "")),
                    question_type=row["question_type"], question=row["question"],
                    options=tuple(row["options"] or ()), ground_truth=str(row["ground_truth"]),
                )
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            expected = "id, scene, question_type, question, options, ground_truth"
            raise FormatError(f"{path}:{number}: expected {expected}; {error!r}") from error
    return items


def read_codes(path: str | Path) -> dict[str, SpatialCode]:
    """Codes by scene: a file of boxes, or a folder of codes as JSON named by their scene."""
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        return {file.stem: from_json(file.read_text(encoding="utf-8")) for file in files}
    if not path.is_file():
        raise InputError(f"boxes: {path} does not exist")
    return read_boxes(path)


def folds_of(scenes: Sequence[str], num_folds: int) -> dict[str, int]:
    """The fold of each scene; scans of one room fall into one fold."""
    groups = sorted({room_group(scene) for scene in scenes})
    number = {group: n % num_folds for n, group in enumerate(groups)}
    return {scene: number[room_group(scene)] for scene in scenes}


class RoomSolver:
    """The stage: one room with its questions in, one row with an answer each out."""

    def __init__(self, priors: Sequence[Priors]) -> None:
        self.priors = priors

    def __call__(self, row: Row) -> Row:
        code = from_json(row["code"])
        priors = self.priors[row["fold"]] if self.priors else None
        answers = [self._answer(item, code, priors) for item in json.loads(row["items"])]
        return {"scene": row["scene"], "answers": json.dumps(answers)}

    @staticmethod
    def _answer(row: Row, code: SpatialCode, priors: Priors | None) -> Row:
        item = QuestionItem(**{**row, "options": tuple(row["options"])})
        result: Row = {
            "id": item.id, "scene": item.scene, "dataset": item.dataset,
            "task": item.question_type, "error": None, "grounded": False, "evidence": "",
            "score": 0.0, BLIND: 0.0, "answer": None, "confidence": 0.0,
        }  # fmt: skip
        try:
            question = parse(item.question, item.options)
            answer = solve(question, code, priors)
            result.update(
                answer=answer.final(), grounded=answer.grounded, evidence=answer.evidence.text(),
                confidence=answer.confidence, score=score(answer.option, answer.value, item),
            )  # fmt: skip
            guess = solve_blind(question, priors)
            result[BLIND] = score(guess.option, guess.value, item)
        except Exception as error:  # the one boundary of a question: an error is data
            result["error"] = f"{type(error).__name__}: {error}"
        return result


def score(option: str | None, value: float | str, item: QuestionItem) -> float:
    """0 to 100: exact match of the letter, or mean relative accuracy."""
    if item.options:
        return 100.0 * float(option == item.ground_truth)
    return 100.0 * mean_relative_accuracy(float(value), float(item.ground_truth))


def run_vsibench(config: EvaluateConfig) -> Row:
    """Evaluate, write the report's forms into the report folder, and return it.

    With ``truth_boxes`` the priors are fitted to the habits of whoever made ``boxes``, fold by
    fold on the other folds' rooms, and every task's loss is attributed to perception or reasoning.
    """
    assert config.questions is not None
    assert config.boxes is not None
    items = read_questions(config.questions)
    codes = read_codes(config.boxes)
    asked = [item for item in items if item.scene in codes]
    if not asked:
        raise InputError(f"questions: none of {len(items)} is about a scene of {config.boxes}")
    truth = None if config.truth_boxes is None else read_codes(config.truth_boxes)
    fold = folds_of(sorted({*codes, *(truth or {})}), config.prior_folds)
    priors = _priors(config, items, codes, truth, fold)
    answers = _answers(asked, codes, fold, priors, config)
    report = summarise(answers)
    if truth is not None:
        exact = [item for item in asked if item.scene in truth]
        with_truth = summarise(_answers(exact, truth, fold, [], config))
        report["attribution"] = {
            name: {
                "perceived": task["score"], "annotated": with_truth["tasks"][name]["score"],
                "lost_to_perception": with_truth["tasks"][name]["score"] - task["score"],
                "lost_to_reasoning": 100.0 - with_truth["tasks"][name]["score"],
            }
            for name, task in report["tasks"].items() if name in with_truth["tasks"]
        }  # fmt: skip
    report["num_without_boxes"] = len(items) - len(asked)
    report["config"] = to_dict(config)
    assert report["num_questions"] == len(asked), "a question was lost"
    write_report(report, answers, Path(config.report))
    return report


def _priors(
    config: EvaluateConfig, items: Sequence[QuestionItem], codes: Mapping[str, SpatialCode],
    truth: Mapping[str, SpatialCode] | None, fold: Mapping[str, int],
) -> list[Priors]:  # fmt: skip
    """One set a fold, fitted on the rooms of the other folds; none where none are wanted."""
    if config.priors == "none":
        return []
    rooms = truth or codes
    return [
        fit_priors(
            {scene: code for scene, code in rooms.items() if fold[scene] != n},
            items, None if truth is None else codes,
        )
        for n in range(config.prior_folds)
    ]  # fmt: skip


def _answers(
    items: Sequence[QuestionItem], codes: Mapping[str, SpatialCode], fold: Mapping[str, int],
    priors: Sequence[Priors], config: EvaluateConfig,
) -> list[Row]:  # fmt: skip
    by_scene: dict[str, list[Row]] = defaultdict(list)
    for item in items:
        by_scene[item.scene].append(vars(item))
    rows = [
        {
            "scene": scene,
            "fold": fold[scene],
            "code": to_json(codes[scene]),
            "items": json.dumps(asked),
        }
        for scene, asked in sorted(by_scene.items())
    ]
    stream = (
        map(RoomSolver(priors), rows) if config.num_workers == 0 else _ray(rows, priors, config)
    )
    answers = [answer for row in stream for answer in json.loads(row["answers"])]
    return sorted(answers, key=lambda answer: (answer["scene"], answer["id"]))


def _ray(rows: list[Row], priors: Sequence[Priors], config: EvaluateConfig) -> Iterator[Row]:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    connect(config.ray_address)
    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    stage: Any = RoomSolver
    dataset = ray.data.from_items(rows).map(
        stage,
        fn_constructor_args=(priors,),
        # Actors, because the priors are megabytes that need to arrive once.
        compute=ActorPoolStrategy(min_size=1, max_size=config.num_workers),
        num_cpus=1,
    )
    yield from dataset.iter_rows()
