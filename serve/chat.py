"""OpenAI's chat completions over spatial codes: what is asked and of which code, and the answer as
one body or as a stream.

The question is the text of the last user message; lines "A. …", "B. …" at its end are its options.
The code is ``code_id`` or ``code`` in the body, else the last ``video_url`` part of the
conversation: ``code:<id>``, or the URL of a video. Earlier turns are not read otherwise: a question
stands for itself. Settings of sampling (temperature, top_p, …) are accepted and not used, since the
service's model has its own.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve.asking import REASONERS, Answered, Asked
from serve.messages import MAX_OPTIONS, MAX_SAMPLES, MAX_URL_CHARS, AskAnswer

MODEL_PREFIX = "spatialcode-"
MAX_MESSAGES = 256

_ID = re.compile(r"[0-9a-f]{64}")
_OPTION = re.compile(r"\s*\(?([A-Z])[.):]\s*(\S.*)")
#: A line above options that says nothing else.
_HEADING = re.compile(r"\s*(?:options|choices)\s*:?\s*", re.IGNORECASE)


class ChatError(Exception):
    """A request that cannot be answered, in OpenAI's words; ``status`` is HTTP's."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None,
                 status: int = 400) -> None:  # fmt: skip
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


class VideoUrl(BaseModel):
    """Where a video, or its code, is."""

    url: str = Field(min_length=1, max_length=MAX_URL_CHARS, examples=["code:" + "4f1c" * 16])


class ContentPart(BaseModel):
    """A part of a message: a text, or a video."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["text"])
    text: str | None = None
    video_url: VideoUrl | None = None


class ChatMessage(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None


class StreamOptions(BaseModel):
    """What a stream says besides the answer."""

    model_config = ConfigDict(extra="allow")

    include_usage: bool | None = False


_EXAMPLE = {
    "model": "spatialcode-solver",
    "messages": [{"role": "user", "content": "How many chairs are in this room?"}],
    "code_id": "4f1c" * 16,
}


class ChatRequest(BaseModel):
    """A chat completion that is asked for; fields of OpenAI's that are not named are not used."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_EXAMPLE]})

    model: str = Field(max_length=200)
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(1, description="only 1: samples are chosen among, see `num_samples`")
    code_id: str | None = Field(None, description="ours: a stored code's id")
    code: dict[str, Any] | None = Field(None, description="ours: a spatial code, sent along")
    num_samples: int = Field(
        1, ge=1, le=MAX_SAMPLES, description="ours: answers drawn from a language model"
    )


@dataclass(frozen=True)
class CodeSource:
    """Which code is meant; exactly one is given: an id, a document, or a video's URL."""

    code_id: str | None = None
    document: dict[str, Any] | None = field(default=None, repr=False)
    url: str | None = None


@dataclass(frozen=True)
class Chat:
    """A request as it was understood. ``id``, ``created_s``: of the answer, for all its chunks."""

    asked: Asked
    source: CodeSource
    model: str
    stream: bool
    include_usage: bool
    id: str
    created_s: int


def read_chat(request: ChatRequest, reasoners: Sequence[str] = REASONERS) -> Chat:
    """What a request asks. ``reasoners``: those that this service has.

    ChatError for an unknown model, no question, no code, or more than one code.
    """
    raise NotImplementedError


def completion(chat: Chat, answered: Answered) -> dict[str, Any]:
    """The answer as a ``chat.completion``: evidence a line, then "Answer: …"; and the whole of
    it, as ``/v1/ask`` gives it, under ``spatialcode``.
    """
    raise NotImplementedError


def stream_of(chat: Chat, answered: Answered) -> Iterator[str]:
    """The answer as server-sent events: a chunk a line, the last with ``spatialcode``, [DONE]."""
    raise NotImplementedError


def models(reasoners: Sequence[str], created_s: int) -> dict[str, Any]:
    """The list of ``GET /v1/models``."""
    raise NotImplementedError


def model_card(name: str, reasoners: Sequence[str], created_s: int) -> dict[str, Any]:
    """One of them; ChatError (404) for another name."""
    raise NotImplementedError


def error_of(status: int, message: str, *, param: str | None = None, code: str | None = None
             ) -> dict[str, Any]:  # fmt: skip
    """An error's body in OpenAI's shape; its ``type`` follows from the status."""
    raise NotImplementedError
