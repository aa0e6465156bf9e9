from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spatialcode.video.decode import hash_file
from tests.pipelines import stand_in
from tests.video.builders import VideoRecipe, make_video

ROOT = Path(__file__).parents[3]
NUM_VIDEOS = 24


def start(arguments: list[str], control: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.encode", *arguments],
        cwd=ROOT,
        env={**os.environ, stand_in.CONTROL_VARIABLE: str(control)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_after(process: subprocess.Popen[str], control: Path, num_encoded: int) -> None:
    """SIGKILL once so many videos were encoded, and a random moment more."""
    while stand_in.journal(control).total() < num_encoded:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    time.sleep(random.random())
    process.send_signal(signal.SIGKILL)
    process.wait()


def stored(output: Path) -> list[dict[str, Any]]:
    files = sorted((output / "codes").glob("*.parquet"))
    tables = [pq.read_table(file, columns=["input_id", "status"]) for file in files]
    return pa.concat_tables(tables).to_pylist() if tables else []


@pytest.mark.timeout(1200)  # four starts of Ray, each of which a busy machine can stretch
def test_a_driver_killed_twice_ends_with_every_input_once(tmp_path: Path) -> None:
    control, videos, output = (tmp_path / name for name in ("control", "videos", "out"))
    control.mkdir()
    videos.mkdir()
    recipe = VideoRecipe(fps=10.0, width_px=64, height_px=48)
    for i in range(NUM_VIDEOS):
        recipe = VideoRecipe(num_frames=4 + i, fps=10.0, width_px=64, height_px=48)
        make_video(videos / f"{i}.mp4", recipe)
    (control / "slow").write_text("0.3")
    arguments = [
        *(f"input={videos}", f"output={output}", f"encoder.name={stand_in.NAME}"),
        *(f"cache_dir={tmp_path / 'cache'}", "sampling.num_frames=2"),
        *("rows_per_file=2", "encoder.videos_per_batch=2", f"log={tmp_path / 'log.jsonl'}"),
    ]

    kill_after(start(arguments, control), control, num_encoded=random.randint(2, 6))
    after_first = {row["input_id"] for row in stored(output)}
    num_before = stand_in.journal(control).total()
    kill_after(start(arguments, control), control, num_before + random.randint(2, 6))
    after_second = {row["input_id"] for row in stored(output)}
    assert after_first <= after_second
    assert len(after_second) < NUM_VIDEOS

    last = start(arguments, control)
    text = last.communicate(timeout=600)[0]
    assert last.returncode == 0, text
    rows = stored(output)
    assert Counter(row["input_id"] for row in rows) == Counter(
        {str(path): 1 for path in videos.iterdir()}
    )
    assert {row["status"] for row in rows} == {"ok"}
    report = json.loads((output / "report.json").read_text())
    assert report["skipped"] >= len(after_second)
    assert report["done"] + report["skipped"] == NUM_VIDEOS
    encoded = stand_in.journal(control)
    assert set(encoded) == {hash_file(path) for path in videos.iterdir()}

    again = start(arguments, control)
    text = again.communicate(timeout=300)[0]
    assert again.returncode == 0, text
    assert f"{NUM_VIDEOS} done before" in text
    assert stand_in.journal(control) == encoded
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [e["exit_code"] for e in events if e["event"] == "end"] == [0, 0]
