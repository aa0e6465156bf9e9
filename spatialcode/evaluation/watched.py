"""The spatial encoder as the evaluation sees it: whole, timed by step, and step by step.

Nothing is composed anew: the encoder's own ``encode_batch`` runs, and its steps are watched.
What is measured is therefore what users get.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.clip import ClipInput
from spatialcode.encoder.maps import DenseMaps
from spatialcode.encoder.small.encoder import SpatialEncoder
from spatialcode.evaluation.room import Encoded, Seconds, View
from spatialcode.scene.schema import SceneObject, SpatialCode, VideoInfo

Array = NDArray[np.float64]


class WatchedEncoder(SpatialEncoder):
    """Remembers of the last clip what its objects were made of, and how long each step took."""

    made_of: tuple[DenseMaps, Array]
    path_maps: DenseMaps
    spent: dict[str, list[float]]

    def forget(self) -> None:
        """Start timing anew."""
        self.spent = {step: [0.0, 0.0] for step in ("network", "odometry", "fusion")}

    def _timed(self, step: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return work()
        finally:
            self.spent[step][0] += time.perf_counter() - wall
            self.spent[step][1] += time.process_time() - cpu

    def _maps_of_all(self, *args: Any, **more: Any) -> Any:
        return self._timed(
            "network", lambda: super(WatchedEncoder, self)._maps_of_all(*args, **more)
        )

    def _poses(self, clip: Any, prepared: Any, maps: Any) -> Any:
        self.path_maps = maps
        locate = super()._poses
        return self._timed("odometry", lambda: locate(clip, prepared, maps))

    def _code(self, clip: Any, prepared: Any, maps: Any, T_world_camera: Any) -> SpatialCode:
        self.made_of = (maps, T_world_camera)
        make = super()._code
        code: SpatialCode = self._timed(
            "fusion", lambda: make(clip, prepared, maps, T_world_camera)
        )
        return code


class EvaluatedEncoder:
    """A :class:`spatialcode.evaluation.room.ClipEncoder` around a spatial encoder."""

    def __init__(self, encoder: WatchedEncoder) -> None:
        self.encoder = encoder

    @classmethod
    def load(cls, name: str, device: str) -> EvaluatedEncoder:
        """By the name or path that ``SpatialEncoder.load`` takes; WeightsError likewise."""
        encoder = WatchedEncoder.load(name, device)
        assert isinstance(encoder, WatchedEncoder)
        return cls(encoder)

    def encode(self, view: View) -> Encoded:
        """The whole encoding. Raises EncodeError where none can be made."""
        self.encoder.forget()
        code = self.encoder.encode(clip_of(view))
        maps, T_world_camera = self.encoder.made_of
        spent = self.encoder.spent
        steps = ("network", "odometry", "fusion")
        seconds = Seconds(*(spent[s][0] for s in steps), *(spent[s][1] for s in steps))
        return Encoded(
            code.objects, code.room, maps, self.encoder.path_maps, T_world_camera, seconds
        )

    def path(self, view: View, maps: DenseMaps) -> Array:
        """The camera path that other maps would have led to."""
        path: Array = self.encoder.path(self.encoder.prepare(view.rgb, view.K), maps).T_world_camera
        return path

    def objects(
        self, view: View, maps: DenseMaps, T_world_camera: Array
    ) -> tuple[SceneObject, ...]:
        """The objects that other maps and poses would have led to."""
        prepared = self.encoder.prepare(view.rgb, view.K)
        self.encoder.forget()
        return self.encoder._code(clip_of(view), prepared, maps, T_world_camera).objects


def clip_of(view: View) -> ClipInput:
    """What the encoder takes, of what the evaluation gives."""
    height, width = view.rgb.shape[1:3]
    video = VideoInfo(
        uri="",
        sha256="",
        duration_s=float(view.times_s[-1]),
        fps=0.0,
        width_px=width,
        height_px=height,
        sampled_s=tuple(view.times_s.tolist()),
    )
    return ClipInput(video, view.rgb, view.K, view.T_world_camera)
