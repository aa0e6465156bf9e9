"""One box for each track: what single frames say, merged by confidence in world coordinates.

Boxes stand upright in the world. Without tracks, what stands in one place under one word is one
thing. No torch here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from spatialcode.config import checked, setting
from spatialcode.encoder.parsing.protocol import NO_TRACK
from spatialcode.scene.boxes import Boxes, iou_matrix
from spatialcode.scene.categories import traits_of
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import SceneObject, TrackPoint, make_id

Array = NDArray[np.float64]
_FAR = 1e6


@dataclass(frozen=True)
@checked
class MergeSettings:
    """How boxes of frames become objects."""

    min_presence: float = setting(
        "probability from which on an object is taken to be in a frame", 0.5, at_least=0, at_most=1
    )
    min_score: float = setting("score from which on an object is kept", 0.2, at_least=0, at_most=1)
    max_sightings: int = setting(
        "frames of which a track's boxes are kept, evenly spread over all of them", 256, at_least=4
    )
    min_sightings: int = setting("frames that must show an object", 1, at_least=1)
    same_place: float = setting(
        "boxes without a track are one thing where their centres are closer than this share of "
        "the larger diagonal",
        0.5,
        above=0,
    )
    max_iou: float = setting(
        "of two objects of one label that overlap more, the surer stays", 0.4, above=0, at_most=1
    )
    moved_m: float = setting("least distance that counts as a move", 0.4, above=0)


@dataclass(frozen=True, eq=False)
class BoxSighting:
    """What one frame says of one object.

    ``frame``: its place in the clip; ``part``: how many cuts came before. ``center_m``,
    ``yaw_rad``: in world coordinates. ``sigma_m``: the Laplace scale of the centre.
    ``num_frames``: for how many frames it stands, of which the others are not kept.
    """

    frame: int
    part: int
    t_s: float
    label: str
    track: int
    center_m: Float[np.ndarray, "3"]
    size_m: Float[np.ndarray, "3"]
    yaw_rad: float
    presence: float
    score: float
    sigma_m: float
    num_frames: int = 1

    @property
    def weight(self) -> float:
        """How much it counts: by what it claims of itself, and the inverse square of its error."""
        return self.presence * max(self.score, 1e-3) / (self.sigma_m**2 + 0.05**2)


def merged_objects(
    sightings: Sequence[BoxSighting], settings: MergeSettings
) -> tuple[SceneObject, ...]:
    """Objects of a clip, numbered by label in order of first sight. The order of sightings of a
    frame does not matter.
    """
    sure = [s for s in sightings if s.presence >= settings.min_presence]
    ordered = sorted(sure, key=lambda s: (s.frame, s.label, s.track, tuple(s.center_m)))
    groups = _grouped(ordered, settings)
    found = [_Merged.of(group, settings) for group in groups]
    kept = _without_doubles([f for f in found if f.is_kept(settings)], settings.max_iou)
    kept.sort(key=lambda f: (f.sightings[0].t_s, f.label, -f.score))
    counts: Counter[str] = Counter()
    objects = []
    for one in kept:
        counts[one.label] += 1
        objects.append(one.scene_object(counts[one.label]))
    return tuple(objects)


def _grouped(ordered: Sequence[BoxSighting], settings: MergeSettings) -> list[list[BoxSighting]]:
    """Sightings of one thing together: by track, and those without by place and word. What is on
    two sides of a cut stands in two worlds.
    """
    tracks: dict[tuple[int, int], list[BoxSighting]] = {}
    loose: dict[int, list[BoxSighting]] = {}
    for sighting in ordered:
        if sighting.track != NO_TRACK:
            tracks.setdefault((sighting.part, sighting.track), []).append(sighting)
        else:
            loose.setdefault(sighting.frame, []).append(sighting)
    things: list[list[BoxSighting]] = []
    for frame in sorted(loose):
        _add_frame(things, loose[frame], settings.same_place)
    return [*tracks.values(), *things]


def _add_frame(
    things: list[list[BoxSighting]], seen: Sequence[BoxSighting], same_place: float
) -> None:
    """Each box of a frame to the nearest thing of its word, none to the same; else a new thing."""
    cost = np.full((len(seen), len(things)), _FAR)
    for row, sighting in enumerate(seen):
        for column, thing in enumerate(things):
            last = thing[-1]
            if (last.part, last.label) == (sighting.part, sighting.label):
                diagonal = max(np.linalg.norm(last.size_m), np.linalg.norm(sighting.size_m))
                place = np.median([s.center_m for s in thing[-8:]], axis=0)
                away = np.linalg.norm(place - sighting.center_m) / diagonal
                cost[row, column] = away if away <= same_place else _FAR
    taken = {
        int(row): int(column)
        for row, column in zip(*linear_sum_assignment(cost), strict=True)
        if cost[row, column] < _FAR
    }
    for row, sighting in enumerate(seen):
        if row in taken:
            things[taken[row]].append(sighting)
        else:
            things.append([sighting])


@dataclass(frozen=True, eq=False)
class _Merged:
    """An object and what it was made of, in time order."""

    label: str
    score: float
    center_m: Array
    size_m: Array
    yaw_rad: float
    is_moving: bool
    sightings: list[BoxSighting]

    @classmethod
    def of(cls, sightings: list[BoxSighting], settings: MergeSettings) -> _Merged:
        sightings = _one_a_frame(sightings)
        weight = np.array([s.weight for s in sightings])
        label = _heaviest_label(sightings)
        symmetry = traits_of(label).yaw_symmetry
        moving = _has_moved(sightings, settings.moved_m)
        yaw, size = _merged_shape(sightings, weight, symmetry)
        center = np.stack([s.center_m for s in sightings])
        return cls(
            label=label,
            score=_merged_score(sightings, weight),
            center_m=center[-1] if moving else weighted_median(center, weight),
            size_m=size,
            yaw_rad=sightings[-1].yaw_rad if moving else yaw,
            is_moving=moving,
            sightings=sightings,
        )

    @property
    def kind(self) -> tuple[int, str]:
        """What may be the same thing is of one part and one word."""
        return self.sightings[0].part, self.label

    @property
    def num_frames(self) -> int:
        """How many frames have shown it."""
        return sum(s.num_frames for s in self.sightings)

    def is_kept(self, settings: MergeSettings) -> bool:
        return self.score >= settings.min_score and self.num_frames >= settings.min_sightings

    def scene_object(self, number: int) -> SceneObject:
        track = [
            TrackPoint(s.t_s, _plain(s.center_m), _plain(quaternion_from_yaw(s.yaw_rad)))
            for s in self.sightings
        ]
        return SceneObject(
            id=make_id(self.label, number),
            label=self.label,
            score=min(1.0, self.score),
            center_m=_plain(self.center_m),
            size_m=_plain(self.size_m),
            quaternion_wxyz=_plain(quaternion_from_yaw(self.yaw_rad)),
            first_seen_s=self.sightings[0].t_s,
            last_seen_s=self.sightings[-1].t_s,
            num_observations=self.num_frames,
            visibility=float(np.clip(max(s.presence for s in self.sightings), 0.0, 1.0)),
            motion="moving" if self.is_moving else "static",
            track=tuple(track) if self.is_moving else (),
        )


def weighted_median(
    values: Float[np.ndarray, "n k"], weight: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " k"]:
    """Of each column, the first value at which half of the weight is reached."""
    order = np.argsort(values, axis=0, kind="stable")
    reached = np.cumsum(weight[order], axis=0) >= 0.5 * weight.sum()
    first = order[reached.argmax(axis=0), np.arange(values.shape[1])]
    return values[first, np.arange(values.shape[1])]


def _one_a_frame(sightings: list[BoxSighting]) -> list[BoxSighting]:
    """The heaviest of each frame and time: a track may be claimed twice."""
    best: dict[float, BoxSighting] = {}
    for sighting in sightings:
        if sighting.t_s not in best or sighting.weight > best[sighting.t_s].weight:
            best[sighting.t_s] = sighting
    return [best[t_s] for t_s in sorted(best)]


def _heaviest_label(sightings: Sequence[BoxSighting]) -> str:
    votes: Counter[str] = Counter()
    for sighting in sightings:
        votes[sighting.label] += sighting.weight  # type: ignore[assignment]
    return max(sorted(votes), key=lambda label: votes[label])


def _merged_score(sightings: Sequence[BoxSighting], weight: Array) -> float:
    """The weighted mean of what frames claim, lowered where few frames claim it."""
    claimed = np.array([s.presence * s.score for s in sightings])
    return float((weight * claimed).sum() / weight.sum())


_PERIOD_RAD = {"full": 2.0 * np.pi, "half": np.pi, "quarter": 0.5 * np.pi, "round": 0.0}


def _merged_shape(
    sightings: Sequence[BoxSighting], weight: Array, symmetry: str
) -> tuple[float, Array]:
    """Yaw and extents: the mean direction under the symmetry, extents as medians of logarithms
    along the axes of that direction.
    """
    yaw = np.array([s.yaw_rad for s in sightings])
    log_size = np.log(np.stack([s.size_m for s in sightings]))
    period = _PERIOD_RAD[symmetry]
    mean = float(yaw[weight.argmax()])
    if period > 0.0:
        phase = np.exp(2j * np.pi * yaw / period)
        mean = float(np.angle((weight * phase).sum()) * period / (2.0 * np.pi))
    if symmetry == "quarter":
        turns = np.rint((yaw - mean) / (0.5 * np.pi)).astype(int)
        odd = turns % 2 == 1
        log_size[odd] = log_size[odd][:, [1, 0, 2]]
    return mean, np.exp(weighted_median(log_size, weight))


def _has_moved(sightings: Sequence[BoxSighting], moved_m: float) -> bool:
    """Whether the last third stands elsewhere than the first, by more than either spreads."""
    if len(sightings) < 6:
        return False
    center = np.stack([s.center_m for s in sightings])
    third = len(center) // 3
    first, last = center[:third], center[-third:]
    spread = max(
        float(np.median(np.linalg.norm(part - np.median(part, axis=0), axis=1)))
        for part in (first, last)
    )
    away = float(np.linalg.norm(np.median(last, axis=0) - np.median(first, axis=0)))
    return away > max(moved_m, 3.0 * spread)


def _without_doubles(found: list[_Merged], max_iou: float) -> list[_Merged]:
    """The surer of every two of one label that overlap by more."""
    if not found:
        return []
    ordered = sorted(found, key=lambda f: -f.score)
    boxes = Boxes(
        np.stack([f.center_m for f in ordered]),
        np.stack([f.size_m for f in ordered]),
        quaternion_from_yaw(np.array([f.yaw_rad for f in ordered])).reshape(-1, 4),
    )
    overlap = iou_matrix(boxes, boxes)
    kept: list[int] = []
    for i, one in enumerate(ordered):
        same = [j for j in kept if ordered[j].kind == one.kind]
        if all(overlap[i, j] <= max_iou for j in same):
            kept.append(i)
    return [ordered[i] for i in kept]


def _plain(values: Array) -> Any:
    return np.asarray(values).tolist()
