from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from jobs.evaluate import main
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.encoder import run_evaluate
from spatialcode.config import load_config
from spatialcode.encoder.registry import make_encoder
from spatialcode.errors import ConfigError, EncodeError
from spatialcode.evaluation.encoder_report import FailedClip, aggregate, markdown
from spatialcode.evaluation.metrics.tracks import from_objects
from spatialcode.evaluation.room import (
    RoomOptions,
    Seconds,
    evaluate_clip,
    truth_tracks,
)
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import SyntheticClip
from tests.pipelines.truth_encoders import BROKEN_SEED, NUM_FRAMES, SEEDS, Knowing

IOU = ("0.10", "0.25", "0.50")
OPTIONS = RoomOptions(num_frames=NUM_FRAMES)
STAND_IN = "tests.pipelines.truth_encoders:Library"


@pytest.fixture(scope="module")
def clip():
    return make_clip(SEEDS[0], ClipConfig(num_frames=NUM_FRAMES))


def drawn_clip():
    """Three frames of 16 x 12 pixels, in which one pixel is already "enough" to be seen.

    Object 0 is seen in frames 0 and 2, object 1 only too faintly, object 2 never, object 3
    moves 0.4 m while it is seen, object 4 moves only when it is not.
    """
    num_frames, num_objects = 3, 5
    instance = np.full((num_frames, 12, 16), -2, np.int16)
    instance[0, 0, :4] = 0
    instance[2, 0, :4] = 0
    instance[1, 1, :4] = 1
    instance[1:, 2, :4] = 3
    instance[0, 3, :4] = 4
    visibility = np.zeros((num_frames, num_objects), np.float32)
    visibility[[0, 2], 0] = 0.9
    visibility[1, 1] = 0.24
    visibility[1:, 3] = 0.25
    visibility[0, 4] = 1.0
    center = np.zeros((num_frames, num_objects, 3))
    center[:, 3, 0] = [0.0, 0.1, 0.5]
    center[:, 4, 0] = [0.0, 1.0, 2.0]
    return SyntheticClip(
        seed=0,
        rgb=np.zeros((num_frames, 12, 16, 3), np.uint8),
        depth_m=np.ones((num_frames, 12, 16), np.float32),
        instance=instance,
        K=np.eye(3),
        T_world_camera=np.tile(np.eye(4), (num_frames, 1, 1)),
        times_s=np.arange(3.0),
        labels=("chair", "lamp", "bed", "stool", "sofa"),
        center_m=center,
        size_m=np.ones((num_objects, 3)),
        yaw_rad=np.zeros((num_frames, num_objects)),
        moving=np.array([False, False, False, True, True]),
        visibility=visibility,
        room_polygon_m=np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0]]),
        room_area_m2=6.0,
        ceiling_z_m=2.5,
    )


def test_truth_is_what_the_frames_show():
    tracks = truth_tracks(drawn_clip())
    assert tracks.labels == ("chair", "lamp", "stool", "sofa")
    assert tracks.ignored.tolist() == [False, True, False, False]
    assert tracks.alive.T.tolist() == [
        [True, True, True],  # unseen in between, alive all the same
        [False, True, False],
        [False, True, True],
        [True, False, False],
    ]
    assert tracks.moving.tolist() == [False, False, True, False]


@pytest.mark.parametrize("seed", [900_000_003, 900_000_009])
def test_truth_agrees_with_the_exact_code_of_the_clip(seed):
    moving = make_clip(seed, ClipConfig(num_frames=12, moving_share=1.0))
    tracks = truth_tracks(moving)
    asked = tracks.select(~tracks.ignored)
    coded = from_objects(moving.code.objects, moving.times_s)
    # Codes are in order of first sight, clips in order of placement.
    places = asked.boxes(asked.last_frame()).center
    distances = places[None] - coded.boxes(coded.last_frame()).center[:, None]
    order = np.abs(distances).sum(axis=-1).argmin(axis=1)
    asked = asked.select(order)
    assert len(set(order.tolist())) == len(coded) == len(asked)
    assert asked.labels == coded.labels
    assert np.array_equal(asked.alive, coded.alive)
    assert np.array_equal(asked.moving, coded.moving)
    assert asked.size_m == pytest.approx(coded.size_m, rel=1e-5)
    alive = asked.alive & ~asked.moving
    assert asked.center_m[alive] == pytest.approx(coded.center_m[alive], abs=1e-4)


def test_an_object_below_fifty_pixels_of_a_full_picture_is_ignored():
    small = drawn_clip()
    # Twice the picture in each direction asks for four times the pixels: 2 are not enough.
    wide = np.full((3, 24, 32), -2, np.int16)
    wide[0, 0, :2] = 0
    wide[0, 1, :1] = 4
    tracks = truth_tracks(replace(small, instance=wide))
    assert tracks.labels == ("chair", "sofa")
    assert tracks.ignored.tolist() == [False, True]


def test_an_encoder_that_knows_the_truth_scores_one(clip):
    report = aggregate([evaluate_clip("a", clip, Knowing(clip), OPTIONS)])
    num_asked = int((~truth_tracks(clip).ignored).sum())
    assert num_asked >= 5
    for poses in ("given_poses", "predicted_poses"):
        for block in (report[poses], report[poses]["class_aware"]):
            for figure in ("precision", "recall", "f1"):
                assert block[figure] == dict.fromkeys(IOU, 1.0)
            assert block["counts"]["0.25"] == {"true": num_asked, "false": 0, "missed": 0}
        assert report[poses]["tracks"]["iou"]["idf1"] == 1.0
        assert report[poses]["pose"]["world_m"]["mean"] == pytest.approx(0.0, abs=1e-9)
        assert report[poses]["room"]["area_error_mean"] == 0.0
    assert report["depth_abs_rel"] == 0.0
    for steps in report["ladder"].values():
        for figures in steps.values():
            assert figures["class_aware"]["f1"] == dict.fromkeys(IOU, 1.0)


def test_boxes_raised_by_half_their_height_overlap_by_a_third(clip):
    result = evaluate_clip("a", clip, Knowing(clip, raised_by=0.5), RoomOptions(ladder=False))
    report = aggregate([result])
    aware = report["given_poses"]["class_aware"]
    assert aware["f1"] == {"0.10": 1.0, "0.25": 1.0, "0.50": 0.0}
    same = [p for p in result.given.pairs if p.truth_label == p.predicted_label]
    assert len(same) >= 5
    assert [p.iou for p in same] == pytest.approx([1 / 3] * len(same), abs=1e-4)
    assert report["given_poses"]["depth"]["abs_rel"] == 0.0
    assert report["ladder"] == {}


def test_results_follow_from_the_seed(clip):
    first, again = (
        replace(
            evaluate_clip("a", make_clip(SEEDS[0], OPTIONS.clip), Knowing(clip), OPTIONS),
            given_seconds=Seconds(),
            predicted_seconds=Seconds(),
        )
        for _ in range(2)
    )
    assert first == again
    assert first.name == "a"


def test_counts_of_clips_add_up_and_pool(clip):
    good = evaluate_clip("a", clip, Knowing(clip), RoomOptions(ladder=False))
    bad = evaluate_clip("b", clip, Knowing(clip, raised_by=2.0), RoomOptions(ladder=False))
    spent = Seconds(*(NUM_FRAMES * s for s in (0.1, 0.05, 0.025, 0.1, 0.05, 0.025)))
    good, bad = (replace(one, predicted_seconds=spent) for one in (good, bad))
    report = aggregate([good, bad], [FailedClip("c", "encode", "no")])
    assert (report["num_rooms"], report["num_evaluated"], report["num_failed"]) == (3, 2, 1)
    assert report["failures"] == [{"name": "c", "error_code": "encode", "error": "no"}]
    assert report["num_frames"] == 2 * NUM_FRAMES
    assert report["given_poses"]["class_aware"]["recall"]["0.25"] == 0.5
    cpu = report["timing_ms_per_frame"]["predicted_poses"]["cpu"]
    assert cpu == pytest.approx(
        {"network": 100.0, "odometry": 50.0, "fusion": 25.0, "total": 175.0, "total_p90": 175.0}
    )
    with pytest.raises(ValueError, match="at least one"):
        aggregate([])


def read(folder):
    report = json.loads((folder / "report.json").read_text())
    report["timing_ms_per_frame"] = None
    report["config"] = None
    return report


@pytest.fixture(scope="module")
def looped(tmp_path_factory):
    """The report folder of a run without Ray over four rooms, the last of them broken."""
    folder = tmp_path_factory.mktemp("loop")
    code = main(arguments(folder, num_workers=0))
    return folder, code


def arguments(folder, **more):
    settings = {
        "report": folder,
        "encoder": STAND_IN,
        "seed": SEEDS[0],
        "num_rooms": 4,
        "num_frames": NUM_FRAMES,
        "ladder": "false",
    } | more
    return [f"{key}={value}" for key, value in settings.items()]


def test_a_room_that_fails_is_reported_and_fails_the_job(looped):
    folder, code = looped
    report = read(folder)
    assert code == 1
    assert (report["num_rooms"], report["num_evaluated"], report["num_failed"]) == (4, 3, 1)
    assert report["failures"][0]["name"] == str(BROKEN_SEED)
    assert "damaged" in report["failures"][0]["error"]
    assert report["predicted_poses"]["f1"]["0.25"] == 1.0
    assert report["held_out"] is False
    names = [json.loads(line)["name"] for line in (folder / "rooms.jsonl").open()]
    assert names == [str(seed) for seed in SEEDS]


def test_tables_and_plot_hold_the_figures(looped):
    folder, _ = looped
    text = (folder / "report.md").read_text()
    assert "| given poses | right | 0.25 | 1.000 | 1.000 | 1.000 | 1.000 to 1.000 |" in text
    assert f"3 clips, {3 * NUM_FRAMES} frames; 1 failed." in text
    page = (folder / "report.html").read_text()
    assert "F1@0.25 by class" in page
    assert 'src="http' not in page


def test_ray_gives_the_same_report(looped, tmp_path, ray_session):
    assert main(arguments(tmp_path, num_workers=2)) == 1
    assert read(tmp_path) == read(looped[0])


def test_all_rooms_failing_is_an_error(tmp_path):
    config = load_config(
        EvaluateConfig, None, arguments(tmp_path, num_workers=0, seed=BROKEN_SEED, num_rooms=1)
    )
    with pytest.raises(EncodeError, match="all 1 clips failed"):
        run_evaluate(config)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "benchmark=vsi",
            "benchmark: expected one of encoder, recorded, vsibench, rooms, got 'vsi'",
        ),
        ("benchmark=vsibench", "questions: expected a file"),
        ("num_rooms=0", "num_rooms: expected at least 1"),
        ("num_room=3", "did you mean 'num_rooms'"),
        ("encoder=no.such.module:Thing", "cannot load"),
    ],
)
def test_wrong_settings_are_named(argument, message, tmp_path, capsys):
    assert main([f"report={tmp_path}", "num_workers=0", argument]) == 2
    assert message in capsys.readouterr().err


def test_report_is_required():
    with pytest.raises(ConfigError, match="report"):
        load_config(EvaluateConfig)


def test_markdown_shows_what_was_not_measured_as_a_dash(clip):
    nothing = evaluate_clip("a", clip, Silent(clip), RoomOptions())
    text = markdown(aggregate([nothing]))
    assert "| given poses | right | 0.25 | – | 0.000 | 0.000 |" in text


class Silent(Knowing):
    """Finds nothing."""

    def objects(self, clip, maps, T_world_camera):
        return ()


def test_library_breaks_on_what_it_does_not_know(clip):
    broken = make_clip(BROKEN_SEED, OPTIONS.clip)
    with pytest.raises(ValueError, match="damaged"):
        evaluate_clip("a", broken, make_encoder(STAND_IN).load("cpu"), OPTIONS)
