"""Reading the files of recorded data sets, with errors that name the file and the field."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import FormatError, InputError, MissingExtraError
from spatialcode.files import read_json

Array = NDArray[np.float64]


def json_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object. FormatError where it does not, InputError if missing."""
    document = read_json(existing(path))
    if not isinstance(document, dict):
        raise FormatError(f"{path}: expected a JSON object, got {type(document).__name__}")
    return document


def existing(path: Path) -> Path:
    """The path of a file that is there. InputError otherwise."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return path


def number_array(value: Any, shape: tuple[int, ...], where: str) -> Array:
    """Finite numbers of a shape, from nested or flat lists. FormatError, naming ``where``."""
    try:
        array = np.array(value, np.float64)  # a copy: callers move principal points in place
    except (TypeError, ValueError) as error:
        raise FormatError(f"{where}: expected {shape} numbers, got {str(value)[:60]}") from error
    if array.size != int(np.prod(shape)) or not np.isfinite(array).all():
        raise FormatError(f"{where}: expected {shape} finite numbers, got shape {array.shape}")
    return array.reshape(shape)


def field(document: Any, name: str, where: str) -> Any:
    """A field of a JSON object. FormatError where it is missing."""
    if not isinstance(document, dict) or name not in document:
        raise FormatError(f"{where}: expected a field {name!r}")
    return document[name]


def text_matrix(path: Path, shape: tuple[int, ...]) -> Array:
    """A text file of numbers of a shape, separated by blanks. FormatError where it is none."""
    try:
        values = [float(token) for token in existing(path).read_text("utf-8").split()]
    except (ValueError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: expected numbers: {error}") from error
    return number_array(values, shape, str(path))


def table_rows(path: Path, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """Rows of a CSV file with a header, as dictionaries. FormatError where it is not text."""
    try:
        with existing(path).open(newline="", encoding="utf-8-sig") as file:
            yield from csv.DictReader(file, delimiter=delimiter)
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path}: not a table: {error}") from error


def picture(data: bytes, where: str) -> NDArray[np.uint8]:
    """An encoded picture as RGB (H, W, 3). FormatError where it cannot be decoded."""
    image = _decoded(data, cv2.IMREAD_COLOR, where)
    return np.ascontiguousarray(image[..., ::-1])


def raw_picture(data: bytes, where: str) -> NDArray[Any]:
    """An encoded grey picture (H, W) as it is, 8 or 16 bits. FormatError where it is none."""
    image = _decoded(data, cv2.IMREAD_UNCHANGED, where)
    if image.ndim != 2:
        raise FormatError(f"{where}: expected one channel, got shape {image.shape}")
    return image


def _decoded(data: bytes, flags: int, where: str) -> NDArray[Any]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if image is None:
        raise FormatError(f"{where}: expected a picture, got {len(data)} bytes that are none")
    return np.asarray(image)


def png_depth(path: Path, units_per_m: float, none_at: int = 0) -> NDArray[np.float32]:
    """z-depth (h, w) in metres of a 16-bit PNG; NaN where it holds 0 or ``none_at``."""
    raw = raw_picture(existing(path).read_bytes(), str(path))
    return scaled_depth(raw, units_per_m, none_at)


def scaled_depth(raw: NDArray[Any], units_per_m: float, none_at: int = 0) -> NDArray[np.float32]:
    """Integers (h, w) as metres; NaN where they are 0 or ``none_at``."""
    unknown = (raw == 0) | (raw == none_at)
    return np.where(unknown, np.nan, raw / units_per_m).astype(np.float32)


def exr_depth(path: Path) -> NDArray[np.float32]:
    """The first channel (h, w) of an EXR file in metres; NaN where it is 0 or not finite.

    MissingExtraError without the extra ``recordings``, FormatError where the file is damaged.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise MissingExtraError("reading EXR files", "recordings") from error
    try:
        with OpenEXR.File(str(existing(path)), separate_channels=True) as file:
            channels = file.channels()
            values = np.array(next(iter(channels.values())).pixels, np.float32)
    except (RuntimeError, StopIteration, OSError) as error:
        raise FormatError(f"{path}: expected an EXR picture: {error}") from error
    return np.where(np.isfinite(values) & (values > 0), values, np.nan).astype(np.float32)


def hdf5_array(path: Path, name: str = "dataset") -> NDArray[Any]:
    """One array of an HDF5 file.

    MissingExtraError without the extra ``recordings``, FormatError where the file has none such.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("reading HDF5 files", "recordings") from error
    try:
        with h5py.File(existing(path), "r") as file:
            return np.asarray(file[name])
    except (OSError, KeyError, RuntimeError) as error:
        raise FormatError(f"{path}: expected an HDF5 file with {name!r}: {error}") from error


def spread(num: int, count: int) -> list[int]:
    """At most ``count`` of ``num`` indices, evenly spread, first and last among them."""
    return np.unique(np.linspace(0, num - 1, min(num, count)).round().astype(int)).tolist()
