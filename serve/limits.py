"""Settings of what strangers may do: who may call, how often, how much, which videos and URLs.

It holds no secret: keys are given as digests, in a file or in an environment variable, because a
configuration is shown, logged and kept by Ray. Whether the keys are there is checked where they are
read (`serve.access.keys`).
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass

from spatialcode.config import require, setting
from spatialcode.errors import ConfigError
from spatialcode.video.limits import CODECS, FORMATS, VideoLimits
from spatialcode.video.sandbox import SandboxLimits

MIB, GIB = 2**20, 2**30
SHA256_HEX = re.compile(r"[0-9a-f]{64}")


def at_least(config: object, lowest: float, *keys: str) -> None:
    """Raise `ConfigError` for the first of the settings that lies below ``lowest``."""
    for key in keys:
        got = getattr(config, key)
        require(got >= lowest, key, f"at least {lowest:g}", got)


def more_than_zero(config: object, *keys: str) -> None:
    """Raise `ConfigError` for the first of the settings that is not positive."""
    for key in keys:
        got = getattr(config, key)
        require(got > 0, key, "more than 0", got)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a service bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class AccessConfig:
    """Who may call. Without any key the service binds to loopback only."""

    keys: tuple[str, ...] = setting("sha256 digests of API keys (python -m serve.access.keys)", ())
    keys_file: str | None = setting("file with one API key or its digest a line", None)
    keys_env: str = setting("environment variable with API keys, separated by commas",
                            "SPATIALCODE_API_KEYS")  # fmt: skip

    def __post_init__(self) -> None:
        for key in self.keys:
            if not SHA256_HEX.fullmatch(key):
                # what stands there may be the key itself: not to be repeated
                raise ConfigError(
                    "keys: expected sha256 digests of 64 hex digits, got another text"
                )


@dataclass(frozen=True)
class RateConfig:
    """Requests a key may make: a bucket that fills steadily, one for each ingress replica."""

    requests_per_s: float = setting("requests a second and key in the long run", 20.0)
    burst: float = setting("requests at once after a pause", 60.0)
    upload_cost: float = setting("requests that one new video counts as", 5.0)

    def __post_init__(self) -> None:
        more_than_zero(self, "requests_per_s")
        at_least(self, 1, "burst")
        within = 0 < self.upload_cost <= self.burst
        require(within, "upload_cost", "more than 0 and at most burst", self.upload_cost)


@dataclass(frozen=True)
class LimitConfig:
    """Sizes of bodies, lengths of queues, deadlines."""

    max_upload_bytes: int = setting("bytes of one video, uploaded or fetched", 512 * MIB)
    max_body_bytes: int = setting("bytes of any other request body", 16 * MIB)
    upload_timeout_s: float = setting("seconds one upload may take", 600.0)
    upload_idle_s: float = setting("seconds an upload may stand still", 30.0)
    max_uploads: int = setting("uploads and fetches under way at once, an ingress replica", 8)
    max_uploads_per_key: int = setting("of these, by one caller", 4)
    max_queue: int = setting("videos waiting or being encoded; then 429", 64)
    deadline_s: float = setting("seconds from a video's acceptance to its code", 900.0)
    ask_deadline_s: float = setting("seconds from a question to its answer", 60.0)
    spool_dir: str | None = setting("folder for uploads under way; null: the system's", None)
    min_free_bytes: int = setting("bytes that stay free in that folder; then 507", 256 * MIB)

    def __post_init__(self) -> None:
        at_least(self, 1, "max_upload_bytes", "max_body_bytes", "max_queue")
        at_least(self, 1, "max_uploads", "max_uploads_per_key")
        at_least(self, 0, "min_free_bytes")
        more_than_zero(self, "upload_timeout_s", "upload_idle_s", "deadline_s", "ask_deadline_s")


@dataclass(frozen=True)
class VideoConfig:
    """Which videos are accepted, and what looking at one and decoding it may take."""

    max_duration_s: float = setting("seconds of video", 900.0)
    max_pixels: int = setting("width × height", 4096 * 2304)
    max_frames: int = setting("frames in the file", 100_000)
    min_side_px: int = setting("pixels of the shorter side at least", 16)
    formats: tuple[str, ...] = setting("containers, as FFmpeg names them", FORMATS)
    codecs: tuple[str, ...] = setting("codecs, as FFmpeg names them", CODECS)
    num_probers: int = setting("child processes that look at new videos, an ingress replica", 2)
    probe_timeout_s: float = setting("wall clock of that look", 20.0)
    decode_timeout_s: float = setting("wall clock of decoding one video", 120.0)
    memory_bytes: int = setting("address space of a decoding child", 2 * GIB)

    def __post_init__(self) -> None:
        at_least(self, 1, "max_pixels", "max_frames", "min_side_px", "num_probers")
        at_least(self, 256 * MIB, "memory_bytes")
        more_than_zero(self, "max_duration_s", "probe_timeout_s", "decode_timeout_s")
        for key, known in (("formats", FORMATS), ("codecs", CODECS)):
            given = getattr(self, key)
            ok = bool(given) and set(given) <= set(known)
            require(ok, key, f"some of {', '.join(known)}", given)

    def limits(self, max_bytes: int) -> VideoLimits:
        """The same as the decoder takes them, for files of at most ``max_bytes``."""
        return VideoLimits(
            max_bytes=max_bytes, max_duration_s=self.max_duration_s, max_pixels=self.max_pixels,
            max_frames=self.max_frames, formats=self.formats, codecs=self.codecs,
        )  # fmt: skip

    def sandbox(self, wall_s: float) -> SandboxLimits:
        """Bounds of a decoding child that has ``wall_s`` seconds for a video."""
        cpu_s = math.ceil(wall_s)  # one thread; holds when nobody is left to watch the clock
        return SandboxLimits(wall_s=wall_s, cpu_s=cpu_s, memory_bytes=self.memory_bytes)


@dataclass(frozen=True)
class FetchConfig:
    """Fetching videos by URL. No scheme at all: uploads only."""

    schemes: tuple[str, ...] = setting("https, http; s3 goes by s3_buckets", ("https",))
    ports: tuple[int, ...] = setting("ports that may be dialled", (443,))
    max_redirects: int = setting("redirects followed", 3)
    connect_timeout_s: float = setting(
        "seconds to resolve, to get an answer's head, for each next piece", 10.0
    )
    timeout_s: float = setting("seconds for the whole fetch, redirects included", 120.0)
    allowed_networks: tuple[str, ...] = setting(
        "networks fetched from although not global, as 10.1.0.0/16", ()
    )
    blocked_networks: tuple[str, ...] = setting(
        "networks never fetched from although global: the deployment's own", ()
    )
    s3_buckets: tuple[str, ...] = setting("buckets that s3:// may name", ())
    s3_endpoint_url: str | None = setting("S3 service other than AWS", None)

    def __post_init__(self) -> None:
        known = set(self.schemes) <= {"http", "https"}
        require(known, "schemes", "http or https", self.schemes)
        in_range = all(0 < port < 65536 for port in self.ports)
        require(in_range, "ports", "numbers from 1 to 65535", self.ports)
        at_least(self, 0, "max_redirects")
        more_than_zero(self, "connect_timeout_s", "timeout_s")
        for key in ("allowed_networks", "blocked_networks"):
            for text in getattr(self, key):
                require(_is_network(text), key, "networks as 10.1.0.0/16", text)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
