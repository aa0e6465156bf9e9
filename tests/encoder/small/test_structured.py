"""Where the small encoder's path comes from a structure, and where it does not.

The structure here is the truth of a rendered clip, in another unit and another world: what the
encoder makes of it can then be compared with where the cameras were.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spatialcode.encoder.odometry.audit import PathAudit
from spatialcode.encoder.protocol import ClipInput
from spatialcode.encoder.small import stages as small_stages
from spatialcode.encoder.small.encoder import SmallEncoder, SmallSettings
from spatialcode.encoder.small.stages import SpatialEncoder
from spatialcode.encoder.structure.frames import DenseFrames
from spatialcode.encoder.structure.settings import StructureSettings
from spatialcode.encoder.structure.structure import Structure, StructureError
from spatialcode.scene.lens import Lens
from spatialcode.scene.schema import SpatialCode
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import SyntheticClip
from tests.encoder.small.test_encoder import clip_input, stages
from tests.encoder.structure.rooms import similarity_error

TURN = Rotation.from_rotvec((0.3, -1.0, 2.0))


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return make_clip(1_000_000_007, ClipConfig(num_frames=8))


def true_structure(clip: SyntheticClip) -> Structure:
    """Of all frames, of which each sees forty points at its own depth; in units of 4 m."""
    num, (height, width) = len(clip.rgb), clip.rgb.shape[1:3]
    row, column = np.meshgrid(range(10, height, 20), range(10, width, 20), indexing="ij")
    pixel = np.stack((column.ravel(), row.ravel()), 1) + 0.5
    rays = np.column_stack((pixel, np.ones(len(pixel)))) @ np.linalg.inv(clip.K).T
    depth = clip.depth_m[:, row.ravel(), column.ravel()].astype(float)
    camera = rays[None] * depth[..., None]
    T = clip.T_world_camera
    points = np.einsum("nij,nmj->nmi", T[:, :3, :3], camera) + T[:, None, :3, 3]
    moved = T.copy()
    moved[:, :3, :3] = TURN.as_matrix() @ T[:, :3, :3]
    moved[:, :3, 3] = 0.25 * TURN.apply(T[:, :3, 3]) + (7, 8, 9)
    return Structure(
        times_s=np.asarray(clip.times_s, float),
        T_world_camera=moved,
        registered=1.0,
        K=clip.K,
        size_px=(width, height),
        radial=0.0,
        focal_confidence=0.9,
        points=0.25 * TURN.apply(points.reshape(-1, 3)) + (7, 8, 9),
        point_error_px=np.zeros(points.shape[0] * points.shape[1]),
        track_point=np.arange(num * len(pixel)),
        track_frame=np.repeat(np.arange(num), len(pixel)),
        track_px=np.tile(pixel, (num, 1)),
        error_px=0.1,
        parallax_deg=10.0,
        mapper="global",
    )


class Found:
    """Stands for structure from motion: remembers what it was asked, gives one answer."""

    def __init__(self, answer: Structure | StructureError) -> None:
        self.answer, self.asked = answer, list[tuple[DenseFrames, Any, StructureSettings]]()

    def __call__(self, frames: DenseFrames, K: Any, settings: StructureSettings) -> Structure:
        self.asked.append((frames, K, settings))
        if isinstance(self.answer, StructureError):
            raise self.answer
        return self.answer


def encoded(
    clip: ClipInput, found: Found, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> SpatialCode:
    monkeypatch.setattr(small_stages, "structure_of", found)
    return SpatialEncoder(stages(SmallSettings(**settings))).encode(clip)


def places(code: SpatialCode) -> np.ndarray:
    return np.stack([camera.matrix()[:3, 3] for camera in code.cameras])


def unposed(clip: SyntheticClip, lens: bool = False) -> ClipInput:
    given = clip_input(clip, 8, known=False)
    return given if lens else replace(given, geometry=replace(given.geometry, K=None))


def test_the_structure_s_cameras_and_lens_are_those_of_the_code(
    clip: SyntheticClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Found(true_structure(clip))
    code = encoded(unposed(clip), found, monkeypatch, path="structure")
    ((frames, K, _),) = found.asked
    assert frames.gray.shape == (8, 120, 160)  # its own, for want of denser ones
    assert K is None
    assert not any("structure" in warning for warning in code.warnings)
    assert similarity_error(places(code), clip.T_world_camera[:, :3, 3]) < 1e-6
    assert code.cameras[0].fx_px == pytest.approx(4 * clip.K[0, 0])
    fast = encoded(unposed(clip), found, monkeypatch, path="fast")
    assert len(found.asked) == 1
    assert similarity_error(places(fast), clip.T_world_camera[:, :3, 3]) > 0.01
    assert fast.cameras[0].fx_px == pytest.approx(640 / 2 / np.tan(np.radians(32.5)), rel=1e-3)


def test_metres_are_those_of_the_network_s_depth(
    clip: SyntheticClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = unposed(clip, lens=True)
    depth = replace(given.geometry, depth_m=2 * clip.depth_m)
    doubled = replace(given, geometry=depth)
    code = encoded(doubled, Found(true_structure(clip)), monkeypatch, path="structure")
    true = np.linalg.norm(np.diff(clip.T_world_camera[:, :3, 3], axis=0), axis=1).sum()
    found = np.linalg.norm(np.diff(places(code), axis=0), axis=1).sum()
    assert found == pytest.approx(2 * true, rel=0.05)


def test_denser_frames_and_a_known_lens_are_handed_on(
    clip: SyntheticClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = DenseFrames(np.zeros((15, 240, 320), np.uint8), np.linspace(0, 1, 15))
    found = Found(true_structure(clip))
    settings = StructureSettings(max_seconds=7.0)
    given = replace(unposed(clip, lens=True), dense=dense)
    encoded(given, found, monkeypatch, path="structure", structure=settings)
    ((frames, K, asked),) = found.asked
    assert frames is dense
    np.testing.assert_allclose(K, np.diag([2, 2, 1]) @ clip.K, rtol=1e-6)
    assert asked is settings


def test_a_failure_is_a_warning_and_the_fast_path(
    clip: SyntheticClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Found(StructureError("its process died of SIGKILL"))
    code = encoded(unposed(clip), failed, monkeypatch, path="structure")
    assert "structure from motion gave none: its process died of SIGKILL." in code.warnings[0]
    fast = encoded(unposed(clip), failed, monkeypatch, path="fast")
    np.testing.assert_array_equal(places(code), places(fast))
    assert code.cameras[0].fx_px == fast.cameras[0].fx_px


def test_a_structure_that_misses_what_was_followed_is_refused(
    clip: SyntheticClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = true_structure(clip)
    T = true.T_world_camera.copy()
    T[:, :3, :3] = T[::-1, :3, :3]  # looks where it did not
    wrong = Found(replace(true, T_world_camera=T))
    settings = StructureSettings(max_error_px=0.5)
    code = encoded(unposed(clip), wrong, monkeypatch, path="structure", structure=settings)
    assert "misses points followed by" in code.warnings[0]


def test_auto_asks_only_where_the_network_doubts_its_depth(
    clip: SyntheticClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Found(true_structure(clip))
    for min_doubt, num_asked in ((1e6, 0), (0.0, 1)):
        settings = StructureSettings(min_depth_doubt=min_doubt)
        encoded(unposed(clip), found, monkeypatch, structure=settings)
        assert len(found.asked) == num_asked


@pytest.mark.parametrize("motion", ["still", "rotation"])
def test_a_camera_that_went_nowhere_is_not_asked_about(
    motion: Any, clip: SyntheticClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = PathAudit(motion, (), clip.K, 160)
    monkeypatch.setattr(small_stages, "audit_path", lambda *_: audit)
    found = Found(true_structure(clip))
    code = encoded(unposed(clip), found, monkeypatch, path="structure")
    assert found.asked == []
    assert np.ptp(places(code), axis=0).max() < 1e-9


def test_given_poses_stay_as_they_are(clip: SyntheticClip, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found(true_structure(clip))
    code = encoded(clip_input(clip, 8), found, monkeypatch, path="structure")
    assert found.asked == []
    np.testing.assert_allclose(places(code), clip.T_world_camera[:, :3, 3], atol=1e-6)


def test_dense_frames_are_asked_for_unless_the_path_is_fast() -> None:
    def wanted(**settings: Any) -> int | None:
        return SmallEncoder("small", SmallSettings(**settings)).frames.max_dense

    assert wanted() == StructureSettings().max_frames
    assert wanted(path="structure", structure=StructureSettings(max_frames=50)) == 50
    assert wanted(path="fast") is None


def test_a_new_lens_is_looked_through_before_metres_are_taken(
    clip: SyntheticClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_stages, "structure_of", Found(true_structure(clip)))
    made = stages(SmallSettings(path="structure"))
    looked, maps = list[tuple[float, bool]](), made.maps

    def watched(clips: Any, poses: Any, *rest: Any) -> Any:
        looked.extend((c.geometry.K[0, 0], p is None) for c, p in zip(clips, poses, strict=True))
        return maps(clips, poses, *rest)

    monkeypatch.setattr(made, "maps", watched)
    SpatialEncoder(made).encode(unposed(clip))
    assumed, true = 80 / np.tan(np.radians(32.5)), clip.K[0, 0]
    expected = [(assumed, True), (true, True), (true, False)]
    assert [without for _, without in looked] == [without for _, without in expected]
    assert [focal for focal, _ in looked] == pytest.approx([f for f, _ in expected])


@pytest.mark.parametrize(("told", "is_taken"), [(1.0, True), (1.1, True), (1.4, False)])
def test_a_structure_whose_lens_is_not_the_file_s_is_refused(
    told: float, is_taken: bool, clip: SyntheticClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    lens = Lens(told * clip.K[0, 0] / 160, "exif", 0.05)
    given = unposed(clip)
    given = replace(given, geometry=replace(given.geometry, lens=lens))
    code = encoded(given, Found(true_structure(clip)), monkeypatch, path="structure")
    assert any("is not the file's" in warning for warning in code.warnings) is not is_taken
    focal = 1.0 if is_taken else told
    assert code.cameras[0].fx_px == pytest.approx(4 * focal * clip.K[0, 0], rel=1e-3)
