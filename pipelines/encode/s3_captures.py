"""Captures that lie in S3: listed by their objects' names, copied to a local folder to be read.

Readers look for a data set's layout in a local folder. To list, they are shown a stand-in: empty
files of the same names, but for the few that tables of contents stand in. To read, the objects of
one capture are copied into a temporary folder, which is removed when the capture is encoded.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.stored.store import s3_filesystem
from spatialcode.errors import ConfigError, InputError, SpatialCodeError
from spatialcode.recordings.readers.sidecar import SUFFIX
from spatialcode.recordings.registry import ListedCapture, captures_in

_S3 = "s3://"
#: Files that readers open to tell which captures there are.
_TABLES = (SUFFIX, ".parquet", ".mat")

Objects = Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class S3Place:
    """Where a capture lies in S3; as `CapturePlace`, but by keys (``bucket/name``).

    ``sources``: keys of objects and of folders that the capture is read from. ``content``: hex
    sha256 over their names, ETags and sizes. ``num_bytes``: their size together.
    """

    key: str
    part: str = ""
    sources: tuple[str, ...] = ()
    content: str = ""
    num_bytes: int = 0

    @property
    def path(self) -> str:
        """The place as it travels in a row: its address and those of its sources, as JSON."""
        return json.dumps([self.key, *self.sources])

    @property
    def uri(self) -> str:
        """The place as text: the address, and the part behind ``#``."""
        return f"{_S3}{self.key}#{self.part}" if self.part else f"{_S3}{self.key}"

    def content_id(self) -> str:
        """See ``content``."""
        return self.content


@dataclass(frozen=True)
class S3Capture:
    """A capture in S3, or, without a reader, a video beside which nothing was recorded.

    ``reader``, ``error``: as of `ListedCapture`; ``entry``: what S3 tells of a single object.
    """

    reader: str
    place: S3Place
    error: SpatialCodeError | None = None
    entry: dict[str, Any] | None = None


def s3_captures(prefix: str, format_name: str | None, endpoint_url: str | None) -> list[S3Capture]:
    """What `captures_in` finds under an ``s3://`` prefix. Raises as it does, and InputError where
    the prefix cannot be listed or holds nothing.
    """
    root = prefix.removeprefix(_S3).rstrip("/")
    filesystem = s3_filesystem(endpoint_url)
    try:
        found = filesystem.find(root, detail=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{prefix}: cannot be listed: {error}") from error
    objects = {key: facts for key, facts in found.items() if _inner(key, root) is not None}
    if not objects:
        raise InputError(f"{prefix}: no folder of captures there")
    with tempfile.TemporaryDirectory(prefix="spatialcode-") as folder:
        stand_in = Path(folder).resolve()
        try:
            _make_stand_in(stand_in, root, objects, filesystem)
            captures = captures_in(stand_in, format_name)
        except (InputError, ConfigError) as error:  # whose names are those of the stand-in
            raise type(error)(_named(error, stand_in, root)) from None
        except OSError as error:
            raise InputError(f"{prefix}: cannot be read: {error}") from error
        return [_in_s3(capture, stand_in, root, objects) for capture in captures]


@contextmanager
def spooled(row: Mapping[str, Any], max_bytes: int, endpoint_url: str | None) -> Iterator[Path]:
    """A planned row's capture as local files, which are removed afterwards; where it lies.

    InputError where its objects cannot be read, or are larger than ``max_bytes`` together.
    """
    key, *sources = json.loads(row["capture_path"])
    filesystem = s3_filesystem(endpoint_url)
    with tempfile.TemporaryDirectory(prefix="spatialcode-") as folder:
        try:
            objects = {}
            for source in sources or [key]:
                objects |= _objects_of(source, filesystem.find(source, detail=True))
            num_bytes = sum(int(facts["size"]) for facts in objects.values())
            if num_bytes > max_bytes:
                expected = f"at most decode.max_capture_bytes={max_bytes}"
                raise InputError(f"{row['uri']}: expected {expected}, got {num_bytes} bytes")
            top = _common_folder([str(PurePosixPath(one).parent) for one in (key, *objects)])
            targets = [Path(folder, PurePosixPath(one).relative_to(top)) for one in objects]
            for target in targets:
                target.parent.mkdir(parents=True, exist_ok=True)
            filesystem.get(list(objects), [str(target) for target in targets])
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{row['uri']}: cannot be read: {error}") from error
        yield Path(folder, PurePosixPath(key).relative_to(top))


def _make_stand_in(stand_in: Path, root: str, objects: Objects, filesystem: Any) -> None:
    tables = []
    for key in objects:
        path = stand_in / str(_inner(key, root))
        path.parent.mkdir(parents=True, exist_ok=True)
        if key.endswith(_TABLES):
            tables.append((key, str(path)))
        else:
            path.touch()
    if tables:
        filesystem.get([key for key, _ in tables], [path for _, path in tables])


def _in_s3(capture: ListedCapture, stand_in: Path, root: str, objects: Objects) -> S3Capture:
    """The capture where its stand-in stood."""
    place = capture.place
    key = _key(place.path, stand_in, root) or root
    sources = [_key(source, stand_in, root) for source in place.sources]
    inner = tuple(source for source in sources if source is not None)
    own: dict[str, dict[str, Any]] = {}
    for source in inner or (key,):
        own |= _objects_of(source, objects)
    facts = [(_relative(one, key), str(own[one]["ETag"]), own[one]["size"]) for one in sorted(own)]
    content = hashlib.sha256(json.dumps([place.part, facts]).encode()).hexdigest()
    num_bytes = sum(int(facts["size"]) for facts in own.values())
    error = capture.error
    if error is not None:
        error = type(error)(_named(error, stand_in, root))
    found = S3Place(key, place.part, inner, content, num_bytes)
    return S3Capture(capture.reader, found, error, objects.get(key))


def _named(error: Exception, stand_in: Path, root: str) -> str:
    """An error's message with the addresses of what the stand-in's files stand for."""
    return str(error).replace(str(stand_in), f"{_S3}{root}")


def _objects_of(source: str, objects: Objects) -> dict[str, dict[str, Any]]:
    """The objects that a key names: itself, or all in that folder."""
    within = f"{source.rstrip('/')}/"
    return {
        key: facts
        for key, facts in objects.items()
        if facts["type"] == "file" and (key == source or key.startswith(within))
    }


def _inner(key: str, root: str) -> str | None:
    """A key's name below the root; None for the root itself, and for names that are no files'."""
    name = key.removeprefix(root).lstrip("/")
    parts = PurePosixPath(name).parts
    is_file = bool(parts) and not key.endswith("/") and ".." not in parts
    return name if is_file else None


def _key(path: Path, stand_in: Path, root: str) -> str | None:
    """The key that a file of the stand-in stands for; None for one that lies elsewhere."""
    if not path.is_relative_to(stand_in):
        return None
    inner = path.relative_to(stand_in).as_posix()
    return root if inner == "." else f"{root}/{inner}"


def _relative(key: str, base: str) -> str:
    """A key as seen from another, so that captures that were moved stay what they were."""
    top = _common_folder([key, base])
    ups = len(PurePosixPath(base).relative_to(top).parts)
    return "../" * ups + PurePosixPath(key).relative_to(top).as_posix()


def _common_folder(keys: Iterable[str]) -> PurePosixPath:
    """The deepest folder in which, or at which, all keys lie."""
    paths = [PurePosixPath(key).parts for key in keys]
    shared = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return PurePosixPath(*shared)
