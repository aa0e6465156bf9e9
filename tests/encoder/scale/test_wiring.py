"""The small encoder's metres: all cues, with its own depth and with a structure's points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spatialcode.encoder.maps import FLOOR_CHANNEL, grid_intrinsics
from spatialcode.encoder.protocol import FrameGeometry
from spatialcode.encoder.registry import make_encoder
from spatialcode.encoder.scale.cues import ScaledView, SeenPoints, cues_of
from spatialcode.encoder.scale.fusion import confidence_of, fused
from spatialcode.encoder.scale.settings import ScaleSettings
from spatialcode.encoder.structure.path import seen_cells
from spatialcode.encoder.structure.structure import Structure
from spatialcode.evaluation.room import clip_of
from spatialcode.synthetic.clips import ClipConfig, make_clip

#: Whoever films holds the camera four times as high as usual, and nothing else is as sure.
TALL = {
    "scale": {
        "camera_height_m": 5.6,
        "camera_height_sigma": 0.01,
        "ceiling_height_sigma": 9.0,
        "depth_doubt": 50.0,
    }
}


@pytest.fixture(scope="module")
def clip():
    return make_clip(900_000_002, ClipConfig(num_frames=8))


def told(clip):
    return clip_of(clip.rgb, clip.times_s, FrameGeometry(clip.K))


def stages(settings):
    return make_encoder("small", {"path": "fast", **settings}).load("cpu").stages


def test_what_is_usual_scales_the_path_and_is_named_in_the_code(clip):
    usual = make_encoder("small", {"path": "fast"}).load("cpu")
    tall = make_encoder("small", {"path": "fast", **TALL}).load("cpu")
    few, many = (one.encode_batch([told(clip)])[0] for one in (usual, tall))
    height = {code.cameras[0].matrix()[2, 3]: code for code in (few, many)}
    low, high = height
    assert 1.0 < low < 2.0
    assert high > 2.5 * low
    assert many.scale.source == "camera-height"
    assert few.scale.source in ("metric-depth", "camera-height", "object-sizes", "ceiling-height")
    away = [np.ptp([c.matrix()[:3, 3] for c in code.cameras], axis=0) for code in (few, many)]
    assert away[1] == pytest.approx(away[0] * high / low, rel=1e-5)


def test_confidence_is_that_the_metre_is_right_times_the_paths_trust(clip):
    own = stages({})
    seen = own.prepare(told(clip))
    (maps,) = own.maps([seen], [None], True)
    path = own.path(seen, maps)
    path[::2, :3, :3] = path[::2, :3, :3] @ Rotation.from_euler("y", 5, degrees=True).as_matrix()
    view = ScaledView(maps, grid_intrinsics(seen.geometry.K), path, SeenPoints.of_maps(maps))
    cues = cues_of(view, ScaleSettings())
    found = own.code(seen, maps, path).scale
    trust = seen.audit.trust(path)
    assert trust < 0.5  # the pictures show no such turns
    assert found.confidence == pytest.approx(confidence_of(cues, 0.15) * trust)
    assert found.source == fused(cues, 0.15).source
    (given,) = own.maps([seen], [clip.T_world_camera], True)
    known = replace(seen, geometry=FrameGeometry(seen.geometry.K, clip.T_world_camera))
    scale = own.code(known, given, clip.T_world_camera).scale
    assert (scale.source, scale.confidence) == ("given", 1.0)


def structure_of(clip, unit, frames):
    """The true cameras and points of some frames as a structure, in units of so many metres and
    turned on its side.
    """
    rng = np.random.default_rng(0)
    T = np.asarray(clip.T_world_camera, float)[frames].copy()
    num, (height, width) = len(frames), clip.depth_m.shape[1:]
    row, column = rng.integers(0, height, (num, 60)), rng.integers(0, width, (num, 60))
    depth = clip.depth_m[np.array(frames)[:, None], row, column].astype(float)
    pixel = np.stack([column + 0.5, row + 0.5, np.ones_like(row)], axis=-1)
    local = pixel @ np.linalg.inv(clip.K).T * depth[..., None]
    world = np.einsum("nij,npj->npi", T[:, :3, :3], local) + T[:, None, :3, 3]
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    T[:, :3, :3] = turn @ T[:, :3, :3]
    T[:, :3, 3] = T[:, :3, 3] @ turn.T / unit
    total = 60 * num
    return Structure(
        times_s=np.asarray(clip.times_s)[frames], T_world_camera=T, registered=1.0, K=clip.K,
        size_px=(width, height), radial=0.0, focal_confidence=1.0,
        points=world.reshape(-1, 3) @ turn.T / unit, point_error_px=np.zeros(total),
        track_point=np.arange(total), track_frame=np.repeat(np.arange(num), 60),
        track_px=pixel[..., :2].reshape(-1, 2), error_px=0.3, parallax_deg=5.0, mapper="global",
    )  # fmt: skip


@pytest.fixture(scope="module")
def walk(clip):
    moved = np.asarray(clip.T_world_camera, float).copy()
    return replace(clip, T_world_camera=moved)


@pytest.mark.parametrize("unit", [0.2, 7.0])
def test_a_structures_points_are_seen_in_cells_at_depths_of_the_paths_unit(walk, unit):
    frames = [0, 2, 3, 5, 7]
    structure = structure_of(walk, unit, frames)
    path = np.asarray(walk.T_world_camera, float).copy()
    path[:, :3, 3] *= 3.0  # whose unit is a third of a metre
    frame, cell, depth = seen_cells(structure, np.asarray(walk.times_s), path, (30, 40))
    assert sorted(set(frame.tolist())) == frames
    height, width = walk.depth_m.shape[1:]
    column, row = (structure.track_px * (40 / width, 30 / height)).astype(int).T
    assert np.array_equal(cell, np.stack([column, row], axis=1))
    x, y = (structure.track_px - 0.5).round().astype(int).T
    assert depth == pytest.approx(3.0 * walk.depth_m[frame, y, x], rel=1e-5)


def test_with_a_structure_its_points_tell_the_scale(walk):
    own = stages(TALL)
    seen = own.prepare(told(walk))
    (maps,) = own.maps([seen], [None], True)
    is_floor = maps.class_prob[:, FLOOR_CHANNEL] > 0.5
    wrong = np.where(is_floor, 3 * maps.depth_m, maps.depth_m).astype(np.float32)
    maps = replace(maps, depth_m=wrong)  # the network is wrong about the floor
    seen = replace(seen, structure=structure_of(walk, 5.0, list(range(8))))
    path = own.path(seen, maps)
    points = SeenPoints(*seen_cells(seen.structure, seen.times_s, path, maps.depth_m.shape[1:]))
    view = ScaledView(maps, grid_intrinsics(seen.geometry.K), path, points)
    (height,) = [c for c in cues_of(view, ScaleSettings()) if c.source == "camera-height"]
    # as high as it was said to be, by the floor that the structure's own points lie on
    assert np.exp(height.log_scale) == pytest.approx(1.4 / 5.6, rel=0.1)
    assert own.code(seen, maps, path).scale.source == "camera-height"


def test_the_code_says_where_its_path_comes_from(walk):
    own = stages({})
    seen = own.prepare(told(walk))
    (maps,) = own.maps([seen], [None], True)
    path = own.path(seen, maps)
    found = own.code(seen, maps, path).path
    assert found.source == "odometry"
    assert found.error_px == pytest.approx(seen.audit.error_px(path), rel=1e-5)
    built = replace(seen, structure=structure_of(walk, 5.0, list(range(8))))
    assert own.code(built, maps, path).path.source == "structure"
    for motion, source in (("still", "standing"), ("rotation", "turning")):
        held = replace(seen, audit=replace(seen.audit, motion=motion))
        assert own.code(held, maps, path).path.source == source
    known = replace(seen, geometry=FrameGeometry(seen.geometry.K, walk.T_world_camera))
    given = own.code(known, maps, walk.T_world_camera).path
    assert (given.source, given.error_px) == ("given", None)
