"""All settings of the service. Light: read before Ray, torch or FastAPI are loaded.

What strangers may do is in `serve.limits`, offered here as well. Which address Ray's proxy really
listens on is not known here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from serve.limits import (
    AccessConfig,
    FetchConfig,
    LimitConfig,
    RateConfig,
    VideoConfig,
    at_least,
    is_loopback,
    more_than_zero,
)
from spatialcode.config import require, setting
from spatialcode.encoder.registry import EncoderSettings
from spatialcode.video.limits import VideoLimits
from spatialcode.video.sampling import Sampling

__all__ = [
    "AccessConfig",
    "AutoscalingConfig",
    "EncoderReplicas",
    "FetchConfig",
    "IngressConfig",
    "LimitConfig",
    "RateConfig",
    "ReasonerConfig",
    "ServeConfig",
    "StoreConfig",
    "VideoConfig",
]


@dataclass(frozen=True)
class StoreConfig:
    """Where codes, videos and job states are kept."""

    url: str = setting("folder, file:// or s3:// address of codes and videos", "out/serve/store")
    s3_endpoint_url: str | None = setting("S3 service other than AWS", None)
    database_url: str = setting("SQLAlchemy address of the job states",
                                "sqlite:///out/serve/jobs.sqlite")  # fmt: skip
    database_url_env: str = setting("environment variable that, where set, holds it instead",
                                    "SPATIALCODE_DATABASE_URL")  # fmt: skip
    keep_videos: bool = setting("keep a video after its code is done (page, overlay)", True)
    lease_s: float = setting("seconds until a silent worker's video goes to another", 30.0)
    max_attempts: int = setting("workers a video may cost before it counts as failed", 3)

    def __post_init__(self) -> None:
        require(bool(self.url), "url", "an address", self.url)
        require("://" in self.database_url, "database_url", "dialect://…", "another text")
        more_than_zero(self, "lease_s")
        at_least(self, 1, "max_attempts")

    @property
    def job_database(self) -> str:
        """The address of the job states; it may hold a password, so it is not for logs."""
        return os.environ.get(self.database_url_env) or self.database_url


def check_replicas(config: EncoderReplicas | ReasonerConfig | IngressConfig) -> None:
    """Raise `ConfigError` where a deployment's resources or replicas make no sense."""
    more_than_zero(config, "num_cpus")
    at_least(config, 1, "min_replicas")
    enough = config.max_replicas >= config.min_replicas
    require(enough, "max_replicas", "at least min_replicas", config.max_replicas)


@dataclass(frozen=True)
class EncoderReplicas(EncoderSettings):
    """The deployment that turns videos into codes: which encoder, and its replicas."""

    device: str = setting("auto, cpu or cuda; auto is cuda where num_gpus is above 0", "auto")
    num_gpus: float = setting("GPUs a replica reserves; a fraction shares one", 0.0)
    num_cpus: float = setting("cores a replica reserves; caps its threads", 1.0)
    min_replicas: int = setting("replicas at least", 1)
    max_replicas: int = setting("replicas at most", 2)
    max_batch: int = setting("videos whose frames are encoded together", 4)

    def __post_init__(self) -> None:
        known = ("auto", "cpu", "cuda")
        require(self.device in known, "device", "auto, cpu or cuda", self.device)
        at_least(self, 0, "num_gpus")
        at_least(self, 1, "max_batch")
        check_replicas(self)

    @property
    def torch_device(self) -> str:
        """The device to load on."""
        return ("cuda" if self.num_gpus else "cpu") if self.device == "auto" else self.device


@dataclass(frozen=True)
class ReasonerConfig:
    """The deployment that answers through a language model. Without one, only the solver does."""

    model: str = setting("folder or hub name of a local model, or its name at base_url", "")
    base_url: str = setting("OpenAI-compatible endpoint, http://host:port/v1; empty: local", "")
    api_key_env: str = setting("environment variable with the endpoint's key; empty: none", "")
    device: str = setting("local: auto, cpu or cuda", "auto")
    num_gpus: float = setting("GPUs a replica reserves", 0.0)
    num_cpus: float = setting("cores a replica reserves", 1.0)
    min_replicas: int = setting("replicas at least", 1)
    max_replicas: int = setting("replicas at most", 2)
    max_samples: int = setting("answers that one question may draw", 8)
    max_tokens: int = setting("tokens of one answer", 1024)
    temperature: float = setting("of sampling several answers; one alone is greedy", 0.7)
    timeout_s: float = setting("endpoint: seconds for one attempt", 30.0)

    def __post_init__(self) -> None:
        missing = bool(self.base_url) and not self.model
        require(not missing, "model", "the model's name at base_url", self.model)
        at_least(self, 0, "num_gpus", "temperature")
        at_least(self, 1, "max_samples", "max_tokens")
        more_than_zero(self, "timeout_s")
        check_replicas(self)

    @property
    def has_model(self) -> bool:
        """Whether anything but the solver can answer."""
        return bool(self.model)


@dataclass(frozen=True)
class IngressConfig:
    """The deployment that speaks HTTP."""

    num_cpus: float = setting("cores a replica reserves", 0.5)
    min_replicas: int = setting("replicas at least", 1)
    max_replicas: int = setting("replicas at most", 2)
    max_ongoing_requests: int = setting("requests a replica works on at once", 64)

    def __post_init__(self) -> None:
        at_least(self, 1, "max_ongoing_requests")
        check_replicas(self)


@dataclass(frozen=True)
class AutoscalingConfig:
    """When replicas come and go; the same for every deployment."""

    upscale_delay_s: float = setting("seconds of load before another replica starts", 5.0)
    downscale_delay_s: float = setting("seconds without need before one ends", 60.0)
    drain_timeout_s: float = setting("seconds an ending replica has for what it works on", 60.0)

    def __post_init__(self) -> None:
        at_least(self, 0, "upscale_delay_s", "downscale_delay_s", "drain_timeout_s")


@dataclass(frozen=True)
class ServeConfig:
    """All settings of the service (``configs/serve.yaml``)."""

    host: str = setting("address to listen on; other than loopback needs API keys", "127.0.0.1")
    port: int = setting("port to listen on", 8000)
    metrics_port: int | None = setting("port of Ray's Prometheus endpoint, where this starts Ray;"
                                       " null: any", None)  # fmt: skip
    public_url: str | None = setting("address clients see, where a proxy stands before", None)
    access: AccessConfig = setting("", default_factory=AccessConfig)
    rates: RateConfig = setting("", default_factory=RateConfig)
    limits: LimitConfig = setting("", default_factory=LimitConfig)
    video: VideoConfig = setting("", default_factory=VideoConfig)
    sampling: Sampling = setting("", default_factory=Sampling)
    fetch: FetchConfig = setting("", default_factory=FetchConfig)
    store: StoreConfig = setting("", default_factory=StoreConfig)
    encoder: EncoderReplicas = setting("", default_factory=EncoderReplicas)
    reasoner: ReasonerConfig = setting("", default_factory=ReasonerConfig)
    ingress: IngressConfig = setting("", default_factory=IngressConfig)
    autoscaling: AutoscalingConfig = setting("", default_factory=AutoscalingConfig)

    def __post_init__(self) -> None:
        require(bool(self.host), "host", "an address", self.host)
        require(0 <= self.port < 65536, "port", "a number from 0 to 65535", self.port)
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            ok = parts.scheme in {"http", "https"} and bool(parts.hostname)
            require(ok, "public_url", "http(s)://host", self.public_url)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the service, so that it may go without keys."""
        return is_loopback(self.host) and self.public_url is None

    @property
    def video_limits(self) -> VideoLimits:
        """What the decoder accepts."""
        return self.video.limits(self.limits.max_upload_bytes)
