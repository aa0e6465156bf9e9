"""From gathered sightings to the objects of a code: duplicates joined, boxes fitted, ids given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.instances.boxes import (
    Box,
    Cloud,
    along,
    chosen_yaw,
    fit_box,
    footprint_areas,
    room_yaw,
)
from spatialcode.encoder.instances.instance import Instance, InstanceSettings
from spatialcode.encoder.instances.motion import since_it_stands
from spatialcode.encoder.lifting.sightings import Sighting
from spatialcode.scene.categories import traits_of
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import SceneObject, TrackPoint, make_id

Array = NDArray[np.float64]

#: Objects of one word are one where this share of the smaller one's cells is shared …
_SAME_SHARE = 0.5
#: … and hardly any frame shows both.
_SEEN_TOGETHER = 0.15
#: The last sightings of a moving object that are taken to show it in one place.
_LAST_SIGHTINGS = 3
#: Two pieces of one track may be of one thing that is so much larger than is usual; of kinds
#: without a usual size, if it is no longer than this.
_LARGER, _LONGEST_M = 1.3, 2.5
#: Corners of a box of side 1 about the origin, and the least distance of a corner from an eye.
_CORNERS = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_NEAREST_M = 0.15


def objects_of(
    instances: Sequence[Instance], times_s: Array, settings: InstanceSettings
) -> tuple[SceneObject, ...]:
    """The objects in the order of their first sight. ``times_s`` (N,): of all frames.

    What was seen in too few frames, shows too few points, or was always cut off is left out.
    """
    kept = [i for i in joined(instances) if _is_supported(i, settings)]
    kept.sort(key=lambda instance: (instance.first_frame, instance.number))
    placed = [_Placed.of(instance) for instance in kept]
    room_yaw_rad = room_yaw([thing.areas for thing in placed if not thing.has_moved])
    counts: dict[str, int] = {}
    found = []
    for thing in placed:
        label = thing.instance.label
        yaw_rad = chosen_yaw(thing.areas, room_yaw_rad)
        box = fit_box(thing.cloud, traits_of(label), yaw_rad)
        if _seen_share(thing.sightings, box) < settings.min_share:
            continue
        counts[label] = counts.get(label, 0) + 1
        found.append(_scene_object(thing, make_id(label, counts[label]), box, times_s))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Placed:
    """An instance, the sightings that show it where it is last, and the areas of its rectangles."""

    instance: Instance
    sightings: list[Sighting]
    cloud: Cloud
    areas: Array
    has_moved: bool

    @classmethod
    def of(cls, instance: Instance) -> _Placed:
        seen = since_it_stands(instance.sightings)
        if seen is None and instance.has_moved:
            seen = instance.sightings[-_LAST_SIGHTINGS:]
        where = instance.sightings if seen is None else seen
        cloud = Cloud.of(where)
        return cls(instance, where, cloud, footprint_areas(cloud), seen is not None)


def joined(instances: Sequence[Instance]) -> list[Instance]:
    """The instances without duplicates: two of one word that share their place and are hardly ever
    seen together become one. The inputs are used up.
    """
    kept: list[Instance] = []
    for instance in sorted(instances, key=lambda i: (-i.num_seen, i.number)):
        same = next((other for other in kept if _is_same(other, instance)), None)
        if same is None:
            kept.append(instance)
        else:
            same.absorb(instance)
    return kept


def _is_same(a: Instance, b: Instance) -> bool:
    if a.label != b.label:
        return False
    frames_a, frames_b = ({s.frame for s in i.sightings} for i in (a, b))
    if len(frames_a & frames_b) > _SEEN_TOGETHER * min(len(frames_a), len(frames_b)):
        return False
    shared = len(np.intersect1d(a.cells, b.cells, assume_unique=True))
    return shared >= _SAME_SHARE * min(len(a.cells), len(b.cells)) or _are_pieces(a, b)


def _are_pieces(a: Instance, b: Instance) -> bool:
    """Whether two were followed as one, and together are no larger than one may be."""
    (track_a, _), (track_b, _) = (i.tracks.most_common(1)[0] for i in (a, b))
    if track_a != track_b or track_a < 0:
        return False
    usual_m = traits_of(a.label).usual_size_m
    longest_m = _LONGEST_M if usual_m is None else _LARGER * float(np.hypot(*usual_m[:2]))
    points = np.concatenate([s.points.inside_m[:, :2] for i in (a, b) for s in i.sightings])
    return bool(np.hypot(*np.ptp(points, axis=0)) <= longest_m)


def _is_supported(instance: Instance, settings: InstanceSettings) -> bool:
    num_points = sum(len(s.points.inside_m) for s in instance.sightings)
    return (
        instance.num_seen >= settings.min_frames
        and num_points >= settings.min_points
        and instance.visibility >= settings.min_visibility
    )


def _seen_share(sightings: Sequence[Sighting], box: Box) -> float:
    """The largest share of the box's silhouette that a frame shows, were it not cut off."""
    corners = along(-box.yaw_rad, _CORNERS * box.size_m) + box.center_m
    shares = [s.points.solid_angle_sr / _silhouette_sr(corners - s.camera_m) for s in sightings]
    return float(max(shares))


def _silhouette_sr(corners_m: Array) -> float:
    """About the solid angle of a box, its corners (8, 3) seen from the origin: their hull in the
    plane across the way to its middle. What is beside the eye is taken to be just before it.
    """
    ahead = corners_m.mean(axis=0)
    ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-9)
    aside = np.cross(ahead, (0.0, 0.0, 1.0) if abs(ahead[2]) < 0.9 else (1.0, 0.0, 0.0))
    aside /= np.linalg.norm(aside)
    depth = np.maximum(corners_m @ ahead, _NEAREST_M)
    flat = np.stack((corners_m @ aside, corners_m @ np.cross(ahead, aside)), 1) / depth[:, None]
    return max(float(cv2.contourArea(cv2.convexHull(flat.astype(np.float32)))), 1e-9)


def _scene_object(thing: _Placed, object_id: str, box: Box, times_s: Array) -> SceneObject:
    instance = thing.instance
    quaternion = tuple(quaternion_from_yaw(box.yaw_rad).tolist())
    return SceneObject(
        id=object_id,
        label=instance.label,
        score=_score(instance),
        center_m=tuple(box.center_m.tolist()),
        size_m=tuple(np.maximum(box.size_m, 0.01).tolist()),
        quaternion_wxyz=quaternion,
        first_seen_s=float(times_s[instance.first_frame]),
        last_seen_s=float(times_s[instance.last_frame]),
        num_observations=instance.num_seen,
        visibility=instance.visibility,
        motion="moving" if thing.has_moved else "static",
        track=_track(instance, box, times_s, quaternion) if thing.has_moved else (),
    )


def _score(instance: Instance) -> float:
    """How sure the masks were, how much they agree on the word, and how often it was seen."""
    total = sum(instance.labels.values())
    agreement = instance.labels[instance.label] / max(total, 1e-9)
    certainty = total / max(instance.num_seen, 1)
    return float(np.clip(certainty * agreement * instance.num_seen / (instance.num_seen + 1), 0, 1))


def _track(
    instance: Instance, box: Box, times_s: Array, quaternion: tuple[float, ...]
) -> tuple[TrackPoint, ...]:
    """Where a moving object was: each sighting's own ends, and the same way off as the last one's
    are from the box's middle.
    """
    middles = [_middle(s, box.yaw_rad) for s in instance.sightings]
    off = box.center_m - middles[-1]
    return tuple(
        TrackPoint(float(times_s[s.frame]), tuple((m + off).tolist()), quaternion)  # type: ignore[arg-type]
        for s, m in zip(instance.sightings, middles, strict=True)
    )


def _middle(sighting: Sighting, yaw_rad: float) -> Array:
    ends = np.quantile(along(yaw_rad, sighting.points.inside_m), [0.02, 0.98], axis=0)
    return along(-yaw_rad, ends.mean(axis=0))
