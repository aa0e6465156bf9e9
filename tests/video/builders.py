"""Videos written for the tests, every frame carrying its own number in its pixels.

Layout of a frame: the top third holds four colour fields (red, green, blue, yellow from left
to right: they tell rotated and mirrored pictures apart), the middle third noise that makes
packets large enough to damage, the bottom third twelve black or white cells that spell the
frame's number, least significant bit first, six in a row.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.stream
import numpy as np
from numpy.typing import NDArray

FIELDS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 30))
NUM_BITS = 12
ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1"}


@dataclass(frozen=True)
class VideoRecipe:
    """What `make_video` writes; times in seconds, sizes in pixels, rotation clockwise."""

    num_frames: int = 60
    fps: float = 30.0
    codec: str = "h264"
    width_px: int = 160
    height_px: int = 120
    b_frames: int = 2
    gop: int = 12
    open_gop: bool = False
    intra_refresh: bool = False
    faststart: bool = False
    rotation_deg: int = 0
    mirrored: bool = False
    pts_s: tuple[float, ...] | None = None
    format: str | None = None
    noise: int = 40
    extra: tuple[tuple[str, str], ...] = ()
    muxer: tuple[tuple[str, str], ...] = ()


def frame_pixels(index: int, recipe: VideoRecipe = VideoRecipe()) -> NDArray[np.uint8]:
    """The upright picture (H, W, 3) of frame `index`."""
    height, width = recipe.height_px, recipe.width_px
    picture = np.zeros((height, width, 3), np.uint8)
    third = height // 3
    for field, colour in enumerate(FIELDS):
        picture[:third, field * width // 4 : (field + 1) * width // 4] = colour
    rng = np.random.default_rng(index)
    noise = rng.integers(-recipe.noise, recipe.noise + 1, (third, width, 1))
    ramp = np.linspace(60, 190, width)[None, :, None]
    picture[third : 2 * third] = np.clip(np.roll(ramp, 3 * index, axis=1) + noise, 0, 255)
    for bit in range(NUM_BITS):
        row, column = divmod(bit, NUM_BITS // 2)
        top = 2 * third + row * (height - 2 * third) // 2
        bottom = 2 * third + (row + 1) * (height - 2 * third) // 2
        left, right = column * width // 6, (column + 1) * width // 6
        picture[top:bottom, left:right] = 235 if index >> bit & 1 else 20
    return picture


def read_index(picture: NDArray[np.uint8]) -> int:
    """The number a decoded picture (any size, upright) carries."""
    height, width = picture.shape[:2]
    third = height / 3
    index = 0
    for bit in range(NUM_BITS):
        row, column = divmod(bit, NUM_BITS // 2)
        y = int(2 * third + (row + 0.5) * third / 2)
        x = int((column + 0.5) * width / 6)
        cell = picture[max(0, y - 2) : y + 2, max(0, x - 2) : x + 2]
        index |= int(cell.mean() > 128) << bit
    return index


def is_upright(picture: NDArray[np.uint8]) -> bool:
    """Whether the four colour fields lie where `frame_pixels` puts them."""
    height, width = picture.shape[:2]
    for field, colour in enumerate(FIELDS):
        y, x = height // 6, int((field + 0.5) * width / 4)
        if np.abs(picture[y, x].astype(int) - colour).max() > 60:
            return False
    return True


def make_video(path: str | os.PathLike[str], recipe: VideoRecipe = VideoRecipe()) -> Path:
    """Write `recipe` to `path`; the container follows `recipe.format` or the extension."""
    path = Path(path)
    options = dict(recipe.muxer) | ({"movflags": "faststart"} if recipe.faststart else {})
    with av.open(str(path), "w", format=recipe.format, options=options) as container:
        stream = container.add_stream(
            ENCODERS.get(recipe.codec, recipe.codec),
            rate=Fraction(recipe.fps).limit_denominator(10_000),
            options=_codec_options(recipe),
        )
        turned = recipe.rotation_deg % 180 != 0
        stream.width = recipe.height_px if turned else recipe.width_px
        stream.height = recipe.width_px if turned else recipe.height_px
        stream.pix_fmt = "yuvj420p" if recipe.codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        if recipe.codec in ("mpeg4", "mpeg2video"):
            stream.codec_context.bit_rate = 1_500_000
        if recipe.rotation_deg or recipe.mirrored:
            # FFmpeg counts counter-clockwise; players turn by the opposite of the stored angle.
            stream.set_display_rotation(-recipe.rotation_deg, hflip=recipe.mirrored)
        time_base = Fraction(1, 90_000) if recipe.pts_s else 1 / stream.codec_context.framerate
        stream.codec_context.time_base = time_base
        for index in range(recipe.num_frames):
            frame = av.VideoFrame.from_ndarray(_stored(frame_pixels(index, recipe), recipe))
            frame.pts = round(recipe.pts_s[index] / time_base) if recipe.pts_s else index
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _codec_options(recipe: VideoRecipe) -> dict[str, str]:
    options = {"g": str(recipe.gop), "bf": str(recipe.b_frames)}
    if recipe.codec == "h264":
        gop = f"keyint={recipe.gop}:min-keyint={recipe.gop}:open-gop={int(recipe.open_gop)}"
        gop += ":scenecut=0:intra-refresh=1" if recipe.intra_refresh else ":scenecut=0"
        options |= {"preset": "veryfast", "crf": "20", "x264-params": f"{gop}:threads=1"}
    elif recipe.codec == "hevc":
        gop = f"keyint={recipe.gop}:open-gop={int(recipe.open_gop)}:bframes={recipe.b_frames}"
        quiet = "log-level=none:pools=1:frame-threads=1"
        options |= {"preset": "ultrafast", "x265-params": f"{gop}:scenecut=0:{quiet}"}
    elif recipe.codec in ("vp8", "libvpx", "vp9", "libvpx-vp9"):
        options = {"g": str(recipe.gop), "deadline": "realtime", "cpu-used": "8"}
    elif recipe.codec in ("av1", "mjpeg"):
        options = {"preset": "12"} if recipe.codec == "av1" else {}
    return options | dict(recipe.extra)


def _stored(picture: NDArray[np.uint8], recipe: VideoRecipe) -> NDArray[np.uint8]:
    """What must lie in the file so that the display matrix turns it upright again."""
    if recipe.mirrored:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(np.rot90(picture, k=recipe.rotation_deg // 90))


def write_noise_audio(
    path: str | os.PathLike[str], duration_s: float = 1.0, cover: bytes | None = None
) -> Path:
    """A container with sound and no moving picture; `cover` is a PNG shown with it."""
    path = Path(path)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        picture = container.add_stream("png") if cover else None
        if picture is not None and cover is not None:
            picture.width, picture.height, picture.pix_fmt = 8, 8, "rgb24"
            picture.disposition = av.stream.Disposition.attached_pic
        rng = np.random.default_rng(0)
        samples = rng.normal(0, 0.1, (1, int(16_000 * duration_s))).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if picture is not None and cover is not None:
            packet = av.Packet(cover)
            packet.stream, packet.pts, packet.dts = picture, 0, 0
            container.mux(packet)
    return path


def truncate(source: Path, target: Path, share: float) -> Path:
    """The first `share` of the bytes of `source`."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def plant_garbage(source: Path, target: Path, num_bytes: int = 4096, at: float = 0.5) -> Path:
    """A copy with `num_bytes` random bytes written over the file at share `at` of its length."""
    data = bytearray(source.read_bytes())
    start = int(len(data) * at)
    data[start : start + num_bytes] = np.random.default_rng(7).bytes(num_bytes)
    target.write_bytes(data[: max(len(data), start)])
    return target


def copy_packets(
    source: Path,
    target: Path,
    *,
    drop: frozenset[int] = frozenset(),
    shift_frames: int = 0,
    muxer: dict[str, str] | None = None,
) -> Path:
    """Remux the video stream without the packets `drop` (numbered in decoding order) and with
    all times moved by `shift_frames` frames (negative: an edit list hides the first ones).
    """
    with av.open(str(source)) as reader, av.open(str(target), "w", options=muxer or {}) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        shift = round(shift_frames / (stream.average_rate * stream.time_base))
        for number, packet in enumerate(reader.demux(stream)):
            if packet.dts is None or number in drop:
                continue
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = copy
            writer.mux(packet)
    return target
