from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.video.sampling import ByCount, ByRate, ByTimes, num_targets, shown_frames

TENTHS = np.arange(11) / 10  # 0.0 ... 1.0 s
steps = st.lists(st.integers(1, 400), min_size=0, max_size=60)


def test_by_count_spreads_from_first_to_last() -> None:
    assert shown_frames(ByCount(3), TENTHS).tolist() == [0, 5, 10]
    assert shown_frames(ByCount(1), TENTHS).tolist() == [0]
    assert shown_frames(ByCount(11), TENTHS).tolist() == list(range(11))


def test_by_count_gives_no_frame_twice() -> None:
    assert shown_frames(ByCount(40), TENTHS).tolist() == list(range(11))
    # 0, 0.5, 1.0 s of a video that stands still in between.
    assert shown_frames(ByCount(3), np.asarray([0.0, 0.9, 1.0])).tolist() == [0, 2]


def test_by_rate_is_half_open_steps_from_zero() -> None:
    # Wanted 0, 0.25, 0.5, 0.75, 1.0: shown are the frames at 0, 0.2, 0.5, 0.7, 1.0.
    assert shown_frames(ByRate(4), TENTHS).tolist() == [0, 2, 5, 7, 10]
    assert shown_frames(ByRate(0.1), TENTHS).tolist() == [0]


def test_by_times_keeps_order_and_repeats_and_clamps() -> None:
    plan = ByTimes((0.0, 0.19, 0.2, 0.2, 7.0))
    assert shown_frames(plan, TENTHS).tolist() == [0, 1, 2, 2, 10]


@given(steps, st.lists(st.floats(0, 30), min_size=1, max_size=20))
def test_shown_is_the_latest_frame_not_after_the_time(gaps: list[int], times: list[float]) -> None:
    frames = np.concatenate([[0], np.cumsum(gaps)]) / 25
    plan = ByTimes(tuple(sorted(times)))
    for time_s, index in zip(plan.times_s, shown_frames(plan, frames), strict=True):
        oracle = max(i for i, frame_s in enumerate(frames) if frame_s <= time_s + 5e-7)
        assert index == oracle


@given(steps, st.integers(1, 50))
def test_by_count_is_increasing_and_bounded(gaps: list[int], count: int) -> None:
    frames = np.concatenate([[0], np.cumsum(gaps)]) / 25
    shown = shown_frames(ByCount(count), frames)
    assert (np.diff(shown) > 0).all()
    assert 1 <= len(shown) <= min(count, len(frames))
    assert shown[0] == 0
    assert count == 1 or shown[-1] == len(frames) - 1


def test_num_targets_without_making_them() -> None:
    assert num_targets(ByRate(1e9), 3600.0) == 3_600_000_000_001
    assert num_targets(ByCount(5), 1.0) == 5


@pytest.mark.parametrize(
    "make",
    [
        lambda: ByCount(0),
        lambda: ByCount(True),
        lambda: ByRate(0.0),
        lambda: ByRate(float("nan")),
        lambda: ByTimes(()),
        lambda: ByTimes((-0.1,)),
        lambda: ByTimes((1.0, 0.5)),
        lambda: ByTimes((float("inf"),)),
    ],
)
def test_nonsense_plans_are_refused(make) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()
