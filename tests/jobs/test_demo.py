from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from jobs.demo import main, matched, object_table, trusted
from spatialcode.scene.categories import LABELS
from spatialcode.scene.schema import PathOrigin, PathSource, Scale, ScaleSource, SpatialCode
from spatialcode.scene.text import from_json
from tests.export.codes import code, item
from tests.tiny_codes import room_video, untrained_weights


def printed(made: SpatialCode, matches: dict[str, tuple[str, float]] | None) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=140).print(object_table(made, matches))
    return out.getvalue().splitlines()


def test_a_video_of_ones_own_is_encoded_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, out, log = room_video(tmp_path), tmp_path / "out", tmp_path / "log.jsonl"
    arguments = [f"video={video}", f"encoder={untrained_weights(tmp_path)}", "num_frames=4"]
    assert main([*arguments, f"output={out}", f"log={log}"]) == 0
    text = capsys.readouterr().out
    for name in ("room.html", "room.overlay.mp4", "room.json"):
        assert (out / name).is_file()
        assert str(out / name) in text
    made = from_json((out / "room.json").read_text())
    assert f"{len(made.objects)} objects in 4 frames" in text
    assert "truth" not in text
    assert "Camera path: " in text
    assert f"% sure.\nKinds that can be found: {len(LABELS)}: chair, table, " in text
    parts = [json.loads(line) for line in log.read_text().splitlines()]
    timed = {part["part"]: part["seconds"] for part in parts if part["event"] == "part"}
    assert set(timed) == {"encode", "html", "overlay", "json"}


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (
            PathOrigin("structure", 0.62),
            "by structure from motion, misses what the pictures show by 0.6 px (of 640).",
        ),
        (PathOrigin("odometry", None), "by odometry on predicted depth, not checked against the"),
        (PathOrigin("standing", 0.0), "the camera stood still, misses what the pictures show by"),
        (PathOrigin("given", None), "given. "),
        (None, "not told how it was found. "),
    ],
)
def test_what_to_trust_is_said_in_two_lines(origin: PathOrigin | None, said: str) -> None:
    made = replace(code(), path=origin, scale=Scale("camera-height", 0.584))
    path, kinds = trusted(made, ("chair", "bed"))
    assert path.startswith(f"Camera path: {said}")
    assert path.endswith("Scale: by the usual height of a hand-held camera, 58 % sure.")
    assert kinds == "Kinds that can be found: 2: chair, bed."
    assert trusted(made, None)[1] == "Kinds that can be found: not told."


def test_every_source_has_words() -> None:
    said = {
        trusted(replace(code(), path=PathOrigin(source, 1.0), scale=Scale(scale, 0.5)), None)[0]
        for source in get_args(PathSource)
        for scale in get_args(ScaleSource)
    }
    assert len(said) == len(get_args(PathSource)) * len(get_args(ScaleSource))
    assert not any("None" in line for line in said)


def test_without_weights_the_demo_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none.safetensors"
    assert main([f"video={room_video(tmp_path)}", f"encoder={missing}"]) == 1
    assert str(missing) in capsys.readouterr().err


def test_objects_are_matched_by_label_and_overlap() -> None:
    size = (1.0, 1.0, 1.0)
    truth = code(
        item("table_1", "table", center_m=(0.0, 2.0, 0.5), size_m=size),
        item("sofa_1", "sofa", center_m=(3.0, 2.0, 0.5), size_m=size),
        item("bed_1", "bed", center_m=(-3.0, 2.0, 0.5), size_m=size),
    )
    found = code(
        # Half a metre off along x: overlap 0.5 of a union of 1.5.
        item("table_2", "table", center_m=(0.5, 2.0, 0.5), size_m=size, score=0.9),
        # The same object once more, less sure.
        item("table_3", "table", center_m=(0.1, 2.0, 0.5), size_m=size, score=0.4),
        # The right place, the wrong label.
        item("stove_1", "stove", center_m=(3.0, 2.0, 0.5), size_m=size),
        # The right label, 0.7 m off: overlap 0.3 of 1.7 is below a quarter.
        item("bed_2", "bed", center_m=(-3.7, 2.0, 0.5), size_m=size),
    )
    matches = matched(found, truth)
    assert set(matches) == {"table_2"}
    name, iou = matches["table_2"]
    assert name == "table_1"
    assert iou == pytest.approx(1 / 3, abs=1e-6)
    assert matched(code(), truth) == matched(found, code()) == {}


def test_the_table_has_every_object_with_its_numbers() -> None:
    turned = item(
        "chair_1", "chair", score=0.87, center_m=(1.0, -2.5, 0.45), size_m=(0.5, 0.6, 0.9),
        quaternion_wxyz=(0.70710678, 0.0, 0.0, 0.70710678), first_seen_s=0.5,
    )  # fmt: skip
    made = code(turned, item("table_1", "table"))
    (row,) = [line for line in printed(made, {"chair_1": ("chair_7", 0.5)}) if "chair_1" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == [
        "chair_1", "0.87", "1.00 -2.50  0.45", "0.50 0.60 0.90", "90°", "0.5–2.0",
        "chair_7 (IoU 0.50)",
    ]  # fmt: skip
    assert not any("truth" in line for line in printed(made, None))
