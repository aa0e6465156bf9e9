"""Every operation of the service, as steps that a client carries out.

Ids are checked here before anything is sent, because they become part of a path.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    RETRYABLE,
    Call,
    OnBytes,
    Pause,
    Reply,
    Retries,
    Steps,
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
from spatialcode.client.transport import upload_progress
from spatialcode.errors import ParseError, SchemaError, VideoNotFoundError
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import from_json, to_json

OnStatus = Callable[[CodeProgress], None]

_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Asking:
    """How a question is to be answered.

    ``options``: choices such as "A. left"; none for a number. ``reasoner``: "solver", "program" or
    "text". ``num_samples``: how many samples a model draws to choose from.
    """

    options: Sequence[str] = ()
    reasoner: str = "solver"
    num_samples: int = 1


@dataclass(frozen=True)
class Patience:
    """How to wait for a code: poll after ``poll_s`` at first, then less and less often.

    ``deadline_s``: seconds from now, or None for ever. ``on_status``: called with every status.
    """

    deadline_s: float | None = 600.0
    poll_s: float = 0.5
    longest_poll_s: float = 5.0
    on_status: OnStatus | None = None

    def __post_init__(self) -> None:
        if not 0 < self.poll_s <= self.longest_poll_s:
            raise SchemaError("poll_s", f"in (0, {self.longest_poll_s}]", self.poll_s)


def upload(
    path: Path, name: str | None, progress: bool | OnBytes, retries: Retries
) -> Steps[CodeProgress]:
    """Send a file. Its id depends on its bytes, so a file that is sent twice is encoded once."""
    if not path.is_file():
        raise VideoNotFoundError("no such file", path)
    with upload_progress(progress, path.name) as on_bytes:
        call = Call("POST", "/v1/codes", upload=Upload(path, name, on_bytes))
        reply = yield from exchange(call, retries)
    return read_status(parse_body(reply.body))


def from_url(url: str, name: str | None, retries: Retries) -> Steps[CodeProgress]:
    """Let the service fetch a video."""
    body = {"url": url} if name is None else {"url": url, "name": name}
    reply = yield from exchange(Call("POST", "/v1/codes", json=body), retries)
    return read_status(parse_body(reply.body))


def status(code_id: str, retries: Retries) -> Steps[CodeProgress]:
    """The state of a code."""
    reply = yield from exchange(Call("GET", _path(code_id)), retries)
    return read_status(parse_body(reply.body))


def code(code_id: str, retries: Retries) -> Steps[SpatialCode]:
    """The code."""
    call = Call("GET", _path(code_id), params={"format": "json"})
    reply = yield from exchange(call, retries)
    try:
        return from_json(reply.body.decode())
    except (ParseError, UnicodeDecodeError) as error:
        raise ReplyError(f"code {code_id}: {error}") from error


def rendition(code_id: str, form: str, path: Path, retries: Retries) -> Steps[Path]:
    """The code in another form, saved to a file."""
    call = Call("GET", _path(code_id), params={"format": form}, save_to=path)
    yield from exchange(call, retries)
    return path


def video(code_id: str, path: Path, retries: Retries) -> Steps[Path]:
    """The video, if the service has kept it, saved to a file."""
    yield from exchange(Call("GET", _path(code_id) + "/video", save_to=path), retries)
    return path


def page(limit: int, after: str | None, retries: Retries) -> Steps[StatusPage]:
    """A page of statuses, newest first."""
    params = {"limit": str(limit)} | ({} if after is None else {"after": after})
    reply = yield from exchange(Call("GET", "/v1/codes", params=params), retries)
    return read_page(parse_body(reply.body))


def delete(code_id: str, retries: Retries) -> Steps[None]:
    """Remove a code and everything that belongs to it."""
    yield from exchange(Call("DELETE", _path(code_id), gone_is_done=True), retries)


def ask(
    about: SpatialCode | str, question: str, asking: Asking, retries: Retries
) -> Steps[ServiceAnswer]:
    """Ask about a stored code, by its id, or about one that is sent with the question."""
    body: dict[str, Any] = {
        "question": question,
        "options": list(asking.options),
        "reasoner": asking.reasoner,
        "num_samples": asking.num_samples,
    }
    if isinstance(about, SpatialCode):
        body["code"] = json.loads(to_json(about))
    else:
        body["code_id"] = _checked(about)
    reply = yield from exchange(Call("POST", "/v1/ask", json=body), retries)
    return read_answer(parse_body(reply.body))


def encode(
    path: Path, patience: Patience, progress: bool | OnBytes, retries: Retries
) -> Steps[SpatialCode]:
    """Upload a video, wait for its code, and fetch it."""
    job = yield from upload(path, None, progress, retries)
    yield from wait(job.id, patience, retries)
    return (yield from code(job.id, retries))


def wait(
    code_id: str,
    patience: Patience,
    retries: Retries,
    clock: Callable[[], float] = time.monotonic,
) -> Steps[CodeProgress]:
    """Wait for a code; returns its status when it is done.

    If the service restarts or is busy in between, the client tries again until the deadline, no
    matter how often that fails, because the service does not lose the job.
    """
    path = _path(code_id)
    deadline_s = float("inf") if patience.deadline_s is None else patience.deadline_s
    until = clock() + deadline_s
    seen: CodeProgress | None = None
    failure: ServiceError | None = None
    num_failed, poll_s = 0, patience.poll_s
    while True:
        try:
            reply = yield Call("GET", path, timeout_s=min(max(until - clock(), 1.0), 60.0))
            assert reply is not None, "a call is answered with a reply"
            seen, failure, num_failed = _read_poll(reply), None, 0
        except ServiceError as error:
            if not _passes(error):
                raise
            failure, num_failed = error, num_failed + 1
            own_s, asked_s = retries.backoff_s(num_failed), error.retry_after_s
        else:
            if patience.on_status is not None:
                patience.on_status(seen)
            if seen.is_done:
                return seen
            _raise_if_failed(seen)
            own_s, asked_s = poll_s, seconds_until(reply.headers.get("retry-after"))
            poll_s = min(poll_s * 1.5, patience.longest_poll_s)
        left_s = until - clock()
        # its own pauses end at the deadline, for a last poll; one that the service asks for is kept
        if left_s <= 0 or (asked_s or 0) > left_s:
            raise WaitTimeoutError(code_id, deadline_s, seen.status if seen else None) from failure
        yield Pause(max(min(own_s, left_s), asked_s or 0))


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
