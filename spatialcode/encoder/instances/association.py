"""Which object each sighting of a frame is of.

Where a sighting lies says most; the mask source's track is a strong hint that may be wrong; the
word must fit. All sightings of a frame are given out at once, none of them to an object that
another one has (the Hungarian method, Kuhn 1955), and what fits nothing begins an object.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from spatialcode.encoder.instances.instance import (
    Instance,
    InstanceSettings,
    cells_of,
    watch,
)
from spatialcode.encoder.lifting.sightings import FrameView, Sighting

#: What another word for an object costs, where its place fits.
_OTHER_WORD = 0.5


class Gathering:
    """The objects of one clip as its frames come in."""

    def __init__(self, settings: InstanceSettings) -> None:
        self.settings = settings
        self.instances: list[Instance] = []
        self._num_begun = 0

    def add(self, view: FrameView, sightings: Sequence[Sighting]) -> None:
        """Give out the sightings of the next frame, then look at the places of all objects."""
        taken = self._given(sightings)
        for k, sighting in enumerate(sightings):
            self._instance(taken.get(k)).add(sighting)
        watch([i for i in self.instances if i.first_frame < view.index], view)

    def _instance(self, found: Instance | None) -> Instance:
        if found is None:
            found = Instance(self._num_begun, self.settings)
            self._num_begun += 1
            self.instances.append(found)
        return found

    def _given(self, sightings: Sequence[Sighting]) -> dict[int, Instance]:
        if not sightings or not self.instances:
            return {}
        fit = np.array([self._fits(sighting) for sighting in sightings])
        rows, columns = linear_sum_assignment(fit, maximize=True)
        return {
            int(row): self.instances[column]
            for row, column in zip(rows, columns, strict=True)
            if fit[row, column] > 0
        }

    def _fits(self, sighting: Sighting) -> list[float]:
        points_m = sighting.points.inside_m
        keys = cells_of(points_m, self.settings.voxel_m)
        ends = points_m.min(axis=0), points_m.max(axis=0)
        overlaps = [i.overlap(keys) if i.may_overlap(*ends) else 0.0 for i in self.instances]
        return [
            self._fit(instance, sighting, overlap)
            for instance, overlap in zip(self.instances, overlaps, strict=True)
        ]

    def _fit(self, instance: Instance, sighting: Sighting, overlap: float) -> float:
        """How well a sighting fits an object; 0 where it cannot be it."""
        track = sighting.named.track
        same_track = track >= 0 and track in instance.tracks
        same_word = sighting.named.label in instance.labels
        if overlap < self.settings.min_overlap:
            followed = same_track and same_word and instance.sightings[-1].named.track == track
            near = followed and instance.step_m(sighting) < self.settings.max_step_m
            return 0.5 * self.settings.track_bonus if near else 0.0
        likeness = _likeness(instance, sighting)
        return max(
            0.0,
            overlap
            + likeness
            + self.settings.track_bonus * same_track
            - _OTHER_WORD * (not same_word),
        )


def _likeness(instance: Instance, sighting: Sighting) -> float:
    """From -0.2 to 0.2: how much two looks are alike; 0 where a source tells nothing of looks."""
    last, this = instance.sightings[-1].named.appearance, sighting.named.appearance
    return 0.0 if last is None or this is None else 0.2 * float(np.dot(last, this))
