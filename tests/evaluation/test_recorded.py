"""Recordings measured with encoders whose mistakes are known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spatialcode.encoder.detections import cameras_of
from spatialcode.encoder.geometry.protocol import DepthNoise, SettledPath, WindowGeometry
from spatialcode.encoder.protocol import FrameRequest, Window
from spatialcode.evaluation.oracle_parts import OracleOptions, oracle_encoder
from spatialcode.evaluation.recorded import (
    RecordedOptions,
    Told,
    known_as,
    measure_recording,
)
from spatialcode.evaluation.recorded_report import (
    aggregate_recorded,
    recorded_figure,
    recorded_headline,
    recorded_markdown,
)
from spatialcode.evaluation.watched_geometry import WatchedGeometry
from spatialcode.recordings.recording import RecordedCameras, Recording
from spatialcode.scene.schema import VideoInfo
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import SyntheticClip
from tests.evaluation.clips import truth_objects
from tests.pipelines.truth_encoders import Knowing


class ClipFrames:
    """Frames and depth of a rendered clip, as a recording's."""

    def __init__(self, clip: SyntheticClip, has_depth: bool = True):
        self.clip, self.has_depth = clip, has_depth

    def rgb(self, rows, side_px):
        return self.clip.rgb[list(rows)]

    def depth_m(self, rows):
        return self.clip.depth_m[list(rows)] if self.has_depth else None


class Mistaken(Knowing):
    """Knows all but for a path twice too long, a lens a tenth too long and depth half too far."""

    kinds = ("table", "stool", "sofa")

    def prepare(self, clip):
        self.told = clip.geometry
        return clip

    def maps(self, clips, poses, exact, on_frames=None):
        true = self.true.maps
        return [replace(true, depth_m=1.5 * true.depth_m) for _ in clips]

    def path(self, clip, maps):
        path = self.truth.T_world_camera[: clip.num_frames].copy()
        path[:, :3, 3] *= 2
        path[-1, :3, :3] = path[-1, :3, :3] @ Rotation.from_euler("y", 3, degrees=True).as_matrix()
        return path

    def code(self, clip, maps, T_world_camera):
        code = super().code(clip, maps, T_world_camera)
        size_px = (clip.rgb.shape[2], clip.rgb.shape[1])
        K = np.diag([1.1, 1.1, 1.0]) @ self.clip.K
        return replace(code, cameras=cameras_of(T_world_camera, K, size_px, clip.video))


@pytest.fixture(scope="module")
def clip():
    made = make_clip(900_000_001, ClipConfig(num_frames=6))
    longer = made.T_world_camera.copy()
    longer[:, 0, 3] += 0.1 * np.arange(6) ** 2  # long enough a path to have a scale
    return replace(made, T_world_camera=longer)


def recording_of(clip, cameras=None, **changes):
    height, width = clip.rgb.shape[1:3]
    # a video twice as large as the frames that are read
    times_s = tuple(clip.times_s.tolist())
    video = VideoInfo("v", "", times_s[-1], 10.0, 2 * width, 2 * height, times_s)
    if cameras is None:
        K = np.diag([2.0, 2.0, 1.0]) @ clip.K
        cameras = RecordedCameras(np.tile(K, (len(times_s), 1, 1)), clip.T_world_camera)
    values = {"objects": truth_objects(clip), **changes}
    return Recording("room", values.pop("frames", ClipFrames(clip)), video, cameras, **values)


def test_known_mistakes_are_measured(clip):
    encoder = Mistaken(clip)
    result = measure_recording(recording_of(clip), encoder, RecordedOptions())
    own = result.figures
    assert (result.name, result.num_frames) == ("room", 6)
    assert own.told == Told()
    assert own.path_error_m.similarity == pytest.approx(0.0, abs=1e-6)
    assert own.path_error_m.rigid > 0.05
    assert own.path_error_m.as_is >= own.path_error_m.rigid
    assert own.scale_ratio == pytest.approx(2.0)
    assert own.focal_ratio == pytest.approx(1.1, rel=1e-5)
    assert own.rotation_step_deg == pytest.approx(3.0 / np.sqrt(5), rel=1e-3)  # one step of five
    assert own.depth.ratio == pytest.approx(1.5, rel=0.02)
    assert own.depth.metric == pytest.approx(0.5, abs=0.02)
    assert own.depth.fitted < 0.02
    assert own.still is None


def test_what_is_told_is_told_and_not_measured(clip):
    encoder = Mistaken(clip)
    options = RecordedOptions(told=Told(lens=True, poses=True), ladder=False)
    result = measure_recording(recording_of(clip), encoder, options)
    figures = result.figures
    assert pytest.approx(clip.K) == encoder.told.K
    assert encoder.told.T_world_camera == pytest.approx(clip.T_world_camera)
    assert encoder.told.depth_m is None
    assert figures.path_error_m is figures.scale_ratio is figures.focal_ratio is None
    assert figures.depth is not None
    assert result.ladder == {}


def test_the_ladder_goes_as_far_as_the_truth(clip):
    whole = measure_recording(recording_of(clip), Mistaken(clip), RecordedOptions()).ladder
    assert list(whole) == ["own", "lens", "lens+depth", "lens+poses", "lens+poses+depth"]
    assert whole["lens+depth"].depth is None
    assert whole["lens+depth"].scale_ratio == pytest.approx(2.0)
    assert whole["lens+poses"].path_error_m is None
    unlabelled = measure_recording(
        recording_of(clip, objects=()), Mistaken(clip), RecordedOptions()
    )
    assert list(unlabelled.ladder) == ["own", "lens", "lens+depth", "lens+poses"]
    bare = recording_of(clip, frames=ClipFrames(clip, has_depth=False))
    assert list(measure_recording(bare, Mistaken(clip), RecordedOptions()).ladder) == [
        "own", "lens", "lens+poses",
    ]  # fmt: skip


def test_boxes_of_known_kinds_and_large_ones_are_counted_apart(clip):
    objects = truth_objects(clip)
    labels = [item.label for item in objects]
    assert sorted(labels) == ["door", "stool", "table", "washer"]
    objects = [
        replace(item, id="coffee_table_1", label="coffee table") if item.label == "table" else item
        for item in objects
    ]
    far = {"size_m": (0.1, 0.1, 0.1), "center_m": (0.0, 0.0, 9.0)}
    small = replace(objects[0], id="stool_9", label="stool", **far)
    recording = recording_of(clip, objects=(*objects, small))
    boxes = measure_recording(recording, Mistaken(clip), RecordedOptions()).boxed.boxes
    # all: every object is found but the small one, which the encoder does not say
    every = boxes.all.any_label["0.50"]
    assert (every.true, every.false, every.missed) == (4, 0, 1)
    # known and large: a coffee table is a table; door, washer and the small stool are not asked
    # for, nor are they false
    for counts in (boxes.known_large.any_label["0.50"], boxes.known_large.right_label["0.50"]):
        assert (counts.true, counts.false, counts.missed) == (2, 0, 0)


def test_an_encoder_that_does_not_say_what_it_knows_has_no_figures_of_known_kinds(clip):
    boxes = measure_recording(recording_of(clip), Knowing(clip), RecordedOptions()).boxed.boxes
    assert boxes.known_large is None
    assert boxes.all.right_label["0.50"].true == len(truth_objects(clip))


@pytest.mark.parametrize("said", [True, False])
def test_a_standing_camera_is_one_that_is_said_to_stand_or_has_one_true_pose(clip, said):
    cameras = RecordedCameras()
    if not said:
        pose = np.tile(clip.T_world_camera[0], (6, 1, 1))
        cameras = RecordedCameras(np.tile(clip.K, (6, 1, 1)), pose)
    recording = recording_of(clip, cameras, stands_still=said)
    figures = measure_recording(recording, Mistaken(clip), RecordedOptions()).figures
    centres = 2 * clip.T_world_camera[:, :3, 3]
    away = np.linalg.norm(centres - centres[0], axis=1).max()
    assert figures.still.m == pytest.approx(away, rel=1e-5)
    assert figures.still.deg > 1.0
    assert figures.scale_ratio is None


def test_frames_are_chosen_by_stride_and_number():
    assert RecordedOptions(stride=3, num_frames=4).rows(100) == range(0, 12, 3)
    assert RecordedOptions(num_frames=128).rows(100) == range(100)
    assert list(RecordedOptions(num_frames=50).rows(101)) == list(range(0, 101, 3))
    assert RecordedOptions(stride=1, num_frames=10).rows(3) == range(3)


def test_depth_of_an_encoder_made_of_parts_is_reached(clip):
    encoder = oracle_encoder(clip, OracleOptions(("masks", "depth", "poses")))
    by_windows = encoder.with_less(encoder.parts, FrameRequest(window=4, overlap=2))
    result = measure_recording(recording_of(clip), by_windows, RecordedOptions(ladder=False))
    assert result.figures.depth.metric == pytest.approx(0.0, abs=1e-5)
    assert result.figures.depth.ratio == pytest.approx(1.0, abs=1e-5)


class Settling:
    """A geometry session that finds in the end that all is twice as far as it said."""

    is_metric = True

    def session(self, clip):
        return self

    def geometry(self, window):
        num = len(window.rgb)
        poses, K = np.tile(np.eye(4), (num, 1, 1)), np.tile(np.eye(3), (num, 1, 1))
        depth_m = np.full((num, 6, 8), 1.5, np.float32)
        return WindowGeometry(depth_m, K, poses, self.is_metric, DepthNoise())

    def settled(self):
        return SettledPath(np.tile(np.eye(4), (3, 1, 1)), np.full(3, np.log(2.0)))


@pytest.mark.parametrize("is_metric", [True, False])
def test_watched_depth_is_what_is_believed_in_the_end_and_has_a_unit(is_metric):
    source = Settling()
    source.is_metric = is_metric
    watched = WatchedGeometry(source)
    assert watched.depth_m() is None
    session = watched.session(None)
    session.geometry(Window(np.zeros((3, 6, 8, 3), np.uint8), np.arange(3.0)))
    session.settled()
    if is_metric:
        assert watched.depth_m() == pytest.approx(np.full((3, 6, 8), 3.0))
    else:
        assert watched.depth_m() is None


@pytest.mark.parametrize(
    ("word", "kind"),
    [("coffee table", "table"), ("trash can", "trash bin"), ("couch", "sofa"), ("wine rack", None)],
)
def test_words_of_data_sets_mean_kinds(word, kind):
    assert known_as(word, ("table", "trash bin", "sofa", "chair")) == kind


def test_the_report_has_every_figure_and_its_counts_add_up(clip):
    objects = tuple(
        replace(item, id="oven_1", label="oven") if item.label == "washer" else item
        for item in truth_objects(clip)
    )
    recording = recording_of(clip, objects=objects)
    moving = measure_recording(recording, Mistaken(clip), RecordedOptions())
    still = recording_of(clip, RecordedCameras(), stands_still=True, objects=())
    still = measure_recording(replace(still, name="still/a"), Mistaken(clip), RecordedOptions())
    report = aggregate_recorded([moving, still])
    room, standing = report["recordings"]["room"], report["recordings"]["still/a"]
    assert set(room["path_error_m"]) == {"as_is", "rigid", "similarity"}
    assert room["scale_ratio"] == pytest.approx(2.0)
    assert set(room["depth_abs_rel"]) == {"metric", "fitted"}
    assert room["f1"]["any_label"]["0.50"] == 1.0
    assert room["f1"]["right_label"]["0.50"] == 0.75  # three of four, one false, one missed
    assert room["f1_told"] == "lens+poses"
    assert room["ladder"]["lens"]["scale_ratio"] == pytest.approx(2.0)
    assert standing["path_error_m"] is standing["f1"] is None
    assert set(standing["still"]) == {"m", "deg"}
    assert report["summary"]["scale_error"] == pytest.approx(1.0)
    assert report["summary"]["still"]["m"] == standing["still"]["m"]
    assert report["num_recordings"] == report["num_evaluated"] == 2
    page = recorded_markdown(report)
    for word in ("| room |", "Oracle ladder: room", "still/a"):
        assert word in page
    assert "scale 2.00" in recorded_headline(report)
    assert len(recorded_figure(report).data) == 10
