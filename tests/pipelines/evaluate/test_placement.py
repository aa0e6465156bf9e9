"""What an evaluation's workers reserve of a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.evaluate import encoder as rooms
from pipelines.evaluate import placement, recorded
from pipelines.evaluate.config import EvaluateConfig
from pipelines.on_ray.dataset import Workers
from spatialcode.config import load_config
from spatialcode.encoder.protocol import Encoder, FrameRequest
from spatialcode.errors import ConfigError, EncodeError

Asked = list[tuple[str, int, int, int]]


def configured(*settings: str) -> EvaluateConfig:
    return load_config(EvaluateConfig, None, ["report=x", "num_gpus=auto", *settings])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What a cluster was asked, whose GPUs hold six encoders and a half."""
    found: Asked = []

    def measure(encoder: Encoder, device: str, num_clips: int, frames: FrameRequest) -> float:
        found.append((device, num_clips, frames.count, frames.side_px))
        return 0.15

    monkeypatch.setattr(placement, "measured_num_gpus", measure)
    monkeypatch.setattr(placement, "connect_for_data", lambda *_: None)
    return found


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Workers]:
    """The workers that a run's rows are sent through; they return none."""
    found: list[Workers] = []

    def through(rows: object, stage: object, arguments: object, workers: Workers) -> list[object]:
        found.append(workers)
        row = {"name": "x", "status": "failed", "error_code": "encode", "error": "nobody there"}
        return [{**row, "result": b""}]

    for module in (rooms, recorded):
        monkeypatch.setattr(module, "through_actors", through)
    return found


def test_rooms_are_measured_in_their_own_size(asked: Asked, given: list[Workers]) -> None:
    config = configured("device=cuda", "num_rooms=1", "num_side=320", "num_frames=48")
    with pytest.raises(EncodeError, match="nobody there"):
        rooms.run_evaluate(config)
    assert asked == [("cuda", 1, 48, 320)]
    assert given == [Workers(2, 1.0, 0.15, None)]


def test_recordings_are_measured_in_the_encoders_size(
    asked: Asked, given: list[Workers], tmp_path: Path
) -> None:
    capture = tmp_path / "still"
    capture.mkdir()
    (capture / "a.mp4").touch()
    (tmp_path / "plain.mp4").touch()
    config = configured("device=cuda", "benchmark=recorded", f"recordings={tmp_path}")
    with pytest.raises(EncodeError, match="nobody there"):
        recorded.run_recorded(config)
    assert [one.place.path for one in recorded.captures_of(config)] == [capture / "a.mp4"]
    assert asked == [("cuda", 1, 128, config.encoder.make().frames.side_px)]
    assert given[0].num_gpus == 0.15


@pytest.mark.parametrize(
    "settings", [("device=cpu",), ("device=cuda", "num_workers=0"), ("device=cuda", "num_gpus=1")]
)
def test_nothing_is_measured_where_nothing_is_left_open(
    asked: Asked, settings: tuple[str, ...]
) -> None:
    config = configured(*settings)
    workers = placement.placed_workers(config, config.encoder.make(), 32)
    assert (workers, asked) == (config.workers, [])
    assert workers.num_gpus == (1.0 if "num_gpus=1" in settings else 0.0)


def test_what_is_not_measured_wants_a_number() -> None:
    with pytest.raises(ConfigError, match="num_gpus: expected a number, for rooms, got 'auto'"):
        configured("benchmark=rooms")
    with pytest.raises(ConfigError, match="num_gpus: expected a number, for vsibench"):
        configured("benchmark=vsibench", "questions=q", "boxes=b")
