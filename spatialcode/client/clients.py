"""The clients: one that blocks its thread while it waits, and one for event loops (asyncio, or any
other that anyio knows).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Self

from spatialcode.client.errors import ServiceError
from spatialcode.client.exchange import Call, Pause, Reply, Steps, T
from spatialcode.client.operations import Operations
from spatialcode.client.records import CodeProgress
from spatialcode.client.transport import (
    as_service_errors,
    load_httpx,
    reply_of,
    request_arguments,
)
from spatialcode.files import whole_file

if TYPE_CHECKING:
    import httpx


class SpatialCodeClient(Operations):
    """A service at ``base_url``; see `Operations` for the other arguments and for all errors.

    A client may be used from several threads. Close it, or use it in a ``with`` block.
    """

    _kind = "Client"

    def list_codes(self, *, page_size: int = 50) -> Iterator[CodeProgress]:
        """All codes, newest first, fetched page by page while iterating."""
        after: str | None = None
        while True:
            page = self._page(page_size, after)
            yield from page.items
            after = page.next
            if after is None:
                return

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        try:
            wanted = next(steps)
            while True:
                try:
                    reply = self._perform(wanted)
                except ServiceError as error:
                    wanted = steps.throw(error)
                else:
                    wanted = steps.send(reply)
        except StopIteration as stop:
            return stop.value
        finally:
            steps.close()

    def _perform(self, wanted: Call | Pause) -> Reply | None:
        if isinstance(wanted, Pause):
            time.sleep(wanted.seconds)
            return None
        with as_service_errors(wanted), request_arguments(wanted) as arguments:
            response = self._http.send(self._http.build_request(**arguments), stream=True)
            try:
                if wanted.save_to is None or not response.is_success:
                    return reply_of(response, response.read())
                with whole_file(wanted.save_to) as partial, partial.open("xb") as part:
                    for chunk in response.iter_bytes():
                        part.write(chunk)
                return reply_of(response)
            finally:
                response.close()


class AsyncSpatialCodeClient(Operations):
    """`SpatialCodeClient` with the same methods as coroutines; files are read in threads.

    ``transport``: an asynchronous one, such as ``httpx.ASGITransport(app)``.

    Callbacks (``progress``, ``on_status``) are plain functions here as well; ``progress`` is called
    in those threads. Close it with ``aclose``, or use it in an ``async with`` block.
    """

    _kind = "AsyncClient"

    async def list_codes(self, *, page_size: int = 50) -> AsyncIterator[CodeProgress]:
        """As `SpatialCodeClient.list_codes`, for ``async for``."""
        after: str | None = None
        while True:
            page = await self._page(page_size, after)
            for status in page.items:
                yield status
            after = page.next
            if after is None:
                return

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run(self, steps: Steps[T]) -> T:
        try:
            wanted = next(steps)
            while True:
                try:
                    reply = await self._perform(wanted)
                except ServiceError as error:
                    wanted = steps.throw(error)
                else:
                    wanted = steps.send(reply)
        except StopIteration as stop:
            return stop.value
        finally:
            steps.close()

    async def _perform(self, wanted: Call | Pause) -> Reply | None:
        import anyio

        if isinstance(wanted, Pause):
            await anyio.sleep(wanted.seconds)
            return None
        with as_service_errors(wanted), request_arguments(wanted) as arguments:
            request = self._http.build_request(**arguments)
            if wanted.upload is not None:
                request = _read_in_threads(request)
            response = await self._http.send(request, stream=True)
            try:
                if wanted.save_to is None or not response.is_success:
                    return reply_of(response, await response.aread())
                with whole_file(wanted.save_to) as partial, partial.open("xb") as part:
                    async for chunk in response.aiter_bytes():
                        await anyio.to_thread.run_sync(part.write, chunk)
                return reply_of(response)
            finally:
                await response.aclose()


def _read_in_threads(request: httpx.Request) -> httpx.Request:
    """The same request, with a body that is read from disk without blocking the event loop."""
    import anyio

    stream: Any = request.stream  # a form with a file: iterates over chunks of 64 KiB

    async def chunks() -> AsyncIterator[bytes]:
        body: Iterator[bytes] = iter(stream)
        while chunk := await anyio.to_thread.run_sync(next, body, b""):
            yield chunk

    return load_httpx().Request(
        request.method,
        request.url,
        headers=request.headers,
        content=chunks(),
        extensions=request.extensions,
    )
