"""Structure from motion of one clip by pycolmap, in this process: features, matches, two mappers.

The global mapper places all frames at once; where it places too few, the incremental one is asked,
and refused where its focal length is far from what else is known of it: one that bends a path bends
the lens with it. Everything is in memory, on one thread, from fixed seeds. What is called here may
crash or run for very long: `spatialcode.encoder.structure.process` runs it in a child.

Source: the global mapper (Pan et al., "Global Structure-from-Motion Revisited", ECCV 2024) and the
incremental one (Schönberger and Frahm, CVPR 2016) of COLMAP. Which is believed: source none.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import cv2  # noqa: F401  before pycolmap: the other order aborts the process
import numpy as np
import pycolmap
from jaxtyping import Float
from numpy.typing import NDArray

from spatialcode.encoder.odometry.audit import audit_path
from spatialcode.encoder.structure.belief import disbelief
from spatialcode.encoder.structure.frames import DenseFrames
from spatialcode.encoder.structure.lens import agreement, focal_of_pairs
from spatialcode.encoder.structure.matching import (
    Features,
    extract,
    frame_pairs,
    matches,
    unit_descriptors,
)
from spatialcode.encoder.structure.settings import StructureSettings
from spatialcode.encoder.structure.structure import Mapper, Structure, StructureError

Array = NDArray[np.float64]

_SEED = 0
_CAMERA, _RIG = 1, 1
#: Where the lens is unknown, mappers begin with this many longer sides of the picture.
_FIRST_FOCAL = 1.0
#: Share of neighbouring frames that must have something in common.
_MIN_LINKED = 0.6
#: Mappers take no model of fewer frames.
_LEAST_FRAMES = 4
#: A frame that sees fewer points is not placed by them.
_LEAST_POINTS = 10


@dataclass(frozen=True, eq=False)
class Matched:
    """Frames with their features and what pairs of them have in common, in a database in memory.

    ``F`` (K, 3, 3): fundamental matrices of pairs between which the camera did not only turn.
    """

    frames: DenseFrames
    database: Any
    F: Float[np.ndarray, "k 3 3"]
    lens_is_known: bool


def reconstruct(
    frames: DenseFrames, K: Float[np.ndarray, "3 3"] | None, settings: StructureSettings
) -> Structure:
    """Cameras and points of a clip. ``K`` in pixels of the frames where the lens is known.

    StructureError where the camera went nowhere, frames have too little in common, or neither
    mapper gives a model that meets the settings.
    """
    _check_motion(frames, K)
    pycolmap.set_random_seed(_SEED)
    matched = match(frames, K, settings)
    mappers: tuple[Mapper, ...] = ("global", "incremental")
    found: Structure | None = None
    problems = []
    for mapper in mappers:
        structure = _mapped(matched, mapper, settings)
        if structure is None:
            problems.append(f"the {mapper} mapper placed no frame")
            continue
        problem = disbelief(structure, settings, _other_focal_px(matched, found))
        if problem is None:
            return structure
        problems.append(f"the {mapper} mapper: {problem}")
        found = structure
    raise StructureError("; ".join(problems))


def _check_motion(frames: DenseFrames, K: Array | None) -> None:
    """StructureError for a camera that stood or only turned: a mapper would bend the lens until
    such a turn looks like a path.
    """
    width, height = frames.size_px
    focal = _FIRST_FOCAL * max(frames.size_px)
    assumed = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    lens = assumed if K is None else K
    movers = None if frames.movers is None else list(frames.movers)
    motion = audit_path(list(frames.gray), lens, K is not None, ignored=movers).motion
    if motion != "full":
        raise StructureError("the camera stood still" if motion == "still" else "it only turned")


def match(
    frames: DenseFrames, K: Float[np.ndarray, "3 3"] | None, settings: StructureSettings
) -> Matched:
    """Features of all frames and matches between them. StructureError where neighbouring frames
    have too little in common.
    """
    features = _features(frames, settings)
    camera = _camera(frames.size_px, K)
    database = _database(features, camera)
    described = [unit_descriptors(f) for f in features]
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = _SEED
    F, linked = list[Array](), set[tuple[int, int]]()
    for a, b in frame_pairs(features, settings):
        pairs = matches(described[a], described[b])
        if len(pairs) < options.min_num_inliers:
            continue
        two = pycolmap.estimate_two_view_geometry(
            camera, features[a].points_px, camera, features[b].points_px, pairs, options
        )
        if len(two.inlier_matches) < options.min_num_inliers:
            continue
        database.write_matches(a + 1, b + 1, pairs)
        database.write_two_view_geometry(a + 1, b + 1, two)
        linked.add((a, b))
        if two.config == pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED:
            F.append(np.asarray(two.F, np.float64))
    neighbours = [pair in linked for pair in itertools.pairwise(range(len(features)))]
    if len(features) < _LEAST_FRAMES or np.mean(neighbours) < _MIN_LINKED:
        raise StructureError(
            f"{sum(neighbours)} of {len(neighbours)} pairs of neighbouring frames have enough in "
            "common"
        )
    return Matched(frames, database, np.array(F).reshape(-1, 3, 3), K is not None)


def _features(frames: DenseFrames, settings: StructureSettings) -> list[Features]:
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads, options.use_gpu = 1, False
    options.sift.max_num_features = settings.num_features
    extractor = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)
    movers = itertools.repeat(None) if frames.movers is None else frames.movers
    return [extract(gray, mask, extractor) for gray, mask in zip(frames.gray, movers, strict=False)]


def _camera(size_px: tuple[int, int], K: Array | None) -> Any:
    """The camera of all frames: of a known pinhole, or of one unknown focal length and one term of
    radial distortion.
    """
    width, height = size_px
    focal = _FIRST_FOCAL * max(size_px) if K is None else float(K[0, 0])
    model = "SIMPLE_RADIAL" if K is None else "PINHOLE"
    camera = pycolmap.Camera.create_from_model_name(_CAMERA, model, focal, width, height)
    if K is not None:
        camera.params = [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
        camera.has_prior_focal_length = True
    return camera


def _database(features: list[Features], camera: Any) -> Any:
    """A database in memory that holds the frames and their features; image ids begin at 1."""
    database = pycolmap.Database.open(":memory:")
    database.write_camera(camera, use_camera_id=True)
    rig = pycolmap.Rig(rig_id=_RIG)
    rig.add_ref_sensor(camera.sensor_id)
    database.write_rig(rig, use_rig_id=True)
    for number, found in enumerate(features, start=1):
        image = pycolmap.Image(name=f"{number:06}", camera_id=_CAMERA)
        image.image_id = number
        frame = pycolmap.Frame(frame_id=number, rig_id=_RIG)
        frame.add_data_id(image.data_id)
        database.write_image(image, use_image_id=True)
        database.write_frame(frame, use_frame_id=True)
        database.write_keypoints(number, found.points_px.astype(np.float32))
    return database


def _mapped(matched: Matched, mapper: Mapper, settings: StructureSettings) -> Structure | None:
    """The largest model of a mapper, or None where it makes none."""
    manager = pycolmap.ReconstructionManager()
    make = _global if mapper == "global" else _incremental
    make(matched, settings, manager).run()
    models = [manager.get(k) for k in range(manager.size())]
    largest = max(models, key=lambda m: m.num_reg_images(), default=None)
    if largest is None or not largest.num_points3D():
        return None
    return _structure(largest, matched, mapper)


def _global(matched: Matched, settings: StructureSettings, manager: Any) -> Any:  # noqa: ARG001
    options = pycolmap.GlobalPipelineOptions()
    options.num_threads, options.random_seed = 1, _SEED
    adjustment = options.mapper.bundle_adjustment
    adjustment.refine_focal_length = not matched.lens_is_known
    adjustment.refine_extra_params = not matched.lens_is_known
    return pycolmap.GlobalPipeline(options, matched.database, manager)


def _incremental(matched: Matched, settings: StructureSettings, manager: Any) -> Any:
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed = 1, _SEED
    options.multiple_models, options.extract_colors = False, False
    options.max_runtime_seconds = max(1, int(settings.max_seconds))
    options.ba_refine_focal_length = not matched.lens_is_known
    options.ba_refine_extra_params = not matched.lens_is_known
    options.mapper.abs_pose_refine_focal_length = not matched.lens_is_known
    options.mapper.abs_pose_refine_extra_params = not matched.lens_is_known
    return pycolmap.IncrementalPipeline(options, matched.database, manager)


def _structure(model: Any, matched: Matched, mapper: Mapper) -> Structure | None:
    """A model of pycolmap as arrays, its unit such that the median depth of what is seen is 1; None
    where too few frames are held by enough points.
    """
    held = (k for k in model.reg_image_ids() if model.image(k).num_points3D >= _LEAST_POINTS)
    images = sorted(held)
    if len(images) < _LEAST_FRAMES:
        return None
    rows = np.array(images) - 1
    T = np.stack([_pose(model.image(k)) for k in images])
    row_of = {k: row for row, k in enumerate(images)}
    points: list[Array] = []
    errors, seen = [], []
    for point in model.points3D.values():
        for element in point.track.elements:
            if element.image_id not in row_of:
                continue
            pixel = model.image(element.image_id).points2D[element.point2D_idx].xy
            seen.append((len(points), row_of[element.image_id], *pixel))
        points.append(point.xyz)
        errors.append(point.error)
    where, sightings = np.array(points), np.array(seen)
    track_point, track_frame = sightings[:, 0].astype(int), sightings[:, 1].astype(int)
    camera = model.camera(_CAMERA)
    depth = np.einsum("mi,mi->m", where[track_point] - T[track_frame, :3, 3], T[track_frame, :3, 2])
    unit = float(np.median(depth[depth > 0]))
    T[:, :3, 3] /= unit
    return Structure(
        times_s=matched.frames.times_s[rows],
        T_world_camera=T,
        registered=len(images) / len(matched.frames.gray),
        K=np.asarray(camera.calibration_matrix(), np.float64),
        size_px=matched.frames.size_px,
        radial=0.0 if matched.lens_is_known else float(camera.params[-1]),
        focal_confidence=_focal_confidence(float(camera.focal_length_x), matched),
        points=where / unit,
        point_error_px=np.array(errors),
        track_point=track_point,
        track_frame=track_frame,
        track_px=sightings[:, 2:],
        error_px=float(np.median(errors)),
        parallax_deg=_parallax_deg(where / unit, T, track_point, track_frame),
        mapper=mapper,
    )


def _pose(image: Any) -> Array:
    """(4, 4) T_world_camera of a placed image."""
    T = np.eye(4)
    T[:3] = image.cam_from_world().inverse().matrix()
    return T


def _other_focal_px(matched: Matched, refused: Structure | None) -> float | None:
    """What is known of the focal length beside a mapper's own: of the model refused before, else of
    pairs of frames.
    """
    if matched.lens_is_known:
        return None
    if refused is not None:
        return float(refused.K[0, 0])
    return focal_of_pairs(matched.F, matched.frames.size_px)


def _focal_confidence(focal_px: float, matched: Matched) -> float:
    if matched.lens_is_known:
        return 1.0
    return agreement(focal_px, focal_of_pairs(matched.F, matched.frames.size_px))


def _parallax_deg(
    points: Array, T_world_camera: Array, track_point: NDArray[Any], track_frame: NDArray[Any]
) -> float:
    """Median over points of the largest angle between the first line of sight and another."""
    rays = points[track_point] - T_world_camera[track_frame, :3, 3]
    rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-12)
    order = np.lexsort((track_frame, track_point))
    first = order[np.searchsorted(track_point[order], np.arange(len(points)))]
    cosine = np.einsum("mi,mi->m", rays, rays[first][track_point])
    least = np.ones(len(points))
    np.minimum.at(least, track_point, cosine)
    return float(np.degrees(np.median(np.arccos(least.clip(-1, 1)))))
