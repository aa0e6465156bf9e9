"""Lists what to encode: videos by file, folder, glob, ``s3://`` prefix or manifest, and captures.

With a reader of recordings (`spatialcode.recordings`) folders, globs of folders, ``s3://`` prefixes
and manifests of both name captures instead of videos. A video with a sidecar beside it is a capture
as well.

Every listed thing becomes exactly one `ListedVideo`, in a stable order; what cannot be used becomes
one with an error, not an exception, so that one bad line does not stop a run. Only a listing that
cannot be made at all raises `InputError`. Nothing is read but names, sizes and manifests.
"""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.encode.s3_captures import S3Place, s3_captures
from pipelines.stored.store import s3_filesystem
from spatialcode.errors import ConfigError, InputError, SpatialCodeError, VideoNotFoundError
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.readers.sidecar import Sidecar, sidecar_beside
from spatialcode.recordings.registry import ListedCapture, captures_in
from spatialcode.video.limits import is_video_name

MANIFEST_SUFFIXES = frozenset({".parquet", ".jsonl", ".ndjson"})


@dataclass(frozen=True)
class ListedVideo:
    """One listed video or capture.

    ``input_id``: the uri, with ``#2``, ``#3`` … for its repetitions in one listing; stable
    between runs. ``content_id``: the content's identity where the listing gives one, else empty.
    ``error``: why it cannot be used, if so. ``reader`` and ``place``: who reads a capture, and
    where; of a video alone, empty and None.
    """

    input_id: str
    uri: str
    content_id: str = ""
    num_bytes: int = -1
    error: SpatialCodeError | None = None
    reader: str = ""
    place: CapturePlace | S3Place | None = None

    @property
    def is_video(self) -> bool:
        """Whether the uri names one file of pictures, whose bytes are its content."""
        return self.place is None or self.place.uri != self.uri


@dataclass(frozen=True)
class Captures:
    """Which inputs are captures. ``reader``: the name of a reader, "auto" for the one that
    recognises a folder, None: inputs are videos. ``with_sidecars``: a sidecar beside a video is
    read with it.
    """

    reader: str | None = None
    with_sidecars: bool = True

    @property
    def format_name(self) -> str | None:
        """The reader's name, None for whichever recognises a folder."""
        return None if self.reader == "auto" else self.reader


def list_inputs(
    patterns: Sequence[str],
    s3_endpoint_url: str | None = None,
    captures: Captures = Captures(with_sidecars=False),
) -> list[ListedVideo]:
    """All sources that the patterns name, in the order of the patterns, each folder sorted.

    A folder is searched at every depth for files with a video's suffix; a file or manifest row
    named outright is taken whatever its suffix. A missing single video is a source with
    `VideoNotFoundError`. Raises InputError for a folder, glob, prefix or manifest with no entry,
    or one that is missing or cannot be read, and as `captures_in` does, or ConfigError, for
    captures.
    """
    lister = _Lister(s3_endpoint_url, captures)
    sources = [source for pattern in patterns for source in lister.expand(pattern)]
    if captures.with_sidecars:
        sources = [_with_sidecar(source) for source in sources]
    return _numbered(sources)


def _numbered(sources: Iterable[ListedVideo]) -> list[ListedVideo]:
    """The videos with unique ids: a uri that is listed again gets a number."""
    seen: Counter[str] = Counter()
    numbered = []
    for source in sources:
        seen[source.uri] += 1
        count = seen[source.uri]
        input_id = source.uri if count == 1 else f"{source.uri}#{count}"
        numbered.append(replace(source, input_id=input_id))
    return numbered


class _Lister:
    """Expands patterns."""

    def __init__(self, s3_endpoint_url: str | None, captures: Captures) -> None:
        self._endpoint_url = s3_endpoint_url
        self._captures = captures

    def expand(self, pattern: str) -> Iterator[ListedVideo]:
        """The sources of one pattern."""
        suffix = Path(pattern).suffix.lower()
        if suffix in MANIFEST_SUFFIXES:
            yield from self._manifest(pattern, suffix)
        elif self._captures.reader is not None:
            yield from self._captured(pattern)
        elif pattern.startswith("s3://"):
            yield from self._s3_entries(pattern)
        elif "://" in pattern:
            raise InputError(f"{pattern}: only local paths and s3:// can be listed")
        else:
            yield from _local_entries(pattern)

    def s3(self) -> Any:
        return s3_filesystem(self._endpoint_url)

    def _captured(self, pattern: str) -> Iterator[ListedVideo]:
        format_name = self._captures.format_name
        if not pattern.startswith("s3://"):
            yield from _captured_entries(pattern, format_name)
            return
        if any(character in pattern for character in "*?["):
            raise InputError(f"{pattern}: captures in S3 are named by a prefix, not by a glob")
        for found in s3_captures(pattern, format_name, self._endpoint_url):
            place = found.place
            if not found.reader and found.error is None and found.entry is not None:
                yield _s3_source(found.entry)
                continue
            yield ListedVideo(
                "", place.uri, num_bytes=place.num_bytes, error=found.error, reader=found.reader,
                place=place,
            )  # fmt: skip

    def _s3_entries(self, pattern: str) -> Iterator[ListedVideo]:
        has_wildcard = any(character in pattern for character in "*?[")
        try:
            if has_wildcard:
                entries = self.s3().glob(pattern, detail=True)
            else:
                entries = self.s3().find(pattern, detail=True)
        except (OSError, ValueError) as error:
            raise InputError(f"{pattern}: cannot be listed: {error}") from error
        named_outright = has_wildcard or set(entries) == {pattern.removeprefix("s3://")}
        found = [
            _s3_source(entry)
            for _, entry in sorted(entries.items())
            if entry["type"] == "file" and (named_outright or is_video_name(entry["name"]))
        ]
        if not found and not has_wildcard and is_video_name(pattern):
            found = [_missing(pattern)]
        if not found:
            raise InputError(f"{pattern}: no videos there")
        yield from found

    def _manifest(self, path: str, suffix: str) -> Iterator[ListedVideo]:
        try:
            with self._open(path) as file:
                rows = list(_parquet_uris(file) if suffix == ".parquet" else _json_uris(file))
        except (OSError, ValueError) as error:
            raise InputError(f"manifest {path}: cannot be read: {error}") from error
        if not rows:
            raise InputError(f"manifest {path}: has no rows")
        base = path.rpartition("/")[0]
        for number, (uri, problem) in enumerate(rows, 1):
            if problem:
                name = f"{path}:{number}"
                yield ListedVideo("", name, error=InputError(f"{name}: {problem}"))
                continue
            if "://" not in uri and not Path(uri).is_absolute() and base:
                uri = f"{base}/{uri}"
            if self._captures.reader is None:
                yield self._manifest_source(uri)
                continue
            try:
                yield from self._captured(uri)
            except InputError as error:
                yield ListedVideo("", uri, error=error)

    def _manifest_source(self, uri: str) -> ListedVideo:
        if uri.startswith("s3://"):
            try:
                return _s3_source(self.s3().info(uri))
            except FileNotFoundError:
                return _missing(uri)
            except (OSError, ValueError) as error:
                return ListedVideo("", uri, error=InputError(f"{uri}: {error}"))
        if "://" in uri:
            return ListedVideo(
                "", uri, error=InputError(f"{uri}: only local paths and s3:// are read")
            )
        return _local_source(Path(uri))

    def _open(self, path: str) -> Any:
        if path.startswith("s3://"):
            return self.s3().open(path, "rb")
        return Path(path).open("rb")


def _local_entries(pattern: str) -> Iterator[ListedVideo]:
    path = Path(pattern)
    if path.is_dir():
        found = [entry for entry in sorted(path.rglob("*")) if is_video_name(entry.name)]
        found = [entry for entry in found if entry.is_file()]
    elif path.exists() or not glob.has_magic(pattern):
        found = [path]
        if not path.exists() and not is_video_name(pattern):
            raise InputError(f"{pattern}: no such file or folder")
    else:
        found = [Path(name) for name in sorted(glob.iglob(pattern, recursive=True))]  # noqa: PTH207 - absolute patterns too
        found = [entry for entry in found if entry.is_file()]
    if not found:
        raise InputError(f"{pattern}: no videos there")
    yield from (_local_source(entry) for entry in found)


def _captured_entries(pattern: str, format_name: str | None) -> Iterator[ListedVideo]:
    """The captures in a folder, or in the folders that a glob names."""
    if "://" in pattern:
        raise InputError(f"{pattern}: only local paths and s3:// can be listed")
    is_glob = glob.has_magic(pattern) and not Path(pattern).exists()
    folders = sorted(glob.iglob(pattern, recursive=True)) if is_glob else [pattern]  # noqa: PTH207 - as below
    folders = [folder for folder in folders if Path(folder).is_dir()]
    if not folders:
        raise InputError(f"{pattern}: expected a folder of captures")
    for folder in folders:
        try:
            captures = captures_in(Path(folder), format_name)
        except OSError as error:
            raise InputError(f"{folder}: cannot be listed: {error}") from error
        except (InputError, ConfigError) as error:
            if len(folders) == 1 or (format_name and isinstance(error, ConfigError)):
                raise
            unknown = InputError(str(error))
            captures = [ListedCapture("", CapturePlace(Path(folder)), unknown)]
        for found in captures:
            place = found.place
            if not found.reader and found.error is None:
                yield _local_source(place.path)
                continue
            yield ListedVideo("", place.uri, error=found.error, reader=found.reader, place=place)


def _with_sidecar(source: ListedVideo) -> ListedVideo:
    """A local video with the capture that lies beside it, if one does."""
    if source.error or source.place or source.uri.startswith("s3://"):
        return source
    place = sidecar_beside(Path(source.uri))
    return source if place is None else replace(source, reader=Sidecar.name, place=place)


def _local_source(path: Path) -> ListedVideo:
    absolute = str(path.absolute())
    try:
        if path.is_dir():
            return ListedVideo("", absolute, error=InputError(f"{absolute}: is a folder"))
        return ListedVideo("", absolute, num_bytes=path.stat().st_size)
    except FileNotFoundError:
        return _missing(absolute)
    except (OSError, ValueError) as error:
        return ListedVideo("", absolute, error=InputError(f"{absolute}: {error}"))


def _s3_source(entry: dict[str, Any]) -> ListedVideo:
    """The ETag changes with the content; together with the size it names it without reading."""
    etag = str(entry["ETag"]).strip('"')
    uri = f"s3://{entry['name']}"
    return ListedVideo("", uri, f"s3:{etag}:{entry['size']}", int(entry["size"]))


def _missing(uri: str) -> ListedVideo:
    return ListedVideo("", uri, error=VideoNotFoundError("not found", uri))


def _parquet_uris(file: Any) -> Iterator[tuple[str, str]]:
    """Uri and problem of each row; one of the two is empty."""
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(file)
    if "uri" not in parquet.schema_arrow.names:
        raise ValueError("has no column 'uri'")
    for batch in parquet.iter_batches(columns=["uri"]):
        yield from (_checked(value) for value in batch.column(0).to_pylist())


def _json_uris(file: Any) -> Iterator[tuple[str, str]]:
    for line in file:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield "", f"is not JSON: {error}"
            continue
        yield _checked(row.get("uri") if isinstance(row, dict) else None)


def _checked(value: object) -> tuple[str, str]:
    if isinstance(value, str) and value.strip():
        return value, ""
    return "", f"has no usable 'uri', got {value!r}"
