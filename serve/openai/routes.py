"""Questions as OpenAI's clients ask them: ``/v1/chat/completions`` and ``/v1/models``.

A video given by its URL is accepted like an upload, and waited for within the request's deadline.
The text of an answer is the evidence, one statement per line, then the reasons if it is not
verified, then "Answer: …". The field ``spatialcode`` holds the whole answer as ``/v1/ask`` gives
it. The whole answer is known before its first line is sent, so a stream does not show tokens as
they are drawn.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute

from serve.ask.routes import Answering
from serve.book.database import JobStatus
from serve.http import problems
from serve.http.messages import AskAnswer
from serve.http.problems import MEANING_OF_STATUS, HTTPProblem, as_problem
from serve.intake.admission import Admission
from serve.openai.chat_request import MODEL_PREFIX, Chat, ChatRequest, read_chat, reasoner_of
from serve.services import Deadline, Services, not_done
from spatialcode.errors import SpatialCodeError

_POLL_S = 0.1
EVENT_STREAM = "text/event-stream"
#: A comment that keeps a stream open; clients skip it.
_KEEP_ALIVE = ": still reasoning\n\n"
_DONE = "data: [DONE]\n\n"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
#: The codes of OpenAI's errors, by our own.
_CODES = {"unauthorized": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_OPENAI_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
#: The refusals of OpenAI's routes as FastAPI's ``responses``.
OPENAI_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": {"application/json": {"schema": _OPENAI_ERROR}}}
    for status, meaning in MEANING_OF_STATUS.items()
}
#: A chat completion is one object, or a stream of chunks.
COMPLETION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream`, as server-sent events",
        "content": {
            "application/json": {"schema": {"type": "object", "required": ["choices", "usage"]}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    }
}


class OpenAIRoute(APIRoute):
    """A route whose errors have OpenAI's format, those of an invalid body included."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with every problem turned into OpenAI's format."""
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await inner(request)
            except (problems.HTTPException, RequestValidationError, SpatialCodeError) as error:
                return error_response(error)

        return handler


class ChatCompletions:
    """Answers chat completions; a video that is named by its URL is fetched and encoded first."""

    def __init__(self, services: Services, answering: Answering, admission: Admission) -> None:
        self._services, self._answering, self._admission = services, answering, admission

    async def complete(self, request: Request, body: ChatRequest) -> Response:
        """The answer as a chat completion, whole or as a stream."""
        chat = read_chat(body, self._answering.reasoners)
        deadline = Deadline.of(request, self._services.config.limits.ask_deadline_s)
        source = chat.source
        code_id = source.code_id
        if source.url is not None:
            code_id = await self._encoded(request, source.url, deadline)
        coming = self._answering.ask(chat.asked, code_id, source.document, deadline)
        if not chat.stream:
            return JSONResponse(completion(chat, await coming))
        if chat.asked.reasoner == "solver":  # answers at once, so an error keeps its HTTP status
            events: Any = stream_of(chat, await coming)
        else:
            events = stream_when(chat, coming)
        return StreamingResponse(events, headers=_STREAM_HEADERS, media_type=EVENT_STREAM)

    async def _encoded(self, request: Request, url: str, deadline: Deadline) -> str:
        """The id of a video's code, fetched and waited for; 503 with Retry-After if not in time."""
        owner = self._services.caller(request, self._services.config.rates.upload_cost)
        job, _ = await self._admission.fetch(url, None, owner, deadline)
        while job.status != JobStatus.DONE:
            if job.status == JobStatus.FAILED:
                raise not_done(job)
            if deadline.at_s - time.monotonic() < _POLL_S:
                raise problems.try_later(
                    503, "not_done", "the video is being encoded; ask again", 5.0
                )
            await asyncio.sleep(_POLL_S)
            job = await self._services.run(self._services.job, job.id)
        return job.id


def chat_router(services: Services, answering: Answering, admission: Admission) -> APIRouter:
    """OpenAI's routes."""
    router = APIRouter(tags=["OpenAI"], route_class=OpenAIRoute, responses=OPENAI_PROBLEMS)
    chats = ChatCompletions(services, answering, admission)
    started_s = int(time.time())

    @router.post("/v1/chat/completions", summary="Chat completions in OpenAI's format",
                 responses=COMPLETION)  # fmt: skip
    async def completions(body: ChatRequest, request: Request) -> Response:
        """The question is the last user message's text; the code comes by `code_id`, `code`, or a
        `video_url` part.
        """
        services.caller(request)
        return await chats.complete(request, body)

    @router.get("/v1/models", summary="The reasoners, as models")
    async def models(request: Request) -> Response:
        """`spatialcode-solver`, and the reasoners of the language model if there is one."""
        services.caller(request)
        return JSONResponse(model_list(answering.reasoners, started_s))

    @router.get("/v1/models/{name}", summary="One model")
    async def model(name: str, request: Request) -> Response:
        """404 if the service does not have it."""
        services.caller(request)
        return JSONResponse(model_card(name, answering.reasoners, started_s))

    return router


def content_of(answered: AskAnswer) -> str:
    """The evidence as text, with the answer on the last line."""
    lines = list(answered.evidence.text)
    said = set(lines)
    lines += [f"not verified: {doubt}" for doubt in answered.doubts if doubt not in said]
    return "\n".join([*lines, f"Answer: {answered.answer}"])


def completion(chat: Chat, answered: AskAnswer) -> dict[str, Any]:
    """The answer as a ``chat.completion``."""
    message = {"role": "assistant", "content": content_of(answered), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        **_head(chat, "chat.completion"),
        "choices": [choice],
        "usage": usage_of(answered),
        "spatialcode": answered.model_dump(mode="json"),
    }


def stream_of(chat: Chat, answered: AskAnswer) -> Iterator[str]:
    """The answer as server-sent events: the role, one event per line, the end, [DONE]."""
    yield _event(_chunk(chat, {"role": "assistant", "content": ""}))
    yield from _lines_of(chat, answered)


async def stream_when(
    chat: Chat, answer: Awaitable[AskAnswer], keep_alive_s: float = 10.0
) -> AsyncIterator[str]:
    """The same for an answer that is not there yet, with a comment every ``keep_alive_s`` seconds.

    A failure ends the stream with an error, which OpenAI's client raises. If the client
    disconnects, ``answer`` is cancelled.
    """
    task = asyncio.ensure_future(answer)
    try:
        yield _event(_chunk(chat, {"role": "assistant", "content": ""}))
        while not (await asyncio.wait({task}, timeout=keep_alive_s))[0]:
            yield _KEEP_ALIVE
        try:
            answered = task.result()
        except Exception as error:  # the boundary of a stream, whose status has been sent already
            yield _event(error_body(as_problem(error)))
            return
        for event in _lines_of(chat, answered):
            yield event
    finally:
        task.cancel()


def usage_of(answered: AskAnswer) -> dict[str, int]:
    """The tokens that a language model has read and written, over all samples; 0 for the solver."""
    read, written = answered.num_prompt_tokens, answered.num_tokens
    return {
        "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written,
    }  # fmt: skip


def model_list(reasoners: Sequence[str], created_s: int) -> dict[str, Any]:
    """The list of ``GET /v1/models``. ``created_s``: when the service started, Unix time."""
    return {"object": "list", "data": [_card(name, created_s) for name in reasoners]}


def model_card(model: str, reasoners: Sequence[str], created_s: int) -> dict[str, Any]:
    """A model by its id; ChatError (404) if the service does not have it."""
    return _card(reasoner_of(model, reasoners), created_s)


def error_body(problem: HTTPProblem) -> dict[str, Any]:
    """A problem in OpenAI's format; the error's type follows from the status."""
    status, param = problem.status_code, problem.extra.get("param")
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    code = _CODES.get(problem.code, problem.code)
    return {"error": {"message": problem.detail, "type": kind, "param": param, "code": code}}


def error_response(error: Exception) -> JSONResponse:
    """Any exception as a response in OpenAI's format, with the headers of its problem."""
    problem = as_problem(error)
    headers = dict(problem.headers or {})
    return JSONResponse(error_body(problem), problem.status_code, headers)


def _lines_of(chat: Chat, answered: AskAnswer) -> Iterator[str]:
    for line in content_of(answered).splitlines(keepends=True):
        yield _event(_chunk(chat, {"content": line}))
    yield _event(_chunk(chat, {}, "stop") | {"spatialcode": answered.model_dump(mode="json")})
    if chat.include_usage:
        usage = {"choices": [], "usage": usage_of(answered)}
        yield _event(_head(chat, "chat.completion.chunk") | usage)
    yield _DONE


def _head(chat: Chat, kind: str) -> dict[str, Any]:
    return {"id": chat.id, "object": kind, "created": chat.created_s, "model": chat.model}


def _chunk(chat: Chat, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_head(chat, "chat.completion.chunk"), "choices": [choice]}


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _card(reasoner: str, created_s: int) -> dict[str, Any]:
    return {
        "id": MODEL_PREFIX + reasoner, "object": "model", "created": created_s,
        "owned_by": "spatialcode",
    }  # fmt: skip
