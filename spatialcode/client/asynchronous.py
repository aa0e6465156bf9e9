"""The client for event loops: asyncio, or any other that anyio knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from spatialcode.client import operations
from spatialcode.client.blocking import StrPath
from spatialcode.client.errors import ServiceError
from spatialcode.client.exchange import (
    DEFAULT_RETRIES,
    Call,
    OnBytes,
    Pause,
    Reply,
    Retries,
    Steps,
    T,
    Upload,
)
from spatialcode.client.operations import Asking, OnStatus, Patience
from spatialcode.client.records import CodeProgress, ServiceAnswer
from spatialcode.client.transport import (
    DEFAULT_URL,
    ClientOptions,
    as_service_errors,
    load_httpx,
    reply_of,
    request_arguments,
    upload_progress,
)
from spatialcode.files import whole_file
from spatialcode.scene.schema import SpatialCode

if TYPE_CHECKING:
    import httpx


class AsyncSpatialCodeClient:
    """`SpatialCodeClient` with the same methods as coroutines; files are read in threads.

    ``transport``: an asynchronous one, such as ``httpx.ASGITransport(app)``.

    Callbacks (``progress``, ``on_status``) are plain functions here as well; ``progress`` is called
    in those threads. Close it with ``aclose``, or use it in an ``async with`` block.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        retries: Retries = DEFAULT_RETRIES,
        transport: Any = None,
    ) -> None:
        options = ClientOptions(base_url, api_key, timeout_s, transport)
        self._retries = retries
        self._http = load_httpx().AsyncClient(**options.arguments())

    async def upload(
        self, path: StrPath, *, name: str | None = None, progress: bool | OnBytes = False
    ) -> CodeProgress:
        """As `SpatialCodeClient.upload`."""
        path = Path(path)
        with upload_progress(progress, path.name) as on_bytes:
            sent = Upload(path, name, on_bytes)
            return await self._run(operations.upload(sent, self._retries))

    async def from_url(self, url: str, *, name: str | None = None) -> CodeProgress:
        """As `SpatialCodeClient.from_url`."""
        return await self._run(operations.from_url(url, name, self._retries))

    async def encode(
        self,
        path: StrPath,
        *,
        deadline_s: float | None = 600.0,
        progress: bool | OnBytes = False,
        on_status: OnStatus | None = None,
    ) -> SpatialCode:
        """As `SpatialCodeClient.encode`."""
        path = Path(path)
        patience = Patience(deadline_s, on_status=on_status)
        with upload_progress(progress, path.name) as on_bytes:
            sent = Upload(path, None, on_bytes)
            return await self._run(operations.encode(sent, patience, self._retries))

    async def status(self, code_id: str) -> CodeProgress:
        """As `SpatialCodeClient.status`."""
        return await self._run(operations.status(code_id, self._retries))

    async def wait(
        self,
        code_id: str,
        *,
        deadline_s: float | None = 600.0,
        poll_s: float = 0.5,
        on_status: OnStatus | None = None,
    ) -> CodeProgress:
        """As `SpatialCodeClient.wait`."""
        patience = Patience(deadline_s, poll_s, max(poll_s, 5.0), on_status)
        return await self._run(operations.wait(code_id, patience, self._retries))

    async def code(self, code_id: str) -> SpatialCode:
        """As `SpatialCodeClient.code`."""
        return await self._run(operations.code(code_id, self._retries))

    async def rendition(self, code_id: str, form: str, path: StrPath) -> Path:
        """As `SpatialCodeClient.rendition`."""
        steps = operations.rendition(code_id, form, Path(path), self._retries)
        return await self._run(steps)

    async def video(self, code_id: str, path: StrPath) -> Path:
        """As `SpatialCodeClient.video`."""
        return await self._run(operations.video(code_id, Path(path), self._retries))

    async def list_codes(self, *, page_size: int = 50) -> AsyncIterator[CodeProgress]:
        """As `SpatialCodeClient.list_codes`, for ``async for``."""
        after: str | None = None
        while True:
            page = await self._run(operations.page(page_size, after, self._retries))
            for status in page.items:
                yield status
            after = page.next
            if after is None:
                return

    async def delete(self, code_id: str) -> None:
        """As `SpatialCodeClient.delete`."""
        await self._run(operations.delete(code_id, self._retries))

    async def ask(
        self,
        about: SpatialCode | str,
        question: str,
        options: Sequence[str] = (),
        *,
        reasoner: str = "solver",
        num_samples: int = 1,
    ) -> ServiceAnswer:
        """As `SpatialCodeClient.ask`."""
        asking = Asking(options, reasoner, num_samples)
        return await self._run(operations.ask(about, question, asking, self._retries))

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
