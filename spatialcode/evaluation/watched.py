"""Any loaded encoder as the evaluation sees it: whole, timed by step, and step by step.

Nothing is composed anew: an encoder that shows its stages runs as users get it, with stages in
between that remember and time what passes. Of one that shows none only the whole is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.maps import DenseMaps
from spatialcode.encoder.protocol import ClipInput, FrameGeometry, LoadedEncoder, only
from spatialcode.encoder.stages import Stages, encode_clips, stages_of
from spatialcode.errors import EncodeError
from spatialcode.scene.schema import Room, SceneObject, SpatialCode, VideoInfo

T = TypeVar("T")
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Seconds:
    """Wall-clock and CPU seconds of one encoding, by step.

    Of an encoder that shows no steps all is counted as the network's.
    """

    network: float = 0.0
    odometry: float = 0.0
    fusion: float = 0.0
    network_cpu: float = 0.0
    odometry_cpu: float = 0.0
    fusion_cpu: float = 0.0


@dataclass(frozen=True, eq=False)
class Encoded:
    """One clip as an encoder left it: objects, room, and what they were made of.

    ``maps`` and ``T_world_camera`` (N, 4, 4) are those that the objects were made of, and
    ``path_maps`` those that the path was, so that the ladder starts where the encoder ended. Both
    maps are None for an encoder that shows no stages.
    """

    objects: tuple[SceneObject, ...]
    room: Room | None
    T_world_camera: Array
    maps: DenseMaps | None = None
    path_maps: DenseMaps | None = None
    seconds: Seconds = Seconds()


class WatchedStages:
    """An encoder's stages for one clip: remembers what passed, and how long each step took."""

    made_of: tuple[DenseMaps, Array]
    path_maps: DenseMaps | None = None

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._spent = {step: [0.0, 0.0] for step in ("network", "odometry", "fusion")}

    @property
    def seconds(self) -> Seconds:
        """What the steps have taken so far."""
        wall, cpu = zip(*self._spent.values(), strict=True)
        return Seconds(*wall, *cpu)

    def _timed(self, step: str, work: Callable[[], T]) -> T:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return work()
        finally:
            self._spent[step][0] += time.perf_counter() - wall
            self._spent[step][1] += time.process_time() - cpu

    def prepare(self, clip: ClipInput) -> ClipInput:
        return self._stages.prepare(clip)

    def maps(
        self,
        clips: Sequence[ClipInput],
        poses: Sequence[Array | None],
        exact: bool,
        on_frames: Callable[[int], None] | None = None,
    ) -> list[DenseMaps]:
        return self._timed("network", lambda: self._stages.maps(clips, poses, exact, on_frames))

    def path(self, clip: ClipInput, maps: DenseMaps) -> Array:
        self.path_maps = maps
        return self._timed("odometry", lambda: self._stages.path(clip, maps))

    def code(self, clip: ClipInput, maps: DenseMaps, T_world_camera: Array) -> SpatialCode:
        self.made_of = (maps, T_world_camera)
        return self._timed("fusion", lambda: self._stages.code(clip, maps, T_world_camera))


class EvaluatedEncoder:
    """A loaded encoder, whole and, where it shows its stages, in steps."""

    def __init__(self, encoder: LoadedEncoder) -> None:
        self._encoder = encoder
        self._stages = stages_of(encoder)

    @property
    def has_stages(self) -> bool:
        """Whether the oracle ladder can be climbed."""
        return self._stages is not None

    def encode(self, clip: ClipInput) -> Encoded:
        """The whole encoding. Raises EncodeError where none can be made."""
        if self._stages is None:
            return self._whole(clip)
        watched = WatchedStages(self._stages)
        code = only(encode_clips(watched, [clip]))
        maps, T_world_camera = watched.made_of
        return Encoded(
            code.objects, code.room, T_world_camera, maps, watched.path_maps, watched.seconds
        )

    def _whole(self, clip: ClipInput) -> Encoded:
        wall, cpu = time.perf_counter(), time.process_time()
        code = only(self._encoder.encode_batch([clip]))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if len(code.cameras) != clip.num_frames:
            raise EncodeError(f"{clip.num_frames} frames, but {len(code.cameras)} cameras")
        poses = np.stack([camera.matrix() for camera in code.cameras])
        return Encoded(
            code.objects, code.room, poses, seconds=Seconds(network=wall, network_cpu=cpu)
        )

    def path(self, clip: ClipInput, maps: DenseMaps) -> Array:
        """The camera path (N, 4, 4) that other maps would have led to."""
        assert self._stages is not None
        return self._stages.path(self._stages.prepare(clip), maps)

    def objects(
        self, clip: ClipInput, maps: DenseMaps, T_world_camera: Array
    ) -> tuple[SceneObject, ...]:
        """The objects that other maps and poses would have led to."""
        assert self._stages is not None
        return self._stages.code(self._stages.prepare(clip), maps, T_world_camera).objects


def clip_of(
    rgb: NDArray[np.uint8], times_s: NDArray[np.floating], geometry: FrameGeometry
) -> ClipInput:
    """Frames (N, H, W, 3) with what an encoder is told of them, as encoders take them."""
    height, width = rgb.shape[1:3]
    video = VideoInfo(
        uri="",
        sha256="",
        duration_s=float(times_s[-1]),
        fps=0.0,
        width_px=width,
        height_px=height,
        sampled_s=tuple(times_s.tolist()),
    )
    return ClipInput(video, rgb, geometry)
