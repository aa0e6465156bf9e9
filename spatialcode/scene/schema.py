"""The spatial code: what one video holds, in metres, seconds and world coordinates.

Every type is frozen, hashable and checked once, when it is built; the rest of the library
trusts it. Sequences and numpy arrays are accepted and stored as tuples of Python floats;
geometry is rounded to float32, times are float64. Frames and units: ``docs/conventions.md``.

It does not know whether numbers are true, only whether they are possible: objects may
overlap, leave the room, or be seen after the video's end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from spatialcode.errors import SchemaError
from spatialcode.scene import checks

FORMAT = "spatialcode/1"

Vec2 = tuple[float, float]
Vec3 = tuple[float, float, float]
Vec4 = tuple[float, float, float, float]
Matrix4 = tuple[Vec4, Vec4, Vec4, Vec4]
Motion = Literal["static", "moving"]
ScaleSource = Literal["metric-depth", "camera-height", "given"]


def make_id(label: str, n: int) -> str:
    """The id of a label's ``n``-th object, n from 1: ``("trash bin", 1)`` -> ``trash_bin_1``."""
    return checks.object_id("id", f"{checks.label_stem(checks.label('label', label))}_{n}", label)


def _store(instance: object, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def _instances(name: str, value: object, kind: type) -> tuple[Any, ...]:
    parts = checks.items(name, value)
    for i, part in enumerate(parts):
        if not isinstance(part, kind):
            raise SchemaError(f"{name}[{i}]", f"a {kind.__name__}", part)
    return parts


@dataclass(frozen=True)
class VideoInfo:
    """The video and the frames that were looked at.

    ``sha256``: of the file's bytes, empty if there was no file. ``width_px``, ``height_px``:
    upright, after rotation metadata. ``fps``: average rate in Hz, 0 if unknown. ``sampled_s``:
    presentation times of the frames used, non-decreasing seconds from the first frame.
    """

    uri: str
    sha256: str
    duration_s: float
    fps: float
    width_px: int
    height_px: int
    sampled_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _store(
            self,
            uri=checks.text("uri", self.uri),
            sha256=checks.sha256("sha256", self.sha256),
            duration_s=checks.time("duration_s", self.duration_s),
            fps=checks.non_negative("fps", self.fps),
            width_px=checks.integer("width_px", self.width_px, 1),
            height_px=checks.integer("height_px", self.height_px, 1),
            sampled_s=checks.times("sampled_s", self.sampled_s),
        )


@dataclass(frozen=True)
class TrackPoint:
    """Where an object was at one time: box centre (world, metres) and orientation."""

    t_s: float
    center_m: Vec3
    quaternion_wxyz: Vec4

    def __post_init__(self) -> None:
        _store(
            self,
            t_s=checks.time("t_s", self.t_s),
            center_m=checks.vector("center_m", self.center_m, 3),
            quaternion_wxyz=checks.quaternion("quaternion_wxyz", self.quaternion_wxyz),
        )


@dataclass(frozen=True)
class SceneObject:
    """One object: a labelled, oriented box in world coordinates, and its track.

    ``center_m``: a static object's position, a moving one's at ``last_seen_s``. ``size_m``: full
    extents along the box's own axes. ``score``: probability that it is there as labelled.
    ``visibility``: largest visible share of the object over the frames. ``num_observations``:
    frames that contributed. ``track``: times strictly increasing; a moving object has one.
    """

    id: str
    label: str
    score: float
    center_m: Vec3
    size_m: Vec3
    quaternion_wxyz: Vec4
    first_seen_s: float
    last_seen_s: float
    num_observations: int
    visibility: float
    motion: Motion
    track: tuple[TrackPoint, ...] = ()

    def __post_init__(self) -> None:
        label = checks.label("label", self.label)
        _store(
            self,
            label=label,
            id=checks.object_id("id", self.id, label),
            score=checks.fraction("score", self.score),
            center_m=checks.vector("center_m", self.center_m, 3),
            size_m=checks.size("size_m", self.size_m),
            quaternion_wxyz=checks.quaternion("quaternion_wxyz", self.quaternion_wxyz),
            first_seen_s=checks.time("first_seen_s", self.first_seen_s),
            last_seen_s=checks.time("last_seen_s", self.last_seen_s),
            num_observations=checks.integer("num_observations", self.num_observations, 0),
            visibility=checks.fraction("visibility", self.visibility),
            motion=checks.choice("motion", self.motion, get_args(Motion)),
            track=_instances("track", self.track, TrackPoint),
        )
        if self.last_seen_s < self.first_seen_s:
            expected = f"a time >= first_seen_s = {self.first_seen_s!r}"
            raise SchemaError("last_seen_s", expected, self.last_seen_s)
        for i in range(1, len(self.track)):
            before, t_s = self.track[i - 1].t_s, self.track[i].t_s
            if t_s <= before:
                raise SchemaError(f"track[{i}].t_s", f"a time > {before!r}", t_s)
        if self.motion == "moving" and not self.track:
            raise SchemaError("track", "at least one point for a moving object", self.track)


@dataclass(frozen=True)
class Camera:
    """Pose and pinhole intrinsics of one sampled frame.

    ``T_world_camera``: 4x4, OpenCV camera coordinates to world. Intrinsics in pixels of the
    video's full size (``VideoInfo.width_px`` x ``height_px``).
    """

    t_s: float
    T_world_camera: Matrix4
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float

    def __post_init__(self) -> None:
        _store(
            self,
            t_s=checks.time("t_s", self.t_s),
            T_world_camera=checks.rigid_transform("T_world_camera", self.T_world_camera),
            fx_px=checks.positive("fx_px", self.fx_px),
            fy_px=checks.positive("fy_px", self.fy_px),
            cx_px=checks.float32("cx_px", self.cx_px),
            cy_px=checks.float32("cy_px", self.cy_px),
        )

    def matrix(self) -> np.ndarray:
        """``T_world_camera`` as float64 (4, 4)."""
        return np.array(self.T_world_camera)

    def intrinsics(self) -> np.ndarray:
        """K as float64 (3, 3), pixels of the full-size video."""
        return np.array(
            [[self.fx_px, 0.0, self.cx_px], [0.0, self.fy_px, self.cy_px], [0.0, 0.0, 1.0]]
        )


@dataclass(frozen=True)
class Room:
    """Floor and ceiling heights (world z), floor outline (world x, y) and its area.

    ``ceiling_z_m`` is None if no ceiling was seen. ``polygon_m`` has no vertex, or at least
    three in order around the floor, the first not repeated.
    """

    floor_z_m: float
    ceiling_z_m: float | None
    polygon_m: tuple[Vec2, ...]
    area_m2: float

    def __post_init__(self) -> None:
        ceiling = self.ceiling_z_m
        polygon = checks.items("polygon_m", self.polygon_m)
        _store(
            self,
            floor_z_m=checks.float32("floor_z_m", self.floor_z_m),
            ceiling_z_m=None if ceiling is None else checks.float32("ceiling_z_m", ceiling),
            polygon_m=tuple(checks.vector(f"polygon_m[{i}]", p, 2) for i, p in enumerate(polygon)),
            area_m2=checks.non_negative("area_m2", self.area_m2),
        )
        if self.ceiling_z_m is not None and self.ceiling_z_m < self.floor_z_m:
            expected = f"a height >= floor_z_m = {self.floor_z_m!r}"
            raise SchemaError("ceiling_z_m", expected, self.ceiling_z_m)
        if len(self.polygon_m) in (1, 2):
            raise SchemaError("polygon_m", "no vertex or at least 3", self.polygon_m)


@dataclass(frozen=True)
class Scale:
    """Where the metres come from, and how sure that is (0 to 1)."""

    source: ScaleSource
    confidence: float

    def __post_init__(self) -> None:
        _store(
            self,
            source=checks.choice("source", self.source, get_args(ScaleSource)),
            confidence=checks.fraction("confidence", self.confidence),
        )


@dataclass(frozen=True)
class Provenance:
    """What made this code; hashes are empty where there is nothing to hash (exact truth)."""

    encoder: str
    weights_sha256: str
    config_sha256: str
    software: str
    work_key: str

    def __post_init__(self) -> None:
        _store(
            self,
            encoder=checks.text("encoder", self.encoder),
            weights_sha256=checks.sha256("weights_sha256", self.weights_sha256),
            config_sha256=checks.sha256("config_sha256", self.config_sha256),
            software=checks.text("software", self.software),
            work_key=checks.sha256("work_key", self.work_key),
        )


@dataclass(frozen=True)
class SpatialCode:
    """Everything known about one video. ``room`` is None if no floor was found.

    ``warnings``: sentences that say what in this code deserves less trust than its numbers claim.
    """

    video: VideoInfo
    objects: tuple[SceneObject, ...]
    cameras: tuple[Camera, ...]
    room: Room | None
    scale: Scale
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    _by_id: dict[str, SceneObject] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        (video,) = _instances("video", [self.video], VideoInfo)
        (scale,) = _instances("scale", [self.scale], Scale)
        (provenance,) = _instances("provenance", [self.provenance], Provenance)
        if self.room is not None and not isinstance(self.room, Room):
            raise SchemaError("room", "a Room or None", self.room)
        _store(
            self,
            video=video,
            objects=_instances("objects", self.objects, SceneObject),
            cameras=_instances("cameras", self.cameras, Camera),
            scale=scale,
            provenance=provenance,
            warnings=tuple(
                checks.text(f"warnings[{i}]", warning)
                for i, warning in enumerate(checks.items("warnings", self.warnings))
            ),
        )
        checks.times("cameras.t_s", [camera.t_s for camera in self.cameras])
        for i, item in enumerate(self.objects):
            if item.id in self._by_id:
                raise SchemaError(f"objects[{i}].id", "an id not used before", item.id)
            self._by_id[item.id] = item

    def object(self, object_id: str) -> SceneObject:
        """The object with that id; KeyError, naming the ids there are, if there is none."""
        try:
            return self._by_id[object_id]
        except KeyError:
            known = ", ".join(self._by_id) or "none"
            raise KeyError(f"no object {object_id!r}; there are: {known}") from None
