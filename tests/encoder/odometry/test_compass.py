"""The compass: drift in yaw is taken out where walls agree, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.encoder.maps import grid_intrinsics
from spatialcode.encoder.odometry.compass import CompassConfig, steadied, turned, wall_directions
from spatialcode.encoder.odometry.compass import yaw_corrections as corrections
from spatialcode.evaluation.oracle import true_maps
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import SyntheticClip

#: Odometry that may err by 0.04 rad a frame, looks that err by 0.08.
CONFIG = CompassConfig(step_sigma_rad=0.04, look_sigma_rad=0.08)


def looks(walls_rad: float, true_yaw: np.ndarray) -> np.ndarray:
    """What frames with these yaws see of walls along one direction of the world, exactly."""
    return np.exp(4j * (walls_rad - true_yaw))


def test_drift_is_taken_out_up_to_the_first_frame() -> None:
    true_yaw = np.linspace(0, 2.0, 32)
    drift = np.linspace(0, 0.3, 32)
    found = corrections(looks(0.4, true_yaw), true_yaw + drift, CONFIG)
    assert found[0] == pytest.approx(0, abs=1e-6)
    # a random walk lags behind a steady drift by look/step frames, at either end
    lag_frames = CONFIG.look_sigma_rad / CONFIG.step_sigma_rad
    assert np.abs(found + drift).max() < 2 * lag_frames * (drift[1] - drift[0])


def test_a_quarter_turn_is_no_drift() -> None:
    true_yaw = np.linspace(0, 2.0, 16)
    directions = looks(0.4, true_yaw) * 1.0
    directions[8:] = looks(0.4 + np.pi / 2, true_yaw)[8:]  # the other pair of walls
    np.testing.assert_allclose(corrections(directions, true_yaw, CONFIG), 0, atol=1e-3)


def test_looks_that_do_not_agree_change_nothing() -> None:
    rng = np.random.default_rng(2)
    directions = np.exp(1j * rng.uniform(-np.pi, np.pi, 32))
    assert not corrections(directions, np.zeros(32), CONFIG).any()
    assert not corrections(np.zeros(5, complex), np.zeros(5), CONFIG).any()


def test_one_wild_look_moves_little() -> None:
    true_yaw = np.zeros(32)
    directions = looks(0.1, true_yaw)
    directions[16] *= np.exp(4j * 0.6)
    assert np.abs(corrections(directions, true_yaw, CONFIG)).max() < 0.02


def test_turning_a_path_turns_its_steps() -> None:
    T = np.tile(np.eye(4), (3, 1, 1))
    T[:, 0, 3] = (0, 1, 2)  # two steps along x
    out = turned(T, np.array([0.0, 0.0, np.pi / 2]))
    # the second step is taken half turned: at 45 degrees
    np.testing.assert_allclose(out[:, :2, 3], [(0, 0), (1, 0), (1 + 0.5, 0.5)], atol=1e-12)
    np.testing.assert_allclose(out[2, :3, 0], (0, 1, 0), atol=1e-12)


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return make_clip(900_000_002, ClipConfig(num_frames=16))


def test_walls_of_a_rendered_room_straighten_a_bent_path(clip: SyntheticClip) -> None:
    maps, K_grid = true_maps(clip).maps, grid_intrinsics(clip.K)
    bend = np.linspace(0, 0.25, 16)
    bent = turned(clip.T_world_camera, bend)
    mended = steadied(bent, maps, K_grid, CONFIG)

    def error_m(path: np.ndarray) -> float:
        return float(np.linalg.norm(path[:, :3, 3] - clip.T_world_camera[:, :3, 3], axis=1).max())

    yaw = np.arctan2(mended[:, 1, 0], mended[:, 0, 0])
    true_yaw = np.arctan2(clip.T_world_camera[:, 1, 0], clip.T_world_camera[:, 0, 0])
    left = np.angle(np.exp(1j * (yaw - true_yaw)))
    assert np.abs(left).max() < 0.1
    assert error_m(mended) < 0.5 * error_m(bent)
    same = steadied(clip.T_world_camera, maps, K_grid, CONFIG)
    assert error_m(same) < 0.05
    assert np.abs(wall_directions(maps, K_grid, CONFIG)).max() <= 2 * 16
