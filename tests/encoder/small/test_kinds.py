"""Networks that know other kinds than the bundled one, from their targets to the code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.train_encoder.config import Pictures
from pipelines.train_encoder.run import frames_of_room
from spatialcode.encoder.detections import Confidence, DetectionConfig, detect
from spatialcode.encoder.maps import grid_intrinsics
from spatialcode.encoder.registry import make_encoder
from spatialcode.encoder.small.encoder import load_weights, save_weights
from spatialcode.encoder.small.inference import DenseRunner, without_gravity
from spatialcode.encoder.small.inputs import cell_frames
from spatialcode.encoder.small.losses import cell_targets
from spatialcode.encoder.small.model import ModelConfig, make_model
from spatialcode.encoder.small.towers import TrunkConfig
from spatialcode.errors import WeightsError
from spatialcode.evaluation.oracle import true_maps
from spatialcode.scene.kinds import PRIMITIVE_KINDS, Kinds
from spatialcode.synthetic.clips import ClipConfig, make_clip

#: Other kinds in another order: what is not among them is an object.
OTHER = Kinds(("vase", "object", "table", "chair", "window", "door"))
TINY = ModelConfig(TrunkConfig((4, 8, 8, 8), (0, 0, 0, 0), 0, 1), 8, kinds=OTHER)


def test_targets_name_each_thing_by_the_networks_own_kinds() -> None:
    theirs, own = (
        frames_of_room(4, Pictures(kinds, num_a_room=2)) for kinds in (PRIMITIVE_KINDS, OTHER)
    )
    labels = PRIMITIVE_KINDS.labels
    seen = theirs.label_index[0][theirs.label_index[0] >= 0]
    wanted = [OTHER.index.get(labels[k], 1) for k in seen]
    assert own.label_index[0][: len(wanted)].tolist() == wanted
    assert len(set(wanted)) > 2


def test_what_is_of_no_kind_teaches_its_depth_alone() -> None:
    frames = frames_of_room(4, Pictures(Kinds(("vase",)), num_a_room=2))
    batch = {name: torch.from_numpy(array) for name, array in frames.arrays().items()}
    targets = cell_targets(batch, cell_frames(batch["K"], batch["up_camera"], 120, 160), OTHER)
    thing = batch["cell_instance"] >= 0
    assert thing.any()
    assert targets.has_depth[thing].all()
    assert not targets.valid[thing].any()
    assert not targets.is_object.any()
    floor = batch["cell_instance"] == -1
    assert (targets.class_index[floor] == len(OTHER)).all()


def test_weights_keep_their_kinds_and_maps_tell_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_weights(make_model(TINY), tmp_path / "other.safetensors", {})
    model, card = load_weights(tmp_path / "other.safetensors")
    assert card["architecture"]["kinds"] == list(OTHER.labels)
    K = np.array([[70.0, 0, 40], [0, 70, 30], [0, 0, 1]])
    rgb = np.random.default_rng(0).integers(0, 255, (3, 64, 80, 3), np.uint8)
    maps = DenseRunner(model, "cpu", False)(without_gravity(rgb, K))
    assert maps.kinds == OTHER
    assert make_encoder(str(tmp_path / "other.safetensors")).load("cpu").kinds == OTHER.labels
    assert maps.class_prob.shape == (3, len(OTHER) + 3, 16, 20)
    assert maps.frames(slice(0, 2)).kinds == OTHER


def test_kinds_that_are_none_make_weights_unusable(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_weights(make_model(TINY), path, {})
    card = path.with_suffix(".json")
    card.write_text(card.read_text().replace('"vase"', '"wall"'))
    with pytest.raises(WeightsError, match="labels"):
        load_weights(path)


def test_true_maps_of_other_kinds_become_the_same_boxes_with_their_words() -> None:
    clip = make_clip(1_600_000_004, ClipConfig(num_frames=16))
    poses = np.asarray(clip.T_world_camera)
    found = {}
    for kinds in (PRIMITIVE_KINDS, OTHER):
        maps = true_maps(clip, kinds).maps
        plain = replace(Confidence.uncalibrated(), threshold=0.0)
        config = DetectionConfig()
        found[kinds] = detect(maps, grid_intrinsics(clip.K), poses, plain, config)
    theirs, own = (
        {tuple(np.round(one.center_m, 2)): one.label for one in many} for many in found.values()
    )
    shared = theirs.keys() & own.keys()
    assert len(shared) >= 5
    for place in shared:
        label = theirs[place]
        assert own[place] == (label if label in OTHER.index else "object")
    assert {own[place] for place in shared} > {"object"}
