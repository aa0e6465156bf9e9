"""The readers of recorded data sets, and which of them a folder belongs to.

A new data set is one class with `@recording_reader`; `recordings_in` then recognises its folders.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from spatialcode.errors import ConfigError, InputError
from spatialcode.recordings.recording import Recording


class RecordingReader(Protocol):
    """Reads the folders of one data set. ``layout`` says in a few words what it looks for."""

    name: str
    layout: str

    def recognises(self, folder: Path) -> bool:
        """Whether the folder is laid out as this data set is; quick, and raises nothing."""
        ...

    def read(self, folder: Path) -> Iterable[Recording]:
        """The folder's recordings. InputError or FormatError where one is broken or incomplete."""
        ...


#: Every reader by its name, which is what ``clips_format`` takes.
READERS: dict[str, RecordingReader] = {}

R = TypeVar("R", bound=type[RecordingReader])


def recording_reader(reader_class: R) -> R:
    """Register a class of readers, made without arguments. ValueError for a name that is taken."""
    reader = reader_class()
    if reader.name in READERS:
        raise ValueError(f"there is a reader of recordings {reader.name!r} already")
    READERS[reader.name] = reader
    return reader_class


def reader_of(folder: Path, format_name: str | None = None) -> RecordingReader:
    """The reader of that name, or the one that recognises a folder.

    Raises ConfigError for a name that no reader has or a folder that several recognise, InputError
    for one that none recognises.
    """
    import spatialcode.recordings.readers  # noqa: F401 - registers the readers that come along

    known = "; ".join(f"{name} ({reader.layout})" for name, reader in READERS.items())
    if format_name is not None:
        if format_name not in READERS:
            raise ConfigError(f"clips_format: expected one of: {known}; got {format_name!r}")
        return READERS[format_name]
    fitting = [reader for reader in READERS.values() if reader.recognises(folder)]
    if not fitting:
        raise InputError(f"clips: no reader recognises {folder}; there are: {known}")
    if len(fitting) > 1:
        names = ", ".join(reader.name for reader in fitting)
        raise ConfigError(f"clips_format: {folder} is recognised by {names}; say which it is")
    return fitting[0]


def recordings_in(folder: Path, format_name: str | None = None) -> list[Recording]:
    """The recordings of a folder, by the reader of that name, or by the one that recognises it.

    Raises as `reader_of` does, and InputError where the folder holds no recording.
    """
    reader = reader_of(folder, format_name)
    found = list(reader.read(folder))
    if not found:
        raise InputError(f"clips: {folder} holds no recording that {reader.name} can read")
    return found
