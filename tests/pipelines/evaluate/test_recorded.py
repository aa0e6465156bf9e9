"""The benchmark on recordings, from the command line to its report."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from jobs.evaluate import main
from pipelines.evaluate.config import EvaluateConfig
from spatialcode.config import load_config
from spatialcode.errors import ConfigError
from tests.video.builders import VideoRecipe, make_video

K = [[300.0, 0, 159.5], [0, 300.0, 119.5], [0, 0, 1]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A standing camera, a picture with a box, and a capture that is damaged."""
    root = tmp_path_factory.mktemp("recordings")
    for name in ("still", "flat", "walk"):
        (root / name).mkdir()
    make_video(root / "still" / "hall.mp4", VideoRecipe(num_frames=4))
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
    cv2.imwrite(str(root / "flat" / "0.png"), picture)
    pose = [[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]]
    box = {"category": "couch", "center": [0, 3, 0.4], "size": [2, 1, 0.8]}
    document = {
        "K": K, "gravity": [0, 0, -9.8], "objects": [{**box, "R": np.eye(3).tolist()}],
        "frames": [{"file": "0.png", "t_ns": 0, "T_world_camera": pose}],
    }  # fmt: skip
    (root / "flat" / "truth.json").write_text(json.dumps(document))
    (root / "walk" / "images").mkdir()
    (root / "walk" / "poses.txt").write_text("1 2 3\n")
    (root / "walk" / "K.txt").write_text("1 0 0\n0 1 0\n0 0 1\n")
    return root


def test_a_folder_of_recordings_becomes_a_report_whose_counts_add_up(folder, tmp_path, capsys):
    arguments = ["benchmark=recorded", f"recordings={folder}", "num_workers=0", "num_frames=3"]
    assert main([*arguments, f"report={tmp_path}"]) == 1  # one recording is damaged
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["num_recordings"], report["num_failed"]) == (3, 1)
    assert report["failures"][0]["error_code"] == "format"
    assert "walk" in report["failures"][0]["name"]
    assert set(report["recordings"]) == {"still/hall", "flat"}
    hall, flat = report["recordings"]["still/hall"], report["recordings"]["flat"]
    assert hall["num_frames"] == 2  # every second frame of four, as three are allowed
    assert set(hall["still"]) == {"m", "deg"}
    # 65 degrees are assumed where the lens is not told: 251.1 px of 320 against the true 300
    assert flat["focal_ratio"] == pytest.approx(251.14 / 300, rel=1e-3)
    assert flat["f1_told"] == "lens+poses"
    counts = flat["f1"]["known_large"]["right_label"]["counts"]["0.25"]
    assert counts["true"] + counts["missed"] == 1
    assert list(flat["ladder"]) == ["own", "lens", "lens+poses"]
    for name in ("report.md", "report.html", "recordings.jsonl"):
        assert (tmp_path / name).stat().st_size > 100
    assert "standing cameras" in capsys.readouterr().out


def test_the_stride_and_what_is_told_reach_the_encoder(folder, tmp_path):
    arguments = [
        "benchmark=recorded", f"recordings=[{folder / 'flat'},{folder / 'still'}]",
        "num_workers=0", "stride=1", "given_lens=true", "ladder=false", f"report={tmp_path}",
    ]  # fmt: skip
    assert main(arguments) == 0
    recordings = json.loads((tmp_path / "report.json").read_text())["recordings"]
    assert recordings["still/hall"]["num_frames"] == 4
    flat = recordings["flat"]
    assert (flat["told"], flat["focal_ratio"], flat["ladder"]) == ("lens", None, {})


def test_recordings_must_be_named():
    with pytest.raises(ConfigError, match="recordings: expected at least one folder"):
        load_config(EvaluateConfig, dotlist=["benchmark=recorded", "report=x"])
