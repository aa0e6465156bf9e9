"""The prompted encoder with truth in the place of its networks, on rendered rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from spatialcode.encoder.geometry.protocol import DepthNoise, WindowGeometry
from spatialcode.encoder.in_turn import encode_source
from spatialcode.encoder.parsing.oracle import OracleMasks, TrueInstances
from spatialcode.encoder.parsing.protocol import Detections, FrameMasks
from spatialcode.encoder.parts import EncoderParts
from spatialcode.encoder.prompted.encoder import PromptedSettings
from spatialcode.encoder.prompted.session import PromptedEncoding
from spatialcode.encoder.protocol import (
    ClipInput,
    FrameGeometry,
    FrameRequest,
    Window,
    encode_windows,
)
from spatialcode.errors import ConfigError, DeviceMemoryError, EncodeError
from spatialcode.evaluation.oracle_parts import OracleOptions, oracle_encoder
from spatialcode.evaluation.room import clip_of
from spatialcode.scene.schema import SceneObject, SpatialCode
from spatialcode.streaming import ReadAhead
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import SyntheticClip


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return make_clip(1_600_000_000, ClipConfig(num_frames=16, width_px=240, height_px=180))


def frames_of(clip: SyntheticClip) -> ClipInput:
    return clip_of(clip.rgb, clip.times_s, FrameGeometry(clip.K))


def encoded(clip: SyntheticClip, encoding: PromptedEncoding) -> SpatialCode:
    return encode_windows(encoding, frames_of(clip), encoding.frames)


def with_parts(encoding: PromptedEncoding, **parts: object) -> PromptedEncoding:
    changed = replace(encoding.parts, **parts)
    return PromptedEncoding(changed, encoding.settings, encoding.identity, encoding.frames)


@pytest.mark.parametrize("noisy", [False, True])
def test_what_is_seen_becomes_boxes_where_things_are(clip: SyntheticClip, noisy: bool) -> None:
    code = encoded(clip, oracle_encoder(clip, OracleOptions(is_noisy=noisy)))
    assert len(code.cameras) == 16
    large = [i for i in clip.code.objects if i.num_observations >= 4 and min(i.size_m) > 0.25]
    assert len(large) >= 3

    def off_m(truth: SceneObject) -> float:
        same = [item for item in code.objects if item.label == truth.label]
        away = [np.linalg.norm(np.subtract(item.center_m, truth.center_m)) for item in same]
        return float(min(away, default=np.inf))

    # Exact parts lose nothing; of what noisy ones show, one thing may be seen too badly.
    near = sum(off_m(truth) < (0.25 if noisy else 0.12) for truth in large)
    assert near >= len(large) - noisy


@pytest.mark.parametrize("noisy", [False, True])
def test_the_room_is_in_the_code(clip: SyntheticClip, noisy: bool) -> None:
    code = encoded(clip, oracle_encoder(clip, OracleOptions(is_noisy=noisy)))
    assert code.warnings == ()
    assert code.room is not None
    assert code.room.area_m2 == pytest.approx(clip.room_area_m2, rel=0.1)
    assert code.room.floor_z_m == pytest.approx(0.0, abs=0.05)


def test_things_are_no_walls_and_a_world_that_floats_has_no_room(clip: SyntheticClip) -> None:
    encoding = oracle_encoder(clip, OracleOptions())
    named = encoded(clip, encoding).room
    unnamed = replace(encoding.settings, words=("unicorn",))
    blank = PromptedEncoding(encoding.parts, unnamed, encoding.identity, encoding.frames)
    assert encoded(clip, blank).room != named
    floats = with_parts(encoding, geometry=_Told(encoding.parts.geometry, is_grounded=False))
    code = encoded(clip, floats)
    assert code.room is None
    assert "room is not told" in code.warnings[-1]


def test_one_window_gives_what_many_give(clip: SyntheticClip) -> None:
    whole = oracle_encoder(clip, OracleOptions())
    one = encoded(clip, whole)
    for window, overlap in ((5, 2), (4, 0), (16, 3)):
        request = FrameRequest(window=window, overlap=overlap)
        many = encode_windows(whole, frames_of(clip), request)
        assert [i.id for i in many.objects] == [i.id for i in one.objects]
        for a, b in zip(one.objects, many.objects, strict=True):
            np.testing.assert_allclose(a.center_m, b.center_m, atol=0.01)
            np.testing.assert_allclose(a.size_m, b.size_m, atol=0.01)
        assert many.cameras == one.cameras
        assert many.room == one.room


def test_batches_change_nothing_and_a_clip_that_fails_disturbs_no_other(
    clip: SyntheticClip,
) -> None:
    encoding = oracle_encoder(clip, OracleOptions())
    sound = frames_of(clip)
    empty = replace(sound, rgb=sound.rgb[:0], video=replace(sound.video, sampled_s=()))
    shares: list[float] = []
    first, failed, last = encoding.encode_batch([sound, empty, sound], shares.append)
    assert isinstance(failed, EncodeError)
    assert first == last == encoded(clip, encoding)
    assert shares == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_nothing_that_is_asked_for_is_a_code_without_objects(clip: SyntheticClip) -> None:
    options = OracleOptions()
    fusion = replace(options.fusion, words=("unicorn",))
    code = encoded(clip, oracle_encoder(clip, replace(options, fusion=fusion)))
    assert (code.objects, len(code.cameras)) == ((), 16)
    named = replace(options.fusion, words=("couch", "chair"))
    found = encoded(clip, oracle_encoder(clip, replace(options, fusion=named)))
    assert {item.label for item in found.objects} <= {"sofa", "chair"}


class _WithMirror:
    """A mask source that has a mirror around the first thing of every frame, as its twin has it."""

    edge_sigma_px = 0.0

    def __init__(self, part: object) -> None:
        self.part = part

    def session(self) -> _WithMirror:
        return _WithMirror(self.part.session())  # type: ignore[attr-defined]

    def masks(self, window: Window, found: Mapping[int, Detections]) -> dict[int, FrameMasks]:
        out = {}
        for row, frame in self.part.masks(window, found).items():  # type: ignore[attr-defined]
            mirror = np.ones((1, *window.rgb.shape[1:3]), bool)
            out[row] = FrameMasks(
                np.concatenate([frame.masks, mirror]), (*frame.labels, "mirror"),
                np.append(frame.scores, 1.0), np.append(frame.tracks, -1),
            )  # fmt: skip
        return out


def test_what_a_mirror_shows_is_not_in_the_room(clip: SyntheticClip) -> None:
    options = OracleOptions()
    fusion = replace(options.fusion, words=("bed", "pillow", "bookshelf"))
    encoding = oracle_encoder(clip, replace(options, fusion=fusion))
    # a mirror that fills the picture a metre before the camera: nothing stands before that
    near = replace(clip, depth_m=np.full_like(clip.depth_m, 1.0))
    wall = oracle_encoder(near, replace(options, fusion=fusion))
    flat = with_parts(encoding, geometry=wall.parts.geometry)
    assert {item.label for item in encoded(clip, flat).objects} >= {"bed", "pillow"}
    mirrored = with_parts(flat, masks=_WithMirror(encoding.parts.masks))
    assert encoded(clip, mirrored).objects == ()


def test_mirrors_and_people_are_always_asked_for(clip: SyntheticClip) -> None:
    asked: list[tuple[str, ...]] = []

    class Noted:
        def detect(self, window: Window, rows: list[int], labels: tuple[str, ...]) -> object:
            asked.append(labels)
            return encoding.parts.detector.detect(window, rows, labels)

    options = OracleOptions()
    fusion = replace(options.fusion, words=("sofa",))
    encoding = oracle_encoder(clip, replace(options, fusion=fusion))
    encoded(clip, with_parts(encoding, detector=Noted()))
    assert set(asked) == {("sofa", "mirror", "person")}


class _Told:
    """A geometry source that changes what another one says."""

    def __init__(self, part: object, **changes: object) -> None:
        self.part, self.changes = part, changes

    def session(self, clip: object) -> _Told:
        return _Told(self.part.session(clip), **self.changes)  # type: ignore[attr-defined]

    def settled(self) -> None:
        return None

    def geometry(self, window: Window) -> WindowGeometry:
        return replace(self.part.geometry(window), **self.changes)  # type: ignore[attr-defined]


def test_depth_that_is_nowhere_known_gives_cameras_and_no_objects(clip: SyntheticClip) -> None:
    encoding = oracle_encoder(clip, OracleOptions())
    nothing = np.full(clip.depth_m.shape, np.nan, np.float32)
    blind = with_parts(encoding, geometry=_Told(encoding.parts.geometry, depth_m=nothing))
    code = encoded(clip, blind)
    assert (code.objects, len(code.cameras)) == ((), 16)


def test_a_cut_keeps_the_longest_part_and_is_warned_of(clip: SyntheticClip) -> None:
    encoding = oracle_encoder(clip, OracleOptions())
    cut = with_parts(encoding, geometry=_Told(encoding.parts.geometry, cuts=(5,)))
    code = encoded(clip, cut)
    warning = code.warnings[0]
    assert f"cut at {clip.times_s[5]:.1f} s" in warning
    assert f"begins at {clip.times_s[5]:.1f} s" in warning
    assert code.objects
    assert min(item.first_seen_s for item in code.objects) >= clip.times_s[5]


def test_what_a_cut_parts_has_no_say_in_what_comes_after(clip: SyntheticClip) -> None:
    encoding = oracle_encoder(clip, OracleOptions())
    noise = DepthNoise(frame=0.05, pixel=0.02, edge_px=3.0)
    found = []
    for before in (1.0, 1.2):
        depth_m = clip.depth_m.copy()
        depth_m[:3] *= before
        told = _Told(encoding.parts.geometry, cuts=(3,), depth_m=depth_m, error=noise)
        found.append(encoded(clip, with_parts(encoding, geometry=told)).objects)
    assert found[0]
    assert found[0] == found[1]


def test_each_frames_own_lens_is_in_the_code(clip: SyntheticClip) -> None:
    encoding = oracle_encoder(clip, OracleOptions())
    K = np.tile(clip.K, (16, 1, 1))
    K[:, 0, 0] += np.arange(16)
    code = encoded(clip, with_parts(encoding, geometry=_Told(encoding.parts.geometry, K=K)))
    np.testing.assert_allclose(np.diff([camera.fx_px for camera in code.cameras]), 1, atol=1e-3)


def test_frames_that_disagree_in_scale_are_brought_to_one(clip: SyntheticClip) -> None:
    """Every other frame is 15 % too far: fused without alignment, things grow by that much."""
    encoding = oracle_encoder(clip, OracleOptions())
    noise = DepthNoise(frame=0.1)
    depth_m = clip.depth_m * np.where(np.arange(16) % 2, np.exp(0.07), np.exp(-0.07))[:, None, None]
    told = _Told(encoding.parts.geometry, depth_m=depth_m.astype(np.float32), error=noise)
    aligned = encoded(clip, with_parts(encoding, geometry=told))
    exact = {item.id: item for item in encoded(clip, encoding).objects}
    seen_often = [item for item in aligned.objects if item.num_observations >= 8]
    assert seen_often
    for item in seen_often:
        off_m = np.linalg.norm(np.subtract(item.center_m, exact[item.id].center_m))
        assert off_m < 0.06, item.id


def test_confidence_outlines_and_settings_reach_the_lift(clip: SyntheticClip) -> None:
    encoding = oracle_encoder(clip, OracleOptions())
    assert encoded(clip, encoding).objects
    doubted = np.zeros(clip.depth_m.shape, np.float32)
    blind = with_parts(encoding, geometry=_Told(encoding.parts.geometry, confidence=doubted))
    assert encoded(clip, blind).objects == ()
    # Outlines that may be off by the whole picture show no end of anything.
    vague = OracleMasks(TrueInstances(clip.instance, clip.labels))
    vague.edge_sigma_px = 240.0
    assert encoded(clip, with_parts(encoding, masks=vague)).objects == ()
    lifting = replace(encoding.settings.lifting, max_depth_m=0.2)
    near = replace(OracleOptions().fusion, lifting=lifting)
    assert encoded(clip, oracle_encoder(clip, OracleOptions(fusion=near))).objects == ()


def test_noise_is_upon_the_parts_that_it_is_said_to_be_upon(clip: SyntheticClip) -> None:
    window = Window(clip.rgb, clip.times_s)
    header = frames_of(clip).header
    exact = oracle_encoder(clip, OracleOptions()).parts
    noisy = oracle_encoder(clip, OracleOptions(is_noisy=True, switched=1.0)).parts
    true, told = (p.geometry.session(header).geometry(window) for p in (exact, noisy))
    assert (true.error, told.error) == (DepthNoise(), DepthNoise(0.05, 0.02, 3.0))
    of_frame = np.nanmedian(np.log(told.depth_m / true.depth_m), axis=(1, 2))
    assert 0.03 < np.std(of_frame) < 0.08  # 5 % by sixteen draws
    found = dict(enumerate(exact.detector.detect(window, range(16), clip.labels)))
    outlined, shifted = (p.masks.session().masks(window, found) for p in (exact, noisy))
    assert any((outlined[k].masks != shifted[k].masks).any() for k in outlined)
    assert any((outlined[k].tracks != shifted[k].tracks).any() for k in outlined)
    assert noisy.masks.edge_sigma_px == 1.0
    lost = oracle_encoder(clip, OracleOptions(missed=1.0)).parts.detector
    assert not any(d.labels for d in lost.detect(window, range(16), clip.labels))


def test_a_rough_path_and_an_unknown_unit_are_warned_of(clip: SyntheticClip) -> None:
    encoding = oracle_encoder(clip, OracleOptions())
    geometry = encoding.parts.geometry
    # 3 px of a picture 240 px wide are 8 px of one 640 px wide
    rough = encoded(clip, with_parts(encoding, geometry=_Told(geometry, reprojection_px=3.0)))
    assert "8.0 pixels" in rough.warnings[0]
    assert rough.scale.confidence == pytest.approx(0.8 * 1.5 / 8)
    free = encoded(clip, with_parts(encoding, geometry=_Told(geometry, is_metric=False)))
    assert "no known unit" in free.warnings[0]
    assert free.scale.confidence < 0.1
    given = replace(frames_of(clip), geometry=FrameGeometry(clip.K, clip.T_world_camera))
    assert encode_windows(encoding, given, encoding.frames).scale.source == "given"


class _Cramped:
    """A mask source with room for so many masks at once; it counts how often it was tried."""

    edge_sigma_px = 0.0

    def __init__(self, part: OracleMasks, room: int, at_once: int, tried: list[int]) -> None:
        self.part, self.room, self.at_once, self.tried = part, room, at_once, tried

    def session(self) -> _Cramped:
        return self

    def halved(self) -> _Cramped | None:
        at_once = self.at_once // 2
        return _Cramped(self.part, self.room, at_once, self.tried) if at_once else None

    def masks(self, window: Window, detections: Mapping[int, Detections]) -> dict[int, FrameMasks]:
        self.tried.append(len(window.rgb) * self.at_once)
        if self.tried[-1] > self.room:
            raise DeviceMemoryError(f"{self.tried[-1]} masks at once")
        return self.part.session().masks(window, detections)


@pytest.mark.parametrize(
    ("room", "tried"), [(64, [128, 64]), (16, [128, 64, 32, 16]), (4, [128, 64, 32, 16, 8, 4])]
)
def test_where_memory_ends_half_the_window_is_tried_then_half_the_objects(
    clip: SyntheticClip, room: int, tried: list[int]
) -> None:
    encoding = oracle_encoder(clip, OracleOptions())
    seen: list[int] = []
    cramped = _Cramped(OracleMasks(TrueInstances(clip.instance, clip.labels)), room, 8, seen)
    small = with_parts(encoding, masks=cramped)
    small = small.with_less(small.parts, FrameRequest(window=16, overlap=4))
    (code,) = small.encode_batch([frames_of(clip)])
    assert isinstance(code, SpatialCode)
    assert list(dict.fromkeys(seen)) == tried
    ids = [item.id for item in encoded(clip, encoding).objects]
    assert [item.id for item in code.objects] == ids
    # A clip that is read as it is encoded begins anew like one that is there.
    seen.clear()
    with ReadAhead(frames_of(clip)) as ahead:
        assert encode_source(small, ahead, small.frames) == code
    assert list(dict.fromkeys(seen)) == tried
    # What does not fit at all is an error of its clip alone.
    none = with_parts(encoding, masks=_Cramped(cramped.part, 0, 8, []))
    (failed,) = none.encode_batch([frames_of(clip)])
    assert isinstance(failed, DeviceMemoryError)


def test_a_session_without_frames_has_no_code(clip: SyntheticClip) -> None:
    encoding = oracle_encoder(clip, OracleOptions())
    with pytest.raises(EncodeError, match="at least one frame"):
        encoding.session(frames_of(clip).header).finish()


def test_noise_follows_from_seed_and_frame_and_costs_little_when_boxes_are_missed(
    clip: SyntheticClip,
) -> None:
    options = OracleOptions(is_noisy=True, missed=0.1, switched=0.05)
    first, again = (encoded(clip, oracle_encoder(clip, options)) for _ in range(2))
    assert first == again
    assert isinstance(oracle_encoder(clip, options).parts, EncoderParts)
    other = encoded(clip, oracle_encoder(replace(clip, seed=7), options))
    assert other != first


def test_own_poses_come_from_the_pictures(clip: SyntheticClip) -> None:
    own = encoded(clip, oracle_encoder(clip, OracleOptions(parts=("masks", "depth"))))
    true = encoded(clip, oracle_encoder(clip, OracleOptions()))
    off_m = [np.linalg.norm(a.matrix()[:3, 3] - b.matrix()[:3, 3])
             for a, b in zip(own.cameras, true.cameras, strict=True)]  # fmt: skip
    assert 0 < max(off_m) < 0.3


def test_settings_name_their_parts_and_refuse_what_does_not_fit() -> None:
    best = PromptedSettings().completed("prompted-best")
    assert best.masks is not None
    assert best.masks.weights == ("sam2.1-large",)
    usual = PromptedSettings().completed("prompted")
    assert (usual.detector.name, usual.masks.name, usual.geometry.name) == (  # type: ignore[union-attr]
        "grounding-dino", "sam2-image", "da3",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="overlap"):
        PromptedSettings(window=4, overlap=4)
