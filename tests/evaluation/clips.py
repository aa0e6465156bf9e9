"""What rendered clips hold, as recordings say it."""

from __future__ import annotations

from spatialcode.evaluation.room import truth_tracks
from tests.pipelines.truth_encoders import objects_of


def truth_objects(clip):
    """The objects that the frames show well enough."""
    return objects_of(truth_tracks(clip), clip.times_s)
