from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spatialcode.evaluation.metrics.detection import Counts
from spatialcode.evaluation.metrics.score_report import summarise
from spatialcode.evaluation.metrics.scoring import ScoredScene, score_clip
from spatialcode.evaluation.metrics.tracks import (
    BoxTracks,
    clip_overlaps,
    frame_centre_similarity,
    frame_overlaps,
    from_objects,
)
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import Room, SceneObject, TrackPoint

TIMES_S = np.array([0.0, 1.0, 2.0, 3.0])


def thing(label, center, size=(1.0, 1.0, 1.0), yaw=0.0, seen=(0.0, 3.0), number=1, **more):
    values = {
        "id": f"{label.replace(' ', '_')}_{number}",
        "label": label,
        "score": 0.9,
        "center_m": center,
        "size_m": size,
        "quaternion_wxyz": tuple(quaternion_from_yaw(yaw)),
        "first_seen_s": seen[0],
        "last_seen_s": seen[1],
        "num_observations": 3,
        "visibility": 1.0,
        "motion": "static",
    }
    return SceneObject(**values | more)


def mover(label, points, number=1, **more):
    """A moving object from (t_s, x) points along the x axis."""
    track = tuple(TrackPoint(t, (x, 0.0, 0.5), (1.0, 0.0, 0.0, 0.0)) for t, x in points)
    seen = (points[0][0], points[-1][0])
    last = track[-1].center_m
    return thing(label, last, seen=seen, number=number, motion="moving", track=track, **more)


def scene(*objects, room=None, depth=None, shift=(0.0, 0.0, 0.0)):
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, :3, 3] = shift
    return ScoredScene(from_objects(objects, TIMES_S), poses, room, depth)


def test_a_perfect_clip_scores_one_everywhere():
    room = Room(0.0, 2.5, ((0, 0), (4, 0), (4, 3), (0, 3)), 12.0)
    truth = scene(
        thing("chair", (0, 0, 0.5)),
        thing("bed", (3, 0, 0.5), (2.0, 1.5, 0.6), yaw=1.0),
        mover("stool", [(0.0, 6.0), (3.0, 9.0)]),
        room=room,
        depth=np.full((4, 2, 2), 2.0),
    )
    report = summarise([score_clip(truth, truth)] * 2)
    for block in (report, report["class_aware"]):
        for figure in ("precision", "recall", "f1"):
            assert block[figure] == {"0.10": 1.0, "0.25": 1.0, "0.50": 1.0}
        assert block["average_precision"] == pytest.approx(1.0)
    assert report["f1_ci95"]["0.25"] == (1.0, 1.0)
    for similarity in ("iou", "centre_distance"):
        assert report["tracks"][similarity] == pytest.approx(
            {"idf1": 1.0, "hota": 1.0, "detection": 1.0, "association": 1.0}
        )
    assert report["motion"]["moving"] == report["motion"]["moving_called_moving"] == 2
    assert report["motion"]["center_m_mean"] == pytest.approx(0.0)
    assert report["counting"]["all"]["exact"] == 1.0
    assert report["pose"]["world_m"]["mean"] == 0.0
    assert report["depth"]["abs_rel"] == 0.0
    assert report["room"]["area_error_mean"] == 0.0
    assert report["room"]["polygon_iou_mean"] == 1.0
    assert report["box_errors"]["iou_median"] == pytest.approx(1.0)


def test_shifted_boxes_score_what_their_overlap_says():
    # Unit cubes a quarter apart share 3/4 of 5/4: IoU 0.6. At 0.45 apart: 0.55 / 1.45 = 0.379.
    truth = scene(thing("chair", (0, 0, 0.5)), thing("chair", (5, 0, 0.5), number=2))
    predicted = scene(thing("chair", (0.25, 0, 0.5)), thing("chair", (5.45, 0, 0.5), number=2))
    score = score_clip(predicted, truth)
    assert score.detection.agnostic["0.25"] == Counts(2, 0, 0)
    assert score.detection.agnostic["0.50"] == Counts(1, 1, 1)
    assert sorted(p.iou for p in score.pairs) == pytest.approx([0.55 / 1.45, 0.6])
    assert sorted(p.center_m for p in score.pairs) == pytest.approx([0.25, 0.45], rel=1e-5)


def test_wrong_labels_count_without_class_only():
    truth = scene(thing("chair", (0, 0, 0.5)), thing("bed", (3, 0, 0.5)))
    predicted = scene(thing("sofa", (0, 0, 0.5)), thing("bed", (3, 0, 0.5)))
    score = score_clip(predicted, truth)
    assert score.detection.agnostic["0.50"] == Counts(2, 0, 0)
    assert score.detection.class_aware("0.50") == Counts(1, 1, 1)
    report = summarise([score])
    assert report["per_class"]["bed"]["0.25"]["f1"] == 1.0
    assert report["per_class"]["chair"]["0.25"]["recall"] == 0.0
    assert report["per_class"]["chair"]["0.25"]["precision"] is None
    assert list(report["per_class"]) == ["chair", "sofa", "bed"]
    assert report["confusions"] == [{"truth": "chair", "predicted": "sofa", "count": 1}]
    assert report["box_errors"]["label_accuracy"] == 0.5
    assert report["counting"]["per_class"]["chair"]["bias"] == -1.0
    # The sofa that is not there has no true count to be relative to.
    assert "sofa" not in report["counting"]["per_class"]


def with_ignored(side, *which):
    mask = np.zeros(len(side.tracks), bool)
    mask[list(which)] = True
    return replace(side, tracks=replace(side.tracks, ignored=mask))


def test_ignored_objects_are_left_out_of_counts_tracks_and_counting():
    truth = with_ignored(scene(thing("chair", (0, 0, 0.5)), thing("bed", (3, 0, 0.5))), 1)
    both = scene(thing("chair", (0, 0, 0.5)), thing("bed", (3, 0, 0.5)))
    one = scene(thing("chair", (0, 0, 0.5)))
    for predicted in (both, one):
        score = score_clip(predicted, truth)
        assert score.detection.agnostic["0.25"] == Counts(1, 0, 0)
        assert score.detection.class_aware("0.25") == Counts(1, 0, 0)
        assert score.tracks_iou.identity.f1 == 1.0
        assert score.counting == {"chair": (1, 1)}
    # Excused with the label only: a lamp where the ignored bed is remains false.
    lamp = scene(thing("chair", (0, 0, 0.5)), thing("lamp", (3, 0, 0.5)))
    score = score_clip(lamp, truth)
    assert score.detection.agnostic["0.25"] == Counts(1, 0, 0)
    assert score.detection.class_aware("0.25") == Counts(1, 1, 0)


def test_a_moving_object_is_compared_with_where_it_was_when_last_predicted():
    truth = scene(mover("stool", [(0.0, 0.0), (3.0, 3.0)]))
    # Sight lost a second early, one metre short of the true last position: no overlap there.
    predicted = scene(mover("stool", [(0.0, 0.0), (2.0, 2.0)]))
    assert clip_overlaps(predicted.tracks, truth.tracks)[0, 0] == pytest.approx(1.0)
    # A static box left at the start is wrong at the end, where it claims to have been seen.
    stale = scene(thing("stool", (0, 0, 0.5)))
    assert clip_overlaps(stale.tracks, truth.tracks)[0, 0] == 0.0


def test_moving_centres_and_calls():
    truth = scene(mover("stool", [(0.0, 0.0), (3.0, 3.0)]), thing("bed", (9, 0, 0.5)))
    predicted = scene(
        mover("stool", [(0.0, 0.4), (3.0, 3.2)]), mover("bed", [(0.0, 9.0), (3.0, 9.1)])
    )
    motion = score_clip(predicted, truth).motion
    # Errors 0.4, 1/3, 0.8/3, 0.2 at t = 0 … 3 on a straight line: mean 0.3.
    assert motion.center_m == pytest.approx((0.3,), rel=1e-5)
    assert (motion.moving, motion.moving_found, motion.moving_called_moving) == (1, 1, 1)
    assert (motion.static_found, motion.static_called_moving) == (1, 1)


def test_a_track_cut_in_two_costs_identity():
    truth = scene(thing("chair", (0, 0, 0.5)))
    cut = scene(
        thing("chair", (0, 0, 0.5), seen=(0.0, 1.0)),
        thing("chair", (0, 0, 0.5), seen=(2.0, 3.0), number=2),
    )
    score = score_clip(cut, truth)
    assert score.tracks_iou.identity.f1 == 0.5
    assert score.detection.agnostic["0.50"] == Counts(1, 1, 0)


def test_frame_overlaps_equal_one_by_one_comparison():
    a = from_objects(
        [thing("chair", (0.2, 0, 0.5), yaw=0.3), mover("bed", [(0.0, 0.0), (3.0, 1.5)])], TIMES_S
    )
    b = from_objects(
        [mover("chair", [(0.0, 1.0), (3.0, -0.5)]), thing("bed", (0.6, 0.2, 0.5))], TIMES_S
    )
    still = np.zeros(2, bool)
    found = frame_overlaps(a, b)
    for n, t in enumerate(TIMES_S):
        # Each frame on its own, as two clips of one frame in which nothing moves.
        one = [replace(x, center_m=x.center_m[n : n + 1], alive=x.alive[n : n + 1], moving=still,
                       quaternion_wxyz=x.quaternion_wxyz[n : n + 1]) for x in (a, b)]  # fmt: skip
        assert found[n] == pytest.approx(clip_overlaps(*one)), t
    assert found.max() > 0.3


def test_centre_similarity_falls_linearly():
    a = from_objects([thing("chair", (0, 0, 0.5))], TIMES_S)
    b = from_objects(
        [thing("chair", (0.3, 0.4, 0.5)), thing("bed", (3, 0, 0.5))],
        TIMES_S,
    )
    assert frame_centre_similarity(a, b)[2] == pytest.approx(np.array([[0.5, 0.0]]), rel=1e-5)


def test_objects_over_time():
    tracks = from_objects(
        [mover("stool", [(1.0, 1.0), (2.0, 3.0)]), thing("bed", (0, 0, 0), seen=(1.4, 1.45))],
        TIMES_S,
    )
    assert tracks.center_m[:, 0, 0] == pytest.approx([1.0, 1.0, 3.0, 3.0])
    assert tracks.alive[:, 0].tolist() == [False, True, True, False]
    assert tracks.alive[:, 1].tolist() == [False, True, False, False]
    assert tracks.last_frame().tolist() == [2, 1]
    assert tracks.select(np.array([1])).labels == ("bed",)


def test_front_and_yaw_errors_follow_the_category():
    def pair(label, yaw):
        size = (1.0, 1.0, 1.0)
        score = score_clip(
            scene(thing(label, (0, 0, 0), size, yaw)), scene(thing(label, (0, 0, 0)))
        )
        return score.pairs[0]

    assert pair("chair", np.pi).yaw_rad == pytest.approx(0.0, abs=1e-6)
    assert pair("chair", np.pi).front_rad == pytest.approx(np.pi)
    assert pair("table", np.pi - 0.1).yaw_rad == pytest.approx(0.1, abs=1e-6)
    assert pair("table", 0.1).front_rad is None
    assert pair("stool", 0.1).yaw_rad is None


def test_rooms_and_depth():
    truth_room = Room(0.0, 2.5, ((0, 0), (4, 0), (4, 3), (0, 3)), 12.0)
    guess = Room(0.1, 2.2, ((0, 0), (4, 0), (4, 1.5), (0, 1.5)), 6.0)
    truth = scene(room=truth_room, depth=np.array([[[2.0, np.nan]]]))
    predicted = scene(room=guess, depth=np.array([[[2.5, 1.0]]]), shift=(0.0, 0.0, 0.5))
    report = summarise([score_clip(predicted, truth), score_clip(scene(), truth)])
    assert report["room"]["area_error_mean"] == pytest.approx((0.5 + 1.0) / 2)
    assert (report["room"]["num_clips"], report["room"]["num_told"]) == (2, 1)
    assert report["room"]["polygon_iou_mean"] == pytest.approx(0.5, abs=0.01)
    assert report["room"]["floor_m_median"] == pytest.approx(0.1)
    assert report["room"]["ceiling_m_median"] == pytest.approx(0.3, rel=1e-5)
    assert report["depth"]["abs_rel"] == pytest.approx(0.25)
    assert report["depth"]["num_cells"] == 1
    assert report["pose"]["height_m"]["mean"] == pytest.approx(0.25)
    assert report["f1"]["0.25"] is None
    assert report["tracks"]["iou"]["idf1"] is None


def test_depth_is_weighted_by_cells_and_counts_are_pooled():
    few = score_clip(scene(depth=np.array([[[1.0]]])), scene(depth=np.array([[[2.0]]])))
    many = score_clip(
        scene(thing("bed", (0, 0, 0)), depth=np.ones((1, 1, 3))),
        scene(thing("bed", (0, 0, 0)), thing("bed", (5, 0, 0), number=2), depth=np.ones((1, 1, 3))),
    )
    report = summarise([few, many])
    assert report["depth"]["abs_rel"] == pytest.approx(0.5 / 4)
    assert report["recall"]["0.25"] == 0.5


def test_box_tracks_check_their_shapes():
    good = from_objects([thing("bed", (0, 0, 0))], TIMES_S)
    with pytest.raises(ValueError, match="scores"):
        replace(good, scores=np.zeros(2))
    with pytest.raises(ValueError, match="alive"):
        replace(good, alive=np.zeros((4, 1), bool))
    assert isinstance(good, BoxTracks)
