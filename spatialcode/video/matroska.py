"""The structure of a Matroska or WebM file: FFmpeg skips what it cannot read and says nothing.

Source: RFC 9559 (Matroska) and RFC 8794 (EBML).
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

from spatialcode.errors import CorruptVideoError

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


def check_structure(file: BinaryIO, size: int) -> None:
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
