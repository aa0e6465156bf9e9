"""What most people need: a video file in, a spatial code out, in this process and without Ray.

Also the one place where decoded videos meet the encoder, which do not know each other; the Ray
pipeline encodes through the same class, so both give the same code for the same file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.compiling import compile_networks
from spatialcode.encoder.in_turn import encode_source
from spatialcode.encoder.protocol import (
    ClipHeader,
    ClipInput,
    Encoder,
    FrameGeometry,
    FrameRequest,
    OnShare,
    Window,
    WindowedClip,
    encode_windows,
    only,
)
from spatialcode.encoder.registry import make_encoder
from spatialcode.encoder.structure.frames import DenseFrames
from spatialcode.errors import ConfigError, EncodeError, SchemaError
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.families.registry import parse
from spatialcode.reasoning.priors.known import Priors, read_priors
from spatialcode.reasoning.solver import solve
from spatialcode.recordings.places import recorded_content
from spatialcode.recordings.readers.sidecar import Sidecar, sidecar_beside
from spatialcode.recordings.registry import ListedCapture, capture_at, reader_of
from spatialcode.scene.motion import PosePath
from spatialcode.scene.schema import SpatialCode
from spatialcode.streaming import ReadAhead, RecordedClip, StreamedVideo, is_long, video_info
from spatialcode.video.decode import DecodedVideo, decode, hash_file
from spatialcode.video.dense import decode_sampled
from spatialcode.video.sampling import Sampling
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.video.source import VideoProbe
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
    reader: str | None = None,
    sidecar: bool = True,
) -> SpatialCode:
    """The spatial code of a video file, or of a recorded capture.

    ``path``: a video, or the folder of a capture that a reader of recordings recognises.
    ``reader``: the capture's reader by name, or "auto"; with one, ``path`` may also be a capture's
    own file, or ``FOLDER#PART`` for one of several. ``sidecar``: a video's ``NAME.geometry.json``
    beside it is read with it.
    ``encoder``: what `make_encoder` takes (bundled weights by name, the path of a .safetensors
    file, module:Class), or a loaded `VideoEncoder`. ``sampling``: what it leaves open is as the
    encoder asks. ``camera``: intrinsics, poses or gravity of a video, where known, are used in the
    place of estimates, and of a sidecar. ``sandbox``: decode in a child process, which may crash or
    hang without harm.
    Captures, and videos of more than `MAX_CLIP_FRAMES` frames or sampled at a rate, are read a
    window at a time, which keeps memory flat for encoders with windows; without the sandbox, a
    video is decoded whole.
    Raises the VideoError family for a file that cannot be decoded, EncodeError for one of which
    no code can be made, InputError or FormatError for a capture that cannot be read, WeightsError
    for weights that are missing or damaged, ConfigError for an encoder or a reader that is not
    known.
    """
    loaded = _loaded(encoder, device) if isinstance(encoder, str) else encoder
    sampling = effective_sampling(sampling or Sampling(), loaded.encoder.frames)
    path = Path(path)
    captured = _captured(path, reader, sidecar and camera is None)
    if captured is not None and camera is not None:
        raise ConfigError(f"camera: {path} is a capture, which has cameras of its own")
    with SandboxedDecoder() as decoder:  # its child starts when it is first used
        if captured is not None:
            clip = _recorded(path, captured, loaded.identity(sampling), sampling)
            return _encoded_ahead(loaded, clip.decoded_by(decoder.decode) if sandbox else clip)
        if sandbox and is_long(sampling):
            probe = decoder.probe(path)
            key = "" if camera else work_key(probe.sha256, loaded.identity(sampling))
            streamed = StreamedVideo(decoder, path, probe, sampling, work_key=key)
            return _encoded_ahead(loaded, _WithCamera(streamed, camera or KnownCamera()))
        read = decoder.decode if sandbox else decode
        video = decode_sampled(read, path, sampling, max_dense=_max_dense(loaded, camera))
    # a key stands for what anyone would get of these bytes; private knowledge has none
    key = "" if camera else work_key(video.probe.sha256, loaded.identity(sampling))
    return _encoded_whole(loaded, clip_of(video, key, camera))


def _captured(path: Path, reader: str | None, sidecar: bool) -> ListedCapture | None:
    """The capture that is meant by a path, None for a video alone."""
    if reader is not None or path.is_dir():
        return capture_at(path, None if reader == "auto" else reader)
    place = sidecar_beside(path) if sidecar else None
    return None if place is None else ListedCapture(Sidecar.name, place)


def _recorded(
    path: Path, captured: ListedCapture, identity: EncoderIdentity, sampling: Sampling
) -> RecordedClip:
    """A capture as it is encoded, with the key that the pipeline gives it."""
    place = captured.place
    is_video = captured.reader == Sidecar.name and path.is_file() and path != place.path
    sha256 = hash_file(path) if is_video else ""
    key = work_key(recorded_content(captured.reader, place.content_id(), sha256), identity)
    recording = reader_of(place.path, captured.reader, "reader").read(place)
    uri = str(path) if is_video else place.uri
    return RecordedClip(recording.known_as(uri, sha256), sampling, key)


def _max_dense(loaded: VideoEncoder, camera: KnownCamera | None) -> int | None:
    """How many grey frames an encoder wants beside those sampled: none where poses are known."""
    has_poses = camera is not None and camera.T_world_camera is not None
    return None if has_poses else loaded.encoder.frames.max_dense


def _encoded_whole(loaded: VideoEncoder, clip: ClipInput) -> SpatialCode:
    """The code of a clip that is all there. A window would have no denser frames beside it."""
    request = loaded.encoder.frames
    if request.window is None:
        return only(loaded.loaded.encode_batch([clip]))
    return encode_windows(loaded.loaded, clip, request)


def _encoded_ahead(loaded: VideoEncoder, clip: WindowedClip) -> SpatialCode:
    with ReadAhead(clip) as ahead:
        return loaded.encode_source(ahead)


@dataclass(frozen=True, eq=False)
class _WithCamera:
    """A streamed video whose camera the caller knows."""

    clip: StreamedVideo
    camera: KnownCamera

    @property
    def header(self) -> ClipHeader:
        return self.clip.header

    def windows(self, request: FrameRequest) -> Iterator[Window]:
        for window in self.clip.windows(request):
            known = _geometry(self.camera, self.clip.probe, window.rgb, window.times_s)
            yield replace(window, geometry=known)


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


def shown_frames_of(settings: Sampling, request: FrameRequest) -> FrameRequest:
    """What an encoder that asks for ``request`` is shown: as `effective_sampling`, in its windows.

    At a rate, the number of frames is that of the request, as nobody knows it.
    """
    sampling = effective_sampling(settings, request)
    return replace(
        request,
        count=sampling.num_frames or request.count,
        rate_hz=sampling.rate_hz,
        side_px=sampling.max_side_px or request.side_px,
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
    dense = video.dense
    return ClipInput(
        video=video_info(video.probe, video.times_s.tolist()),
        rgb=video.rgb,
        geometry=_geometry(camera or KnownCamera(), video.probe, video.rgb, video.times_s),
        work_key=key,
        dense=None if dense is None else DenseFrames(dense.gray, dense.times_s),
    )


def _geometry(
    camera: KnownCamera, probe: VideoProbe, rgb: NDArray[np.uint8], times_s: Array
) -> FrameGeometry:
    """What is known of the cameras of frames ``rgb`` (N, H, W, 3) at times (N,)."""
    height, width = rgb.shape[1:3]
    shrink = np.diag([width / probe.width_px, height / probe.height_px, 1.0])
    return FrameGeometry(
        K=None if camera.K is None else shrink @ camera.K,
        T_world_camera=camera.poses_at(times_s),
        up_camera=None if camera.up_camera is None else np.tile(camera.up_camera, (len(rgb), 1)),
        lens=probe.lens,
    )


@lru_cache(maxsize=2)
def _loaded(name: str, device: str) -> VideoEncoder:
    """Weights take a second to load; encoding one video after another needs them once."""
    return VideoEncoder.load(name, device)
