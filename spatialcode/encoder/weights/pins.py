"""What a name stood for when it was first fetched: commit, and hash and size of each file.

A pin is a small JSON file beside the weights, ``NAME.pin.json``. Later fetches take the same commit
and refuse other bytes, so that a branch that moves on changes nobody's results. A pin alone, copied
without the weights, is enough to know an encoder's identity.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spatialcode.errors import FormatError, WeightsError
from spatialcode.files import read_json, write_json
from spatialcode.workkey import config_sha256

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class PinnedFile:
    """One file of some weights: its path inside their folder, its size and its hash."""

    path: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class WeightsIdentity:
    """Which weights exactly: ``repository`` and ``revision`` (empty for a folder), and the files.

    The files are sorted by path.
    """

    name: str
    repository: str
    revision: str
    files: tuple[PinnedFile, ...]

    @property
    def sha256(self) -> str:
        """Hex digest over paths and contents: equal bytes are equal weights, wherever from."""
        return config_sha256({file.path: file.sha256 for file in self.files})


@dataclass(frozen=True)
class Pin:
    """What was fetched, and under which licence whoever fetched it has taken it."""

    identity: WeightsIdentity
    accepted_licence: str | None = None


def pin_path(folder: Path, name: str) -> Path:
    """Where the pin of a name lies."""
    return folder / f"{name}.pin.json"


def read_pin(folder: Path, name: str) -> Pin | None:
    """The pin of a name, None where it was never fetched. WeightsError where it is damaged."""
    path = pin_path(folder, name)
    if not path.is_file():
        return None
    try:
        document = read_json(path)
        files = tuple(_pinned_file(entry) for entry in document["files"])
        repository, revision = str(document["repository"]), str(document["revision"])
        identity = WeightsIdentity(name, repository, revision, files)
        return Pin(identity, document.get("accepted_licence"))
    except (FormatError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path}: expected repository, revision and files with path, num_bytes and sha256;"
            f" got {type(error).__name__}: {error}; remove it to fetch anew"
        ) from error


def write_pin(folder: Path, pin: Pin) -> None:
    """Store a pin, whole or not at all."""
    identity = pin.identity
    document: dict[str, Any] = {
        "repository": identity.repository,
        "revision": identity.revision,
        "accepted_licence": pin.accepted_licence,
        "files": [asdict(file) for file in identity.files],
    }
    write_json(pin_path(folder, identity.name), document)


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _pinned_file(entry: dict[str, Any]) -> PinnedFile:
    sha256 = str(entry["sha256"])
    if len(sha256) != 64:
        raise ValueError(f"sha256 of 64 digits, got {sha256!r}")
    path = str(entry["path"])
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ValueError(f"a path inside the folder, got {path!r}")
    return PinnedFile(path, int(entry["num_bytes"]), sha256)
