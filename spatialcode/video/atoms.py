"""QuickTime keys and XMP of a mov or mp4 file, of the file and of its picture track.

FFmpeg does not tell a track's own keys, where phones say what lens has filmed. Sizes come from the
file and are believed only within what holds them; what is damaged is passed over.

Source: QuickTime File Format, "Metadata" (2016); XMP Specification, part 3, 2.2.6.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

#: The uuid box that holds XMP.
_XMP_UUID = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
_MAX_BOXES, _MAX_ITEMS, _MAX_TEXT_BYTES = 4096, 1024, 1 << 20
#: Types of values: UTF-8; how big-endian numbers are unpacked, by type and number of bytes.
_UTF8 = 1
_NUMBERS = {
    (21, 1): "b", (21, 2): "h", (21, 4): "i", (22, 1): "B", (22, 2): "H", (22, 4): "I",
    (23, 4): "f", (24, 8): "d", (65, 1): "b", (66, 2): "h", (67, 4): "i", (74, 8): "q",
    (75, 1): "B", (76, 2): "H", (77, 4): "I", (78, 8): "Q",
}  # fmt: skip


@dataclass
class MovMetadata:
    """``keys``: values of QuickTime keys by name, as text; a track's own before the file's.
    ``xmp``: the text of the XMP packet, empty where there is none.
    """

    keys: dict[str, str] = field(default_factory=dict)
    xmp: str = ""


@dataclass(frozen=True)
class _Box:
    """A box of a file: its kind, and the bytes between which its content lies."""

    kind: bytes
    start: int
    end: int


def mov_metadata(file: BinaryIO) -> MovMetadata:
    """What a mov or mp4 file says of itself and of its picture track."""
    found = MovMetadata()
    size = file.seek(0, os.SEEK_END)
    for box in _boxes(file, 0, size):
        if box.kind == b"uuid" and _read(file, box.start, 16) == _XMP_UUID:
            found.xmp = found.xmp or _text(file, box.start + 16, box.end)
        if box.kind == b"moov":
            _read_moov(file, box, found)
    return found


def _read_moov(file: BinaryIO, moov: _Box, found: MovMetadata) -> None:
    inner = list(_boxes(file, moov.start, moov.end))
    for box in inner:
        if box.kind == b"meta":
            found.keys.update(_keys(file, box))
        if box.kind == b"udta":
            for part in _boxes(file, box.start, box.end):
                if part.kind == b"XMP_":
                    found.xmp = found.xmp or _text(file, part.start, part.end)
    tracks = [list(_boxes(file, box.start, box.end)) for box in inner if box.kind == b"trak"]
    for track in tracks:
        if _is_picture(file, track):
            for box in track:
                if box.kind == b"meta":
                    found.keys.update(_keys(file, box))
            return  # of several picture tracks the first is decoded


def _is_picture(file: BinaryIO, track: list[_Box]) -> bool:
    """Whether a track's media handler is that of video."""
    for media in track:
        if media.kind == b"mdia":
            for box in _boxes(file, media.start, media.end):
                if box.kind == b"hdlr" and _read(file, box.start + 8, 4) == b"vide":
                    return True
    return False


def _keys(file: BinaryIO, meta: _Box) -> dict[str, str]:
    """Names and values of a metadata box; its ISO form begins with four bytes of version."""
    skipped = 4 if _read(file, meta.start, 4) == bytes(4) else 0
    parts = {box.kind: box for box in _boxes(file, meta.start + skipped, meta.end)}
    if b"keys" not in parts or b"ilst" not in parts:
        return {}
    names = _names(file, parts[b"keys"])
    values = {}
    for item in _boxes(file, parts[b"ilst"].start, parts[b"ilst"].end):
        number = int.from_bytes(item.kind, "big")
        data = next((b for b in _boxes(file, item.start, item.end) if b.kind == b"data"), None)
        if 1 <= number <= len(names) and data is not None:
            value = _value(file, data)
            if value is not None:
                values[names[number - 1]] = value
    return values


def _names(file: BinaryIO, keys: _Box) -> list[str]:
    count = int.from_bytes(_read(file, keys.start + 4, 4), "big")
    boxes = _boxes(file, keys.start + 8, keys.end)
    names = [_text(file, box.start, box.end) for _, box in zip(range(_MAX_ITEMS), boxes)]  # noqa: B905
    return names[:count]


def _value(file: BinaryIO, data: _Box) -> str | None:
    kind = int.from_bytes(_read(file, data.start, 4), "big")
    start = data.start + 8
    if kind == _UTF8:
        return _text(file, start, data.end)
    form = _NUMBERS.get((kind, data.end - start))
    raw = _read(file, start, data.end - start) if form else b""
    return str(struct.unpack(f">{form}", raw)[0]) if form and len(raw) == data.end - start else None


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[_Box]:
    """The boxes that lie between two places, up to the first that sticks out."""
    for _ in range(_MAX_BOXES):
        head = _read(file, start, 16)
        if start + 8 > end or len(head) < 8:
            return
        length, header = int.from_bytes(head[:4], "big"), 8
        if length == 1 and len(head) == 16:
            length, header = int.from_bytes(head[8:], "big"), 16
        elif length == 0:
            length = end - start
        if length < header or start + length > end:
            return
        yield _Box(head[4:8], start + header, start + length)
        start += length


def _read(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(max(0, count))


def _text(file: BinaryIO, start: int, end: int) -> str:
    raw = _read(file, start, min(end - start, _MAX_TEXT_BYTES))
    return raw.decode("utf-8", "replace").strip("\x00 \t\r\n")
