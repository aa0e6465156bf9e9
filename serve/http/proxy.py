"""What runs in Ray Serve's HTTP proxies, before a request reaches a replica of this service.

A proxy takes in a body as fast as it is sent, whether or not the replica keeps up, and holds in
memory what the replica has not yet fetched. A body without an end must therefore end there.
"""

from __future__ import annotations

import os

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.config import LimitConfig
from serve.http import problems

#: Ray Serve calls the function of this name in each proxy for the proxy's middleware.
CALLBACK_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
CALLBACK = "serve.http.proxy.middlewares"
#: Proxies are told the limit by their environment: they know nothing of a service's settings.
LIMIT_VARIABLE = "SPATIALCODE_MAX_REQUEST_BYTES"
#: Room for a form around the video.
_OVERHEAD_BYTES = 2**20


def configure_proxies(limits: LimitConfig) -> None:
    """Have the proxies of a Ray that this process starts afterwards limit bodies.

    An operator's own middleware, which the environment names already, stays in this one's place.
    """
    largest = max(limits.max_upload_bytes, limits.max_body_bytes) + _OVERHEAD_BYTES
    os.environ.setdefault(CALLBACK_VARIABLE, CALLBACK)
    os.environ[LIMIT_VARIABLE] = str(largest)


def middlewares() -> list[Middleware]:
    """A proxy's middleware, from its environment. Raises KeyError if that names no limit."""
    return [Middleware(BodyLimit, max_bytes=int(os.environ[LIMIT_VARIABLE]))]


class BodyLimit:
    """An ASGI application around another that answers with the 413 problem once a body is longer
    than ``max_bytes``. The one inside is then told that the client has gone.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        num_bytes = 0
        has_answered = False

        async def receive_counted() -> Message:
            nonlocal num_bytes
            if num_bytes <= self._max_bytes:
                message = await receive()
                num_bytes += len(message.get("body", b""))
                if num_bytes <= self._max_bytes:
                    return message
            return {"type": "http.disconnect"}

        async def send_unless_refused(message: Message) -> None:
            nonlocal has_answered
            if has_answered or num_bytes <= self._max_bytes:
                has_answered = True
                await send(message)

        try:
            await self._app(scope, receive_counted, send_unless_refused)
        except Exception:
            # the one inside may complain that the client has gone; this one has not
            if num_bytes <= self._max_bytes or has_answered:
                raise
        if num_bytes > self._max_bytes and not has_answered:
            problem = problems.too_large("a body", self._max_bytes)
            problem.headers = {"Connection": "close"}  # or the server reads on without an end
            await problem.response()(scope, receive, send)
