"""The outermost layer of the application, which every request passes, whatever its route.

It counts and times requests, limits the size of bodies (except videos, which are limited where they
are stored), refuses pages of other sites if no API key is required, and adds security headers for
browsers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.config import is_loopback
from serve.http import problems
from serve.metrics import Meters

#: The page loads from this service only, and inline scripts do not run.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_CODE_BYTES = 4096


class Edge:
    """An ASGI application around another.

    ``is_streamed`` tells for a scope whether its body is read in pieces and limited elsewhere.
    ``is_open``: no API key is required, so only this machine and the service's own page may call.
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
        """The 403 problem for another machine, for a page of another site, and for a host name that
        was made to resolve to this machine (DNS rebinding); None for others.
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
            return problems.forbidden("without API keys, only this service's own page may call")
        return None


class _Body:
    """The body of a request; ``ended`` tells whether all of it has been received."""

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
    """Sends a response on, adds headers, and remembers its status and a refusal's code.

    A response before the end of the request's body closes the connection: otherwise the server
    would go on to read and drop what is still being sent, without end if the sender never stops.
    """

    def __init__(self, send: Send, body: _Body) -> None:
        self._send, self._body = send, body
        self.status = 499  # the client disconnected before there was a response
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
    """The code of a problem document, or of an error in OpenAI's format; empty if there is none."""
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
    """A method as a label; clients may invent methods, but not labels."""
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
