"""The settings of the encode job. Light: read by ``--help`` before Ray or torch are loaded."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import checked, require, setting
from spatialcode.encoder.registry import EncoderSettings
from spatialcode.video.sampling import Sampling


@dataclass(frozen=True)
@checked
class DecodeConfig:
    """The decoding stage."""

    num_cpus: float = setting("cores a decoding task reserves", 1.0, above=0)
    timeout_s: float = setting(
        "wall clock for one video, or one piece of a long one; then its decoder is killed",
        120.0,
        above=0,
    )
    memory_bytes: int = setting("address space of a decoder", 4 * 2**30, at_least=2**28)
    max_capture_bytes: int = setting(
        "bytes of one capture in S3, which is copied to its encoder's disk", 32 * 2**30, at_least=1
    )
    videos_per_task: int = setting("videos a task decodes, one after the other", 4, at_least=1)


@dataclass(frozen=True)
@checked
class EncodingConfig(EncoderSettings):
    """The encoding stage: which encoder, and the actors that hold it."""

    device: str = setting(
        "auto, cpu or cuda; auto is cuda where num_gpus is above 0",
        "auto",
        one_of=("auto", "cpu", "cuda"),
    )
    num_cpus: float = setting("cores an encoder reserves; caps its threads", 1.0, above=0)
    num_gpus: float | None = setting(
        "GPUs an encoder reserves; a fraction shares one; auto: as much as it was seen to need",
        0.0,
        at_least=0,
        auto=True,
    )
    compile: bool | None = setting(
        "compile the networks: true, false, or auto: on a GPU, for 50 videos and more",
        None,
        auto=True,
    )
    min_actors: int = setting("encoders started at once", 1, at_least=1)
    max_actors: int | None = setting("encoders at most; null: as many as fit the cluster", None)
    videos_per_batch: int = setting("videos whose frames are encoded together", 4, at_least=1)

    def __post_init__(self) -> None:
        enough = self.max_actors is None or self.max_actors >= self.min_actors
        require(enough, "max_actors", "at least min_actors", self.max_actors)

    @property
    def torch_device(self) -> str:
        """The device to load on."""
        return ("cpu" if self.num_gpus == 0 else "cuda") if self.device == "auto" else self.device


@dataclass(frozen=True)
@checked
class EncodeConfig:
    """All settings of ``python -m jobs.encode``."""

    input: tuple[str, ...] = setting("files, folders, globs, s3:// prefixes or manifests")
    reader: str | None = setting(
        "inputs are folders of recorded captures: a reader's name (docs/recordings.md), or auto"
        " for the one that recognises a folder; null: inputs are videos", None
    )  # fmt: skip
    sidecars: bool = setting("a sidecar beside a video (NAME.geometry.json) is read with it", True)
    output: str = setting("folder or s3:// prefix for codes/ and report.json")
    sampling: Sampling = setting("", default_factory=Sampling)
    decode: DecodeConfig = setting("", default_factory=DecodeConfig)
    encoder: EncodingConfig = setting("", default_factory=EncodingConfig)
    max_attempts: int = setting(
        "tries of one video before a crash or a timeout is final", 2, at_least=1
    )
    retry_failed: bool = setting("try again what an earlier run recorded as failed", False)
    max_failed_fraction: float = setting(
        "failed share that still counts as success", 0.0, at_least=0, at_most=1
    )
    rows_per_file: int = setting(
        "codes a Parquet file; a killed run loses at most so many", 16, at_least=1
    )
    s3_endpoint_url: str | None = setting("S3 service other than AWS", None)
    cache_dir: str | None = setting("where file hashes are remembered; null: user cache", None)
    ray_address: str | None = setting("cluster to join; null: RAY_ADDRESS or a local one", None)

    def __post_init__(self) -> None:
        require(len(self.input) > 0, "input", "at least one path", self.input)
