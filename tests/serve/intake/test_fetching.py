"""Fetching by URL against servers that lie, stall, flood and lead elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from serve.config import FetchConfig, LimitConfig, ServeConfig
from serve.http.problems import HTTPProblem
from serve.intake.fetching import Fetcher, Pinned, system_addresses
from serve.intake.spool import StoredUpload
from tests.serve.intake.hostile_server import HostileServer, ok, redirect, serving

VIDEO = os.urandom(300_000)


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with serving() as server:
        yield server


class Names:
    """A resolver whose answers are written down, one after the other; the last one stays."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        known = self.answers.get(host.partition(".")[0], [[]])
        answer = known[min(self.asked.count(host), len(known) - 1)]
        self.asked.append(host)
        return answer


@pytest.fixture
def fetching(server: HostileServer, tmp_path: Path) -> Callable[..., Fetcher]:
    """A fetcher that may dial 127.0.0.1 on the server's port, and no other address inside."""

    def make(names: Names | None = None, limits: dict[str, object] | None = None,
             **fetch: object) -> Fetcher:  # fmt: skip
        settings = {"schemes": ("http",), "ports": (server.port, 443), "timeout_s": 20.0,
                    "allowed_networks": ("127.0.0.1/32",)} | fetch  # fmt: skip
        own = {"spool_dir": str(tmp_path / "spool"), "max_upload_bytes": 2**20} | (limits or {})
        config = ServeConfig(fetch=FetchConfig(**settings), limits=LimitConfig(**own))
        return Fetcher(config, resolve=names or system_addresses)

    return make


def fetch(fetcher: Fetcher, url: str, timeout_s: float | None = None) -> StoredUpload:
    return asyncio.run(fetcher.fetch(url, timeout_s))


def body(fetcher: Fetcher, url: str) -> bytes:
    """What arrives from a URL; its file is deleted."""
    upload = fetch(fetcher, url)
    try:
        return upload.path.read_bytes()
    finally:
        upload.discard()


def refusal(fetcher: Fetcher, url: str, timeout_s: float | None = None) -> HTTPProblem:
    """The problem of a URL; nothing may be left on disk."""
    with pytest.raises(HTTPProblem) as caught:
        fetch(fetcher, url, timeout_s)
    folder = Path(fetcher.limits.spool_dir or "")
    assert not folder.exists() or list(folder.iterdir()) == []
    assert 400 <= caught.value.status_code < 500
    assert "127.0.0" not in caught.value.detail
    return caught.value


def test_a_video_arrives_whole_and_hashed(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    server.says("/a/my%20room.mp4", ok(VIDEO))
    upload = fetch(fetching(), server.url("/a/my%20room.mp4?token=1"))
    assert upload.path.read_bytes() == VIDEO
    assert upload.sha256 == hashlib.sha256(VIDEO).hexdigest()
    assert (upload.num_bytes, upload.name) == (len(VIDEO), "my room.mp4")
    assert server.requests[0].startswith("GET /a/my%20room.mp4?token=1 HTTP/1.1\r\n")
    upload.discard()
    assert not upload.path.exists()


def test_nothing_of_ours_goes_along(
    server: HostileServer, fetching: Callable[..., Fetcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url(""))
        monkeypatch.setenv("HTTP_PROXY", proxy.url(""))
        server.says("/1", redirect("/2").replace(b"Content", b"Set-Cookie: a=b\r\nContent"))
        server.says("/2", ok(VIDEO))
        assert body(fetching(), server.url("/1")) == VIDEO
        assert proxy.num_connections == 0
    heads = "".join(server.requests).lower()
    assert len(server.requests) == 2
    for header in ("cookie", "authorization", "referer", "proxy"):
        assert header not in heads
    assert "accept-encoding: identity\r\n" in heads


def test_chunked_and_until_closed_bodies_arrive(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(VIDEO), VIDEO)
    server.says("/chunked", ok(chunked, "Transfer-Encoding: chunked"))
    server.says("/closed", ok(VIDEO, "Connection: close"))
    for path in ("/chunked", "/closed"):
        assert body(fetching(), server.url(path)) == VIDEO


@pytest.mark.parametrize(
    "host",
    ["127.0.0.2", "10.0.0.1", "192.168.0.1", "169.254.169.254", "0.0.0.0", "[::1]", "[::]",
     "[fd00:ec2::254]", "[fe80::1]", "[::ffff:127.0.0.2]", "[::ffff:169.254.169.254]",
     "[64:ff9b::7f00:2]", "2130706434", "0x7f000002", "017700000002", "127.2", "localhost.",
     "metadata.internal"],
)  # fmt: skip
def test_hosts_inside_are_refused_before_anything_is_dialled(
    server: HostileServer, fetching: Callable[..., Fetcher], host: str
) -> None:
    names = Names(localhost=[["::1", "127.0.0.1"]], metadata=[["169.254.169.254"]])
    started_s = time.monotonic()
    assert refusal(fetching(names), server.url("/", host)).code == "url_refused"
    assert time.monotonic() - started_s < 2
    assert server.num_connections == 0


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a", "file:///etc/passwd", "data:,a", "s3://b/k",
                                 "https://127.0.0.1/a", "http://u:p@127.0.0.1:{port}/",
                                 "http://127.0.0.1:22/", "http://127.0.0.1/"])  # fmt: skip
def test_other_schemes_users_and_ports_are_refused(
    server: HostileServer, fetching: Callable[..., Fetcher], url: str
) -> None:
    problem = refusal(fetching(), url.format(port=server.port))
    assert problem.code == "url_refused"
    assert server.num_connections == 0


def test_a_name_with_one_address_inside_is_refused_whole(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    names = Names(mixed=[["127.0.0.1", "10.0.0.1"]])
    assert refusal(fetching(names), server.url("/", "mixed.test")).code == "url_refused"
    assert server.num_connections == 0


def test_an_unknown_name_looks_like_one_that_leads_inside(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    fetcher = fetching(Names(inside=[["10.0.0.1"]], unknown=[[]]))
    inside = refusal(fetcher, server.url("/", "inside.test"))
    unknown = refusal(fetcher, server.url("/", "unknown.test"))
    assert inside.document() == unknown.document()


def test_the_address_that_was_judged_is_the_one_dialled(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    """Both addresses are permitted: nothing but pinning keeps the second one from being dialled."""
    with serving("127.0.0.2", server.port) as other:
        server.says("/", ok(VIDEO))
        other.says("/", ok(b"from the other address"))
        names = Names(rebind=[["127.0.0.1"], ["127.0.0.2"]])
        fetcher = fetching(names, allowed_networks=("127.0.0.0/8",))
        assert body(fetcher, server.url("/", "rebind.test")) == VIDEO
        assert names.asked == ["rebind.test"]
        assert (server.num_connections, other.num_connections) == (1, 0)
        assert f"Host: rebind.test:{server.port}\r\n" in server.requests[0]
        # a new fetch resolves anew, which shows that the second answer would have been followed
        assert body(fetcher, server.url("/", "rebind.test")) == b"from the other address"
        assert other.num_connections == 1


def test_a_name_that_moves_inside_between_two_hops_is_refused(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    with serving("127.0.0.2", server.port) as inside:
        server.says("/", redirect(server.url("/next", "rebind.test")))
        inside.says("/next", ok(VIDEO))
        names = Names(rebind=[["127.0.0.1"], ["127.0.0.2"]])
        assert refusal(fetching(names), server.url("/", "rebind.test")).code == "url_refused"
        assert names.asked == ["rebind.test", "rebind.test"]
        assert (server.num_connections, inside.num_connections) == (1, 0)


def test_the_next_permitted_address_is_tried_when_one_is_dead(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    server.says("/", ok(VIDEO))
    names = Names(two=[["127.0.0.3", "127.0.0.1"]])
    fetcher = fetching(names, allowed_networks=("127.0.0.0/8",))
    assert body(fetcher, server.url("/", "two.test")) == VIDEO


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.2:{port}/", "//127.0.0.2:{port}/x", "http://169.254.169.254/latest/meta-data",
     "http://inside.test:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/",
     "file:///etc/passwd", "ftp://example.org/", "s3://bucket/key", "data:,x",
     "http://u:p@127.0.0.1:{port}/", "http://127.0.0.1:22/", "http://2130706433:{port}/",
     "http://[::", "http://127.0.0.1:{port}/\x01"],
)  # fmt: skip
@pytest.mark.parametrize("status", [301, 308])
def test_redirects_that_lead_elsewhere_are_not_followed(
    server: HostileServer, fetching: Callable[..., Fetcher], location: str, status: int
) -> None:
    names = Names(inside=[["10.0.0.1"]], localhost=[["127.0.0.2"]], start=[["127.0.0.1"]])
    server.says("/", redirect(location.format(port=server.port), status))
    problem = refusal(fetching(names), server.url("/", "start.test"))
    assert problem.code in {"url_refused", "fetch_failed"}
    assert server.num_connections == 1


def test_a_few_redirects_are_followed_and_no_more(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    for number in range(3):
        server.says(f"/{number}", redirect(f"{number + 1}", (301, 303, 307)[number]))
    server.says("/3", ok(VIDEO))
    assert body(fetching(max_redirects=3), server.url("/0")) == VIDEO
    assert refusal(fetching(max_redirects=2), server.url("/0")).code == "url_refused"
    server.says("/loop", redirect("/loop"))
    before = server.num_connections
    assert refusal(fetching(max_redirects=3), server.url("/loop")).code == "url_refused"
    assert server.num_connections - before == 4


def test_a_body_without_end_is_cut_at_the_limit(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    server.never_ends("/", ok(b"", "Connection: close"))
    problem = refusal(fetching(), server.url("/"))
    assert (problem.status_code, problem.code) == (413, "too_large")
    assert server.left.wait(10)
    # the limit is 1 MiB; what is more than that lies in the sockets' buffers
    assert server.num_bytes_sent < 16 * 2**20


def test_a_declared_size_beyond_the_limit_is_refused_unread(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    server.stalls("/", ok(b"x", f"Content-Length: {10 * 2**30}"))
    started_s = time.monotonic()
    assert refusal(fetching(), server.url("/")).status_code == 413
    assert time.monotonic() - started_s < 5


def test_exactly_the_limit_is_taken(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    server.says("/", ok(VIDEO))
    exact = {"max_upload_bytes": len(VIDEO)}
    assert body(fetching(limits=exact), server.url("/")) == VIDEO
    less = {"max_upload_bytes": len(VIDEO) - 1}
    assert refusal(fetching(limits=less), server.url("/")).status_code == 413


def test_lies_about_the_length(server: HostileServer, fetching: Callable[..., Fetcher]) -> None:
    server.says("/short", ok(b"12345", "Content-Length: 10"))
    server.says("/long", ok(b"1234567890", "Content-Length: 5"))
    server.says("/chunk", ok(b"ff\r\nabc", "Transfer-Encoding: chunked"))
    for number, length in enumerate(("-5", "x", "5, 6", "99999999999999999999999999")):
        server.says(f"/bad{number}", ok(b"12345", f"Content-Length: {length}"))
    with contextlib.suppress(HTTPProblem):  # refused, or cut: as the two parts come in
        assert body(fetching(), server.url("/long")) == b"12345"
    for path in ("/short", "/chunk", "/bad0", "/bad1", "/bad2"):
        assert refusal(fetching(), server.url(path)).code == "fetch_failed"
    assert refusal(fetching(), server.url("/bad3")).code in {"fetch_failed", "too_large"}


def test_a_bomb_is_not_unpacked(server: HostileServer, fetching: Callable[..., Fetcher]) -> None:
    bomb = gzip.compress(bytes(4 * 2**20))
    server.says("/", ok(bomb, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}"))
    assert refusal(fetching(), server.url("/")).code == "fetch_failed"


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 200 OK\r\nContent-Le",),
        (ok(b"a", "Content-Length: 100"),),
        (ok(b"5\r\nabc", "Transfer-Encoding: chunked"),),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n",),
    ],
)
def test_a_server_that_stalls_is_left(
    server: HostileServer, fetching: Callable[..., Fetcher], pieces: tuple[bytes, ...]
) -> None:
    server.stalls("/", *pieces)
    for settings, timeout_s in (
        ({"timeout_s": 0.3}, None),
        ({"connect_timeout_s": 0.3}, None),
        ({}, 0.3),
    ):
        started_s = time.monotonic()
        assert refusal(fetching(**settings), server.url("/"), timeout_s).code == "fetch_timeout"
        assert time.monotonic() - started_s < 5


def test_dripping_does_not_outlast_the_time_for_the_whole(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    def drip(server: HostileServer, connection: object) -> None:
        server.send(connection, ok(b"", "Connection: close"))
        while not server.over.wait(0.05):
            server.send(connection, b".")

    server.answers["/"] = drip
    problem = refusal(fetching(timeout_s=0.5, connect_timeout_s=0.3), server.url("/"))
    assert problem.code == "fetch_timeout"


def test_redirects_share_the_time_for_the_whole(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    def late(server: HostileServer, connection: object) -> None:
        server.over.wait(0.2)
        server.send(connection, redirect("/"))

    server.answers["/"] = late
    fetcher = fetching(timeout_s=0.5, max_redirects=20)
    assert refusal(fetcher, server.url("/")).code == "fetch_timeout"


def test_a_resolver_that_stalls_is_left(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    fetcher = fetching(never, connect_timeout_s=0.2)
    assert refusal(fetcher, server.url("/", "slow.test")).code == "fetch_timeout"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "fetch_failed"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nabc", "fetch_failed"),
        (b"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n\r\nabc", "fetch_failed"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "fetch_failed"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "fetch_failed"),
        (b"SSH-2.0-OpenSSH_9\r\n", "fetch_failed"),
        (b"\x16\x03\x01\x02\x00", "fetch_failed"),
        (b"", "fetch_failed"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n", "fetch_failed"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 10_000 + b"\r\n", "fetch_failed"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "fetch_failed"),
        (ok(b""), "video_empty"),
    ],
)  # fmt: skip
def test_answers_that_are_no_video(
    server: HostileServer, fetching: Callable[..., Fetcher], answer: bytes, code: str
) -> None:
    server.says("/", answer)
    assert refusal(fetching(), server.url("/")).code == code


def test_hints_without_end_are_left(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    server.never_ends("/", b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
    assert refusal(fetching(timeout_s=0.5), server.url("/")).code in {
        "fetch_timeout", "fetch_failed",
    }  # fmt: skip
    assert server.left.wait(10)


def test_a_closed_port_is_no_detail_of_ours(fetching: Callable[..., Fetcher]) -> None:
    with serving() as gone:
        port = gone.port
    problem = refusal(fetching(ports=(port,)), f"http://127.0.0.1:{port}/")
    assert problem.code == "fetch_failed"
    assert problem.detail == "the video could not be fetched (ClientConnectorError)"


def test_the_service_lives_on_after_all_that(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    server.never_ends("/flood", ok(b"", "Connection: close"))
    server.says("/video", ok(VIDEO))
    fetcher = fetching(timeout_s=5.0)

    async def both() -> list[object]:
        urls = [server.url("/flood"), server.url("/video")] * 3
        return await asyncio.gather(*map(fetcher.fetch, urls), return_exceptions=True)

    floods, videos = (found := asyncio.run(both()))[::2], found[1::2]
    assert all(isinstance(item, HTTPProblem) and item.status_code == 413 for item in floods)
    assert [item.num_bytes for item in videos] == [len(VIDEO)] * 3


def test_a_cancelled_fetch_leaves_no_file(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    server.stalls("/", ok(VIDEO, f"Content-Length: {2 * len(VIDEO)}"))
    fetcher = fetching()

    async def cancelled() -> None:
        task = asyncio.create_task(fetcher.fetch(server.url("/")))
        await asyncio.to_thread(server.asked.wait, 10)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(cancelled())
    folder = Path(fetcher.limits.spool_dir or "")
    assert not folder.exists() or list(folder.iterdir()) == []


def test_the_system_resolver() -> None:
    assert "127.0.0.1" in asyncio.run(system_addresses("localhost", 80))
    assert asyncio.run(system_addresses("no-such-name.invalid", 80)) == []


def test_without_schemes_and_buckets_nothing_is_fetched(
    server: HostileServer, fetching: Callable[..., Fetcher]
) -> None:
    problem = refusal(fetching(schemes=()), server.url("/"))
    assert problem.detail.startswith("expected no URL")
    assert replace(FetchConfig(), schemes=()).s3_buckets == ()


def test_the_last_gate_before_dialling() -> None:
    """Whatever the library may come to do with a host, no other address gets a socket."""
    names = Pinned("a.test", ("127.0.0.1", "::1"))
    names.dial((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))).close()
    names.dial((socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", 80, 0, 0))).close()
    for address in ("127.0.0.2", "localhost", "0.0.0.0"):
        with pytest.raises(OSError, match="another address"):
            names.dial((socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 80)))
    with pytest.raises(OSError, match="another host"):
        asyncio.run(names.resolve("b.test", 80))
    assert [item["host"] for item in asyncio.run(names.resolve("a.test", 80))] == [
        "127.0.0.1", "::1",
    ]  # fmt: skip
