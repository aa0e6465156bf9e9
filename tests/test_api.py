from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import spatialcode
from spatialcode.api import KnownCamera, Sampling, VideoEncoder, clip_of, encode
from spatialcode.encoder.registry import EncoderSettings
from spatialcode.errors import SchemaError, VideoNotFoundError, WeightsError
from spatialcode.scene.schema import SpatialCode
from spatialcode.video.decode import decode, hash_file
from spatialcode.video.sampling import ByRate
from spatialcode.workkey import work_key
from tests.tiny_codes import room_video, untrained_weights

FEW = Sampling(num_frames=4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return room_video(tmp_path_factory.mktemp("video"))


@pytest.fixture(scope="module")
def code(weights: Path, video: Path) -> SpatialCode:
    return encode(video, encoder=str(weights), sampling=FEW)


def test_a_code_says_what_it_is_of_and_what_made_it(
    code: SpatialCode, weights: Path, video: Path
) -> None:
    assert code.video.sha256 == hash_file(video)
    assert (code.video.uri, code.video.width_px, code.video.height_px) == (str(video), 160, 120)
    assert code.video.duration_s == pytest.approx(3.0)
    # Four of 0, 0.5, … 2.5 s: the frames shown at 0, 0.83, 1.67 and 2.5 s.
    assert code.video.sampled_s == pytest.approx((0.0, 0.5, 1.5, 2.5))
    assert [camera.t_s for camera in code.cameras] == list(code.video.sampled_s)
    encoder = VideoEncoder.load(str(weights))
    identity = encoder.encoder.identity
    assert code.provenance.weights_sha256 == hash_file(weights) == identity.weights_sha256
    # The pipeline must know a result of encode() as its own.
    looked_at = asdict(replace(FEW, max_side_px=640))
    keyed = EncoderSettings(str(weights)).make().identity.looking_at(looked_at)
    assert code.provenance.work_key == work_key(hash_file(video), keyed)


def test_the_sandbox_changes_nothing(code: SpatialCode, weights: Path, video: Path) -> None:
    assert encode(video, encoder=str(weights), sampling=FEW, sandbox=False) == code


def test_which_frames_are_looked_at_is_part_of_the_key(weights: Path) -> None:
    encoder = VideoEncoder.load(str(weights))
    samplings = (FEW, replace(FEW, rate_hz=1.0), replace(FEW, max_side_px=100))
    keys = {work_key("a" * 64, encoder.identity(sampling)) for sampling in samplings}
    assert len(keys) == 3
    assert replace(FEW, rate_hz=1.0).plan() == ByRate(1.0)


def test_videos_encoded_together_come_back_in_order(weights: Path, video: Path) -> None:
    encoder = VideoEncoder.load(str(weights))
    first = decode(video, FEW.plan())
    second = decode(video, Sampling(num_frames=2).plan())
    together = encoder.encode_batch([first, second], ["a" * 64, "b" * 64])
    assert [code.provenance.work_key for code in together] == ["a" * 64, "b" * 64]
    assert [len(code.cameras) for code in together] == [4, 2]
    (alone,) = encoder.encode_batch([second])
    np.testing.assert_allclose(
        [camera.T_world_camera for camera in together[1].cameras],
        [camera.T_world_camera for camera in alone.cameras],
        atol=1e-4,
    )


def test_a_clip_keeps_the_videos_facts(video: Path) -> None:
    decoded = decode(video, FEW.plan(), max_side_px=80)
    clip = clip_of(decoded, "c" * 64)
    assert clip.rgb.shape == (4, 60, 80, 3)
    assert (clip.video.width_px, clip.video.height_px, clip.work_key) == (160, 120, "c" * 64)
    np.testing.assert_array_equal(clip.times_s, decoded.times_s)


def test_what_is_missing_is_named(tmp_path: Path, weights: Path, video: Path) -> None:
    with pytest.raises(VideoNotFoundError, match=r"none\.mp4"):
        encode(tmp_path / "none.mp4", encoder=str(weights))
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        encode(video, encoder=str(tmp_path / "none.safetensors"))


def test_the_package_offers_encode_without_loading_torch() -> None:
    assert spatialcode.encode is encode
    assert {"encode", "SpatialCode", "VideoEncoder", "Sampling"} <= set(dir(spatialcode))
    with pytest.raises(AttributeError, match="no attribute 'decode'"):
        _ = spatialcode.decode
    program = "import sys, spatialcode; spatialcode.encode; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_known_camera_takes_the_place_of_estimates(weights: Path, video: Path) -> None:
    K = np.array([[150.0, 0, 80], [0, 150, 60], [0, 0, 1]])
    start, end = np.eye(4), np.eye(4)
    for pose in (start, end):  # level, looking along +y
        pose[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    start[:3, 3], end[:3, 3] = (0, 0, 1.5), (3, 0, 1.5)
    camera = KnownCamera(K, np.array([0.0, 3.0]), np.stack([start, end]))
    known = encode(video, encoder=str(weights), sampling=FEW, camera=camera)
    assert known.scale.source == "given"
    assert known.provenance.work_key == ""
    for view in known.cameras:
        assert view.fx_px == pytest.approx(150.0)
        x, y, z = (row[3] for row in view.T_world_camera[:3])
        assert (x, y, z) == pytest.approx((min(view.t_s, 3.0), 0, 1.5), abs=1e-5)


def test_a_known_camera_must_fit_itself() -> None:
    with pytest.raises(SchemaError, match="times_s"):
        KnownCamera(T_world_camera=np.zeros((0, 4, 4)))
    with pytest.raises(SchemaError, match=r"KnownCamera\.K.*\(3, 3\)"):
        KnownCamera(K=np.eye(4))
