"""VSI-Bench over spatial codes: priors by fold, answers, scores, and where points are lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.evaluate.answering import AskedRoom, Known, Progress, answer_rooms
from pipelines.evaluate.config import EvaluateConfig
from pipelines.stored.questions import read_questions
from pipelines.stored.reading import read_codes
from spatialcode.config import to_dict
from spatialcode.errors import InputError
from spatialcode.evaluation.answer_report import attribution, figure, markdown, summarise
from spatialcode.evaluation.report import write_report
from spatialcode.questions.types import QuestionItem
from spatialcode.reasoning.priors.fit import MostFrequent, fit_priors, room_group
from spatialcode.reasoning.priors.known import read_priors
from spatialcode.scene.schema import SpatialCode

Row = dict[str, Any]


def folds_of(scenes: Sequence[str], num_folds: int) -> dict[str, int]:
    """The fold of each scene; scans of one room fall into one fold."""
    groups = sorted({room_group(scene) for scene in scenes})
    number = {group: n % num_folds for n, group in enumerate(groups)}
    return {scene: number[room_group(scene)] for scene in scenes}


@dataclass(frozen=True)
class BenchmarkData:
    """What an evaluation is given: questions, codes by scene, and annotated codes if there are."""

    items: Sequence[QuestionItem]
    codes: Mapping[str, SpatialCode]
    truth: Mapping[str, SpatialCode] | None

    @classmethod
    def read(cls, config: EvaluateConfig) -> BenchmarkData:
        """From the files that the settings name. FormatError, InputError where they do not fit."""
        assert config.questions is not None
        assert config.boxes is not None
        items = read_questions(config.questions)
        scenes = {item.scene for item in items}
        truth = None if config.truth_boxes is None else read_codes(config.truth_boxes, scenes)
        order: Any = config.boxes_order or None
        up: Any = config.boxes_up
        codes = read_codes(
            config.boxes, scenes, order=order, up=up, scalar_first=config.boxes_scalar_first
        )
        return cls(items, codes, truth)


def run_vsibench(config: EvaluateConfig, on_progress: Progress | None = None) -> Row:
    """Evaluate, write the report's forms into the report folder, and return it.

    With ``truth_boxes`` the priors are fitted to the habits of whoever made ``boxes``, fold by
    fold on the other folds' rooms, and every task's loss is attributed to perception or reasoning.
    """
    data = BenchmarkData.read(config)
    asked = [item for item in data.items if item.scene in data.codes]
    if not asked:
        raise InputError(f"questions: none of {len(data.items)} is about a scene of {config.boxes}")
    scenes = sorted({*data.codes, *(data.truth or {})})
    fold = folds_of(scenes, config.prior_folds)
    known = known_by_fold(config, data, fold)
    rooms = asked_rooms(asked, data.codes, fold)
    answers = answer_rooms(rooms, known, config, on_progress)
    report = {"benchmark": "vsibench", **summarise(answers)}
    if data.truth is not None:
        exact = [item for item in asked if item.scene in data.truth]
        # annotated boxes need no correction: the habits in the priors are the perceiver's
        plain = [Known(None, one.blind, one.frequent) for one in known]
        annotated = answer_rooms(asked_rooms(exact, data.truth, fold), plain, config)
        report["num_failed_annotated"] = sum(answer["failed"] for answer in annotated)
        kept = {item.id for item in exact}
        perceived = [answer for answer in answers if answer["id"] in kept]
        report["attribution"] = attribution(summarise(perceived), summarise(annotated))
    report["num_without_boxes"] = len(data.items) - len(asked)
    report["config"] = to_dict(config)
    write_report(
        report, Path(config.report), markdown=markdown(report), figure=figure(report),
        rows={"answers.jsonl": answers},
    )  # fmt: skip
    return report


def known_by_fold(
    config: EvaluateConfig, data: BenchmarkData, fold: Mapping[str, int]
) -> list[Known]:
    """What may be known in each fold: fitted on the rooms of the other folds."""
    rooms = data.truth or data.codes
    perceived = None if data.truth is None else data.codes
    given = None if config.priors in ("folds", "none") else read_priors(config.priors)
    known = []
    for n in range(config.prior_folds):
        others = {scene: code for scene, code in rooms.items() if fold[scene] != n}
        items = [item for item in data.items if item.scene in others]
        blind = fit_priors(others, items, perceived)
        priors = blind if config.priors == "folds" else given
        known.append(Known(priors, blind, MostFrequent.of(items)))
    return known


def asked_rooms(
    items: Sequence[QuestionItem], codes: Mapping[str, SpatialCode], fold: Mapping[str, int]
) -> list[AskedRoom]:
    """Questions by room."""
    by_scene: dict[str, list[QuestionItem]] = defaultdict(list)
    for item in items:
        by_scene[item.scene].append(item)
    return [
        AskedRoom(scene, codes[scene], tuple(asked), fold[scene])
        for scene, asked in sorted(by_scene.items())
    ]
