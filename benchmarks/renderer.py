"""Frames a second that rooms are rendered at, on one core: training frames, videos, and parts.

Training frames include building the room, its share spread over six frames. Parts are timed in
the same run, so that their ratios hold on a busy machine too.

    python benchmarks/renderer.py [num_rooms=40] [num_runs=3]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from spatialcode.scene.pinhole import Pinhole
from spatialcode.synthetic.clips import ClipConfig, Shot, make_clip, make_training_frames
from spatialcode.synthetic.layout import furnish
from spatialcode.synthetic.renderer import trace
from spatialcode.synthetic.stage import build_stage
from spatialcode.synthetic.textures import shade

FRAMES_PER_ROOM = 6
CLIP_FRAMES = 32


def clocks() -> tuple[float, float]:
    """Wall clock and this process's own processor time, seconds."""
    return time.perf_counter(), time.process_time()


def timed(work: Callable[[int], None], count: int) -> tuple[float, float]:
    """Wall and processor seconds for one call, the mean over seeds 0 to count - 1."""
    wall, cpu = clocks()
    for seed in range(count):
        work(seed)
    wall_end, cpu_end = clocks()
    return (wall_end - wall) / count, (cpu_end - cpu) / count


def part_seconds(num_rooms: int) -> dict[str, float]:
    """Processor seconds of building a room and of tracing and shading one frame of it."""
    total = {"build room": 0.0, "trace": 0.0, "shade": 0.0}
    for seed in range(num_rooms):
        rng = np.random.default_rng(seed)
        start = time.process_time()
        build_stage(rng, furnish(rng))
        total["build room"] += time.process_time() - start
        shot = Shot.plan(seed, ClipConfig())
        view = Pinhole(shot.K, shot.poses(np.array([0.5]))[0], 160, 120)
        start = time.process_time()
        traced = trace(shot.stage, view, len(shot.interior.objects))
        total["trace"] += time.process_time() - start
        start = time.process_time()
        shade(shot.stage, view, traced)
        total["shade"] += time.process_time() - start
    return {name: seconds / num_rooms for name, seconds in total.items()}


def main(num_rooms: int, num_runs: int) -> None:
    """Print a table and one JSON line."""
    cv2.setNumThreads(1)
    make_training_frames(0, 1)
    num_clips = max(1, num_rooms // 10)
    runs = []
    for _ in range(num_runs):
        wall, cpu = timed(lambda seed: void(make_training_frames(seed, FRAMES_PER_ROOM)), num_rooms)
        _, clip_cpu = timed(lambda seed: void(make_clip(seed)), num_clips)
        run = {
            "training_frames_per_cpu_s": FRAMES_PER_ROOM / cpu,
            "training_frames_per_wall_s": FRAMES_PER_ROOM / wall,
            "clip_frames_per_cpu_s": CLIP_FRAMES / clip_cpu,
        }
        for name, seconds in part_seconds(num_rooms).items():
            run[name.replace(" ", "_") + "_ms"] = 1e3 * seconds
        runs.append(run)
    print(f"160 x 120, {num_rooms} rooms, {num_runs} runs, one core")
    result = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        result[name] = {"median": round(statistics.median(values), 2),
                        "min": round(min(values), 2), "max": round(max(values), 2)}  # fmt: skip
        row = result[name]
        print(f"  {name:<28} {row['median']:>8.2f}   ({row['min']:.2f} to {row['max']:.2f})")
    print(json.dumps({"benchmark": "renderer", "num_rooms": num_rooms, **result}))


def void(_: object) -> None:
    """Drop a result, so that memory is freed inside the timing."""


if __name__ == "__main__":
    arguments = dict(argument.split("=", 1) for argument in sys.argv[1:])
    main(int(arguments.get("num_rooms", 40)), int(arguments.get("num_runs", 3)))
