"""What most people need: a video file in, a spatial code out, in this process and without Ray.

Also the one place where decoded videos meet the encoder, which do not know each other; the Ray
pipeline encodes through the same class, so both give the same code for the same file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.compiling import compile_networks
from spatialcode.encoder.in_turn import encode_source
from spatialcode.encoder.protocol import (
    ClipInput,
    Encoder,
    FrameGeometry,
    FrameRequest,
    OnShare,
    WindowedClip,
    encode_windows,
)
from spatialcode.encoder.registry import make_encoder
from spatialcode.errors import EncodeError, SchemaError
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.families.registry import parse
from spatialcode.reasoning.priors.known import Priors, read_priors
from spatialcode.reasoning.solver import solve
from spatialcode.scene.motion import PosePath
from spatialcode.scene.schema import SpatialCode
from spatialcode.streaming import video_info
from spatialcode.video.decode import DecodedVideo, decode
from spatialcode.video.sampling import Sampling
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.workkey import EncoderIdentity, work_key

Array = NDArray[np.float64]

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True, eq=False)
class KnownCamera:
    """What the caller knows of the camera that took a video; None where it knows nothing.

    ``K`` (3, 3): pinhole matrix in pixels of the full, upright video. ``T_world_camera``
    (P, 4, 4): poses at the increasing ``times_s`` (P,) in a world with z up and its floor at
    z = 0; between them they are interpolated, beyond them held. ``up_camera`` (3,): gravity's
    "up" in camera coordinates, for a camera that keeps its tilt, where there are no poses.
    SchemaError where shapes do not fit.
    """

    K: Array | None = None
    times_s: Array | None = None
    T_world_camera: Array | None = None
    up_camera: Array | None = None

    def __post_init__(self) -> None:
        num = 0 if self.times_s is None else len(self.times_s)
        shapes = {"K": (3, 3), "T_world_camera": (num, 4, 4), "up_camera": (3,)}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise SchemaError(f"KnownCamera.{name}", f"shape {shape}", np.shape(value))
        if self.T_world_camera is not None and num == 0:
            raise SchemaError("KnownCamera.times_s", "a time for every pose", self.times_s)

    def poses_at(self, times_s: Array) -> Array | None:
        """Poses (N, 4, 4) at given times, None where unknown."""
        if self.T_world_camera is None or self.times_s is None:
            return None
        known = np.asarray(self.T_world_camera, dtype=float)
        return PosePath.of(np.asarray(self.times_s, dtype=float), known).matrices_at(times_s)


def encode(
    path: str | os.PathLike[str],
    *,
    encoder: str | VideoEncoder = "small",
    device: str = "cpu",
    sampling: Sampling | None = None,
    camera: KnownCamera | None = None,
    sandbox: bool = True,
) -> SpatialCode:
    """The spatial code of a video file.

    ``encoder``: what `make_encoder` takes (bundled weights by name, the path of a .safetensors
    file, module:Class), or a loaded `VideoEncoder`. ``sampling``: what it leaves open is as the
    encoder asks. ``camera``: intrinsics, poses or gravity, where known, are used in the place
    of estimates. ``sandbox``: decode in a child process, which may crash or hang without harm.
    Raises the VideoError family for a file that cannot be decoded, EncodeError for one of which
    no code can be made, WeightsError for weights that are missing or damaged, ConfigError for an
    encoder that is not known.
    """
    loaded = _loaded(encoder, device) if isinstance(encoder, str) else encoder
    request = loaded.encoder.frames
    sampling = effective_sampling(sampling or Sampling(), request)
    if sandbox:
        with SandboxedDecoder() as decoder:
            video = decoder.decode(path, sampling.plan(), max_side_px=sampling.max_side_px)
    else:
        video = decode(path, sampling.plan(), max_side_px=sampling.max_side_px)
    # a key stands for what anyone would get of these bytes; private knowledge has none
    key = "" if camera else work_key(video.probe.sha256, loaded.identity(sampling))
    return encode_windows(loaded.loaded, clip_of(video, key, camera), request)


def effective_sampling(settings: Sampling, request: FrameRequest) -> Sampling:
    """Which frames are looked at: as the settings say, and where they are silent as an encoder
    asks. A number of frames that was given holds against a rate that the encoder asks for.
    """
    asked_rate = request.rate_hz if settings.num_frames is None else None
    return Sampling(
        num_frames=settings.num_frames or request.count,
        rate_hz=settings.rate_hz or asked_rate,
        max_side_px=settings.max_side_px or request.side_px,
    )


def ask(
    code: SpatialCode,
    question: str,
    options: Sequence[str] = (),
    *,
    priors: Priors | None = None,
) -> Answer:
    """The exact solver's answer to a question in words, with its evidence.

    ``options``: choices such as "A. left" or "left"; none for a question with a number. Where a
    thing that the question names is missing, the answer is a guess from ``priors`` (None: the
    bundled ones, of rendered rooms): ``grounded=False``.
    Raises SchemaError where the question is not understood.
    """
    return solve(parse(question, options), code, _bundled_priors() if priors is None else priors)


@lru_cache(maxsize=1)
def _bundled_priors() -> Priors:
    return read_priors(ASSETS / "priors_rendered_rooms.json")


def keyed_identity(encoder: Encoder, settings: Sampling) -> EncoderIdentity:
    """What work keys are made of: the encoder, and which frames it is shown."""
    sampling = effective_sampling(settings, encoder.frames)
    return encoder.identity.looking_at(asdict(sampling))


class VideoEncoder:
    """An encoder loaded on a device: decoded videos in, spatial codes out.

    ``compiles``: its networks are compiled, which pays from some dozens of videos on.
    """

    def __init__(self, encoder: Encoder, device: str = "cpu", compiles: bool = False) -> None:
        self.encoder = encoder
        self.loaded = encoder.load(device)
        if compiles:
            compile_networks(self.loaded)

    @classmethod
    def load(
        cls, name: str = "small", device: str = "cpu", settings: Mapping[str, Any] | None = None
    ) -> VideoEncoder:
        """An encoder by the name and settings that `make_encoder` takes, on a torch device."""
        return cls(make_encoder(name, settings), device)

    def identity(self, sampling: Sampling) -> EncoderIdentity:
        """What work keys are made of; which frames are looked at is part of it."""
        return keyed_identity(self.encoder, sampling)

    def encode_batch(
        self,
        videos: Sequence[DecodedVideo],
        work_keys: Sequence[str] = (),
        on_share: OnShare | None = None,
    ) -> list[SpatialCode | EncodeError]:
        """One code or error a video, in order; the network runs over the frames of all.

        ``on_share`` is told which share of the work is done, from 0 to 1.
        """
        keys = work_keys or [""] * len(videos)
        clips = [clip_of(video, key) for video, key in zip(videos, keys, strict=True)]
        return self.loaded.encode_batch(clips, on_share)

    def encode_source(self, clip: WindowedClip) -> SpatialCode:
        """The code of a clip that is read as it is encoded. Raises what reading it raises, and
        EncodeError where no code can be made.
        """
        return encode_source(self.loaded, clip, self.encoder.frames)


def clip_of(video: DecodedVideo, key: str = "", camera: KnownCamera | None = None) -> ClipInput:
    """A decoded video as the encoder takes it; ``key`` goes into the code's provenance."""
    camera = camera or KnownCamera()
    probe = video.probe
    height, width = video.rgb.shape[1:3]
    shrink = np.diag([width / probe.width_px, height / probe.height_px, 1.0])
    up = None if camera.up_camera is None else np.tile(camera.up_camera, (len(video.rgb), 1))
    return ClipInput(
        video=video_info(probe, video.times_s.tolist()),
        rgb=video.rgb,
        geometry=FrameGeometry(
            K=None if camera.K is None else shrink @ camera.K,
            T_world_camera=camera.poses_at(video.times_s),
            up_camera=up,
            lens=probe.lens,
        ),
        work_key=key,
    )


@lru_cache(maxsize=2)
def _loaded(name: str, device: str) -> VideoEncoder:
    """Weights take a second to load; encoding one video after another needs them once."""
    return VideoEncoder.load(name, device)
