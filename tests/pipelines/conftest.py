"""Videos and settings for runs of the encode pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.encode.config import EncodeConfig
from spatialcode.config import load_config
from tests.pipelines import stand_in
from tests.video.builders import VideoRecipe, make_video

MakeConfig = Callable[..., EncodeConfig]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve sound videos; the one at index i has 10 + i frames, so each content is unique."""
    folder = tmp_path_factory.mktemp("clips")
    return [
        make_video(folder / f"clip_{i:02d}.mp4", VideoRecipe(num_frames=10 + i, fps=10.0))
        for i in range(12)
    ]


@pytest.fixture
def control(shared_control_dir: Path) -> Iterator[Path]:
    """The stand-in encoder's folder, emptied before and after."""

    def empty() -> None:
        for path in shared_control_dir.iterdir():
            path.unlink()

    empty()
    yield shared_control_dir
    empty()


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """Settings for a run of the stand-in encoder into the test's folder."""

    def make(*inputs: Path | str, **changes: Any) -> EncodeConfig:
        settings = {
            "output": tmp_path / "out",
            "cache_dir": tmp_path / "cache",
            "encoder.name": stand_in.NAME,
            "sampling.num_frames": 4,
            "decode.timeout_s": 3.0,
            "rows_per_file": 4,
            **{key.replace("__", "."): value for key, value in changes.items()},
        }
        listed = "[" + ",".join(f"'{path}'" for path in inputs) + "]"
        dotlist = [f"input={listed}"]
        dotlist += [f"{key}={'null' if v is None else v}" for key, v in settings.items()]
        return load_config(EncodeConfig, None, dotlist)

    return make
