from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.encode.config import EncodeConfig
from pipelines.encode.stages import AttemptLedger, EncodeStage
from pipelines.stored import rows
from spatialcode.errors import ConfigError
from spatialcode.threads import limit_threads
from spatialcode.video.decode import VideoProbe
from tests.pipelines.conftest import MakeConfig
from tests.pipelines.stand_in import NAME
from tests.video.builders import VideoRecipe, frame_pixels


@pytest.fixture
def ledger(ray_session: Any) -> Iterator[Any]:
    actor = ray_session.remote(num_cpus=0)(AttemptLedger).remote()
    yield actor
    ray_session.kill(actor)


def decoded(numbers: dict[str, int]) -> pa.Table:
    """A decoded row for each id: a video of one frame that shows its number."""
    table_rows = []
    for input_id, number in numbers.items():
        rgb = frame_pixels(number, VideoRecipe())
        probe = VideoProbe(
            uri=input_id,
            num_bytes=1,
            sha256=f"{number:064x}",
            format="mov",
            codec="h264",
            duration_s=1.0,
            fps=1.0,
            width_px=160,
            height_px=120,
            rotation_deg=0,
            num_frames=number,
        )
        table_rows.append(
            {
                "input_id": input_id,
                "uri": f"/{input_id}",
                "work_key": f"{number + 1000:064x}",
                "content_id": probe.sha256,
                "status": rows.OK,
                "attempts": 1,
                "num_frames": 1,
                "decode_s": 0.0,
                "rgb": np.ascontiguousarray(rgb).tobytes(),
                "height_px": 120,
                "width_px": 160,
                "times_s": [0.0],
                "probe": json.dumps(asdict(probe)),
            }
        )
    return rows.table(table_rows, rows.DECODED)


def failed_row(input_id: str) -> dict[str, Any]:
    row = {"input_id": input_id, "uri": input_id, "work_key": "", "content_id": ""}
    return {**row, **rows.failure(OSError("disk"), "decode")}


def make_stage(config: EncodeConfig, ledger: Any) -> EncodeStage:
    return EncodeStage(config, ledger, config.encoder.make())


def encode(batch: pa.Table, config: Any, ledger: Any) -> list[tuple[str, str | None]]:
    result = make_stage(config, ledger)(batch)
    assert result.schema == rows.RESULT
    return [(row["input_id"], row["error_code"]) for row in result.to_pylist()]


def stand_in(make_config: MakeConfig, name: str) -> Any:
    return make_config("x", encoder__name=NAME.replace("FrameReader", name))


def test_failed_rows_pass_through_in_their_place(
    make_config: MakeConfig, ledger: Any, control: Path
) -> None:
    good = decoded({"a": 1, "b": 2})
    failed = rows.table([failed_row("f")], rows.DECODED)
    batch = pa.concat_tables([good.slice(0, 1), failed, good.slice(1)])
    stage = make_stage(make_config("x"), ledger)
    result = stage(batch).to_pylist()
    assert [row["input_id"] for row in result] == ["a", "f", "b"]
    assert [row["error_code"] for row in result] == [None, "internal", None]
    assert result[1]["error"] == "OSError: disk"
    assert [row["work_key"] for row in result] == [f"{1001:064x}", "", f"{1002:064x}"]


def test_swapped_results_are_caught(make_config: MakeConfig, ledger: Any, control: Path) -> None:
    found = encode(decoded({"a": 1, "b": 2, "c": 3}), stand_in(make_config, "Swapping"), ledger)
    assert found == [("a", "id_mismatch"), ("b", None), ("c", "id_mismatch")]


def test_a_failing_batch_is_encoded_one_by_one(
    make_config: MakeConfig, ledger: Any, control: Path
) -> None:
    found = encode(decoded({"a": 2, "b": 3, "c": 4}), stand_in(make_config, "Picky"), ledger)
    assert found == [("a", None), ("b", "internal"), ("c", None)]


def test_after_a_death_videos_go_one_by_one_and_the_deadly_one_is_given_up(
    make_config: MakeConfig, ledger: Any, ray_session: Any, control: Path
) -> None:
    # Both were in the batch that died; "a" then died alone as well.
    ray_session.get(ledger.begin.remote("encode", ["a", "b"]))
    ray_session.get(ledger.begin.remote("encode", ["a"]))
    result = make_stage(make_config("x"), ledger)(decoded({"a": 1, "b": 2, "c": 3})).to_pylist()
    assert [row["error_code"] for row in result] == ["worker_lost", None, None]
    assert [row["attempts"] for row in result] == [2, 2, 1]
    assert ray_session.get(ledger.counts.remote("encode", ["a", "b", "c"])) == [0, 0, 0]


@pytest.mark.parametrize("name", ["nowhere:Class", "tests.pipelines.stand_in:Nobody"])
def test_an_encoder_that_is_not_there_is_a_config_error(make_config: MakeConfig, name: str) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.name"):
        make_config("x", encoder__name=name).encoder.make()


def test_threads_are_capped() -> None:
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        limit_threads(2.5)
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, 2)
        limit_threads(0.25)
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
