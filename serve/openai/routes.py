"""Questions as OpenAI's clients ask them: ``/v1/chat/completions`` and ``/v1/models``.

A video given by its URL is accepted like an upload, and waited for within the request's deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute

from serve.ask.routes import Answering
from serve.book.database import JobStatus
from serve.http import problems
from serve.http.problems import MEANING_OF_STATUS
from serve.intake.admission import Admission
from serve.openai.chat_answers import (
    EVENT_STREAM,
    completion,
    error_response,
    model_card,
    model_list,
    stream_of,
    stream_when,
)
from serve.openai.chat_request import ChatRequest, read_chat
from serve.services import Deadline, Services, not_done
from spatialcode.errors import SpatialCodeError

_POLL_S = 0.1
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
