"""What the losses call perfect, decoding and lifting must turn into the true boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spatialcode.encoder.maps import grid_intrinsics
from spatialcode.encoder.small.inference import decode
from spatialcode.encoder.small.inputs import cell_frames, exact_knowledge, mirrored
from spatialcode.encoder.small.inputs import level_rotation as torch_level_rotation
from spatialcode.encoder.small.losses import cell_targets, loss_terms, quality_measures
from spatialcode.encoder.small.model import RawMaps
from spatialcode.encoder.small.targets import (
    TrainingFrames,
    TruthFrames,
    cell_depth,
    training_frames,
)
from spatialcode.encoder.votes import LiftingConfig, lift
from spatialcode.scene.frames import level_rotation
from spatialcode.scene.kinds import PRIMITIVE_KINDS

NUM_CLASSES = PRIMITIVE_KINDS.num_channels

WIDTH, HEIGHT = 160, 120
CHAIR, STOOL = PRIMITIVE_KINDS.index["chair"], PRIMITIVE_KINDS.index["stool"]


def pose(position: tuple[float, float, float], yaw: float, pitch: float, roll: float) -> np.ndarray:
    """T_world_camera of a camera at a height, turned, tilted down and rolled (radians)."""
    level = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])  # camera axes in the level frame
    cp, sp, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    tilt = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    spin = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    T = np.eye(4)
    T[:3, :3] = turn @ level @ tilt @ spin
    T[:3, 3] = position
    return T


@pytest.fixture
def truth() -> TruthFrames:
    """Two views of two objects; depth and instances are arbitrary but fixed."""
    rng = np.random.default_rng(7)
    instance = np.full((2, HEIGHT, WIDTH), -2)
    instance[:, 80:] = -1
    instance[:, 40:80, 20:60] = 0
    instance[:, 50:100, 90:130] = 1
    return TruthFrames(
        rgb=rng.integers(0, 255, (2, HEIGHT, WIDTH, 3), dtype=np.uint8),
        depth_m=rng.uniform(1, 4, (2, HEIGHT, WIDTH)).astype(np.float32),
        instance=instance.astype(np.int16),
        K=np.array([[130.0, 0, 77], [0, 131, 62], [0, 0, 1]]),
        T_world_camera=np.stack(
            [pose((1, 2, 1.4), 0.3, -0.25, 0.04), pose((0, 1, 1.6), -2, -0.4, 0)]
        ),
        label_index=np.array([CHAIR, STOOL]),
        center_m=np.array([[[1.0, 5, 0.5], [2, 4, 0.3]], [[1.5, 5, 0.5], [2, 4, 0.3]]]),
        size_m=np.array([[0.5, 0.6, 1.0], [0.4, 0.4, 0.6]]),
        yaw_rad=np.array([[0.7, 0.0], [-2.9, 0.0]]),
    )


def as_batch(frames: TrainingFrames) -> dict[str, torch.Tensor]:
    return {k: torch.from_numpy(v.copy()) for k, v in frames.arrays().items()}


def perfect_raw(batch: dict[str, torch.Tensor]) -> RawMaps:
    """Raw maps that say exactly what the targets say."""
    frames = cell_frames(batch["K"], batch["up_camera"], HEIGHT, WIDTH)
    t = cell_targets(batch, frames, PRIMITIVE_KINDS)
    point = frames.to_azimuth(frames.ray_level * t.log_depth.exp()[..., None])
    chw = (0, 3, 1, 2)
    b, h, w = t.class_index.shape
    logits = 30.0 * torch.nn.functional.one_hot(t.class_index, NUM_CLASSES).permute(chw)
    return RawMaps(
        class_logits=logits.float(),
        log_depth=t.log_depth[:, None],
        log_depth_log_scale=torch.full((b, 1, h, w), -3.0),
        offset=(t.center_azimuth_m - point).permute(chw),
        vote_log_scale=torch.full((b, 3, h, w), -3.0),
        log_size=t.log_size.permute(chw),
        axis=t.axis_cos_sin.permute(chw),
        heading=t.heading_cos_sin.permute(chw),
        up=batch["up_camera"],
        up_log_scale=torch.full((b,), -3.0),
        log_height=batch["camera_height_m"].log(),
    )


def test_level_rotations_of_torch_and_numpy_agree() -> None:
    up = np.random.default_rng(0).normal(size=(50, 3))
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    ours = torch_level_rotation(torch.from_numpy(up)).numpy()
    np.testing.assert_allclose(ours, level_rotation(up), atol=1e-12)


def test_perfect_maps_lift_to_the_true_boxes(truth: TruthFrames) -> None:
    batch = as_batch(training_frames(truth))
    raw = perfect_raw(batch)
    frames = cell_frames(batch["K"], batch["up_camera"], HEIGHT, WIDTH)
    maps = decode(raw, frames, batch["up_camera"], batch["camera_height_m"])
    votes = lift(maps, grid_intrinsics(truth.K), truth.T_world_camera, LiftingConfig())
    label = votes.class_prob.argmax(axis=1)
    assert set(label) == {CHAIR, STOOL}
    for frame in (0, 1):
        for j, label_index in enumerate((CHAIR, STOOL)):
            mine = (votes.frame == frame) & (label == label_index)
            expected = np.broadcast_to(truth.center_m[frame, j], (mine.sum(), 3))
            np.testing.assert_allclose(votes.center_m[mine], expected, atol=2e-5)
            np.testing.assert_allclose(votes.size_m[mine][0], truth.size_m[j], rtol=1e-5)
        chair = (votes.frame == frame) & (label == CHAIR)
        yaw = truth.yaw_rad[frame, 0]
        np.testing.assert_allclose(
            votes.heading[chair], np.tile((np.cos(yaw), np.sin(yaw)), (chair.sum(), 1)), atol=1e-5
        )


def test_perfect_maps_have_no_error_and_a_wrong_vote_has_its_own(truth: TruthFrames) -> None:
    batch = as_batch(training_frames(truth))
    raw = perfect_raw(batch)
    frames = cell_frames(batch["K"], batch["up_camera"], HEIGHT, WIDTH)
    measures = quality_measures(raw, batch, frames)
    assert measures["depth_abs_rel"] < 1e-6
    assert measures["vote_error_m"] < 1e-5
    assert measures["object_class_accuracy"] == 1.0
    before = loss_terms(raw, batch, frames)
    raw.offset[:, 1] += 0.2  # 20 cm too far along the line of sight
    after = loss_terms(raw, batch, frames)
    # Laplace likelihood |error| / scale, times the root of the scale: 0.2 m, scale e^-3 m
    rise = (after["vote"] - before["vote"]).item()
    assert rise == pytest.approx(0.2 * np.exp(3) * np.exp(-1.5), rel=1e-4)
    assert quality_measures(raw, batch, frames)["vote_error_m"] == pytest.approx(0.2, abs=1e-5)


def test_objects_count_by_the_root_of_their_cells(truth: TruthFrames) -> None:
    batch = as_batch(training_frames(truth))
    frames = cell_frames(batch["K"], batch["up_camera"], HEIGHT, WIDTH)
    t = cell_targets(batch, frames, PRIMITIVE_KINDS)
    for instance in (0, 1):
        cells = batch["cell_instance"][0] == instance
        assert t.object_weight[0][cells].sum().item() == pytest.approx(cells.sum().item() ** 0.5)
    assert t.object_weight[0][batch["cell_instance"][0] < 0].abs().sum() == 0


def test_mirroring_twice_changes_nothing_and_once_mirrors_the_world(truth: TruthFrames) -> None:
    batch = as_batch(training_frames(truth))
    flip = torch.tensor([True, True])
    once = mirrored(batch, flip)
    twice = mirrored(once, flip)
    for name, value in batch.items():
        assert torch.allclose(twice[name].double(), value.double(), atol=1e-4), name
    # a mirrored box's front (its y axis = up x x-axis) is the mirror image of the front
    up, x = batch["up_camera"][0], batch["box_x_camera"][0, 0]
    front = torch.linalg.cross(up, x)
    mirrored_front = torch.linalg.cross(once["up_camera"][0], once["box_x_camera"][0, 0])
    assert torch.allclose(mirrored_front, front * torch.tensor([-1.0, 1, 1]), atol=1e-6)
    # cells and centres stay together: the perfect maps of the mirrored batch have no error
    frames = cell_frames(once["K"], once["up_camera"], HEIGHT, WIDTH)
    assert quality_measures(perfect_raw(once), once, frames)["vote_error_m"] < 1e-5


def test_cell_depth_is_exact_on_a_slanted_plane() -> None:
    # inverse depth of a plane is linear in the picture
    cols = np.arange(16) + 0.5
    inverse = 0.2 + 0.01 * cols[None, :] + 0.02 * (np.arange(12) + 0.5)[:, None]
    depth, _ = cell_depth((1 / inverse)[None], np.zeros((1, 12, 16), int))
    centres = (np.arange(4) + 0.5) * 4, (np.arange(3) + 0.5) * 4
    expected = 1 / (0.2 + 0.01 * centres[0][None, :] + 0.02 * centres[1][:, None])
    np.testing.assert_allclose(depth[0], expected, rtol=1e-6)


def test_exact_knowledge_is_the_truth(truth: TruthFrames) -> None:
    batch = as_batch(training_frames(truth))
    known = exact_knowledge(batch)
    expected_up = truth.T_world_camera[:, 2, :3]  # world z in camera coordinates
    np.testing.assert_allclose(known.up_camera.numpy(), expected_up, atol=1e-6)
    np.testing.assert_allclose(known.camera_height_m.numpy(), [1.4, 1.6], atol=1e-6)
