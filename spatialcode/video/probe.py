"""Look at a video before decoding it: limits, format, size, orientation, frames, times."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from spatialcode.video.corruption import DamageLog, check_packets
from spatialcode.video.limits import DEFAULT_LIMITS, VideoLimits
from spatialcode.video.opening import VideoProbe, open_video

__all__ = ["VideoLimits", "VideoProbe", "hash_file", "probe"]


def hash_file(path: str | os.PathLike[str]) -> str:
    """sha256 of the bytes of `path` in hex, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def probe(
    path: str | os.PathLike[str], limits: VideoLimits = DEFAULT_LIMITS, *, with_sha256: bool = True
) -> VideoProbe:
    """Check the limits and all packets of a local file; one frame is decoded, for the
    orientation. Raises the VideoError family, damage to the container or to packets included.
    """
    with open_video(path, limits) as opened:
        check_packets(opened, DamageLog(strict=True))
        facts = opened.facts
    return replace(facts, sha256=hash_file(path)) if with_sha256 else facts
