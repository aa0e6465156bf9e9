"""Learning clips by number: rendered rooms, recordings with teacher masks, and a mix of both.

A clip follows from its number alone, whoever makes it and whenever: a run that goes on after a kill
sees what it would have seen. Makers run ahead of training, in processes or on a cluster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from spatialcode.encoder.unified.clips import (
    LearningBatch,
    LearningClip,
    collated,
    symmetry_indices,
)
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.seeds import VALIDATION_ROOMS
from spatialcode.synthetic.clips import ClipConfig, make_clip


class ClipSource(Protocol):
    """Makes clips by number. It is pickled for whoever runs it."""

    def clip(self, number: int) -> LearningClip:
        """The clip of a number from 0 on; numbers may wrap around."""
        ...


@dataclass(frozen=True)
class RenderedClips:
    """Videos of made-up rooms, a room a clip, from seed ``first_seed`` on."""

    num_frames: int
    width_px: int
    height_px: int
    first_seed: int = 0

    def clip(self, number: int) -> LearningClip:
        seed = (self.first_seed + number) % VALIDATION_ROOMS.start
        return self.of_room(seed)

    def of_room(self, seed: int) -> LearningClip:
        """The clip of a room, whatever it is for."""
        made = make_clip(seed, ClipConfig(self.num_frames, self.width_px, self.height_px))
        return LearningClip(
            rgb=made.rgb,
            instance=made.instance,
            depth_m=made.depth_m,
            K=np.tile(made.K, (self.num_frames, 1, 1)),
            T_world_camera=made.T_world_camera,
            center_m=made.center_m,
            size_m=made.size_m,
            quaternion_wxyz=quaternion_from_yaw(made.yaw_rad),
            symmetry=symmetry_indices(made.labels),
        )


@dataclass(frozen=True)
class MixedClips:
    """Clips of several sources, each as often as its share says."""

    sources: tuple[ClipSource, ...]
    shares: tuple[float, ...]
    max_objects: int

    def clip(self, number: int) -> LearningClip:
        weights = np.array(self.shares) / sum(self.shares)
        chosen = np.random.default_rng([number, 7]).choice(len(self.sources), p=weights)
        return with_most_seen(self.sources[chosen].clip(number), self.max_objects)


def with_most_seen(clip: LearningClip, max_objects: int) -> LearningClip:
    """The clip with those of its objects alone that most pixels show, in their order."""
    num_objects = len(clip.size_m)
    shown = clip.instance[clip.instance >= 0]
    counts = np.bincount(shown, minlength=num_objects)
    kept = np.sort(np.argsort(-counts, kind="stable")[:max_objects])
    kept = kept[counts[kept] > 0]
    number = np.full(num_objects + 1, -1, np.int16)
    number[kept] = np.arange(len(kept))
    return replace(
        clip,
        instance=number[np.where(clip.instance >= 0, clip.instance, num_objects)],
        center_m=clip.center_m[:, kept],
        size_m=clip.size_m[kept],
        quaternion_wxyz=clip.quaternion_wxyz[:, kept],
        symmetry=clip.symmetry[kept],
    )


#: Starts the making of a clip; what it gives is asked for the clip later.
Submit = Callable[[int], Callable[[], LearningClip]]


def batches_ahead(
    submit: Submit, first: int, batch_size: int, numbers: Mapping[str, int], ahead: int
) -> Iterator[LearningBatch]:
    """Endless batches from step ``first`` on, ``ahead`` clips being made meanwhile.

    ``numbers``: ``rank`` of ``world_size`` workers; step s of a worker has the clips
    (s · world_size + rank) · batch_size and following.
    """

    def wanted() -> Iterator[int]:
        step = first
        while True:
            start = (step * numbers["world_size"] + numbers["rank"]) * batch_size
            yield from range(start, start + batch_size)
            step += 1

    order = wanted()
    pending: deque[Callable[[], LearningClip]] = deque()
    while True:
        while len(pending) < max(ahead, batch_size):
            pending.append(submit(next(order)))
        yield collated([pending.popleft()() for _ in range(batch_size)])


def in_processes(source: ClipSource, num_processes: int) -> Submit:
    """Clips made by processes of this machine, which end with this one."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_processes, mp_context=context)

    def submit(number: int) -> Callable[[], LearningClip]:
        return pool.submit(source.clip, number).result

    return submit


def in_ray_tasks(source: ClipSource, num_gpus: float = 0.0) -> Submit:
    """Clips made by tasks anywhere on the cluster, of one core and a share of a GPU each; a task
    that dies is redone.
    """
    import ray

    held = ray.put(source)
    task: Any = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=3)(_made)

    def submit(number: int) -> Callable[[], LearningClip]:
        made = task.remote(held, number)
        return lambda: ray.get(made)

    return submit


def _made(source: ClipSource, number: int) -> LearningClip:
    return source.clip(number)
