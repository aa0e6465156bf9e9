from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from spatialcode.export.drawing import label_rgb
from spatialcode.export.rerun import render_rrd, write_rrd
from spatialcode.export.stills import TimedFrame
from spatialcode.scene.schema import Room, SpatialCode, TrackPoint, make_id
from tests.export.codes import UPRIGHT, camera, code, item, moving_stool
from tests.export.recordings import NO_TIME, Rows, read

rr = pytest.importorskip("rerun", reason="needs the extra rerun")
chunks = pytest.importorskip("rerun.chunk", reason="needs a rerun that reads recordings")

QUARTER_LEFT = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))


@pytest.fixture(autouse=True)
def misuse_is_an_error() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", rr.error_utils.RerunWarning)
        yield


def recorded(
    tmp_path: Path, made: SpatialCode, frames: Sequence[TimedFrame] = ()
) -> dict[str, Rows]:
    return read(write_rrd(made, tmp_path / "new" / "a.rrd", frames))


def kept(rows: Rows, name: str) -> Any:
    ((t_ns, value),) = rows[name]
    assert t_ns == NO_TIME
    return value


def test_the_world_is_right_handed_with_z_up(tmp_path: Path) -> None:
    world = recorded(tmp_path, code())["/world"]
    # Right, Forward, Up as the SDK numbers them.
    assert kept(world, "ViewCoordinates:xyz") == [[3, 5, 1]]
    assert kept(world, "work_key") == ["d" * 64]


def test_boxes_appear_where_and_when_they_were_first_seen(tmp_path: Path) -> None:
    chair = item(
        "chair_1",
        "chair",
        center_m=(3.0, 2.0, 0.25),
        size_m=(2.0, 1.0, 0.5),
        quaternion_wxyz=QUARTER_LEFT,
        first_seen_s=0.3,
    )
    found = recorded(tmp_path, code(item("table_1", "table"), chair))
    table, turned = found["/world/objects/table_1"], found["/world/objects/chair_1"]
    assert table["Boxes3D:centers"] == [(0, [[0.0, 4.0, 1.5]])]
    assert table["Boxes3D:half_sizes"] == [(0, [[0.5, 1.0, 0.5]])]
    assert table["Boxes3D:labels"] == [(0, ["table_1"])]
    red, green, blue = label_rgb("table")
    assert table["Boxes3D:colors"] == [(0, [(red << 24) + (green << 16) + (blue << 8) + 255])]
    ((t_ns, (xyzw,)),) = turned["Boxes3D:quaternions"]
    assert t_ns == 300_000_000
    assert xyzw == pytest.approx([0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)])
    assert [kept(turned, name) for name in ("label", "first_seen_s", "num_observations")] == [
        ["chair"], [0.3], [3],
    ]  # fmt: skip
    # Turned a quarter to the left, the chair faces world -x, from 0.5 m beside its middle.
    front = found["/world/objects/chair_1/front"]
    ((_, (origin,)),) = front["Arrows3D:origins"]
    ((t_ns, (vector,)),) = front["Arrows3D:vectors"]
    assert t_ns == 300_000_000
    np.testing.assert_allclose((origin, vector), [(2.5, 2.0, 0.25), (-0.4, 0.0, 0.0)], atol=1e-6)
    assert "/world/objects/table_1/front" not in found


def test_what_moves_is_at_its_tracks_places_at_their_times(tmp_path: Path) -> None:
    found = recorded(tmp_path, code(moving_stool()))
    assert found["/world/objects/stool_1"]["Boxes3D:centers"] == [
        (t * 1_000_000_000, [[t - 1.0, 3.0, 0.25]]) for t in range(3)
    ]
    assert kept(found["/world/tracks/stool_1"], "LineStrips3D:strips") == [
        [[-1.0, 3.0, 0.25], [0.0, 3.0, 0.25], [1.0, 3.0, 0.25]]
    ]


def test_before_its_track_a_thing_is_held_and_a_static_one_always(tmp_path: Path) -> None:
    track = (TrackPoint(1.0, (7.0, 0.0, 0.0), UPRIGHT),)
    late = item("chair_1", "chair", motion="moving", track=track, first_seen_s=0.5)
    still = item("table_1", "table", track=track, first_seen_s=0.5)
    found = recorded(tmp_path, code(late, still))
    assert found["/world/objects/chair_1"]["Boxes3D:centers"] == [
        (500_000_000, [[7.0, 0.0, 0.0]]),
        (1_000_000_000, [[7.0, 0.0, 0.0]]),
    ]
    assert found["/world/objects/table_1"]["Boxes3D:centers"] == [(500_000_000, [[0.0, 4.0, 1.5]])]
    assert not [path for path in found if path.startswith("/world/tracks")]


def test_the_camera_is_where_it_was_and_looks_ahead(tmp_path: Path) -> None:
    found = recorded(tmp_path, code(cameras=(camera(0.0), camera(0.3, 0.5), camera(0.7, 1.0))))
    places = found["/world/camera"]
    assert places["Transform3D:translation"] == [
        (0, [[0.0, 0.0, 1.5]]), (300_000_000, [[0.5, 0.0, 1.5]]), (700_000_000, [[1.0, 0.0, 1.5]]),
    ]  # fmt: skip
    # The camera's y is down: world from camera is a turn by -90 degrees about x.
    (xyzw,) = places["Transform3D:quaternion"][2][1]
    assert xyzw == pytest.approx([-math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)])
    image = found["/world/camera/image"]
    # Column by column; right, down, forward.
    assert image["Pinhole:image_from_camera"][0] == (0, [[100, 0, 0, 0, 100, 0, 80, 60, 1]])
    assert image["Pinhole:camera_xyz"][0] == (0, [[3, 2, 5]])
    assert image["Pinhole:resolution"][2] == (700_000_000, [[160.0, 120.0]])
    assert kept(found["/world/camera_path"], "LineStrips3D:strips") == [
        [[0.0, 0.0, 1.5], [0.5, 0.0, 1.5], [1.0, 0.0, 1.5]]
    ]


def test_pictures_are_shown_at_their_times_with_a_pinhole_of_their_size(tmp_path: Path) -> None:
    red, blue = np.zeros((2, 360, 480, 3), np.uint8)
    red[..., 0] = blue[..., 2] = 200
    image = recorded(tmp_path, code(), [(0.1, red), (1.9, blue)])["/world/camera/image"]
    # 480 x 360 becomes 240 x 180, which is 1.5 times the 160 x 120 of the video.
    assert image["Pinhole:resolution"][0] == (0, [[240.0, 180.0]])
    assert image["Pinhole:image_from_camera"][0] == (0, [[150, 0, 0, 0, 150, 0, 120, 90, 1]])
    (first, (blob,)), (last, _) = image["EncodedImage:blob"]
    assert (first, last) == (100_000_000, 1_900_000_000)
    picture = cv2.imdecode(np.array(blob, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (180, 240, 3)
    assert picture.mean(axis=(0, 1)).tolist() == pytest.approx([0, 0, 200], abs=4)  # BGR


def test_the_room_is_floor_and_outlines(tmp_path: Path) -> None:
    square = ((0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (0.0, 1.0))
    found = recorded(tmp_path, code(room=Room(0.5, 2.5, square, 2.0)))
    floor = found["/world/floor"]
    points = np.array(kept(floor, "Mesh3D:vertex_positions"))
    np.testing.assert_array_equal(points, [(*xy, 0.5) for xy in square])
    a, b, c = points[np.array(kept(floor, "Mesh3D:triangle_indices"))].swapaxes(0, 1)
    np.testing.assert_allclose(np.cross(b - a, c - a).sum(axis=0) / 2, [0, 0, 2])  # area, upwards
    strips = kept(found["/world/room"], "LineStrips3D:strips")
    assert [len(strip) for strip in strips] == [5, 5, 2, 2, 2, 2]
    assert strips[2] == [[0.0, 0.0, 0.5], [0.0, 0.0, 2.5]]
    open_above = recorded(tmp_path, code(room=Room(0.5, None, square, 2.0)))
    assert len(kept(open_above["/world/room"], "LineStrips3D:strips")) == 1
    flat = Room(0.0, 2.5, ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0)), 0.0)
    assert "/world/floor" not in recorded(tmp_path, code(room=flat))
    assert "/world/room" not in recorded(tmp_path, code(room=Room(0.0, 2.5, (), 0.0)))


def test_an_empty_code_is_an_empty_world(tmp_path: Path) -> None:
    found = recorded(tmp_path, code(cameras=(), room=None))
    assert {path for path in found if not path.startswith("/__")} == {"/world"}


def test_a_single_camera_has_no_path(tmp_path: Path) -> None:
    found = recorded(tmp_path, code(cameras=(camera(1.0),)))
    assert found["/world/camera"]["Transform3D:translation"][0][0] == 1_000_000_000
    assert "/world/camera_path" not in found


def test_any_label_is_one_entity(tmp_path: Path) -> None:
    label = "стул / wide"
    found = recorded(tmp_path, code(item(make_id(label, 1), label)))
    (path,) = (path for path, rows in found.items() if "Boxes3D:centers" in rows)
    assert kept(found[path], "label") == [label]
    assert path.startswith("/world/objects/")


def test_a_codes_recording_has_its_own_id_and_a_layout(tmp_path: Path) -> None:
    def opened(made: SpatialCode, name: str) -> Any:
        return chunks.RrdReader(write_rrd(made, tmp_path / name))

    one, again, other = opened(code(), "a.rrd"), opened(code(), "b.rrd"), opened(
        code(item("table_1", "table")), "c.rrd"
    )  # fmt: skip
    ids = [reader.recordings()[0].recording_id for reader in (one, again, other)]
    assert ids[0] == ids[1] != ids[2]
    (layout,) = one.blueprints()
    assert layout.application_id == one.recordings()[0].application_id == "spatialcode"
    timelines = {
        value
        for chunk in one.stream(store=layout).to_chunks()
        for name, column in zip(
            chunk.to_record_batch().schema.names, chunk.to_record_batch().columns, strict=True
        )
        if name == "TimePanelBlueprint:timeline"
        for (value,) in column.to_pylist()
    }
    assert timelines == {"video_s"}


def test_bytes_are_a_whole_file() -> None:
    assert render_rrd(code())[:4] == b"RRF2"
