from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipelines.train_reasoner.rollouts.actors import RolloutPoolConfig
from pipelines.train_reasoner.rollouts.weights import (
    Bucket,
    TensorSpec,
    apply_buckets,
    fetch,
    layout_of,
    packed,
    publish,
    unpacked,
)
from spatialcode.errors import ConfigError, WeightSyncError
from tests.pipelines.train_reasoner.rollouts.stand_in_engine import Echo


def weights(scale: float = 1.0) -> dict[str, Tensor]:
    """Every kind of tensor that is awkward to send."""
    numbers = torch.Generator().manual_seed(0)
    return {
        "w": torch.tensor([scale]),
        "large": torch.randn(40, 25, generator=numbers) * scale,  # 4000 bytes
        "half": torch.randn(7, generator=numbers).to(torch.bfloat16),
        "none": torch.empty(0, 3),
        "scalar": torch.tensor(scale),
        "turned": torch.arange(12.0).reshape(3, 4).T,
        "counts": torch.arange(5),
        "flags": torch.tensor([True, False, True]),
        "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
    }


def buckets_of(tensors: dict[str, Tensor], version: int, bucket_bytes: int) -> list[Bucket]:
    return list(packed(tensors.items(), version, bucket_bytes))


def same_bits(a: Tensor, b: Tensor) -> bool:
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and a.contiguous().numpy(force=True).tobytes() == b.contiguous().numpy(force=True).tobytes()
        if a.dtype != torch.bfloat16
        else a.dtype == b.dtype and torch.equal(a.view(torch.int16), b.view(torch.int16))
    )


@pytest.mark.parametrize("bucket_bytes", [1, 16, 100, 1000, 4000, 10**6])
def test_tensors_come_back_bit_by_bit_from_bounded_buckets(bucket_bytes: int) -> None:
    sent = weights()
    buckets = buckets_of(sent, 3, bucket_bytes)
    for bucket in buckets:  # a tensor that is larger has a bucket of its own
        assert len(bucket.specs) == 1 or sum(sent[n].nbytes for n in bucket.specs) <= bucket_bytes
    assert [bucket.last for bucket in buckets] == [False] * (len(buckets) - 1) + [True]
    received = dict(unpacked(buckets[::-1]))
    assert list(received) == list(sent)
    assert all(same_bits(received[name], sent[name]) for name in sent)
    layout = layout_of(buckets, 3)
    assert layout["large"] == TensorSpec("float32", (40, 25))
    assert layout["half"] == TensorSpec("bfloat16", (7,))


def test_what_is_sent_is_a_copy() -> None:
    """Under ZeRO 3 a tensor is whole only until the next one is asked for."""
    first = torch.ones(3)

    def tensors() -> Any:
        yield "first", first
        first.zero_()
        yield "second", torch.ones(1)

    assert dict(unpacked(list(packed(tensors(), 0, 10**6))))["first"].tolist() == [1.0] * 3


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 90), min_size=1, max_size=12), bucket_bytes=st.integers(1, 200)
)
def test_any_sizes_in_any_buckets(sizes: list[int], bucket_bytes: int) -> None:
    sent = {f"t{n}": torch.arange(size, dtype=torch.int16) + n for n, size in enumerate(sizes)}
    buckets = buckets_of(sent, 0, bucket_bytes)
    assert layout_of(buckets, 0) == {
        n: TensorSpec("int16", tuple(t.shape)) for n, t in sent.items()
    }
    received = dict(unpacked(buckets))
    assert received.keys() == sent.keys()
    assert all(torch.equal(received[name], sent[name]) for name in sent)


def test_small_tensors_share_a_bucket() -> None:
    sent = {f"t{n}": torch.full((25,), float(n)) for n in range(8)}  # 100 bytes each
    buckets = buckets_of(sent, 0, 330)
    assert [list(bucket.specs) for bucket in buckets] == [
        ["t0", "t1", "t2"], ["t3", "t4", "t5"], ["t6", "t7"],
    ]  # fmt: skip


def applied_engine() -> Echo:
    engine = Echo()
    apply_buckets(engine, buckets_of(weights(1.0), 4, 500), 4)
    return engine


def refused(buckets: list[Bucket], version: int, **expected: Any) -> str:
    """The message of the refusal; the engine keeps its old weights whole."""
    engine = applied_engine()
    with pytest.raises(WeightSyncError) as caught:
        apply_buckets(engine, buckets, version, **expected)
    assert engine.weight_version == 4
    assert all(same_bits(engine.weights[name], held) for name, held in weights(1.0).items())
    return str(caught.value)


def test_sound_buckets_are_applied() -> None:
    engine = applied_engine()
    buckets = buckets_of(weights(2.0), 5, 500)
    layout = apply_buckets(engine, buckets[::-1], 5, layout_of(buckets, 5))
    assert engine.weight_version == 5
    assert all(same_bits(engine.weights[name], held) for name, held in weights(2.0).items())
    # 4 + 4000 + 14 + 0 + 4 + 48 + 40 + 3 + 12 bytes
    assert len(layout) == 9


def test_one_flipped_bit_is_refused_with_the_buckets_name() -> None:
    buckets = buckets_of(weights(2.0), 5, 500)
    damaged = buckets[1].data.copy()
    damaged[-17] ^= 1
    buckets[1] = replace(buckets[1], data=damaged)
    assert refused(buckets, 5).startswith("bucket 1 of version 5 (large): damaged: crc32")


def test_what_a_bucket_says_of_itself_is_under_its_checksum() -> None:
    buckets = buckets_of(weights(2.0), 5, 500)
    for wrong in (
        replace(buckets[1], specs={"large": TensorSpec("float32", (25, 40))}),
        replace(buckets[1], specs={"half": buckets[1].specs["large"]}),
        replace(buckets[1], last=True),
        replace(buckets[1], index=7),
        replace(buckets[1], checksum=""),
    ):
        assert "damaged" in refused([buckets[0], wrong, *buckets[2:]], 5)
    relabelled = replace(buckets[1], version=5, checksum=buckets_of(weights(), 4, 500)[1].checksum)
    assert "bucket 1 of version 5" in refused([buckets[0], relabelled, *buckets[2:]], 5)


def test_missing_repeated_and_surplus_buckets_are_refused() -> None:
    buckets = buckets_of(weights(2.0), 5, 500)
    assert refused(buckets[:1] + buckets[2:], 5) == "bucket 1 of version 5: missing"
    assert refused(buckets[:-1], 5) == f"bucket {len(buckets) - 1} of version 5: missing"
    assert refused(buckets[1:], 5) == "bucket 0 of version 5: missing"
    assert refused([], 5) == "bucket 0 of version 5: missing"
    assert "comes twice" in refused([*buckets, buckets[1]], 5)
    longer = buckets_of({**weights(2.0), "more": torch.zeros(500)}, 5, 500)
    shorter = buckets_of({"w": torch.zeros(1)}, 5, 500)
    assert "comes after the last one" in refused([*shorter, *longer[1:]], 5)


def test_version_skew_is_refused() -> None:
    old, new = buckets_of(weights(1.0), 4, 500), buckets_of(weights(2.0), 5, 500)
    assert refused([new[0], old[1], *new[2:]], 5) == f"{old[1].name}: expected version 5"
    assert "expected version 6" in refused(new, 6)
    older = buckets_of(weights(3.0), 3, 500)
    assert refused(older, 3) == "version 3: older than the engine's, which is 4"


def test_other_tensors_than_the_engine_has_are_refused() -> None:
    expected = layout_of(buckets_of(weights(), 4, 500), 4)
    grown = {**weights(2.0), "large": torch.zeros(40, 26)}
    assert refused(buckets_of(grown, 5, 500), 5, expected=expected).startswith("large: expected")
    lacking = {name: held for name, held in weights().items() if name != "half"}
    assert "half" in refused(buckets_of(lacking, 5, 500), 5, expected=expected)


def test_a_tensor_that_stands_in_two_buckets_is_refused() -> None:
    first, second = buckets_of({"w": torch.ones(1), "v": torch.ones(1)}, 5, 4)
    again = replace(second, specs=first.specs, data=first.data)
    again = replace(again, checksum=again.computed_checksum())
    assert refused([first, again], 5) == "bucket 1 of version 5 (w): w comes twice"


def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(WeightSyncError, match="at least one"):
        list(packed([], 0, 500))
    with pytest.raises(WeightSyncError, match="w: comes twice"):
        list(packed([("w", torch.ones(1)), ("w", torch.ones(1))], 0, 500))
    with pytest.raises(WeightSyncError, match="complex64"):
        list(packed([("w", torch.ones(1, dtype=torch.complex64))], 0, 500))
    with pytest.raises(ConfigError, match="bucket_bytes"):
        RolloutPoolConfig(bucket_bytes=0)


def test_buckets_are_made_one_at_a_time() -> None:
    asked = []

    def tensors() -> Any:
        for n in range(10):
            asked.append(n)
            yield f"t{n}", torch.zeros(25)

    stream = packed(tensors(), 0, 100)
    next(stream)
    assert asked == [0, 1]


def test_through_the_object_store(ray_session: Any) -> None:
    published = publish(weights(2.0).items(), 5, 500)
    engine = applied_engine()
    apply_buckets(engine, fetch(published), 5)
    assert all(same_bits(engine.weights[name], held) for name, held in weights(2.0).items())
    first, *others = published.references
    lost = replace(published, references=(first, _lost(ray_session), *others[1:]))
    with pytest.raises(WeightSyncError, match="bucket 1 of version 5: missing"):
        fetch(lost)


def _lost(ray: Any) -> Any:
    """A reference whose task died and will not run again."""

    @ray.remote(max_retries=0, num_cpus=0.1)
    def dies() -> None:
        import os

        os._exit(1)

    return dies.remote()
