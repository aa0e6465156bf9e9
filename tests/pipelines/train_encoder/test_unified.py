"""Training of the unified encoder, tiny: in one process, on two workers, and after a kill."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from jobs.train_encoder import main
from pipelines.train_encoder.config import TrainEncoderConfig
from pipelines.train_encoder.unified.clips import (
    MixedClips,
    RenderedClips,
    batches_ahead,
    with_most_seen,
)
from pipelines.train_encoder.unified.config import UnifiedTrainingConfig
from pipelines.train_encoder.unified.launch import train_unified_encoder
from spatialcode.config import load_config
from spatialcode.errors import ConfigError
from tests.encoder.unified.tiny import save_towers

ROOT = Path(__file__).parents[3]
RANKS = {"rank_00000.pt", "rank_00001.pt"}
SMALL = RenderedClips(num_frames=2, width_px=64, height_px=48)


def arguments(folder: Path, output: Path, **changes) -> list[str]:
    objects, geometry = save_towers(folder)
    values = {
        "encoder": "unified", "launcher": "process", "output": output, "num_steps": 4,
        "batch_size": 1, "checkpoint_every_steps": 2, "num_validation_rooms": 1,
        "bfloat16": False, "learning_rate": 1e-3, "unified.object_tower": objects,
        "unified.geometry_tower": geometry, "unified.num_frames": 2, "unified.width_px": 64,
        "unified.height_px": 48, "unified.max_objects": 4, "unified.warmup_steps": 2,
        "unified.network.width": 32, "unified.network.num_heads": 4,
        "unified.network.num_fusion_layers": 1, "unified.network.object_side_px": 128,
        "unified.network.geometry_side_px": 112, "unified.towers.lora_rank": 2,
    }  # fmt: skip
    return [f"{key}={value}" for key, value in (values | changes).items()]


def config(folder: Path, output: Path, **changes) -> TrainEncoderConfig:
    return load_config(TrainEncoderConfig, None, arguments(folder, output, **changes))


def tensors(output: Path) -> dict[str, np.ndarray]:
    files = sorted((output / "unified").rglob("*.safetensors"))
    return {f"{f.parent.name}/{k}": v for f in files for k, v in load_file(f).items()}


def steps(output: Path) -> list[int]:
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [row["step"] for row in rows if row["kind"] == "train"]


def test_a_clip_follows_from_its_number_and_a_batch_from_its_step():
    mixed = MixedClips((SMALL, replace(SMALL, first_seed=500)), (1.0, 3.0), max_objects=3)
    assert np.array_equal(mixed.clip(5).rgb, mixed.clip(5).rgb)
    own = [mixed.clip(i).rgb.sum() for i in range(12)]
    first = [with_most_seen(SMALL.clip(i), 3).rgb.sum() for i in range(12)]
    from_first = sum(a == b for a, b in zip(own, first, strict=True))
    assert 1 <= from_first <= 6, "about a quarter"

    asked = []

    def submit(number):
        asked.append(number)
        return lambda: SMALL.clip(number)

    batches = batches_ahead(submit, 3, 2, {"rank": 1, "world_size": 2}, ahead=2)
    next(batches), next(batches)
    # steps 3 and 4 of the second of two workers, two clips each
    assert asked == [14, 15, 18, 19]


def test_the_objects_with_most_pixels_are_kept_and_renumbered():
    clip = SMALL.clip(0)
    counts = np.bincount(clip.instance[clip.instance >= 0], minlength=len(clip.size_m))
    kept = with_most_seen(clip, 2)
    best = sorted(np.argsort(-counts, kind="stable")[:2].tolist())
    assert np.array_equal(kept.size_m, clip.size_m[best])
    for i, before in enumerate(best):
        assert np.array_equal(kept.instance == i, clip.instance == before)
    assert kept.instance.max() == 1


def test_settings_refuse_data_sets_and_shares_that_mean_nothing():
    with pytest.raises(ConfigError, match="READER:FOLDER"):
        UnifiedTrainingConfig(data={"scannet": 1.0})
    with pytest.raises(ConfigError, match="one above 0"):
        UnifiedTrainingConfig(data={"rendered": 0.0})


def test_the_shipped_settings_load():
    shipped = load_config(
        TrainEncoderConfig, ROOT / "configs" / "train_encoder" / "unified.yaml", ["output=x"]
    )
    assert (shipped.encoder, shipped.unified.network.fusion) == ("unified", "cross_attention")


def test_the_job_trains_in_one_process_and_goes_on_exactly(tmp_path):
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    assert main(arguments(tmp_path, whole)) == 0
    assert steps(whole) == [1, 2, 3, 4]
    card = json.loads((whole / "unified" / "card.json").read_text())
    assert 0.0 <= card["validation"]["mean_iou"] <= 1.0

    # a schedule of four steps, killed after three, one of them behind the last checkpoint
    stopped = config(tmp_path, halved, num_steps=4)
    script = (
        "import os, signal\n"
        "from pipelines.train_encoder.unified import run\n"
        "from tests.pipelines.train_encoder.test_unified import config, Path\n"
        "def killed(self, step, figures, plain=run.UnifiedRecorder.__call__):\n"
        "    plain(self, step, figures)\n"
        "    if step == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "run.UnifiedRecorder.__call__ = killed\n"
        f"run.train_unified_in_process(config(Path({str(tmp_path)!r}), Path({str(halved)!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (halved / "unified").exists()
    train_unified_encoder(stopped)
    assert steps(halved) == [1, 2, 3, 4]
    one, two = tensors(whole), tensors(halved)
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)


def registered(output: Path) -> int:
    """How many checkpoints Ray Train's controller has noted: what a new run can go on from."""
    notes = list(output.glob("ray/**/checkpoint_manager_snapshot.json"))
    try:
        return sum(len(json.loads(note.read_text())["checkpoint_results"]) for note in notes)
    except (OSError, ValueError):  # it is being replaced
        return 0


def killed_at_once(child: subprocess.Popen) -> None:
    """The job and all that it started, Ray too: workers that live on would train on for a while."""
    job = psutil.Process(child.pid)
    for process in [job, *job.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    child.wait()


@pytest.mark.slow
def test_two_workers_train_and_go_on_after_a_kill(tmp_path):
    output, num_steps = tmp_path / "out", 12
    values = {"launcher": "ray", "num_workers": 2, "num_steps": num_steps, "bfloat16": True}
    command = [sys.executable, "-m", "jobs.train_encoder", *arguments(tmp_path, output, **values)]
    child = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and child.poll() is None and not registered(output):
        time.sleep(0.1)
    assert child.poll() is None, "it was to be killed at work"
    killed_at_once(child)
    assert registered(output), "no checkpoint in time"
    assert {path.name for path in output.glob("ray/**/rank_*.pt")} == RANKS
    assert not (output / "unified").exists()
    assert main(arguments(tmp_path, output, **values)) == 0
    assert steps(output) == list(range(1, num_steps + 1)), "each step once"
    card = json.loads((output / "unified" / "card.json").read_text())
    assert card["training"] == {"step": num_steps, "samples": 2 * num_steps}
