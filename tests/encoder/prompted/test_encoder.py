"""The prompted encoder on tiny random networks that were saved and loaded as the hub's are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spatialcode
from jobs.encode import main as encode_main
from spatialcode.api import VideoEncoder
from spatialcode.encoder.protocol import ClipInput, FrameGeometry, encode_windows
from spatialcode.encoder.registry import make_encoder
from spatialcode.errors import ConfigError, MissingExtraError, WeightsError
from spatialcode.evaluation.room import clip_of
from spatialcode.recordings.registry import recordings_in
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import from_row
from spatialcode.scene.text import from_json, to_json
from spatialcode.streaming import ReadAhead, RecordedClip
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.video.sampling import Sampling
from tests.encoder import tiny_settings
from tests.encoder.geometry.tiny_geometry import save_depth_anything, save_nested
from tests.encoder.tiny_settings import WORDS
from tests.pipelines.results import result_rows
from tests.recordings.test_readers import posed_images

DATA = os.environ.get("SPATIALCODE_DATA")
VIDEOS = sorted(Path(DATA or "missing", "videos").glob("*.mp4"))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of an encoder that looks at four frames together, on networks saved to disk."""
    return tiny_settings.prompted(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def clip() -> ClipInput:
    made = make_clip(1_600_000_001, ClipConfig(num_frames=6, width_px=128, height_px=96))
    return clip_of(made.rgb, made.times_s, FrameGeometry(made.K))


def changed(own: dict[str, Any], part: str, **changes: Any) -> dict[str, Any]:
    return {**own, part: {**own[part], **changes}}


def encoded(settings: dict[str, Any], clip: ClipInput, name: str = "prompted") -> SpatialCode:
    encoder = make_encoder(name, settings)
    code = encode_windows(encoder.load("cpu"), clip, encoder.frames)
    assert from_json(to_json(code)) == code
    assert [camera.t_s for camera in code.cameras] == list(clip.times_s)
    assert {item.label for item in code.objects} <= set(WORDS)
    assert code.provenance.encoder == encoder.identity.name
    assert code.provenance.weights_sha256 == encoder.identity.weights_sha256
    return code


def test_a_clip_becomes_the_same_valid_code_each_time(own: dict[str, Any], clip: ClipInput) -> None:
    code = encoded(own, clip)
    assert code == encoded(own, clip)
    assert code.objects, "boxes, masks and depth became objects"
    assert code.scale.source == "metric-depth"


def test_what_each_network_says_reaches_the_code(own: dict[str, Any], clip: ClipInput) -> None:
    code = encoded(own, clip)
    detector = own["detector"]["settings"] | {"choice": {"min_score": 0.01, "max_boxes": 1}}
    fewer = encoded(changed(own, "detector", settings=detector), clip)
    assert len(fewer.objects) < len(code.objects)
    sure = encoded(changed(own, "masks", settings={"min_predicted_iou": 1.0}), clip)
    assert sure.objects == ()
    assert sure.cameras == code.cameras
    finer = own["geometry"]["settings"] | {"side_px": 154}
    assert encoded(changed(own, "geometry", settings=finer), clip).objects != code.objects


def test_recorded_poses_are_the_cameras_of_the_code(own: dict[str, Any], tmp_path: Path) -> None:
    posed_images(tmp_path)
    [recording] = recordings_in(tmp_path)
    encoder = VideoEncoder.load("prompted", "cpu", own)
    clip = RecordedClip(recording, Sampling(num_frames=4, max_side_px=128), "a" * 64)
    with ReadAhead(clip) as ahead:
        code = encoder.encode_source(ahead)
    rows = [0, 1, 2, 4]
    assert [camera.t_s for camera in code.cameras] == [recording.video.sampled_s[n] for n in rows]
    found = np.stack([camera.matrix() for camera in code.cameras])
    given = np.float32(recording.cameras.T_world_camera[rows])  # as codes keep numbers
    assert np.array_equal(np.float32(found), given)
    assert np.allclose([camera.fx_px for camera in code.cameras], recording.cameras.K[rows, 0, 0])
    assert code.scale.source == "given"
    assert code.provenance.work_key == "a" * 64


def test_sam_2s_memory_in_the_place_of_image_masks(own: dict[str, Any], clip: ClipInput) -> None:
    assert encoded(changed(own, "masks", name="sam2-video", settings={}), clip).objects


def test_depth_of_single_frames_with_a_path_of_ones_own(
    own: dict[str, Any], clip: ClipInput, tmp_path: Path
) -> None:
    depth = {"name": "depth-anything-v2", "weights": [str(save_depth_anything(tmp_path / "depth"))]}
    code = encoded({**own, "geometry": depth}, clip)
    assert code.objects
    assert code.cameras[0].fx_px == pytest.approx(clip.geometry.K[0, 0])  # type: ignore[index]


def test_the_best_preset_takes_nested_networks(
    own: dict[str, Any], clip: ClipInput, tmp_path: Path
) -> None:
    nested = {"name": "da3-nested", "weights": [str(save_nested(tmp_path / "nested"))]}
    settings = {**own, "geometry": {**own["geometry"], **nested}}
    assert encoded(settings, clip, "prompted-best").provenance.encoder == "prompted-best"


def test_an_identity_follows_weights_and_settings_and_not_the_place(
    own: dict[str, Any], tmp_path: Path
) -> None:
    plain = make_encoder("prompted", own).identity
    assert make_encoder("prompted", own).identity == plain
    moved = shutil.copytree(own["masks"]["weights"][0], tmp_path / "elsewhere")
    there = changed(own, "masks", weights=[str(moved)])
    assert make_encoder("prompted", there).identity == plain
    tensors = moved / "model.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    other = make_encoder("prompted", there).identity
    assert other.weights_sha256 != plain.weights_sha256


@pytest.mark.parametrize(
    "change",
    [
        {"window": 5},
        {"side_px": 160},
        {"fusion": {"words": ["chair"]}},
        {"fusion": {"words": list(WORDS), "lifting": {"max_points": 100}}},
        {"masks": {"settings": {"min_predicted_iou": 0.1}}},
        {"detector": {"settings": {"num_synonyms": 0}}},
        {"detector": {"name": "mm-grounding-dino"}},
        {"geometry": {"settings": {"side_px": 140}}},
    ],
)
def test_an_identity_follows_every_setting(own: dict[str, Any], change: dict[str, Any]) -> None:
    parts = {k: {**own[k], **v} for k, v in change.items() if isinstance(v, dict)}
    plain = make_encoder("prompted", own).identity
    other = make_encoder("prompted", {**own, **change, **parts}).identity
    assert other.config_sha256 != plain.config_sha256
    assert other.weights_sha256 == plain.weights_sha256


def test_who_it_is_needs_no_torch(own: dict[str, Any]) -> None:
    script = (
        "import json, sys\n"
        "from spatialcode.encoder.registry import make_encoder\n"
        "print(make_encoder('prompted', json.loads(sys.argv[1])).identity.weights_sha256)\n"
        "assert not {'torch', 'transformers', 'depth_anything_3', 'ray'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", script, json.dumps(own)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.strip() == make_encoder("prompted", own).identity.weights_sha256


@pytest.mark.parametrize("part", ["detector", "masks", "geometry"])
def test_weights_that_are_missing_or_cut_short_are_typed_errors(
    own: dict[str, Any], part: str, tmp_path: Path
) -> None:
    first, *rest = own[part]["weights"]
    with pytest.raises(WeightsError, match="nowhere"):
        make_encoder("prompted", changed(own, part, weights=[str(tmp_path / "nowhere"), *rest]))
    cut = shutil.copytree(first, tmp_path / "cut")
    tensors = cut / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-64])
    with pytest.raises(WeightsError, match="cut"):
        make_encoder("prompted", changed(own, part, weights=[str(cut), *rest])).load("cpu")
    tensors.unlink()
    with pytest.raises(WeightsError, match="safetensors"):
        make_encoder("prompted", changed(own, part, weights=[str(cut), *rest]))


def test_a_missing_package_says_what_to_install(
    own: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = make_encoder("prompted", own)
    monkeypatch.setitem(sys.modules, "depth_anything_3.model.da3", None)
    with pytest.raises(MissingExtraError, match="Depth Anything 3"):
        encoder.load("cpu")


def test_a_part_or_setting_that_is_not_known_is_refused(own: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="masks: expected one of"):
        make_encoder("prompted", changed(own, "masks", name="sam1", weights=[]))
    with pytest.raises(ConfigError, match=r"masks\.settings.*sharpness"):
        make_encoder("prompted", changed(own, "masks", settings={"sharpness": 2}))
    with pytest.raises(ConfigError, match=r"masks\.weights of sam2-image: expected 1 .*, got 2"):
        make_encoder("prompted", changed(own, "masks", weights=own["masks"]["weights"] * 2))


def test_a_setting_at_its_default_is_the_same_as_none(own: dict[str, Any]) -> None:
    plain = make_encoder("prompted", changed(own, "masks", settings={})).identity
    same = changed(own, "masks", settings={"outline": {"max_hole": 0.01}})
    assert make_encoder("prompted", same).identity == plain


@pytest.mark.skipif(not VIDEOS, reason="needs SPATIALCODE_DATA")
@pytest.mark.slow
def test_the_job_and_the_library_encode_real_videos_alike(
    own: dict[str, Any], tmp_path: Path
) -> None:
    settings = [f"input=[{','.join(map(str, VIDEOS))}]", f"output={tmp_path / 'out'}"]
    settings += ["sampling.num_frames=5", "encoder=prompted", *tiny_settings.dotlist(own)]
    assert encode_main(settings) == 0
    rows = result_rows(str(tmp_path / "out"))
    codes = [from_row(row["code"]) for row in rows]
    assert len(codes) == len(VIDEOS)
    assert all(len(code.cameras) == 5 for code in codes)
    assert any(code.objects for code in codes)
    identity = make_encoder("prompted", own).identity
    assert {code.provenance.config_sha256 for code in codes} == {identity.config_sha256}

    loaded = VideoEncoder.load("prompted", "cpu", own)
    one = spatialcode.encode(VIDEOS[0], encoder=loaded, sampling=Sampling(num_frames=5))
    assert one in codes


@pytest.mark.skipif(not VIDEOS, reason="needs SPATIALCODE_DATA")
@pytest.mark.slow
def test_the_job_encodes_captures_and_long_videos(own: dict[str, Any], tmp_path: Path) -> None:
    posed_images(tmp_path / "scans" / "room")
    readers = [f"input={tmp_path / 'scans'}", "reader=auto", "sampling.num_frames=5"]
    videos = [f"input={VIDEOS[0]}", "sampling.rate_hz=12", "sampling.max_side_px=128"]
    for name, chosen in (("captures", readers), ("videos", videos)):
        settings = [*chosen, f"output={tmp_path / name}", "encoder=prompted"]
        assert encode_main([*settings, *tiny_settings.dotlist(own)]) == 0
    (capture,) = result_rows(str(tmp_path / "captures"))
    code = from_row(capture["code"])
    [recording] = recordings_in(tmp_path / "scans" / "room")
    given = np.float32(recording.cameras.T_world_camera)
    assert np.array_equal(np.float32([camera.matrix() for camera in code.cameras]), given)

    (long,) = result_rows(str(tmp_path / "videos"))
    streamed = from_row(long["code"])
    assert len(streamed.cameras) == long["num_frames"] > 64
    loaded = VideoEncoder.load("prompted", "cpu", own)
    sampling = Sampling(rate_hz=12.0, max_side_px=128)
    assert spatialcode.encode(VIDEOS[0], encoder=loaded, sampling=sampling) == streamed
