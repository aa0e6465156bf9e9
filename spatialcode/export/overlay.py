"""An mp4 of the video with the code's boxes drawn into it.

Frames are read, drawn on and written one at a time, so memory does not grow with length.
Boxes are drawn while their object is in view by the code's own account (first to last
sight), through whatever stands before them: a code holds no surfaces to hide them behind.
Sound is left out. Decoding happens in this process: draw only into videos that you would
also play.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from spatialcode.errors import EmptyVideoError
from spatialcode.export.drawing import (
    EDGES,
    FRONT_EDGES,
    RGB,
    box_points,
    has_front,
    label_rgb,
)
from spatialcode.export.stills import TimedFrame
from spatialcode.files import whole_file
from spatialcode.scene.frames import project
from spatialcode.scene.motion import CameraMotion, object_poses
from spatialcode.scene.pinhole import Pinhole
from spatialcode.scene.schema import SceneObject, SpatialCode
from spatialcode.video.limits import VideoLimits
from spatialcode.video.source import OpenedVideo, open_video

FloatArray = NDArray[np.float64]
Image = NDArray[np.uint8]

#: Nothing nearer than this is drawn, in metres of depth.
NEAR_M = 0.05

_CODECS = ("libx264", "mpeg4")
_TIME_BASE = Fraction(1, 30_000)  # mpeg4 allows no finer than 1 / 65535


@dataclass(frozen=True)
class OverlayOptions:
    """``max_side_px``: the written video's longer side; ``min_score``: weaker boxes are left out.

    ``names``: write ids beside boxes. ``num_threads``: of decoder and encoder each.
    """

    max_side_px: int = 1280
    min_score: float = 0.0
    names: bool = True
    num_threads: int = 2


DEFAULT_OPTIONS = OverlayOptions()


def write_overlay(
    code: SpatialCode,
    video: str | Path,
    path: str | Path,
    options: OverlayOptions = DEFAULT_OPTIONS,
) -> None:
    """Draw ``code`` into ``video`` and write the result to ``path`` (mp4, its folder is made).

    The file appears under its name only when it is complete. Frames keep their times.
    Raises SchemaError for a code without cameras, VideoError for a video that cannot be read.
    """
    painter = BoxPainter(code, options)
    with whole_file(path) as partial:
        _write(painter, _frames(Path(video), options), partial, options)


class BoxPainter:
    """Draws one code's boxes into frames of its video, at any time and size."""

    def __init__(self, code: SpatialCode, options: OverlayOptions = DEFAULT_OPTIONS) -> None:
        self._path = CameraMotion.of(code)
        self._size_px = (code.video.width_px, code.video.height_px)
        self._objects = [item for item in code.objects if item.score >= options.min_score]
        self._names = options.names
        times = np.unique([camera.t_s for camera in code.cameras])
        # Nothing is known between two sampled frames, so sight is taken to last to the next one.
        self._lasts_s = float(np.median(np.diff(times))) if len(times) > 1 else float("inf")

    def draw(self, rgb: Image, t_s: float) -> None:
        """Draw into ``rgb`` (H, W, 3), in place, what the code knows at ``t_s`` seconds."""
        view = self._view(t_s, rgb.shape[1], rgb.shape[0])
        drawn = [
            (item, project_segments(_segments(item, t_s), view))
            for item in self._objects
            if item.first_seen_s <= t_s < item.last_seen_s + self._lasts_s
        ]
        drawn = [(item, lines) for item, lines in drawn if len(lines.pixels)]
        drawn.sort(key=lambda pair: -float(pair[1].depth_m.mean()))
        for item, lines in drawn:
            _draw_lines(rgb, lines, label_rgb(item.label))
        if self._names:
            for item, lines in drawn:
                _draw_name(rgb, lines, item)

    def _view(self, t_s: float, width_px: int, height_px: int) -> Pinhole:
        transforms, K = self._path.at(np.array([t_s]))
        scale = np.array([width_px / self._size_px[0], height_px / self._size_px[1], 1.0])
        return Pinhole(K[0] * scale[:, None], transforms[0], width_px, height_px)


def _segments(item: SceneObject, t_s: float) -> NDArray[np.float64]:
    """World segments (S, 2, 3) of an object's box at ``t_s``, its front's arrow included."""
    centers, quaternions = object_poses(item, np.array([t_s]))
    front = has_front(item.label)
    points = box_points(centers, np.asarray(item.size_m), quaternions, front)[0]
    return points[np.array(EDGES + FRONT_EDGES if front else EDGES)]


def _draw_lines(rgb: Image, lines: ImageLines, color: RGB) -> None:
    height = rgb.shape[0]
    thickest = max(1, height // 90)
    for ends, depth_m in zip(lines.pixels, lines.depth_m.mean(axis=1), strict=True):
        # One hundredth of the height at one metre, thinner with distance.
        thickness = int(np.clip(round(0.01 * height / depth_m), 1, thickest))
        start, end = (tuple(int(round(c - 0.5)) for c in point) for point in ends)
        cv2.line(rgb, start, end, color, thickness, cv2.LINE_AA)


def _draw_name(rgb: Image, lines: ImageLines, item: SceneObject) -> None:
    """The id in a filled tag, over the middle of the box's visible part, at its upper end."""
    height, width = rgb.shape[:2]
    ends = lines.pixels.reshape(-1, 2)
    middle_u, top_v = ends[:, 0].mean(), ends[:, 1].min()
    scale = max(0.35, height / 1000)
    (text_width, text_height), base = cv2.getTextSize(item.id, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    u = int(np.clip(middle_u - text_width / 2, 2, max(2, width - text_width - 2)))
    v = int(np.clip(top_v - base, text_height + 2, max(text_height + 2, height - base - 2)))
    color = label_rgb(item.label)
    cv2.rectangle(rgb, (u - 2, v - text_height - 2), (u + text_width + 2, v + base), color, -1)
    # Black or white, whichever is further from the tag's luminance (Rec. 601).
    bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
    ink = (0, 0, 0) if bright else (255, 255, 255)
    cv2.putText(rgb, item.id, (u, v), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)


def _frames(video: Path, options: OverlayOptions) -> Iterator[TimedFrame]:
    """The frames of a video, one by one: seconds from the first frame, and the upright picture."""
    with open_video(video, VideoLimits(num_threads=options.num_threads)) as opened:
        facts, packets, reformatter = opened.facts, opened.packets, VideoReformatter()
        width, height = _even_size(facts.width_px, facts.height_px, options.max_side_px)
        if opened.orientation.swaps_sides:
            width, height = height, width
        for number, frame in enumerate(_decoded(opened)):
            tick = frame.pts if packets.has_exact_pts else None
            if tick is None:  # then frames are told apart by their order alone
                tick = int(packets.shown_ticks[min(number, packets.num_frames - 1)])
            stored = reformatter.reformat(
                frame, width, height, "rgb24", interpolation=Interpolation.AREA
            )
            upright = opened.orientation.apply(np.asarray(stored.to_ndarray(), np.uint8))
            t_s = float((tick - int(packets.shown_ticks[0])) * packets.time_base)
            yield t_s, np.ascontiguousarray(upright)


def _decoded(opened: OpenedVideo) -> Iterator[av.VideoFrame]:
    """All frames that decode; packets that do not are left out."""
    source = opened.source
    source.reopen()
    for packet in source.container.demux(source.stream):
        with contextlib.suppress(av.FFmpegError):
            yield from source.stream.codec_context.decode(packet)


def _even_size(width: int, height: int, max_side_px: int) -> tuple[int, int]:
    """Width and height with the longer side at most ``max_side_px``, even as h264 needs."""
    scale = min(1.0, max_side_px / max(height, width))
    return max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2)


def _write(
    painter: BoxPainter, frames: Iterator[TimedFrame], path: Path, options: OverlayOptions
) -> None:
    """Encode the drawn frames to ``path``."""
    codec = next(name for name in _CODECS if name in av.codecs_available)
    last_pts = -1
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as out:
        stream = cast(av.VideoStream, out.add_stream(codec, rate=30))
        for t_s, rgb in frames:
            pts = round(t_s / _TIME_BASE)
            if pts <= last_pts:
                continue
            if last_pts < 0:
                stream.height, stream.width = rgb.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = _TIME_BASE
                stream.codec_context.thread_count = options.num_threads
                stream.options = {"preset": "veryfast", "crf": "21"} if codec == "libx264" else {}
            painter.draw(rgb, t_s)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = pts, _TIME_BASE
            out.mux(stream.encode(frame))
            last_pts = pts
        if last_pts < 0:
            raise EmptyVideoError("the video has no frame to draw into")
        out.mux(stream.encode())


@dataclass(frozen=True)
class ImageLines:
    """Line segments in an image.

    ``pixels`` (M, 2, 2): both ends as (u, v), u = 0.5 in the middle of the first column;
    ``depth_m`` (M, 2): z-depth of the ends; ``source`` (M,): number of the segment it is of.
    """

    pixels: FloatArray
    depth_m: FloatArray
    source: NDArray[np.intp]


def project_segments(
    segments_world: FloatArray, view: Pinhole, margin_px: float = 8.0
) -> ImageLines:
    """The visible parts of segments (S, 2, 3), in metres, given in world coordinates.

    Cutting happens in camera coordinates, before dividing by depth, so an edge that passes behind
    the camera is drawn up to where it leaves the view instead of being mirrored.
    ``margin_px``: how far lines go on outside the image, so that thick ones end unseen.
    """
    R_camera_world = view.T_world_camera[:3, :3].T
    camera = np.einsum("ij,...j->...i", R_camera_world, segments_world - view.T_world_camera[:3, 3])
    normals, offsets = _frustum_planes(view, margin_px)
    kept, source = clip_segments(camera, normals, offsets)
    pixels, depth_m = project(kept, view.K)
    return ImageLines(np.asarray(pixels, np.float64), np.asarray(depth_m, np.float64), source)


def clip_segments(
    segments: FloatArray, normals: FloatArray, offsets: FloatArray
) -> tuple[FloatArray, NDArray[np.intp]]:
    """The parts of segments (S, 2, 3) inside all half-spaces ``normal · p >= offset``.

    ``normals`` (P, 3), ``offsets`` (P,). Gives the parts left (M, 2, 3), and which segment
    each is of (M,); M <= S.
    """
    source = np.arange(len(segments))
    for normal, offset in zip(normals, offsets, strict=True):
        over = segments @ normal - offset
        keep = over.max(axis=1, initial=-np.inf) >= 0
        segments, over, source = segments[keep], over[keep], source[keep]
        start, end = segments[:, 0], segments[:, 1]
        rise = over[:, 0] - over[:, 1]
        share = np.divide(over[:, 0], rise, out=np.zeros_like(rise), where=rise != 0)
        crossing = start + share[:, None] * (end - start)
        segments = np.where((over < 0)[..., None], crossing[:, None], segments)
    return segments, source


def _frustum_planes(view: Pinhole, margin_px: float) -> tuple[FloatArray, FloatArray]:
    """Near plane and the four planes through the camera and the image's (widened) border."""
    fx, fy, cx, cy = view.K[0, 0], view.K[1, 1], view.K[0, 2], view.K[1, 2]
    right, bottom = view.width_px + margin_px, view.height_px + margin_px
    normals = np.array(
        [
            (0, 0, 1),
            (fx, 0, cx + margin_px),
            (-fx, 0, right - cx),
            (0, fy, cy + margin_px),
            (0, -fy, bottom - cy),
        ],
        dtype=float,
    )
    return normals, np.array([NEAR_M, 0, 0, 0, 0])
