"""The clients: one that blocks its thread while it waits, and one for event loops (asyncio, or any
other that anyio knows).
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from spatialcode.client import operations
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
)
from spatialcode.client.operations import Asking, OnStatus, Patience
from spatialcode.client.records import CodeProgress, ServiceAnswer
from spatialcode.client.transport import (
    DEFAULT_URL,
    as_service_errors,
    client_arguments,
    load_httpx,
    reply_of,
    request_arguments,
)
from spatialcode.files import whole_file
from spatialcode.scene.schema import SpatialCode

StrPath = str | os.PathLike[str]


class _Connected:
    """What both clients are made of: an httpx client of the kind that each names."""

    _kind: ClassVar[str]

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        retries: Retries = DEFAULT_RETRIES,
        transport: Any = None,
    ) -> None:
        arguments = client_arguments(base_url, api_key, timeout_s)
        self._retries = retries
        self._http: Any = getattr(load_httpx(), self._kind)(**arguments, transport=transport)


class SpatialCodeClient(_Connected):
    """A service at ``base_url``.

    ``api_key``: None takes SPATIALCODE_API_KEY from the environment, if it is set. ``timeout_s``:
    longest silence during a call, not its duration. ``transport``: an httpx transport in place of
    the network. SchemaError for an invalid value, ClientSetupError without httpx.

    Every method may raise the ServiceError family: ProblemError if the service refuses,
    ServiceConnectionError and ServiceTimeoutError if it cannot be reached in time, each after the
    retries that `Retries` describes. SchemaError for a malformed id. A client may be used from
    several threads. Close it, or use it in a ``with`` block.
    """

    _kind = "Client"

    def upload(
        self, path: StrPath, *, name: str | None = None, progress: bool | OnBytes = False
    ) -> CodeProgress:
        """Send a video file. It is read while it is sent, and never whole in memory.

        ``name``: in place of the file's name. ``progress``: True for a bar on the terminal, or a
        function of the number of bytes sent and the file's size. The same bytes get the same id
        and are encoded only once. VideoNotFoundError if there is no such file.
        """
        return self._run(operations.upload(Path(path), name, progress, self._retries))

    def from_url(self, url: str, *, name: str | None = None) -> CodeProgress:
        """Let the service fetch a video from ``https://`` or, where it is allowed, ``s3://``."""
        return self._run(operations.from_url(url, name, self._retries))

    def encode(
        self,
        path: StrPath,
        *,
        deadline_s: float | None = 600.0,
        progress: bool | OnBytes = False,
        on_status: OnStatus | None = None,
    ) -> SpatialCode:
        """`upload`, `wait` and `code` in one. ``deadline_s`` counts from the end of the upload."""
        patience = Patience(deadline_s, on_status=on_status)
        steps = operations.encode(Path(path), patience, progress, self._retries)
        return self._run(steps)

    def status(self, code_id: str) -> CodeProgress:
        """The state of a code. NotFoundError for an id that the service does not know."""
        return self._run(operations.status(code_id, self._retries))

    def wait(
        self,
        code_id: str,
        *,
        deadline_s: float | None = 600.0,
        poll_s: float = 0.5,
        on_status: OnStatus | None = None,
    ) -> CodeProgress:
        """Wait until a code is done, polling less and less often, or when the service says.

        ``deadline_s``: seconds from now, or None to wait for ever; then WaitTimeoutError, while the
        job goes on. ``on_status``: called with every status. EncodingFailedError if no code could
        be made. If the service is down or busy in between, the client goes on waiting.
        """
        patience = Patience(deadline_s, poll_s, max(poll_s, 5.0), on_status)
        return self._run(operations.wait(code_id, patience, self._retries))

    def code(self, code_id: str) -> SpatialCode:
        """The code. ConflictError while it is not done."""
        return self._run(operations.code(code_id, self._retries))

    def rendition(self, code_id: str, form: str, path: StrPath) -> Path:
        """The code in another form, in a file; ``form`` is a format of the service, as "mp4".

        `spatialcode.export.formats.FORMATS` names them; a service may have more of its own.
        The file appears once it is complete; returns its path. ConflictError while the code is
        not done.
        """
        return self._run(operations.rendition(code_id, form, Path(path), self._retries))

    def video(self, code_id: str, path: StrPath) -> Path:
        """Save the video to a file. NotFoundError if the service did not keep it."""
        return self._run(operations.video(code_id, Path(path), self._retries))

    def list_codes(self, *, page_size: int = 50) -> Iterator[CodeProgress]:
        """All codes, newest first, fetched page by page while iterating."""
        after: str | None = None
        while True:
            page = self._run(operations.page(page_size, after, self._retries))
            yield from page.items
            after = page.next
            if after is None:
                return

    def delete(self, code_id: str) -> None:
        """Remove a code and everything that belongs to it. NotFoundError if there is none."""
        self._run(operations.delete(code_id, self._retries))

    def ask(
        self,
        about: SpatialCode | str,
        question: str,
        options: Sequence[str] = (),
        *,
        reasoner: str = "solver",
        num_samples: int = 1,
    ) -> ServiceAnswer:
        """Ask about a stored code, by its id, or about a code that is sent with the question.

        ``options``: choices such as "A. left"; none for a number. ``reasoner``: "solver", "program"
        or "text". ``num_samples``: how many samples a model draws to choose from.
        """
        asking = Asking(options, reasoner, num_samples)
        return self._run(operations.ask(about, question, asking, self._retries))

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


if TYPE_CHECKING:
    import httpx


class AsyncSpatialCodeClient(_Connected):
    """`SpatialCodeClient` with the same methods as coroutines; files are read in threads.

    ``transport``: an asynchronous one, such as ``httpx.ASGITransport(app)``.

    Callbacks (``progress``, ``on_status``) are plain functions here as well; ``progress`` is called
    in those threads. Close it with ``aclose``, or use it in an ``async with`` block.
    """

    _kind = "AsyncClient"

    async def upload(
        self, path: StrPath, *, name: str | None = None, progress: bool | OnBytes = False
    ) -> CodeProgress:
        """As `SpatialCodeClient.upload`."""
        return await self._run(operations.upload(Path(path), name, progress, self._retries))

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
        patience = Patience(deadline_s, on_status=on_status)
        steps = operations.encode(Path(path), patience, progress, self._retries)
        return await self._run(steps)

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
