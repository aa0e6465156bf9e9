"""What an encoder is: named without its weights, loaded onto a device, fed frames, giving codes.

Everything that encodes goes through these protocols: the library's single call, the encode
pipeline, the evaluation and the service. Whatever is known of the cameras travels with the frames.
No torch here: asking an encoder who it is must not load a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from spatialcode.errors import EncodeError, SchemaError
from spatialcode.scene.lens import Lens
from spatialcode.scene.schema import SpatialCode, VideoInfo
from spatialcode.workkey import EncoderIdentity

if TYPE_CHECKING:
    from spatialcode.encoder.odometry.audit import PathAudit
    from spatialcode.encoder.structure.frames import DenseFrames
    from spatialcode.encoder.structure.structure import Structure

#: Told which share of the work is done, from 0 to 1, never falling.
OnShare = Callable[[float], None]


@dataclass(frozen=True)
class FrameRequest:
    """Which frames an encoder wants to see, where its caller does not say otherwise.

    ``count`` frames spread evenly over the video, or ``rate_hz`` frames a second where given,
    scaled down to ``side_px`` on the longer side. A session is fed ``window`` frames at a time
    (None: all at once), of which the first ``overlap`` repeat the last ones of the window before.
    ``max_dense``: grey frames, spread evenly over the video and the sampled ones among them, that
    are to come beside those of a clip that is given whole (`ClipInput.dense`); None: none.
    """

    count: int = 32
    rate_hz: float | None = None
    side_px: int = 640
    window: int | None = None
    overlap: int = 0
    max_dense: int | None = None

    def __post_init__(self) -> None:
        if self.window is not None and not 0 <= self.overlap < self.window:
            expected = f"0 to {self.window - 1}, fewer than window"
            raise SchemaError("FrameRequest.overlap", expected, self.overlap)


@dataclass(frozen=True, eq=False)
class FrameGeometry:
    """What the caller knows of the cameras of N frames; None where it knows nothing.

    ``K`` (3, 3): pinhole matrix in pixels of the frames. ``T_world_camera`` (N, 4, 4): poses in a
    world with z up and its floor at z = 0. ``up_camera`` (N, 3): unit vectors against gravity,
    where there are no poses. ``lens``: what the video's file says of it, to be used where there is
    no ``K``. ``depth_m`` (N, h, w): z-depth in metres, of any resolution, 0 or not
    finite where it is unknown.
    """

    K: Float[np.ndarray, "3 3"] | None = None
    T_world_camera: Float[np.ndarray, "n 4 4"] | None = None
    up_camera: Float[np.ndarray, "n 3"] | None = None
    depth_m: Float[np.ndarray, "n h w"] | None = None
    lens: Lens | None = None

    def check(self, num_frames: int) -> None:
        """Raise SchemaError where this is not geometry of so many frames."""
        n = num_frames
        shapes = {"K": (3, 3), "T_world_camera": (n, 4, 4), "up_camera": (n, 3)}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and (value.shape != shape or not np.isfinite(value).all()):
                raise SchemaError(f"FrameGeometry.{name}", f"finite {shape}", value.shape)
        if self.depth_m is not None and (self.depth_m.ndim != 3 or len(self.depth_m) != n):
            raise SchemaError("FrameGeometry.depth_m", f"({n}, h, w)", self.depth_m.shape)

    def frames(self, rows: slice) -> FrameGeometry:
        """The geometry of some of the frames."""
        per_frame = {name: getattr(self, name) for name in _PER_FRAME}
        return FrameGeometry(
            self.K,
            **{name: None if v is None else v[rows] for name, v in per_frame.items()},
            lens=self.lens,
        )


_PER_FRAME = tuple(f.name for f in fields(FrameGeometry) if f.name not in ("K", "lens"))


@dataclass(frozen=True)
class ClipHeader:
    """What is known of a clip before its frames: the video, and the key of its result.

    ``video.sampled_s`` may be empty; the windows bring the times.
    """

    video: VideoInfo
    work_key: str = ""


@dataclass(frozen=True, eq=False)
class Window:
    """Consecutive frames of a clip.

    ``rgb`` (N, H, W, 3) uint8, upright; ``times_s`` (N,) seconds from the video's first frame.
    The first ``num_repeated`` frames are the last ones of the window before. ``start`` is the
    place of the first frame, repeated or not, in the clip. ``movers`` (N, H, W): pixels of what is
    known to move by itself, None where nobody has looked.
    """

    rgb: UInt8[np.ndarray, "n h w 3"]
    times_s: Float[np.ndarray, " n"]
    geometry: FrameGeometry = FrameGeometry()
    num_repeated: int = 0
    start: int = 0
    movers: Bool[np.ndarray, "n h w"] | None = None

    def __post_init__(self) -> None:
        _check_rgb("Window.rgb", self.rgb, len(self.times_s))
        self.geometry.check(len(self.rgb))
        if self.movers is not None and self.movers.shape != self.rgb.shape[:3]:
            raise SchemaError("Window.movers", f"shape {self.rgb.shape[:3]}", self.movers.shape)

    def fresh(self) -> Window:
        """The frames that no window before has shown."""
        rows = slice(self.num_repeated, None)
        geometry = self.geometry.frames(rows)
        start = self.start + self.num_repeated
        movers = None if self.movers is None else self.movers[rows]
        return Window(self.rgb[rows], self.times_s[rows], geometry, start=start, movers=movers)


@dataclass(frozen=True, eq=False)
class ClipInput:
    """All frames of one video in time order, with whatever is known of their cameras.

    ``rgb`` (N, H, W, 3) uint8, upright, of the video's aspect; ``video.sampled_s`` are the
    frames' times. ``work_key`` is carried into the code's provenance. ``dense``: grey frames of the
    same video, closer together than these. ``audit``: what the frames say of the camera's motion,
    and ``structure``: what structure from motion found, once an encoder has asked them.
    ``assumes_lens``: nobody knows K, and what stands there is an encoder's assumption.
    ``warnings``: what a user of the code should know of how the path was found, in sentences.
    """

    video: VideoInfo
    rgb: UInt8[np.ndarray, "n h w 3"]
    geometry: FrameGeometry = FrameGeometry()
    work_key: str = ""
    dense: DenseFrames | None = None
    audit: PathAudit | None = None
    structure: Structure | None = None
    assumes_lens: bool = False
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_rgb("ClipInput.rgb", self.rgb, len(self.video.sampled_s))
        self.geometry.check(len(self.rgb))

    @property
    def num_frames(self) -> int:
        return len(self.rgb)

    @property
    def times_s(self) -> Float[np.ndarray, " n"]:
        return np.asarray(self.video.sampled_s, np.float64)

    @property
    def header(self) -> ClipHeader:
        """What a session is told before the frames."""
        return ClipHeader(replace(self.video, sampled_s=()), self.work_key)

    def windows(self, request: FrameRequest) -> Iterator[Window]:
        """The frames as an encoder asks for them; every frame is fresh in exactly one window."""
        size = self.num_frames if request.window is None else request.window
        start = 0
        while start < self.num_frames:
            repeated = min(request.overlap, start) if request.window is not None else 0
            rows = slice(start - repeated, start - repeated + size)
            geometry = self.geometry.frames(rows)
            yield Window(self.rgb[rows], self.times_s[rows], geometry, repeated, rows.start)
            start = rows.stop


def _check_rgb(name: str, rgb: np.ndarray, num_frames: int) -> None:
    if rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.dtype != np.uint8:
        raise SchemaError(name, "uint8 (N, H, W, 3)", f"{rgb.dtype} {rgb.shape}")
    if len(rgb) != num_frames:
        raise SchemaError(name, f"{num_frames} frames", len(rgb))


class WindowedClip(Protocol):
    """A clip whose windows are made when they are asked for, and can be asked for again."""

    @property
    def header(self) -> ClipHeader: ...

    def windows(self, request: FrameRequest) -> Iterator[Window]:
        """The frames as an encoder asks for them; every frame is fresh in exactly one window."""
        ...


class Session(Protocol):
    """One clip on its way through an encoder."""

    def push(self, window: Window) -> None:
        """Take the next frames, in time order. Raises EncodeError where they cannot be used."""
        ...

    def finish(self) -> SpatialCode:
        """The code of all frames pushed. Raises EncodeError where none can be made."""
        ...


class LoadedEncoder(Protocol):
    """An encoder with its weights on a device; stateless between clips."""

    def session(self, clip: ClipHeader) -> Session:
        """A way to encode a clip window by window, which long videos need."""
        ...

    def encode_batch(
        self, clips: Sequence[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        """One code, or one error, a clip, in order: a clip that fails disturbs no other."""
        ...


@runtime_checkable
class KnowsKinds(Protocol):
    """A loaded encoder that says which kinds of things it can find, as words."""

    @property
    def kinds(self) -> tuple[str, ...]: ...


def kinds_of(encoder: LoadedEncoder) -> tuple[str, ...] | None:
    """The kinds that an encoder can find; None where it does not say."""
    return encoder.kinds if isinstance(encoder, KnowsKinds) else None


@runtime_checkable
class Encoder(Protocol):
    """An encoder as settings name it: who it is and what it needs, before anything is loaded."""

    identity: EncoderIdentity
    frames: FrameRequest

    def load(self, device: str) -> LoadedEncoder:
        """The encoder on a torch device. Raises WeightsError where its weights are unusable."""
        ...


class EncoderClass(Protocol):
    """What the registry holds: called with the name that was asked for and its settings.

    ``settings``: the frozen dataclass of the encoder's own settings. WeightsError where the name
    stands for weights that are missing or damaged.
    """

    settings: ClassVar[type[Any]]

    def __call__(self, name: str, settings: Any) -> Encoder: ...


@dataclass
class CollectedSession:
    """A session for encoders that look at whole clips: it keeps all frames until the end."""

    encoder: LoadedEncoder
    header: ClipHeader
    windows: list[Window] = field(default_factory=list)

    def push(self, window: Window) -> None:
        self.windows.append(window.fresh())

    def finish(self) -> SpatialCode:
        if not self.windows:
            raise EncodeError("a clip needs at least one frame, got none")
        times_s = np.concatenate([window.times_s for window in self.windows])
        clip = ClipInput(
            video=replace(self.header.video, sampled_s=tuple(times_s.tolist())),
            rgb=np.concatenate([window.rgb for window in self.windows]),
            geometry=_joined([window.geometry for window in self.windows]),
            work_key=self.header.work_key,
        )
        return only(self.encoder.encode_batch([clip]))


def _joined(parts: Sequence[FrameGeometry]) -> FrameGeometry:
    """Geometry of all frames; EncodeError where windows differ in what they know."""
    intrinsics = [None if part.K is None else part.K.tolist() for part in parts]
    if any(intrinsics[0] != K for K in intrinsics):
        raise EncodeError("windows of one clip must share their intrinsics")
    values: dict[str, Any] = {"K": parts[0].K, "lens": parts[0].lens}
    for name in _PER_FRAME:
        known = [getattr(part, name) for part in parts if getattr(part, name) is not None]
        if known and len(known) < len(parts):
            raise EncodeError(f"{name} is given for some windows of a clip, but not for all")
        values[name] = np.concatenate(known) if known else None
    return FrameGeometry(**values)


def only(results: Sequence[SpatialCode | EncodeError]) -> SpatialCode:
    """The single result of a batch of one; its error is raised."""
    (result,) = results
    if isinstance(result, EncodeError):
        raise result
    return result


def encode_windows(loaded: LoadedEncoder, clip: WindowedClip, request: FrameRequest) -> SpatialCode:
    """The code of a clip, its frames fed to a session as the encoder asks for them."""
    session = loaded.session(clip.header)
    for window in clip.windows(request):
        session.push(window)
    return session.finish()
