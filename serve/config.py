"""All settings of the service. They are read before Ray, torch or FastAPI are loaded.

First what clients may do: who may call, how often, how much, which videos and URLs; then what the
service consists of. They hold no secret, because a configuration is shown, logged and kept by Ray:
API keys are given as digests, in a file or in an environment variable. Whether that file exists is
checked where it is read (`serve.access.keys`). Which address Ray's proxy really listens on is not
known here.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from spatialcode.config import checked, require, setting
from spatialcode.encoder.registry import EncoderSettings
from spatialcode.errors import ConfigError
from spatialcode.reasoning.models.loading import ModelSpec
from spatialcode.video.limits import CODECS, FORMATS, VideoLimits
from spatialcode.video.sampling import Sampling
from spatialcode.video.sandbox import SandboxLimits

MIB, GIB = 2**20, 2**30
SHA256_HEX = re.compile(r"[0-9a-f]{64}")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a service bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
@checked
class AccessConfig:
    """Who may call. Without any key the service binds to loopback only."""

    keys: tuple[str, ...] = setting("sha256 digests of API keys (python -m serve.access.keys)", ())
    keys_file: str | None = setting("file with one API key or digest per line", None)
    keys_env: str = setting("environment variable with API keys, separated by commas",
                            "SPATIALCODE_API_KEYS")  # fmt: skip

    def __post_init__(self) -> None:
        for key in self.keys:
            if not SHA256_HEX.fullmatch(key):
                # the value may be a key itself, so the message does not repeat it
                raise ConfigError(
                    "keys: expected sha256 digests of 64 hex digits, got another text"
                )


@dataclass(frozen=True)
@checked
class RateConfig:
    """How many requests a key may make: each key has one token bucket per ingress replica."""

    requests_per_s: float = setting("requests per second and key in the long run", 20.0, above=0)
    burst: float = setting("requests in one burst after a pause", 60.0, at_least=1)
    upload_cost: float = setting("requests that one new video counts as", 5.0, above=0)

    def __post_init__(self) -> None:
        affordable = self.upload_cost <= self.burst
        require(affordable, "upload_cost", "at most burst", self.upload_cost)


@dataclass(frozen=True)
@checked
class LimitConfig:
    """Limits of body sizes, of queue lengths and of time."""

    max_upload_bytes: int = setting(
        "bytes of one video, uploaded or fetched", 512 * MIB, at_least=1
    )
    max_body_bytes: int = setting("bytes of any other request body", 16 * MIB, at_least=1)
    upload_timeout_s: float = setting("seconds one upload may take", 600.0, above=0)
    upload_idle_s: float = setting("seconds an upload may pause", 30.0, above=0)
    max_uploads: int = setting("uploads and fetches at once, per ingress replica", 8, at_least=1)
    max_uploads_per_key: int = setting("of these, from one caller", 4, at_least=1)
    max_queue: int = setting("videos waiting or being encoded; beyond it, 429", 64, at_least=1)
    deadline_s: float = setting("seconds from a video's acceptance to its code", 900.0, above=0)
    ask_deadline_s: float = setting("seconds from a question to its answer", 60.0, above=0)
    spool_dir: str | None = setting("folder for unfinished uploads; null: the system's", None)
    min_free_bytes: int = setting(
        "bytes to keep free in that folder; below it, 507", 256 * MIB, at_least=0
    )


@dataclass(frozen=True)
@checked
class AcceptedVideoConfig:
    """Which videos are accepted, and what time and memory one may take."""

    max_duration_s: float = setting("seconds of video", 900.0, above=0)
    max_pixels: int = setting("width × height", 4096 * 2304, at_least=1)
    max_frames: int = setting("frames in the file", 100_000, at_least=1)
    min_side_px: int = setting("least pixels of the shorter side", 16, at_least=1)
    formats: tuple[str, ...] = setting("containers, as FFmpeg names them", FORMATS, one_of=FORMATS)
    codecs: tuple[str, ...] = setting("codecs, as FFmpeg names them", CODECS, one_of=CODECS)
    num_probers: int = setting(
        "processes that probe new videos, per ingress replica", 2, at_least=1
    )
    probe_timeout_s: float = setting("seconds to probe one video", 20.0, above=0)
    decode_timeout_s: float = setting("seconds to decode one video", 120.0, above=0)
    memory_bytes: int = setting("address space of a decoding child", 2 * GIB, at_least=256 * MIB)

    def __post_init__(self) -> None:
        require(bool(self.formats), "formats", "at least one", self.formats)
        require(bool(self.codecs), "codecs", "at least one", self.codecs)

    def limits(self, max_bytes: int) -> VideoLimits:
        """The decoder's limits, for files of at most ``max_bytes``."""
        return VideoLimits(
            max_bytes=max_bytes, max_duration_s=self.max_duration_s, max_pixels=self.max_pixels,
            max_frames=self.max_frames, formats=self.formats, codecs=self.codecs,
        )  # fmt: skip

    def sandbox(self, wall_s: float) -> SandboxLimits:
        """The limits of a decoding child process that has ``wall_s`` seconds for a video."""
        cpu_s = math.ceil(wall_s)  # it has one thread; this also ends it when its parent is gone
        return SandboxLimits(wall_s=wall_s, cpu_s=cpu_s, memory_bytes=self.memory_bytes)


@dataclass(frozen=True)
@checked
class FetchConfig:
    """Which URLs are fetched. Without any scheme, only uploads are accepted."""

    schemes: tuple[str, ...] = setting(
        "schemes of URLs; for s3 see s3_buckets", ("https",), one_of=("http", "https")
    )
    ports: tuple[int, ...] = setting("ports that may be connected to", (443,), above=0, below=65536)
    max_redirects: int = setting("redirects that are followed", 3, at_least=0)
    connect_timeout_s: float = setting(
        "seconds to resolve, for the response's head, for each piece of its body",
        10.0,
        above=0,
    )
    timeout_s: float = setting("seconds for the whole fetch, redirects included", 120.0, above=0)
    allowed_networks: tuple[str, ...] = setting(
        "networks that are fetched from although they are not global, like 10.1.0.0/16", ()
    )
    blocked_networks: tuple[str, ...] = setting(
        "networks that are never fetched from, such as the deployment's own public ones", ()
    )
    s3_buckets: tuple[str, ...] = setting("buckets that s3:// URLs may name", ())
    s3_endpoint_url: str | None = setting("S3 service other than AWS", None)

    def __post_init__(self) -> None:
        for key in ("allowed_networks", "blocked_networks"):
            for text in getattr(self, key):
                require(_is_network(text), key, "networks like 10.1.0.0/16", text)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


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
    num_gpus: float | None = setting(
        "GPUs that a replica reserves, or a fraction of one; auto: as much as it was seen to need",
        0.0, at_least=0, auto=True,
    )  # fmt: skip
    compile: bool = setting("compile the networks; the first videos wait for it", False)
    max_batch: int = setting("videos whose frames are encoded together", 4, at_least=1)

    @property
    def torch_device(self) -> str:
        """The device to load on."""
        return ("cpu" if self.num_gpus == 0 else "cuda") if self.device == "auto" else self.device


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
