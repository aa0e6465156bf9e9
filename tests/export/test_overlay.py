from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from spatialcode.errors import SchemaError, VideoNotFoundError
from spatialcode.export.drawing import label_rgb
from spatialcode.export.overlay import BoxPainter, OverlayOptions, write_overlay
from tests.export.codes import camera, code, item, moving_stool

GREY = 128
NAMELESS = OverlayOptions(names=False)
TABLE = np.array(label_rgb("table"), dtype=int)


def grey_video(path: Path, times_s: tuple[float, ...], size: tuple[int, int] = (160, 120)) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for t_s in times_s:
            rgb = np.full((size[1], size[0], 3), GREY, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = round(1000 * t_s), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def read(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [f.time for f in frames], [f.to_ndarray(format="rgb24").astype(int) for f in frames]


def painted(*objects: object, t_s: float = 0.0, size: tuple[int, int] = (160, 120)) -> np.ndarray:
    rgb = np.full((size[1], size[0], 3), GREY, dtype=np.uint8)
    BoxPainter(code(*objects, cameras=(camera(0.0), camera(2.0))), NAMELESS).draw(rgb, t_s)
    return rgb.astype(int)


def colored(rgb: np.ndarray, color: np.ndarray, tolerance: int = 60) -> np.ndarray:
    return np.abs(rgb - color).max(axis=-1) <= tolerance


def test_the_near_face_is_drawn_where_it_projects() -> None:
    # The box's near face is at y = 3, so 3 m ahead, 100 / 3 px a metre: x = +-0.5 m is
    # 80 +- 16.67, z = 1.5 +- 0.5 m is 60 +- 16.67. The far face at 5 m spans +-10 px.
    rgb = painted(item("table_1", "table"))
    on = colored(rgb, TABLE, 90)
    columns, rows = np.flatnonzero(on.any(axis=0)), np.flatnonzero(on.any(axis=1))
    assert abs(columns.min() - (80 - 16.67)) <= 1
    assert abs(columns.max() - (80 + 16.67)) <= 1
    assert abs(rows.min() - (60 - 16.67)) <= 1
    assert abs(rows.max() - (60 + 16.67)) <= 1
    for u in range(66, 95):  # the whole lower near edge
        assert on[75:79, u].any()
    assert on[48:72, 69:71].any(axis=1).all()  # the far left upright, at 80 - 10
    assert not on[52:69, 72:88].any()  # nothing is filled


def test_nothing_is_drawn_of_a_box_behind_the_camera() -> None:
    assert np.all(painted(item("table_1", "table", center_m=(0.0, -4.0, 1.5))) == GREY)


def test_a_box_around_the_camera_is_drawn_where_it_is_ahead_only() -> None:
    # It reaches from 3 m behind to 3 m ahead, 2 m wide: at its far end 80 +- 33 px.
    rgb = painted(item("table_1", "table", center_m=(0.0, 0.0, 1.5), size_m=(2.0, 6.0, 1.0)))
    on = colored(rgb, TABLE, 90)
    assert on[60 - 18 : 60 + 18, 45:49].any()
    # Its long edges leave the image towards the corners of the view, not mirrored inwards.
    assert not on[50:70, 55:105].any()


def test_a_box_is_drawn_while_its_object_is_in_sight() -> None:
    seen = item("table_1", "table", first_seen_s=1.0, last_seen_s=1.5)
    assert np.all(painted(seen, t_s=0.9) == GREY)
    assert np.any(painted(seen, t_s=1.0) != GREY)
    # Sampled every 2 s: sight at 1.5 s is taken to last until 3.5 s.
    assert np.any(painted(seen, t_s=3.4) != GREY)
    assert np.all(painted(seen, t_s=3.6) == GREY)


def test_a_moving_object_is_drawn_where_its_track_is() -> None:
    # At 0.5 s the stool's centre is at x = -0.5 m; its box begins 2.75 m ahead.
    rgb = painted(moving_stool(), t_s=0.5)
    columns = np.flatnonzero((np.abs(rgb - GREY) > 40).any(axis=(0, 2)))
    assert abs(columns.min() - (80 - 75 / 2.75)) <= 1.5
    assert abs(columns.max() - (80 - 25 / 3.25)) <= 1.5


def test_lines_scale_with_the_picture_and_the_camera_with_them() -> None:
    rgb = painted(item("table_1", "table"), size=(320, 240))
    columns = np.flatnonzero(colored(rgb, TABLE, 90).any(axis=0))
    assert abs(columns.min() - 2 * (80 - 16.67)) <= 1.5
    assert abs(columns.max() - 2 * (80 + 16.67)) <= 1.5


def test_nearer_boxes_have_thicker_lines() -> None:
    def thickness(y_m: float) -> int:
        box = item("table_1", "table", center_m=(0.0, y_m, 1.5), size_m=(0.2 * y_m,) * 3)
        rgb = painted(box, size=(1600, 1200))
        middle = colored(rgb, TABLE, 60)[600, :800]
        return int(middle.sum())

    assert thickness(1.5) > 2 * thickness(6.0) > 0


def test_names_are_written_on_the_box_and_can_be_left_out() -> None:
    plain = np.full((480, 640, 3), GREY, dtype=np.uint8)
    named = plain.copy()
    table = code(item("table_1", "table"))
    BoxPainter(table, NAMELESS).draw(plain, 0.0)
    BoxPainter(table).draw(named, 0.0)
    changed = np.argwhere((plain != named).any(axis=-1))
    # The tag is on the upper edge, at 240 - 4 * 16.67 = 173, and about the box's middle.
    assert 150 < changed[:, 0].min() < changed[:, 0].max() < 190
    assert abs(changed[:, 1].mean() - 320) < 30


def test_weak_objects_can_be_left_out() -> None:
    rgb = np.full((120, 160, 3), GREY, dtype=np.uint8)
    BoxPainter(code(item("table_1", "table", score=0.3)), OverlayOptions(min_score=0.5)).draw(
        rgb, 0.0
    )
    assert np.all(rgb == GREY)


def test_the_written_video_keeps_times_and_shows_the_boxes(tmp_path: Path) -> None:
    times_s = (0.0, 0.1, 0.25, 0.3, 1.0)
    video = grey_video(tmp_path / "in.mp4", times_s)
    # Only the camera at t = 0 and 2 s: straight ahead, 1 m further right at the end.
    moving_camera = code(item("table_1", "table"), cameras=(camera(0.0), camera(2.0, 1.0)))
    write_overlay(moving_camera, video, tmp_path / "new" / "out.mp4", NAMELESS)
    got_s, frames = read(tmp_path / "new" / "out.mp4")
    assert len(frames) == 5
    np.testing.assert_allclose(got_s, times_s, atol=1e-3)
    for t_s, rgb in zip(got_s, frames, strict=True):
        # The box's centre is 0.5 t to the left of the camera: 100 / 3 px a metre in front.
        shift = 100 / 3 * 0.5 * t_s
        distance = np.abs(rgb - GREY).max(axis=-1) > 40
        columns = np.flatnonzero(distance.any(axis=0))
        assert abs(columns.min() - (80 - 16.67 - shift)) <= 2.5
        assert abs(columns.max() - (80 + 16.67 - shift)) <= 2.5
    below = frames[0][75:79, 66:95].reshape(-1, 3)
    assert colored(below, TABLE, 60).any()
    assert np.abs(frames[0][:30] - GREY).max() < 12


def test_large_videos_are_scaled_down_to_even_sides(tmp_path: Path) -> None:
    video = grey_video(tmp_path / "in.mp4", (0.0, 0.1), size=(322, 182))
    options = OverlayOptions(max_side_px=161, names=False)
    wide = code(item("table_1", "table"))
    write_overlay(wide, video, tmp_path / "out.mp4", options)
    _, frames = read(tmp_path / "out.mp4")
    assert frames[0].shape == (90, 160, 3)


def test_a_failed_overlay_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(VideoNotFoundError):
        write_overlay(code(), tmp_path / "none.mp4", tmp_path / "out.mp4")
    with pytest.raises(SchemaError):
        write_overlay(code(cameras=()), tmp_path / "none.mp4", tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []
