"""Readers of data sets that pack their frames: each on a fixture in its own file format."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
import zlib

import cv2
import numpy as np
import pytest
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from spatialcode.errors import FormatError
from spatialcode.recordings.registry import READERS, recordings_in
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


def encoded(image, suffix=".png"):
    done, data = cv2.imencode(suffix, image[..., ::-1] if image.ndim == 3 else image)
    assert done
    return data.tobytes()


def opengl_pixels(points, T_world_camera, K):
    """Pixels of a camera with x right, y up, z backward, K with centres at +0.5."""
    local = (points - T_world_camera[:3, 3]) @ T_world_camera[:3, :3]
    away = np.where(local[:, 2] < -0.05, -local[:, 2], np.nan)
    u = K[0, 0] * local[:, 0] / away + K[0, 2]
    v = K[1, 2] - K[1, 1] * local[:, 1] / away
    return np.stack([u, v], axis=-1)


# ScanNet

BOX_MESH = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2.0


def sens_bytes(poses, K, K_depth, times_us):
    def matrix(K):
        full = np.eye(4)
        full[:3, :3] = K
        return struct.pack("<16f", *full.ravel())

    out = struct.pack("<IQ", 4, 8) + b"Occipial"
    out += matrix(K) + matrix(np.eye(3)) + matrix(K_depth) + matrix(np.eye(3))
    out += struct.pack("<iiIIIIfQ", 2, 1, WIDTH, HEIGHT, WIDTH, HEIGHT, 1000.0, len(poses))
    for k, pose in enumerate(poses):
        color = encoded(room().rgb[k % NUM_FRAMES], ".jpg")
        depth = zlib.compress(units(room().depth_m[k % NUM_FRAMES]).tobytes())
        out += struct.pack("<16f", *np.asarray(pose).ravel())
        out += struct.pack("<QQQQ", times_us[k], times_us[k], len(color), len(depth))
        out += color + depth
    return out + struct.pack("<Q", 0)  # no IMU frames


def scannet(folder, scan="scene0000_00", K_depth=None):
    """The scan's frame differs from the aligned one by a turn; boxes are upright in the latter."""
    T_aligned = set_world("z", yaw_rad=0.0)  # walls along x and y, as after alignment
    alignment = set_world("z", yaw_rad=0.3, floor_m=0.1)
    T_scan = np.linalg.inv(alignment) @ T_aligned
    root = folder / scan
    root.mkdir()
    K = integer_centres(room().K)
    poses = [*poses_in(T_scan), np.full((4, 4), -np.inf)]
    times_us = [1_000_000 + 500_000 * k for k in range(len(poses))]
    (root / f"{scan}.sens").write_bytes(
        sens_bytes(poses, K, K if K_depth is None else K_depth, times_us)
    )
    text = " ".join(f"{v:.9f}" for v in alignment.ravel())
    (root / f"{scan}.txt").write_text(f"appVersionId = 1\naxisAlignment = {text}\n")
    boxes = [
        (label, c, s)
        for label, c, s in (
            ("chair", np.array([2.0, 0.5, 0.9]), np.array([0.6, 0.5, 0.8])),
            ("office chair", np.array([0.5, 1.0, 0.8]), np.array([0.5, 0.7, 1.0])),
            ("wall", np.array([0.0, 3.0, 1.5]), np.array([4.0, 0.1, 2.5])),
        )
    ]
    aligned = np.concatenate([c + BOX_MESH * s for _, c, s in boxes])
    vertices = (aligned - alignment[:3, 3]) @ alignment[:3, :3]
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment made\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\n"
        "element face 0\nproperty list uchar int vertex_indices\nend_header\n"
    )
    data = b"".join(struct.pack("<fffBBBB", *v, 1, 2, 3, 255) for v in vertices)
    (root / f"{scan}_vh_clean_2.ply").write_bytes(header.encode() + data)
    segments = np.arange(len(vertices)) // 4  # two segments an object
    (root / f"{scan}_vh_clean_2.0.010000.segs.json").write_text(
        json.dumps({"segIndices": segments.tolist()})
    )
    groups = [
        {"label": label, "segments": [2 * n, 2 * n + 1]} for n, (label, _, _) in enumerate(boxes)
    ]
    (root / f"{scan}.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    return root, boxes[:2], poses_in(T_aligned)


def test_scannet(tmp_path):
    _, boxes, aligned_poses = scannet(tmp_path)
    [recording] = recordings_in(tmp_path)
    assert recording.num_frames == NUM_FRAMES  # the lost pose is left out
    assert recording.video.sampled_s == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert_same_world(recording, floor_m=0.02)
    assert_same_depth(recording)
    assert_same_pictures(recording, difference=6)  # JPEG
    assert [item.label for item in recording.objects] == ["chair", "office chair"]
    K = integer_centres(room().K)
    seen = 0
    for item, (_, c, s) in zip(recording.objects, boxes, strict=True):
        for k in range(NUM_FRAMES):
            expected = opencv_pixels(c + BOX_MESH * s, aligned_poses[k], K) + 0.5
            found = opencv_pixels(
                own_corners(np.array(item.center_m), np.array(item.size_m), rotation_of(item)),
                recording.cameras.T_world_camera[k],
                recording.cameras.K[k],
            )
            sound = np.isfinite(expected).all() and np.isfinite(found).all()
            if sound:
                seen += 1
                for point in expected:
                    assert np.abs(found - point).max(axis=1).min() < 0.02
    assert seen >= 2


def rotation_of(item):
    w, *xyz = item.quaternion_wxyz
    return Rotation.from_quat([*xyz, w]).as_matrix()


def test_depth_of_scannet_is_brought_into_the_colour_camera(tmp_path):
    K_depth = integer_centres(room().K)
    K_depth[0, 2] += 10.0
    scannet(tmp_path, K_depth=K_depth)
    depth = recordings_in(tmp_path)[0].frames.depth_m([0])[0]
    moved = room().depth_m[0][:, 10:]
    found = depth[:, : WIDTH - 10]
    known = np.isfinite(found)
    assert known.mean() > 0.9
    assert np.abs(found - moved)[known].max() < 0.0011


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: struct.pack("<I", 3) + data[4:], r"version: expected 4, got 3"),
        (lambda data: data[: len(data) // 2], r"ends|the file ends before"),
        (lambda data: data[:30], r"ends at byte 30"),
        (lambda data: data[:276] + struct.pack("<i", 7) + data[280:], r"compression: expected"),
    ],
)
def test_damaged_scans(tmp_path, damage, said):
    root, _, _ = scannet(tmp_path)
    path = root / "scene0000_00.sens"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FormatError, match=rf"scene0000_00\.sens: .*({said})"):
        recordings_in(tmp_path)


def test_a_mesh_of_another_scan(tmp_path):
    root, _, _ = scannet(tmp_path)
    path = root / "scene0000_00_vh_clean_2.0.010000.segs.json"
    path.write_text(json.dumps({"segIndices": [0, 1]}))
    with pytest.raises(FormatError, match=r"segs\.json: 2 segments of 24 vertices"):
        recordings_in(tmp_path)
    mesh = root / "scene0000_00_vh_clean_2.ply"
    mesh.write_bytes(mesh.read_bytes()[:-20])
    with pytest.raises(FormatError, match=r"clean_2\.ply: expected 24 vertices"):
        recordings_in(tmp_path)


# ScanNet++

DEPTH_HW = (192, 256)


def scannetpp(folder, form="lz4"):
    lz4 = pytest.importorskip("lz4.block")
    T_set = set_world("z")
    poses, boxes = poses_in(T_set), boxes_in(T_set)
    scene = folder / "0a5c013435"
    (scene / "iphone").mkdir(parents=True)
    (scene / "scans").mkdir()
    write_clip(room(), scene / "iphone" / "rgb.mkv")
    depth_bin = b""
    for k in range(NUM_FRAMES):
        depth = cv2.resize(room().depth_m[k], DEPTH_HW[::-1], interpolation=cv2.INTER_NEAREST)
        if form == "lz4":
            data = lz4.compress(units(depth).tobytes(), store_size=False)
        else:
            packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            data = packer.compress(depth.astype("<f4").tobytes()) + packer.flush()
        depth_bin += len(data).to_bytes(4, "little") + data
    (scene / "iphone" / "depth.bin").write_bytes(depth_bin)
    frames = {
        f"frame_{k:06d}": {
            "timestamp": 77.0 + 0.5 * k,
            "pose": np.eye(4).tolist(),
            "intrinsic": np.asarray(room().K).tolist(),
            "aligned_pose": poses[k].tolist(),
        }
        for k in range(NUM_FRAMES)
    }
    (scene / "iphone" / "pose_intrinsic_imu.json").write_text(json.dumps(frames))
    groups = [
        {
            "label": label,
            "obb": {
                "centroid": c.tolist(),
                "axesLengths": s.tolist(),
                "normalizedAxes": R.T.ravel().tolist(),
            },
        }
        for label, c, s, R in boxes
    ]
    groups.append({"label": "wall", "obb": groups[0]["obb"]})
    (scene / "scans" / "segments_anno.json").write_text(json.dumps({"segGroups": groups}))
    return scene, poses, boxes


@pytest.mark.parametrize("form", ["lz4", "zlib"])
def test_scannetpp(tmp_path, form):
    scene, poses, boxes = scannetpp(tmp_path, form)
    [recording] = recordings_in(tmp_path)
    assert recording.name == scene.name
    assert recording.video.sampled_s == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert_same_world(recording, floor_m=0.02)
    assert_same_pictures(recording, difference=6)
    depth = recording.frames.depth_m([2])[0]
    truth = cv2.resize(room().depth_m[2], DEPTH_HW[::-1], interpolation=cv2.INTER_NEAREST)
    assert np.nanmax(np.abs(depth - truth)) < 0.0011

    def own_pixels(n, k):
        return opencv_pixels(own_corners(*boxes[n][1:]), poses[k], np.asarray(room().K))

    assert_boxes_survive(recording, own_pixels)


def test_a_damaged_depth_stream(tmp_path):
    scene, _, _ = scannetpp(tmp_path)
    path = scene / "iphone" / "depth.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(FormatError, match=r"depth\.bin: frame 4: \d+ bytes do not follow"):
        recordings_in(tmp_path)
    path.write_bytes(whole[:4] + b"\xff" * 40 + whole[44:])
    with pytest.raises(FormatError, match=r"depth\.bin: byte 4: expected depth by LZ4 or zlib"):
        recordings_in(tmp_path)


# CA-1M


def ca1m(folder, packed=True):
    T_set = set_world("z")
    poses, boxes = poses_in(T_set), boxes_in(T_set)
    members = {}
    for k in range(NUM_FRAMES):
        stamp = f"42898570/{10**12 + 5 * 10**8 * k}"
        members[f"{stamp}.wide/image.png"] = encoded(room().rgb[k])
        K = integer_centres(room().K).tolist()
        members[f"{stamp}.wide/image/K.json"] = json.dumps(K).encode()
        members[f"{stamp}.gt/RT.json"] = json.dumps(poses[k].tolist()).encode()
        members[f"{stamp}.gt/depth.png"] = encoded(units(room().depth_m[k]))
    world = [
        {"id": str(n), "category": label, "position": c.tolist(), "scale": s.tolist(),
         "R": R.tolist()}
        for n, (label, c, s, R) in enumerate(boxes)
    ]  # fmt: skip
    world.append(world[0] | {"category": "ceiling"})
    members["42898570/world.gt/instances.json"] = json.dumps(world).encode()
    if packed:
        with tarfile.open(folder / "ca1m-val-42898570.tar", "w") as archive:
            for name, data in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    else:
        for name, data in members.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return poses, boxes


@pytest.mark.parametrize("packed", [True, False])
def test_ca1m(tmp_path, packed):
    poses, boxes = ca1m(tmp_path, packed)
    [recording] = recordings_in(tmp_path)
    assert recording.name == "42898570"
    assert recording.video.sampled_s == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert_same_world(recording, floor_m=0.02)
    assert_same_depth(recording)
    assert_same_pictures(recording)
    K = integer_centres(room().K)

    def own_pixels(n, k):
        return opencv_pixels(own_corners(*boxes[n][1:]), poses[k], K) + 0.5

    assert_boxes_survive(recording, own_pixels)


def test_a_truncated_archive(tmp_path):
    ca1m(tmp_path)
    path = tmp_path / "ca1m-val-42898570.tar"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(FormatError, match=r"ca1m-val-42898570\.tar"):
        recordings_in(tmp_path)


# Hypersim


def hypersim(folder, table=False):
    h5py = pytest.importorskip("h5py")
    scale = 0.02  # metres a unit
    T_set = set_world("z")
    poses, boxes = poses_in(T_set) @ OPENGL, boxes_in(T_set)
    scene = folder / "ai_001_002"

    def write(path, values):
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["dataset"] = np.asarray(values)

    detail = scene / "_detail"
    write(detail / "cam_00" / "camera_keyframe_orientations.hdf5", poses[:, :3, :3])
    write(detail / "cam_00" / "camera_keyframe_positions.hdf5", poses[:, :3, 3] / scale)
    (detail / "metadata_scene.csv").write_text(
        f"parameter_name,parameter_value\nmeters_per_asset_unit,{scale}\n"
    )
    K = np.asarray(room().K)
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    slant = np.sqrt(1 + ((u - K[0, 2]) / K[0, 0]) ** 2 + ((v - K[1, 2]) / K[1, 1]) ** 2)
    for k in range(NUM_FRAMES):
        image = scene / "images" / "scene_cam_00_final_preview" / f"frame.{k:04d}.tonemap.jpg"
        write_png(image, room().rgb[k])
        geometry = scene / "images" / "scene_cam_00_geometry_hdf5"
        write(geometry / f"frame.{k:04d}.depth_meters.hdf5", room().depth_m[k] * slant)
    stem = "metadata_semantic_instance_bounding_box_object_aligned_2d"
    nothing = np.full(3, np.inf)
    centers = [nothing, *(c / scale for _, c, _, _ in boxes)]
    sizes = [nothing, *(s / scale for _, _, s, _ in boxes)]
    rotations = [np.full((3, 3), np.inf), *(R for _, _, _, R in boxes)]
    for what, values in (
        ("positions", centers), ("extents", sizes), ("orientations", rotations)
    ):  # fmt: skip
        write(detail / "mesh" / f"{stem}_{what}.hdf5", values)
    write(detail / "mesh" / "mesh_objects_si.hdf5", np.array([5, 4, 5, 5] + [7] * len(boxes)))
    write(
        detail / "mesh" / "mesh_objects_sii.hdf5",
        np.array([1, 1, 1, -1, *range(2, len(boxes) + 2)]),
    )
    if table:
        # u and v from -1 to 1: half the width over the focal length.
        half = [WIDTH / 2 / K[0, 0], HEIGHT / 2 / K[1, 1]]
        shift = [(WIDTH / 2 - K[0, 2]) / K[0, 0], -(HEIGHT / 2 - K[1, 2]) / K[1, 1]]
        M = np.array([[half[0], 0, shift[0]], [0, half[1], shift[1]], [0, 0, -1]])
        names = [f"M_cam_from_uv_{i}{j}" for i in range(3) for j in range(3)]
        lines = [",".join(["scene_name", *names]), ",".join(["ai_001_002", *map(str, M.ravel())])]
        (folder / "metadata_camera_parameters.csv").write_text("\n".join(lines) + "\n")
    return scene, poses, boxes


def test_hypersim(tmp_path):
    _, poses, boxes = hypersim(tmp_path, table=True)
    [recording] = recordings_in(tmp_path)
    assert recording.name == "ai_001_002/cam_00"
    assert np.allclose(recording.cameras.K[0], room().K)
    assert_same_world(recording, floor_m=0.02)
    assert_same_depth(recording)
    assert_same_pictures(recording, difference=6)
    assert recording.objects[0].label == "chair"  # two votes of three
    assert {item.label for item in recording.objects[1:]} == {"table"}

    def own_pixels(n, k):
        return opengl_pixels(own_corners(*boxes[n][1:]), poses[k], np.asarray(room().K))

    assert_boxes_survive(recording, own_pixels)


def test_hypersim_without_the_table_sees_sixty_degrees(tmp_path):
    hypersim(tmp_path)
    K = recordings_in(tmp_path)[0].cameras.K[0]
    assert K[0, 0] == pytest.approx(80 / np.tan(np.radians(30)))
    assert K[:2, 2].tolist() == [80, 60]


def test_damaged_hypersim(tmp_path):
    scene, _, _ = hypersim(tmp_path)
    path = scene / "_detail" / "cam_00" / "camera_keyframe_positions.hdf5"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FormatError, match=r"positions\.hdf5: expected an HDF5 file"):
        recordings_in(tmp_path)
    (scene / "_detail" / "metadata_scene.csv").write_text("parameter_name,parameter_value\n")
    with pytest.raises(FormatError, match=r"metadata_scene\.csv: expected meters_per_asset_unit"):
        recordings_in(tmp_path)


# SUN RGB-D


def sun_rgbd(folder):
    """Levelled world: the camera at its origin, x right, y forward; frame by frame."""
    entries, truth = [], []
    for k in range(2):
        T_world_camera = np.asarray(room().T_world_camera[k], np.float64)
        T_level = np.eye(4)
        T_level[:3, 3] = -T_world_camera[:3, 3]
        pose = T_level @ T_world_camera  # camera at the origin, world's axes kept
        boxes = boxes_in(T_level)
        sequence = f"SUNRGBD/kv2/{k}"
        write_png(folder / sequence / "image" / "a.jpg", room().rgb[k])
        mm = units(room().depth_m[k])
        write_png(folder / sequence / "depth_bfx" / "a.png", (mm << 3) | (mm >> 13))
        K = integer_centres(room().K)
        K[:2, 2] += 1.0  # MATLAB counts from 1
        # Rtilt maps (x, z, -y) of the camera to the level frame.
        tilt = pose[:3, :3] @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
        entries.append(
            {
                "sequenceName": sequence,
                "rgbname": "a.jpg",
                "depthname": "a.png",
                "K": K,
                "Rtilt": tilt,
                "groundtruth3DBB": [
                    {"classname": label, "centroid": c, "basis": R.T, "coeffs": s / 2}
                    for label, c, s, R in boxes
                ],
            }
        )
        truth.append((K, tilt, boxes))
    savemat(folder / "SUNRGBDMeta3DBB_v2.mat", {"SUNRGBDMeta": entries})
    return truth


def test_sun_rgbd(tmp_path):
    truth = sun_rgbd(tmp_path)
    recordings = recordings_in(tmp_path)
    assert [one.num_frames for one in recordings] == [1, 1]
    depth = recordings[1].frames.depth_m([0])[0]
    assert np.nanmax(np.abs(depth - room().depth_m[1])) < 0.0011
    for recording, (K, tilt, boxes) in zip(recordings, truth, strict=True):

        def own_pixels(n, k, K=K, tilt=tilt, boxes=boxes):
            points = own_corners(*boxes[n][1:]) @ tilt  # inverse of a rotation
            x, y, z = points[:, 0], -points[:, 2], points[:, 1]  # (X, -Z, Y), as their toolbox
            z = np.where(z > 0.05, z, np.nan)
            pixels = np.stack([K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]], axis=-1)
            return pixels - 0.5  # from 1 at the first centre to 0.5

        assert_boxes_survive(recording, own_pixels)


def test_a_table_that_is_none(tmp_path):
    (tmp_path / "SUNRGBDMeta3DBB_v2.mat").write_bytes(b"MATLAB 5.0" * 3)
    with pytest.raises(FormatError, match=r"SUNRGBDMeta3DBB_v2\.mat: expected a table"):
        recordings_in(tmp_path)


# Record3D


def record3d(folder, per_frame=True, **changes):
    lzfse = pytest.importorskip("liblzfse")
    poses = poses_in(set_world("y")) @ OPENGL
    K = np.asarray(room().K)
    quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat()
    document = {
        "w": WIDTH,
        "h": HEIGHT,
        "dw": WIDTH,
        "dh": HEIGHT,
        "fps": 2,
        "K": K.T.ravel().tolist(),
        "poses": np.concatenate([quaternions, poses[:, :3, 3]], axis=1).tolist(),
        "frameTimestamps": [7.0 + 0.5 * k for k in range(NUM_FRAMES)],
    }
    if per_frame:
        four = [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
        document |= {"K": [0.0] * 9, "perFrameIntrinsicCoeffs": [four] * NUM_FRAMES}
    with zipfile.ZipFile(folder / "walk.r3d", "w") as archive:
        archive.writestr("metadata", json.dumps(document | changes))
        for k in range(NUM_FRAMES):
            archive.writestr(f"rgbd/{k}.jpg", encoded(room().rgb[k], ".jpg"))
            depth = room().depth_m[k].astype("<f4").tobytes()
            archive.writestr(f"rgbd/{k}.depth", lzfse.compress(depth))
    return poses


@pytest.mark.parametrize("per_frame", [True, False])
def test_record3d(tmp_path, per_frame):
    poses = record3d(tmp_path, per_frame)
    [recording] = recordings_in(tmp_path)
    assert np.allclose(recording.cameras.K, room().K)
    assert_same_world(recording, floor_m=0.02)
    assert_same_depth(recording, step_m=1e-6)
    assert_same_pictures(recording, difference=6)
    assert recording.video.sampled_s == pytest.approx([0, 0.5, 1, 1.5, 2])
    # A point two metres ahead of the first camera, seen by all, by both conventions.
    point = (poses[0] @ [0.1, -0.2, -2.0, 1])[:3]
    T_set_house = poses[0] @ OPENGL @ np.linalg.inv(recording.cameras.T_world_camera[0])
    ours = (np.linalg.inv(T_set_house) @ [*point, 1])[:3]
    for k in range(NUM_FRAMES):
        expected = opengl_pixels(point[None], poses[k], np.asarray(room().K))
        found = opencv_pixels(
            ours[None], recording.cameras.T_world_camera[k], recording.cameras.K[k]
        )
        assert np.allclose(found, expected, atol=0.02, equal_nan=True)


def test_damaged_record3d(tmp_path):
    record3d(tmp_path, poses=[[0, 0, 0, 1, 0, 0]])
    with pytest.raises(FormatError, match=r"walk\.r3d: metadata: poses: expected \(1, 7\)"):
        recordings_in(tmp_path)
    record3d(tmp_path, dh=HEIGHT + 1)
    with pytest.raises(FormatError, match=r"walk\.r3d: rgbd/\d\.depth: expected \(121, 160\)"):
        recordings_in(tmp_path)
    (tmp_path / "walk.r3d").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(FormatError, match=r"walk\.r3d: metadata: cannot be read"):
        recordings_in(tmp_path)


def test_each_folder_is_known_by_one_reader(tmp_path):
    makers = {
        "scannet": scannet,
        "scannetpp": scannetpp,
        "ca-1m": ca1m,
        "hypersim": hypersim,
        "sun-rgbd": sun_rgbd,
        "record3d": record3d,
    }
    for name, make in makers.items():
        folder = tmp_path / name
        folder.mkdir()
        make(folder)
        assert [r.name for r in READERS.values() if r.recognises(folder)] == [name]
