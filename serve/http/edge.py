"""The outermost layer of the application: what holds for every request, whatever its route.

It counts and times, bounds bodies that nobody streams to disk, refuses other sites' pages where no
key is asked for, and sends headers that keep a browser from guessing. A video's bytes are bounded
where they are stored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.http import problems
from serve.limits import is_loopback
from serve.metrics import Meters

#: Our page fetches from here only, and no text becomes code.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_CODE_BYTES = 4096


class Edge:
    """An ASGI application around another.

    ``is_streamed`` says of a scope whether its body is read in pieces and bounded elsewhere;
    ``is_open``: no key is asked for, so only pages from here may call.
    """

    def __init__(
        self, app: ASGIApp, *, meters: Meters, max_body_bytes: int,
        is_streamed: Callable[[Scope], bool], is_open: bool,
    ) -> None:  # fmt: skip
        self._app, self._meters, self._is_open = app, meters, is_open
        self._max_body_bytes, self._is_streamed = max_body_bytes, is_streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, scope)
        answer, receive = _Answer(send, body), body
        start = time.perf_counter()
        try:
            refusal = self._refusal(scope) if self._is_open else None
            if refusal is not None:
                await refusal.response()(scope, receive, answer)
            else:
                if not self._is_streamed(scope):
                    receive = _bounded(receive, Headers(scope=scope), self._max_body_bytes)
                await self._app(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - start
            self._meters.answered(str(route), _known(scope["method"]), answer.status, seconds)
            if answer.status >= 400:
                self._meters.refused(answer.code or str(answer.status))

    def _refusal(self, scope: Scope) -> problems.HTTPProblem | None:
        """Whether another machine calls, or a page from elsewhere, by its own name or by one that
        was made to lead here.
        """
        headers = Headers(scope=scope)
        client = scope.get("client")
        if client is not None and not is_loopback(client[0]):
            return problems.forbidden("without API keys, only this machine may call")
        try:
            host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            host = ""
        if not is_loopback(host):
            return problems.forbidden("without API keys, call this service as 127.0.0.1")
        origin = headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2] != headers.get("host")
        if foreign or headers.get("sec-fetch-site") == "cross-site":
            return problems.forbidden("without API keys, only pages from here may call")
        return None


class _Body:
    """A request's body on its way, which knows whether all of it has come."""

    def __init__(self, receive: Receive, scope: Scope) -> None:
        self._receive = receive
        headers = Headers(scope=scope)
        self.ended = headers.get("content-length", "0") == "0" and (
            "transfer-encoding" not in headers
        )

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self.ended = True
        return message


class _Answer:
    """Sends on, adds headers, and remembers status and a refusal's code.

    An answer before the body's end ends the connection with it: the server would otherwise read
    and drop what is still being sent, without an end if the sender has none.
    """

    def __init__(self, send: Send, body: _Body) -> None:
        self._send, self._body = send, body
        self.status = 499  # the client went away before there was an answer
        self.code = ""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.setdefault("X-Content-Type-Options", "nosniff")
            headers.setdefault("Referrer-Policy", "no-referrer")
            if not self._body.ended:
                headers["Connection"] = "close"
            if headers.get("content-type", "").startswith("text/html"):
                headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        elif message["type"] == "http.response.body" and self.status >= 400 and not self.code:
            self.code = _code_of(message.get("body", b""))
        await self._send(message)


def _code_of(body: bytes) -> str:
    """The code of a problem document, or of an error in OpenAI's shape."""
    try:
        document: Any = json.loads(body[:_CODE_BYTES])
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    inner = document.get("error")
    found = document.get("code") or (inner.get("code") if isinstance(inner, dict) else "")
    return str(found or "")


def _known(method: str) -> str:
    """Methods are the client's to invent; labels are not."""
    return method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} else "other"


def _bounded(receive: Receive, headers: Headers, max_bytes: int) -> Receive:
    """``receive`` that raises the 413 problem once a body is longer than ``max_bytes``."""
    declared = headers.get("content-length", "0")
    too_long = declared.isdecimal() and int(declared) > max_bytes
    num_bytes = 0

    async def counted() -> Message:
        nonlocal num_bytes
        if too_long:
            raise problems.too_large("a body", max_bytes)
        message = await receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > max_bytes:
            raise problems.too_large("a body", max_bytes)
        return message

    return counted
