"""Training frames for the encoder: rendered rooms turned into targets, streamed.

Two sources of the same frames: worker processes on this machine (no Ray), and a Ray Data
graph over a cluster. Seed ``s`` gives the same frames from either.
"""

from __future__ import annotations

import itertools
import multiprocessing as mp
import queue
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spatialcode.encoder.small.targets import TrainingFrames, TruthFrames, training_frames
from spatialcode.scene.categories import LABEL_INDEX
from spatialcode.seeds import VALIDATION_ROOMS
from spatialcode.synthetic.clips import make_training_frames


@dataclass(frozen=True)
class FrameSource:
    """Rooms ``first_seed``, ``first_seed + stride``, ... with so many frames of each."""

    first_seed: int = 0
    stride: int = 1
    frames_per_room: int = 6

    def seeds(self) -> Iterator[int]:
        """Endless, below the validation seeds."""
        span = VALIDATION_ROOMS.start
        return (seed % span for seed in itertools.count(self.first_seed, self.stride))


def frames_of_room(seed: int, num_frames: int) -> TrainingFrames:
    """Render one room and make its targets. Deterministic by seed."""
    clip = make_training_frames(seed, num_frames)
    return training_frames(
        TruthFrames(
            rgb=clip.rgb,
            depth_m=clip.depth_m,
            instance=clip.instance,
            K=clip.K,
            T_world_camera=clip.T_world_camera,
            label_index=np.array([LABEL_INDEX[label] for label in clip.labels], np.int16),
            center_m=clip.center_m,
            size_m=clip.size_m,
            yaw_rad=clip.yaw_rad,
        )
    )


def _render_forever(source: FrameSource, out: mp.Queue) -> None:
    parent = mp.parent_process()
    for seed in source.seeds():
        frames = frames_of_room(seed, source.frames_per_room)
        while True:
            try:
                out.put(frames, timeout=5)
                break
            except queue.Full:
                # a killed trainer takes no more frames and cannot tell its workers to stop
                if parent is None or not parent.is_alive():
                    return


def process_frames(source: FrameSource, num_workers: int) -> Iterator[TrainingFrames]:
    """Endless frames from ``num_workers`` child processes on this machine.

    Raises RuntimeError when a worker dies: training on a part of the seeds goes unnoticed
    otherwise. Workers end with this process, however it ends.
    """
    context = mp.get_context("spawn")
    rooms: mp.Queue = context.Queue(maxsize=64)
    workers = []
    for i in range(num_workers):
        share = FrameSource(
            source.first_seed + i * source.stride,
            source.stride * num_workers,
            source.frames_per_room,
        )
        worker = context.Process(target=_render_forever, args=(share, rooms), daemon=True)
        worker.start()
        workers.append(worker)
    while True:
        try:
            yield rooms.get(timeout=5)
        except queue.Empty:
            dead = [w.exitcode for w in workers if not w.is_alive()]
            if dead:
                raise RuntimeError(f"a rendering worker died with exit code {dead[0]}") from None
