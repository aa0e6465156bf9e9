from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from spatialcode.encoder.confidence import Calibration
from spatialcode.encoder.small.encoder import SpatialEncoder
from spatialcode.encoder.small.model import ModelConfig, TrunkConfig, make_model
from spatialcode.encoder.small.weights import save_weights
from spatialcode.errors import WeightsError
from spatialcode.evaluation.room import RoomOptions, View, evaluate_clip
from spatialcode.evaluation.watched import EvaluatedEncoder, WatchedEncoder, clip_of
from spatialcode.synthetic.clips import make_clip
from spatialcode.synthetic.shots import ClipConfig

#: A network that knows nothing, and a threshold that keeps whatever it says.
TINY = ModelConfig(TrunkConfig((8, 8, 16, 16), (0, 1, 1, 1)), fusion_width=16)
ANYTHING = Calibration.uncalibrated(0.0)


@pytest.fixture(scope="module")
def clip():
    return make_clip(900_000_000, ClipConfig(num_frames=6))


@pytest.fixture(scope="module")
def encoders():
    torch.manual_seed(0)
    model = make_model(TINY).eval()
    return [cls(model, "tiny", "0" * 64, ANYTHING) for cls in (SpatialEncoder, WatchedEncoder)]


@pytest.mark.parametrize("given", [True, False])
def test_watching_changes_nothing_and_steps_rebuild_the_whole(encoders, clip, given):
    plain, watched = encoders[0], EvaluatedEncoder(encoders[1])
    view = View(clip.rgb, clip.times_s, clip.K, clip.T_world_camera if given else None)
    encoded = watched.encode(view)
    code = plain.encode(clip_of(view))
    assert len(code.objects) >= 1
    assert encoded.objects == code.objects
    assert encoded.room == code.room
    poses = np.array([camera.T_world_camera for camera in code.cameras])
    assert encoded.T_world_camera == pytest.approx(poses, abs=1e-6)
    again = watched.objects(view, encoded.maps, encoded.T_world_camera)
    assert again == encoded.objects
    if given:
        assert np.array_equal(encoded.T_world_camera, clip.T_world_camera)
        assert encoded.maps.up_camera == pytest.approx(clip.T_world_camera[:, 2, :3], abs=1e-6)
    else:
        assert np.array_equal(watched.path(view, encoded.path_maps), encoded.T_world_camera)
        assert all(getattr(encoded.seconds, f.name) > 0 for f in fields(encoded.seconds))


def test_a_network_that_knows_nothing_is_evaluated_all_the_same(encoders, clip):
    result = evaluate_clip("a", clip, EvaluatedEncoder(encoders[1]), RoomOptions())
    right = result.given.detection.class_aware("0.50")
    assert right.true + right.missed >= 5
    assert right.f1 < 0.3
    assert result.given.path.world_m == 0.0
    assert result.predicted.path.world_m > 0.0
    assert result.given.depth.abs_rel > 0.1
    # Truth everywhere repairs even this, but for the threshold's own false alarms.
    best = result.ladder["given"]["all"].class_aware("0.25")
    assert best.recall >= 0.9
    assert result.ladder["cumulative"]["+depth"] == result.ladder["given"]["all"]


def test_weights_are_loaded_by_path(tmp_path, clip):
    path = tmp_path / "tiny.safetensors"
    save_weights(make_model(TINY), path, {})
    loaded = EvaluatedEncoder.load(str(path), "cpu")
    view = View(clip.rgb[:1], clip.times_s[:1], clip.K, clip.T_world_camera[:1])
    encoded = loaded.encode(view)
    assert encoded.maps.num_frames == 1
    with pytest.raises(WeightsError):
        EvaluatedEncoder.load(str(tmp_path / "none.safetensors"), "cpu")
