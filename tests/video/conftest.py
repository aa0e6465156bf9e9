"""Videos are written once per session and shared by recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.video.builders import VideoRecipe, make_video

Clips = Callable[..., Path]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """`clips("mp4", codec="hevc", ...)`: the path of such a video, written on first use."""
    folder = tmp_path_factory.mktemp("clips")
    written: dict[tuple[str, VideoRecipe], Path] = {}

    def clip(extension: str, **fields: object) -> Path:
        key = extension, VideoRecipe(**fields)
        if key not in written:
            path = folder / f"{len(written)}.{extension}"
            written[key] = make_video(path, key[1])
        return written[key]

    return clip
