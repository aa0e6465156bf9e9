from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import spatialcode
from spatialcode.api import KnownCamera, Sampling, VideoEncoder, clip_of, encode
from spatialcode.encoder.registry import EncoderSettings, make_encoder
from spatialcode.errors import (
    ConfigError,
    InputError,
    SchemaError,
    VideoNotFoundError,
    WeightsError,
)
from spatialcode.scene.schema import SpatialCode
from spatialcode.video.decode import decode, hash_file
from spatialcode.video.sampling import ByRate
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.workkey import work_key
from tests.recordings.test_readers import posed_images, sidecar
from tests.tiny_codes import room_video, untrained_weights
from tests.video.builders import VideoRecipe, make_video

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


@pytest.fixture(scope="module")
def echo() -> VideoEncoder:
    return VideoEncoder(make_encoder("tests.pipelines.encode.window_encoders:Echo"))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = VideoRecipe(num_frames=120, width_px=64, height_px=48, fps=30.0)
    return make_video(tmp_path_factory.mktemp("long") / "long.mp4", recipe)


def told(code: SpatialCode) -> tuple[int, str]:
    """How many windows were alive at once, and the hash of all pixels and times."""
    alive, _, digest = code.provenance.software.split()
    return int(alive), digest


def test_a_long_video_goes_through_its_windows_a_few_at_a_time(
    echo: VideoEncoder, long: Path
) -> None:
    streamed = encode(long, encoder=echo, sampling=Sampling(rate_hz=30.0))
    assert len(streamed.video.sampled_s) == 120
    alive, pixels = told(streamed)
    assert alive <= 3, "of 24 windows: the held, the next, and the one that a name still holds"
    # frames that are decoded whole are views of one array, and all of its windows are the same
    whole = encode(long, encoder=echo, sampling=Sampling(rate_hz=30.0), sandbox=False)
    assert told(whole)[1] == pixels
    assert replace(whole, provenance=streamed.provenance) == streamed


def test_64_frames_are_one_clip_and_65_are_not(
    echo: VideoEncoder, long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    pieces = SandboxedDecoder.pieces

    def watched(decoder, *arguments, **named):
        asked.append(named["frames_a_piece"])
        return pieces(decoder, *arguments, **named)

    monkeypatch.setattr(SandboxedDecoder, "pieces", watched)
    for count in (64, 65):
        code = encode(long, encoder=echo, sampling=Sampling(num_frames=count))
        assert len(code.video.sampled_s) == count
    assert len(asked) == 1


def test_a_known_camera_reaches_every_window(echo: VideoEncoder, long: Path) -> None:
    K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    poses = np.stack([np.eye(4), np.eye(4)])
    poses[1, :3, 3] = (4, 0, 0)
    camera = KnownCamera(K, np.array([0.0, 4.0]), poses)
    sampling = Sampling(rate_hz=30.0, max_side_px=32)
    code = encode(long, encoder=echo, sampling=sampling, camera=camera)
    assert [view.t_s for view in code.cameras] == list(code.video.sampled_s)
    assert len(code.cameras) == 120
    for view in code.cameras:
        assert (view.fx_px, view.cx_px, view.cy_px) == (30.0, 16.0, 12.0)  # at half the size
        assert view.T_world_camera[0][3] == pytest.approx(view.t_s)  # a metre a second
    assert code.provenance.work_key == ""


def test_captures_are_named_by_folder_file_or_part(echo: VideoEncoder, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    posed_images(one)
    code = encode(one, encoder=echo)
    assert code.video.uri == str(one)
    assert len(code.cameras) == len(code.video.sampled_s) == 4  # as many as the encoder asks for
    two.mkdir()
    sidecar(two)
    (two / "walk.mp4").rename(two / "b.mp4")
    document = (two / "walk.geometry.json").read_text().replace("walk.mp4", "b.mp4")
    (two / "walk.geometry.json").rename(two / "a.geometry.json")
    for name in ("a", "b"):  # two captures of one video
        (two / f"{name}.geometry.json").write_text(document)
    with pytest.raises(InputError, match=r"expected one capture, got 2.*a\.geometry\.json"):
        encode(two, encoder=echo, reader="sidecar")
    own = encode(two / "a.geometry.json", encoder=echo, reader="sidecar")
    assert own.video.uri == str(two / "a.geometry.json")
    assert len(own.cameras) == 4
    beside = encode(two / "b.mp4", encoder=echo)
    assert beside.video.uri == str(two / "b.mp4")
    assert beside.cameras == own.cameras
    assert encode(two / "b.mp4", encoder=echo, sidecar=False).cameras == ()


def test_a_capture_that_cannot_be_meant_is_refused(echo: VideoEncoder, tmp_path: Path) -> None:
    posed_images(tmp_path)
    with pytest.raises(ConfigError, match=r"camera: .* has cameras of its own"):
        encode(tmp_path, encoder=echo, camera=KnownCamera(np.eye(3)))
    with pytest.raises(ConfigError, match=r"reader: expected one of.*got 'toom'"):
        encode(tmp_path, encoder=echo, reader="toom")
    with pytest.raises(InputError, match="no such capture"):
        encode(tmp_path / "none" / "x", encoder=echo, reader="auto")
    with pytest.raises(InputError, match="expected one capture, got 0"):
        encode(tmp_path / "K.txt", encoder=echo, reader="auto")
