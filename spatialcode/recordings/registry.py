"""The readers of recorded data sets, and which of them a folder belongs to.

A new data set is one class with `@recording_reader`; `recordings_in` then recognises its folders.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from spatialcode.errors import ConfigError, FormatError, InputError, SpatialCodeError
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.recording import Recording


class RecordingReader(Protocol):
    """Reads the folders of one data set. ``layout`` says in a few words what it looks for."""

    name: str
    layout: str

    def recognises(self, folder: Path) -> bool:
        """Whether the folder is laid out as this data set is; quick, and raises nothing."""
        ...

    def places(self, folder: Path) -> Iterable[CapturePlace]:
        """Where the folder's captures lie; a capture that is damaged has its place as well.

        InputError or FormatError where they cannot be listed.
        """
        ...

    def read(self, place: CapturePlace) -> Recording:
        """One of them. InputError or FormatError where it is broken or incomplete."""
        ...


#: Every reader by its name, which is what ``clips_format`` takes.
READERS: dict[str, RecordingReader] = {}

#: A message names no more captures than these.
_MOST_NAMED = 5

R = TypeVar("R", bound=type[RecordingReader])


def recording_reader(reader_class: R) -> R:
    """Register a class of readers, made without arguments. ValueError for a name that is taken."""
    reader = reader_class()
    if reader.name in READERS:
        raise ValueError(f"there is a reader of recordings {reader.name!r} already")
    READERS[reader.name] = reader
    return reader_class


def reader_of(
    folder: Path, format_name: str | None = None, key: str = "clips_format"
) -> RecordingReader:
    """The reader of that name, or the one that recognises a folder; ``key``: the name's setting.

    Raises ConfigError for a name that no reader has or a folder that several recognise, InputError
    for one that none recognises.
    """
    import spatialcode.recordings.readers  # noqa: F401 - registers the readers that come along

    known = "; ".join(f"{name} ({reader.layout})" for name, reader in READERS.items())
    if format_name is not None:
        if format_name not in READERS:
            raise ConfigError(f"{key}: expected one of: {known}; got {format_name!r}")
        return READERS[format_name]
    fitting = [reader for reader in READERS.values() if reader.recognises(folder)]
    if not fitting:
        raise InputError(f"{folder}: no reader recognises it; there are: {known}")
    if len(fitting) > 1:
        names = ", ".join(reader.name for reader in fitting)
        raise ConfigError(f"{key}: {folder} is recognised by {names}; say which it is")
    return fitting[0]


def recordings_in(folder: Path, format_name: str | None = None) -> list[Recording]:
    """The recordings of a folder, by the reader of that name, or by the one that recognises it.

    Raises as `reader_of` does, and InputError where the folder holds no recording.
    """
    reader = reader_of(folder, format_name)
    found = [reader.read(place) for place in reader.places(folder)]
    if not found:
        raise InputError(f"{folder} holds no recording that {reader.name} can read")
    return found


@dataclass(frozen=True)
class ListedCapture:
    """A capture that was found: its reader's name and its place; ``error``: why there is none."""

    reader: str
    place: CapturePlace
    error: SpatialCodeError | None = None


def captures_in(folder: Path, format_name: str | None = None) -> list[ListedCapture]:
    """The captures of a folder, or, where it is none of a data set's, those of the folders in it.

    None is read. A folder in it that no reader knows, or whose captures cannot be listed, is one
    entry with its error. Raises as `reader_of` does where not even one is known.
    """
    try:
        return _captures(folder, format_name)
    except InputError:
        inner = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        found = []
        for one in inner:
            try:
                found += _captures(one, format_name)
            except (InputError, ConfigError) as error:  # nobody can name a reader for this one
                found.append(ListedCapture("", CapturePlace(one), InputError(str(error))))
        if all(listed.error for listed in found):
            raise
        return found


def capture_at(path: Path, format_name: str | None = None) -> ListedCapture:
    """The one capture that a path names: a folder with one capture, a capture's own file, or, as
    `CapturePlace.uri` writes it, one of several of a folder.

    Raises as `reader_of` does, and InputError where there is none or more than one.
    """
    name = str(path.absolute())
    outer = Path(name.partition("#")[0])
    folder = path if path.is_dir() else outer if outer.is_dir() else path.parent
    if not folder.is_dir():
        raise InputError(f"{path}: no such capture")
    found = captures_in(folder, format_name)
    own = found if path.is_dir() else [one for one in found if one.place.uri == name]
    if len(own) != 1:
        names = ", ".join(one.place.uri for one in found[:_MOST_NAMED])
        more = ", …" if len(found) > _MOST_NAMED else ""
        raise InputError(f"{path}: expected one capture, got {len(own)}; there are: {names}{more}")
    if own[0].error is not None:
        raise own[0].error
    return own[0]


def _captures(folder: Path, format_name: str | None) -> list[ListedCapture]:
    reader = reader_of(folder, format_name, "reader")
    if not reader.recognises(folder):
        raise InputError(f"{folder}: {reader.name} expects {reader.layout}")
    try:
        places = list(reader.places(folder))
    except FormatError as error:
        return [ListedCapture(reader.name, CapturePlace(folder), error)]
    return [ListedCapture(reader.name, place) for place in places]
