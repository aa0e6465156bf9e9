"""Outlines of known boxes, drawn by teachers that are right, and that are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spatialcode.encoder.parsing.protocol import FrameMasks
from spatialcode.encoder.unified.teaching import PosedFrame, pictures_of, taught_instances
from spatialcode.scene.boxes import Boxes
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.synthetic.clips import ClipConfig, make_clip

ROOM = make_clip(900_000_007, ClipConfig(num_frames=2, width_px=160, height_px=120))


def frame(row: int = 0) -> PosedFrame:
    return PosedFrame(ROOM.rgb[row], ROOM.depth_m[row], ROOM.K, ROOM.T_world_camera[row])


def boxes(row: int = 0) -> Boxes:
    return Boxes(ROOM.center_m[row], ROOM.size_m, quaternion_from_yaw(ROOM.yaw_rad[row]))


class Teacher:
    """Outlines what ``drawn`` says of a box by its number and picture."""

    edge_sigma_px = 0.0

    def __init__(self, drawn) -> None:
        self.drawn = drawn

    def session(self):
        return self

    def masks(self, window, detections):
        asked = detections[0]
        masks = [
            self.drawn(int(label), box.astype(int))
            for label, box in zip(asked.labels, asked.boxes_px, strict=True)
        ]
        num = len(masks)
        return {0: FrameMasks(np.array(masks), asked.labels, np.ones(num), np.full(num, -1))}


def filled(number, box):
    mask = np.zeros((120, 160), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def test_a_right_teacher_gives_the_true_pixels():
    truth = ROOM.instance[0]
    taught = taught_instances(frame(), boxes(), Teacher(lambda i, _: truth == i))
    asked, _ = pictures_of(boxes(), frame())
    seen = [i for i in asked if (truth == i).any()]
    assert len(seen) >= 3
    for i in range(len(boxes())):
        assert np.array_equal(
            taught == i, (truth == i) if i in seen else np.zeros_like(truth, bool)
        )


def test_pictures_hold_the_objects_and_stay_inside():
    asked, pictures = pictures_of(boxes(), frame())
    assert (pictures >= 0).all()
    assert (pictures <= [160, 120, 160, 120]).all()
    for i, (x0, y0, x1, y1) in zip(asked, pictures, strict=True):
        rows, columns = np.nonzero(ROOM.instance[0] == i)
        if len(rows):
            assert columns.min() + 0.5 > x0 - 1
            assert columns.max() + 0.5 < x1 + 1
            assert rows.min() + 0.5 > y0 - 1
            assert rows.max() + 0.5 < y1 + 1


def test_what_stands_in_front_is_not_learnt_as_what_is_behind():
    # a teacher that outlines a near wall wherever it is asked
    near = replace(frame(), depth_m=np.full((120, 160), 0.3, np.float32))
    assert (taught_instances(near, boxes(), Teacher(filled)) == -1).all()
    # and without depth it is believed
    blind = replace(near, depth_m=np.full((120, 160), np.nan, np.float32))
    assert (taught_instances(blind, boxes(), Teacher(filled)) >= 0).any()


def test_of_two_outlines_the_nearer_things_counts():
    blind = replace(frame(), depth_m=np.zeros((120, 160), np.float32))
    everywhere = np.ones((120, 160), bool)
    taught = taught_instances(blind, boxes(), Teacher(lambda *_: everywhere))
    asked, _ = pictures_of(boxes(), blind)
    away = np.linalg.norm(boxes().center - ROOM.T_world_camera[0, :3, 3], axis=1)
    assert (taught == min(asked, key=lambda i: away[i])).all()


def test_a_teacher_that_finds_nothing_and_a_frame_without_boxes():
    nothing = Teacher(lambda *_: np.zeros((120, 160), bool))
    assert (taught_instances(frame(), boxes(), nothing) == -1).all()
    none = Boxes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 4)))
    assert (taught_instances(frame(), none, nothing) == -1).all()


@pytest.mark.parametrize("behind", [-1.0, 0.0])
def test_a_box_at_or_behind_the_camera_is_not_asked_for(behind):
    T = np.eye(4)
    K = np.array([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]])
    posed = PosedFrame(ROOM.rgb[0], ROOM.depth_m[0], K, T)
    own = Boxes(np.array([[0, 0, behind], [0, 0, 2.0]]), np.ones((2, 3)), np.eye(4)[[0, 0]])
    kept, pictures = pictures_of(own, posed)
    assert kept.tolist() == [1]
    # half a metre of extent at its front, 1.5 m away
    off = 100 * 0.5 / 1.5
    assert pictures[0] == pytest.approx([80 - off, 60 - off, 80 + off, 60 + off])
