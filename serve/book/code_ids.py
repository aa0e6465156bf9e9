"""Ids and names that come from outside, checked before they reach a path or a table.

An id is a work key: 64 lower-case hexadecimal digits, so it can stand in a file name. A display
name is only ever shown. It does not know whether anything with that id exists.
"""

from __future__ import annotations

import re

from spatialcode.errors import SpatialCodeError

MAX_NAME_CHARACTERS = 200

_ID = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"[a-z0-9]{1,16}(\.[a-z0-9]{1,16})?")


class BadIdError(SpatialCodeError, ValueError):
    """An id, a name or a cursor is not of the form it must have."""

    code = "bad_id"


def checked_id(code_id: str, field: str = "id") -> str:
    """The id itself. BadIdError unless it is 64 lower-case hexadecimal digits."""
    if not isinstance(code_id, str) or not _ID.fullmatch(code_id):
        raise BadIdError(
            f"{field}: expected 64 lower-case hexadecimal digits, got {_short(code_id)}"
        )
    return code_id


def checked_kind(kind: str) -> str:
    """The kind of a rendition, which ends its file's name: "mp4", "scene.py". BadIdError else."""
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise BadIdError(f"kind: expected letters and digits as in 'mp4', got {_short(kind)}")
    return kind


def checked_name(name: str, field: str = "name") -> str:
    """The name itself. BadIdError unless ``display_name`` would leave it as it is."""
    if not isinstance(name, str) or name != display_name(name):
        raise BadIdError(
            f"{field}: expected at most {MAX_NAME_CHARACTERS} printable characters and no folder,"
            f" got {_short(name)}"
        )
    return name


def display_name(raw: str) -> str:
    """What can be shown of a file name that a client sent; may be empty.

    Folders go, in either spelling, then everything that does not print (control characters,
    direction marks, half surrogates, which no database stores), dots and blanks at the ends, and
    what exceeds ``MAX_NAME_CHARACTERS``.
    """
    last = raw.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(character for character in last if character.isprintable())
    return printable.strip(" .")[:MAX_NAME_CHARACTERS].strip(" .")


def _short(value: object) -> str:
    text = ascii(value)  # what was sent may not print, or be endless
    return text if len(text) <= 80 else f"{text[:80]}…"
