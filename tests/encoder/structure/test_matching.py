"""Descriptors in common and pairs of frames, against slow and obvious ways to find them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.structure.matching import (
    Features,
    frame_pairs,
    loop_candidates,
    matches,
    unit_descriptors,
)
from spatialcode.encoder.structure.settings import StructureSettings

RNG = np.random.default_rng(5)


def features(descriptors: NDArray[np.uint8]) -> Features:
    num = len(descriptors)
    return Features(RNG.uniform(0, 100, (num, 2)), np.ones(num), descriptors)


def places(num: int, of: int = 0) -> NDArray[np.uint8]:
    """Descriptors of some place, the same each time."""
    return np.random.default_rng(of).integers(0, 255, (num, 128)).astype(np.uint8)


def noisy(descriptors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.clip(descriptors + RNG.normal(0, 20, descriptors.shape), 0, 255).astype(np.uint8)


def slow_matches(first: NDArray[np.float32], second: NDArray[np.float32]) -> list[tuple[int, int]]:
    angle = np.arccos(np.clip(first @ second.T, -1, 1))
    found = []
    for a in range(len(first)):
        b = int(angle[a].argmin())
        others_a, others_b = np.delete(angle[a], b), np.delete(angle[:, b], a)
        nearest = angle[a, b]
        if angle[:, b].argmin() == a and nearest < 0.8 * min(others_a.min(), others_b.min()):
            found += [(a, b)] if nearest < 0.7 else []
    return found


def test_matches_are_those_of_a_slow_search() -> None:
    all_of_them = places(60)
    first = np.concatenate((all_of_them[:40], all_of_them[:3] + 1))  # some have a near twin
    first, second = features(noisy(first)), features(noisy(all_of_them[10:]))
    a, b = unit_descriptors(first), unit_descriptors(second)
    expected = slow_matches(a, b)
    assert len(expected) > 20
    assert [tuple(pair) for pair in matches(a, b).tolist()] == expected


def test_nothing_matches_one_descriptor() -> None:
    one = unit_descriptors(features(places(1)))
    assert matches(one, one).shape == (0, 2)


def test_a_revisit_is_found_and_no_neighbour() -> None:
    visited = [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2]  # places, each seen for three frames
    frames = [features(noisy(places(50, of))) for of in np.repeat(visited, 3)]
    pairs = loop_candidates(frames, overlap=6, num_loops=10)
    assert sorted(pairs) == [(0, 27), (3, 30), (6, 33)]
    assert loop_candidates(frames, overlap=6, num_loops=1) == [pairs[0]]
    assert loop_candidates(frames, overlap=28, num_loops=10) == []


def test_each_frame_is_matched_with_those_that_follow() -> None:
    frames = [features(places(20, of)) for of in range(5)]
    settings = StructureSettings(overlap=2)
    expected = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4)]
    assert frame_pairs(frames, settings) == expected
