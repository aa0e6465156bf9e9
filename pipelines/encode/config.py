"""The settings of the encode job. Light: read by ``--help`` before Ray or torch are loaded."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import require, setting
from spatialcode.video.sampling import Sampling


@dataclass(frozen=True)
class DecodeConfig:
    """The decoding stage."""

    num_cpus: float = setting("cores a decoding task reserves", 1.0)
    timeout_s: float = setting("wall clock for one video, then its decoder is killed", 120.0)
    memory_bytes: int = setting("address space of a decoder", 4 * 2**30)
    videos_per_task: int = setting("videos a task decodes, one after the other", 4)

    def __post_init__(self) -> None:
        require(self.num_cpus > 0, "num_cpus", "more than 0", self.num_cpus)
        require(self.timeout_s > 0, "timeout_s", "more than 0", self.timeout_s)
        require(self.memory_bytes >= 2**28, "memory_bytes", "at least 2**28", self.memory_bytes)
        require(self.videos_per_task >= 1, "videos_per_task", "at least 1", self.videos_per_task)


@dataclass(frozen=True)
class EncoderConfig:
    """The encoding stage."""

    name: str = setting("bundled weights by name, a .safetensors file, or module:Class", "small")
    device: str = setting("auto, cpu or cuda; auto is cuda where num_gpus is above 0", "auto")
    num_cpus: float = setting("cores an encoder reserves; caps its threads", 1.0)
    num_gpus: float = setting("GPUs an encoder reserves; a fraction shares one", 0.0)
    min_actors: int = setting("encoders started at once", 1)
    max_actors: int | None = setting("encoders at most; null: as many as fit the cluster", None)
    videos_per_batch: int = setting("videos whose frames are encoded together", 4)

    def __post_init__(self) -> None:
        known = ("auto", "cpu", "cuda")
        require(self.device in known, "device", "auto, cpu or cuda", self.device)
        require(self.num_cpus > 0, "num_cpus", "more than 0", self.num_cpus)
        require(self.num_gpus >= 0, "num_gpus", "0 or more", self.num_gpus)
        require(self.min_actors >= 1, "min_actors", "at least 1", self.min_actors)
        enough = self.max_actors is None or self.max_actors >= self.min_actors
        require(enough, "max_actors", "at least min_actors", self.max_actors)
        require(self.videos_per_batch >= 1, "videos_per_batch", "at least 1", self.videos_per_batch)

    @property
    def torch_device(self) -> str:
        """The device to load on."""
        return ("cuda" if self.num_gpus else "cpu") if self.device == "auto" else self.device


@dataclass(frozen=True)
class EncodeConfig:
    """All settings of ``python -m jobs.encode``."""

    input: tuple[str, ...] = setting("files, folders, globs, s3:// prefixes or manifests")
    output: str = setting("folder or s3:// prefix for codes/ and report.json")
    sampling: Sampling = setting("", default_factory=Sampling)
    decode: DecodeConfig = setting("", default_factory=DecodeConfig)
    encoder: EncoderConfig = setting("", default_factory=EncoderConfig)
    max_attempts: int = setting("tries of one video before a crash or a timeout is final", 2)
    retry_failed: bool = setting("try again what an earlier run recorded as failed", False)
    max_failed_fraction: float = setting("failed share that still counts as success", 0.0)
    rows_per_file: int = setting("codes a Parquet file; a killed run loses at most so many", 16)
    s3_endpoint_url: str | None = setting("S3 service other than AWS", None)
    cache_dir: str | None = setting("where file hashes are remembered; null: user cache", None)
    ray_address: str | None = setting("cluster to join; null: RAY_ADDRESS or a local one", None)

    def __post_init__(self) -> None:
        require(len(self.input) > 0, "input", "at least one path", self.input)
        require(self.max_attempts >= 1, "max_attempts", "at least 1", self.max_attempts)
        fraction = self.max_failed_fraction
        require(0 <= fraction <= 1, "max_failed_fraction", "between 0 and 1", fraction)
        require(self.rows_per_file >= 1, "rows_per_file", "at least 1", self.rows_per_file)
