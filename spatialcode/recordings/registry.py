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
from spatialcode.video.limits import is_video_name


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

#: The reader of what lies beside single videos.
BESIDE_VIDEOS = "sidecar"
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
    readers = _readers()
    if format_name is not None:
        if format_name not in readers:
            names = ", ".join(sorted(readers))
            raise ConfigError(f"{key}: expected one of: {names}; got {format_name!r}")
        return readers[format_name]
    fitting = [reader for reader in readers.values() if reader.recognises(folder)]
    return _only(fitting, folder, key)


def _readers() -> dict[str, RecordingReader]:
    """All readers, those that come along among them."""
    import spatialcode.recordings.readers  # noqa: F401 - registers them

    return READERS


def _only(fitting: list[RecordingReader], folder: Path, key: str) -> RecordingReader:
    if not fitting:
        raise _unknown(folder)
    if len(fitting) > 1:
        names = ", ".join(reader.name for reader in fitting)
        raise ConfigError(f"{key}: {folder} is recognised by {names}; say which it is")
    return fitting[0]


def _unknown(folder: Path) -> InputError:
    return InputError(f"{folder}: no reader recognises it; docs/recordings.md has the layouts")


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
    """A capture that was found: its reader's name and its place; ``error``: why there is none.

    A video beside which nothing was recorded has no reader.
    """

    reader: str
    place: CapturePlace
    error: SpatialCodeError | None = None


def captures_in(folder: Path, format_name: str | None = None) -> list[ListedCapture]:
    """The captures of a folder that a reader, or the reader of that name, recognises. Any other
    folder is searched: the folders in it likewise, at every depth; its sidecars, each with the
    video that it names; and, where no reader is named, its other videos.

    None is read. A folder in which nothing is found, that several readers recognise, or whose
    captures cannot be listed, is one entry with its error. Raises as `reader_of` does where that is
    the folder itself.
    """
    if format_name is not None:
        reader_of(folder, format_name, "reader")
    found = _searched(folder, format_name, frozenset())
    if not found:
        raise _nothing_in(folder, format_name)
    return found


def _searched(folder: Path, format_name: str | None, above: frozenset[Path]) -> list[ListedCapture]:
    """See `captures_in`; ``above``: real paths of the folders on the way, as links may go round."""
    reader = _set_of(folder, format_name)
    if reader is not None:
        return _listed(reader, folder)
    found = _beside_videos(folder) if format_name is None else []
    # what a sidecar reads, its depth maps say, is no capture of its own
    read = {outer for listed in found for source in listed.place.sources
            for outer in source.resolve().parents}  # fmt: skip
    above |= {folder.resolve()}
    entries = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    inner = [path for path in entries if path.resolve() not in above | read]
    unknown = 0
    for path in inner:
        try:
            own = _searched(path, format_name, above)
        except ConfigError as error:  # several know it
            own = [ListedCapture("", CapturePlace(path), InputError(str(error)))]
        unknown += not own
        found += own or [ListedCapture("", CapturePlace(path), _nothing_in(path, format_name))]
    return [] if len(found) == unknown else found


def _set_of(folder: Path, format_name: str | None) -> RecordingReader | None:
    """The reader of the data set that a folder belongs to, None where it belongs to none.

    Without a name, sidecars make no folder a data set's: they belong to videos.
    """
    if format_name is not None:
        reader = reader_of(folder, format_name)
        return reader if reader.recognises(folder) else None
    known = (reader for name, reader in _readers().items() if name != BESIDE_VIDEOS)
    fitting = [reader for reader in known if reader.recognises(folder)]
    return _only(fitting, folder, "reader") if fitting else None


def _beside_videos(folder: Path) -> list[ListedCapture]:
    """A folder's sidecars, then its videos that no sidecar names."""
    sidecars = _listed(READERS[BESIDE_VIDEOS], folder)
    named = {source.resolve() for listed in sidecars for source in listed.place.sources}
    videos = sorted(path for path in folder.iterdir() if is_video_name(path.name))
    plain = [path for path in videos if path.is_file() and path.resolve() not in named]
    return [*sidecars, *(ListedCapture("", CapturePlace(path)) for path in plain)]


def _listed(reader: RecordingReader, folder: Path) -> list[ListedCapture]:
    try:
        places = list(reader.places(folder))
    except (FormatError, InputError) as error:
        return [ListedCapture(reader.name, CapturePlace(folder), error)]
    return [ListedCapture(reader.name, place) for place in places]


def _nothing_in(folder: Path, format_name: str | None) -> InputError:
    if format_name is None:
        return _unknown(folder)
    return InputError(f"{folder}: {format_name} expects {READERS[format_name].layout}")


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
    found = [one for one in captures_in(folder, format_name) if one.reader or one.error]
    own = found if path.is_dir() else [one for one in found if one.place.uri == name]
    if len(own) != 1:
        names = ", ".join(one.place.uri for one in found[:_MOST_NAMED])
        more = ", …" if len(found) > _MOST_NAMED else ""
        raise InputError(f"{path}: expected one capture, got {len(own)}; there are: {names}{more}")
    if own[0].error is not None:
        raise own[0].error
    return own[0]
