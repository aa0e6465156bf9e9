"""The spatial code: what one video holds, in metres, seconds and world coordinates.

Every type is frozen, hashable and checked once, when it is built; the rest of the library
trusts it. Sequences and numpy arrays are accepted and stored as tuples of Python floats;
geometry is rounded to float32, times are float64. Frames and units: ``docs/conventions.md``.

It does not know whether numbers are true, only whether they are possible: objects may
overlap, leave the room, or be seen after the video's end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Annotated, Any, Literal, get_args, get_type_hints

import numpy as np

from spatialcode.errors import SchemaError
from spatialcode.scene import checks

FORMAT = "spatialcode/1"

Vec2 = tuple[float, float]
Vec3 = tuple[float, float, float]
Vec4 = tuple[float, float, float, float]
Matrix4 = tuple[Vec4, Vec4, Vec4, Vec4]
Motion = Literal["static", "moving"]
ScaleSource = Literal["metric-depth", "camera-height", "ceiling-height", "object-sizes", "given"]
PathSource = Literal["given", "structure", "odometry", "standing", "turning", "estimated"]

#: Types of fields, each with the check that gives the form in which a value is stored.
Text = Annotated[str, checks.text]
Sha256 = Annotated[str, checks.sha256]
Time = Annotated[float, checks.time]
Float32 = Annotated[float, checks.float32]
Positive = Annotated[float, checks.positive]
NonNegative = Annotated[float, checks.non_negative]
Fraction = Annotated[float, checks.fraction]
Count = Annotated[int, partial(checks.integer, minimum=0)]
NumPixels = Annotated[int, partial(checks.integer, minimum=1)]
Point = Annotated[Vec3, partial(checks.vector, length=3)]
Quaternion = Annotated[Vec4, checks.quaternion]


def make_id(label: str, n: int) -> str:
    """The id of a label's ``n``-th object, n from 1: ``("trash bin", 1)`` -> ``trash_bin_1``."""
    return checks.object_id("id", f"{checks.label_stem(checks.label('label', label))}_{n}", label)


def _store(instance: object, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(instance, name, value)


class _Checked:
    """Passes each field through the check that its type names, once, when the value is built."""

    def __post_init__(self) -> None:
        fields = _checks(type(self))  # type: ignore[arg-type]  # a class is hashable
        _store(self, **{name: check(name, getattr(self, name)) for name, check in fields})


@cache
def _checks(kind: type) -> tuple[tuple[str, Callable[[str, object], object]], ...]:
    hints = get_type_hints(kind, include_extras=True).items()
    return tuple(
        (name, hint.__metadata__[0]) for name, hint in hints if hasattr(hint, "__metadata__")
    )


def _instances(name: str, value: object, kind: type) -> tuple[Any, ...]:
    parts = checks.items(name, value)
    for i, part in enumerate(parts):
        if not isinstance(part, kind):
            raise SchemaError(f"{name}[{i}]", f"a {kind.__name__}", part)
    return parts


@dataclass(frozen=True)
class VideoInfo(_Checked):
    """The video and the frames that were looked at.

    ``sha256``: of the file's bytes, empty if there was no file. ``width_px``, ``height_px``:
    upright, after rotation metadata. ``fps``: average rate in Hz, 0 if unknown. ``sampled_s``:
    presentation times of the frames used, non-decreasing seconds from the first frame.
    """

    uri: Text
    sha256: Sha256
    duration_s: Time
    fps: NonNegative
    width_px: NumPixels
    height_px: NumPixels
    sampled_s: Annotated[tuple[float, ...], checks.times] = ()


@dataclass(frozen=True)
class TrackPoint(_Checked):
    """Where an object was at one time: box centre (world, metres) and orientation."""

    t_s: Time
    center_m: Point
    quaternion_wxyz: Quaternion


@dataclass(frozen=True)
class SceneObject(_Checked):
    """One object: a labelled, oriented box in world coordinates, and its track.

    ``center_m``: a static object's position, a moving one's at ``last_seen_s``. ``size_m``: full
    extents along the box's own axes. ``score``: probability that it is there as labelled.
    ``visibility``: largest visible share of the object over the frames. ``num_observations``:
    frames that contributed. ``track``: times strictly increasing; a moving object has one.
    """

    id: Text
    label: Annotated[str, checks.label]
    score: Fraction
    center_m: Point
    size_m: Annotated[Vec3, checks.size]
    quaternion_wxyz: Quaternion
    first_seen_s: Time
    last_seen_s: Time
    num_observations: Count
    visibility: Fraction
    motion: Annotated[Motion, partial(checks.choice, options=get_args(Motion))]
    track: Annotated[tuple[TrackPoint, ...], partial(_instances, kind=TrackPoint)] = ()

    def __post_init__(self) -> None:
        checks.object_id("id", self.id, checks.label("label", self.label))
        super().__post_init__()
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
class Camera(_Checked):
    """Pose and pinhole intrinsics of one sampled frame.

    ``T_world_camera``: 4x4, OpenCV camera coordinates to world. Intrinsics in pixels of the
    video's full size (``VideoInfo.width_px`` x ``height_px``).
    """

    t_s: Time
    T_world_camera: Annotated[Matrix4, checks.rigid_transform]
    fx_px: Positive
    fy_px: Positive
    cx_px: Float32
    cy_px: Float32

    @classmethod
    def of(cls, t_s: float, T_world_camera: np.ndarray, K: np.ndarray) -> Camera:
        """From a pose (4, 4) and a pinhole matrix (3, 3) in pixels of the full-size video."""
        return cls(float(t_s), T_world_camera.tolist(), K[0, 0], K[1, 1], K[0, 2], K[1, 2])

    def matrix(self) -> np.ndarray:
        """``T_world_camera`` as float64 (4, 4)."""
        return np.array(self.T_world_camera)

    def intrinsics(self) -> np.ndarray:
        """K as float64 (3, 3), pixels of the full-size video."""
        return np.array(
            [[self.fx_px, 0.0, self.cx_px], [0.0, self.fy_px, self.cy_px], [0.0, 0.0, 1.0]]
        )


@dataclass(frozen=True)
class Room(_Checked):
    """Floor and ceiling heights (world z), floor outline (world x, y) and its area.

    ``ceiling_z_m`` is None if no ceiling was seen. ``polygon_m`` has no vertex, or at least
    three in order around the floor, the first not repeated.
    """

    floor_z_m: Float32
    ceiling_z_m: Annotated[float | None, checks.float32_or_none]
    polygon_m: Annotated[tuple[Vec2, ...], checks.points_xy]
    area_m2: NonNegative

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ceiling_z_m is not None and self.ceiling_z_m < self.floor_z_m:
            expected = f"a height >= floor_z_m = {self.floor_z_m!r}"
            raise SchemaError("ceiling_z_m", expected, self.ceiling_z_m)
        if len(self.polygon_m) in (1, 2):
            raise SchemaError("polygon_m", "no vertex or at least 3", self.polygon_m)


@dataclass(frozen=True)
class Scale(_Checked):
    """Where the metres come from, and how sure that is (0 to 1).

    ``source``: what had most weight: predicted depth, the usual height of a camera or a ceiling,
    usual sizes of things, or poses that were given.
    """

    source: Annotated[ScaleSource, partial(checks.choice, options=get_args(ScaleSource))]
    confidence: Fraction


@dataclass(frozen=True)
class PathOrigin(_Checked):
    """How the camera path was found, and by how much it misses what the pictures show.

    ``source``: given; by structure from motion; by odometry on predicted depth; of a camera that
    stood, or only turned, held in its place; or estimated by networks. ``error_px``: the median
    over points followed between frames, in pixels of pictures whose longer side is 640; None where
    it was not checked.
    """

    source: Annotated[PathSource, partial(checks.choice, options=get_args(PathSource))]
    error_px: Annotated[float | None, checks.float32_or_none]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.error_px is not None and self.error_px < 0:
            raise SchemaError("error_px", "a number >= 0 or None", self.error_px)


@dataclass(frozen=True)
class Provenance(_Checked):
    """What made this code; hashes are empty where there is nothing to hash (exact truth)."""

    encoder: Text
    weights_sha256: Sha256
    config_sha256: Sha256
    software: Text
    work_key: Sha256


@dataclass(frozen=True)
class SpatialCode:
    """Everything known about one video. ``room`` is None if no floor was found.

    ``warnings``: sentences that say what in this code deserves less trust than its numbers claim.
    ``path``: where the cameras come from; None where that was not told.
    """

    video: VideoInfo
    objects: tuple[SceneObject, ...]
    cameras: tuple[Camera, ...]
    room: Room | None
    scale: Scale
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    path: PathOrigin | None = None
    _by_id: dict[str, SceneObject] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        (video,) = _instances("video", [self.video], VideoInfo)
        (scale,) = _instances("scale", [self.scale], Scale)
        (provenance,) = _instances("provenance", [self.provenance], Provenance)
        if self.room is not None and not isinstance(self.room, Room):
            raise SchemaError("room", "a Room or None", self.room)
        if self.path is not None and not isinstance(self.path, PathOrigin):
            raise SchemaError("path", "a PathOrigin or None", self.path)
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
