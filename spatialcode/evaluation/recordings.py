"""Recorded data sets: clips with their true codes, found in a folder by a registered reader.

A new data set is one class with `@recording_reader`; `jobs.evaluate clips=DIR` then recognises its
folders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spatialcode.errors import ConfigError, InputError
from spatialcode.evaluation.room_files import read_depth_m
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import OK, from_table

DepthReader = Callable[[], NDArray[np.floating] | None]


def no_depth() -> None:
    """For recordings without depth."""


@dataclass(frozen=True, eq=False)
class Recording:
    """One recorded clip and what is true of it.

    ``code``: its boxes and cameras are the truth; the clip is evaluated on the frames that the
    cameras belong to. ``read_depth_m`` gives depth in metres (N, H, W), one map a camera, NaN where
    it is not known, or None. A recording is pickled for the worker that evaluates it, so this must
    be a function of a module, or a partial of one. Raises InputError for a code without cameras.
    """

    name: str
    video: Path
    code: SpatialCode
    read_depth_m: DepthReader = no_depth

    def __post_init__(self) -> None:
        if not self.code.cameras:
            raise InputError(f"{self.name}: the true code of a recording needs cameras")


class RecordingReader(Protocol):
    """Reads the folders of one data set. ``layout`` says in a few words what it looks for."""

    name: str
    layout: str

    def recognises(self, folder: Path) -> bool:
        """Whether the folder is laid out as this data set is; quick, and raises nothing."""
        ...

    def read(self, folder: Path) -> Iterable[Recording]:
        """The folder's recordings. InputError where one is broken or incomplete."""
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


def recordings_in(folder: Path, format_name: str | None = None) -> list[Recording]:
    """The recordings of a folder, by the reader of that name, or by the one that recognises it.

    Raises ConfigError for a name that no reader has or a folder that several recognise, InputError
    for one that none recognises or that holds no recording.
    """
    known = "; ".join(f"{name} ({reader.layout})" for name, reader in READERS.items())
    if format_name is None:
        fitting = [reader for reader in READERS.values() if reader.recognises(folder)]
        if not fitting:
            raise InputError(f"clips: no reader recognises {folder}; there are: {known}")
        if len(fitting) > 1:
            names = ", ".join(reader.name for reader in fitting)
            raise ConfigError(f"clips_format: {folder} is recognised by {names}; say which it is")
        reader = fitting[0]
    elif format_name in READERS:
        reader = READERS[format_name]
    else:
        raise ConfigError(f"clips_format: expected one of: {known}; got {format_name!r}")
    found = list(reader.read(folder))
    if not found:
        raise InputError(f"clips: {folder} holds no recording that {reader.name} can read")
    return found


@recording_reader
class CodeFolder:
    """What `jobs.synthesize` writes: codes in Parquet files, videos, and perhaps depth maps.

    A video's uri is a path: absolute, or relative to the folder, or the name of a file somewhere
    below it. Depth of ``videos/KEY.mp4`` is in ``depth/KEY/0000.png`` …, millimetres, 0 where it is
    not known. Codes without cameras and rows of rooms that failed are passed over.
    """

    name = "codes"
    layout = "Parquet files of codes with cameras, their videos, and perhaps depth/KEY/*.png"

    def recognises(self, folder: Path) -> bool:
        return any(folder.rglob("*.parquet"))

    def read(self, folder: Path) -> Iterator[Recording]:
        tables = (_sound(pq.read_table(file)) for file in sorted(folder.rglob("*.parquet")))
        codes = [code for table in tables for code in from_table(table) if code.cameras]
        if not codes:
            raise InputError(f"clips: {folder} holds no Parquet file with codes that have cameras")
        for code in codes:
            video = _video_of(code, folder)
            depth = partial(recorded_depth, video, len(code.cameras))
            yield Recording(video.name, video, code, depth)


def _sound(table: pa.Table) -> pa.Table:
    """Without the rows of rooms that could not be recorded."""
    if "status" not in table.column_names:
        return table
    return table.filter(pc.equal(table["status"], OK))


def _video_of(code: SpatialCode, folder: Path) -> Path:
    uri = Path(code.video.uri.removeprefix("file://"))
    if (folder / uri).is_file():  # an absolute uri stays as it is
        return folder / uri
    below = sorted(folder.rglob(uri.name)) if uri.name else []
    if len(below) != 1:
        raise InputError(f"clips: {len(below)} files named {uri.name!r} in {folder}, expected one")
    return below[0]


def recorded_depth(video: Path, num_frames: int) -> NDArray[np.floating] | None:
    """Depth maps (N, H, W) in metres of ``videos/KEY.mp4`` from ``depth/KEY/0000.png`` …; NaN where
    it is not known, None where nothing was recorded.
    """
    images = sorted((video.parent.parent / "depth" / video.stem).glob("*.png"))
    if not images:
        return None
    if len(images) != num_frames:
        raise InputError(f"{video.name}: {len(images)} depth maps for {num_frames} frames")
    depth = np.stack([read_depth_m(image.read_bytes()) for image in images])
    return np.where(depth > 0, depth, np.nan)
