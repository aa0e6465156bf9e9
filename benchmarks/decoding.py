"""Decoding in the sandboxed child against decoding in this process.

    python benchmarks/decoding.py [num_clips] [num_runs]

Every run decodes the same clips both ways, one after the other and in alternating order, so
that other load on the machine falls on both; the ratio is taken within a run. Both sides use
one decoder thread and ask for 32 frames of at most 160 pixels' side. Prints a table, then one
JSON line.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from spatialcode.video.decode import DecodedVideo, decode
from spatialcode.video.sampling import ByCount
from spatialcode.video.sandbox import SandboxedDecoder

SIZES = {"160x120, 2 s": (160, 120, 60), "640x480, 4 s": (640, 480, 120)}


def write_clip(path: Path, width_px: int, height_px: int, num_frames: int, seed: int) -> None:
    """A textured picture drifting under a little noise: H.264 of a usual size for its content."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (height_px // 8 + 1, width_px // 8 + 1, 3), np.uint8)
    texture = np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height_px, :width_px]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        stream.codec_context.thread_count = 1
        for index in range(num_frames):
            noise = rng.integers(0, 8, (height_px, width_px, 1), np.uint8)
            picture = np.roll(texture, 2 * index, axis=1) // 2 + noise
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def seconds(paths: list[Path], decode_one: Callable[..., DecodedVideo]) -> float:
    """Wall time to decode all of `paths`."""
    start = time.perf_counter()
    for path in paths:
        assert len(decode_one(path, ByCount(32), max_side_px=160).rgb) == 32
    return time.perf_counter() - start


def measure(paths: list[Path], num_runs: int) -> dict[str, list[float]]:
    """Milliseconds a clip on both sides and the ratio, one entry per run."""
    found: dict[str, list[float]] = {"in_process_ms": [], "sandboxed_ms": [], "ratio": []}
    with SandboxedDecoder() as decoder:
        seconds(paths[:1], decoder.decode)
        seconds(paths[:1], decode)
        for run in range(num_runs):
            both = [("in_process_ms", decode), ("sandboxed_ms", decoder.decode)]
            for name, way in both if run % 2 else reversed(both):
                found[name].append(1e3 * seconds(paths, way) / len(paths))
            found["ratio"].append(found["sandboxed_ms"][-1] / found["in_process_ms"][-1])
    return found


def start_ms(num_runs: int) -> list[float]:
    """Milliseconds until a new child is ready."""
    found = []
    for _ in range(num_runs):
        start = time.perf_counter()
        with SandboxedDecoder() as decoder:
            decoder.start()
            found.append(1e3 * (time.perf_counter() - start))
    return found


def row(name: str, values: list[float]) -> dict[str, float]:
    """Print one line of the table; median and extremes."""
    low, mid, high = min(values), statistics.median(values), max(values)
    print(f"{name:<36}{mid:>10.3f}{low:>10.3f}{high:>10.3f}")
    return {"median": round(mid, 4), "min": round(low, 4), "max": round(high, 4)}


def main() -> None:
    """Measure and print."""
    num_clips = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    num_runs = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    report: dict[str, object] = {"num_clips": num_clips, "num_runs": num_runs}
    print(f"{'':<36}{'median':>10}{'min':>10}{'max':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for name, (width_px, height_px, num_frames) in SIZES.items():
            paths = [Path(folder) / f"{width_px}-{n}.mp4" for n in range(num_clips)]
            for seed, path in enumerate(paths):
                write_clip(path, width_px, height_px, num_frames, seed)
            found = measure(paths, num_runs)
            report[name] = {key: row(f"{name} {key}", values) for key, values in found.items()}
    report["child_start_ms"] = row("child start, ms", start_ms(num_runs))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
