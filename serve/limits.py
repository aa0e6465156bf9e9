"""Settings for what clients may do: who may call, how often, how much, which videos and URLs.

They hold no secret, because a configuration is shown, logged and kept by Ray: API keys are given as
digests, in a file or in an environment variable. Whether that file exists is checked where it is
read (`serve.access.keys`).
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass

from spatialcode.config import checked, require, setting
from spatialcode.errors import ConfigError
from spatialcode.video.limits import CODECS, FORMATS, VideoLimits
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
