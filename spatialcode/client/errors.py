"""What can go wrong between a client and the service; each error is also a standard-library one.

If the service refuses, the error holds its RFC 9457 problem document, and its class follows from
the HTTP status. Errors without one mean that there was no valid response. A proxy in between may
respond in another format; then only the status is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from spatialcode.errors import SpatialCodeError


class ClientSetupError(SpatialCodeError, ImportError):
    """The HTTP library is not installed."""

    code = "client_setup"


class ServiceError(SpatialCodeError, RuntimeError):
    """Base of everything that a call to the service may raise.

    ``retry_after_s``: how long to wait before the next attempt; None if the service did not say.
    """

    code = "service"
    retry_after_s: float | None = None


class ServiceConnectionError(ServiceError, ConnectionError):
    """The service cannot be reached, or the connection broke before the answer was complete."""

    code = "service_connection"


class ServiceTimeoutError(ServiceError, TimeoutError):
    """The service is connected, but no byte was sent or received for too long."""

    code = "service_timeout"


class WaitTimeoutError(ServiceTimeoutError):
    """A code was not done by the deadline; its job goes on. ``status``: the last one seen."""

    code = "wait_timeout"

    def __init__(self, code_id: str, deadline_s: float, status: str | None) -> None:
        seen = "its status is unknown" if status is None else f"its last status was {status!r}"
        super().__init__(f"{code_id}: expected to be done within {deadline_s:g} s; {seen}")
        self.code_id, self.deadline_s, self.status = code_id, deadline_s, status

    def __reduce__(self) -> tuple[type[WaitTimeoutError], tuple[str, float, str | None]]:
        return type(self), (self.code_id, self.deadline_s, self.status)


class ReplyError(ServiceError, ValueError):
    """The response is not what the API specifies; names the field."""

    code = "service_reply"


class EncodingFailedError(ServiceError, ValueError):
    """No code could be made of a video. ``code``: the cause, as ``spatialcode.errors`` names it."""

    def __init__(self, code_id: str, code: str, title: str, detail: str) -> None:
        super().__init__(f"{code_id}: {title} ({code}): {detail}")
        self.code_id, self.code, self.title, self.detail = code_id, code, title, detail

    def __reduce__(self) -> tuple[type[EncodingFailedError], tuple[str, str, str, str]]:
        return type(self), (self.code_id, self.code, self.title, self.detail)


@dataclass(frozen=True)
class Problem:
    """An RFC 9457 problem document. ``code``: stable and machine-readable, "" if there is none."""

    status: int
    title: str
    type: str = "about:blank"
    detail: str = ""
    code: str = ""
    retry_after_s: float | None = None

    def __str__(self) -> str:
        code = f" ({self.code})" if self.code else ""
        return f"{self.status} {self.title}{code}" + (f": {self.detail}" if self.detail else "")


class ProblemError(ServiceError):
    """The service refused a call; ``problem`` says why, and its fields are attributes as well."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.status, self.type = problem.status, problem.type
        self.title, self.detail = problem.title, problem.detail
        self.code = problem.code or type(self).code
        self.retry_after_s = problem.retry_after_s

    def __reduce__(self) -> tuple[type[ProblemError], tuple[Problem]]:
        return type(self), (self.problem,)


class BadRequestError(ProblemError, ValueError):
    """What was sent is not accepted (400, 413, 415, 422), so it is of no use to repeat it."""

    code = "bad_request"


class KeyRefusedError(ProblemError, PermissionError):
    """The API key is missing, unknown or not allowed to do this (401, 403)."""

    code = "key_refused"


class NotFoundError(ProblemError, LookupError):
    """There is nothing with that id (404)."""

    code = "not_found"


class ConflictError(ProblemError):
    """Not possible in the present state, such as the file of a code that is not done (409)."""

    code = "conflict"


class OverloadedError(ProblemError):
    """Too many requests, or a full queue (429); ``retry_after_s`` says when to try again."""

    code = "overloaded"


class UnavailableError(ProblemError):
    """The service, or a proxy in between, failed (5xx)."""

    code = "unavailable"


_BY_STATUS: dict[int, type[ProblemError]] = {
    400: BadRequestError,
    401: KeyRefusedError,
    403: KeyRefusedError,
    404: NotFoundError,
    409: ConflictError,
    413: BadRequestError,
    415: BadRequestError,
    422: BadRequestError,
    429: OverloadedError,
}


def problem_error(status: int, headers: Mapping[str, str], body: bytes) -> ProblemError:
    """The error for an HTTP response. ``headers``: by lower-case name."""
    document = _document(body)
    phrase = next((known.phrase for known in HTTPStatus if known == status), "Unknown status")
    problem = Problem(
        status=status,
        title=_text(document, "title") or phrase,
        type=_text(document, "type") or "about:blank",
        detail=_text(document, "detail"),
        code=_text(document, "code"),
        retry_after_s=seconds_until(headers.get("retry-after")),
    )
    fallback = UnavailableError if status >= 500 else ProblemError
    return _BY_STATUS.get(status, fallback)(problem)


def seconds_until(retry_after: str | None, now: datetime | None = None) -> float | None:
    """A Retry-After header, seconds or an HTTP date, as seconds from now; None if unreadable."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    if then.tzinfo is None:  # "-0000" means UTC
        then = then.replace(tzinfo=UTC)
    return max((then - (now or datetime.now(UTC))).total_seconds(), 0.0)


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(document: Mapping[str, Any], name: str) -> str:
    found = document.get(name)
    return found if isinstance(found, str) else ""
