from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.encode.graph import run_encode
from spatialcode import api
from spatialcode.encoder.small.encoder import BUNDLED
from spatialcode.scene.table import from_row, to_row
from tests.pipelines.conftest import MakeConfig
from tests.pipelines.results import result_rows

ASSETS = Path(api.__file__).parent / "assets"
needs_weights = pytest.mark.skipif(
    not BUNDLED["small"].exists(), reason="the bundled weights are not in this checkout"
)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and text of nested lists and dicts, with where it is."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from leaves(part, f"{path}[{i}]")
    else:
        yield path, value


@needs_weights
def test_the_pipeline_gives_the_code_of_the_single_call(
    make_config: MakeConfig, ray_session: Any, tmp_path: Path
) -> None:
    clip = ASSETS / "sample_room.mp4"
    config = make_config(
        clip, encoder__name="small", sampling__num_frames=32, decode__timeout_s=60.0
    )
    assert run_encode(config)["done"] == 1
    (row,) = result_rows(str(tmp_path / "out"))
    piped = dict(leaves(to_row(from_row(row["code"]))))
    single = dict(leaves(to_row(api.encode(clip))))
    assert any(path.startswith(".objects[0]") for path in single)
    assert single.keys() == piped.keys()
    for path, value in single.items():
        if path == ".video.uri":
            continue
        if isinstance(value, float):
            assert math.isclose(piped[path], value, rel_tol=1e-4, abs_tol=1e-4), path
        else:
            assert piped[path] == value, path


#: Of the bundled encoder with its settings as they are: codes made before must stay known.
BUNDLED_CONFIG = "34377d9d66c14322c179d65399794001fa52beddc70f7c77f3a7dfb7cc9a3723"
BUNDLED_KEYED = "15c57b836ca26b26d9368838789959184974145e9bfb5d87d563984e2790863f"


@needs_weights
def test_work_keys_of_the_bundled_encoder_stay(make_config: MakeConfig) -> None:
    config = make_config("x", encoder__name="small", sampling__num_frames=None)
    encoder = config.encoder.make()
    assert encoder.identity.config_sha256 == BUNDLED_CONFIG
    assert api.keyed_identity(encoder, config.sampling).config_sha256 == BUNDLED_KEYED
    assert api.VideoEncoder.load().identity(api.Sampling()).config_sha256 == BUNDLED_KEYED
