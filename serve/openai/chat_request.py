"""OpenAI's chat completions over spatial codes: what a request asks, and about which code.

The question is the text of the last user message; lines "A. …", "B. …" in it are its options. The
code is ``code_id`` or ``code`` in the body, else the last ``video_url`` part of the conversation:
``code:<id>``, or a video's URL. Nothing else of earlier messages is read, as each question is
answered on its own. Sampling parameters (temperature, top_p, …) are accepted but ignored, since the
service's model has its own; parameters that would change the form of the answer (tools,
response_format, …) are refused. Whether an id exists or a URL may be fetched is not known here.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve.ask.asking import REASONERS, Asked
from serve.config import SHA256_HEX
from serve.http.messages import MAX_OPTIONS, MAX_SAMPLES, MAX_URL_CHARS
from serve.http.problems import HTTPProblem

#: A model's name is this prefix and the name of the reasoner.
MODEL_PREFIX = "spatialcode-"
MAX_MESSAGES = 256
#: Fields that would change the form of the answer, with the values that do not.
_FORMS: dict[str, tuple[Any, ...]] = {
    "tools": ([],), "functions": ([],), "logprobs": (False,), "audio": (),
    "modalities": (["text"],), "response_format": ({"type": "text"},),
}  # fmt: skip

_CODE_URL = re.compile(r"code:([0-9a-f]{64})")
_URL = re.compile(r"[a-z][a-z0-9+.-]{0,20}://\S+", re.IGNORECASE)
_OPTION = re.compile(r"\s*\(?([A-Z])[.):]\s*(\S.*)")
#: A line that only announces options.
_HEADING = re.compile(r"\s*(?:options|choices)\s*:?\s*", re.IGNORECASE)


class ChatError(HTTPProblem):
    """A request that cannot be answered; ``param``: the field that is wrong."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str = "invalid_request",
        status: int = 400,
    ) -> None:  # fmt: skip
        super().__init__(status, code, message, extra={"param": param})


class _OpenAI(BaseModel):
    """OpenAI's own types have many fields; fields that are not named here are accepted."""

    model_config = ConfigDict(extra="allow")


class VideoUrl(_OpenAI):
    """The address of a video or of its code."""

    url: str = Field(min_length=1, max_length=MAX_URL_CHARS, examples=["code:" + "4f1c" * 16])


class ContentPart(_OpenAI):
    """A part of a message: a text, or a video."""

    type: str = Field(examples=["text"])
    text: str | None = None
    video_url: VideoUrl | None = None


class ChatMessage(_OpenAI):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None


class StreamOptions(_OpenAI):
    """What a stream contains besides the answer."""

    include_usage: bool | None = False


_EXAMPLE: dict[str, Any] = {
    "model": "spatialcode-solver",
    "messages": [{"role": "user", "content": "How many chairs are in this room?"}],
    "code_id": "4f1c" * 16,
}


class ChatRequest(_OpenAI):
    """A chat completion that is asked for; ``code_id``, ``code``, ``num_samples`` are our own."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_EXAMPLE]})

    model: str = Field(max_length=200)
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(1, description="only 1; for choosing among samples see `num_samples`")
    code_id: str | None = Field(None, description="a stored code's id")
    code: dict[str, Any] | None = Field(None, description="a spatial code")
    num_samples: int = Field(
        1, ge=1, le=MAX_SAMPLES, description="samples drawn from a language model, to choose from"
    )


@dataclass(frozen=True)
class CodeSource:
    """Which code is meant: exactly one of an id, a document, and a video's URL."""

    code_id: str | None = None
    document: dict[str, Any] | None = field(default=None, repr=False)
    url: str | None = None


@dataclass(frozen=True)
class Chat:
    """A request that was read. ``id``, ``created_s``: of the answer and of all its chunks."""

    asked: Asked
    source: CodeSource
    model: str
    stream: bool
    include_usage: bool
    id: str
    created_s: int


def read_chat(request: ChatRequest, reasoners: Sequence[str] = REASONERS) -> Chat:
    """What a request asks. ``reasoners``: those that this service has.

    ChatError (400, or 404 for an unknown model) if it wants an answer in another form, or has no
    question or no code.
    """
    reasoner = reasoner_of(request.model, reasoners)
    _refuse_other_forms(request)
    question, options = question_of(request.messages)
    options_given = request.stream_options
    return Chat(
        asked=Asked(question, options, reasoner, request.num_samples),
        source=_source(request),
        model=request.model,
        stream=bool(request.stream),
        include_usage=bool(options_given and options_given.include_usage),
        id=f"chatcmpl-{uuid.uuid4().hex}",
        created_s=int(time.time()),
    )


def reasoner_of(model: str, reasoners: Sequence[str]) -> str:
    """The reasoner that a model's name stands for; ChatError (404) if the service has none."""
    name = model.removeprefix(MODEL_PREFIX)
    if not model.startswith(MODEL_PREFIX) or name not in reasoners:
        have = ", ".join(MODEL_PREFIX + one for one in reasoners)
        message = f"model: expected one of {have}, got {model!r}"
        raise ChatError(message, param="model", code="model_not_found", status=404)
    return name


def question_of(messages: Sequence[ChatMessage]) -> tuple[str, tuple[str, ...]]:
    """The question and options in the last user message; ChatError if it has no text."""
    last = next((one for one in reversed(messages) if one.role == "user"), None)
    if last is None:
        raise ChatError("messages: expected one with role user, got none", param="messages")
    text = last.content or ""
    if not isinstance(text, str):
        text = "\n".join(part.text or "" for part in text if part.type == "text")
    question, options = split_options(text)
    if not question:
        raise ChatError(
            "messages: expected a question in the last user message, got no text", param="messages"
        )
    return question, options


def split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without its options, and the options: at least two lines, lettered from A on."""
    lines = text.splitlines()
    for start in range(len(lines)):
        end, options = _options_from(lines, start)
        if len(options) > 1:
            rest = [*lines[:start], *lines[end:]]
            kept = [line for line in rest if not _HEADING.fullmatch(line)]
            return "\n".join(kept).strip(), tuple(options)
    return text.strip(), ()


def _options_from(lines: Sequence[str], start: int) -> tuple[int, list[str]]:
    """The line after the last option, and the options from ``start`` on; skips blank lines."""
    options: list[str] = []
    end = start
    for n in range(start, len(lines)):
        found = _OPTION.fullmatch(lines[n])
        if found and len(options) < MAX_OPTIONS and ord(found[1]) == ord("A") + len(options):
            options.append(f"{found[1]}. {found[2].strip()}")
            end = n + 1
        elif not options or lines[n].strip():
            break
    return end, options


def _refuse_other_forms(request: ChatRequest) -> None:
    if request.n not in (None, 1):
        raise ChatError(f"n: expected 1, got {request.n}", param="n")
    for name, harmless in _FORMS.items():
        value = (request.model_extra or {}).get(name)
        if value is not None and value not in harmless:
            raise ChatError(
                f"{name}: not supported, as it would change the answer's form", param=name
            )
    parts = [part for one in request.messages if one.role == "user" for part in _parts(one)]
    other = next((part.type for part in parts if part.type not in ("text", "video_url")), None)
    if other is not None:
        raise ChatError(
            f"messages: expected parts text or video_url, got {other!r}", param="messages"
        )


def _parts(message: ChatMessage) -> list[ContentPart]:
    return message.content if isinstance(message.content, list) else []


def _source(request: ChatRequest) -> CodeSource:
    """Fields of the body take precedence; among parts of the conversation, the last one counts."""
    if request.code_id is not None and request.code is not None:
        raise ChatError("code_id: expected it or code, got both", param="code_id")
    if request.code is not None:
        return CodeSource(document=request.code)
    if request.code_id is not None:
        if not SHA256_HEX.fullmatch(request.code_id):
            raise ChatError("code_id: expected 64 lower-case hex digits", param="code_id")
        return CodeSource(code_id=request.code_id)
    users = [one for one in reversed(request.messages) if one.role == "user"]
    parts = [part for one in users for part in reversed(_parts(one)) if part.type == "video_url"]
    if not parts:
        raise ChatError(
            "code_id: expected it in the body, or a video_url part, got neither", param="code_id"
        )
    url = parts[0].video_url.url if parts[0].video_url else ""
    found = _CODE_URL.fullmatch(url)
    if found:
        return CodeSource(code_id=found[1])
    if not _URL.fullmatch(url):
        raise ChatError("video_url: expected code:ID or the URL of a video", param="messages")
    return CodeSource(url=url)
