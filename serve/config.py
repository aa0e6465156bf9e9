"""All settings of the service. They are read before Ray, torch or FastAPI are loaded.

Settings for what clients may do are in `serve.limits`. Which address Ray's proxy really listens on
is not known here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from serve.limits import (
    AcceptedVideoConfig,
    AccessConfig,
    FetchConfig,
    LimitConfig,
    RateConfig,
    is_loopback,
)
from spatialcode.config import checked, require, setting
from spatialcode.encoder.registry import EncoderSettings
from spatialcode.reasoning.models.loading import ModelSpec
from spatialcode.video.limits import VideoLimits
from spatialcode.video.sampling import Sampling


@dataclass(frozen=True)
@checked
class StoreConfig:
    """Where codes, videos and the states of jobs are kept."""

    url: str = setting("folder, file:// or s3:// address of codes and videos", "out/serve/store")
    s3_endpoint_url: str | None = setting("S3 service other than AWS", None)
    database_url: str = setting("SQLAlchemy URL of the job states",
                                "sqlite:///out/serve/jobs.sqlite")  # fmt: skip
    database_url_env: str = setting("environment variable that takes its place, where it is set",
                                    "SPATIALCODE_DATABASE_URL")  # fmt: skip
    keep_videos: bool = setting("keep videos of finished codes, for the page and overlays", True)
    lease_s: float = setting("seconds until a silent worker loses its video", 30.0, above=0)
    max_attempts: int = setting("lost workers until a video counts as failed", 3, at_least=1)

    def __post_init__(self) -> None:
        require(bool(self.url), "url", "an address", self.url)
        require("://" in self.database_url, "database_url", "dialect://…", "another text")

    @property
    def job_database(self) -> str:
        """The URL of the job states. It may hold a password, so keep it out of logs."""
        return os.environ.get(self.database_url_env) or self.database_url


@dataclass(frozen=True)
@checked
class DeploymentConfig:
    """What every deployment reserves, and between which numbers of replicas it scales."""

    num_cpus: float = setting("cores that a replica reserves; limits its threads", 1.0, above=0)
    min_replicas: int = setting("fewest replicas", 1, at_least=1)
    max_replicas: int = setting("most replicas", 2)

    def __post_init__(self) -> None:
        enough = self.max_replicas >= self.min_replicas
        require(enough, "max_replicas", "at least min_replicas", self.max_replicas)


@dataclass(frozen=True)
@checked
class EncoderDeploymentConfig(DeploymentConfig, EncoderSettings):
    """The deployment that turns videos into codes: which encoder, and its replicas."""

    device: str = setting("auto is cuda if num_gpus is above 0", "auto",
                          one_of=("auto", "cpu", "cuda"))  # fmt: skip
    num_gpus: float = setting("GPUs that a replica reserves, or a fraction of one", 0.0, at_least=0)
    max_batch: int = setting("videos whose frames are encoded together", 4, at_least=1)

    @property
    def torch_device(self) -> str:
        """The device to load on."""
        return ("cuda" if self.num_gpus else "cpu") if self.device == "auto" else self.device


@dataclass(frozen=True)
@checked
class ReasonerDeploymentConfig(DeploymentConfig, ModelSpec):
    """The deployment that answers through a language model. Without one, only the solver does."""

    num_gpus: float = setting("GPUs that a replica reserves", 0.0, at_least=0)
    max_samples: int = setting("most samples drawn for one question", 8, at_least=1)
    batch_size: int = setting("local: prompts that run together; 0: max_samples", 0, at_least=0)
    temperature: float = setting(
        "of sampling; a single answer is decoded greedily", 0.7, at_least=0
    )
    timeout_s: float = setting("endpoint: seconds for one attempt", 30.0, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        missing = bool(self.base_url) and not self.model
        require(not missing, "model", "the model's name at base_url", self.model)

    @property
    def has_model(self) -> bool:
        """Whether a language model answers besides the solver."""
        return bool(self.model)


@dataclass(frozen=True)
@checked
class IngressDeploymentConfig(DeploymentConfig):
    """The deployment that speaks HTTP."""

    num_cpus: float = setting("cores that a replica reserves", 0.5, above=0)
    max_ongoing_requests: int = setting("requests that a replica handles at once", 64, at_least=1)


@dataclass(frozen=True)
@checked
class AutoscalingConfig:
    """When replicas start and end; the same for every deployment."""

    upscale_delay_s: float = setting("seconds of load before a replica starts", 5.0, at_least=0)
    downscale_delay_s: float = setting("seconds without load before one ends", 60.0, at_least=0)
    drain_timeout_s: float = setting("seconds that an ending replica has left", 60.0, at_least=0)


@dataclass(frozen=True)
@checked
class ServeConfig:
    """All settings of the service (``configs/serve.yaml``)."""

    host: str = setting("address to listen on; any other than loopback needs API keys", "127.0.0.1")
    port: int = setting("port to listen on", 8000, at_least=0, below=65536)
    metrics_port: int | None = setting("port of Ray's Prometheus endpoint, if this starts Ray;"
                                       " null: any", None)  # fmt: skip
    public_url: str | None = setting("address that clients see, if there is a proxy in front", None)
    access: AccessConfig = setting("", default_factory=AccessConfig)
    rates: RateConfig = setting("", default_factory=RateConfig)
    limits: LimitConfig = setting("", default_factory=LimitConfig)
    video: AcceptedVideoConfig = setting("", default_factory=AcceptedVideoConfig)
    sampling: Sampling = setting("", default_factory=Sampling)
    fetch: FetchConfig = setting("", default_factory=FetchConfig)
    store: StoreConfig = setting("", default_factory=StoreConfig)
    encoder: EncoderDeploymentConfig = setting("", default_factory=EncoderDeploymentConfig)
    reasoner: ReasonerDeploymentConfig = setting("", default_factory=ReasonerDeploymentConfig)
    ingress: IngressDeploymentConfig = setting("", default_factory=IngressDeploymentConfig)
    autoscaling: AutoscalingConfig = setting("", default_factory=AutoscalingConfig)

    def __post_init__(self) -> None:
        require(bool(self.host), "host", "an address", self.host)
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            ok = parts.scheme in {"http", "https"} and bool(parts.hostname)
            require(ok, "public_url", "http(s)://host", self.public_url)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the service, so that it needs no keys."""
        return is_loopback(self.host) and self.public_url is None

    @property
    def video_limits(self) -> VideoLimits:
        """The limits of the decoder."""
        return self.video.limits(self.limits.max_upload_bytes)
