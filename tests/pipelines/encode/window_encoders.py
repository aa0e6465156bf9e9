"""Encoders without weights that take windows; their codes say what they were shown and told."""

from __future__ import annotations

import hashlib
import os
import signal
import weakref
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.encode import stages
from spatialcode.encoder.protocol import (
    ClipHeader,
    ClipInput,
    FrameRequest,
    OnShare,
    Window,
    encode_windows,
)
from spatialcode.errors import EncodeError
from spatialcode.scene.schema import Camera, Provenance, Scale, SpatialCode
from spatialcode.workkey import EncoderIdentity
from tests.pipelines.stand_in import NoSettings


class Echo:
    """Its codes hold the recorded cameras, mean depths as warnings, and a hash of all fresh pixels
    and times.
    """

    settings = NoSettings
    identity = EncoderIdentity("echo", "0" * 64, "1" * 64)
    frames = FrameRequest(count=4, side_px=80, window=8, overlap=3)

    def __init__(self, name: str, settings: NoSettings) -> None:
        pass

    def load(self, device: str) -> Echo:
        return self

    def session(self, clip: ClipHeader) -> EchoSession:
        return EchoSession(clip)

    def encode_batch(
        self, clips: list[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        return [encode_windows(self, clip, self.frames) for clip in clips]


class EchoSession:
    """Keeps cameras and hashes; of the windows only how many are alive at most."""

    def __init__(self, clip: ClipHeader) -> None:
        self.clip = clip
        self.cameras: list[Camera] = []
        self.times_s: list[float] = []
        self.depths_m: list[str] = []
        self.digest = hashlib.sha256()
        self.windows: list[weakref.ref[Any]] = []
        self.most_alive = 0

    def push(self, window: Window) -> None:
        self.windows.append(weakref.ref(window))
        self.most_alive = max(self.most_alive, sum(w() is not None for w in self.windows))
        fresh = window.fresh()
        self.digest.update(fresh.rgb.tobytes() + fresh.times_s.tobytes())
        self.times_s += fresh.times_s.tolist()
        known = fresh.geometry
        if known.depth_m is not None:
            self.depths_m += [f"{np.nanmean(depth_m):.6f}" for depth_m in known.depth_m]
        if known.T_world_camera is None or known.K is None:
            return
        for t_s, T in zip(fresh.times_s, known.T_world_camera, strict=True):
            (fx, _, cx), (_, fy, cy), _ = known.K.tolist()
            self.cameras.append(Camera(float(t_s), T.tolist(), fx, fy, cx, cy))

    def finish(self) -> SpatialCode:
        video = replace(self.clip.video, sampled_s=tuple(self.times_s))
        told = f"{self.most_alive} alive, {self.digest.hexdigest()}"
        made = Provenance("echo", "0" * 64, "1" * 64, told, self.clip.work_key)
        return SpatialCode(video, (), tuple(self.cameras), None, Scale("given", 1.0), made,
                           warnings=tuple(self.depths_m))  # fmt: skip


class Killing(Echo):
    """Its machine kills the decoder of a clip whose uri says so, in the third window."""

    def session(self, clip: ClipHeader) -> EchoSession:
        return KillingSession(clip)


class KillingSession(EchoSession):
    """See `Killing`."""

    def push(self, window: Window) -> None:
        super().push(window)
        if len(self.windows) == 3 and self.clip.video.uri.endswith("killed.mp4"):
            for decoder in stages._decoders.values():
                if decoder.child_pid:
                    os.kill(decoder.child_pid, signal.SIGKILL)


class Refusing(Echo):
    """Finds something wrong with the second window, as an encoder may."""

    def session(self, clip: ClipHeader) -> EchoSession:
        return RefusingSession(clip)


class RefusingSession(EchoSession):
    """See `Refusing`."""

    def push(self, window: Window) -> None:
        if window.start and np.ndim(window.rgb) == 4:
            raise EncodeError("nothing to be seen")
        super().push(window)
