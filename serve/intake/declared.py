"""What a container says of its pictures' size and of its length, whether or not it is true.

Decoding goes by the stream, and so do the limits of `spatialcode.video`; but a file whose header
says 100,000 × 100,000 pixels or ten hours is refused even if what follows is small. Read are MP4
and QuickTime (`mvhd`, `mdhd`, `tkhd`, `stsd`), Matroska (Info, Tracks) and AVI (`avih`); other
formats declare no size. What cannot be read is passed over: damage is the decoder's to find.
Sources: ISO/IEC 14496-12, RFC 9559, the AVI RIFF reference.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from spatialcode.errors import VideoLimitError
from spatialcode.video.containers import SEGMENT, read_id, read_vint
from spatialcode.video.limits import VideoLimits

MAX_STEPS = 20_000
PAYLOAD_BYTES = 128
MOV_PARENTS = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex"))
MOV_READ = frozenset((b"mvhd", b"mdhd", b"mehd", b"tkhd", b"hdlr", b"stsd"))
INFO, TRACKS, TRACK, VIDEO = 0x1549A966, 0x1654AE6B, 0xAE, 0xE0
MKV_PARENTS = frozenset((SEGMENT, INFO, TRACKS, TRACK, VIDEO))
SCALE, DURATION, WIDTH, HEIGHT = 0x2AD7B1, 0x4489, 0xB0, 0xBA
AVIH = b"hdrlavih"
AVIH_AT = 20


@dataclass
class Declared:
    """Lengths in seconds and sizes in pixels, as many as were found."""

    durations_s: list[float] = field(default_factory=list)
    sizes_px: list[tuple[int, int]] = field(default_factory=list)

    def check(self, limits: VideoLimits) -> None:
        """Raise VideoLimitError for a declared length or size that is beyond the limits."""
        for duration_s in self.durations_s:
            if duration_s > limits.max_duration_s:
                raise VideoLimitError(
                    f"duration: declared {duration_s:.1f} s, at most {limits.max_duration_s:g} s"
                )
        for width, height in self.sizes_px:
            if not 0 < width * height <= limits.max_pixels:
                raise VideoLimitError(
                    f"pixels: declared {width} x {height}, more than 0 and "
                    f"at most {limits.max_pixels}"
                )


def declared(file: BinaryIO, format_name: str) -> Declared:
    """What the container of a file of this format (FFmpeg's name) says; bounded in time."""
    readers = {"mov": _read_mov, "matroska": _read_matroska, "avi": _read_avi}
    found = Declared()
    reader = readers.get(format_name)
    if reader is not None:
        reader(file, found)
    return found


def _read_mov(file: BinaryIO, found: Declared) -> None:
    """Boxes in the order of the file; a parent is entered by going on with its first child."""
    size, offset = file.seek(0, os.SEEK_END), 0
    timescale, is_picture = 0, False
    for _ in range(MAX_STEPS):
        if offset + 8 > size:
            return
        file.seek(offset)
        header = file.read(16)
        length, kind, body = int.from_bytes(header[:4], "big"), header[4:8], offset + 8
        if length == 1:
            length, body = int.from_bytes(header[8:16], "big"), offset + 16
        elif length == 0:
            length = size - offset
        if length < 8:
            return
        offset = body if kind in MOV_PARENTS else offset + length
        if kind == b"trak":
            is_picture = False
        if kind not in MOV_READ:
            continue
        file.seek(body)
        data = file.read(PAYLOAD_BYTES).ljust(PAYLOAD_BYTES, b"\0")
        if kind in (b"mvhd", b"mdhd"):
            timescale = _mov_duration(data, found)
        elif kind == b"mehd" and timescale:  # of a fragmented file, in the movie's scale
            found.durations_s.append(
                int.from_bytes(data[4 : 12 if data[0] else 8], "big") / timescale
            )
        elif kind == b"tkhd":
            at = 88 if data[0] else 76
            width, height = struct.unpack_from(">II", data, at)
            if width and height:  # sound has none, and some writers leave a picture's out
                found.sizes_px.append((width >> 16, height >> 16))
        elif kind == b"hdlr":
            is_picture = data[8:12] == b"vide"
        elif is_picture:
            found.sizes_px.append(struct.unpack_from(">HH", data, 40))


def _mov_duration(data: bytes, found: Declared) -> int:
    """Of `mvhd` or `mdhd`; returns the ticks of a second. All ones mean that it is not known."""
    timescale, duration = struct.unpack_from(
        ">IQ" if data[0] else ">II", data, 20 if data[0] else 12
    )
    unknown = 2**64 - 1 if data[0] else 2**32 - 1
    if timescale and duration != unknown:
        found.durations_s.append(duration / timescale)
    return int(timescale)


def _read_matroska(file: BinaryIO, found: Declared) -> None:
    """Elements in the order of the file, entered like boxes."""
    size, offset = file.seek(0, os.SEEK_END), 0
    scale_ns, duration = 1_000_000, 0.0
    sizes: list[dict[int, int]] = []
    for _ in range(MAX_STEPS):
        if offset >= size:
            break
        file.seek(offset)
        header = file.read(12)
        element, at = read_id(header)
        length, at = read_vint(header, at)
        body = offset + at
        if element in MKV_PARENTS:
            offset = body
            if element == VIDEO:
                sizes.append({})
            continue
        if length is None:
            break
        offset = body + length
        if element not in (SCALE, DURATION, WIDTH, HEIGHT) or length > 8:
            continue
        file.seek(body)
        data = file.read(length)
        if element == SCALE:
            scale_ns = int.from_bytes(data, "big")
        elif element == DURATION and len(data) in (4, 8):
            duration = struct.unpack(">f" if len(data) == 4 else ">d", data)[0]
        elif sizes:
            sizes[-1][element] = int.from_bytes(data, "big")
    found.sizes_px += [(one.get(WIDTH, 0), one.get(HEIGHT, 0)) for one in sizes]
    found.durations_s.append(duration * scale_ns / 1e9)


def _read_avi(file: BinaryIO, found: Declared) -> None:
    """The main header, which is the first thing in the first list."""
    file.seek(AVIH_AT)
    data = file.read(PAYLOAD_BYTES)
    if not data.startswith(AVIH) or len(data) < 60:
        return
    microseconds, num_frames = (struct.unpack_from("<I", data, 12 + at)[0] for at in (0, 16))
    found.durations_s.append(microseconds * num_frames / 1e6)
    found.sizes_px.append(struct.unpack_from("<II", data, 12 + 32))
