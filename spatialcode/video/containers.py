"""What a file is by its own bytes, and whether its container still holds all it declares.

Only the formats listed here are ever handed to FFmpeg, each with its demuxer named, so that a
playlist, an image, a concat script or any other input FFmpeg would be glad to open is not.

Of a Matroska or WebM file the whole structure is walked (RFC 9559, and RFC 8794 for EBML): FFmpeg
skips what it cannot read there and says nothing.
"""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

from spatialcode.errors import CorruptVideoError, TruncatedVideoError, UnsupportedVideoError

HEAD_BYTES = 4096
TS_PACKET_BYTES = 188
MOV_BOXES = frozenset(
    (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx", b"moof")
)
# Still pictures in the same box structure: HEIF and AVIF.
STILL_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"mif2"))
EBML, SEGMENT, CLUSTER, CRC_32 = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xBF
TOP_LEVEL = {
    EBML: "header", SEGMENT: "segment", CLUSTER: "cluster", 0x114D9B74: "seek head",
    0x1549A966: "info", 0x1654AE6B: "tracks", 0x1C53BB6B: "cues", 0x1254C367: "tags",
    0x1043A770: "chapters", 0x1941A469: "attachments",
}  # fmt: skip
IN_CLUSTER = {
    0xE7: "timestamp", 0xA3: "simple block", 0xA0: "block group", 0xA7: "position",
    0xAB: "previous size", 0x5854: "silent tracks", 0xAF: "encrypted block",
    0xEC: "void", CRC_32: "checksum",
}  # fmt: skip
PIECE_BYTES = 1 << 20


def sniff(head: bytes) -> str:
    """FFmpeg's demuxer name for a file that begins with `head`; UnsupportedVideoError if none."""
    if head[4:8] in MOV_BOXES:
        if head[4:8] == b"ftyp" and head[8:12] in STILL_BRANDS:
            raise UnsupportedVideoError(f"a still picture ({head[8:12].decode('ascii')})")
        return "mov"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"FLV\x01":
        return "flv"
    if head[:4] == b"\x00\x00\x01\xba":
        return "mpeg"
    if head[:1] == b"\x47" and len(head) >= 565 and head[188] == head[376] == head[564] == 0x47:
        return "mpegts"
    shown = head[:12].hex(" ")
    raise UnsupportedVideoError(f"not a known video container; the file begins with {shown}")


def check_container(file: BinaryIO, format_name: str) -> None:
    """TruncatedVideoError when the container declares more bytes than the file has,
    CorruptVideoError when its structure is broken.

    Length is known for mov, matroska (unless written live, with an unknown size) and avi. MPEG
    streams and FLV declare nothing: one cut between two packets cannot be told from a whole one.
    """
    size = file.seek(0, os.SEEK_END)
    if format_name == "mov":
        _check_boxes(file, size)
    elif format_name == "matroska":
        _check_segment(file, size)
        check_matroska(file, size)
    elif format_name == "avi":
        _check_riff(file, size)
    elif format_name == "mpegts" and size % TS_PACKET_BYTES:
        raise TruncatedVideoError("the file ends inside a transport stream packet")


def _check_boxes(file: BinaryIO, size: int) -> None:
    offset, seen = 0, set()
    while offset + 8 <= size:
        file.seek(offset)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:
            length = size - offset
        if length < 8:
            break
        if not kind.isascii() or not kind.decode("ascii").isprintable():
            raise CorruptVideoError(f"no box at byte {offset}: its kind is {kind!r}")
        if offset + length > size:
            missing = offset + length - size
            name = kind.decode("ascii")
            raise TruncatedVideoError(f"box {name!r} ends {missing} bytes after the file does")
        seen.add(kind)
        offset += length
    if not seen & {b"moov", b"moof"}:
        raise TruncatedVideoError("the file has no index (moov box); it was cut or never finished")


def _check_segment(file: BinaryIO, size: int) -> None:
    file.seek(0)
    head = file.read(HEAD_BYTES)
    header_size, at = read_vint(head, 4)
    if header_size is None:
        return
    offset = at + header_size
    if head[offset : offset + 4] != b"\x18\x53\x80\x67":
        return
    segment_size, at = read_vint(head, offset + 4)
    if segment_size is not None and at + segment_size > size:
        missing = at + segment_size - size
        raise TruncatedVideoError(f"the segment ends {missing} bytes after the file does")


def _check_riff(file: BinaryIO, size: int) -> None:
    file.seek(4)
    declared = 8 + int.from_bytes(file.read(4), "little")
    # Some writers leave a whole-file size of 0 or the pad byte out; both are harmless.
    if declared > size + 1:
        raise TruncatedVideoError(f"the RIFF list ends {declared - size} bytes after the file does")


def check_matroska(file: BinaryIO, size: int) -> None:
    """Walk all elements down to blocks; CorruptVideoError where one is not what may stand there,
    sticks out of its cluster, or a cluster's checksum (if it has one) does not match.
    """
    offset, cluster_end = 0, size
    while offset < size:
        file.seek(offset)
        header = file.read(12)
        element, at = read_id(header)
        length, at = read_vint(header, at)
        start = offset + at
        known = element in TOP_LEVEL or element in IN_CLUSTER
        if not known or at > len(header):
            raise CorruptVideoError(f"no Matroska element at byte {offset}")
        if element in (SEGMENT, CLUSTER):
            # Their content follows; a live recording leaves their size unknown.
            cluster_end = size if element == SEGMENT or length is None else start + length
            if element == CLUSTER and length is not None and start + length <= size:
                _check_checksum(file, start, start + length)
            offset = start
            continue
        if length is None:
            raise CorruptVideoError(f"the element at byte {offset} has no size")
        offset = start + length
        if offset > (cluster_end if element in IN_CLUSTER else size):
            raise CorruptVideoError(f"the element at byte {start - at} is longer than its parent")


def _check_checksum(file: BinaryIO, start: int, end: int) -> None:
    file.seek(start)
    head = file.read(6)
    if head[:2] != b"\xbf\x84":
        return
    crc, remaining = 0, end - start - 6
    while remaining > 0:
        piece = file.read(min(remaining, PIECE_BYTES))
        if not piece:
            return
        crc, remaining = zlib.crc32(piece, crc), remaining - len(piece)
    if crc != int.from_bytes(head[2:], "little"):
        raise CorruptVideoError(f"the cluster at bytes {start} to {end} fails its checksum")


def read_id(data: bytes) -> tuple[int, int]:
    """An element's id at the start of `data` and the offset after it; 0 when there is none."""
    if not data or data[0] < 0x10:
        return 0, 1
    width = 9 - data[0].bit_length()
    return int.from_bytes(data[:width], "big"), width


def read_vint(data: bytes, at: int) -> tuple[int | None, int]:
    """An element's size at `at`: (value, offset after it); None for the reserved unknown size."""
    if at >= len(data) or data[at] == 0:
        return None, at + 1
    width = 9 - data[at].bit_length()
    raw = int.from_bytes(data[at : at + width], "big")
    value = raw & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), at + width
