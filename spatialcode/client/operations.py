"""Every operation of the service, stated once for both clients, as steps that a client carries out.

Ids are checked here before anything is sent, because they become part of a path.
"""

from __future__ import annotations

import functools
import json
import os
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, overload

from spatialcode.client.errors import (
    EncodingFailedError,
    ProblemError,
    ReplyError,
    ServiceConnectionError,
    ServiceError,
    ServiceTimeoutError,
    WaitTimeoutError,
    problem_error,
    seconds_until,
)
from spatialcode.client.exchange import (
    DEFAULT_RETRIES,
    RETRYABLE,
    Call,
    OnBytes,
    Pause,
    Reply,
    Retries,
    Steps,
    T,
    Upload,
    exchange,
)
from spatialcode.client.records import (
    CodeProgress,
    ServiceAnswer,
    StatusPage,
    parse_body,
    read_answer,
    read_page,
    read_status,
)
from spatialcode.client.transport import (
    DEFAULT_URL,
    client_arguments,
    load_httpx,
    upload_progress,
)
from spatialcode.errors import ParseError, SchemaError, VideoNotFoundError
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import from_json, to_json

if TYPE_CHECKING:
    from spatialcode.client.clients import AsyncSpatialCodeClient, SpatialCodeClient

StrPath = str | os.PathLike[str]
OnStatus = Callable[[CodeProgress], None]
P = ParamSpec("P")

_ID = re.compile(r"[0-9a-f]{64}")
_LONGEST_POLL_S = 5.0


class Operation(Generic[P, T]):
    """A method that both clients have, written as steps. `SpatialCodeClient` carries them out and
    returns the result; `AsyncSpatialCodeClient` returns a coroutine that does. The class itself
    gives the steps, for operations that are made of others.
    """

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self._steps = steps

    @overload
    def __get__(self, client: None, owner: type) -> Callable[Concatenate[Any, P], Steps[T]]: ...
    @overload
    def __get__(self, client: SpatialCodeClient, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, client: AsyncSpatialCodeClient, owner: type
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self._steps

        @functools.wraps(self._steps)
        def carried_out(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client._run(self._steps(client, *args, **kwargs))

        return carried_out


class Operations:
    """What both clients can do, over an httpx client of the kind that each names.

    ``api_key``: None takes SPATIALCODE_API_KEY from the environment, if it is set. ``timeout_s``:
    longest silence during a call, not its duration. ``transport``: an httpx transport in place of
    the network. SchemaError for an invalid value, ClientSetupError without httpx.

    Every method may raise the ServiceError family: ProblemError if the service refuses,
    ServiceConnectionError and ServiceTimeoutError if it cannot be reached in time, each after the
    retries that `Retries` describes. SchemaError for a malformed id.
    """

    _kind: ClassVar[str]
    _clock: Callable[[], float] = time.monotonic

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

    @Operation
    def upload(
        self, path: StrPath, *, name: str | None = None, progress: bool | OnBytes = False
    ) -> Steps[CodeProgress]:
        """Send a video file. It is read while it is sent, and never whole in memory.

        ``name``: in place of the file's name. ``progress``: True for a bar on the terminal, or a
        function of the number of bytes sent and the file's size. The same bytes get the same id
        and are encoded only once. VideoNotFoundError if there is no such file.
        """
        path = Path(path)
        if not path.is_file():
            raise VideoNotFoundError("no such file", path)
        with upload_progress(progress, path.name) as on_bytes:
            call = Call("POST", "/v1/codes", upload=Upload(path, name, on_bytes))
            reply = yield from exchange(call, self._retries)
        return read_status(parse_body(reply.body))

    @Operation
    def from_url(self, url: str, *, name: str | None = None) -> Steps[CodeProgress]:
        """Let the service fetch a video from ``https://`` or, where it is allowed, ``s3://``."""
        body = {"url": url} if name is None else {"url": url, "name": name}
        reply = yield from exchange(Call("POST", "/v1/codes", json=body), self._retries)
        return read_status(parse_body(reply.body))

    @Operation
    def encode(
        self,
        path: StrPath,
        *,
        deadline_s: float | None = 600.0,
        progress: bool | OnBytes = False,
        on_status: OnStatus | None = None,
    ) -> Steps[SpatialCode]:
        """`upload`, `wait` and `code` in one. ``deadline_s`` counts from the end of the upload."""
        job = yield from Operations.upload(self, path, progress=progress)
        yield from Operations.wait(self, job.id, deadline_s=deadline_s, on_status=on_status)
        return (yield from Operations.code(self, job.id))

    @Operation
    def status(self, code_id: str) -> Steps[CodeProgress]:
        """The state of a code. NotFoundError for an id that the service does not know."""
        reply = yield from exchange(Call("GET", _path(code_id)), self._retries)
        return read_status(parse_body(reply.body))

    @Operation
    def wait(
        self,
        code_id: str,
        *,
        deadline_s: float | None = 600.0,
        poll_s: float = 0.5,
        on_status: OnStatus | None = None,
    ) -> Steps[CodeProgress]:
        """Wait until a code is done, polling less and less often, or when the service says.

        ``deadline_s``: seconds from now, or None to wait for ever; then WaitTimeoutError, while the
        job goes on. ``on_status``: called with every status. EncodingFailedError if no code could
        be made. If the service restarts or is busy in between, the client tries again until the
        deadline, no matter how often that fails, because the service does not lose the job.
        """
        path, longest_poll_s = _path(code_id), max(poll_s, _LONGEST_POLL_S)
        if not poll_s > 0:
            raise SchemaError("poll_s", f"in (0, {longest_poll_s}]", poll_s)
        limit_s = float("inf") if deadline_s is None else deadline_s
        until = self._clock() + limit_s
        seen: CodeProgress | None = None
        failure: ServiceError | None = None
        num_failed = 0
        while True:
            try:
                left_s = until - self._clock()
                reply = yield Call("GET", path, timeout_s=min(max(left_s, 1.0), 60.0))
                assert reply is not None, "a call is answered with a reply"
                seen, failure, num_failed = _read_poll(reply), None, 0
            except ServiceError as error:
                if not _passes(error):
                    raise
                failure, num_failed = error, num_failed + 1
                own_s, asked_s = self._retries.backoff_s(num_failed), error.retry_after_s
            else:
                if on_status is not None:
                    on_status(seen)
                if seen.is_done:
                    return seen
                _raise_if_failed(seen)
                own_s, asked_s = poll_s, seconds_until(reply.headers.get("retry-after"))
                poll_s = min(poll_s * 1.5, longest_poll_s)
            left_s = until - self._clock()
            # its own pauses end at the deadline, for a last poll; the service's are kept whole
            if left_s <= 0 or (asked_s or 0) > left_s:
                raise WaitTimeoutError(code_id, limit_s, seen.status if seen else None) from failure
            yield Pause(max(min(own_s, left_s), asked_s or 0))

    @Operation
    def code(self, code_id: str) -> Steps[SpatialCode]:
        """The code. ConflictError while it is not done."""
        call = Call("GET", _path(code_id), params={"format": "json"})
        reply = yield from exchange(call, self._retries)
        try:
            return from_json(reply.body.decode())
        except (ParseError, UnicodeDecodeError) as error:
            raise ReplyError(f"code {code_id}: {error}") from error

    @Operation
    def rendition(self, code_id: str, form: str, path: StrPath) -> Steps[Path]:
        """The code in another form, in a file; ``form`` is a format of the service, as "mp4".

        `spatialcode.export.formats.FORMATS` names them; a service may have more of its own.
        The file appears once it is complete; returns its path. ConflictError while the code is
        not done.
        """
        call = Call("GET", _path(code_id), params={"format": form}, save_to=Path(path))
        yield from exchange(call, self._retries)
        return Path(path)

    @Operation
    def video(self, code_id: str, path: StrPath) -> Steps[Path]:
        """Save the video to a file. NotFoundError if the service did not keep it."""
        call = Call("GET", _path(code_id) + "/video", save_to=Path(path))
        yield from exchange(call, self._retries)
        return Path(path)

    @Operation
    def _page(self, limit: int, after: str | None) -> Steps[StatusPage]:
        """A page of statuses, newest first."""
        params = {"limit": str(limit)} | ({} if after is None else {"after": after})
        reply = yield from exchange(Call("GET", "/v1/codes", params=params), self._retries)
        return read_page(parse_body(reply.body))

    @Operation
    def delete(self, code_id: str) -> Steps[None]:
        """Remove a code and everything that belongs to it. NotFoundError if there is none."""
        yield from exchange(Call("DELETE", _path(code_id), gone_is_done=True), self._retries)

    @Operation
    def ask(
        self,
        about: SpatialCode | str,
        question: str,
        options: Sequence[str] = (),
        *,
        reasoner: str = "solver",
        num_samples: int = 1,
    ) -> Steps[ServiceAnswer]:
        """Ask about a stored code, by its id, or about a code that is sent with the question.

        ``options``: choices such as "A. left"; none for a number. ``reasoner``: "solver", "program"
        or "text". ``num_samples``: how many samples a model draws to choose from.
        """
        body: dict[str, Any] = {
            "question": question,
            "options": list(options),
            "reasoner": reasoner,
            "num_samples": num_samples,
        }
        if isinstance(about, SpatialCode):
            body["code"] = json.loads(to_json(about))
        else:
            body["code_id"] = _checked(about)
        reply = yield from exchange(Call("POST", "/v1/ask", json=body), self._retries)
        return read_answer(parse_body(reply.body))


def _read_poll(reply: Reply) -> CodeProgress:
    if reply.status != 200:
        raise problem_error(reply.status, reply.headers, reply.body)
    return read_status(parse_body(reply.body))


def _passes(error: ServiceError) -> bool:
    """Whether it makes sense to poll again later."""
    if isinstance(error, ProblemError):
        return error.status in RETRYABLE
    return isinstance(error, ServiceConnectionError | ServiceTimeoutError)


def _raise_if_failed(seen: CodeProgress) -> None:
    if not seen.is_failed:
        return
    if seen.error is None:
        raise EncodingFailedError(seen.id, "unknown", "Encoding failed", "no reason was given")
    raise EncodingFailedError(seen.id, seen.error.code, seen.error.title, seen.error.detail)


def _path(code_id: str) -> str:
    return f"/v1/codes/{_checked(code_id)}"


def _checked(code_id: str) -> str:
    if not isinstance(code_id, str) or not _ID.fullmatch(code_id):
        raise SchemaError("code_id", "64 lower-case hexadecimal digits", code_id)
    return code_id
