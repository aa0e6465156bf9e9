"""The route that answers questions, ``/v1/ask``, and what every route that answers one does.

The solver runs here, in a thread; a language model runs behind its own deployment.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request

from serve.ask.asking import REASONERS, Asked, ReasonerMissingError, answer
from serve.http import problems
from serve.http.messages import AskAnswer, AskRequest
from serve.http.problems import PROBLEMS
from serve.services import Deadline, Services
from spatialcode.scene.document import from_document
from spatialcode.scene.schema import SpatialCode


class Answering:
    """Answers questions with any of the service's reasoners."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def reasoners(self) -> tuple[str, ...]:
        """The names of the reasoners that this service has."""
        model = self._services.reasoner
        names = ("solver", *(model.names if model is not None else ()))
        return tuple(name for name in REASONERS if name in names)

    async def ask(
        self, asked: Asked, code_id: str | None, document: dict[str, Any] | None,
        deadline: Deadline,
    ) -> AskAnswer:  # fmt: skip
        """The answer. Raises problems, and the errors of reading codes and of asking."""
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
            raise problems.too_late("this request ran out of time") from None
        services.meters.reasoned(asked.reasoner, time.perf_counter() - start)
        return answered

    def _check(self, asked: Asked) -> None:
        most = self._services.config.reasoner.max_samples
        if asked.num_samples > most:
            raise problems.invalid(f"num_samples: expected at most {most}")
        if asked.reasoner not in self.reasoners:
            have = ", ".join(self.reasoners)
            raise ReasonerMissingError(f"reasoner: expected one of {have}, got {asked.reasoner!r}")


def ask_router(services: Services, answering: Answering) -> APIRouter:
    """``POST /v1/ask``."""
    router = APIRouter(tags=["questions"], responses=PROBLEMS)

    @router.post("/v1/ask", response_model=AskAnswer, summary="Ask about a spatial code")
    async def ask(body: AskRequest, request: Request) -> Any:
        """An answer and its evidence: objects, when the video shows them, and quantities."""
        services.caller(request)
        deadline = Deadline.of(request, services.config.limits.ask_deadline_s)
        asked = Asked(body.question, tuple(body.options), body.reasoner, body.num_samples)
        return await answering.ask(asked, body.code_id, body.code, deadline)

    return router
