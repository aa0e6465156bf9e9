"""From unseen rendered videos to answers: what the whole system gets right, and where it loses.

A seed is a row of one Ray Data stage, or of a plain loop: its room is rendered into an mp4, the
file decoded and encoded, with and without the true camera path, and questions of every family are
made from the true code. Then each question is answered from each of the codes.
"""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.evaluate.answering import Known, Progress, answer_rooms
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.vsibench import BenchmarkData, asked_rooms, folds_of, known_by_fold
from pipelines.on_ray.dataset import through_actors
from pipelines.stored import rows
from spatialcode.config import to_dict
from spatialcode.encoder.protocol import Encoder
from spatialcode.errors import EncodeError
from spatialcode.evaluation.answer_report import rooms_figure, rooms_markdown, summarise_rooms
from spatialcode.evaluation.report import write_report
from spatialcode.evaluation.room_files import room_key
from spatialcode.questions.types import QuestionItem
from spatialcode.reasoning.generate import GenerateConfig, generate
from spatialcode.scene.schema import SpatialCode
from spatialcode.synthetic.renderers import check_renderer
from spatialcode.threads import limit_threads

Row = dict[str, Any]

#: Whose code a question is answered from.
TRUE, GIVEN, PREDICTED = "true_code", "given_poses", "predicted_poses"
CONDITIONS = (TRUE, GIVEN, PREDICTED)


@dataclass(frozen=True)
class MadeRoom:
    """One room: what is asked, and its code as it is and as the encoder sees it."""

    scene: str
    codes: dict[str, SpatialCode]
    items: tuple[QuestionItem, ...]


class RoomMaker:
    """The stage: one seed in, one row with a made room out, whatever happens."""

    def __init__(self, config: EvaluateConfig, encoder: Encoder) -> None:
        limit_threads(1)
        from spatialcode.api import VideoEncoder

        self.config = config
        self.encoder = VideoEncoder(encoder, config.device)
        limit_threads(1)  # again, for libraries that the encoder has brought

    def __call__(self, row: Row) -> Row:
        scene = room_key(row["seed"])
        try:
            room = self._make(row["seed"], scene)
        except Exception as error:  # the one boundary of a row: an error is data
            return {"scene": scene, "room": b"", **rows.failure(error, "encode")}
        done = {"status": rows.OK, "error_code": None, "error": None}
        return {"scene": scene, "room": pickle.dumps(room), **done}

    def _make(self, seed: int, scene: str) -> MadeRoom:
        from spatialcode.synthetic.clips import ClipConfig, make_clip
        from spatialcode.synthetic.videos import write_clip

        num_frames = self.config.num_frames or self.encoder.encoder.frames.count
        clip = make_clip(seed, ClipConfig(num_frames, renderer=self.config.renderer))
        with tempfile.TemporaryDirectory() as folder:
            video = Path(folder) / f"{scene}.mp4"
            code = write_clip(clip, video)
            codes = {TRUE: code, **self._seen(video, code)}
        asked = GenerateConfig(questions_per_family=self.config.num_questions)
        made = generate(code, scene=scene, seed=seed, config=asked)
        return MadeRoom(scene, codes, made.items)

    def _seen(self, video: Path, truth: SpatialCode) -> dict[str, SpatialCode]:
        """The video through the encoder: told the path, and told the lens alone."""
        import numpy as np

        from spatialcode.api import KnownCamera, Sampling, encode

        K = truth.cameras[0].intrinsics()
        path = KnownCamera(
            K=K,
            times_s=np.array([camera.t_s for camera in truth.cameras]),
            T_world_camera=np.stack([camera.matrix() for camera in truth.cameras]),
        )
        lens = KnownCamera(K=K) if self.config.known_intrinsics else KnownCamera()
        sampling = Sampling(num_frames=self.config.num_frames)
        return {
            # rendered here a moment ago, so that no sandbox is needed around the decoder
            name: encode(
                video, encoder=self.encoder, sampling=sampling, camera=camera, sandbox=False
            )
            for name, camera in ((GIVEN, path), (PREDICTED, lens))
        }


def run_rooms(config: EvaluateConfig, on_progress: Progress | None = None) -> Row:
    """Evaluate, write the report's forms into the report folder, and return it.

    Priors are fitted fold by fold on the true codes of the other folds' rooms and, for the
    encoder's codes, on its codes of them. EncodeError where every room failed.
    """
    rooms, failures = _made(config, on_progress)
    if not rooms:
        raise EncodeError(f"all {len(failures)} rooms failed, the first with: {failures[0]}")
    fold = folds_of([room.scene for room in rooms], config.prior_folds)
    items = [item for room in rooms for item in room.items]
    truth = {room.scene: room.codes[TRUE] for room in rooms}
    answers = {}
    for name in CONDITIONS:
        codes = {room.scene: room.codes[name] for room in rooms}
        known = known_by_fold(
            config, BenchmarkData(items, codes, None if name == TRUE else truth), fold
        )
        if name == TRUE:  # exact codes need priors for nothing but what no code holds
            known = [Known(None, one.blind, one.frequent) for one in known]
        asked = asked_rooms(items, codes, fold)
        answers[name] = [
            {"condition": name, **answer} for answer in answer_rooms(asked, known, config)
        ]
    report = {"benchmark": "rooms", **summarise_rooms(answers)}
    report.update(num_rooms=len(rooms) + len(failures), num_failed=len(failures))
    report["failures"] = failures
    report["config"] = to_dict(config)
    write_report(
        report, Path(config.report), markdown=rooms_markdown(report), figure=rooms_figure(report),
        rows={"answers.jsonl": [row for found in answers.values() for row in found]},
    )  # fmt: skip
    return report


def _made(config: EvaluateConfig, on_progress: Progress | None) -> tuple[list[MadeRoom], list[str]]:
    """Every seed's room, in order, and why the others failed."""
    seeds = [{"seed": seed} for seed in range(config.seed, config.seed + config.num_rooms)]
    check_renderer(config.renderer)  # a wrong name fails here, not in every actor
    encoder = config.encoder.make()
    rooms: list[MadeRoom] = []
    failures: list[str] = []
    for row in through_actors(seeds, RoomMaker, (config, encoder), config.workers):
        if row["status"] == rows.OK:
            rooms.append(pickle.loads(row["room"]))  # noqa: S301 - pickled by the stage above
        else:
            failures.append(f"{row['scene']}: {row['error']}")
        if on_progress is not None:
            on_progress(len(rooms), len(failures), len(seeds))
    assert len(rooms) + len(failures) == len(seeds), "a room was lost"
    return sorted(rooms, key=lambda room: room.scene), sorted(failures)
