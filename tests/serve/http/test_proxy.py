"""The limit of bodies in Ray Serve's proxies."""

from __future__ import annotations

import asyncio
import json
import os
from importlib import import_module
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, StreamingResponse

from serve.config import LimitConfig
from serve.http.proxy import CALLBACK_VARIABLE, LIMIT_VARIABLE, configure_proxies, middlewares


def answered(monkeypatch: Any, app: Any, pieces: list[bytes]) -> tuple[int, dict, bytes, int]:
    """The status, headers and body, and how many pieces of the request were taken."""
    monkeypatch.setenv(LIMIT_VARIABLE, "10")
    limited = middlewares()[0]
    sent: list[Any] = []
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": pieces[taken - 1], "more_body": taken < len(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    asyncio.run(limited.cls(app, *limited.args, **limited.kwargs)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:]), taken


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(body)(scope, receive, send)


def test_a_body_within_the_limit_passes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    status, _, body, _ = answered(monkeypatch, echo, [b"01234", b"56789"])
    assert (status, body) == (200, b"0123456789")


def test_one_byte_more_is_refused_and_no_more_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = []

    async def until_gone(scope: Any, receive: Any, send: Any) -> None:
        try:
            await echo(scope, receive, send)
        except ClientDisconnect:
            gone.append(True)
            await PlainTextResponse("too late", 499)(scope, receive, send)

    status, headers, body, taken = answered(
        monkeypatch, until_gone, [b"01234", b"567890", b"never", b"never"]
    )
    assert (status, taken, gone) == (413, 2, [True])
    assert headers["connection"] == "close"
    assert json.loads(body)["limit_bytes"] == 10


def test_one_that_complains_that_the_client_has_gone_is_not_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status, *_ = answered(monkeypatch, echo, [b"0123456789", b"too long"])
    assert status == 413

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("its own fault")

    with pytest.raises(RuntimeError, match="its own fault"):
        answered(monkeypatch, broken, [b"0123456789"])


def test_an_answer_that_has_begun_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def early(scope: Any, receive: Any, send: Any) -> None:
        async def pieces() -> Any:
            yield b"begun"
            await receive()
            yield b", ended"

        response = StreamingResponse(pieces(), 409)
        await send({"type": "http.response.start", "status": 409, "headers": []})
        async for piece in response.body_iterator:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    status, _, body, _ = answered(monkeypatch, early, [b"0123456789too long"])
    assert (status, body) == (409, b"begun, ended")


def test_proxies_are_told_the_limit_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CALLBACK_VARIABLE, LIMIT_VARIABLE):
        monkeypatch.setenv(name, "")  # so that it is taken away again afterwards
        monkeypatch.delenv(name)
    configure_proxies(LimitConfig(max_upload_bytes=3 * 2**20, max_body_bytes=5))
    assert middlewares()[0].kwargs == {"max_bytes": 4 * 2**20}
    module, _, function = os.environ[CALLBACK_VARIABLE].rpartition(".")
    assert getattr(import_module(module), function) is middlewares
    monkeypatch.setenv(CALLBACK_VARIABLE, "operators.own")
    configure_proxies(LimitConfig())
    assert os.environ[CALLBACK_VARIABLE] == "operators.own"
