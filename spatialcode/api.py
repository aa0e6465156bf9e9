"""What most people need: a video file in, a spatial code out, in this process and without Ray.

Also the one place where decoded videos meet the encoder, which do not know each other; the Ray
pipeline encodes through the same class, so both give the same code for the same file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spatialcode.encoder.clip import ClipInput
from spatialcode.errors import EncodeError, SchemaError
from spatialcode.questions.parse import parse
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.priors.known import Priors, read_priors
from spatialcode.reasoning.solver import solve
from spatialcode.scene.motion import PosePath
from spatialcode.scene.schema import SpatialCode, VideoInfo
from spatialcode.video.decode import DecodedVideo, decode
from spatialcode.video.sampling import Sampling
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.workkey import EncoderIdentity, config_sha256, work_key

if TYPE_CHECKING:
    from spatialcode.encoder.small.encoder import SpatialEncoder

Array = NDArray[np.float64]

ASSETS = Path(__file__).parent / "assets"
#: The frames that are looked at unless the caller says otherwise.
EVEN = Sampling()


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
        path = PosePath(
            np.asarray(self.times_s, dtype=float),
            known[:, :3, 3],
            Rotation.from_matrix(known[:, :3, :3]),
        )
        positions_m, rotations = path.at(times_s)
        poses = np.tile(np.eye(4), (len(times_s), 1, 1))
        poses[:, :3, :3], poses[:, :3, 3] = rotations.as_matrix(), positions_m
        return poses


def encode(
    path: str | os.PathLike[str],
    *,
    encoder: str | VideoEncoder = "small",
    device: str = "cpu",
    sampling: Sampling = EVEN,
    camera: KnownCamera | None = None,
    sandbox: bool = True,
) -> SpatialCode:
    """The spatial code of a video file.

    ``encoder``: bundled weights by name, the path of a .safetensors file, or a loaded
    `VideoEncoder`. ``camera``: intrinsics, poses or gravity, where known, are used in the place
    of estimates. ``sandbox``: decode in a child process, which may crash or hang without harm.
    Raises the VideoError family for a file that cannot be decoded, EncodeError for one of which
    no code can be made, WeightsError for weights that are missing or damaged.
    """
    loaded = _loaded(encoder, device) if isinstance(encoder, str) else encoder
    if sandbox:
        with SandboxedDecoder() as decoder:
            video = decoder.decode(path, sampling.plan(), max_side_px=sampling.max_side_px)
    else:
        video = decode(path, sampling.plan(), max_side_px=sampling.max_side_px)
    # a key stands for what anyone would get of these bytes; private knowledge has none
    key = "" if camera else work_key(video.probe.sha256, loaded.identity(sampling))
    (code,) = loaded.encode_clips([clip_of(video, key, camera)])
    if isinstance(code, EncodeError):
        raise code
    return code


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


class VideoEncoder:
    """Decoded videos in, spatial codes out; stateless between calls."""

    def __init__(self, encoder: SpatialEncoder) -> None:
        self._encoder = encoder
        self.name = encoder.name
        self.weights_sha256 = encoder.weights_sha256
        self.config_sha256 = encoder.config_sha256

    @classmethod
    def load(cls, name: str = "small", device: str = "cpu") -> VideoEncoder:
        """Bundled weights by name, or a .safetensors file, on a torch device."""
        from spatialcode.encoder.small.encoder import SpatialEncoder

        return cls(SpatialEncoder.load(name, device))

    def identity(self, sampling: Sampling) -> EncoderIdentity:
        """What work keys are made of; which frames are looked at is part of it."""
        settings = {"encoder": self.config_sha256, "sampling": asdict(sampling)}
        return EncoderIdentity(self.name, self.weights_sha256, config_sha256(settings))

    def encode_batch(
        self,
        videos: Sequence[DecodedVideo],
        work_keys: Sequence[str] = (),
        on_frames: Callable[[int], None] | None = None,
    ) -> list[SpatialCode | EncodeError]:
        """One code or error a video, in order; the network runs over the frames of all.

        ``on_frames`` is told how many frames more are through the network, which all pass twice.
        """
        keys = work_keys or [""] * len(videos)
        clips = [clip_of(video, key) for video, key in zip(videos, keys, strict=True)]
        return self.encode_clips(clips, on_frames)

    def encode_clips(
        self, clips: Sequence[ClipInput], on_frames: Callable[[int], None] | None = None
    ) -> list[SpatialCode | EncodeError]:
        """The same for clips that already are as the encoder takes them."""
        return self._encoder.encode_batch(clips, on_frames)


def clip_of(video: DecodedVideo, key: str = "", camera: KnownCamera | None = None) -> ClipInput:
    """A decoded video as the encoder takes it; ``key`` goes into the code's provenance."""
    camera = camera or KnownCamera()
    probe = video.probe
    info = VideoInfo(
        uri=probe.uri,
        sha256=probe.sha256,
        duration_s=probe.duration_s,
        fps=probe.fps,
        width_px=probe.width_px,
        height_px=probe.height_px,
        sampled_s=tuple(video.times_s.tolist()),
    )
    height, width = video.rgb.shape[1:3]
    shrink = np.diag([width / probe.width_px, height / probe.height_px, 1.0])
    up = None if camera.up_camera is None else np.tile(camera.up_camera, (len(video.rgb), 1))
    return ClipInput(
        video=info,
        rgb=video.rgb,
        K=None if camera.K is None else shrink @ camera.K,
        T_world_camera=camera.poses_at(video.times_s),
        up_camera=up,
        work_key=key,
    )


@lru_cache(maxsize=2)
def _loaded(name: str, device: str) -> VideoEncoder:
    """Weights take a second to load; encoding one video after another needs them once."""
    return VideoEncoder.load(name, device)
