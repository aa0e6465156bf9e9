"""Videos of standing cameras, which only the name of their folder says."""

from __future__ import annotations

import pytest

from spatialcode.errors import InputError, VideoError
from spatialcode.recordings.registry import READERS, captures_in, recordings_in
from tests.video.builders import VideoRecipe, make_video, read_index


def test_each_video_in_a_folder_named_still_is_a_recording_of_all_its_frames(tmp_path):
    folder = tmp_path / "still"
    folder.mkdir()
    make_video(folder / "b.mp4", VideoRecipe(num_frames=7, fps=10.0))
    make_video(
        folder / "A.MKV",
        VideoRecipe(num_frames=3, fps=5.0),
    )
    (folder / "README.md").write_text("not a video")
    first, second = recordings_in(folder)
    assert [first.name, second.name] == ["still/A", "still/b"]
    assert first.stands_still
    assert second.stands_still
    assert (first.cameras.K, first.cameras.T_world_camera) == (None, None)
    assert second.video.sampled_s == pytest.approx([n / 10 for n in range(7)], abs=1e-6)
    assert (second.video.width_px, second.video.height_px) == (160, 120)
    shown = second.clip(range(0, 7, 2))
    assert [read_index(frame) for frame in shown.rgb] == [0, 2, 4, 6]
    assert shown.geometry.T_world_camera is None


def test_videos_in_other_folders_are_nobodys(tmp_path):
    make_video(tmp_path / "a.mp4", VideoRecipe(num_frames=2))
    with pytest.raises(InputError):
        recordings_in(tmp_path)


def test_a_damaged_video_is_an_error_of_its_own(tmp_path):
    folder = tmp_path / "still"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(64))
    make_video(folder / "b.mp4", VideoRecipe(num_frames=2))
    damaged, sound = captures_in(tmp_path)  # the folder is found below another
    assert READERS["still"].read(sound.place).num_frames == 2
    with pytest.raises(VideoError):
        READERS["still"].read(damaged.place)
