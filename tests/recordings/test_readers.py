"""Every reader on a fixture in its own file format; a box survives the change of frames."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spatialcode.encoder.protocol import FrameRequest
from spatialcode.errors import FormatError, InputError
from spatialcode.recordings.registry import READERS, reader_of, recordings_in
from spatialcode.scene.frames import quaternion_from_matrix
from spatialcode.synthetic.videos import write_clip
from tests.recordings.rooms import (
    HEIGHT,
    NUM_FRAMES,
    OPENGL,
    WIDTH,
    assert_boxes_survive,
    assert_same_depth,
    assert_same_pictures,
    assert_same_world,
    boxes_in,
    integer_centres,
    opencv_pixels,
    own_corners,
    poses_in,
    room,
    set_world,
    units,
    write_png,
)


def write_matrix(path, matrix):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, matrix, fmt="%.9e")


def relative(poses):
    return np.linalg.inv(poses[0]) @ poses


def up_error_deg(recording):
    found = recording.cameras.T_world_camera[:, 2, :3]
    truth = np.asarray(room().T_world_camera)[:, 2, :3]
    return np.degrees(np.arccos(np.clip((found * truth).sum(axis=1), -1, 1))).max()


# The sidecar


def sidecar(folder, axes="opencv", up="y"):
    write_clip(room(), folder / "walk.mp4")
    T_set = set_world(up)
    poses = poses_in(T_set) @ (OPENGL if axes == "opengl" else np.eye(4))
    frames = []
    for k, t_s in enumerate(room().times_s):
        write_png(folder / "depth" / f"{k}.png", units(room().depth_m[k]))
        pose = poses[k].tolist()
        frames.append({"t_s": float(t_s), "T_world_camera": pose, "depth": f"depth/{k}.png"})
    document = {
        "format": "spatialcode-geometry/1",
        "video": "walk.mp4",
        "size_px": [WIDTH, HEIGHT],
        "camera_axes": axes,
        "up": up,
        "floor_height_m": 0.4,
        "K": np.asarray(room().K).tolist(),
        "frames": frames,
        "objects": [
            {
                "label": label,
                "center_m": c.tolist(),
                "size_m": s.tolist(),
                "quaternion_wxyz": quaternion_from_matrix(R).tolist(),
            }
            for label, c, s, R in boxes_in(T_set)
        ],
    }
    (folder / "walk.geometry.json").write_text(json.dumps(document))
    return T_set, poses


@pytest.mark.parametrize("axes", ["opencv", "opengl"])
@pytest.mark.parametrize("up", ["z", "y", "-y"])
def test_sidecar(tmp_path, axes, up):
    T_set, poses = sidecar(tmp_path, axes, up)
    [recording] = recordings_in(tmp_path)
    assert recording.name == "walk"
    assert_same_world(recording)
    assert_same_depth(recording)
    assert_same_pictures(recording, difference=6)  # mp4
    boxes = boxes_in(T_set)

    def own_pixels(n, k):
        points = own_corners(*boxes[n][1:])
        if axes == "opencv":
            return opencv_pixels(points, poses[k], np.asarray(room().K))
        local = (points - poses[k][:3, 3]) @ poses[k][:3, :3]  # x right, y up, z backward
        K, away = np.asarray(room().K), np.where(local[:, 2] < -0.05, -local[:, 2], np.nan)
        u = K[0, 0] * local[:, 0] / away + K[0, 2]
        v = K[1, 2] - K[1, 1] * local[:, 1] / away
        return np.stack([u, v], axis=-1)

    assert_boxes_survive(recording, own_pixels)


def test_sidecar_with_exr_depth(tmp_path):
    openexr = pytest.importorskip("OpenEXR")
    sidecar(tmp_path)
    path = tmp_path / "walk.geometry.json"
    document = json.loads(path.read_text())
    for k, frame in enumerate(document["frames"]):
        frame["depth"] = f"{k}.exr"
        header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
        depth = np.where(np.isfinite(room().depth_m[k]), room().depth_m[k], 0).astype(np.float32)
        with openexr.File(header, {"Z": depth}) as file:
            file.write(str(tmp_path / f"{k}.exr"))
    path.write_text(json.dumps(document))
    [recording] = recordings_in(tmp_path)
    assert_same_depth(recording, step_m=1e-6)


def test_sidecar_of_gravity_alone(tmp_path):
    sidecar(tmp_path)
    path = tmp_path / "walk.geometry.json"
    document = json.loads(path.read_text())
    del document["objects"]
    for frame in document["frames"]:
        del frame["T_world_camera"]
        frame["up_camera"] = [0.0, -1.0, 0.0]
    path.write_text(json.dumps(document))
    geometry = recordings_in(tmp_path)[0].clip([0, 1]).geometry
    assert geometry.T_world_camera is None
    assert geometry.up_camera.tolist() == [[0, -1, 0]] * 2
    assert geometry.depth_m.shape == (2, HEIGHT, WIDTH)


def test_times_of_a_sidecar_are_those_of_its_video(tmp_path):
    sidecar(tmp_path)
    path = tmp_path / "walk.geometry.json"
    document = json.loads(path.read_text())
    whole = recordings_in(tmp_path)[0]
    document["frames"] = document["frames"][2:]
    path.write_text(json.dumps(document))
    rest = recordings_in(tmp_path)[0]
    assert rest.video.sampled_s == whole.video.sampled_s[2:]
    assert rest.video.duration_s == whole.video.duration_s
    assert np.array_equal(rest.clip([0]).rgb, whole.clip([2]).rgb)
    seen = [item for item in rest.objects if item.num_observations]
    assert seen
    assert min(item.first_seen_s for item in seen) == rest.video.sampled_s[0] > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other/1"}, "format: expected 'spatialcode-geometry/1'"),
        ({"K": [[1, 0], [0, 1]]}, r"K: expected \(3, 3\) finite numbers"),
        ({"camera_axes": "maya"}, "camera_axes: expected 'opencv' or 'opengl', got 'maya'"),
        ({"up": "x"}, "up: expected 'z', 'y', '-y' or null, got 'x'"),
        ({"frames": []}, "frames: expected a list with at least one"),
        ({"objects": [{"label": "chair"}]}, r"objects\[0\]: expected a field 'quaternion_wxyz'"),
        ({"frames": [{"t_s": "now"}]}, r"frames\[0\]\.t_s: expected"),
        ({"frames": [{"t_s": 0, "depth": "a.png"}, {"t_s": 1}]}, "depth: in 1 of 2 frames"),
        ({"frames": [{"t_s": -1}]}, r"frames\[0\]\.t_s: expected 0 or more, got -1"),
        ({"frames": [{"t_s": 0, "up_camera": [0, 0, 0]}]}, "up_camera: expected directions"),
        ({"distortion": ["a"]}, "distortion: expected"),
        ({"floor_height_m": "low"}, "floor_height_m: expected"),
        ({"objects": 5}, "objects: expected a list, got 5"),
        ({"K": [[0, 0, 0]] * 3}, "K: expected focal lengths above 0"),
        ({"depth_units_per_m": 0}, "depth_units_per_m: expected above 0, got 0"),
        ({"size_px": [640, 0]}, "size_px: expected width and height above 0"),
        ({"flor_height_m": 1}, "flor_height_m: .* did you mean 'floor_height_m'"),
    ],
)
def test_damaged_sidecars_are_named(tmp_path, change, said):
    sidecar(tmp_path)
    path = tmp_path / "walk.geometry.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FormatError, match=rf"walk\.geometry\.json: {said}"):
        recordings_in(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        # 160×120, five frames that are shown for 2.739 s each
        ({"size_px": [120, 160]}, "size_px: expected the aspect of .*s 160×120, got 120×160"),
        ({"size_px": [1280, 720]}, "size_px: expected the aspect of .*s 160×120"),
        ({"t_s": 14}, r"frames\[4\]\.t_s: expected at most the video's 13\.697 s, got 14"),
    ],
)
def test_a_sidecar_that_does_not_fit_its_video_is_named(tmp_path, change, said):
    sidecar(tmp_path)
    path = tmp_path / "walk.geometry.json"
    document = json.loads(path.read_text())
    late = change.pop("t_s", None)
    if late is not None:
        document["frames"][-1]["t_s"] = late
    path.write_text(json.dumps(document | change))
    [recording] = recordings_in(tmp_path)  # which opens no video
    with pytest.raises(FormatError, match=rf"walk\.geometry\.json: {said}"):
        recording.clip([0])  # before any late frame is asked for
    with pytest.raises(FormatError, match=said):
        next(recording.windows(FrameRequest(window=2)))


@pytest.mark.parametrize("size_px", [[1280, 960], [640, 481], [41, 30]])
def test_a_sidecar_may_be_of_another_size_but_for_rounding(tmp_path, size_px):
    sidecar(tmp_path)
    path = tmp_path / "walk.geometry.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size_px": size_px}))
    [recording] = recordings_in(tmp_path)
    assert recording.clip([0]).rgb.shape == (1, HEIGHT, WIDTH, 3)


def test_the_example_of_the_page_is_a_sidecar(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "recordings.md"
    [example] = re.findall(r"```json\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    write_clip(room(), tmp_path / "clip.mp4")
    write_png(tmp_path / "depth" / "0000.png", np.full((48, 64), 2000, np.uint16))
    (tmp_path / "clip.geometry.json").write_text(example)
    [recording] = recordings_in(tmp_path)
    assert recording.cameras.T_world_camera[0, :3, 3] == pytest.approx([0, 0, 1.5])
    assert recording.objects[0].center_m == pytest.approx([0, 2, 0.4])
    assert np.unique(recording.frames.depth_m([0])).tolist() == [2.0]


def test_the_page_lists_every_reader():
    page = Path(__file__).parents[2] / "docs" / "recordings.md"
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|", page.read_text("utf-8"), re.MULTILINE)
    reader_of(Path(__file__).parent, "codes")
    names = {name for name in READERS if name != "diary"}
    heads = [n for n, (name, _) in enumerate(rows) if name == "clips_format"]
    assert {name for name, _ in rows[1 : heads[1]]} == names
    layouts = {name: layout.strip("`") for name, layout in rows[heads[1] + 1 :]}
    assert layouts == {name: READERS[name].layout for name in names}


def test_a_sidecar_without_its_video(tmp_path):
    sidecar(tmp_path)
    (tmp_path / "walk.mp4").unlink()
    with pytest.raises(InputError, match=r"walk\.mp4: no such file"):
        recordings_in(tmp_path)


# 7-Scenes


def seven_scenes(folder, suffix="png"):
    """In the authors' camera, 585 px at 640 wide, which the room's depth is not seen by."""
    T_set = set_world("-y")
    sequence = folder / "chess" / "seq-01"
    for k, pose in enumerate(poses_in(T_set)):
        stem = sequence / f"frame-{k * 3:06d}"
        write_png(stem.with_suffix(f".color.{suffix}"), room().rgb[k])
        depth = units(room().depth_m[k], none_at=65535)
        depth[:2, :3], depth[2:4, :3] = 0, 65535
        write_png(stem.with_suffix(".depth.png"), depth)
        write_matrix(stem.with_suffix(".pose.txt"), pose)
    return folder / "chess", poses_in(T_set)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_seven_scenes(tmp_path, suffix):
    folder, poses = seven_scenes(tmp_path, suffix)
    [recording] = recordings_in(folder)
    assert recording.name == "chess/seq-01"
    found = recording.cameras.T_world_camera
    assert np.allclose(relative(found), relative(poses), atol=1e-6)
    # 585 px at 640: 146.25 at 160; (320, 240) is the centre of a pixel: (80.125, 60.125).
    K = [[146.25, 0, 80.125], [0, 146.25, 60.125], [0, 0, 1]]
    assert np.allclose(recording.cameras.K[0], K)
    assert np.diff(recording.video.sampled_s) == pytest.approx(0.1)
    assert_same_depth(recording)
    assert np.isnan(recording.frames.depth_m([0])[0, :4, :3]).all()
    assert_same_pictures(recording, difference=0 if suffix == "png" else 6)
    assert recordings_in(folder / "seq-01")[0].num_frames == NUM_FRAMES


def test_a_damaged_pose_of_seven_scenes(tmp_path):
    folder, _ = seven_scenes(tmp_path)
    pose = folder / "seq-01" / "frame-000003.pose.txt"
    pose.write_text("1 0 0 0\n0 1 0 nonsense\n")
    with pytest.raises(FormatError, match=r"frame-000003\.pose\.txt: expected numbers"):
        recordings_in(folder)
    write_matrix(pose, np.ones((4, 4)))
    with pytest.raises(FormatError, match=r"seq-01: pose 1: expected a rotation"):
        recordings_in(folder)


def test_a_truncated_picture_of_seven_scenes(tmp_path):
    folder, _ = seven_scenes(tmp_path)
    recording = recordings_in(folder)[0]
    path = folder / "seq-01" / "frame-000003.color.png"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(FormatError, match=r"frame-000003\.color\.png: expected a picture"):
        recording.clip([0, 1])


# TUM RGB-D


def tum(folder, name="rgbd_dataset_freiburg3_room"):
    T_set, root = set_world("z"), folder / name
    lines = {"rgb": ["# color images"], "depth": ["# depth maps"], "groundtruth": ["# path"]}
    poses = poses_in(T_set)
    for k, pose in enumerate(poses):
        t_s = 1000.0 + 0.5 * k
        write_png(root / "rgb" / f"{k}.png", room().rgb[k])
        write_png(root / "depth" / f"{k}.png", units(room().depth_m[k], per_m=5000.0))
        lines["rgb"].append(f"{t_s:.6f} rgb/{k}.png")
        lines["depth"].append(f"{t_s + 0.011:.6f} depth/{k}.png")
        q = Rotation.from_matrix(pose[:3, :3]).as_quat()
        values = " ".join(f"{v:.9f}" for v in (*pose[:3, 3], *q))
        lines["groundtruth"].append(f"{t_s:.6f} {values}")
    for file, text in lines.items():
        (root / f"{file}.txt").write_text("\n".join(text) + "\n")
    return root, poses


def test_tum(tmp_path):
    folder, poses = tum(tmp_path)
    [recording] = recordings_in(folder)
    assert np.allclose(relative(recording.cameras.T_world_camera), relative(poses), atol=1e-6)
    assert recording.video.sampled_s == pytest.approx([0, 0.5, 1, 1.5, 2])
    K = np.array([[535.4 / 4, 0, 320.6 / 4], [0, 539.2 / 4, 248.1 / 4], [0, 0, 1]])
    assert np.allclose(recording.cameras.K, K)
    depth = recording.frames.depth_m([2])
    known = np.isfinite(depth)  # 65535 / 5000 = 13.1 m
    assert np.abs(depth - room().depth_m[[2]])[known].max() < 0.00011
    assert_same_pictures(recording)


def test_a_tum_frame_without_depth_beside_it_is_left_out(tmp_path):
    folder, _ = tum(tmp_path)
    text = (folder / "depth.txt").read_text().splitlines()
    (folder / "depth.txt").write_text("\n".join(text[:2] + text[3:]))
    assert recordings_in(folder)[0].num_frames == NUM_FRAMES - 1


def test_distortion_of_tum_is_taken_out(tmp_path):
    """A dot at a distorted pixel lands where the pinhole camera sees its ray."""
    folder, _ = tum(tmp_path, "rgbd_dataset_freiburg1_desk")
    K = np.array([[517.3, 0, 318.6], [0, 516.5, 255.3], [0, 0, 1]])
    k1, k2, p1, p2, k3 = 0.2624, -0.9531, -0.0054, 0.0026, 1.1633
    x, y = 0.30, -0.24
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    for k in range(NUM_FRAMES):
        image = np.zeros((480, 640, 3), np.uint8)
        at = (K[0, 0] * xd + K[0, 2], K[1, 1] * yd + K[1, 2])
        cv2.circle(image, (round(at[0]), round(at[1])), 6, (255, 255, 255), -1)
        write_png(folder / "rgb" / f"{k}.png", image)
    seen = recordings_in(folder)[0].clip([0])
    rows, columns = np.nonzero(seen.rgb[0, ..., 0] > 128)
    pinhole = seen.geometry.K @ [x, y, 1.0]
    found = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    assert np.abs(found - pinhole[:2]).max() < 1.0
    assert np.hypot(*(np.array(at) + 0.5 - pinhole[:2])) > 2.0  # what it would be otherwise


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("rgb.txt", "1000.0", r"rgb\.txt:2: expected 2 columns, got 1"),
        ("rgb.txt", "soon rgb/0.png", r"rgb\.txt:2: expected a timestamp, got 'soon'"),
        ("groundtruth.txt", "1000 0 0 0 0 0 0 0", "quaternions that are not zero"),
        ("groundtruth.txt", "1000 0 0 0 0 x 0 1", "expected seven numbers"),
    ],
)
def test_damaged_lists_of_tum(tmp_path, file, line, said):
    folder, _ = tum(tmp_path)
    lines = (folder / file).read_text().splitlines()
    (folder / file).write_text("\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(FormatError, match=said):
        recordings_in(folder)


# Posed pictures


def posed_images(folder):
    poses = poses_in(set_world("y"))
    for k in range(NUM_FRAMES):
        write_png(folder / "images" / f"{k:05d}.png", room().rgb[k])
        depth = units(room().depth_m[k], none_at=65535)
        depth[:2, :3], depth[2:4, :3] = 0, 65535
        write_png(folder / "depth" / f"{k:05d}.png", depth)
    write_matrix(folder / "poses.txt", poses.reshape(NUM_FRAMES, 16))
    write_matrix(folder / "K.txt", integer_centres(room().K))
    return poses


def test_posed_images_find_up_and_the_floor_in_depth(tmp_path):
    poses = posed_images(tmp_path)
    [recording] = recordings_in(tmp_path)
    assert np.allclose(recording.cameras.K, room().K)
    assert np.allclose(relative(recording.cameras.T_world_camera), relative(poses), atol=1e-6)
    assert up_error_deg(recording) < 1.0
    assert_same_world(recording, floor_m=0.02, angle_rad=0.02)
    assert_same_depth(recording)
    assert np.isnan(recording.frames.depth_m([0])[0, :4, :3]).all()


def test_posed_images_must_agree_in_number(tmp_path):
    posed_images(tmp_path)
    (tmp_path / "images" / "00000.png").unlink()
    with pytest.raises(FormatError, match="5 poses and 5 depth maps for 4 pictures"):
        recordings_in(tmp_path)


# Truth beside pinhole frames


def test_truth_json(tmp_path):
    T_set = set_world("y")
    poses, boxes = poses_in(T_set), boxes_in(T_set)
    for k in range(NUM_FRAMES):
        write_png(tmp_path / f"{k}.png", room().rgb[k])
    document = {
        "K": integer_centres(room().K).tolist(),
        "gravity": [0, -9.81, 0],
        "frames": [
            {"file": f"{k}.png", "t_ns": 10**9 * k, "T_world_camera": poses[k].tolist()}
            for k in range(NUM_FRAMES)
        ],
        "objects": [
            {"category": label, "center": c.tolist(), "size": s.tolist(), "R": R.tolist()}
            for label, c, s, R in boxes
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(document))
    [recording] = recordings_in(tmp_path)
    assert recording.video.sampled_s == (0, 1, 2, 3, 4)
    K = integer_centres(room().K)

    def own_pixels(n, k):  # whole numbers are centres there, +0.5 here
        return opencv_pixels(own_corners(*boxes[n][1:]), poses[k], K) + 0.5

    assert_boxes_survive(recording, own_pixels)
    document["objects"][0]["size"] = [1, 0, 1]
    (tmp_path / "truth.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match=r"truth\.json: box 0 .*: expected three extents > 0"):
        recordings_in(tmp_path)


# nerfstudio


def nerfstudio(folder, **changes):
    poses = poses_in(set_world("z")) @ OPENGL
    K = np.asarray(room().K)
    frames = []
    for k in range(NUM_FRAMES):
        write_png(folder / "images" / f"frame_{k:05d}.png", room().rgb[k])
        write_png(folder / "depth" / f"frame_{k:05d}.png", units(room().depth_m[k]))
        frames.append(
            {
                "file_path": f"images/frame_{k:05d}.png",
                "depth_file_path": f"depth/frame_{k:05d}.png",
                "transform_matrix": poses[k].tolist(),
            }
        )
    document = {
        "camera_model": "OPENCV",
        "fl_x": K[0, 0],
        "fl_y": K[1, 1],
        "cx": K[0, 2],
        "cy": K[1, 2],
        "w": WIDTH,
        "h": HEIGHT,
        "frames": frames[::-1],
    }
    (folder / "transforms.json").write_text(json.dumps(document | changes))
    return poses


def test_nerfstudio(tmp_path):
    poses = nerfstudio(tmp_path)
    [recording] = recordings_in(tmp_path)
    assert_same_world(recording, floor_m=0.02)
    assert_same_depth(recording)
    assert_same_pictures(recording)
    assert np.allclose(
        relative(recording.cameras.T_world_camera), OPENGL @ relative(poses) @ OPENGL, atol=1e-6
    )


def test_nerfstudio_without_a_scale_gives_intrinsics_alone(tmp_path):
    nerfstudio(tmp_path)
    path = tmp_path / "transforms.json"
    document = json.loads(path.read_text())
    for frame in document["frames"]:
        del frame["depth_file_path"]
    path.write_text(json.dumps(document))
    geometry = recordings_in(tmp_path)[0].clip([0]).geometry
    assert geometry.T_world_camera is None
    assert np.allclose(geometry.K, room().K)
    path.write_text(json.dumps(document | {"is_metric": True}))
    assert recordings_in(tmp_path)[0].cameras.T_world_camera is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"camera_model": "OPENCV_FISHEYE"}, "camera_model: expected"),
        ({"fl_x": None}, "fl_x: expected"),
        ({"frames": [{"file_path": "images/frame_00000.png"}]}, "field 'transform_matrix'"),
    ],
)
def test_damaged_transforms(tmp_path, change, said):
    nerfstudio(tmp_path, **change)
    with pytest.raises(FormatError, match=rf"transforms\.json: {said}|{said}"):
        recordings_in(tmp_path)


# ARKitScenes


def arkitscenes(folder, video="47333462"):
    T_set = set_world("z")
    poses, boxes = poses_in(T_set), boxes_in(T_set)
    frames = folder / video / f"{video}_frames"
    K = integer_centres(room().K)
    path_lines = []
    for k, pose in enumerate(poses):
        t_s = 100.25 + 0.5 * k
        write_png(frames / "lowres_wide" / f"{video}_{t_s:.3f}.png", room().rgb[k])
        write_png(frames / "lowres_depth" / f"{video}_{t_s:.3f}.png", units(room().depth_m[k]))
        off_s = (0.0, 0.001, -0.001)[k % 3]
        pincam = frames / "lowres_wide_intrinsics" / f"{video}_{t_s + off_s:.3f}.pincam"
        pincam.parent.mkdir(exist_ok=True)
        pincam.write_text(f"{WIDTH} {HEIGHT} {K[0, 0]} {K[1, 1]} {K[0, 2]} {K[1, 2]}")
        inverted = np.linalg.inv(pose)
        turn = Rotation.from_matrix(inverted[:3, :3]).as_rotvec()
        path_lines.append(" ".join(f"{v:.9f}" for v in (t_s, *turn, *inverted[:3, 3])))
    (frames / "lowres_wide.traj").write_text("\n".join(path_lines) + "\n")
    data = [
        {
            "label": label,
            "segments": {
                "obbAligned": {
                    "centroid": c.tolist(),
                    "axesLengths": s.tolist(),
                    "normalizedAxes": R.T.ravel().tolist(),  # rows are axes
                }
            },
        }
        for label, c, s, R in boxes
    ]
    annotation = folder / video / f"{video}_3dod_annotation.json"
    annotation.write_text(json.dumps({"skipped": False, "data": data}))
    return annotation


def test_arkitscenes(tmp_path):
    annotation = arkitscenes(tmp_path)
    [recording] = recordings_in(tmp_path)
    assert recording.name == "47333462"
    assert_same_world(recording, floor_m=0.02)
    assert_same_depth(recording)
    data = json.loads(annotation.read_text())["data"]
    poses, K = poses_in(set_world("z")), integer_centres(room().K)

    def own_pixels(n, k):  # as the authors' compute_box_3d: transposed axes times half lengths
        box = data[n]["segments"]["obbAligned"]
        axes = np.array(box["normalizedAxes"]).reshape(3, 3)
        half = np.array(box["axesLengths"]) / 2
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        points = (axes.T @ (signs * half).T).T + box["centroid"]
        return opencv_pixels(points, poses[k], K) + 0.5

    assert_boxes_survive(recording, own_pixels)


def test_a_damaged_path_of_arkitscenes(tmp_path):
    arkitscenes(tmp_path)
    [path] = tmp_path.rglob("lowres_wide.traj")
    path.write_text("100.0 0 0 0 1\n")
    with pytest.raises(FormatError, match=r"lowres_wide\.traj:1: expected \(7,\) finite numbers"):
        recordings_in(tmp_path)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_camera_held_on_its_side_comes_upright(tmp_path, turns):
    """The sensor's pictures, axes and K are turned; what comes out is the room as it was."""
    posed = tmp_path / "turned"
    K, width, height = np.array(room().K, np.float64), WIDTH, HEIGHT
    T = poses_in(set_world("y"))
    for _ in range(turns):  # turned right: (u, v) comes to (height - v, u)
        K = np.array([[K[1, 1], 0, height - K[1, 2]], [0, K[0, 0], K[0, 2]], [0, 0, 1]])
        T = T @ np.array([[0, 1.0, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        width, height = height, width
    boxes = boxes_in(set_world("y"))
    for k in range(NUM_FRAMES):
        write_png(posed / f"{k}.png", np.rot90(room().rgb[k], -turns))
    document = {
        "K": integer_centres(K).tolist(),
        "gravity": [0, -1, 0],
        "frames": [
            {"file": f"{k}.png", "t_ns": k, "T_world_camera": T[k].tolist()}
            for k in range(NUM_FRAMES)
        ],
        "objects": [
            {"category": label, "center": c.tolist(), "size": s.tolist(), "R": R.tolist()}
            for label, c, s, R in boxes
        ],
    }
    (posed / "truth.json").write_text(json.dumps(document))
    [recording] = recordings_in(posed)
    assert (recording.video.width_px, recording.video.height_px) == (WIDTH, HEIGHT)
    assert np.allclose(recording.cameras.K, room().K)
    assert_same_pictures(recording)
    poses = poses_in(set_world("y"))

    def own_pixels(n, k):
        return opencv_pixels(own_corners(*boxes[n][1:]), poses[k], np.asarray(room().K))

    assert_boxes_survive(recording, own_pixels)


# What all share


def test_every_reader_knows_its_own_folder_alone(tmp_path):
    makers = {
        "sidecar": sidecar,
        "7-scenes": seven_scenes,
        "tum": tum,
        "posed-images": posed_images,
        "nerfstudio": nerfstudio,
        "arkitscenes": arkitscenes,
    }
    for name, make in makers.items():
        folder = tmp_path / name
        folder.mkdir()
        make(folder)
        roots = {"7-scenes": folder / "chess", "tum": folder / "rgbd_dataset_freiburg3_room"}
        root = roots.get(name, folder)
        fitting = [reader.name for reader in READERS.values() if reader.recognises(root)]
        assert fitting == [name]
        assert reader_of(root).name == name


def test_windows_hold_what_the_whole_clip_holds(tmp_path):
    posed_images(tmp_path)
    recording = pickle.loads(pickle.dumps(recordings_in(tmp_path)[0]))
    whole = recording.clip(side_px=80)
    windows = list(recording.windows(FrameRequest(side_px=80, window=3, overlap=1)))
    assert [(w.start, w.num_repeated, len(w.rgb)) for w in windows] == [(0, 0, 3), (2, 1, 3)]
    fresh = [window.fresh() for window in windows]
    assert np.array_equal(np.concatenate([w.rgb for w in fresh]), whole.rgb)
    depth = np.concatenate([w.geometry.depth_m for w in fresh])
    assert np.array_equal(depth, whole.geometry.depth_m, equal_nan=True)
    assert np.allclose(whole.geometry.K[:2] * 2, np.asarray(room().K)[:2])
    assert whole.rgb.shape[1:] == (60, 80, 3)


def test_frames_of_unlike_cameras_come_as_one_camera(tmp_path):
    """A pixel keeps its ray: the dot moves to where the common camera sees it."""
    sidecar(tmp_path)
    path = tmp_path / "walk.geometry.json"
    document = json.loads(path.read_text())
    for k, frame in enumerate(document["frames"]):
        K = np.array(room().K, np.float64)
        K[0, 2] += 12.0 * (k == 1)  # the second camera's centre is off
        frame["K"] = K.tolist()
    path.write_text(json.dumps(document))
    clip = recordings_in(tmp_path)[0].clip()
    assert np.allclose(clip.geometry.K, room().K)
    shifted = room().depth_m[1][:, 12:]
    found = clip.geometry.depth_m[1][:, : WIDTH - 12]
    known = np.isfinite(found)
    assert known.mean() > 0.9
    assert np.abs(found - shifted)[known].max() < 0.0011
    assert np.isnan(clip.geometry.depth_m[1][:, WIDTH - 11 :]).all()


def test_boxes_out_of_every_picture_are_not_observed(tmp_path):
    sidecar(tmp_path)
    path = tmp_path / "walk.geometry.json"
    document = json.loads(path.read_text())
    document["objects"][0]["center_m"] = [500.0, 0.0, 0.0]
    path.write_text(json.dumps(document))
    [recording] = recordings_in(tmp_path)
    far, *others = recording.objects
    assert far.id not in {item.id for item in recording.code().objects}
    assert recording.code().objects == tuple(o for o in others if o.num_observations)
    assert (far.num_observations, far.visibility) == (0, 0.0)
    assert any(item.num_observations for item in others)
