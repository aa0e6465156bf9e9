"""Weights from the trainer to engines, all or nothing, in buckets with checksums.

`packed` makes one bucket of tensors at a time, in the safetensors format. Buckets travel through
Ray's object store, where all receivers of a node read one copy, or simply as a list. A receiver
checks all of them (checksum, version, none missing, no tensor twice) before it touches its engine:
where one is refused, the weights stay as they were.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor

from spatialcode.errors import WeightSyncError
from spatialcode.grpo.types import Engine

#: Bytes of weights sent in one piece where nothing else is asked for.
BUCKET_BYTES = 64 * 2**20


@dataclass(frozen=True)
class TensorSpec:
    """What a tensor is, without its numbers; ``dtype`` as torch names it, "bfloat16"."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Bucket:
    """Whole tensors, what they are, and their safetensors bytes (uint8).

    ``index`` counts from 0; one is the ``last``. ``checksum`` is over the bytes and over everything
    else that the bucket says.
    """

    version: int
    index: int
    last: bool
    specs: Mapping[str, TensorSpec]
    data: NDArray[np.uint8]
    checksum: str = ""

    @property
    def name(self) -> str:
        """For messages: version, number, and the tensors it begins and ends with."""
        names = list(self.specs)
        held = " … ".join(dict.fromkeys([names[0], names[-1]])) if names else "nothing"
        return f"bucket {self.index} of version {self.version} ({held})"

    def computed_checksum(self) -> str:
        """The checksum (CRC-32) of what the bucket holds now."""
        specs = [[name, asdict(spec)] for name, spec in self.specs.items()]
        head = json.dumps([self.version, self.index, self.last, specs]).encode()
        data: Any = np.ascontiguousarray(self.data)  # its stubs know no buffers
        return f"{zlib.crc32(data, zlib.crc32(head)):08x}"


def packed(
    tensors: Iterable[tuple[str, Tensor]], version: int, bucket_bytes: int
) -> Iterator[Bucket]:
    """The tensors as buckets of about so many bytes, in order; a larger tensor has one of its own.

    Each tensor is copied to the CPU when its turn comes. Raises WeightSyncError for a name that
    comes twice, a dtype that is not sent, or no tensors.
    """
    names: set[str] = set()
    held: dict[str, Tensor] = {}
    index = 0
    for name, tensor in tensors:
        if name in names:
            raise WeightSyncError(f"{name}: comes twice")
        if tensor.is_complex():
            raise WeightSyncError(f"{name}: expected real numbers, got {tensor.dtype}")
        names.add(name)
        filled = sum(other.nbytes for other in held.values())
        if held and filled + tensor.nbytes > bucket_bytes:
            yield _bucket(version, index, held, last=False)
            held, index = {}, index + 1
        held[name] = tensor.detach().to("cpu", copy=True).contiguous()
    if not names:
        raise WeightSyncError("tensors: expected at least one, got none")
    yield _bucket(version, index, held, last=True)


def _bucket(version: int, index: int, held: dict[str, Tensor], last: bool) -> Bucket:
    """The tensors as they are sent."""
    specs = {name: _spec(tensor) for name, tensor in held.items()}
    made = Bucket(version, index, last, specs, np.frombuffer(save(held), np.uint8))
    return replace(made, checksum=made.computed_checksum())


def _spec(tensor: Tensor) -> TensorSpec:
    return TensorSpec(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))


def layout_of(buckets: Sequence[Bucket], version: int) -> dict[str, TensorSpec]:
    """Names and kinds of the tensors in a complete, sound set of buckets.

    Raises WeightSyncError that names the first bucket, or tensor, that is damaged, missing, of
    another version, or there twice.
    """
    by_index: dict[int, Bucket] = {}
    for bucket in buckets:
        if bucket.version != version:
            raise WeightSyncError(f"{bucket.name}: expected version {version}")
        computed = bucket.computed_checksum()
        if computed != bucket.checksum:
            raise WeightSyncError(
                f"{bucket.name}: damaged: crc32 is {computed}, sent was {bucket.checksum or 'none'}"
            )
        if bucket.index in by_index:
            raise WeightSyncError(f"{bucket.name}: comes twice")
        by_index[bucket.index] = bucket
    ends = [index for index, bucket in by_index.items() if bucket.last]
    count = max(ends, default=max(by_index, default=-1) + 1) + 1
    missing = [index for index in range(count) if index not in by_index]
    if missing:
        raise WeightSyncError(f"bucket {missing[0]} of version {version}: missing")
    if ends != [len(by_index) - 1]:
        raise WeightSyncError(f"bucket {count} of version {version}: comes after the last one")
    layout: dict[str, TensorSpec] = {}
    for index in range(count):
        for name, spec in by_index[index].specs.items():
            if name in layout:
                raise WeightSyncError(f"{by_index[index].name}: {name} comes twice")
            layout[name] = spec
    return layout


def unpacked(buckets: Sequence[Bucket]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of buckets that `layout_of` found sound, each a fresh copy, in order."""
    for bucket in sorted(buckets, key=lambda bucket: bucket.index):
        held = load(bucket.data.tobytes())
        yield from ((name, held[name]) for name in bucket.specs)


def apply_buckets(
    engine: Engine,
    buckets: Sequence[Bucket],
    version: int,
    expected: Mapping[str, TensorSpec] | None = None,
) -> dict[str, TensorSpec]:
    """Check all buckets, then give the engine its new weights; what tensors these are.

    ``expected``: the tensors that the engine has, where they are known. Raises WeightSyncError,
    the engine as it was, for anything `layout_of` refuses, other tensors than expected, or a
    version older than the engine's.
    """
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
    return layout


@dataclass(frozen=True)
class PublishedWeights:
    """Buckets in Ray's object store; they stay there while this object, or a copy, is held."""

    version: int
    references: tuple[Any, ...]


def publish(
    tensors: Iterable[tuple[str, Tensor]], version: int, bucket_bytes: int
) -> PublishedWeights:
    """Put weights into Ray's object store, bucket by bucket."""
    import ray

    buckets = packed(tensors, version, bucket_bytes)
    return PublishedWeights(version, tuple(ray.put(bucket) for bucket in buckets))


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
