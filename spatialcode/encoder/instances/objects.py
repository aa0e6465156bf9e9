"""From gathered sightings to the objects of a code: duplicates joined, boxes fitted, ids given."""

from __future__ import annotations

from collections.abc import Sequence

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


def objects_of(
    instances: Sequence[Instance], times_s: Array, settings: InstanceSettings
) -> tuple[SceneObject, ...]:
    """The objects in the order of their first sight. ``times_s`` (N,): of all frames.

    What was seen in too few frames, shows too few points, or was always cut off is left out.
    """
    kept = [i for i in joined(instances) if _is_supported(i, settings)]
    kept.sort(key=lambda instance: (instance.first_frame, instance.number))
    clouds = [Cloud.of(_where_it_is(instance)) for instance in kept]
    areas = [footprint_areas(cloud) for cloud in clouds]
    room_yaw_rad = room_yaw([a for a, i in zip(areas, kept, strict=True) if not i.has_moved])
    counts: dict[str, int] = {}
    found = []
    for instance, cloud, area in zip(kept, clouds, areas, strict=True):
        label = instance.label
        counts[label] = counts.get(label, 0) + 1
        box = fit_box(cloud, traits_of(label), chosen_yaw(area, room_yaw_rad))
        found.append(_scene_object(instance, make_id(label, counts[label]), box, times_s))
    return tuple(found)


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
    shared = len(np.intersect1d(a.cells, b.cells, assume_unique=True))
    if shared < _SAME_SHARE * min(len(a.cells), len(b.cells)):
        return False
    frames_a, frames_b = ({s.frame for s in i.sightings} for i in (a, b))
    return len(frames_a & frames_b) <= _SEEN_TOGETHER * min(len(frames_a), len(frames_b))


def _is_supported(instance: Instance, settings: InstanceSettings) -> bool:
    num_points = sum(len(s.points.inside_m) for s in instance.sightings)
    return (
        instance.num_seen >= settings.min_frames
        and num_points >= settings.min_points
        and instance.visibility >= settings.min_visibility
    )


def _where_it_is(instance: Instance) -> list[Sighting]:
    """The sightings that show it where it is last: all of what stands still."""
    return instance.sightings[-_LAST_SIGHTINGS:] if instance.has_moved else instance.sightings


def _scene_object(instance: Instance, object_id: str, box: Box, times_s: Array) -> SceneObject:
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
        motion="moving" if instance.has_moved else "static",
        track=_track(instance, box, times_s, quaternion) if instance.has_moved else (),
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
