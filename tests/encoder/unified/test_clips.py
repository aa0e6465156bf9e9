"""What is learnt from: boxes moved into cameras, and masks of objects that are out of sight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spatialcode.encoder.unified.clips import (
    LearningClip,
    collated,
    symmetry_indices,
    tracked_truth,
)
from spatialcode.encoder.unified.losses import SYMMETRIES
from spatialcode.encoder.unified.rotations import rotation_matrix
from spatialcode.errors import SchemaError
from spatialcode.scene.frames import quaternion_from_yaw


def clip(num_objects: int = 2) -> LearningClip:
    """Three frames of 20 × 40 px. Object 0 is a square in frames 0 and 2, object 1 in frame 1."""
    instance = np.full((3, 20, 40), -1, np.int16)
    instance[0, 2:6, 3:8] = 0
    instance[2, 10:14, 20:30] = 0
    if num_objects > 1:
        instance[1, 0:4, 0:4] = 1
    pose = np.tile(np.eye(4), (3, 1, 1))
    # looking along the world's y from 1.5 m above the floor, a metre further each frame
    pose[:, :3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    pose[:, 1, 3], pose[:, 2, 3] = [0.0, 1.0, 2.0], 1.5
    center = np.array([[0.5, 4.0, 0.5], [-1.0, 5.0, 1.5]])[:num_objects]
    return LearningClip(
        rgb=np.zeros((3, 20, 40, 3), np.uint8),
        instance=instance,
        depth_m=np.ones((3, 20, 40), np.float32),
        K=np.tile(np.diag([30.0, 30.0, 1.0]), (3, 1, 1)),
        T_world_camera=pose,
        center_m=np.tile(center, (3, 1, 1)),
        size_m=np.array([[1.0, 2.0, 3.0], [0.1, 0.2, 0.3]])[:num_objects],
        quaternion_wxyz=np.tile(quaternion_from_yaw(0.5), (3, num_objects, 1)),
        symmetry=symmetry_indices(["chair", "stool"][:num_objects]),
    )


def test_boxes_are_moved_into_each_cameras_frame():
    truth = tracked_truth(collated([clip()]))
    # half a metre to the right, a metre below the camera, 4, 3 and 2 m ahead
    expected = [[0.5, 1.0, 4.0], [0.5, 1.0, 3.0], [0.5, 1.0, 2.0]]
    assert torch.allclose(truth.center_m[0, :, 0], torch.tensor(expected), atol=1e-5)
    up = rotation_matrix(truth.quaternion_wxyz[0, 1, 0])[:, 2]
    assert torch.allclose(up, torch.tensor([0.0, -1.0, 0.0]), atol=1e-6)
    # the box's x is turned by 0.5 about the world's up from the camera's x towards its z
    ahead = rotation_matrix(truth.quaternion_wxyz[0, 1, 0])[:, 0]
    assert torch.allclose(ahead, torch.tensor([np.cos(0.5), 0.0, np.sin(0.5)]).float(), atol=1e-6)


def test_an_object_out_of_sight_is_claimed_where_a_near_frame_shows_it():
    truth = tracked_truth(collated([clip()]))
    assert truth.is_present[0].tolist() == [[True, False], [False, True], [True, False]]
    assert truth.is_absent[0].tolist() == [[False, True], [True, False], [False, True]]
    masks, instance = truth.masks[0], torch.from_numpy(clip().instance)
    assert torch.equal(masks[0, 0], instance[0] == 0)
    assert torch.equal(masks[1, 0], instance[0] == 0), "the first of two equally near"
    assert torch.equal(masks[2, 1], instance[1] == 1)


def test_a_speck_is_neither_present_nor_absent():
    one = clip(num_objects=1)
    big = np.zeros((3, 200, 200), np.int16) - 1
    big[0, :50, :50], big[1, 0, 0] = 0, 0
    wide = replace(
        one, rgb=np.zeros((3, 200, 200, 3), np.uint8), instance=big, depth_m=big.astype(np.float32)
    )
    truth = tracked_truth(collated([wide]))
    assert truth.is_present[0, :, 0].tolist() == [True, False, False]
    assert truth.is_absent[0, :, 0].tolist() == [False, False, True]


def test_padding_is_no_object():
    batch = collated([clip(2), clip(1)])
    assert batch.is_object.tolist() == [[True, True], [True, False]]
    truth = tracked_truth(batch)
    assert not truth.is_present[1, :, 1].any()
    assert not truth.is_absent[1, :, 1].any()
    assert torch.isfinite(truth.quaternion_wxyz).all()
    assert (truth.size_m > 0).all()
    alone = tracked_truth(collated([clip(1)]))
    assert torch.equal(truth.masks[1, :, 0], alone.masks[0, :, 0])


def test_a_clip_that_does_not_agree_is_refused():
    with pytest.raises(SchemaError, match=r"LearningClip\.K"):
        replace(clip(), K=np.eye(3))
    with pytest.raises(SchemaError, match=r"instance.*below 2.*got 7"):
        replace(clip(), instance=np.full((3, 20, 40), 7, np.int16))
    other = replace(
        clip(),
        rgb=np.zeros((3, 10, 40, 3), np.uint8),
        instance=np.zeros((3, 10, 40), np.int16),
        depth_m=np.ones((3, 10, 40), np.float32),
    )
    with pytest.raises(SchemaError, match="one size"):
        collated([clip(), other])


def test_labels_have_their_symmetry_and_unknown_ones_are_even():
    names = [SYMMETRIES[i] for i in symmetry_indices(["chair", "stool", "table", "gizmo"])]
    assert names == ["full", "round", "half", "half"]
