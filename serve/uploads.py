"""A request's body onto disk: counted, hashed, never whole in memory, gone if anything fails.

A file's name is kept as a label only: no path is ever made from it. What the bytes are is not
looked at here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoredUpload:
    """A complete body on disk. Whoever holds it deletes ``path``, or moves it away."""

    path: Path
    num_bytes: int
    sha256: str
    name: str

    def discard(self) -> None:
        """Delete the file, if it is still there."""
        self.path.unlink(missing_ok=True)
