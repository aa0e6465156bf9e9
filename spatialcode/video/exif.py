"""The 35 mm equivalent focal length in the Exif data of a JPEG picture.

Source: Exif 2.3 (CIPA DC-008), 4.5.4, 4.6.5 and 4.7.2; TIFF 6.0.
"""

from __future__ import annotations

import struct

_EXIF_HEAD = b"Exif\x00\x00"
_EXIF_IFD, _FOCAL_35MM = 0x8769, 0xA405
_SHORT, _LONG = 3, 4
#: Entries of a directory that are looked at.
_MAX_ENTRIES = 512


def focal_35mm_of_jpeg(data: bytes) -> float | None:
    """The field FocalLengthIn35mmFilm in millimetres; None where there is none, or 0: unknown."""
    tiff = _exif_of(data)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return None
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    exif = _entry(tiff, order, first, _EXIF_IFD)
    focal = None if exif is None else _entry(tiff, order, exif, _FOCAL_35MM)
    return float(focal) if focal else None


def _exif_of(data: bytes) -> bytes:
    """The TIFF structure of the APP1 segment; empty where there is none."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA or length < 2:  # the picture begins
            break
        segment = data[at + 4 : at + 2 + length]
        if marker == 0xE1 and segment.startswith(_EXIF_HEAD):
            return segment[len(_EXIF_HEAD) :]
        at += 2 + length
    return b""


def _entry(tiff: bytes, order: str, offset: int, tag: int) -> int | None:
    """The single number of a directory's entry; None where there is no such entry."""
    if offset + 2 > len(tiff):
        return None
    (count,) = struct.unpack_from(f"{order}H", tiff, offset)
    for n in range(min(count, _MAX_ENTRIES)):
        at = offset + 2 + 12 * n
        if at + 12 > len(tiff):
            return None
        found, kind, number = struct.unpack_from(f"{order}HHI", tiff, at)
        if found == tag and number == 1 and kind in (_SHORT, _LONG):
            form = "H" if kind == _SHORT else "I"
            return int(struct.unpack_from(f"{order}{form}", tiff, at + 8)[0])
    return None
