"""Parts of the OpenAPI description that several routes share."""

from __future__ import annotations

from typing import Any

from serve.http.messages import ProblemDocument
from serve.http.problems import MEDIA_TYPE

_MEANINGS = {
    400: "The request cannot be read",
    401: "Missing or unknown API key",
    403: "Not from there",
    404: "Not here",
    408: "Sent too slowly",
    409: "Not in this state",
    411: "A length is needed",
    413: "Too large",
    415: "Not a kind of content that is taken",
    422: "Understood and refused",
    429: "Too many requests, or the queue is full: see Retry-After",
    500: "Something went wrong here",
    501: "Not installed in this service",
    502: "Whom we asked gave no answer",
    503: "Not ready, or ended while asked: see Retry-After",
    504: "The time for the request is over",
    507: "No room for another video",
}


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for ``responses=``."""
    schema = ProblemDocument.model_json_schema()
    return {
        status: {
            "description": _MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


PROBLEMS = described(*sorted(_MEANINGS))

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
#: The same refusals where OpenAI's clients ask.
OPENAI_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": {"application/json": {"schema": _OPENAI_ERROR}}}
    for status, meaning in _MEANINGS.items()
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

#: What ``POST /v1/codes`` takes.
VIDEO_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["video"],
                    "properties": {
                        "video": {"type": "string", "format": "binary"},
                        "name": {"type": "string", "maxLength": 200},
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "video/mp4": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["url"],
                    "properties": {
                        "url": {"type": "string", "minLength": 1, "maxLength": 2048},
                        "name": {"type": ["string", "null"], "maxLength": 200},
                    },
                },
                "example": {"url": "https://example.org/bedroom.mp4", "name": "bedroom"},
            },
        },
    }
}
