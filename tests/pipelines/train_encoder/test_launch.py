"""Training runs end to end, tiny: files, resuming, Ray Train, a killed worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.train_encoder.config import Pictures, TrainEncoderConfig
from pipelines.train_encoder.launch import (
    finish,
    first_unused_seed,
    num_rooms,
    rendered_rows,
    train_in_process,
    train_on_ray,
)
from pipelines.train_encoder.run import (
    STATE_FILE,
    WEIGHTS_FILE,
    FrameSource,
    frames_of_room,
)
from pipelines.training.rows import METRICS_FILE, read_rows
from spatialcode.encoder.small.encoder import SmallEncoder, load_weights
from spatialcode.errors import ConfigError
from spatialcode.files import append_jsonl

TINY = {
    "num_steps": 4,
    "batch_size": 4,
    "buffer_frames": 32,
    "frames_per_room": 4,
    "num_validation_rooms": 1,
    "checkpoint_every_steps": 2,
    "bfloat16": False,
}


def step_of(output: Path) -> int:
    return int(torch.load(output / STATE_FILE, weights_only=True)["step"])


def test_a_run_leaves_weights_metrics_and_a_state_to_go_on_from(tmp_path: Path) -> None:
    config = TrainEncoderConfig(output=str(tmp_path), launcher="process", **TINY)
    train_in_process(config)
    assert step_of(tmp_path) == 4
    rows = read_rows(tmp_path / METRICS_FILE)
    assert rows[-1]["kind"] == "validation"
    assert 0 < rows[-1]["exact"]["depth_abs_rel"] < 100
    first, _ = load_weights(tmp_path / WEIGHTS_FILE)
    append_jsonl(tmp_path / METRICS_FILE, [{"kind": "train", "step": 5}])  # before it was killed
    train_in_process(replace(config, num_steps=6))
    assert step_of(tmp_path) == 6, "went on from step 4"
    assert [row["step"] for row in read_rows(tmp_path / METRICS_FILE)] == [4, 6]
    second, card = load_weights(tmp_path / WEIGHTS_FILE)
    assert card["step"] == 6
    changed = zip(first.parameters(), second.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in changed)


def test_a_resumed_run_renders_rooms_it_has_not_had(tmp_path: Path) -> None:
    config = TrainEncoderConfig(output=str(tmp_path), first_seed=50, **TINY)
    state = tmp_path / STATE_FILE
    assert first_unused_seed(config, state) == 50
    torch.save({"step": 4}, state)
    assert first_unused_seed(config, state) == 50 + num_rooms(config)


def test_rooms_suffice_for_the_steps() -> None:
    config = TrainEncoderConfig(output="x", num_steps=1000, batch_size=32, frame_uses=2.0)
    frames = num_rooms(config) * config.frames_per_room
    assert frames * config.frame_uses >= 1000 * 32


def test_ray_data_and_processes_render_the_same() -> None:
    stream = rendered_rows({"id": np.array([2])}, first_seed=5, pictures=Pictures(num_a_room=3))
    (row,) = list(stream)
    alone = frames_of_room(7, Pictures(num_a_room=3)).arrays()
    assert row.keys() == alone.keys()
    for name, values in alone.items():
        np.testing.assert_array_equal(row[name], values)


def test_seeds_of_workers_do_not_meet_and_stay_below_validation() -> None:
    first, second = FrameSource(0, 2).seeds(), FrameSource(1, 2).seeds()
    assert not {next(first) for _ in range(50)} & {next(second) for _ in range(50)}
    assert max(next(FrameSource(899_999_999).seeds()) for _ in range(3)) < 900_000_000


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"launcher": "torchrun"}, "launcher"),
        ({"launcher": "process", "num_workers": 2}, "num_workers"),
        ({"num_workers": 2, "max_seconds": 60.0}, "max_seconds"),
        ({"frame_uses": 0.5}, "frame_uses"),
    ],
)
def test_settings_that_cannot_work_are_named(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: "):
        TrainEncoderConfig(output="x", **values)


def test_calibration_is_fitted_and_comes_with_the_weights(tmp_path: Path) -> None:
    config = TrainEncoderConfig(
        output=str(tmp_path), launcher="process", num_calibration_rooms=1, **TINY
    )
    train_in_process(config)
    card = finish(config, "the command")
    encoder = SmallEncoder(str(tmp_path / WEIGHTS_FILE)).load()
    assert encoder.stages.calibration.to_dict() == card["calibration"]
    written = json.loads((tmp_path / "encoder.json").read_text())
    assert written["command"] == "the command"
    assert written["training"]["step"] == 4
    assert (tmp_path / "curve.html").stat().st_size > 1000


@pytest.mark.slow
def test_two_ray_workers_train_one_model_and_survive_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two DDP workers is killed after the first checkpoint; the run ends all the same."""
    import ray

    ray.shutdown()  # the Ray that tests share has fewer cores than this training reserves
    # workers inherit the environment: others' on this machine are left alone
    monkeypatch.setenv("SPATIALCODE_TEST_RUN", str(tmp_path))
    config = TrainEncoderConfig(
        output=str(tmp_path), launcher="ray", num_workers=2, **{**TINY, "num_steps": 8}
    )
    killed: list[int] = []

    def kill_a_worker_once() -> None:
        while not (tmp_path / STATE_FILE).is_file():
            time.sleep(0.2)
        found = subprocess.run(
            ["pgrep", "-f", "ray::RayTrainWorker"], capture_output=True, text=True, check=False
        )
        ours = str(tmp_path).encode()
        workers = [
            p for p in found.stdout.split() if ours in Path(f"/proc/{p}/environ").read_bytes()
        ]
        for pid in workers[:1]:
            os.kill(int(pid), signal.SIGKILL)
            killed.append(int(pid))

    threading.Thread(target=kill_a_worker_once, daemon=True).start()
    train_on_ray(config)
    assert killed, "the fault was planted"
    assert step_of(tmp_path) == 8
    load_weights(tmp_path / WEIGHTS_FILE)
