from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from spatialcode.encoder.detections import Calibration
from spatialcode.encoder.protocol import FrameGeometry
from spatialcode.encoder.registry import make_encoder
from spatialcode.encoder.small.encoder import SmallSettings, save_weights
from spatialcode.encoder.small.model import ModelConfig, make_model
from spatialcode.encoder.small.stages import SmallStages, SpatialEncoder
from spatialcode.encoder.small.towers import TrunkConfig
from spatialcode.errors import WeightsError
from spatialcode.evaluation.room import EvaluatedEncoder, RoomOptions, clip_of, evaluate_clip
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.workkey import EncoderIdentity

#: A network that knows nothing, and a threshold that keeps whatever it says.
TINY = ModelConfig(TrunkConfig((8, 8, 16, 16), (0, 1, 1, 1)), fusion_width=16)
ANYTHING = Calibration.uncalibrated(0.0)


@pytest.fixture(scope="module")
def clip():
    return make_clip(900_000_000, ClipConfig(num_frames=6))


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    model = make_model(TINY).eval()
    identity = EncoderIdentity("tiny", "0" * 64, "0" * 64)
    return SpatialEncoder(SmallStages(model, identity, ANYTHING, SmallSettings()))


def view_of(clip, given, num_frames=6):
    poses = clip.T_world_camera[:num_frames] if given else None
    geometry = FrameGeometry(clip.K, poses)
    return clip_of(clip.rgb[:num_frames], clip.times_s[:num_frames], geometry)


@pytest.mark.parametrize("given", [True, False])
def test_watching_changes_nothing_and_steps_rebuild_the_whole(encoder, clip, given):
    watched = EvaluatedEncoder(encoder)
    view = view_of(clip, given)
    encoded = watched.encode(view)
    code = encoder.encode(view)
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


def test_a_network_that_knows_nothing_is_evaluated_all_the_same(encoder, clip):
    result = evaluate_clip("a", clip, encoder, RoomOptions())
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
    loaded = EvaluatedEncoder(make_encoder(str(path)).load("cpu"))
    encoded = loaded.encode(view_of(clip, True, num_frames=1))
    assert encoded.maps.num_frames == 1
    with pytest.raises(WeightsError):
        make_encoder(str(tmp_path / "none.safetensors"))


class Sealed:
    """The same encoder, its stages hidden."""

    def __init__(self, encoder):
        self.encode_batch, self.session = encoder.encode_batch, encoder.session


def test_an_encoder_without_stages_is_measured_as_a_whole(encoder, clip):
    open_, sealed = (
        evaluate_clip("a", clip, one, RoomOptions(ladder=True))
        for one in (encoder, Sealed(encoder))
    )
    assert sealed.given.detection == open_.given.detection
    assert sealed.predicted.detection == open_.predicted.detection
    assert sealed.predicted.path.world_m == pytest.approx(open_.predicted.path.world_m, abs=1e-5)
    assert sealed.given.depth is None
    assert sealed.ladder == {}
    assert sealed.given_seconds.network > 0
