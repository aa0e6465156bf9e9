"""The unified encoder on tiny random towers that were saved and loaded as the hub's are."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from jobs.encode import main as encode_main
from spatialcode.encoder.compiling import modules_of
from spatialcode.encoder.geometry import any_view_weights
from spatialcode.encoder.parts import NamedPart
from spatialcode.encoder.protocol import ClipInput, encode_windows
from spatialcode.encoder.registry import make_encoder
from spatialcode.encoder.unified.encoder import UnifiedSettings
from spatialcode.encoder.unified.weights import folder_sha256
from spatialcode.errors import ConfigError, WeightsError
from spatialcode.scene.schema import SpatialCode, VideoInfo
from spatialcode.scene.table import from_row
from spatialcode.scene.text import from_json, to_json
from tests.encoder import tiny_models
from tests.encoder.geometry.tiny_geometry import ANY_VIEW, METRIC, save_da3
from tests.encoder.unified.parts import STEP_M
from tests.encoder.unified.tiny import save_trained
from tests.pipelines.results import result_rows

PARTS = "tests.encoder.unified.parts"
DATA = os.environ.get("SPATIALCODE_DATA")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return save_trained(tmp_path_factory.mktemp("weights"))


def settings(weights: Path, **changes) -> dict:
    parts = {key: {"name": f"{PARTS}:{key}"} for key in ("detector", "masks", "geometry")}
    # a random network claims little: nothing is dropped for it
    merging = {"min_presence": 0.0, "min_score": 0.0, "max_iou": 1.0}
    own = {"weights": str(weights), "window": 4, "overlap": 1, "words": ["chair", "table"]}
    return {**own, **parts, "merging": merging, **changes}


def pretrained(weights: Path, folder: Path, **changes) -> dict:
    """Settings with parts of pretrained networks, tiny and random, loaded as the hub's are."""
    detector = {"name": "grounding-dino", "weights": [str(tiny_models.grounding_dino())]}
    detector["settings"] = {"choice": {"min_score": 0.01, "max_boxes": 3}}
    masks = {"name": "sam2-video", "weights": [str(tiny_models.sam2_video())]}
    geometry = {"name": "da3", "weights": [
        str(save_da3(folder / "any_view", ANY_VIEW)), str(save_da3(folder / "metric", METRIC)),
    ]}  # fmt: skip
    parts = {"detector": detector, "masks": masks, "geometry": geometry}
    return settings(weights, **parts, **changes)


def clip(num_frames: int = 7, height: int = 96, width: int = 128) -> ClipInput:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (num_frames, height, width, 3), np.uint8)
    times = tuple(0.5 * np.arange(num_frames))
    return ClipInput(VideoInfo("clip.mp4", "", 4.0, 2.0, 2 * width, 2 * height, times), rgb)


def encoded(weights: Path, given: ClipInput, **changes) -> SpatialCode:
    encoder = make_encoder("unified", settings(weights, **changes))
    return encode_windows(encoder.load("cpu"), given, encoder.frames)


def test_a_clip_becomes_a_code_with_every_frame_once(weights):
    code = encoded(weights, clip())
    assert [camera.t_s for camera in code.cameras] == list(clip().times_s)
    assert code.video.sampled_s == tuple(clip().times_s)
    # the camera's own focal length, in pixels of the video, which is twice the frames' size
    assert code.cameras[0].fx_px == 256.0
    assert code.cameras[3].T_world_camera[0][3] == pytest.approx(0.15)
    assert {item.label for item in code.objects} == {"chair", "table"}
    assert all(item.num_observations == 7 for item in code.objects)
    assert code.provenance.encoder == "unified"


@pytest.mark.parametrize("num_boxes", [0, 200])
def test_no_detection_and_two_hundred(weights, num_boxes):
    detector = {"name": f"{PARTS}:detector", "settings": {"num_boxes": num_boxes}}
    code = encoded(weights, clip(3), detector=detector, max_masks=50)
    assert len(code.objects) == min(num_boxes, 50)
    assert len(code.cameras) == 3


@pytest.mark.parametrize("unit", [1.0, 0.25])
def test_a_world_without_metres_gets_the_networks_own(weights, unit):
    geometry = {"name": f"{PARTS}:geometry", "settings": {"unit": unit}}
    code = encoded(weights, clip(), geometry=geometry)
    # the random network's depth of the wall, over the source's 2 in its own unit
    depths = encoded(weights, clip(), geometry=geometry | {"settings": {"unit": 0.5 * unit}})
    walked, halved = (c.cameras[-1].T_world_camera[0][3] for c in (code, depths))
    assert walked == pytest.approx(halved), "in metres, whatever the source's unit"
    assert code.scale.source == "metric-depth"
    metric = encoded(weights, clip()).cameras[-1].T_world_camera[0][3]
    assert metric == pytest.approx(6 * STEP_M)


def test_portrait_frames(weights):
    code = encoded(weights, clip(2, height=160, width=90))
    assert len(code.objects) == 2


def test_the_order_of_a_batch_does_not_matter(weights):
    loaded = make_encoder("unified", settings(weights)).load("cpu")
    one, two = clip(3), clip(5)
    assert loaded.encode_batch([one, two]) == loaded.encode_batch([two, one])[::-1]


def test_identity_names_weights_and_settings_and_loads_no_torch(weights):
    plain = make_encoder("unified", settings(weights)).identity
    assert plain.weights_sha256 == folder_sha256(weights)
    assert make_encoder("unified", settings(weights)).identity == plain
    others = [{"max_masks": 4}, {"words": ["sofa"]}, {"precision": "bfloat16"}]
    found = {make_encoder("unified", settings(weights, **change)).identity for change in others}
    assert len(found | {plain}) == 4


def test_weights_are_refused_where_they_are_missing_or_changed(weights, tmp_path):
    with pytest.raises(WeightsError, match="train them by"):
        make_encoder("unified", {})
    with pytest.raises(WeightsError, match=r"card\.json"):
        make_encoder("unified", settings(tmp_path))
    changed = save_trained(tmp_path)
    head = changed / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-8])
    with pytest.raises(WeightsError, match="expected sha256"):
        make_encoder("unified", settings(changed))
    card = json.loads((changed / "card.json").read_text())
    (changed / "card.json").write_text(json.dumps(card | {"sha256": folder_sha256(changed)}))
    with pytest.raises(WeightsError, match="does not fit"):
        make_encoder("unified", settings(changed)).load("cpu")


def test_parts_of_pretrained_networks_are_loaded_by_name(weights, tmp_path):
    encoder = make_encoder("unified", pretrained(weights, tmp_path))
    code = encode_windows(encoder.load("cpu"), clip(5), encoder.frames)
    assert len(code.cameras) == 5
    assert from_json(to_json(code)) == code
    own = pretrained(weights, tmp_path)
    moved = [shutil.copytree(folder, tmp_path / f"moved_{i}")
             for i, folder in enumerate(own["geometry"]["weights"])]  # fmt: skip

    def identity():
        geometry = {"name": "da3", "weights": [str(folder) for folder in moved]}
        return make_encoder("unified", own | {"geometry": geometry}).identity

    assert identity() == make_encoder("unified", own).identity, "the same weights elsewhere"
    config = moved[1] / "config.json"
    config.write_text(config.read_text() + " ")
    assert identity() != make_encoder("unified", own).identity


def test_depth_anything_3_is_loaded_once_for_tower_and_geometry(weights, tmp_path, monkeypatch):
    built = []
    real = any_view_weights._built
    monkeypatch.setattr(
        any_view_weights, "_built", lambda *given: built.append(given) or real(*given)
    )
    beside = pretrained(weights, tmp_path)
    metric = beside["geometry"]["weights"][1]
    shared = beside | {"geometry": beside["geometry"] | {"name": "own", "weights": [metric]}}
    codes, loads = {}, {}
    for name, own in (("own", shared), ("da3", beside)):
        built.clear()
        encoder = make_encoder("unified", own)
        assert built == []
        loaded = encoder.load("cpu")
        loads[name] = len(built)
        codes[name] = encode_windows(loaded, clip(5), encoder.frames)
        is_tower = loaded.parts.geometry.any_view is loaded.model.geometry_tower
        assert is_tower == (name == "own")
    assert loads == {"own": 2, "da3": 3}, "tower and metric network, and the any-view one again"
    # the tower was not trained: it is the same network, and gives the same cameras to the bit
    assert codes["own"].cameras == codes["da3"].cameras
    assert codes["own"].objects == codes["da3"].objects
    assert codes["own"].provenance.config_sha256 != codes["da3"].provenance.config_sha256
    modules = [id(module) for module in modules_of(make_encoder("unified", shared).load("cpu"))]
    assert len(modules) == len(set(modules)), "none is compiled twice"


def test_the_own_tower_is_what_is_used_unless_another_is_named():
    assert UnifiedSettings().geometry == NamedPart("own")
    assert UnifiedSettings().geometry.wanted("geometry") == ("da3-metric-large",)


def test_an_encoder_without_a_tower_of_its_own_cannot_use_it(weights, tmp_path):
    own = pretrained(weights, tmp_path)
    geometry = {"name": "own", "weights": [own["geometry"]["weights"][1]]}
    parts = {"detector": own["detector"], "masks": own["masks"], "geometry": geometry}
    with pytest.raises(ConfigError, match="own is the network of encoder=unified"):
        make_encoder("prompted", parts)


def test_an_unknown_part_is_refused_by_its_setting(weights):
    with pytest.raises(ConfigError, match="masks: expected one of"):
        make_encoder("unified", settings(weights, masks={"name": "sam1"}))


@pytest.mark.skipif(not DATA, reason="needs SPATIALCODE_DATA")
@pytest.mark.slow
def test_the_job_encodes_real_videos(weights, tmp_path):
    videos = sorted(Path(DATA, "videos").glob("*.mp4"))
    own = [
        f"encoder.settings.{key}={json.dumps(value)}"
        for key, value in pretrained(weights, tmp_path).items()
    ]
    inputs = f"input=[{','.join(map(str, videos))}]"
    output = tmp_path / "out"
    common = [inputs, f"output={output}", "sampling.num_frames=6", "encoder.name=unified"]
    assert encode_main([*common, *own]) == 0
    codes = [from_row(row["code"]) for row in result_rows(str(output))]
    assert len(codes) == len(videos) == 2
    assert all(len(code.cameras) == 6 for code in codes)
    print([len(code.objects) for code in codes])
    assert any(code.objects for code in codes)
