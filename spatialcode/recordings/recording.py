"""A recorded capture: its frames, read when they are asked for, and what is known beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from spatialcode.encoder.protocol import (
    ClipHeader,
    ClipInput,
    FrameGeometry,
    FrameRequest,
    Window,
)
from spatialcode.errors import FormatError, InputError, SchemaError
from spatialcode.recordings.reading import existing, picture
from spatialcode.scene.schema import (
    Camera,
    Provenance,
    Room,
    Scale,
    SceneObject,
    SpatialCode,
    VideoInfo,
)
from spatialcode.video.decode import DecodedVideo, decode
from spatialcode.video.sampling import ByTimes
from spatialcode.video.source import VideoProbe

#: Cameras that differ by no more than this at a corner of the picture count as one (pixels).
_SAME_CAMERA_PX = 0.02
_HALF_PX = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])


class RecordedFrames(Protocol):
    """The pixels of a recording. It is pickled for the worker that reads them."""

    def rgb(self, rows: Sequence[int], side_px: int | None) -> UInt8[np.ndarray, "n h w 3"]:
        """Frames, upright, scaled down to ``side_px`` on the longer side (None: as they are).

        FormatError, InputError or VideoError where they cannot be read.
        """
        ...

    def depth_m(self, rows: Sequence[int]) -> Float[np.ndarray, "n h w"] | None:
        """z-depth in metres at the sensor's own resolution, NaN where unknown; None: no depth."""
        ...


class RecordedDepth(Protocol):
    """Depth maps of a recording; see `RecordedFrames.depth_m`. It is pickled with the frames."""

    def depth_m(self, rows: Sequence[int]) -> Float[np.ndarray, "n h w"] | None: ...


@dataclass(frozen=True, eq=False)
class VideoFrames:
    """Frames of a video file at given times, and perhaps depth that lies elsewhere.

    ``times_s``: presentation times. ``late_s``: how much later to ask for them, as a container's
    clock rounds. ``decoder``: `decode`, or what takes its arguments, as `SandboxedDecoder.decode`.
    ``check``: told the video's facts before its frames are used, it raises where they do not fit.
    """

    path: Path
    times_s: tuple[float, ...]
    late_s: float = 0.0
    depths: RecordedDepth | None = None
    decoder: Callable[..., DecodedVideo] = decode
    check: Callable[[VideoProbe], None] | None = None

    def rgb(self, rows: Sequence[int], side_px: int | None) -> UInt8[np.ndarray, "n h w 3"]:
        times_s = tuple(self.times_s[row] + self.late_s for row in rows)
        plan = ByTimes(times_s)
        video = self.decoder(self.path, plan, max_side_px=side_px, sha256="")  # no new hash
        if self.check is not None:
            self.check(video.probe)
        return video.rgb

    def depth_m(self, rows: Sequence[int]) -> Float[np.ndarray, "n h w"] | None:
        return None if self.depths is None else self.depths.depth_m(rows)


@dataclass(frozen=True, eq=False)
class ImageFrames:
    """Frames that lie as pictures in files, and perhaps depth maps that do.

    ``read_depth``: metres (h, w) of one of ``depths``; a function of a module, or a partial.
    """

    pictures: tuple[Path, ...]
    depths: tuple[Path, ...] = ()
    read_depth: Callable[[Path], NDArray[np.floating]] | None = None

    def rgb(self, rows: Sequence[int], side_px: int | None) -> UInt8[np.ndarray, "n h w 3"]:
        paths = [existing(self.pictures[row]) for row in rows]
        return stacked([scaled(picture(p.read_bytes(), str(p)), side_px) for p in paths], paths)

    def depth_m(self, rows: Sequence[int]) -> Float[np.ndarray, "n h w"] | None:
        if self.read_depth is None or not self.depths:
            return None
        paths = [self.depths[row] for row in rows]
        return stacked([self.read_depth(path) for path in paths], paths)


@dataclass(frozen=True, eq=False)
class TurnedFrames:
    """Frames of a camera that was held on its side or upside down, turned upright.

    ``turns``: right angles to the left.
    """

    frames: RecordedFrames
    turns: int

    def rgb(self, rows: Sequence[int], side_px: int | None) -> UInt8[np.ndarray, "n h w 3"]:
        return np.ascontiguousarray(np.rot90(self.frames.rgb(rows, side_px), self.turns, (1, 2)))

    def depth_m(self, rows: Sequence[int]) -> Float[np.ndarray, "n h w"] | None:
        depth = self.frames.depth_m(rows)
        if depth is None:
            return None
        return np.ascontiguousarray(np.rot90(depth, self.turns, (1, 2)))


def _decoded_by(frames: RecordedFrames, decoder: Callable[..., DecodedVideo]) -> RecordedFrames:
    """The same frames; those of a video, turned or not, by another decoder."""
    if isinstance(frames, TurnedFrames):
        return replace(frames, frames=_decoded_by(frames.frames, decoder))
    return replace(frames, decoder=decoder) if isinstance(frames, VideoFrames) else frames


def scaled(rgb: UInt8[np.ndarray, "h w 3"], side_px: int | None) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A picture scaled down to a longer side, where it is larger."""
    height, width = rgb.shape[:2]
    if side_px is None or max(height, width) <= side_px:
        return rgb
    factor = side_px / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def stacked(images: Sequence[NDArray[Any]], names: Sequence[object]) -> NDArray[Any]:
    """Pictures of one size as one array. FormatError, naming the first that differs."""
    for image, name in zip(images, names, strict=True):
        if image.shape != images[0].shape:
            shapes = f"{images[0].shape}, got {image.shape}"
            raise FormatError(f"{name}: expected the size of the frames before, {shapes}")
    return np.stack(images)


@dataclass(frozen=True, eq=False)
class RecordedCameras:
    """What is known of the N cameras, in full-size pixels and this project's conventions.

    ``K`` (N, 3, 3); ``T_world_camera`` (N, 4, 4) in a world with z up and its floor at z = 0;
    ``up_camera`` (N, 3) where there are no poses; ``distortion``: OpenCV's coefficients k1, k2, p1,
    p2, …, empty where pictures are free of it. SchemaError where shapes do not agree.
    """

    K: Float[np.ndarray, "n 3 3"] | None = None
    T_world_camera: Float[np.ndarray, "n 4 4"] | None = None
    up_camera: Float[np.ndarray, "n 3"] | None = None
    distortion: tuple[float, ...] = ()

    def check(self, num_frames: int) -> None:
        """Raise SchemaError where these are not the cameras of so many frames."""
        shapes = {"K": (3, 3), "T_world_camera": (4, 4), "up_camera": (3,)}
        for name, tail in shapes.items():
            value, shape = getattr(self, name), (num_frames, *tail)
            if value is not None and (value.shape != shape or not np.isfinite(value).all()):
                raise SchemaError(f"RecordedCameras.{name}", f"finite {shape}", value.shape)

    def common_K(self) -> Float[np.ndarray, "3 3"] | None:
        """One pinhole camera for all frames: the median of each entry."""
        return None if self.K is None else np.median(self.K, axis=0)


@dataclass(frozen=True, eq=False)
class Recording:
    """One capture. ``video.sampled_s`` are the times of all its N frames.

    ``objects``: its true boxes, world as for the cameras; empty where none were recorded.
    ``stands_still``: the camera is known not to have moved, whatever else is known of it.
    """

    name: str
    frames: RecordedFrames
    video: VideoInfo
    cameras: RecordedCameras
    objects: tuple[SceneObject, ...] = ()
    room: Room | None = None
    stands_still: bool = False
    _truth: SpatialCode | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.video.sampled_s:
            raise InputError(f"{self.name}: a recording needs at least one frame")
        self.cameras.check(self.num_frames)

    @classmethod
    def of_code(cls, name: str, code: SpatialCode, frames: RecordedFrames) -> Recording:
        """A recording whose truth is a code. InputError for a code without cameras."""
        if not code.cameras:
            raise InputError(f"{name}: the true code of a recording needs cameras")
        K = np.stack([camera.intrinsics() for camera in code.cameras])
        poses = np.stack([camera.matrix() for camera in code.cameras])
        video = replace(code.video, sampled_s=tuple(camera.t_s for camera in code.cameras))
        cameras = RecordedCameras(K, poses)
        return cls(name, frames, video, cameras, code.objects, code.room, _truth=code)

    @property
    def num_frames(self) -> int:
        return len(self.video.sampled_s)

    def known_as(self, uri: str, sha256: str = "") -> Recording:
        """The same under the name, and with the hash, that a code is to have of it."""
        return replace(self, video=replace(self.video, uri=uri, sha256=sha256))

    def decoded_by(self, decoder: Callable[..., DecodedVideo]) -> Recording:
        """The same, its video read by `SandboxedDecoder.decode`, say, in the place of `decode`."""
        return replace(self, frames=_decoded_by(self.frames, decoder))

    def code(self) -> SpatialCode:
        """The truth of what is seen, as a code: boxes out of every picture are not in it.

        InputError where the cameras' poses were not recorded.
        """
        if self._truth is not None:
            return self._truth
        K, poses = self.cameras.K, self.cameras.T_world_camera
        if K is None or poses is None:
            raise InputError(f"{self.name}: the true code of a recording needs cameras")
        cameras = [
            Camera(t_s, T, float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))
            for t_s, T, k in zip(self.video.sampled_s, poses.tolist(), K, strict=True)
        ]
        given = Provenance(f"recorded:{self.name}", "", "", "", "")
        seen = tuple(item for item in self.objects if item.num_observations)
        scale = Scale("given", 1.0)
        return SpatialCode(self.video, seen, tuple(cameras), self.room, scale, given)

    def header(self, work_key: str = "") -> ClipHeader:
        """What an encoder's session is told before the frames."""
        return ClipHeader(replace(self.video, sampled_s=()), work_key)

    def clip(
        self, rows: Sequence[int] | None = None, side_px: int | None = None, work_key: str = ""
    ) -> ClipInput:
        """Some frames (None: all), in time order, with the geometry that was recorded of them."""
        chosen = list(range(self.num_frames)) if rows is None else list(rows)
        rgb, geometry = self._seen(chosen, side_px)
        times_s = tuple(self.video.sampled_s[row] for row in chosen)
        return ClipInput(replace(self.video, sampled_s=times_s), rgb, geometry, work_key)

    def windows(self, request: FrameRequest, rows: Sequence[int] | None = None) -> Iterator[Window]:
        """The frames as an encoder asks for them, one window in memory at a time.

        ``rows``: which frames at all (None: all); the windows' places count among these.
        """
        chosen = list(range(self.num_frames)) if rows is None else list(rows)
        size = len(chosen) if request.window is None else request.window
        start = 0
        while start < len(chosen):
            repeated = min(request.overlap, start) if request.window is not None else 0
            first = start - repeated
            part = chosen[first : first + size]
            rgb, geometry = self._seen(part, request.side_px)
            times_s = np.array([self.video.sampled_s[row] for row in part])
            yield Window(rgb, times_s, geometry, repeated, first)
            start = first + size

    def _seen(
        self, rows: Sequence[int], side_px: int | None
    ) -> tuple[UInt8[np.ndarray, "n h w 3"], FrameGeometry]:
        """Frames and geometry of rows, as one pinhole camera sees them."""
        rgb = self.frames.rgb(rows, side_px)
        depth_m = self.frames.depth_m(rows)
        known = self.cameras
        common = known.common_K()
        index = list(rows)
        if common is not None and known.K is not None:
            full = (self.video.height_px, self.video.width_px)
            own = [resized_K(K, full, rgb.shape[1:3]) for K in known.K[index]]
            common = resized_K(common, full, rgb.shape[1:3])
            views = [_View(K, common, known.distortion) for K in own]
            rgb = np.stack([view.picture(image) for view, image in zip(views, rgb, strict=True)])
            if depth_m is not None:
                size = rgb.shape[1:3]
                pairs = zip(views, depth_m, strict=True)
                depth_m = np.stack([view.depth(depth, size) for view, depth in pairs])
        poses = None if known.T_world_camera is None else known.T_world_camera[index]
        ups = known.up_camera if poses is None else None
        return rgb, FrameGeometry(common, poses, None if ups is None else ups[index], depth_m)


def resized_K(
    K: Float[np.ndarray, "3 3"], full: tuple[int, ...], size: tuple[int, ...]
) -> Float[np.ndarray, "3 3"]:
    """K for pictures (h, w) instead of the full ones (H, W)."""
    return np.diag([size[1] / full[1], size[0] / full[0], 1.0]) @ K


@dataclass(frozen=True, eq=False)
class _View:
    """How pictures of one camera become those of the camera that all frames share."""

    own: Float[np.ndarray, "3 3"]
    common: Float[np.ndarray, "3 3"]
    distortion: tuple[float, ...]

    def picture(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        seen = _reprojected(rgb, self.own, self.common, self.distortion, cv2.INTER_LINEAR)
        return np.asarray(seen, np.uint8)

    def depth(
        self, depth_m: Float[np.ndarray, "h w"], size: tuple[int, ...]
    ) -> Float[np.ndarray, "h w"]:
        """A depth map, aligned with the picture (h, w) but of its own resolution."""
        own = resized_K(self.own, size, depth_m.shape)
        common = resized_K(self.common, size, depth_m.shape)
        return reprojected_depth(depth_m, own, common, self.distortion)


def reprojected_depth(
    depth_m: Float[np.ndarray, "h w"],
    own: Float[np.ndarray, "3 3"],
    common: Float[np.ndarray, "3 3"],
    distortion: tuple[float, ...] = (),
) -> Float[np.ndarray, "h w"]:
    """A depth map as another camera at the same place sees it, both K in the map's pixels."""
    depth_m = depth_m.astype(np.float32)
    seen = _reprojected(depth_m, own, common, distortion, cv2.INTER_NEAREST)
    return np.where(seen == 0, np.nan, seen)


def _reprojected(
    image: NDArray[Any],
    own: NDArray[Any],
    common: NDArray[Any],
    distortion: tuple[float, ...],
    how: int,
) -> NDArray[Any]:
    height, width = image.shape[:2]
    corners = np.array([[0, 0, 1], [width, height, 1]], np.float64).T
    moved = own @ np.linalg.inv(common) @ corners - corners
    if not any(distortion) and np.abs(moved).max() < _SAME_CAMERA_PX:
        return image
    # OpenCV's pixel centres are whole numbers.
    maps = cv2.initUndistortRectifyMap(
        own - _HALF_PX,
        np.array(distortion or (0.0,) * 4),
        np.eye(3),
        common - _HALF_PX,
        (width, height),
        cv2.CV_32FC1,
    )
    return np.asarray(cv2.remap(image, *maps, how, borderValue=0))
