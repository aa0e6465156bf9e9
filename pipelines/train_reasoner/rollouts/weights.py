"""Weights from the trainer to engines, all or nothing.

Buckets travel through Ray's object store, where all receivers of a node read one copy, or simply
as a list. A receiver checks all of them (checksum, version, none missing, every tensor whole)
before it touches its engine: what is refused leaves the weights as they were.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pipelines.train_reasoner.rollouts.buckets import (
    Bucket,
    TensorSpec,
    WeightSyncConfig,
    layout_of,
    packed,
    unpacked,
)
from spatialcode.errors import WeightSyncError
from spatialcode.grpo.types import Engine


@dataclass(frozen=True)
class SyncReport:
    """What was applied, and the seconds that it took."""

    version: int
    num_buckets: int
    num_tensors: int
    num_bytes: int
    seconds: float


def apply_buckets(
    engine: Engine,
    buckets: Sequence[Bucket],
    version: int,
    expected: Mapping[str, TensorSpec] | None = None,
) -> SyncReport:
    """Check all buckets, then give the engine its new weights.

    ``expected``: the tensors that the engine has, where they are known. Raises WeightSyncError,
    the engine as it was, for anything `layout_of` refuses, other tensors than expected, or a
    version older than the engine's.
    """
    begun_s = time.perf_counter()
    if version < engine.weight_version:
        raise WeightSyncError(
            f"version {version}: older than the engine's, which is {engine.weight_version}"
        )
    layout = layout_of(buckets, version)
    if expected is not None and layout != expected:
        names = sorted(
            name for name in {*layout, *expected} if layout.get(name) != expected.get(name)
        )
        name = names[0]
        raise WeightSyncError(f"{name}: expected {expected.get(name)}, got {layout.get(name)}")
    engine.load_weights(unpacked(buckets), version)
    num_bytes = sum(spec.num_bytes for spec in layout.values())
    seconds = time.perf_counter() - begun_s
    return SyncReport(version, len(buckets), len(layout), num_bytes, seconds)


@dataclass(frozen=True)
class PublishedWeights:
    """Buckets in Ray's object store; they stay there while this object, or a copy, is held."""

    version: int
    references: tuple[Any, ...]
    num_bytes: int


def publish(
    tensors: Iterable[tuple[str, Tensor]], version: int, config: WeightSyncConfig
) -> PublishedWeights:
    """Put weights into Ray's object store, bucket by bucket."""
    import ray

    references, num_bytes = [], 0
    for bucket in packed(tensors, version, config):
        num_bytes += bucket.data.nbytes
        references.append(ray.put(bucket))
    return PublishedWeights(version, tuple(references), num_bytes)


def fetch(published: PublishedWeights, timeout_s: float = 300.0) -> list[Bucket]:
    """The buckets, their bytes in shared memory. WeightSyncError naming one that is lost."""
    import ray
    from ray.exceptions import RayError

    buckets = []
    for index, reference in enumerate(published.references):
        try:
            buckets.append(ray.get(reference, timeout=timeout_s))
        except RayError as error:
            raise WeightSyncError(
                f"bucket {index} of version {published.version}: missing: {type(error).__name__}"
            ) from error
    return buckets
