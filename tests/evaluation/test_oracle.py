from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from spatialcode.encoder.maps import DenseMaps
from spatialcode.evaluation.oracle import FIELDS, replace_with_truth, rungs, true_maps
from spatialcode.evaluation.room import RoomOptions, evaluate_clip
from spatialcode.scene.categories import LABELS
from spatialcode.scene.frames import level_rotation
from spatialcode.scene.kinds import PRIMITIVE_KINDS
from spatialcode.synthetic.clips import ClipConfig, make_clip
from tests.pipelines.truth_encoders import Blurred, Fusing

NUM_CLASSES = PRIMITIVE_KINDS.num_channels

STILL = ClipConfig(num_frames=16, moving_share=0.0)


@pytest.fixture(scope="module")
def clip():
    return make_clip(900_000_005, STILL)


@pytest.fixture(scope="module")
def true(clip):
    return true_maps(clip)


def wrong_maps(n, h, w, seed=0):
    """Maps of noise under gravity that is 0.1 rad off level."""
    rng = np.random.default_rng(seed)
    up = np.tile([np.sin(0.1), -np.cos(0.1), 0.0], (n, 1))
    shapes = {
        "class_prob": (n, NUM_CLASSES, h, w),
        "vote_level_m": (n, h, w, 3),
        "vote_scale_m": (n, h, w, 3),
        "size_m": (n, h, w, 3),
        "up_camera": (n, 3),
        "camera_height_m": (n,),
        "gravity_scale_rad": (n,),
    }
    names = [f.name for f in fields(DenseMaps) if f.name != "kinds"]
    values = {name: rng.uniform(0.5, 1, shapes.get(name, (n, h, w))) for name in names}
    values = {name: value.astype(np.float32) for name, value in values.items()}
    return DenseMaps(**values | {"up_camera": up.astype(np.float32)})


def test_true_votes_lead_from_every_cell_to_its_object(clip, true):
    maps = true.maps
    for n in range(0, len(clip.rgb), 5):
        to_world = clip.T_world_camera[n, :3, :3] @ level_rotation(maps.up_camera[n]).T
        rows, cols = np.nonzero(true.is_object[n])
        labels = np.array(LABELS)[maps.class_prob[n, :, rows, cols].argmax(axis=1)]
        # Cell (row, col) is centred on the corner between pixels 4 i + 1 and 4 i + 2.
        ids = clip.instance[n, 4 * rows + 2, 4 * cols + 2]
        centers = maps.vote_level_m[n, rows, cols] @ to_world.T + clip.T_world_camera[n, :3, 3]
        assert centers == pytest.approx(clip.center_m[n, ids], abs=1e-4)
        assert labels.tolist() == [clip.labels[i] for i in ids]
        assert maps.size_m[n, rows, cols] == pytest.approx(clip.size_m[ids])
        yaw = maps.yaw_level_rad[n, rows, cols]
        axes = np.stack([np.cos(yaw), np.sin(yaw), np.zeros_like(yaw)], axis=-1) @ to_world.T
        wanted = clip.yaw_rad[n, ids]
        assert axes[:, 0] == pytest.approx(np.cos(wanted), abs=1e-4)
        assert axes[:, 1] == pytest.approx(np.sin(wanted), abs=1e-4)


def test_true_depth_is_that_of_the_pixels_around_the_cell_centre(clip, true):
    near = np.stack([clip.depth_m[:, 1 + i :: 4, 1 + j :: 4] for i in (0, 1) for j in (0, 1)])
    depth = np.where(true.has_depth, true.maps.depth_m, np.nan)
    assert true.has_depth.all()
    assert (depth >= near.min(axis=0) - 1e-4).all()
    assert (depth <= near.max(axis=0) + 1e-4).all()


def test_everything_replaced_is_the_truth_where_there_is_one(true):
    n, h, w = true.maps.depth_m.shape
    wrong = wrong_maps(n, h, w)
    mixed = replace_with_truth(wrong, true, FIELDS)
    cells = true.is_object
    for name in ("class_prob", "depth_m", "depth_log_scale", "up_camera", "camera_height_m"):
        assert np.array_equal(getattr(mixed, name), getattr(true.maps, name)), name
    for name in ("vote_level_m", "vote_scale_m", "size_m", "yaw_level_rad"):
        found, wanted = getattr(mixed, name), getattr(true.maps, name)
        assert found[cells] == pytest.approx(wanted[cells], abs=1e-5), name
        # Where nothing is, the network's own word stays.
        assert np.array_equal(found[~cells], getattr(wrong, name)[~cells]), name


def test_one_field_leaves_the_others_alone(true):
    wrong = wrong_maps(*true.maps.depth_m.shape)
    touched = {
        "class": {"class_prob"},
        "depth": {"depth_m", "depth_log_scale"},
        "vote": {"vote_level_m", "vote_scale_m"},
        "size": {"size_m"},
        "yaw": {"yaw_level_rad"},
        "gravity": {"up_camera", "camera_height_m", "gravity_scale_rad"},
    }
    for name, expected in touched.items():
        mixed = replace_with_truth(wrong, true, (name,))
        changed = {
            name
            for name, array in mixed.arrays().items()
            if not np.array_equal(array, wrong.arrays()[name])
        }
        assert changed == expected


def test_true_votes_stay_true_as_seen_from_the_camera_under_wrong_gravity(true):
    wrong = wrong_maps(*true.maps.depth_m.shape)
    mixed = replace_with_truth(wrong, true, ("vote",))
    for n in (0, 7):
        cells = true.is_object[n]
        seen = mixed.vote_level_m[n][cells] @ level_rotation(wrong.up_camera[n])
        wanted = true.maps.vote_level_m[n][cells] @ level_rotation(true.maps.up_camera[n])
        assert seen == pytest.approx(wanted, abs=1e-4)


def test_an_unknown_field_is_refused(true):
    with pytest.raises(ValueError, match="fields"):
        replace_with_truth(true.maps, true, ("colour",))


def test_ladders_name_each_output_once_and_end_with_everything():
    ladders = rungs()
    assert [rung.name for rung in ladders["given"]] == [
        "class", "depth", "vote", "size", "yaw", "all",
    ]  # fmt: skip
    assert [rung.name for rung in ladders["predicted"]] == ["pose", *FIELDS]
    assert not any(rung.true_path for rung in ladders["predicted"][1:])
    last = ladders["cumulative"][-1]
    assert set(last.fields) == set(FIELDS)
    assert last.true_path


def test_perfect_maps_through_real_fusion_find_everything():
    pooled = []
    for seed in range(900_000_010, 900_000_014):
        room = make_clip(seed, STILL)
        result = evaluate_clip(str(seed), room, Fusing(room), RoomOptions(ladder=False))
        pooled.append(result.given.detection)
    right = [entry.class_aware("0.25") for entry in pooled]
    true, false, missed = (sum(getattr(c, k) for c in right) for k in ("true", "false", "missed"))
    assert true / (true + false) >= 0.95
    assert true / (true + missed) >= 0.95
    assert true >= 30


def test_the_ladder_blames_the_output_that_is_wrong(clip):
    result = evaluate_clip("blurred", clip, Blurred(clip), RoomOptions())
    f1 = {
        start: {name: rung.class_aware("0.25").f1 for name, rung in steps.items()}
        for start, steps in result.ladder.items()
    }
    assert f1["given"]["start"] < 0.6
    assert f1["given"]["vote"] >= 0.95
    for innocent in ("class", "depth", "size", "yaw"):
        assert f1["given"][innocent] == f1["given"]["start"]
    assert f1["given"]["all"] >= 0.95
    assert f1["cumulative"]["+gravity"] < 0.6
    assert f1["cumulative"]["+vote"] >= 0.95
    assert f1["predicted"]["pose"] == f1["predicted"]["start"]
