"""Files that say of themselves what is not so, made from small sound ones."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av


def with_mp4_size(source: Path, target: Path, width: int, height: int) -> Path:
    """Another size in the track header and the sample entry; the stream stays as it is."""
    data = bytearray(source.read_bytes())
    entry = data.index(b"avc1", data.index(b"stsd"))
    struct.pack_into(">HH", data, entry + 28, width, height)
    struct.pack_into(">II", data, data.index(b"tkhd") + 80, width << 16, height << 16)
    target.write_bytes(data)
    return target


def with_mp4_hours(source: Path, target: Path, box: bytes, hours: float) -> Path:
    """Another length in one header box (``mvhd`` or ``mdhd``)."""
    data = bytearray(source.read_bytes())
    at = data.index(box) + 16
    timescale = struct.unpack_from(">I", data, at)[0]
    struct.pack_into(">I", data, at + 4, int(3600 * hours * timescale))
    target.write_bytes(data)
    return target


def with_mp4_samples(source: Path, target: Path, count: int, ticks: int) -> Path:
    """A sample table of ``count`` samples of one byte, each ``ticks`` long."""
    data = bytearray(source.read_bytes())
    struct.pack_into(">II", data, data.index(b"stts") + 12, count, ticks)
    struct.pack_into(">II", data, data.index(b"stsz") + 8, 1, count)
    target.write_bytes(data)
    return target


def with_avi_size(
    source: Path, target: Path, width: int, height: int, *, blank: bool = False
) -> Path:
    """Another size in both headers; ``blank``: pictures of zeros, so that nothing contradicts."""
    data = bytearray(source.read_bytes())
    struct.pack_into("<II", data, data.index(b"avih") + 40, width, height)
    struct.pack_into("<ii", data, data.index(b"strf") + 12, width, height)
    at = data.index(b"movi") + 4
    while blank and data[at : at + 4] == b"00dc":
        length = struct.unpack_from("<I", data, at + 4)[0]
        data[at + 8 : at + 8 + length] = bytes(length)
        at += 8 + length + length % 2
    target.write_bytes(data)
    return target


def with_avi_hours(source: Path, target: Path, hours: float) -> Path:
    """Another time from picture to picture in the main header."""
    data = bytearray(source.read_bytes())
    at = data.index(b"avih") + 8
    num_frames = struct.unpack_from("<I", data, at + 16)[0]
    struct.pack_into("<I", data, at, min(2**32 - 1, int(3600e6 * hours / num_frames)))
    target.write_bytes(data)
    return target


def with_mkv_size(source: Path, target: Path, width: int, height: int) -> Path:
    """Another PixelWidth and PixelHeight, as wide as the numbers that stand there (a byte)."""
    data = bytearray(source.read_bytes())
    for tag, value in ((b"\xb0\x81", width), (b"\xba\x81", height)):
        data[data.index(tag) + 2] = value
    target.write_bytes(data)
    return target


def with_mkv_hours(source: Path, target: Path, hours: float) -> Path:
    """Another Duration in milliseconds."""
    data = bytearray(source.read_bytes())
    struct.pack_into(">d", data, data.index(b"\x44\x89\x88") + 3, 3600e3 * hours)
    target.write_bytes(data)
    return target


def golomb(value: int) -> str:
    """ue(v) of H.264, 9.1, as binary digits."""
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def h264_of_size(target: Path, width_mbs: int, height_mbs: int) -> Path:
    """A transport stream whose sequence parameters state a size in macroblocks of 16 pixels, with
    pictures of noise after them.
    """
    bits = "".join((
        f"{66:08b}", f"{0:08b}", f"{51:08b}", golomb(0),  # baseline, level 5.1, first set
        golomb(0), golomb(2), golomb(1), "0",  # frame numbers, picture order, references, no gaps
        golomb(width_mbs - 1), golomb(height_mbs - 1), "1", "1", "0", "0", "1",
    ))  # fmt: skip
    bits += "0" * (-len(bits) % 8)
    payload = int(bits, 2).to_bytes(len(bits) // 8, "big")
    sequence = b"\0\0\0\1\x67" + payload.replace(b"\0\0", b"\0\0\3")
    picture = b"\0\0\0\1\x68\xce\x38\x80" + b"\0\0\0\1\x65" + b"\x88\x84\x21" * 300
    with av.open(str(target), "w", format="mpegts") as writer:
        stream = writer.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(20):
            packet = av.Packet(sequence + picture)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            writer.mux(packet)
    return target
