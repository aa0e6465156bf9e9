"""Denser grey frames travel from the decoder to the encoder: in a run, a single call, a stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.encode.graph import run_encode
from pipelines.encode.stages import AttemptLedger, EncodeStage, decode_videos
from pipelines.stored import rows
from spatialcode.api import KnownCamera, VideoEncoder, encode
from spatialcode.scene.table import from_row
from spatialcode.video.sampling import Sampling
from tests.pipelines.conftest import MakeConfig
from tests.pipelines.dense_reader import NAME, DenseReader
from tests.pipelines.results import result_rows
from tests.video.builders import VideoRecipe, make_video

#: Three frames are sampled of thirteen, at 0, 0.6 and 1.2 s, with two between neighbours.
TIMES = "0.0 0.2 0.4 0.6 0.8 1.0 1.2"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(
        tmp_path_factory.mktemp("dense") / "v.mp4", VideoRecipe(num_frames=13, fps=10)
    )


def test_a_single_call_gives_them_unless_poses_are_known(video: Path) -> None:
    encoder = VideoEncoder(DenseReader())
    code = encode(video, encoder=encoder)
    assert code.video.sampled_s == pytest.approx((0.0, 0.6, 1.2))
    assert code.warnings[:2] == (TIMES, "(48, 64)")
    assert encode(video, encoder=encoder, sandbox=False).warnings == code.warnings
    posed = KnownCamera(times_s=np.zeros(1), T_world_camera=np.eye(4)[None])
    assert encode(video, encoder=encoder, camera=posed).warnings == ("none",)
    # of four sampled frames one lies between neighbours: the same ones in all
    assert encode(video, encoder=encoder, sampling=Sampling(4)).warnings[0] == TIMES
    assert encode(video, encoder=encoder, sampling=Sampling(5)).warnings == ("none",)


def test_a_run_gives_those_of_the_single_call(
    video: Path, make_config: MakeConfig, ray_session: Any, tmp_path: Path
) -> None:
    config = make_config(video, encoder__name=NAME, sampling__num_frames=None)
    assert run_encode(config)["done"] == 1
    (row,) = result_rows(str(tmp_path / "out"))
    single = encode(video, encoder=VideoEncoder(DenseReader()))
    assert from_row(row["code"]).warnings == single.warnings
    assert single.warnings[0] == TIMES


def test_rows_without_them_pass_too(video: Path, make_config: MakeConfig, ray_session: Any) -> None:
    config = make_config(video, encoder__name=NAME)
    ledger = ray_session.remote(num_cpus=0)(AttemptLedger).remote()
    planned = {
        "input_id": "a", "uri": str(video), "work_key": "", "content_id": "0" * 64,
        "num_bytes": 1, "reader": "", "capture_path": "", "capture_part": "",
    }  # fmt: skip
    batch = rows.table([planned], rows.PLANNED)
    (bare,) = decode_videos(batch, config, ledger)
    assert bare["gray"].to_pylist() == [None]
    (dense,) = decode_videos(batch, config, ledger, max_dense=7)
    # a byte a pixel
    assert len(dense["gray"][0].as_buffer()) == 7 * 120 * 160
    stage = EncodeStage(config, ledger, DenseReader())
    told = [from_row(stage(table).to_pylist()[0]["code"]).warnings[0] for table in (bare, dense)]
    assert told == ["none", TIMES]
    ray_session.kill(ledger)
