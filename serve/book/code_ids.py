"""Ids and names from outside, checked before they become part of a path or a table.

An id is a work key: 64 lower-case hexadecimal digits, so it can be part of a file name. A display
name is only shown. Whether anything with an id exists is not known here.
"""

from __future__ import annotations

import re

from serve.config import SHA256_HEX
from spatialcode.errors import SpatialCodeError

MAX_NAME_CHARS = 200

_KIND = re.compile(r"[a-z0-9]{1,16}(\.[a-z0-9]{1,16})?")


class BadIdError(SpatialCodeError, ValueError):
    """An id, a name or a cursor does not have the required form."""

    code = "bad_id"


def checked_id(code_id: str, field: str = "id") -> str:
    """The id. BadIdError unless it is 64 lower-case hexadecimal digits."""
    if not isinstance(code_id, str) or not SHA256_HEX.fullmatch(code_id):
        raise BadIdError(
            f"{field}: expected 64 lower-case hexadecimal digits, got {_short(code_id)}"
        )
    return code_id


def checked_kind(kind: str) -> str:
    """The kind of a rendition, which ends its file's name, as "mp4", "scene.py". Or BadIdError."""
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise BadIdError(f"kind: expected letters and digits as in 'mp4', got {_short(kind)}")
    return kind


def checked_name(name: str, field: str = "name") -> str:
    """The name. BadIdError unless `display_name` would leave it unchanged."""
    if not isinstance(name, str) or name != display_name(name):
        raise BadIdError(
            f"{field}: expected at most {MAX_NAME_CHARS} printable characters and no folder,"
            f" got {_short(name)}"
        )
    return name


def display_name(raw: str) -> str:
    """The part of a client's file name that can be shown; may be empty.

    Removed are folders (of either notation), characters that do not print (control characters,
    direction marks, single surrogates, which no database stores), dots and blanks at both ends, and
    everything beyond ``MAX_NAME_CHARS``.
    """
    last = raw.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(character for character in last if character.isprintable())
    return printable.strip(" .")[:MAX_NAME_CHARS].strip(" .")


def _short(value: object) -> str:
    text = ascii(value)  # the value may be unprintable or very long
    return text if len(text) <= 80 else f"{text[:80]}…"
