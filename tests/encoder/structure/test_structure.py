"""What a structure says of itself, by numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spatialcode.encoder.structure.frames import DenseFrames
from spatialcode.encoder.structure.process import structure_from_dict, structure_to_dict
from spatialcode.encoder.structure.structure import Structure
from spatialcode.errors import SchemaError


def small() -> Structure:
    """Three cameras at x = 0, 1, 2 that look along z, and two points."""
    T = np.tile(np.eye(4), (3, 1, 1))
    T[:, 0, 3] = 0, 1, 2
    return Structure(
        times_s=np.array([0.0, 0.5, 1.0]),
        T_world_camera=T,
        registered=0.75,
        K=np.array([[100.0, 0, 40], [0, 100, 30], [0, 0, 1]]),
        size_px=(80, 60),
        radial=0.01,
        focal_confidence=0.9,
        points=np.array([[0.0, 0, 4], [2, 0, 5]]),
        point_error_px=np.array([0.2, 0.3]),
        track_point=np.array([0, 0, 1, 1, 1]),
        track_frame=np.array([0, 1, 0, 1, 2]),
        track_px=np.array([[40.0, 30], [15, 30], [80, 30], [60, 30], [40, 30]]),
        error_px=0.25,
        parallax_deg=14.0,
        mapper="global",
    )


def test_links_count_points_seen_on_both_sides_of_a_step() -> None:
    assert small().links().tolist() == [2, 1]


def test_depth_is_along_the_axis_of_the_camera_that_sees() -> None:
    assert small().seen_depth().tolist() == [4, 4, 5, 5, 5]
    turned = small()
    T = turned.T_world_camera.copy()
    T[0, :3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]  # looks along +x
    assert replace(turned, T_world_camera=T).seen_depth().tolist() == [0, 4, 2, 5, 5]


def test_intrinsics_follow_the_size_of_the_picture() -> None:
    expected = [[200.0, 0, 80], [0, 50, 15], [0, 0, 1]]
    assert small().intrinsics(160, 30).tolist() == expected


def test_a_structure_passes_between_processes_unchanged() -> None:
    there_and_back = structure_from_dict(structure_to_dict(small()))
    assert structure_to_dict(there_and_back) == structure_to_dict(small())
    assert there_and_back.track_frame.dtype.kind == "i"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"times_s": np.array([0.0, 1.0, 1.0])}, "times_s"),
        ({"K": np.eye(4)}, "K"),
        ({"points": np.array([[0.0, 0, np.nan], [2, 0, 5]])}, "points"),
        ({"track_frame": np.array([0, 1, 0, 1, 3])}, "track_frame"),
        ({"track_point": np.array([0, -1, 1, 1, 1])}, "track_point"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, np.ndarray], field: str) -> None:
    with pytest.raises(SchemaError, match=f"Structure.{field}"):
        replace(small(), **changes)


def test_frames_are_checked_and_thinned_evenly() -> None:
    gray = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 6), np.uint8)
    frames = DenseFrames(gray, np.arange(10.0), gray > 4)
    few = frames.thinned(4)
    assert few.times_s.tolist() == [0, 3, 6, 9]
    assert few.gray[:, 0, 0].tolist() == [0, 3, 6, 9]
    assert few.movers is not None
    assert few.movers[:, 0, 0].tolist() == [False, False, True, True]
    assert frames.thinned(10) is frames
    with pytest.raises(SchemaError, match="increasing"):
        DenseFrames(gray, np.zeros(10))
    with pytest.raises(SchemaError, match="movers"):
        DenseFrames(gray, np.arange(10.0), np.zeros((10, 2, 2), bool))
    with pytest.raises(SchemaError, match="uint8"):
        DenseFrames(gray.astype(float), np.arange(10.0))


def test_colour_frames_become_grey_ones_of_at_most_a_size() -> None:
    rgb = np.full((2, 60, 80, 3), (255, 0, 0), np.uint8)
    movers = np.zeros((2, 60, 80), bool)
    movers[:, :, 40:] = True
    frames = DenseFrames.of_rgb(rgb, np.arange(2.0), 40, movers)
    assert frames.gray.shape == (2, 30, 40)
    assert set(np.unique(frames.gray)) == {76}  # 0.299 of 255
    assert frames.movers is not None
    assert frames.movers[0, 0].tolist() == [False] * 20 + [True] * 20
    assert frames.size_px == (40, 30)
    assert DenseFrames.of_rgb(rgb, np.arange(2.0), 640).size_px == (80, 60)
