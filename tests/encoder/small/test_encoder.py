"""The encoder as a whole, with a tiny untrained network: what must hold whatever it has learned."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from spatialcode.encoder.detections import Calibration
from spatialcode.encoder.maps import at_cells
from spatialcode.encoder.protocol import (
    ClipInput,
    FrameGeometry,
    FrameRequest,
    encode_windows,
)
from spatialcode.encoder.small.encoder import SmallSettings
from spatialcode.encoder.small.inference import (
    DenseRunner,
    FrameBatch,
    folded,
    network_size,
    resized,
    run_together,
    with_poses,
    without_gravity,
)
from spatialcode.encoder.small.model import SMALL_AREA_PX, ModelConfig, make_model
from spatialcode.encoder.small.stages import SmallStages, SpatialEncoder, assumed_intrinsics
from spatialcode.encoder.small.towers import TrunkConfig
from spatialcode.errors import EncodeError, SchemaError
from spatialcode.scene.schema import SpatialCode, VideoInfo
from spatialcode.scene.text import to_json
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import SyntheticClip
from spatialcode.workkey import EncoderIdentity

TINY = ModelConfig(TrunkConfig((8, 8, 16, 16), (0, 1, 1, 1), 1, 2), fusion_width=16)
K = np.array([[120.0, 0, 80], [0, 120, 60], [0, 0, 1]])


def tiny_model() -> torch.nn.Module:
    torch.manual_seed(1)
    model = make_model(TINY)
    with torch.no_grad():  # normalisation statistics that are not the identity
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.3)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
    return model.eval()


def stages(
    settings: SmallSettings | None = None, calibration: Calibration | None = None
) -> SmallStages:
    settings = settings or SmallSettings()
    calibration = settings.applied_to(calibration or Calibration.uncalibrated(0.0))
    identity = EncoderIdentity("tiny", "0" * 64, settings.sha256(calibration))
    return SmallStages(tiny_model(), identity, calibration, settings)


@pytest.fixture(scope="module")
def encoder() -> SpatialEncoder:
    return SpatialEncoder(stages())


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return make_clip(1_000_000_007, ClipConfig(num_frames=6))


def clip_input(clip: SyntheticClip, num_frames: int = 6, known: bool = True) -> ClipInput:
    times_s = tuple(float(t) for t in clip.times_s[:num_frames])
    height, width = clip.rgb.shape[1:3]
    video = VideoInfo("clip.mp4", "", times_s[-1], 10.0, 4 * width, 4 * height, times_s)
    poses = clip.T_world_camera[:num_frames] if known else None
    geometry = FrameGeometry(clip.K, poses)
    return ClipInput(video, clip.rgb[:num_frames], geometry, work_key="f" * 64)


def frames(num: int, seed: int = 0) -> FrameBatch:
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 255, (num, 120, 160, 3), dtype=np.uint8)
    return without_gravity(rgb, K)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_frames_maps_do_not_depend_on_its_company(bfloat16: bool) -> None:
    runner = DenseRunner(tiny_model(), "cpu", bfloat16, chunk_size=4)
    batch = frames(11)
    whole = runner(batch)
    for rows in (slice(0, 1), slice(3, 8), slice(9, 11)):
        part = FrameBatch(*(getattr(batch, f.name)[rows] for f in fields(FrameBatch)))
        alone = runner(part)
        for name, array in alone.arrays().items():
            np.testing.assert_array_equal(array, whole.arrays()[name][rows])


def test_frames_are_counted_as_they_pass() -> None:
    passed: list[int] = []
    DenseRunner(tiny_model(), "cpu", False, chunk_size=4)(frames(11), passed.append)
    assert passed == [4, 4, 3]


def test_clips_of_two_sizes_run_together_as_alone() -> None:
    runner = DenseRunner(tiny_model(), "cpu", False, chunk_size=4)
    wide = without_gravity(np.full((3, 104, 184, 3), 90, np.uint8), K)
    batches = {7: frames(3), 2: wide, 5: frames(2, seed=9)}
    made = run_together(runner, batches)
    assert made.keys() == batches.keys()
    for key, batch in batches.items():
        np.testing.assert_array_equal(made[key].depth_m, runner(batch).depth_m)
        np.testing.assert_array_equal(made[key].class_prob, runner(batch).class_prob)


def test_folded_normalisation_computes_the_same() -> None:
    model = tiny_model()
    batch = frames(2)
    inputs = [
        torch.from_numpy(batch.rgb),
        *(
            torch.from_numpy(np.ascontiguousarray(values, np.float32))
            for values in (batch.K, batch.up_camera, batch.camera_height_m, batch.quality)
        ),
    ]
    with torch.inference_mode():
        plain, fast = model(*inputs), folded(model)(*inputs)
    for name in (f.name for f in fields(plain) if f.name != "kinds"):
        a, b = getattr(plain, name), getattr(fast, name)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded(model).modules())


def test_poses_tell_gravity_and_height() -> None:
    T = np.eye(4)[None].copy()
    T[0, :3, :3] = [[1, 0, 0], [0, 0.6, 0.8], [0, -0.8, 0.6]]  # looks half up
    T[0, 2, 3] = 1.4
    batch = with_poses(np.zeros((1, 120, 160, 3), np.uint8), K, T, exact=True)
    np.testing.assert_allclose(batch.up_camera[0], (0, -0.8, 0.6))
    assert batch.camera_height_m[0] == pytest.approx(1.4)
    assert batch.quality[0] == 1.0
    assert with_poses(batch.rgb, K, T, exact=False).quality[0] == 0.5


def test_network_size_keeps_area_and_aspect() -> None:
    assert network_size(640, 480, SMALL_AREA_PX) == (160, 120)
    for width, height in ((1920, 1080), (1080, 1920), (1024, 576), (333, 777)):
        w, h = network_size(width, height, SMALL_AREA_PX)
        assert w % 8 == h % 8 == 0
        assert w * h == pytest.approx(160 * 120, rel=0.12)
        assert w / h == pytest.approx(width / height, rel=0.12)


def test_resizing_moves_the_pinhole_with_the_pixels() -> None:
    rgb = np.zeros((1, 480, 640, 3), np.uint8)
    small, K_small = resized(
        rgb, np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), SMALL_AREA_PX
    )
    assert small.shape == (1, 120, 160, 3)
    np.testing.assert_allclose(K_small, [[125, 0, 80], [0, 125, 60], [0, 0, 1]])


def test_assumed_intrinsics_by_hand() -> None:
    # 90 degrees across 200 pixels: the half width is the focal length
    np.testing.assert_allclose(
        assumed_intrinsics(200, 100, 90.0), [[100, 0, 100], [0, 100, 50], [0, 0, 1]]
    )


def test_a_code_holds_the_given_cameras_in_pixels_of_the_video(
    encoder: SpatialEncoder, clip: SyntheticClip
) -> None:
    code = encoder.encode(clip_input(clip))
    assert code.scale.source == "given"
    assert code.provenance.work_key == "f" * 64
    assert code.provenance.encoder == "tiny"
    assert len(code.cameras) == 6
    for n, camera in enumerate(code.cameras):
        np.testing.assert_allclose(camera.T_world_camera, clip.T_world_camera[n], atol=1e-5)
        assert camera.fx_px == pytest.approx(4 * clip.K[0, 0], rel=1e-5)
        assert camera.cy_px == pytest.approx(4 * clip.K[1, 2], rel=1e-5)


def test_batches_give_what_single_clips_give(encoder: SpatialEncoder, clip: SyntheticClip) -> None:
    clips = [clip_input(clip), clip_input(clip, 3, known=False), clip_input(clip, 5)]
    together = encoder.encode_batch(clips)
    for item, code in zip(clips, together, strict=True):
        assert isinstance(code, SpatialCode)
        assert to_json(encoder.encode(item)) == to_json(code)


def test_a_clip_that_fails_disturbs_no_other(encoder: SpatialEncoder, clip: SyntheticClip) -> None:
    good = clip_input(clip)
    empty_video = replace(good.video, sampled_s=())
    empty = ClipInput(empty_video, clip.rgb[:0], FrameGeometry(clip.K))
    first, second, third = encoder.encode_batch([good, empty, good])
    assert isinstance(second, EncodeError)
    assert "at least one frame" in str(second)
    assert isinstance(first, SpatialCode)
    assert first == third
    with pytest.raises(EncodeError, match="at least one frame"):
        encoder.encode(empty)


def test_one_frame_is_a_clip(encoder: SpatialEncoder, clip: SyntheticClip) -> None:
    code = encoder.encode(clip_input(clip, 1, known=False))
    (camera,) = code.cameras
    x, y = camera.T_world_camera[0][3], camera.T_world_camera[1][3]
    assert (x, y) == pytest.approx((0, 0), abs=1e-6), "the origin is under the first camera"


def test_given_gravity_is_used(encoder: SpatialEncoder, clip: SyntheticClip) -> None:
    up = np.tile(np.array([0.1, -0.98, -0.17]), (6, 1))
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    told = replace(clip_input(clip, known=False), geometry=FrameGeometry(clip.K, up_camera=up))
    (free, held) = encoder.encode_batch([clip_input(clip, known=False), told])
    assert isinstance(free, SpatialCode)
    assert isinstance(held, SpatialCode)
    in_camera = np.array(held.cameras[0].T_world_camera)[2, :3]
    own = np.array(free.cameras[0].T_world_camera)[2, :3]
    assert np.linalg.norm(in_camera - up[0]) < np.linalg.norm(own - up[0])


def test_a_camera_that_stands_has_one_pose_and_the_code_says_so(
    encoder: SpatialEncoder, clip: SyntheticClip
) -> None:
    walking = encoder.encode(clip_input(clip, known=False))
    assert len({camera.T_world_camera for camera in walking.cameras}) == 6
    given = clip_input(clip, known=False)
    standing = encoder.encode(replace(given, rgb=np.repeat(given.rgb[:1], 6, axis=0)))
    assert len({camera.T_world_camera for camera in standing.cameras}) == 1
    assert "stood still" in standing.warnings[0]
    # Poses that are given are not audited.
    assert encoder.encode(clip_input(clip)).warnings == ()


def test_a_path_that_cannot_be_checked_lowers_the_confidence_in_scale(clip: SyntheticClip) -> None:
    steps = stages()
    prepared = steps.prepare(clip_input(clip, known=False))
    (maps,) = steps.maps([prepared], [None], exact=False)
    path = clip.T_world_camera
    maps = replace(maps, depth_log_scale=np.full_like(maps.depth_log_scale, 0.2))
    assert prepared.audit is not None
    unchecked = replace(prepared, audit=replace(prepared.audit, motion="full", pairs=()))
    checked = steps.code(replace(prepared, audit=None), maps, path)
    doubted = steps.code(unchecked, maps, path)
    # Laplace scale 0.2, deviation 0.283: within ln 1.15 with a probability of 0.379, and of 0.074
    # for what a liar says
    assert checked.scale.source == "metric-depth"
    assert checked.scale.confidence == pytest.approx(0.85 * 0.379 + 0.15 * 0.074, abs=0.005)
    assert doubted.scale.confidence == pytest.approx(0.5 * checked.scale.confidence)
    assert doubted.warnings == ("Too few points could be followed to check the camera path.",)


def test_what_decides_the_code_decides_its_key() -> None:
    plain = stages(SmallSettings(), Calibration.uncalibrated())
    again = stages(SmallSettings(), Calibration.uncalibrated())
    strict = Calibration.uncalibrated(0.9)
    assert plain.identity == again.identity
    others = [
        stages(SmallSettings(), strict),
        stages(SmallSettings(assumed_hfov_deg=80.0), Calibration.uncalibrated()),
    ]
    assert len({one.identity.config_sha256 for one in (plain, *others)}) == 3
    # asking for a threshold is as having been fitted with it
    asked = stages(SmallSettings(min_score=0.9), Calibration.uncalibrated())
    assert asked.identity == others[0].identity


def test_a_score_that_is_asked_for_decides_what_is_kept(clip: SyntheticClip) -> None:
    everything, best = (
        SpatialEncoder(stages(SmallSettings(min_score=score))).encode(clip_input(clip))
        for score in (0.0, 0.9)
    )
    scores = [item.score for item in everything.objects]
    assert 0 < sum(score >= 0.9 for score in scores) < len(scores)
    assert len(best.objects) == sum(score >= 0.9 for score in scores)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("window", "overlap"), [(None, 0), (6, 0), (2, 0), (4, 1), (3, 2)])
def test_a_session_gives_what_a_batch_gives(
    encoder: SpatialEncoder, clip: SyntheticClip, known: bool, window: int | None, overlap: int
) -> None:
    whole = clip_input(clip, known=known)
    request = FrameRequest(window=window, overlap=overlap)
    fed = list(whole.windows(request))
    assert sum(len(one.fresh().rgb) for one in fed) == 6
    assert all(one.num_repeated == overlap for one in fed[1:])
    assert [one.start + one.num_repeated for one in fed] == [
        sum(len(before.fresh().rgb) for before in fed[:i]) for i in range(len(fed))
    ]
    assert encode_windows(encoder, whole, request) == encoder.encode(whole)


def test_a_session_without_frames_or_with_changing_knowledge_has_no_code(
    encoder: SpatialEncoder, clip: SyntheticClip
) -> None:
    whole = clip_input(clip)
    with pytest.raises(EncodeError, match="at least one frame"):
        encoder.session(whole.header).finish()
    first, second = whole.windows(FrameRequest(window=3))
    for wrong, message in (
        (FrameGeometry(clip.K), "T_world_camera is given for some"),
        (FrameGeometry(2 * clip.K, second.geometry.T_world_camera), "share their intrinsics"),
    ):
        session = encoder.session(whole.header)
        session.push(first)
        session.push(replace(second, geometry=wrong))
        with pytest.raises(EncodeError, match=message):
            session.finish()


def test_given_depth_takes_the_place_of_the_networks(clip: SyntheticClip) -> None:
    own = stages()
    free = own.prepare(clip_input(clip, known=False))
    depth = np.where(clip.depth_m > 3.0, np.nan, clip.depth_m)
    told = replace(free, geometry=replace(free.geometry, depth_m=depth))
    (without,), (maps,) = own.maps([free], [None], True), own.maps([told], [None], True)
    given = at_cells(depth, maps.depth_m.shape[1:])
    known = np.isfinite(given)
    assert 0.1 < known.mean() < 0.99
    np.testing.assert_allclose(maps.depth_m[known], given[known], rtol=1e-6)
    np.testing.assert_array_equal(maps.depth_m[~known], without.depth_m[~known])
    np.testing.assert_array_equal(maps.vote_level_m, without.vote_level_m)
    first, second = (own.path(one, m) for one, m in ((free, without), (told, maps)))
    assert not np.allclose(first, second)


def test_shares_of_the_work_rise_to_one(encoder: SpatialEncoder, clip: SyntheticClip) -> None:
    shares: list[float] = []
    clips = [clip_input(clip), clip_input(clip, known=False)]
    encoder.encode_batch(clips, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert shares[0] < 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rgb": np.zeros((6, 120, 160, 3), np.float32)}, "uint8"),
        ({"rgb": np.zeros((5, 120, 160, 3), np.uint8)}, "6 frames"),
        ({"geometry": FrameGeometry(np.eye(4))}, r"FrameGeometry\.K"),
        (
            {"geometry": FrameGeometry(T_world_camera=np.full((6, 4, 4), np.nan))},
            r"FrameGeometry\.T_world_camera",
        ),
        (
            {"geometry": FrameGeometry(depth_m=np.ones((5, 8, 8)))},
            r"FrameGeometry\.depth_m.*\(6, h, w\)",
        ),
    ],
)
def test_a_clip_that_does_not_fit_itself_is_refused(
    clip: SyntheticClip, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        replace(clip_input(clip), **change)
