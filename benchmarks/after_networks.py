"""CPU milliseconds a frame of all that the prompted encoder does after its networks, by step.

Rendered rooms stand in the place of the networks, with their noise; one thread. Beside the times
stands what they are over a sort of a million random numbers in the same run, since machines, and
what else they do, differ.

    python benchmarks/after_networks.py [num_rooms=4] [num_frames=64] [side_px=320] [num_runs=3]
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from spatialcode.encoder.geometry.frame_scales import frame_log_scales
from spatialcode.encoder.geometry.pathed import PathedGeometry
from spatialcode.encoder.geometry.settings import PathSettings
from spatialcode.encoder.instances.association import Gathering
from spatialcode.encoder.instances.objects import objects_of
from spatialcode.encoder.lifting.reflections import without_reflections
from spatialcode.encoder.lifting.sightings import frame_view, lift
from spatialcode.encoder.protocol import FrameGeometry, Window
from spatialcode.encoder.room.views import RoomViews
from spatialcode.evaluation.oracle_parts import OracleOptions, oracle_encoder
from spatialcode.evaluation.room import clip_of
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import SyntheticClip
from spatialcode.threads import limit_threads

T = TypeVar("T")
#: Rooms beside those that figures are taken of.
FIRST_ROOM = HELD_OUT_ROOMS.start + 600_000_000
STEPS = ("scales", "reflections", "lifting", "association", "room", "boxes", "path")


class Spent:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STEPS, 0.0)

    def on(self, step: str, work: Callable[[], T]) -> T:
        """What the work gives; its time is noted."""
        start = time.process_time()
        result = work()
        self.seconds[step] += time.process_time() - start
        return result


def run(clip: SyntheticClip) -> dict[str, float]:
    """CPU seconds of one clip by step, all frames in one window."""
    spent, options = Spent(), OracleOptions(is_noisy=True)
    parts, settings = oracle_encoder(clip, options).parts, options.fusion
    view_of_clip = clip_of(clip.rgb, clip.times_s, FrameGeometry(clip.K))
    window = Window(clip.rgb, clip.times_s, FrameGeometry(clip.K))
    geometry = parts.geometry.session(view_of_clip.header).geometry(window)
    rows = range(len(clip.rgb))
    found = parts.detector.detect(window, rows, clip.labels)
    masks = parts.masks.session().masks(window, dict(zip(rows, found, strict=True)))
    told = geometry.depth_m, geometry.K, geometry.T_world_camera, geometry.error.frame
    scales = spent.on("scales", lambda: frame_log_scales(*told, np.zeros(0)))
    geometry.depth_m[:] *= np.exp(-scales)[:, None, None].astype(np.float32)
    gathering, views = Gathering(settings.instances), RoomViews()
    for row in rows:
        frame, outlined = frame_view(geometry, row, window, parts.masks.edge_sigma_px), masks[row]
        real = spent.on("reflections", lambda f=frame, m=outlined: without_reflections(f, m))
        seen = spent.on("lifting", lambda f=frame, m=real: lift(f, m, settings.lifting))
        spent.on("association", lambda f=frame, s=seen: gathering.add(f, s))
        spent.on("room", lambda f=frame, m=outlined: views.add(f, m, is_grounded=True))
    instances, times_s = gathering.instances, clip.times_s
    spent.on("boxes", lambda: objects_of(instances, times_s, settings.instances))
    spent.on("room", views.found)
    source = PathedGeometry(None, geometry.error, PathSettings())
    known = FrameGeometry(clip.K, depth_m=geometry.depth_m)
    alone = Window(clip.rgb, clip.times_s, known)
    spent.on("path", lambda: source.session(view_of_clip.header).geometry(alone))
    return spent.seconds


def sort_seconds() -> float:
    """CPU seconds of the yardstick."""
    numbers = np.random.default_rng(0).random(1_000_000)
    start = time.process_time()
    numbers.sort()
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    limit_threads(1)
    usual = {"num_rooms": 4, "num_frames": 64, "side_px": 320, "num_runs": 3}
    told = usual | {k: int(v) for k, v in (word.split("=") for word in sys.argv[1:])}
    shape = ClipConfig(told["num_frames"], told["side_px"], told["side_px"] * 3 // 4)
    clips = [make_clip(FIRST_ROOM + k, shape) for k in range(told["num_rooms"])]
    num_frames = sum(len(clip.rgb) for clip in clips)
    runs: list[dict[str, float]] = []
    for _ in range(told["num_runs"]):
        spent = [run(clip) for clip in clips]
        ms = {step: 1e3 * sum(s[step] for s in spent) / num_frames for step in STEPS}
        ms["all but the path"] = sum(ms.values()) - ms["path"]
        ms["all"] = ms["all but the path"] + ms["path"]
        runs.append(ms | {"sort": 1e3 * statistics.median(sort_seconds() for _ in range(5))})
    print(f"{'ms a frame':<20}{'median':>9}{'min':>9}{'max':>9}{'over a sort':>13}")
    report: dict[str, object] = dict(told)
    for name in runs[0]:
        values = [ms[name] for ms in runs]
        over = statistics.median(ms[name] / ms["sort"] for ms in runs)
        middle, low, high = statistics.median(values), min(values), max(values)
        print(f"{name:<20}{middle:>9.2f}{low:>9.2f}{high:>9.2f}{over:>13.3f}")
        report[name] = {"median": round(middle, 3), "over_sort": round(over, 4)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
