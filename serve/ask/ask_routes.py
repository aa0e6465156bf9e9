"""The routes that answer questions: ``/v1/ask``, and the same as OpenAI's clients speak it.

The solver runs here, in a thread; a language model behind its own deployment. A video given by its
address is accepted like an upload, and waited for within the request's deadline.
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

from serve.ask.asking import REASONERS, Answered, Asked, ReasonerMissingError, answer
from serve.book.database import JobStatus
from serve.http import problems
from serve.http.described import COMPLETION, OPENAI_PROBLEMS, PROBLEMS
from serve.http.messages import AskAnswer, AskRequest
from serve.intake.admission import Admission
from serve.openai import chat
from serve.services import Deadline, Services, not_done
from spatialcode.errors import SpatialCodeError
from spatialcode.scene.document import from_document
from spatialcode.scene.schema import SpatialCode

_POLL_S = 0.1
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Answering:
    """Questions to answers, whoever reasons."""

    def __init__(self, services: Services, admission: Admission) -> None:
        self._services, self._admission = services, admission

    @property
    def reasoners(self) -> tuple[str, ...]:
        """Those that this service has."""
        model = self._services.reasoner
        names = ("solver", *(model.names if model is not None else ()))
        return tuple(name for name in REASONERS if name in names)

    async def ask(
        self, asked: Asked, code_id: str | None, document: dict[str, Any] | None,
        deadline: Deadline,
    ) -> Answered:  # fmt: skip
        """The answer. Raises problems, and the errors of reading and asking."""
        services, start = self._services, time.perf_counter()
        self._check(asked)

        def code_of() -> SpatialCode:
            return services.done_code(code_id) if code_id else from_document(document)

        try:
            async with asyncio.timeout(deadline.left_s):
                if asked.reasoner == "solver":
                    answered = await services.run(lambda: answer(asked, code_of()))
                else:
                    assert services.reasoner is not None
                    code = await services.run(code_of)
                    answered = await services.reasoner.answer(asked, code, deadline.left_s)
        except TimeoutError:
            raise problems.too_late("no answer within the time for this request") from None
        services.meters.reasoned(asked.reasoner, time.perf_counter() - start)
        return answered

    def _check(self, asked: Asked) -> None:
        most = self._services.config.reasoner.max_samples
        if asked.num_samples > most:
            raise problems.invalid(f"num_samples: expected at most {most}")
        if asked.reasoner not in self.reasoners:
            have = ", ".join(self.reasoners)
            raise ReasonerMissingError(f"reasoner: expected one of {have}, got {asked.reasoner!r}")

    async def chat(self, request: Request, body: chat.ChatRequest) -> Response:
        """A chat completion, whole or as a stream."""
        understood = chat.read_chat(body, self.reasoners)
        deadline = Deadline.of(request, self._services.config.limits.ask_deadline_s)
        source = understood.source
        code_id = source.code_id
        if source.url is not None:
            code_id = await self._encoded(request, source.url, deadline)
        coming = self.ask(understood.asked, code_id, source.document, deadline)
        if not understood.stream:
            return JSONResponse(chat.completion(understood, await coming))
        if understood.asked.reasoner == "solver":  # there at once: an error keeps its status
            events: Any = chat.stream_of(understood, await coming)
        else:
            events = chat.stream_when(understood, coming)
        return StreamingResponse(events, headers=_STREAM_HEADERS, media_type=chat.EVENT_STREAM)

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


class OpenAIRoute(APIRoute):
    """A route whose errors have OpenAI's shape, a body that does not fit included."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler within the boundary where problems change their shape."""
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await inner(request)
            except (problems.HTTPException, RequestValidationError, SpatialCodeError) as error:
                return chat.error_response(error)

        return handler


def ask_router(services: Services, answering: Answering) -> APIRouter:
    """``POST /v1/ask``."""
    router = APIRouter(tags=["questions"], responses=PROBLEMS)

    @router.post("/v1/ask", response_model=AskAnswer, summary="Ask about a spatial code")
    async def ask(body: AskRequest, request: Request) -> Any:
        """An answer with what it rests on: objects, when they were seen, and quantities."""
        services.caller(request)
        deadline = Deadline.of(request, services.config.limits.ask_deadline_s)
        asked = Asked(body.question, tuple(body.options), body.reasoner, body.num_samples)
        return await answering.ask(asked, body.code_id, body.code, deadline)

    return router


def chat_router(services: Services, answering: Answering) -> APIRouter:
    """OpenAI's routes."""
    router = APIRouter(tags=["OpenAI"], route_class=OpenAIRoute, responses=OPENAI_PROBLEMS)
    started_s = int(time.time())

    @router.post("/v1/chat/completions", summary="Chat completions as OpenAI has them",
                 responses=COMPLETION)  # fmt: skip
    async def completions(body: chat.ChatRequest, request: Request) -> Response:
        """The question is the last user message's text; the code comes by `code_id`, `code`, or a
        `video_url` part.
        """
        services.caller(request)
        return await answering.chat(request, body)

    @router.get("/v1/models", summary="The reasoners, as models")
    async def models(request: Request) -> Response:
        """`spatialcode-solver`, and those of the language model where there is one."""
        services.caller(request)
        return JSONResponse(chat.models(answering.reasoners, started_s))

    @router.get("/v1/models/{name}", summary="One of them")
    async def model(name: str, request: Request) -> Response:
        """404 for any other name."""
        services.caller(request)
        return JSONResponse(chat.model_card(name, answering.reasoners, started_s))

    return router
