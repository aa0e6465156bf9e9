"""OpenAI's chat completions over spatial codes, in one place: what is asked, what is answered."""

from serve.openai.chat_answers import (
    EVENT_STREAM,
    completion,
    content_of,
    error_body,
    error_of,
    error_response,
    model_card,
    models,
    stream_of,
    stream_when,
    usage_of,
)
from serve.openai.chat_request import (
    MODEL_PREFIX,
    Chat,
    ChatError,
    ChatRequest,
    CodeSource,
    read_chat,
    split_options,
)

__all__ = [
    "EVENT_STREAM",
    "MODEL_PREFIX",
    "Chat",
    "ChatError",
    "ChatRequest",
    "CodeSource",
    "completion",
    "content_of",
    "error_body",
    "error_of",
    "error_response",
    "model_card",
    "models",
    "read_chat",
    "split_options",
    "stream_of",
    "stream_when",
    "usage_of",
]
