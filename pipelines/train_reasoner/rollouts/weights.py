"""Weights from the trainer to engines, all or nothing, in buckets with checksums.

`packed` makes one bucket of tensors at a time; a tensor larger than a bucket is split. Buckets
travel through Ray's object store, where all receivers of a node read one copy, or simply as a list.
A receiver checks all of them (checksum, version, none missing, every tensor whole) before it
touches its engine: where one is refused, the weights stay as they were.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spatialcode.errors import WeightSyncError
from spatialcode.grpo.types import Engine

#: Bytes of weights sent in one piece, at most, where nothing else is asked for.
BUCKET_BYTES = 64 * 2**20
#: Tensors start at multiples of this many bytes, so that any dtype may view them.
_ALIGNMENT = 16
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn,
        torch.float8_e5m2, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
        torch.bool,
    )
}  # fmt: skip


@dataclass(frozen=True)
class TensorSpec:
    """What a tensor is, without its numbers; ``dtype`` as torch names it, "bfloat16"."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return prod(self.shape) * _DTYPES[self.dtype].itemsize


@dataclass(frozen=True)
class Piece:
    """Bytes of one tensor: ``num_bytes`` from its byte ``offset`` on, at ``start`` in a bucket."""

    name: str
    spec: TensorSpec
    offset: int
    num_bytes: int
    start: int


@dataclass(frozen=True)
class Bucket:
    """Pieces of tensors with their bytes (uint8). ``index`` counts from 0; one is the ``last``.

    ``checksum`` is over the bytes and over everything else that the bucket says.
    """

    version: int
    index: int
    last: bool
    pieces: tuple[Piece, ...]
    data: NDArray[np.uint8]
    checksum: str = ""

    @property
    def name(self) -> str:
        """For messages: version, number, and the tensors it begins and ends with."""
        names = [piece.name for piece in self.pieces]
        held = " … ".join(dict.fromkeys([names[0], names[-1]])) if names else "nothing"
        return f"bucket {self.index} of version {self.version} ({held})"

    def computed_checksum(self) -> str:
        """The checksum (CRC-32) of what the bucket holds now."""
        pieces = [asdict(piece) for piece in self.pieces]
        head = json.dumps([self.version, self.index, self.last, pieces]).encode()
        data: Any = np.ascontiguousarray(self.data)  # its stubs know no buffers
        return f"{zlib.crc32(data, zlib.crc32(head)):08x}"


def packed(tensors: Iterable[tuple[str, Tensor]], version: int, size: int) -> Iterator[Bucket]:
    """The tensors as buckets of at most ``size`` bytes, in order. Each tensor is copied to the CPU
    when its turn comes.

    Raises WeightSyncError for a name that comes twice, a dtype that is not sent, or no tensors.
    """
    names: set[str] = set()
    filling = _Filling(version, 0)
    for name, tensor in tensors:
        if name in names:
            raise WeightSyncError(f"{name}: comes twice")
        names.add(name)
        spec, numbers = _spec(name, tensor), _bytes_of(tensor)
        if not filling.takes(len(numbers), size):
            yield filling.closed(last=False)
            filling = _Filling(version, filling.index + 1)
        offset = filling.add(name, spec, 0, numbers[: max(0, size - filling.start)])
        while offset < len(numbers):
            yield filling.closed(last=False)
            filling = _Filling(version, filling.index + 1)
            offset += filling.add(name, spec, offset, numbers[offset : offset + size])
    if not names:
        raise WeightSyncError("tensors: expected at least one, got none")
    yield filling.closed(last=True)


class _Filling:
    """The bucket that is being filled."""

    def __init__(self, version: int, index: int) -> None:
        self.version = version
        self.index = index
        self._pieces: list[Piece] = []
        self._parts: list[NDArray[np.uint8]] = []

    @property
    def start(self) -> int:
        """Where the next piece begins."""
        if not self._pieces:
            return 0
        end = self._pieces[-1].start + self._pieces[-1].num_bytes
        return -(-end // _ALIGNMENT) * _ALIGNMENT

    def takes(self, num_bytes: int, size: int) -> bool:
        """Whether a tensor begins here: one that fits a bucket is not split."""
        if num_bytes > size:
            return self.start < size
        return not self._pieces or self.start + num_bytes <= size

    def add(self, name: str, spec: TensorSpec, offset: int, part: NDArray[np.uint8]) -> int:
        """Append a piece; its number of bytes."""
        self._pieces.append(Piece(name, spec, offset, len(part), self.start))
        self._parts.append(part)
        return len(part)

    def closed(self, last: bool) -> Bucket:
        """The bucket as it is sent."""
        data = np.zeros(self._pieces[-1].start + self._pieces[-1].num_bytes, np.uint8)
        for piece, part in zip(self._pieces, self._parts, strict=True):
            data[piece.start : piece.start + piece.num_bytes] = part
        made = Bucket(self.version, self.index, last, tuple(self._pieces), data)
        return replace(made, checksum=made.computed_checksum())


def layout_of(buckets: Sequence[Bucket], version: int) -> dict[str, TensorSpec]:
    """Names and kinds of the tensors in a complete, sound set of buckets.

    Raises WeightSyncError that names the first bucket, or tensor, that is damaged, missing, of
    another version, there twice or not whole.
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
    return _whole_tensors([by_index[index] for index in range(count)])


def unpacked(buckets: Sequence[Bucket]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of buckets that `layout_of` found sound, each a fresh copy, in order."""
    target = np.empty(0, np.uint8)
    for bucket in sorted(buckets, key=lambda bucket: bucket.index):
        for piece in bucket.pieces:
            if piece.offset == 0:
                target = np.empty(piece.spec.num_bytes, np.uint8)
            source = bucket.data[piece.start : piece.start + piece.num_bytes]
            target[piece.offset : piece.offset + piece.num_bytes] = source
            if piece.offset + piece.num_bytes == piece.spec.num_bytes:
                yield piece.name, _tensor(target, piece.spec)


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in _DTYPES:
        raise WeightSyncError(f"{name}: expected one of {', '.join(_DTYPES)}, got {dtype}")
    return TensorSpec(dtype, tuple(tensor.shape))


def _bytes_of(tensor: Tensor) -> NDArray[np.uint8]:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy() if flat.numel() else np.empty(0, np.uint8)


def _tensor(numbers: NDArray[np.uint8], spec: TensorSpec) -> Tensor:
    if not len(numbers):
        return torch.empty(spec.shape, dtype=_DTYPES[spec.dtype])
    return torch.from_numpy(numbers).view(_DTYPES[spec.dtype]).reshape(spec.shape)


def _whole_tensors(buckets: Sequence[Bucket]) -> dict[str, TensorSpec]:
    """Every tensor's pieces follow on each other from its first byte to its last."""
    layout: dict[str, TensorSpec] = {}
    name, spec, reached = "", TensorSpec("uint8", (0,)), 0
    for bucket in buckets:
        for piece in bucket.pieces:
            if reached == spec.num_bytes and piece.name not in layout and piece.offset == 0:
                name, spec, reached = piece.name, piece.spec, 0
                layout[name] = spec
            inside = 0 <= piece.start <= piece.start + piece.num_bytes <= len(bucket.data)
            follows = (piece.name, piece.spec, piece.offset) == (name, spec, reached)
            if not (inside and follows and reached + piece.num_bytes <= spec.num_bytes):
                raise WeightSyncError(f"{bucket.name}: {piece.name} is not whole")
            reached += piece.num_bytes
    if reached != spec.num_bytes:
        raise WeightSyncError(f"{buckets[-1].name}: {name} is not whole")
    return layout


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
