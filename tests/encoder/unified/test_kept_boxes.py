"""Boxes of a long clip: those of a track are thinned evenly, and every frame is counted."""

from __future__ import annotations

import numpy as np

from spatialcode.encoder.parsing.protocol import NO_TRACK
from spatialcode.encoder.protocol import encode_windows
from spatialcode.encoder.registry import make_encoder
from spatialcode.encoder.unified.session import KeptBoxes, _CameraBox, _FrameSeen
from tests.encoder.unified.test_encoder import clip, settings, weights  # noqa: F401


def box(frame: int, track: int, part: int = 0) -> _CameraBox:
    seen = _FrameSeen(frame, part, 0.5 * frame, np.eye(3), np.eye(4), (64, 48))
    return _CameraBox(seen, "chair", track, np.zeros(3), np.ones(3), np.eye(3), 1.0, 1.0, 0.1)


def test_few_boxes_of_each_track_are_kept_and_all_frames_counted() -> None:
    kept = KeptBoxes(4)
    for frame in range(9):
        late = [box(frame, 2)] if frame >= 7 else []
        kept.add_frame([box(frame, 1), *late])
    found = [(one.track, one.seen.frame, num) for one, num in kept.all()]
    assert found == [(1, 0, 4), (1, 4, 4), (1, 8, 1), (2, 7, 1), (2, 8, 1)]


def test_tracks_on_two_sides_of_a_cut_are_two() -> None:
    kept = KeptBoxes(4)
    for frame in range(8):
        kept.add_frame([box(frame, 1, part=frame // 4)])
    assert [(one.seen.part, one.seen.frame) for one, _ in kept.all()] == [
        (frame // 4, frame) for frame in range(8)
    ]


def test_boxes_without_tracks_are_thinned_frame_by_frame() -> None:
    kept = KeptBoxes(4)
    for frame in range(5):
        kept.add_frame([box(frame, NO_TRACK), box(frame, NO_TRACK)])
        kept.add_frame([])
    found = [(one.seen.frame, num) for one, num in kept.all()]
    assert found == [(0, 2), (0, 2), (2, 2), (2, 2), (4, 1), (4, 1)]


def test_a_thinned_clip_has_the_same_things_seen_as_often(weights) -> None:  # noqa: F811
    long = clip(13)
    own = settings(weights)
    codes = []
    for most in (256, 4):
        merging = own["merging"] | {"max_sightings": most}
        encoder = make_encoder("unified", own | {"merging": merging})
        codes.append(encode_windows(encoder.load("cpu"), long, encoder.frames))
    whole, thinned = codes
    assert [item.id for item in whole.objects] == [item.id for item in thinned.objects]
    assert {item.num_observations for item in thinned.objects} == {13}
    assert {item.num_observations for item in whole.objects} == {13}
    assert whole.objects != thinned.objects, "of fewer boxes"
    assert [i.last_seen_s for i in whole.objects] == [i.last_seen_s for i in thinned.objects]
