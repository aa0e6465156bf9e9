"""Uploads over real sockets: what arrives, what is refused, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.requests import Request as StarletteRequest

from serve.config import LimitConfig
from serve.http import problems
from serve.http.problems import HTTPProblem
from serve.intake.spool import FLUSH_BYTES
from serve.intake.uploads import receive
from tests.serve.live import live

VIDEO = os.urandom(3 * 2**20 + 17)
RAW = {"Content-Type": "video/mp4"}


@dataclass
class Service:
    """The address of an upload route, its folder, and what became of each request."""

    url: str
    folder: Path
    limits: LimitConfig
    ended: threading.Semaphore

    def leftovers(self) -> list[Path]:
        return list(self.folder.glob("*"))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """`service(max_upload_bytes=...)`: a route that stores what it gets and tells what that was."""
    with pytest.MonkeyPatch.context():
        stack: list[object] = []

        def start(**limits: object) -> Service:
            folder = tmp_path / "spool"
            settings = {"max_upload_bytes": 2**23, "spool_dir": str(folder)} | limits
            ended = threading.Semaphore(0)
            running = live(application(LimitConfig(**settings), ended))
            stack.append(running)
            return Service(running.__enter__(), folder, LimitConfig(**settings), ended)

        yield start
        for running in stack:
            running.__exit__(None, None, None)


def application(limits: LimitConfig, ended: threading.Semaphore) -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.post("/videos")
    async def videos(request: Request) -> dict[str, object]:
        try:
            upload = await receive(request, limits)
        finally:
            ended.release()
        content = upload.path.read_bytes()
        upload.discard()
        return {
            "sha256": upload.sha256,
            "num_bytes": upload.num_bytes,
            "name": upload.name,
            "same": hashlib.sha256(content).hexdigest() == upload.sha256,
        }

    return app


def form(*parts: tuple[str, bytes], boundary: str = "xYz") -> tuple[bytes, dict[str, str]]:
    """A multipart body from (Content-Disposition, content) and its header."""
    lines = [
        f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"
        for disposition, content in parts
    ]
    body = b"".join(lines) + f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def test_a_raw_body_arrives(service: Callable[..., Service]) -> None:
    running = service()
    for kind in ("video/mp4", "application/octet-stream", "Video/WebM; codecs=vp9"):
        answer = httpx.post(f"{running.url}/videos", content=VIDEO, headers={"Content-Type": kind})
        assert answer.status_code == 200
        assert answer.json() == {
            "sha256": hashlib.sha256(VIDEO).hexdigest(),
            "num_bytes": len(VIDEO),
            "name": "video",
            "same": True,
        }
    assert running.leftovers() == []


def test_a_form_arrives_and_its_name_is_a_label(service: Callable[..., Service]) -> None:
    running = service()
    answer = httpx.post(f"{running.url}/videos", files={"video": ("room.mp4", VIDEO)})
    assert answer.json()["name"] == "room.mp4"
    assert answer.json()["sha256"] == hashlib.sha256(VIDEO).hexdigest()
    named = httpx.post(
        f"{running.url}/videos", files={"video": ("room.mp4", VIDEO)}, data={"name": "My room"}
    )
    assert named.json()["name"] == "My room"
    assert running.leftovers() == []


def test_a_form_whose_bytes_look_like_its_boundary(service: Callable[..., Service]) -> None:
    tricky = b"\r\n--xY\r\n--xYz-\r--xYz\n\r\n-" * 1000
    body, headers = form(('form-data; name="video"; filename="a"', tricky))
    answer = httpx.post(f"{service().url}/videos", content=body, headers=headers)
    # "\r\n--xYz-" begins like the last boundary and is none: not all parsers agree; none crashes
    if answer.status_code == 200:
        assert answer.json()["sha256"] == hashlib.sha256(tricky).hexdigest()
    else:
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ("../../../etc/passwd", "passwd"), ("/etc/cron.d/x", "x"), ("..\\..\\boot.ini", "boot.ini"),
        ("..", "video"), (".", "video"), ("a/..", "video"), ("", "video"), ("x" * 500, "x" * 200),
        ("a%00b.mp4", "a%00b.mp4"), ("CON", "CON"), ("-rf", "-rf"), ("$(id).mp4", "$(id).mp4"),
    ],
)  # fmt: skip
def test_file_names_make_no_paths(
    service: Callable[..., Service], filename: str, shown: str
) -> None:
    running = service()
    escaped = filename.replace("\\", "\\\\")
    body, headers = form((f'form-data; name="video"; filename="{escaped}"', b"abc"))
    answer = httpx.post(f"{running.url}/videos", content=body, headers=headers)
    assert answer.json()["name"] == shown
    assert running.leftovers() == []


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ((), 422, "invalid_request"),
        ((("form-data; name=name", b"x"),), 422, "invalid_request"),
        ((("form-data; name=video", b"a"), ("form-data; name=video", b"b")), 422,
         "invalid_request"),
        ((("form-data; name=video", b"a"), ("form-data; name=other", b"b")), 422,
         "invalid_request"),
        ((("form-data", b"a"),), 422, "invalid_request"),
        ((("form-data; name=name", b"x" * 2000), ("form-data; name=video", b"a")), 413,
         "too_large"),
        ((("form-data; name=video", b""),), 422, "video_empty"),
        ((("form-data; name=video; x=" + "y" * 9000, b"a"),), 400, "bad_form"),
        ((("form-data; name=video" + "\r\nX-H: 1" * 50, b"a"),), 400, "bad_form"),
    ],
)  # fmt: skip
def test_forms_that_are_refused(
    service: Callable[..., Service], parts: tuple[tuple[str, bytes], ...], status: int, code: str
) -> None:
    running = service()
    body, headers = form(*parts)
    answer = httpx.post(f"{running.url}/videos", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert running.leftovers() == []


def test_damaged_and_unfinished_forms(service: Callable[..., Service]) -> None:
    running = service()
    body, headers = form(('form-data; name="video"; filename="a"', VIDEO))
    cases = [
        (body[: len(body) // 2], headers),
        (body[:-8], headers),
        (b"no boundary at all" * 100, headers),
        (b"", headers),
        (body, {"Content-Type": "multipart/form-data"}),
        (body, {"Content-Type": "multipart/form-data; boundary=" + "x" * 300}),
        (body, {"Content-Type": "multipart/form-data; boundary=other"}),
    ]
    for content, given in cases:
        answer = httpx.post(f"{running.url}/videos", content=content, headers=given)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_form")
    assert running.leftovers() == []


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"},
        {"Content-Type": "audio/mp4"}, {"Content-Type": "multipart/mixed; boundary=x"},
        {"Content-Type": "application/vnd.apple.mpegurl"}, {"Content-Type": "\xff"},
        RAW | {"Content-Encoding": "gzip"}, RAW | {"Content-Encoding": "br, gzip"},
    ],
)  # fmt: skip
def test_other_kinds_of_body_are_415(
    service: Callable[..., Service], headers: dict[str, str]
) -> None:
    running = service()
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = httpx.post(f"{running.url}/videos", content=b"abc", headers=encoded)
    assert answer.status_code == 415
    assert answer.json()["code"] == "unsupported_media_type"


def test_an_empty_body(service: Callable[..., Service]) -> None:
    running = service()
    answer = httpx.post(f"{running.url}/videos", content=b"", headers=RAW)
    assert (answer.status_code, answer.json()["code"]) == (422, "video_empty")
    assert running.leftovers() == []


def test_exactly_the_limit_and_one_byte_more(service: Callable[..., Service]) -> None:
    running = service(max_upload_bytes=1000)
    url = f"{running.url}/videos"
    for num_bytes, status in ((1000, 200), (1001, 413)):
        content = b"x" * num_bytes
        assert httpx.post(url, content=content, headers=RAW).status_code == status
        pieces = iter([content[:500], content[500:]])  # chunked: no length is declared
        assert httpx.post(url, content=pieces, headers=RAW).status_code == status
        assert httpx.post(url, files={"video": ("a", content)}).status_code == status
    answer = httpx.post(url, content=b"x" * 1001, headers=RAW)
    assert answer.json()["limit_bytes"] == 1000
    assert running.leftovers() == []


def connect(running: Service) -> socket.socket:
    parts = urlsplit(running.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


HEAD = b"POST /videos HTTP/1.1\r\nHost: a\r\nContent-Type: video/mp4\r\n"


def test_a_declared_size_beyond_the_limit_is_refused_unread(
    service: Callable[..., Service],
) -> None:
    running = service(max_upload_bytes=1000)
    with connect(running) as sender:
        sender.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        assert sender.recv(4096).startswith(b"HTTP/1.1 413 ")
    with connect(running) as sender:
        sender.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n")
        assert sender.recv(4096).startswith(b"HTTP/1.1 413 ")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def flood(sender: socket.socket, head: bytes, first: bytes = b"") -> int:
    """Send a head and then chunks until the other side hangs up; how many those were."""
    num_pieces = 0
    with contextlib.suppress(ConnectionError):
        sender.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + first)
        while num_pieces < 2_000:
            sender.sendall(chunk(bytes(2**16)))
            num_pieces += 1
    return num_pieces


def test_a_stream_without_end_is_cut(service: Callable[..., Service]) -> None:
    running = service(max_upload_bytes=2**20)
    with connect(running) as sender:
        num_pieces = flood(sender, HEAD)
    # the limit is 16 pieces; what is more lies in the sockets' buffers
    assert num_pieces < 400
    assert running.ended.acquire(timeout=10)
    assert running.leftovers() == []


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "video/mp4\r\nX: y"])
def test_who_is_refused_early_is_not_listened_to(
    service: Callable[..., Service], kind: str
) -> None:
    running = service(max_upload_bytes=2**20)
    head = f"POST /videos HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n".encode()
    with connect(running) as sender:
        assert flood(sender, head) < 400


def test_a_form_whose_end_never_comes_is_cut(service: Callable[..., Service]) -> None:
    running = service(max_upload_bytes=2**20)
    body, headers = form(("form-data; name=video", b"abc"))
    head = f"POST /videos HTTP/1.1\r\nHost: a\r\nContent-Type: {headers['Content-Type']}\r\n"
    with connect(running) as sender:
        num_pieces = flood(sender, head.encode(), chunk(body))
    assert num_pieces < 400
    assert running.ended.acquire(timeout=10)
    assert running.leftovers() == []


def test_a_sender_that_goes_away_leaves_nothing(service: Callable[..., Service]) -> None:
    running = service()
    with connect(running) as sender:
        sender.sendall(HEAD + b"Content-Length: 5000000\r\n\r\n" + bytes(2 * FLUSH_BYTES))
    assert running.ended.acquire(timeout=10)
    assert running.leftovers() == []


def test_a_sender_that_stalls_or_drips_is_left(service: Callable[..., Service]) -> None:
    stalling = service(upload_idle_s=0.2)
    with connect(stalling) as sender:
        sender.sendall(HEAD + b"Content-Length: 5000000\r\n\r\nabc")
        answer = sender.recv(4096)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    dripping = service(upload_timeout_s=0.4, upload_idle_s=0.3)
    with connect(dripping) as sender:
        sender.sendall(HEAD + b"Content-Length: 5000000\r\n\r\n")
        sender.settimeout(0.05)
        for _ in range(100):
            sender.sendall(b".")
            try:
                answer = sender.recv(4096)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert stalling.leftovers() == []


def test_a_full_disk_is_said_and_the_service_lives_on(service: Callable[..., Service]) -> None:
    full = service(min_free_bytes=2**60)
    url = f"{full.url}/videos"
    for content in (VIDEO, iter([VIDEO])):
        answer = httpx.post(url, content=content, headers=RAW)
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
    assert full.leftovers() == []
    roomy = service()
    assert httpx.post(f"{roomy.url}/videos", content=VIDEO, headers=RAW).status_code == 200


def zeros(num_pieces: int, taken: list[int]) -> StarletteRequest:
    """A request whose body is so many pieces of 64 KiB of zeros, made as they are taken."""

    async def send_next() -> dict[str, object]:
        taken.append(1)
        more = len(taken) < num_pieces
        return {"type": "http.request", "body": bytes(2**16), "more_body": more}

    headers = [(b"content-type", b"video/mp4")]
    return StarletteRequest({"type": "http", "method": "POST", "headers": headers}, send_next)


def peak_bytes() -> int:
    """The most memory this process has held resident since `reset_peak`."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM in /proc/self/status")


def reset_peak() -> int:
    """Forget the peak; what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_bytes()


def test_a_gigabyte_of_zeros_takes_no_memory(tmp_path: Path) -> None:
    limits = LimitConfig(spool_dir=str(tmp_path), max_upload_bytes=2**27)
    taken: list[int] = []
    before = reset_peak()
    with pytest.raises(HTTPProblem) as caught:
        asyncio.run(receive(zeros(2**14, taken), limits))
    assert caught.value.status_code == 413
    assert len(taken) == 2**11 + 1  # the rest of the gigabyte is not even taken
    assert peak_bytes() - before < 24 * 2**20
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_whole_gigabyte_streams_to_disk_without_memory(tmp_path: Path) -> None:
    limits = LimitConfig(spool_dir=str(tmp_path), max_upload_bytes=2**30)
    before = reset_peak()
    upload = asyncio.run(receive(zeros(2**14, []), limits))
    assert upload.num_bytes == upload.path.stat().st_size == 2**30
    assert peak_bytes() - before < 24 * 2**20
    upload.discard()


def test_a_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    limits = replace(LimitConfig(), spool_dir=str(tmp_path))

    async def cancelled() -> None:
        waiting = asyncio.Event()

        async def send_next() -> dict[str, object]:
            if waiting.is_set():
                await asyncio.Event().wait()
            waiting.set()
            return {"type": "http.request", "body": bytes(2 * FLUSH_BYTES), "more_body": True}

        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"video/mp4")]}
        task = asyncio.create_task(receive(StarletteRequest(scope, send_next), limits))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert list(tmp_path.iterdir()) == []
