"""What most people need: a video file in, a spatial code out, in this process and without Ray.

Also the one place where decoded videos meet the encoder, which do not know each other; the Ray
pipeline encodes through the same class, so both give the same code for the same file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from spatialcode.encoder.clip import ClipInput
from spatialcode.errors import EncodeError
from spatialcode.scene.schema import SpatialCode, VideoInfo
from spatialcode.video.decode import DecodedVideo, decode
from spatialcode.video.sampling import ByCount, ByRate
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.workkey import EncoderIdentity, config_sha256, work_key

if TYPE_CHECKING:
    from spatialcode.encoder.encoder import SpatialEncoder


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are looked at: ``num_frames`` spread evenly, or ``rate_hz`` a second
    if given; scaled down to ``max_side_px`` on the longer side.
    """

    num_frames: int = 32
    rate_hz: float | None = None
    max_side_px: int = 640

    def plan(self) -> ByCount | ByRate:
        """The frames as the decoder wants them named."""
        return ByCount(self.num_frames) if self.rate_hz is None else ByRate(self.rate_hz)


def encode(
    path: str | os.PathLike[str],
    *,
    encoder: str | VideoEncoder = "small",
    device: str = "cpu",
    sampling: Sampling = Sampling(),
    sandbox: bool = True,
) -> SpatialCode:
    """The spatial code of a video file.

    ``encoder``: bundled weights by name, the path of a .safetensors file, or a loaded
    `VideoEncoder`. ``sandbox``: decode in a child process, which may crash or hang without harm.
    Raises the VideoError family for a file that cannot be decoded, EncodeError for one of which
    no code can be made, WeightsError for weights that are missing or damaged.
    """
    loaded = _loaded(encoder, device) if isinstance(encoder, str) else encoder
    if sandbox:
        with SandboxedDecoder() as decoder:
            video = decoder.decode(path, sampling.plan(), max_side_px=sampling.max_side_px)
    else:
        video = decode(path, sampling.plan(), max_side_px=sampling.max_side_px)
    key = work_key(video.probe.sha256, loaded.identity(sampling))
    (code,) = loaded.encode_batch([video], [key])
    if isinstance(code, EncodeError):
        raise code
    return code


class VideoEncoder:
    """Decoded videos in, spatial codes out; stateless between calls."""

    def __init__(self, encoder: SpatialEncoder, name: str) -> None:
        self._encoder = encoder
        self.name = name
        self.weights_sha256 = encoder.weights_sha256
        self.config_sha256 = encoder.config_sha256

    @classmethod
    def load(cls, name: str = "small", device: str = "cpu") -> VideoEncoder:
        """Bundled weights by name, or a .safetensors file, on a torch device."""
        from spatialcode.encoder.encoder import SpatialEncoder

        return cls(SpatialEncoder.load(name, device), name)

    def identity(self, sampling: Sampling) -> EncoderIdentity:
        """What work keys are made of; which frames are looked at is part of it."""
        settings = {"encoder": self.config_sha256, "sampling": asdict(sampling)}
        return EncoderIdentity(self.name, self.weights_sha256, config_sha256(settings))

    def encode_batch(
        self, videos: Sequence[DecodedVideo], work_keys: Sequence[str] = ()
    ) -> list[SpatialCode | EncodeError]:
        """One code or error a video, in order; the network runs over the frames of all."""
        keys = work_keys or [""] * len(videos)
        return self._encoder.encode_batch(
            [clip_of(video, key) for video, key in zip(videos, keys, strict=True)]
        )


def clip_of(video: DecodedVideo, key: str = "") -> ClipInput:
    """A decoded video as the encoder takes it; ``key`` goes into the code's provenance."""
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
    return ClipInput(video=info, rgb=video.rgb, work_key=key)


@lru_cache(maxsize=2)
def _loaded(name: str, device: str) -> VideoEncoder:
    """Weights take a second to load; encoding one video after another needs them once."""
    return VideoEncoder.load(name, device)
