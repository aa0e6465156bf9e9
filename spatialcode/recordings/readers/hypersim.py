"""Hypersim (Roberts et al., ICCV 2021): rendered walks through indoor scenes.

``ai_VVV_NNN/_detail/metadata_scene.csv`` (``meters_per_asset_unit``), ``_detail/cam_XX/`` with
``camera_keyframe_orientations.hdf5`` (camera to world, OpenGL cameras) and ``…positions.hdf5``
(asset units), ``images/scene_cam_XX_final_preview/frame.IIII.tonemap.jpg``,
``images/scene_cam_XX_geometry_hdf5/frame.IIII.depth_meters.hdf5`` (distances to the camera's
centre, here turned into z-depth),
``_detail/mesh/metadata_semantic_instance_bounding_box_object_aligned_2d_*.hdf5`` (asset units; full
extents; box to world). World z up. Camera: 60° across, unless the data set's
``metadata_camera_parameters.csv`` lies in the folder or above it; scenes whose camera is tilted or
shifted by it are refused. Labels: NYU40 names by ``mesh_objects_si.hdf5`` and ``…sii.hdf5`` of the
data set's repository, put into ``_detail/mesh``; without them all boxes are called object. A clip
is one camera, a second a frame. Read against the authors' README and tools, not against data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import FormatError
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.conversion import GivenBox, opencv_from_opengl, up_vector
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import existing, hdf5_array, number_array, picture, table_rows
from spatialcode.recordings.recording import ImageFrames, Recording
from spatialcode.recordings.registry import recording_reader
from spatialcode.scene.frames import pixel_centres

_HFOV_RAD = np.pi / 3
_PARAMETERS = "metadata_camera_parameters.csv"
_BOXES = "metadata_semantic_instance_bounding_box_object_aligned_2d"
#: The class names of NYU40 (Gupta et al., CVPR 2013), from 1 on.
_NYU40 = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
    "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror",
    "floor mat", "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel",
    "shower curtain", "box", "whiteboard", "person", "night stand", "toilet", "sink", "lamp",
    "bathtub", "bag", "other structure", "other furniture", "other prop",
)  # fmt: skip
_NO_OBJECTS = frozenset({"wall", "floor", "ceiling", "other structure"})


@recording_reader
class Hypersim:
    """One scene's folder, or a folder of such."""

    name = "hypersim"
    layout = "ai_VVV_NNN/_detail/metadata_scene.csv, _detail/cam_XX, images/"

    def recognises(self, folder: Path) -> bool:
        return bool(_scenes(folder))

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        for scene in _scenes(folder):
            detail = scene / "_detail"
            shared = [detail / "metadata_scene.csv", detail / "mesh"]
            shared += [path for path in _parameters(scene) if path.is_file()]
            for camera in sorted(detail.glob("cam_*")):
                own = (camera, *_image_folders(scene, camera))
                yield CapturePlace(camera, sources=(*own, *shared))

    def read(self, place: CapturePlace) -> Recording:
        camera = place.path
        scene = camera.parents[1]
        units_m = _metres_per_unit(scene / "_detail" / "metadata_scene.csv")
        boxes = _boxes(scene / "_detail" / "mesh", units_m)
        return assembled(_capture(scene, camera, units_m, boxes))


def _scenes(folder: Path) -> list[Path]:
    name = "_detail/metadata_scene.csv"
    return sorted({p.parents[1] for pattern in (name, f"*/{name}") for p in folder.glob(pattern)})


def _metres_per_unit(path: Path) -> float:
    for row in table_rows(path):
        if row.get("parameter_name") == "meters_per_asset_unit":
            value = float(number_array(row.get("parameter_value"), (), f"{path}: {row}"))
            if value > 0:
                return value
    raise FormatError(f"{path}: expected meters_per_asset_unit > 0")


def _image_folders(scene: Path, camera: Path) -> tuple[Path, Path]:
    """Where a camera's pictures and depth maps are."""
    images = scene / "images"
    name = f"scene_{camera.name}"
    return images / f"{name}_final_preview", images / f"{name}_geometry_hdf5"


def _parameters(scene: Path) -> tuple[Path, Path]:
    """Where the data set's table of cameras may be."""
    return scene / _PARAMETERS, scene.parent / _PARAMETERS


def _capture(scene: Path, camera: Path, units_m: float, boxes: tuple[GivenBox, ...]) -> Capture:
    final, geometry = _image_folders(scene, camera)
    pictures = tuple(sorted(final.glob("frame.*.tonemap.jpg")))
    if not pictures:
        raise FormatError(f"{final}: expected pictures frame.IIII.tonemap.jpg")
    numbers = [_number(path) for path in pictures]
    path = camera / "camera_keyframe_orientations.hdf5"
    orientations = hdf5_array(path)
    positions = hdf5_array(camera / "camera_keyframe_positions.hdf5")
    num = len(positions)
    if orientations.shape != (num, 3, 3) or positions.shape != (num, 3) or max(numbers) >= num:
        got = f"{orientations.shape} and {positions.shape}"
        raise FormatError(f"{path}: expected poses of frame {max(numbers)}, got {got}")
    poses = np.tile(np.eye(4), (len(numbers), 1, 1))
    poses[:, :3, :3] = orientations[numbers]
    poses[:, :3, 3] = positions[numbers] * units_m
    height, width = picture(pictures[0].read_bytes(), str(pictures[0])).shape[:2]
    K = _intrinsics(scene, width, height)
    depths = tuple(geometry / f"frame.{number:04d}.depth_meters.hdf5" for number in numbers)
    there = geometry.is_dir()
    return Capture(
        name=f"{scene.name}/{camera.name}",
        path=camera,
        frames=ImageFrames(
            pictures, tuple(map(existing, depths)) if there else (), partial(z_depth, K=_Lens(K))
        ),
        times_s=np.array(numbers, np.float64),
        size_px=(width, height),
        K=K,
        T_world_camera=opencv_from_opengl(poses),
        up=up_vector("z"),
        boxes=boxes,
    )


@dataclass(frozen=True, eq=False)
class _Lens:
    """K of the pictures, which depth maps share."""

    K: NDArray[np.float64]


def z_depth(path: Path, K: _Lens) -> NDArray[np.float32]:
    """z-depth (h, w) in metres from distances to the camera's centre; NaN where there are none."""
    distance = hdf5_array(path).astype(np.float64)
    if distance.ndim != 2:
        raise FormatError(f"{path}: expected (h, w) distances, got {distance.shape}")
    rays = (pixel_centres(distance.shape[1], distance.shape[0]) - K.K[:2, 2]) / np.diag(K.K)[:2]
    z = distance / np.sqrt(1.0 + (rays**2).sum(axis=-1))
    return np.where(np.isfinite(z) & (z > 0), z, np.nan).astype(np.float32)


def _number(path: Path) -> int:
    digits = path.name.split(".")[1]
    if not digits.isdigit():
        raise FormatError(f"{path}: expected frame.IIII.tonemap.jpg")
    return int(digits)


def _intrinsics(scene: Path, width: int, height: int) -> NDArray[np.float64]:
    """K of a scene: by the data set's table where it is at hand, else 60° across."""
    path = next((p for p in _parameters(scene) if p.is_file()), None)
    if path is None:
        focal = width / 2 / np.tan(_HFOV_RAD / 2)
        return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    row = next((r for r in table_rows(path) if r.get("scene_name") == scene.name), None)
    if row is None:
        raise FormatError(f"{path}: expected a row of scene {scene.name}")
    entries = [row.get(f"M_cam_from_uv_{i}{j}") for i in range(3) for j in range(3)]
    M_cam_from_uv = number_array(entries, (3, 3), f"{path}: {scene.name}: M_cam_from_uv")
    # (u, v) run from -1 to 1 over the picture, v upwards; the camera is OpenGL's.
    M_pixel_from_uv = np.array([[width / 2, 0, width / 2], [0, -height / 2, height / 2], [0, 0, 1]])
    K = M_pixel_from_uv @ np.linalg.inv(M_cam_from_uv) @ np.diag([1.0, -1.0, -1.0])
    K = K / K[2, 2]
    skewed = abs(K[0, 1]) + abs(K[1, 0]) + 1e3 * (abs(K[2, 0]) + abs(K[2, 1]))
    if skewed > 0.5:
        raise FormatError(f"{path}: {scene.name}: expected an upright pinhole, got {K.tolist()}")
    return K * np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1]])


def _boxes(mesh: Path, units_m: float) -> tuple[GivenBox, ...]:
    paths = [mesh / f"{_BOXES}_{what}.hdf5" for what in ("positions", "extents", "orientations")]
    if not all(path.is_file() for path in paths):
        return ()
    centers, sizes, rotations = (hdf5_array(path) for path in paths)
    if not len(centers) == len(sizes) == len(rotations):
        raise FormatError(f"{paths[0]}: expected as many positions as extents and orientations")
    labels = _labels(mesh)
    boxes = []
    for n in range(len(centers)):
        label = labels.get(n, "object") if labels else "object"
        sound = (
            np.isfinite(centers[n]).all() and np.isfinite(sizes[n]).all() and (sizes[n] > 0).all()
        )
        if sound and label not in _NO_OBJECTS:
            size = np.maximum(sizes[n] * units_m, 1e-3)
            boxes.append(GivenBox(label, centers[n] * units_m, size, rotations[n]))
    return tuple(boxes)


def _labels(mesh: Path) -> dict[int, str]:
    """NYU40 names by semantic instance, the most frequent of its parts; empty where not at hand."""
    paths = [mesh / "mesh_objects_si.hdf5", mesh / "mesh_objects_sii.hdf5"]
    if not all(path.is_file() for path in paths):
        return {}
    classes, instances = (np.asarray(hdf5_array(path)).ravel() for path in paths)
    votes: dict[int, Counter[int]] = {}
    for kind, instance in zip(classes.tolist(), instances.tolist(), strict=True):
        if 1 <= kind <= len(_NYU40):
            votes.setdefault(int(instance), Counter())[int(kind)] += 1
    return {n: _NYU40[count.most_common(1)[0][0] - 1] for n, count in votes.items()}
