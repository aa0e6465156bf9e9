"""The lens that a video's file tells, on its way from the file to the cameras of a code."""

from __future__ import annotations

import numpy as np
import pytest

import spatialcode
from spatialcode.api import KnownCamera, VideoEncoder
from spatialcode.encoder.protocol import ClipHeader, CollectedSession, FrameGeometry, Window
from spatialcode.scene.lens import Lens
from spatialcode.scene.schema import VideoInfo
from spatialcode.streaming import StreamedVideo
from spatialcode.video.decode import probe
from spatialcode.video.sampling import Sampling
from spatialcode.video.sandbox import SandboxedDecoder
from tests.video.builders import VideoRecipe, make_video
from tests.video.test_lens import KEY, PHONE_26, meta, with_metadata

TWO = Sampling(num_frames=2)


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    recipe = VideoRecipe(num_frames=3, width_px=320, height_px=180)
    path = make_video(tmp_path_factory.mktemp("lens") / "a.mov", recipe)
    return with_metadata(path, meta({KEY: "26"}))


def focal_px(code):
    camera = code.cameras[0]
    assert camera.fy_px == pytest.approx(camera.fx_px)
    assert (camera.cx_px, camera.cy_px) == pytest.approx((160, 90))
    return camera.fx_px


def test_a_files_lens_is_the_cameras_of_its_code(movie):
    code = spatialcode.encode(movie, sampling=TWO)
    assert focal_px(code) == pytest.approx(PHONE_26 * 320, rel=1e-4)


def test_what_the_caller_knows_goes_before_it_and_it_need_not_be_believed(movie):
    K = np.array([[200.0, 0, 160], [0, 200, 90], [0, 0, 1]])
    code = spatialcode.encode(movie, sampling=TWO, camera=KnownCamera(K=K))
    assert focal_px(code) == pytest.approx(200.0)
    doubting = VideoEncoder.load("small", settings={"believe_file": False})
    code = spatialcode.encode(movie, sampling=TWO, encoder=doubting)
    assert focal_px(code) == pytest.approx(160 / np.tan(np.radians(32.5)), rel=1e-4)


def test_a_long_video_read_by_windows_has_it_too(movie):
    with SandboxedDecoder() as decoder:
        clip = StreamedVideo(decoder, movie, probe(movie), Sampling(num_frames=3, max_side_px=320))
        code = VideoEncoder.load("small").encode_source(clip)
    assert focal_px(code) == pytest.approx(PHONE_26 * 320, rel=1e-4)


def test_windows_and_sessions_carry_it():
    lens = Lens(0.8, "xmp", 0.1)
    window = Window(np.zeros((3, 4, 6, 3), np.uint8), np.arange(3.0), FrameGeometry(lens=lens), 1)
    assert window.fresh().geometry.lens == lens

    class Keeping:
        def encode_batch(self, clips):
            self.clips = clips
            return ["code"]

    encoder = Keeping()
    session = CollectedSession(encoder, ClipHeader(VideoInfo("a", "", 1.0, 1.0, 6, 4)))
    session.push(window)
    session.finish()
    assert encoder.clips[0].geometry.lens == lens
