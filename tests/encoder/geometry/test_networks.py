"""Geometry networks: tiny random ones of the hub's classes, saved and loaded as hub weights are."""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from spatialcode.encoder.geometry import any_view, any_view_weights
from spatialcode.encoder.geometry.any_view import camera_to_world
from spatialcode.encoder.geometry.monocular import near_size_px
from spatialcode.encoder.geometry.registry import DEPTH_SOURCES, GEOMETRY_SOURCES, load_geometry
from spatialcode.encoder.protocol import ClipHeader, FrameGeometry, Window
from spatialcode.encoder.weights.registry import WEIGHTS
from spatialcode.errors import ConfigError, MissingExtraError, WeightsError
from spatialcode.scene.schema import VideoInfo
from tests.encoder.geometry.tiny_geometry import ANY_VIEW, METRIC, SAVED, save_da3, save_nested

SMALL = {"side_px": 112, "chunk_frames": 4, "chunk_overlap": 2}


def header(width_px: int, height_px: int) -> ClipHeader:
    return ClipHeader(
        VideoInfo(
            uri="a.mp4", sha256="0" * 64, duration_s=1.0, fps=30.0, width_px=width_px,
            height_px=height_px, sampled_s=(),
        )
    )  # fmt: skip


def frames(num: int, height: int = 48, width: int = 64, **known) -> Window:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (num, height, width, 3), dtype=np.uint8)
    return Window(rgb, np.arange(num) / 10, FrameGeometry(**known))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("geometry")
    return {
        **{name: (save(base / name),) for name, save in SAVED.items()},
        "da3": (save_da3(base / "any", ANY_VIEW), save_da3(base / "metric", METRIC)),
        "da3-nested": (save_nested(base / "nested"),),
    }


def loaded(folders, name, **settings):
    own = SMALL | settings if name.startswith("da3") else settings
    return load_geometry(name, folders.get(name, ()), own)


#: Those that are networks of their own: not what was recorded, nor another encoder's tower.
NETWORKS = sorted(n for n, p in GEOMETRY_SOURCES.items() if n != "recorded" and not p.is_tower)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(48, 64), (64, 48)])
def test_every_network_gives_geometry_of_the_frames_in_either_orientation(folders, name, size):
    window = frames(3, *size)
    session = loaded(folders, name).session(header(size[1], size[0]))
    found = session.geometry(window)
    high, wide = found.depth_m.shape[1:]
    assert len(found.depth_m) == 3
    assert high / wide == pytest.approx(size[0] / size[1], rel=0.1)
    assert np.nanmin(found.depth_m) > 0
    assert found.is_metric
    assert found.is_grounded
    assert found.T_world_camera[0, :2, 3] == pytest.approx((0, 0), abs=1e-9)
    np.testing.assert_allclose(
        found.T_world_camera[:, :3, :3] @ found.T_world_camera[:, :3, :3].transpose(0, 2, 1),
        np.tile(np.eye(3), (3, 1, 1)), atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(DEPTH_SOURCES))
def test_a_frames_depth_does_not_depend_on_those_beside_it(folders, name):
    depth = loaded(folders, name, num_frames=4).depth
    rgb = frames(3).rgb
    together = depth.depth(rgb, None).depth_m
    alone = np.concatenate([depth.depth(rgb[k : k + 1], None).depth_m for k in (2, 1, 0)])[::-1]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_depth_pro_follows_the_focal_length_that_is_known(folders):
    depth = loaded(folders, "depth-pro").depth
    rgb = frames(1).rgb
    K = np.array(((50.0, 0, 32), (0, 50, 24), (0, 0, 1)))
    near = depth.depth(rgb, K)
    far = depth.depth(rgb, K * [[2, 1, 1], [1, 2, 1], [1, 1, 1]])
    # inverse depth = output · width / focal: twice the focal length is twice as far
    both = np.isfinite(near.depth_m) & np.isfinite(far.depth_m)
    np.testing.assert_allclose(far.depth_m[both], 2 * near.depth_m[both], rtol=1e-4)
    assert near.focal_px is None
    assert depth.depth(rgb, None).focal_px.shape == (1,)


def test_sizes_keep_the_frames_shape_in_whole_patches():
    assert near_size_px((480, 640), (518, 518), 14) == (518, 686)
    assert near_size_px((640, 480), (518, 518), 14) == (686, 518)
    assert near_size_px((9, 640), (518, 518), 14)[0] == 14


def test_extrinsics_lead_from_world_to_camera():
    # a camera one unit to the right of the world's origin, turned left by 90 degrees
    T_world_camera = np.array(((0.0, 0, 1, 1), (0, 1, 0, 0), (-1, 0, 0, 0), (0, 0, 0, 1)))
    extrinsics = torch.from_numpy(np.linalg.inv(T_world_camera)[None, :3])
    np.testing.assert_allclose(camera_to_world(extrinsics)[0], T_world_camera, atol=1e-12)


def test_the_metric_networks_output_is_times_focal_over_300(folders):
    source = loaded(folders, "da3")
    rgb = frames(2).rgb
    K = np.tile(np.array(((60.0, 0, 32), (0, 60, 24), (0, 0, 1))), (2, 1, 1))
    depth, _ = source.metric_depth(rgb, K)
    with torch.inference_mode():
        raw = source.metric(source.pictures(rgb)[:, None]).depth.numpy().reshape(depth.shape)
    # 64 pixels of the frame become 112 of the network's picture
    np.testing.assert_allclose(depth, raw * 60 * 112 / 64 / 300, rtol=1e-4)


def test_nested_weights_are_both_networks(folders):
    nested = loaded(folders, "da3-nested")
    any_view_net, metric = any_view_weights.load_nested(folders["da3-nested"][0])
    assert nested.any_view.cam_dec is not None
    assert nested.metric.cam_dec is None
    for own, again in ((nested.any_view, any_view_net), (nested.metric, metric)):
        for name, value in again.state_dict().items():
            assert torch.equal(own.state_dict()[name], value)


def test_depth_comes_in_the_metres_of_the_metric_network(folders):
    window = frames(3)
    source = loaded(folders, "da3")
    found = source.session(header(64, 48)).geometry(window)
    metric, _ = source.metric_depth(window.rgb, found.K)
    trusted = found.confidence >= 0.5
    ratio = np.log(found.depth_m / metric)[trusted]
    assert np.nanmedian(ratio) == pytest.approx(0, abs=0.05)


def test_recorded_depth_and_poses_stand_in_the_place_of_estimates(folders):
    rng = np.random.default_rng(1)
    T = np.tile(np.eye(4), (3, 1, 1))
    T[:, :3, 3] = rng.normal((0, 0, 1.5), 1, (3, 3))
    K = np.array(((60.0, 0, 32), (0, 60, 24), (0, 0, 1)))
    depth_m = rng.uniform(1, 3, (3, 24, 32))
    for name in ("da3", "depth-anything-v2"):
        session = loaded(folders, name).session(header(64, 48))
        both = session.geometry(frames(3, K=K, T_world_camera=T, depth_m=depth_m))
        np.testing.assert_allclose(both.depth_m, depth_m, rtol=1e-6)
        np.testing.assert_allclose(both.T_world_camera, T)
        poses = loaded(folders, name).session(header(64, 48)).geometry(
            frames(3, K=K, T_world_camera=T)
        )  # fmt: skip
        np.testing.assert_allclose(poses.T_world_camera, T)
        np.testing.assert_allclose(poses.K, np.tile(K, (3, 1, 1)))
        depth = loaded(folders, name).session(header(64, 48)).geometry(
            frames(3, K=K, depth_m=depth_m)
        )  # fmt: skip
        # of one scale: what a frame's depth is divided by is near 1 where it is recorded
        assert np.nanmedian(depth.depth_m / depth_m) == pytest.approx(1, abs=0.1)


def test_recorded_poses_are_told_to_the_any_view_network(folders, monkeypatch):
    source = loaded(folders, "da3")
    told = []
    forward = source.any_view.forward

    def watched(x, extrinsics=None, intrinsics=None, **options):
        told.append((extrinsics, intrinsics))
        return forward(x, extrinsics, intrinsics, **options)

    monkeypatch.setattr(source.any_view, "forward", watched)
    T = np.tile(np.eye(4), (3, 1, 1))
    T[:, 0, 3] = (5.0, 7.0, 9.0)
    K = np.array(((64.0, 0, 32), (0, 64, 24), (0, 0, 1)))
    source.session(header(64, 48)).geometry(frames(3, K=K, T_world_camera=T))
    extrinsics, intrinsics = told[0]
    # relative to the first camera, in units of the middle camera's distance (2 m), world to camera
    assert extrinsics[0, :, 0, 3].tolist() == pytest.approx([0, -1, -2])
    assert intrinsics[0, 0].tolist() == [[112, 0, 56], [0, 112, 42], [0, 0, 1]]


def test_chunks_bound_how_many_frames_the_network_sees(folders, monkeypatch):
    source = loaded(folders, "da3")
    seen = []
    forward = source.any_view.forward
    monkeypatch.setattr(
        source.any_view,
        "forward",
        lambda x, *a, **k: seen.append(x.shape[1]) or forward(x, *a, **k),
    )
    window = frames(1)
    window = Window(np.repeat(window.rgb, 9, axis=0), np.arange(9) / 10)
    found = source.session(header(64, 48)).geometry(window)
    assert len(found.depth_m) == 9
    assert max(seen) == 4
    assert sum(seen) == 9 + 2 * (len(seen) - 1)


def test_low_confidence_is_dropped(folders):
    window = frames(3)
    strict = loaded(folders, "da3", min_confidence=0.5).session(header(64, 48)).geometry(window)
    # half of all pixels are below the middle one
    assert np.isnan(strict.depth_m).mean() == pytest.approx(0.5, abs=0.1)


def test_a_missing_package_names_the_line_that_installs_it(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "depth_anything_3.model.da3", None)
    with pytest.raises(MissingExtraError, match="pip install --no-deps depth-anything-3"):
        loaded(folders, "da3")


def test_truncated_weights_are_refused(folders, tmp_path):
    for name in ("config.json", "model.safetensors"):
        content = (folders["da3"][0] / name).read_bytes()
        (tmp_path / name).write_bytes(content)
    tensors = load_file(tmp_path / "model.safetensors")
    lost = next(name for name in tensors if "cam_dec" in name)
    save_file({k: v for k, v in tensors.items() if k != lost}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="missing"):
        any_view_weights.load_any_view(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError):
        any_view_weights.load_any_view(tmp_path)


def test_weights_of_another_network_are_refused(folders):
    with pytest.raises(WeightsError, match="depth alone"):
        load_geometry("da3", folders["da3"][::-1], SMALL)
    with pytest.raises(WeightsError, match="nested"):
        any_view_weights.load_any_view(folders["da3-nested"][0])
    with pytest.raises(WeightsError):
        load_geometry("depth-pro", folders["zoedepth"])


@pytest.mark.parametrize("value", ["os", "${eval:1}"])
def test_a_configuration_can_name_no_other_code(folders, tmp_path, value):
    config = json.loads((folders["da3"][0] / "config.json").read_text())
    config["config"]["head"]["__object__"]["path"] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(
        (folders["da3"][0] / "model.safetensors").read_bytes()
    )
    with pytest.raises(WeightsError, match="expected"):
        any_view_weights.load_any_view(tmp_path)


def test_published_names_are_known_to_the_package(tmp_path):
    for name, nested in (("da3-base", False), ("da3nested-giant-large", True)):
        (tmp_path / "config.json").write_text(json.dumps({"model_name": name}))
        assert any_view_weights.is_nested(tmp_path) is nested
    (tmp_path / "config.json").write_text(json.dumps({"model_name": "da4"}))
    with pytest.raises(WeightsError, match="da4"):
        any_view_weights.is_nested(tmp_path)


def test_the_table_names_registered_weights_and_refuses_what_does_not_fit():
    for part in GEOMETRY_SOURCES.values():
        assert set(part.weights) <= set(WEIGHTS)
    with pytest.raises(ConfigError, match="recorded"):
        load_geometry("record")
    with pytest.raises(ConfigError, match="da3-metric-large"):
        load_geometry("da3", ("one",))
    with pytest.raises(ConfigError, match="side_px"):
        load_geometry("recorded", (), {"path": {"side_px": 3}})


def test_who_asks_for_a_source_loads_no_torch():
    import subprocess

    code = (
        "import sys; from spatialcode.encoder.geometry import registry, protocol, settings; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_sky_is_no_depth(folders, monkeypatch):
    source = loaded(folders, "da3")
    monkeypatch.setattr(any_view, "_SKY", -1.0)  # every pixel is sky
    window = frames(3)
    _, solid = source.metric_depth(window.rgb, np.tile(np.eye(3), (3, 1, 1)))
    assert not solid.any()


def textured(height: int = 120, width: int = 160) -> np.ndarray:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 255, (height // 4, width // 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def test_a_networks_path_of_a_camera_that_stands_is_one_pose(folders):
    picture = textured()
    window = Window(np.stack([picture] * 6), np.arange(6) / 10)
    source = loaded(folders, "da3")
    network = source.chunk(window, slice(0, 4)).T_world_camera
    assert np.ptp(network[:, :3, 3], axis=0).max() > 1e-6, "the network itself says it moved"
    found = source.session(header(160, 120)).geometry(window)
    assert found.motion == "still"
    np.testing.assert_allclose(
        found.T_world_camera, np.tile(found.T_world_camera[:1], (6, 1, 1)), atol=1e-12
    )
    assert found.reprojection_px == pytest.approx(0, abs=0.01)


def test_a_networks_path_that_misses_the_pictures_says_by_how_much(folders):
    # the picture goes by to the left: no random network's path explains that
    wide = textured(120, 400)
    rgb = np.stack([wide[:, 20 * k : 20 * k + 160] for k in range(6)])
    found = loaded(folders, "da3").session(header(160, 120)).geometry(
        Window(np.ascontiguousarray(rgb), np.arange(6) / 10)
    )  # fmt: skip
    assert found.motion in {"rotation", "full"}
    assert found.reprojection_px is not None
    # told in pixels of the frames, 160 wide
    assert 0 < found.reprojection_px < 160
