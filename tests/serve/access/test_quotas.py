"""Token buckets by a clock that is turned by hand, and slots for uploads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from serve.access.quotas import Slots, TokenBuckets
from serve.http.problems import HTTPProblem


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    buckets = TokenBuckets(2.0, 3.0, clock)
    assert [buckets.take("a") for _ in range(3)] == [None, None, None]
    assert buckets.take("a") == pytest.approx(0.5)
    clock.now_s += 0.25
    assert buckets.take("a") == pytest.approx(0.25)
    clock.now_s += 0.25
    assert buckets.take("a") is None
    assert buckets.take("a") == pytest.approx(0.5)


def test_a_refusal_takes_nothing() -> None:
    clock = Clock()
    buckets = TokenBuckets(1.0, 4.0, clock)
    assert buckets.take("a", 3.0) is None
    assert buckets.take("a", 3.0) == pytest.approx(2.0)
    assert buckets.take("a", 1.0) is None


def test_callers_do_not_pay_for_each_other() -> None:
    buckets = TokenBuckets(1.0, 1.0, Clock())
    assert buckets.take("a") is None
    assert buckets.take("b") is None
    assert buckets.take("a") == pytest.approx(1.0)


def test_a_pause_fills_to_the_brim_and_not_further() -> None:
    clock = Clock()
    buckets = TokenBuckets(1.0, 2.0, clock)
    assert buckets.take("a", 2.0) is None
    clock.now_s += 1_000
    assert buckets.take("a", 2.0) is None
    assert buckets.take("a", 1.0) == pytest.approx(1.0)


def test_a_clock_that_goes_back_gives_nothing_twice() -> None:
    clock = Clock()
    buckets = TokenBuckets(1.0, 1.0, clock)
    assert buckets.take("a") is None
    clock.now_s -= 50
    assert buckets.take("a") == pytest.approx(1.0)
    clock.now_s += 50
    assert buckets.take("a") == pytest.approx(1.0)


def test_names_are_not_remembered_without_end() -> None:
    buckets = TokenBuckets(1.0, 1.0, Clock(), max_buckets=2)
    for name in ("a", "b", "a", "c"):
        buckets.take(name)
    assert buckets.take("a") is not None  # used after b: kept
    assert buckets.take("b") is None  # forgotten, so full again


def test_threads_share_one_bucket() -> None:
    buckets = TokenBuckets(1.0, 50.0, Clock())
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: buckets.take("a"), range(400)))
    assert taken.count(None) == 50


@pytest.mark.parametrize("cost", [0.0, -1.0, 2.1])
def test_a_cost_that_can_never_be_paid_is_a_mistake(cost: float) -> None:
    with pytest.raises(ValueError, match="cost"):
        TokenBuckets(1.0, 2.0, Clock()).take("a", cost)


@pytest.mark.parametrize("arguments", [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_rates_must_be_positive(arguments: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="> 0"):
        TokenBuckets(*arguments)


def test_places_in_all_and_by_caller() -> None:
    slots = Slots(total=3, per_caller=2)
    with slots.hold("a"), slots.hold("a"):
        with pytest.raises(HTTPProblem, match="of this key") as caught, slots.hold("a"):
            pass
        assert caught.value.status_code == 429
        assert caught.value.headers == {"Retry-After": "5"}
        with (
            slots.hold("b"),
            pytest.raises(HTTPProblem, match="too many uploads are"),
            slots.hold("c"),
        ):
            pass
        with slots.hold("c"):
            pass
    with slots.hold("a"), slots.hold("a"):
        pass


def test_a_place_is_free_again_after_an_error() -> None:
    slots = Slots(total=1, per_caller=1)
    for _ in range(3):
        with pytest.raises(KeyError), slots.hold("a"):
            raise KeyError
    assert not slots._held
