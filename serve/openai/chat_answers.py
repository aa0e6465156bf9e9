"""Answers in the form of OpenAI's chat completions: one body, a stream, the models, errors.

The text is the evidence, one statement per line, then the reasons if it is not verified, then
"Answer: …". The field ``spatialcode`` holds the whole answer as ``/v1/ask`` gives it. The whole
answer is known before its first line is sent, so a stream does not show tokens as they are drawn.
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
#: A comment that keeps a stream open; clients skip it.
_KEEP_ALIVE = ": still reasoning\n\n"
_DONE = "data: [DONE]\n\n"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
#: The codes of OpenAI's errors, by our own.
_CODES = {"unauthorized": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}


def content_of(answered: Answered) -> str:
    """The evidence as text, with the answer on the last line."""
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
    """The answer as server-sent events: the role, one event per line, the end, [DONE]."""
    yield _event(_chunk(chat, {"role": "assistant", "content": ""}))
    yield from _lines_of(chat, answered)


async def stream_when(
    chat: Chat, answer: Awaitable[Answered], keep_alive_s: float = 10.0
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


def usage_of(answered: Answered) -> dict[str, int]:
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


def error_of(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The body of an error in OpenAI's format; its type follows from the status."""
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    code = _CODES.get(code or "", code)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_body(problem: HTTPProblem) -> dict[str, Any]:
    """A problem in OpenAI's format."""
    param = problem.extra.get("param")
    return error_of(problem.status_code, str(problem.detail), param=param, code=problem.code)


def error_response(error: Exception) -> JSONResponse:
    """Any exception as a response in OpenAI's format, with the headers of its problem."""
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
