from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.encoder.bounded import EvenSample, LongestPart


def sample(num: int, most: int) -> EvenSample[int]:
    made: EvenSample[int] = EvenSample(most)
    for item in range(num):
        made.add(item)
    return made


@pytest.mark.parametrize(
    ("num", "items", "counts"),
    [
        (0, [], []),
        (3, [0, 1, 2], [1, 1, 1]),
        (4, [0, 1, 2, 3], [1, 1, 1, 1]),
        (5, [0, 2, 4], [2, 2, 1]),
        (6, [0, 2, 4, 5], [2, 2, 1, 1]),
        (7, [0, 2, 4, 6], [2, 2, 2, 1]),
        (9, [0, 4, 8], [4, 4, 1]),
        (12, [0, 4, 8, 11], [4, 4, 3, 1]),
    ],
)
def test_four_of_many_are_evenly_spread_and_the_last_is_there(
    num: int, items: list[int], counts: list[int]
) -> None:
    made = sample(num, 4)
    assert made.items() == items
    assert made.stands_for() == counts


@given(st.integers(1, 3000), st.integers(1, 20))
def test_a_sample_is_small_even_and_counts_everything(num: int, most: int) -> None:
    made = sample(num, most)
    items = made.items()
    assert len(items) <= most + 1
    assert items[0] == 0
    assert items[-1] == num - 1
    steps = {b - a for a, b in itertools.pairwise(items[:-1])}
    assert len(steps) <= 1
    assert sum(made.stands_for()) == num == made.num_seen
    if num <= most:
        assert items == list(range(num))


def test_the_longest_part_is_kept_and_others_are_let_go() -> None:
    begun = []

    def make() -> list[int]:
        begun.append([len(begun)])
        return begun[-1]

    parts = LongestPart(make)
    assert parts.longest(5) == (0, [0])
    parts.cut(3)
    assert parts.longest(5) == (0, [0])
    assert parts.longest(7) == (3, [1]), "four frames are more than three"
    parts.cut(10)
    assert parts.longest(17) == (3, [1]), "of equal ones the first"
    assert parts.longest(18) == (10, [2])
    parts.cut(12)
    assert parts.longest(13) == (3, [1])
    assert parts.starts == [0, 3, 10, 12]
    held = [one for one in begun if any(one is kept for kept in (parts.now, parts.longest(13)[1]))]
    assert held == [[1], [3]]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_the_longest_part_is_that_of_all_of_them_side_by_side(lengths: list[int]) -> None:
    names = iter(range(len(lengths)))
    parts = LongestPart(lambda: next(names))
    total = 0
    for length in lengths[:-1]:
        total += length
        parts.cut(total)
    place = lengths.index(max(lengths))
    assert parts.longest(total + lengths[-1]) == (sum(lengths[:place]), place)
