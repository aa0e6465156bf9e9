"""Things that mirrors and screens show, in frames worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.encoder.geometry.protocol import DepthNoise
from spatialcode.encoder.lifting.reflections import without_reflections
from spatialcode.encoder.lifting.sightings import FrameView
from spatialcode.encoder.parsing.protocol import FrameMasks
from spatialcode.scene.categories import traits_of

#: A wall at 3 m with a mirror of 40 × 30 pixels in the middle of it.
HEIGHT, WIDTH, WALL_M = 60, 80, 3.0
MIRROR = np.s_[15:45, 20:60]


def seen(
    chair: tuple[slice, ...], chair_m: float, shown_in: str = "mirror", noise: float = 0.0,
    other: np.ndarray | None = None, behind_m: float = 5.0,
) -> tuple[str, ...]:  # fmt: skip
    """The labels left of a mirror and a chair; a network's depth goes ``behind_m`` into it."""
    depth_m = np.full((HEIGHT, WIDTH), WALL_M, np.float32)
    depth_m[MIRROR] = behind_m
    depth_m[chair] = chair_m
    masks = np.zeros((2, HEIGHT, WIDTH), bool)
    masks[0][MIRROR] = True
    masks[1][chair] = True
    masks[0] &= ~masks[1]
    if other is not None:
        masks[1] = other
    frame = FrameMasks(masks, (shown_in, "chair"), np.ones(2), np.arange(2), np.eye(2))
    K = np.array(((80.0, 0, 40), (0, 80, 30), (0, 0, 1)))
    view = FrameView(0, depth_m, K, np.eye(4), DepthNoise(pixel=noise))
    left = without_reflections(view, frame)
    assert len(left.masks) == len(left.scores) == len(left.tracks) == len(left.labels)
    return left.labels


IN_IT, AT_ITS_EDGE = np.s_[25:40, 30:45], np.s_[25:40, 15:30]


@pytest.mark.parametrize("label", ["mirror", "tv", "monitor", "picture"])
def test_a_chair_in_a_mirror_is_none(label: str) -> None:
    assert seen(IN_IT, 4.5, label) == (label,)
    # on a screen it is as far away as the screen
    assert seen(IN_IT, WALL_M, label, behind_m=WALL_M) == (label,)


def test_a_chair_before_it_is_one() -> None:
    assert seen(IN_IT, 2.5) == ("mirror", "chair")
    # 0.06 m before the wall is more than 0.05 m, but not more than what 2 % of 3 m may hide
    assert seen(IN_IT, WALL_M - 0.06) == ("mirror", "chair")
    assert seen(IN_IT, WALL_M - 0.06, noise=0.02) == ("mirror",)


def test_a_chair_that_reaches_beyond_its_edge_is_one() -> None:
    # 5 of its 15 columns lie outside
    assert seen(AT_ITS_EDGE, 4.5) == ("mirror", "chair")


def test_what_shows_nothing_hides_nothing() -> None:
    assert not traits_of("whiteboard").shows_others
    assert seen(IN_IT, 4.5, "window") == ("window", "chair")


def test_a_second_mask_of_the_same_thing_is_no_reflection() -> None:
    again = np.zeros((HEIGHT, WIDTH), bool)
    again[16:44, 21:59] = True
    assert seen(np.s_[0:0, 0:0], 0.0, other=again) == ("mirror", "chair")


def test_a_screen_behind_somebody_stays() -> None:
    # seen to both sides of a person, less than half of its outline
    screen = np.zeros((1, HEIGHT, WIDTH), bool)
    screen[0, 15:45, 20:28] = screen[0, 15:45, 52:60] = True
    frame = FrameMasks(screen, ("tv",), np.ones(1), np.zeros(1, int))
    depth_m = np.full((HEIGHT, WIDTH), WALL_M)
    depth_m[:, 28:52] = 1.0
    view = FrameView(0, depth_m, np.eye(3), np.eye(4), DepthNoise())
    assert without_reflections(view, frame).labels == ("tv",)


def test_a_mirror_without_pixels_or_depth() -> None:
    empty = FrameMasks(
        np.zeros((1, HEIGHT, WIDTH), bool), ("mirror",), np.ones(1), np.zeros(1, int)
    )
    view = FrameView(0, np.full((HEIGHT, WIDTH), np.nan), np.eye(3), np.eye(4), DepthNoise())
    assert without_reflections(view, empty).labels == ("mirror",)
    assert seen(IN_IT, np.nan, behind_m=np.nan) == ("mirror",)
