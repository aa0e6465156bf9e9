"""Throughput of the encode pipeline against a bare loop over the same clips, in one run.

The bare loop decodes in the same sandbox, encodes with the same encoder and writes the same
Parquet files, one clip after the other on one thread. The encoder is a stand-in that keeps one core
busy for a stated time a frame, so that the figures are about the pipeline and not about a model.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # pipelines are run from the checkout

from cluster.connect import connect
from pipelines.encode.config import EncodeConfig
from pipelines.encode.graph import plan_run, run_encode
from pipelines.encode.report import Tally
from pipelines.stored import rows
from pipelines.stored.store import ResultStore
from spatialcode.api import VideoEncoder
from spatialcode.config import load_config
from spatialcode.encoder.protocol import (
    ClipHeader,
    ClipInput,
    CollectedSession,
    FrameRequest,
    OnShare,
)
from spatialcode.errors import EncodeError
from spatialcode.scene.schema import Provenance, Scale, SpatialCode
from spatialcode.scene.table import to_row
from spatialcode.video.sampling import ByCount
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.workkey import EncoderIdentity

BUSY_S_PER_FRAME = 0.005  # about half of what the small encoder takes on one core
NUM_SAMPLED = 8


@dataclass(frozen=True)
class NoSettings:
    """The busy encoder has none of its own."""


class BusyEncoder:
    """Keeps its core busy for a fixed processor time a frame and makes empty codes."""

    settings = NoSettings
    identity = EncoderIdentity("busy", "0" * 64, "0" * 64)
    frames = FrameRequest()

    def __init__(self, name: str, settings: NoSettings) -> None:
        """It has nothing to set."""

    def load(self, device: str) -> BusyEncoder:
        """It has nothing to load."""
        return self

    def session(self, clip: ClipHeader) -> CollectedSession:
        """See `CollectedSession`."""
        return CollectedSession(self, clip)

    def encode_batch(
        self, clips: Sequence[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        """One empty code a clip."""
        return [self._encode(clip) for clip in clips]

    def _encode(self, clip: ClipInput) -> SpatialCode:
        end_s = time.thread_time() + BUSY_S_PER_FRAME * clip.num_frames
        matrix = np.ones((64, 64), np.float32)
        while time.thread_time() < end_s:
            matrix @ matrix
        provenance = Provenance("busy", "", "", "benchmark", "")
        return SpatialCode(clip.video, (), (), None, Scale("given", 1.0), provenance)


def write_clips(folder: Path, count: int) -> None:
    """Clips of one second, 160×120, each with a content of its own."""
    ramp = np.linspace(0, 200, 160, dtype=np.float32)[None, :, None]
    for i in range(count):
        with av.open(str(folder / f"{i:04d}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            stream.codec_context.thread_count = 1
            for frame in range(24):
                picture = np.broadcast_to(np.roll(ramp, 3 * frame + 7 * i, axis=1), (120, 160, 3))
                picture = np.ascontiguousarray(picture).astype(np.uint8)
                picture[:16, : 1 + i % 160] = 255
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))


def config_for(videos: Path, output: Path, work: Path) -> EncodeConfig:
    """Settings of one pipeline run, nothing remembered from an earlier one."""
    return load_config(
        EncodeConfig,
        None,
        [
            f"input={videos}",
            f"output={output}",
            f"cache_dir={work / 'cache'}",
            "encoder.name=benchmarks.pipeline:BusyEncoder",
            f"sampling.num_frames={NUM_SAMPLED}",
        ],
    )


def bare_loop(config: EncodeConfig) -> float:
    """Seconds for all clips on one thread, from listing to the last file."""
    start_s = time.perf_counter()
    store = ResultStore(config.output)
    encoder = config.encoder.make()
    works = plan_run(config, store, encoder).compute
    loaded, pending = VideoEncoder(encoder), []
    with SandboxedDecoder() as decoder:
        for number, work in enumerate(works, 1):
            video = decoder.decode(
                work.source.uri, ByCount(NUM_SAMPLED), sha256=work.source.content_id
            )
            (code,) = loaded.encode_batch([video])
            assert isinstance(code, SpatialCode)
            outcome = {"status": rows.OK, "attempts": 1, "num_frames": len(video.rgb)}
            row = {**work.row(), **outcome, "decode_s": 0.0}
            pending.append(rows.result_row(row, code=to_row(code)))
            if len(pending) == config.rows_per_file or number == len(works):
                store.write(rows.table(pending, rows.RESULT))
                pending = []
    return time.perf_counter() - start_s


def pipeline(config: EncodeConfig) -> dict[str, float]:
    """Seconds of each phase of a pipeline run, Ray already being up."""
    marks: list[tuple[float, int]] = []
    start_s = time.perf_counter()
    report = run_encode(config, lambda tally: marks.append(_mark(tally)))
    end_s = time.perf_counter()
    assert report["ok"], report
    planned_s, first_s, last_s = marks[0][0], marks[1][0], marks[-1][0]
    steady = marks[-1][1] - marks[1][1]
    return {
        "total_s": end_s - start_s,
        "plan_s": planned_s - start_s,
        "to_first_file_s": first_s - planned_s,
        "steady_s_per_clip": (last_s - first_s) / max(1, steady),
        "finish_s": end_s - last_s,
    }


def _mark(tally: Tally) -> tuple[float, int]:
    return time.perf_counter(), tally.settled


def measure(num_clips: int, num_runs: int) -> dict[str, Any]:
    """Bare loop and pipeline in turn, ``num_runs`` times each."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        work = Path(name)
        videos = work / "videos"
        videos.mkdir()
        write_clips(videos, num_clips)
        start_s = time.perf_counter()
        connect(min_cpus=2.25)
        ray_start_s = time.perf_counter() - start_s
        bare, piped = [], []
        for run in range(num_runs):
            bare.append(bare_loop(config_for(videos, work / f"bare-{run}", work)))
            piped.append(pipeline(config_for(videos, work / f"piped-{run}", work)))
    return {
        "num_clips": num_clips,
        "num_runs": num_runs,
        "cores": os.cpu_count(),
        "ray_start_s": ray_start_s,
        "bare_s": spread(bare),
        "bare_s_per_clip": spread([seconds / num_clips for seconds in bare]),
        **{key: spread([phases[key] for phases in piped]) for key in piped[0]},
        "pipeline_over_bare": spread(
            [phases["total_s"] / seconds for phases, seconds in zip(piped, bare, strict=True)]
        ),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


def main() -> None:
    """Measure, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    result = measure(arguments.clips, arguments.runs)
    print(f"{result['num_clips']} clips, {result['num_runs']} runs, {result['cores']} cores")
    print(f"{'':24}{'median':>10}{'min':>10}{'max':>10}")
    for key, value in result.items():
        if isinstance(value, dict):
            print(f"{key:24}{value['median']:10.3f}{value['min']:10.3f}{value['max']:10.3f}")
    print(f"{'ray_start_s (once)':24}{result['ray_start_s']:10.3f}")
    print(json.dumps({"benchmark": "pipeline", **result}))


if __name__ == "__main__":
    main()
