"""Fetching a video by a URL that a client gave, without being led to any private address.

A name is resolved once, all its addresses are checked, and only those are connected to; each
redirect is checked again. The URL is never given to FFmpeg or to anything that would resolve it
again. Nothing that belongs to this service (cookies, credentials, proxy settings) is sent, except
its credentials to configured S3 buckets; any other bucket is refused, whatever they could read.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urljoin

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from serve.config import FetchConfig, LimitConfig, ServeConfig
from serve.http import problems
from serve.http.messages import MAX_URL_CHARS
from serve.intake.addresses import AddressPolicy, Target, parse_target, refused
from serve.intake.spool import Spool, StoredUpload

Resolve = Callable[[str, int], Awaitable[list[str]]]

MAX_ADDRESSES = 8
PIECE_BYTES = 2**18
OBJECT_PIECE_BYTES = 2**20
S3_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([^\x00-\x1f\x7f]+)")
REDIRECTS = frozenset((301, 302, 303, 307, 308))
HEADERS = {
    "User-Agent": "spatialcode",
    "Accept": "video/*, application/octet-stream;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",
}


async def system_addresses(host: str, port: int) -> list[str]:
    """The addresses of a host by the system's resolver; empty if the name is unknown."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


class Pinned(AbstractResolver):
    """Resolves one host to the addresses that were checked, and no other host."""

    def __init__(self, host: str, addresses: tuple[str, ...]) -> None:
        self.host = host
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host != self.host:
            raise OSError(None, "another host than the one that was checked")
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=family, proto=0, flags=0
            )
            for address in self.addresses
        ]  # fmt: skip

    async def close(self) -> None:
        """There is nothing to close."""

    def dial(self, info: Any) -> socket.socket:
        """A socket for one address; the last check, whatever led here."""
        family, kind, protocol, _, address = info
        if address[0] not in self.addresses:
            raise OSError(None, "another address than those that were checked")
        return socket.socket(family, kind, protocol)


class Fetcher:
    """Fetches videos within the limits of a configuration.

    ``resolve``: gives the addresses of a host and port; ``tls``: in place of the default context.
    """

    def __init__(
        self,
        config: ServeConfig,
        *,
        resolve: Resolve = system_addresses,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.config = config.fetch
        self.limits = config.limits
        self._policy = AddressPolicy.of(config.fetch)
        self._resolve = resolve
        self._tls: ssl.SSLContext | bool = tls if tls is not None else True

    async def fetch(self, url: str, timeout_s: float | None = None) -> StoredUpload:
        """The body behind ``url``, on disk.

        ``timeout_s``: the time left for the request; the configuration's own limit holds as well.
        Problems: 422 ``url_refused`` for a URL or a redirect that is not followed, ``fetch_failed``
        and ``fetch_timeout`` if the server fails, ``video_empty``; 413 beyond ``max_upload_bytes``;
        507 for a full disk.
        """
        longest_s = self.config.timeout_s
        try:
            async with asyncio.timeout(
                longest_s if timeout_s is None else min(timeout_s, longest_s)
            ):
                if url.startswith("s3://") and self.config.s3_buckets:
                    return await fetch_object(url, self.config, self.limits)
                return await self._follow(url)
        except TimeoutError:
            raise problems.invalid("the video was not received in time", "fetch_timeout") from None
        except aiohttp.InvalidURL:
            raise refused("expected a URL") from None
        except (aiohttp.ClientError, OSError) as error:
            # only the type of the error, since its text may name addresses
            detail = f"the video could not be fetched ({type(error).__name__})"
            raise problems.invalid(detail, "fetch_failed") from None

    async def _follow(self, url: str) -> StoredUpload:
        target = parse_target(url, self.config)
        for _ in range(self.config.max_redirects + 1):
            pinned = await self._pinned(target)
            async with self._get(target, pinned) as response:
                if response.status not in REDIRECTS:
                    return await _store(response, target, self.limits)
                target = _next_target(target, response, self.config)
        raise refused(f"more than {self.config.max_redirects} redirects")

    async def _pinned(self, target: Target) -> tuple[str, ...]:
        """The addresses that may be connected to for a target, resolved only once."""
        if target.literal is not None:
            return self._policy.pin([target.literal])
        async with asyncio.timeout(self.config.connect_timeout_s):
            addresses = await self._resolve(target.host, target.port)
        return self._policy.pin(addresses)[:MAX_ADDRESSES]

    @contextlib.asynccontextmanager
    async def _get(
        self, target: Target, pinned: tuple[str, ...]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to one GET, over a connection of its own to a pinned address."""
        names = Pinned(target.host, pinned)
        step_s = self.config.connect_timeout_s
        connector = aiohttp.TCPConnector(
            resolver=names, socket_factory=names.dial, use_dns_cache=False, force_close=True,
            happy_eyeballs_delay=None, ssl=self._tls,
        )  # fmt: skip
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False,
            trust_env=False, headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=None, connect=step_s, sock_read=step_s),
        )  # fmt: skip
        # built from the checked parts, so that no second parser can read the text in another way
        url = yarl.URL.build(
            scheme=target.scheme, host=target.host, port=target.port, path=target.path,
            query_string=target.query, encoded=True,
        )  # fmt: skip
        async with session:
            # for the whole head: informational responses (1xx) disable the library's own timeout
            async with asyncio.timeout(step_s):
                response = await session.get(url, allow_redirects=False)
            async with response:
                yield response


def _next_target(target: Target, response: aiohttp.ClientResponse, fetch: FetchConfig) -> Target:
    location = response.headers.get("Location")
    if not location:
        raise problems.invalid("the server redirects without a location", "fetch_failed")
    host = f"[{target.host}]" if ":" in target.host else target.host
    base = f"{target.scheme}://{host}:{target.port}{target.path}"
    try:
        following = parse_target(urljoin(base, location), fetch)
    except ValueError:
        raise refused("a redirect to something that is not a URL") from None
    if target.scheme == "https" and following.scheme != "https":
        raise refused("a redirect from https to http is not followed")
    return following


async def _store(
    response: aiohttp.ClientResponse, target: Target, limits: LimitConfig
) -> StoredUpload:
    if response.status != 200:
        detail = f"the server answered with status {response.status}"
        raise problems.invalid(detail, "fetch_failed")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise problems.invalid("the server sent a compressed body unasked", "fetch_failed")
    async with Spool(limits) as spool:
        spool.check_declared(response.content_length)
        async for piece in response.content.iter_chunked(PIECE_BYTES):
            await spool.write(piece)
        return await spool.finish(target.name)


async def fetch_object(url: str, fetch: FetchConfig, limits: LimitConfig) -> StoredUpload:
    """The object at ``s3://bucket/key``, on disk.

    Problems: 422 ``url_refused`` for a bucket that is not configured, ``fetch_failed`` if the
    object does not exist or cannot be read, 413 beyond ``max_upload_bytes``. It has no time limit
    of its own.
    """
    match = S3_URL.fullmatch(url) if len(url) <= MAX_URL_CHARS else None
    if match is None:
        raise refused("expected s3://bucket/key")
    bucket, key = match.groups()
    if bucket not in fetch.s3_buckets:
        raise refused("videos are not fetched from this bucket")
    try:
        file = await asyncio.to_thread(_open_object, bucket, key, fetch.s3_endpoint_url)
    except Exception as error:  # the boundary: botocore's errors have no common base class
        raise _unreadable(error) from None
    try:
        async with Spool(limits) as spool:
            spool.check_declared(file.size)
            while piece := await _read_object(file):
                await spool.write(piece)
            return await spool.finish(key)
    finally:
        file.close()


def _open_object(bucket: str, key: str, endpoint_url: str | None) -> Any:
    import s3fs

    files = s3fs.S3FileSystem(endpoint_url=endpoint_url, use_listings_cache=False)
    return files.open(
        f"{bucket}/{key}", "rb", block_size=OBJECT_PIECE_BYTES, cache_type="readahead"
    )


async def _read_object(file: Any) -> bytes:
    try:
        return bytes(await asyncio.to_thread(file.read, OBJECT_PIECE_BYTES))
    except Exception as error:  # as above
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> problems.HTTPProblem:
    detail = f"the object could not be read ({type(error).__name__})"
    return problems.invalid(detail, "fetch_failed")
