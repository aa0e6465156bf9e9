"""What a file is by its own bytes, and whether its container still holds all it declares.

Only the formats listed here are ever handed to FFmpeg, each with its demuxer named, so that a
playlist, an image, a concat script or any other input FFmpeg would be glad to open is not.
"""

from __future__ import annotations

import os
from typing import BinaryIO

from spatialcode.errors import CorruptVideoError, TruncatedVideoError, UnsupportedVideoError
from spatialcode.video import matroska

HEAD_BYTES = 4096
TS_PACKET_BYTES = 188
MOV_BOXES = frozenset(
    (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx", b"moof")
)
# Still pictures in the same box structure: HEIF and AVIF.
STILL_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"mif2"))


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
        matroska.check_structure(file, size)
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
    header_size, at = matroska.read_vint(head, 4)
    if header_size is None:
        return
    offset = at + header_size
    if head[offset : offset + 4] != b"\x18\x53\x80\x67":
        return
    segment_size, at = matroska.read_vint(head, offset + 4)
    if segment_size is not None and at + segment_size > size:
        missing = at + segment_size - size
        raise TruncatedVideoError(f"the segment ends {missing} bytes after the file does")


def _check_riff(file: BinaryIO, size: int) -> None:
    file.seek(4)
    declared = 8 + int.from_bytes(file.read(4), "little")
    # Some writers leave a whole-file size of 0 or the pad byte out; both are harmless.
    if declared > size + 1:
        raise TruncatedVideoError(f"the RIFF list ends {declared - size} bytes after the file does")
