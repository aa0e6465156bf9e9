"""Errors as clients see them: RFC 9457 problem documents, never a stack trace.

An `HTTPProblem` may be raised anywhere, also in another process, and becomes its document at the
edge. Errors of the library are translated by their ``code``. Any other exception becomes a 500 that
gives no details. Logging is not done here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from serve.http.messages import ProblemDocument
from spatialcode.errors import SpatialCodeError, VideoError, VideoLimitError

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
RETRY_AFTER_S = 2.0

# HTTP statuses by an error's code. Any other error of the library is about the client's data.
STATUS_OF_CODE = {
    "video_not_found": 404,
    "video_unsupported": 415,
    "actors_lost": 503,
    "model": 503,
    "weights": 503,
    "store": 503,
    "store_missing": 503,
    "database": 503,
    "missing_extra": 501,
    "config": 500,
    "error": 500,
}
DEFAULT_STATUS = 422
#: What each status of a refusal means here, for the OpenAPI description.
MEANING_OF_STATUS = {
    400: "The request cannot be read",
    401: "The API key is missing or unknown",
    403: "Calls from there are not allowed",
    404: "Not found",
    408: "The body was sent too slowly",
    409: "Not possible in the present state",
    411: "Content-Length is required",
    413: "The body is too large",
    415: "This type of content is not accepted",
    422: "The request was understood, but is refused",
    429: "Too many requests, or the queue is full: see Retry-After",
    500: "An internal error",
    501: "Not installed in this service",
    502: "A server behind this service did not answer",
    503: "Not ready, or interrupted: see Retry-After",
    504: "The request ran out of time",
    507: "There is no disk space for another video",
}
#: The refusals of a route as FastAPI's ``responses``.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": meaning,
        "content": {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}},
    }
    for status, meaning in sorted(MEANING_OF_STATUS.items())
}


class HTTPProblem(HTTPException):
    """A refusal: the HTTP status, a stable machine-readable ``code``, and a sentence for people.

    ``extra``: further members of the document. It is an `HTTPException` because FastAPI turns any
    other exception that is raised while it reads a body into a 400.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.code = code
        self.extra = dict(extra or {})

    def __reduce__(self) -> tuple[Any, ...]:
        rebuilt = partial(HTTPProblem, headers=self.headers, extra=self.extra)
        return rebuilt, (self.status_code, self.code, self.detail)

    @property
    def title(self) -> str:
        """The code in words, the same for all problems with that code."""
        return self.code.replace("_", " ").capitalize()

    def document(self) -> dict[str, Any]:
        """The members of the problem document."""
        return self.extra | {
            "type": f"urn:problem-type:spatialcode:{self.code}",
            "title": self.title,
            "status": self.status_code,
            "detail": self.detail,
            "code": self.code,
        }

    def response(self) -> JSONResponse:
        """The document as an HTTP response."""
        headers = dict(self.headers or {})
        return JSONResponse(self.document(), self.status_code, headers, MEDIA_TYPE)


def unauthorized() -> HTTPProblem:
    """401: the key is missing or unknown; which of the two is not said."""
    headers = {"WWW-Authenticate": 'Bearer realm="spatialcode"'}
    return HTTPProblem(401, "unauthorized", "missing or unknown API key", headers=headers)


def forbidden(detail: str) -> HTTPProblem:
    """403: the call comes from where calls are not allowed, whoever makes it."""
    return HTTPProblem(403, "forbidden", detail)


def not_found(what: str) -> HTTPProblem:
    """404: there is no such thing. ``what``: its name in a sentence."""
    return HTTPProblem(404, "not_found", f"{what} was not found")


def conflict(code: str, detail: str) -> HTTPProblem:
    """409: not possible in the present state."""
    return HTTPProblem(409, code, detail)


def too_large(what: str, limit_bytes: int) -> HTTPProblem:
    """413: ``what`` has more bytes than the limit."""
    detail = f"{what} may have at most {limit_bytes} bytes"
    return HTTPProblem(413, "too_large", detail, extra={"limit_bytes": limit_bytes})


def unsupported(detail: str) -> HTTPProblem:
    """415: this type of content is not accepted."""
    return HTTPProblem(415, "unsupported_media_type", detail)


def invalid(detail: str, code: str = "invalid_request") -> HTTPProblem:
    """422: the request was understood, but is refused."""
    return HTTPProblem(422, code, detail)


def try_later(status: int, code: str, detail: str, retry_after_s: float) -> HTTPProblem:
    """429 or 503 with Retry-After in whole seconds, at least one."""
    seconds = max(1, math.ceil(retry_after_s))
    headers = {"Retry-After": str(seconds)}
    return HTTPProblem(status, code, detail, headers=headers, extra={"retry_after_s": seconds})


def too_late(detail: str) -> HTTPProblem:
    """504: the request ran out of time."""
    return HTTPProblem(504, "deadline", detail)


def storage_full() -> HTTPProblem:
    """507: there is no disk space for another video."""
    return HTTPProblem(507, "storage_full", "there is no disk space for another video now")


def internal() -> HTTPProblem:
    """500: an internal error, without any details."""
    return HTTPProblem(500, "internal_error", "an internal error; it has been logged")


def from_error(error: SpatialCodeError) -> HTTPProblem:
    """The problem that a client is told for an error of the library.

    Too many bytes are a 413. Errors in the set-up of this service give no details, and no error
    says where a video is stored.
    """
    status = STATUS_OF_CODE.get(error.code, DEFAULT_STATUS)
    if isinstance(error, VideoLimitError) and error.quantity == "bytes":
        status = 413
    if status == 503:
        return try_later(status, error.code, "not available at the moment", RETRY_AFTER_S)
    if status == 501:
        return HTTPProblem(status, error.code, "this service does not have it installed")
    if status >= 500:
        return internal()
    detail = error.about("the video") if isinstance(error, VideoError) else str(error)
    return HTTPProblem(status, error.code, detail)


def from_validation(error: RequestValidationError) -> HTTPProblem:
    """A 422 that names each wrong field, without repeating what was sent."""
    problems = [
        {"where": ".".join(str(part) for part in item["loc"]), "what": item["msg"]}
        for item in error.errors()[:MAX_ERRORS]
    ]
    detail = "; ".join(f"{item['where']}: {item['what']}" for item in problems[:3])
    problem = invalid(detail or "the request does not match its description")
    problem.extra["errors"] = problems
    return problem


def from_http(error: HTTPException) -> HTTPProblem:
    """Refusals by Starlette and FastAPI (unknown path, wrong method) as problems."""
    if isinstance(error, HTTPProblem):
        return error
    try:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
    except ValueError:
        code = "http_error"
    return HTTPProblem(error.status_code, code, str(error.detail), headers=error.headers)


def as_problem(error: Exception) -> HTTPProblem:
    """The problem that a client is told for any exception."""
    if isinstance(error, HTTPException):
        return from_http(error)
    if isinstance(error, RequestValidationError):
        return from_validation(error)
    if isinstance(error, SpatialCodeError):
        return from_error(error)
    if isinstance(error, ClientDisconnect):
        return HTTPProblem(400, "disconnected", "the client disconnected while it was sending")
    return internal()


def install(app: FastAPI) -> None:
    """Answer every exception in ``app`` with its problem document.

    Starlette raises unexpected ones again after the answer, so that the server logs them.
    """

    async def answer(_request: Request, error: Exception) -> Response:
        return as_problem(error).response()

    kinds = (HTTPException, RequestValidationError, SpatialCodeError, ClientDisconnect, Exception)
    for kind in kinds:
        app.add_exception_handler(kind, answer)
