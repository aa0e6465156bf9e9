"""Answers in the form of OpenAI's chat completions: one body, a stream, the models, errors.

The text is the evidence, a statement a line, then why it is not verified where it is not, then
"Answer: …". The whole answer, as ``/v1/ask`` gives it, is beside it under ``spatialcode``. An
answer is known whole before its first line is sent: a stream does not show a model at work.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from typing import Any

from starlette.responses import JSONResponse

from serve.ask.asking import Answered
from serve.http.messages import AskAnswer
from serve.http.problems import HTTPProblem, as_problem
from serve.openai.chat_request import MODEL_PREFIX, Chat, reasoner_of

EVENT_STREAM = "text/event-stream"
#: Comments that keep a stream open, which clients skip.
_KEEP_ALIVE = ": still reasoning\n\n"
_DONE = "data: [DONE]\n\n"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
#: Codes by which OpenAI's clients know an error.
_CODES = {"unauthorized": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}


def content_of(answered: Answered) -> str:
    """The answer as text, the answer itself on its last line."""
    lines = list(answered.evidence.text)
    said = set(lines)
    lines += [f"not verified: {doubt}" for doubt in answered.doubts if doubt not in said]
    return "\n".join([*lines, f"Answer: {answered.answer}"])


def completion(chat: Chat, answered: Answered) -> dict[str, Any]:
    """The answer as a ``chat.completion``."""
    message = {"role": "assistant", "content": content_of(answered), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        **_head(chat, "chat.completion"),
        "choices": [choice],
        "usage": usage_of(answered),
        "spatialcode": _whole(answered),
    }


def stream_of(chat: Chat, answered: Answered) -> Iterator[str]:
    """The answer as server-sent events: who speaks, its lines, its end, [DONE]."""
    yield _event(_chunk(chat, {"role": "assistant", "content": ""}))
    yield from _lines_of(chat, answered)


async def stream_when(
    chat: Chat, answer: Awaitable[Answered], keep_alive_s: float = 10.0
) -> AsyncIterator[str]:
    """The same for an answer that is still to come, with a comment every ``keep_alive_s``.

    What goes wrong ends the stream with an error, which OpenAI's client raises. If the client goes
    away, ``answer`` is cancelled.
    """
    task = asyncio.ensure_future(answer)
    try:
        yield _event(_chunk(chat, {"role": "assistant", "content": ""}))
        while not (await asyncio.wait({task}, timeout=keep_alive_s))[0]:
            yield _KEEP_ALIVE
        try:
            answered = task.result()
        except Exception as error:  # the one boundary of a stream: its status is long sent
            yield _event(error_body(as_problem(error)))
            return
        for event in _lines_of(chat, answered):
            yield event
    finally:
        task.cancel()


def usage_of(answered: Answered) -> dict[str, int]:
    """Tokens that a language model read and wrote, over all samples; the solver needs none."""
    read, written = answered.num_prompt_tokens, answered.num_tokens
    return {
        "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written,
    }  # fmt: skip


def model_list(reasoners: Sequence[str], created_s: int) -> dict[str, Any]:
    """The list of ``GET /v1/models``. ``created_s``: when the service started, Unix time."""
    return {"object": "list", "data": [_card(name, created_s) for name in reasoners]}


def model_card(model: str, reasoners: Sequence[str], created_s: int) -> dict[str, Any]:
    """One of them, by its id; ChatError (404) for one that is not here."""
    return _card(reasoner_of(model, reasoners), created_s)


def error_of(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """An error's body in OpenAI's shape; its type follows from the status."""
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    code = _CODES.get(code or "", code)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_body(problem: HTTPProblem) -> dict[str, Any]:
    """A problem in OpenAI's shape."""
    param = problem.extra.get("param")
    return error_of(problem.status_code, str(problem.detail), param=param, code=problem.code)


def error_response(error: Exception) -> JSONResponse:
    """Any exception as a response in OpenAI's shape, with the problem's headers."""
    problem = as_problem(error)
    headers = dict(problem.headers or {})
    return JSONResponse(error_body(problem), problem.status_code, headers)


def _lines_of(chat: Chat, answered: Answered) -> Iterator[str]:
    for line in content_of(answered).splitlines(keepends=True):
        yield _event(_chunk(chat, {"content": line}))
    yield _event(_chunk(chat, {}, "stop") | {"spatialcode": _whole(answered)})
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


def _whole(answered: Answered) -> dict[str, Any]:
    return AskAnswer.model_validate(answered).model_dump(mode="json")


def _card(reasoner: str, created_s: int) -> dict[str, Any]:
    return {
        "id": MODEL_PREFIX + reasoner, "object": "model", "created": created_s,
        "owned_by": "spatialcode",
    }  # fmt: skip
