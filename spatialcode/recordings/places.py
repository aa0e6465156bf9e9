"""Where captures lie, and what names their content without reading it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: What a content's identity begins with, or has behind its video's hash and ``+``, where captured.
RECORDED = "recorded:"


@dataclass(frozen=True)
class CapturePlace:
    """Where one capture lies, as its reader finds it again.

    ``path``: a file or folder. ``part``: which capture of it, where it holds several. ``sources``:
    the files and folders that the capture is read from; empty: ``path`` alone.
    """

    path: Path
    part: str = ""
    sources: tuple[Path, ...] = ()

    @property
    def uri(self) -> str:
        """The place as text: the absolute path, and the part behind ``#``."""
        path = str(self.path.absolute())
        return f"{path}#{self.part}" if self.part else path

    def content_id(self) -> str:
        """Hex sha256 over the names, sizes and times of change of all its files.

        Not over their bytes: a capture is thousands of files, and a run is planned before any is
        read. Names are relative to ``path``, so that a folder that was moved stays what it was;
        what is missing is part of it too. OSError where a folder cannot be listed.
        """
        files = sorted(set(self._files()))
        facts = [(os.path.relpath(file, self.path), *_state(file)) for file in files]
        return hashlib.sha256(json.dumps([self.part, facts]).encode()).hexdigest()

    def _files(self) -> Iterator[Path]:
        for source in self.sources or (self.path,):
            if source.is_dir():
                yield from (path for path in source.rglob("*") if not path.is_dir())
            else:
                yield source


def recorded_content(reader: str, content_id: str, video_sha256: str = "") -> str:
    """What names a capture's content in work keys. ``content_id``: of its files
    (`CapturePlace.content_id`); ``video_sha256``: of a video with a sidecar, the hash of its bytes.
    """
    video = f"{video_sha256}+" if video_sha256 else ""
    return f"{video}{RECORDED}{reader}:{content_id}"


def _state(file: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds; -1 for a file that is not there."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns
