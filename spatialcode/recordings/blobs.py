"""Frames that lie inside larger files: tar archives, zip archives, ScanNet's ``.sens``."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from spatialcode.errors import FormatError
from spatialcode.recordings.reading import existing, picture
from spatialcode.recordings.recording import scaled, stacked


@dataclass(frozen=True)
class Blob:
    """Bytes of a file from an offset on, or a member of a zip archive."""

    path: Path
    offset: int = 0
    num_bytes: int = 0
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.member or f'byte {self.offset}'}"

    def read(self) -> bytes:
        """The bytes. FormatError where the file is shorter or the member damaged."""
        if self.member is not None:
            try:
                with zipfile.ZipFile(existing(self.path)) as archive:
                    return archive.read(self.member)
            except (zipfile.BadZipFile, KeyError, EOFError) as error:
                raise FormatError(f"{self}: cannot be read: {error}") from error
        with existing(self.path).open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.num_bytes)
        if len(data) != self.num_bytes:
            raise FormatError(f"{self}: expected {self.num_bytes} bytes, got {len(data)}")
        return data


@dataclass(frozen=True, eq=False)
class BlobFrames:
    """Frames and depth maps in blobs.

    ``read_depth``: metres (h, w) of a blob's bytes, told its name for errors; a function of a
    module, or a partial.
    """

    pictures: tuple[Blob, ...]
    depths: tuple[Blob, ...] = ()
    read_depth: Callable[[bytes, str], NDArray[np.floating]] | None = None

    def rgb(self, rows: Sequence[int], side_px: int | None) -> UInt8[np.ndarray, "n h w 3"]:
        blobs = [self.pictures[row] for row in rows]
        return stacked([scaled(picture(b.read(), str(b)), side_px) for b in blobs], blobs)

    def depth_m(self, rows: Sequence[int]) -> Float[np.ndarray, "n h w"] | None:
        if self.read_depth is None or not self.depths:
            return None
        blobs = [self.depths[row] for row in rows]
        return stacked([self.read_depth(blob.read(), str(blob)) for blob in blobs], blobs)


def tar_members(path: Path) -> dict[str, Blob]:
    """The files of a tar archive by name. FormatError where it is damaged."""
    try:
        with tarfile.open(existing(path)) as archive:
            return {
                member.name: Blob(path, member.offset_data, member.size)
                for member in archive
                if member.isfile()
            }
    except tarfile.TarError as error:
        raise FormatError(f"{path}: expected a tar archive: {error}") from error


def folder_members(folder: Path) -> dict[str, Blob]:
    """The files below a folder by their path in it, as a tar archive of it would name them."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): Blob(path, 0, path.stat().st_size) for path in files}
