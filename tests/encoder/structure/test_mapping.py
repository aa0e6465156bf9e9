"""Structure from motion on rendered rooms, whose cameras are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spatialcode.encoder.structure.frames import DenseFrames
from spatialcode.encoder.structure.mapping import reconstruct
from spatialcode.encoder.structure.process import structure_to_dict
from spatialcode.encoder.structure.settings import StructureSettings
from spatialcode.encoder.structure.structure import Structure, StructureError
from tests.encoder.structure.rooms import K, frames_of, similarity_error, turned, walked

SETTINGS = StructureSettings(num_features=400)


@pytest.fixture(scope="module")
def frames() -> DenseFrames:
    return frames_of(walked())


@pytest.fixture(scope="module")
def found(frames: DenseFrames) -> Structure:
    return reconstruct(frames, None, SETTINGS)


def test_cameras_and_lens_of_a_room_are_found(frames: DenseFrames, found: Structure) -> None:
    true = walked()
    assert found.times_s.tolist() == frames.times_s.tolist()
    assert found.registered == 1.0
    # of a walk of two metres
    assert similarity_error(found.T_world_camera[:, :3, 3], true[:, :3, 3]) < 0.02
    turns = np.linalg.inv(found.T_world_camera[0, :3, :3]) @ found.T_world_camera[-1, :3, :3]
    asked = np.linalg.inv(true[0, :3, :3]) @ true[-1, :3, :3]
    missed = np.arccos(np.clip((np.trace(turns.T @ asked) - 1) / 2, -1, 1))
    assert np.degrees(missed) < 1.0
    assert found.K[0, 0] == pytest.approx(K[0, 0], rel=0.05)
    assert found.focal_confidence == 0.5  # walls are flat: pairs of frames say nothing of a lens


def test_points_lie_where_their_tracks_see_them(found: Structure) -> None:
    T = np.linalg.inv(found.T_world_camera)[found.track_frame]
    camera = np.einsum("mij,mj->mi", T[:, :3, :3], found.points[found.track_point]) + T[:, :3, 3]
    x = camera[:, :2] / camera[:, 2:]
    bent = x * (1 + found.radial * (x**2).sum(1, keepdims=True))
    pixel = bent * found.K[0, 0] + found.K[:2, 2]
    assert np.median(np.linalg.norm(pixel - found.track_px, axis=1)) < 0.5
    assert np.median(found.seen_depth()) == pytest.approx(1.0)


def test_a_lens_that_is_known_stays_as_it_is(frames: DenseFrames) -> None:
    found = reconstruct(frames, K, SETTINGS)
    np.testing.assert_allclose(found.K, K, rtol=1e-12)
    assert (found.radial, found.focal_confidence) == (0.0, 1.0)
    assert similarity_error(found.T_world_camera[:, :3, 3], walked()[:, :3, 3]) < 0.02


def test_the_same_frames_give_the_same_to_the_bit(frames: DenseFrames, found: Structure) -> None:
    again = reconstruct(frames, None, SETTINGS)
    assert structure_to_dict(again) == structure_to_dict(found)


def test_a_camera_that_only_turns_has_no_structure() -> None:
    with pytest.raises(StructureError, match="only turned"):
        reconstruct(frames_of(turned()), None, SETTINGS)


def test_a_camera_that_stands_has_no_structure() -> None:
    with pytest.raises(StructureError, match="stood still"):
        reconstruct(frames_of(np.repeat(walked(1), 6, axis=0)), None, SETTINGS)


def test_frames_of_different_things_have_no_structure() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (8, 240, 320)).astype(np.uint8)
    with pytest.raises(StructureError, match="of 7 pairs of neighbouring frames"):
        reconstruct(DenseFrames(noise, np.arange(8.0)), None, SETTINGS)


def test_what_is_not_believed_of_either_mapper_is_told(frames: DenseFrames) -> None:
    few = DenseFrames(frames.gray[:5], frames.times_s[:5])
    with pytest.raises(StructureError, match=r"global mapper: sees .* incremental mapper"):
        reconstruct(few, K, replace(SETTINGS, min_parallax_deg=90.0, num_features=200))


def test_what_moves_has_no_points(frames: DenseFrames) -> None:
    movers = np.zeros(frames.gray.shape, bool)
    movers[:, :, :150] = True
    hidden = DenseFrames(frames.gray[:6], frames.times_s[:6], movers[:6])
    found = reconstruct(hidden, K, replace(SETTINGS, min_links=0))
    assert found.track_px[:, 0].min() >= 150
