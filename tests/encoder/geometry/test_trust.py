"""How far a clip's path is trusted, by numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.encoder.geometry.protocol import DepthNoise, WindowGeometry
from spatialcode.encoder.geometry.trust import PathTrust
from spatialcode.encoder.protocol import FrameGeometry, Window


def told(*windows: dict, given: bool = False, side_px: int = 320) -> PathTrust:
    """What is gathered from windows of two frames."""
    trust = PathTrust()
    pose = np.tile(np.eye(4), (2, 1, 1))
    for said in windows:
        known = FrameGeometry(T_world_camera=pose) if given else FrameGeometry()
        window = Window(np.zeros((2, 24, side_px, 3), np.uint8), np.arange(2.0), known)
        values = {"is_metric": True, "error": DepthNoise()} | said
        K = np.tile(np.eye(3), (2, 1, 1))
        trust.note(window, WindowGeometry(np.ones((2, 3, 4)), K, pose, **values))
    return trust


def test_poses_that_were_given_need_no_trust():
    trust = told({"reprojection_px": 50.0, "motion": "still"}, given=True)
    assert (trust.scale().source, trust.scale().confidence) == ("given", 1.0)
    assert trust.warnings() == ()


@pytest.mark.parametrize(
    ("missed_px", "confidence"),
    # in frames half as wide as the reference: 0.5 is 1, 3 is 6; 1.5 is as good as it gets
    [((0.5,), 0.8), ((3.0,), 0.8 * 1.5 / 6), ((0.5, 3.0, 3.0), 0.8 * 1.5 / 6), ((), 0.4)],
)
def test_the_middle_window_decides(missed_px, confidence):
    trust = told(*({"reprojection_px": px} for px in missed_px or (None,)))
    assert trust.scale().confidence == pytest.approx(confidence)
    rough = [text for text in trust.warnings() if "6.0 pixels" in text]
    assert len(rough) == (confidence < 0.4)


def test_one_window_without_metres_leaves_none():
    trust = told({"reprojection_px": 0.1}, {"reprojection_px": 0.1, "is_metric": False})
    assert not trust.is_metric
    assert trust.scale().confidence == pytest.approx(0.1)
    assert trust.scale(unit_trust=0.7).confidence == pytest.approx(0.7)


def test_without_depth_there_are_no_metres():
    trust = PathTrust()
    window = Window(np.zeros((1, 24, 32, 3), np.uint8), np.zeros(1), FrameGeometry())
    nothing = np.full((1, 3, 4), np.nan)
    eye = np.eye(3)[None], np.eye(4)[None]
    trust.note(window, WindowGeometry(nothing, *eye, is_metric=True, error=DepthNoise()))
    assert not trust.is_metric
    trust.note(window, WindowGeometry(nothing + 1, *eye, is_metric=True, error=DepthNoise()))
    assert not trust.is_metric
    trust.note(window, WindowGeometry(np.ones((1, 3, 4)), *eye, is_metric=True, error=DepthNoise()))
    assert trust.is_metric


@pytest.mark.parametrize(
    ("motions", "said"),
    [(("still", "still"), "stood still"), (("still", "rotation"), "only turned"),
     (("still", "full"), None), ((None,), None)],
)  # fmt: skip
def test_a_camera_that_went_nowhere_in_any_window_is_warned_of(motions, said):
    warnings = told(*({"motion": motion} for motion in motions)).warnings()
    assert len(warnings) == (said is not None)
    assert said is None or said in warnings[0]
