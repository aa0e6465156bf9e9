"""The service's responses as frozen records, read from its JSON.

Unknown fields are ignored, so that a newer service may send more. For a field that is missing or of
the wrong type, a ReplyError names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spatialcode.client.errors import ReplyError


@dataclass(frozen=True)
class Failure:
    """Why a video has no code. ``code``: the cause, as ``spatialcode.errors`` names it."""

    code: str
    title: str
    detail: str


@dataclass(frozen=True)
class CodeProgress:
    """The state of a code. ``id``: its work key, 64 hexadecimal digits.

    ``status``: "queued", "decoding", "encoding", "done" or "failed". ``created_s``, ``updated_s``:
    seconds since 1970. Counts are None until they are known. ``video``: the fields of what was
    sent, ``name``, ``sha256``, ``num_bytes``.
    """

    id: str
    status: str
    created_s: float
    updated_s: float | None = None
    frames_decoded: int | None = None
    frames_encoded: int | None = None
    frames_total: int | None = None
    attempts: int | None = None
    error: Failure | None = None
    video: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def is_done(self) -> bool:
        return self.status == "done"

    @property
    def is_failed(self) -> bool:
        return self.status == "failed"


@dataclass(frozen=True)
class StatusPage:
    """A page of statuses, newest first; ``next``: ``after`` of the next page, None on the last."""

    items: tuple[CodeProgress, ...]
    next: str | None


@dataclass(frozen=True)
class SeenObject:
    """An object that an answer is based on, and when the video shows it, in seconds."""

    id: str
    label: str
    first_seen_s: float
    last_seen_s: float


@dataclass(frozen=True)
class AnswerEvidence:
    """What an answer is based on. ``text``: the reasoning, one statement per line. ``quantities``:
    the same as data, with the fields ``kind``, ``text``, ``objects``, ``value``, ``unit`` and
    ``recomputes``.
    """

    text: tuple[str, ...]
    objects: tuple[SeenObject, ...]
    quantities: tuple[Any, ...] = field(default=(), hash=False)


@dataclass(frozen=True)
class ServiceAnswer:
    """An answer and its evidence.

    ``answer``: in words. ``value``: a number in ``unit`` or the text of the chosen option, None if
    the reasoner gave none. ``option``: its letter. ``grounded``: everything that the question names
    was found in the code. ``confidence``: 0 to 1, or None. ``verified``: the code confirms all
    claims of the evidence; None if this is not known. ``doubts``: why it is not verified.
    ``program``: the one that was run, if any.
    """

    answer: str
    value: float | str | None
    option: str | None
    unit: str
    grounded: bool
    confidence: float | None
    verified: bool | None
    reasoner: str
    evidence: AnswerEvidence
    doubts: tuple[str, ...] = ()
    program: str | None = None


def parse_body(body: bytes) -> Any:
    """A body as JSON; ReplyError if it is not."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ReplyError(f"expected JSON, got {body[:80]!r}") from error


def read_status(document: object, path: str = "status") -> CodeProgress:
    """A status object of ``/v1/codes``."""
    fields = _Fields(document, path)
    error = fields.get("error", dict, optional=True)
    return CodeProgress(
        id=fields.get("id", str),
        status=fields.get("status", str),
        created_s=fields.number("created_s"),
        updated_s=fields.get("updated_s", (int, float), optional=True),
        frames_decoded=fields.get("frames_decoded", int, optional=True),
        frames_encoded=fields.get("frames_encoded", int, optional=True),
        frames_total=fields.get("frames_total", int, optional=True),
        attempts=fields.get("attempts", int, optional=True),
        error=None if error is None else _read_failure(error, f"{path}.error"),
        video=fields.get("video", dict, optional=True),
    )


def read_page(document: object) -> StatusPage:
    """The response of ``GET /v1/codes``."""
    fields = _Fields(document, "page")
    items = fields.get("items", list)
    return StatusPage(
        tuple(read_status(item, f"page.items[{n}]") for n, item in enumerate(items)),
        fields.get("next", str, optional=True),
    )


def read_answer(document: object) -> ServiceAnswer:
    """The response of ``POST /v1/ask``."""
    fields = _Fields(document, "answer")
    return ServiceAnswer(
        answer=fields.get("answer", str),
        value=fields.get("value", (int, float, str), optional=True),
        option=fields.get("option", str, optional=True),
        unit=fields.get("unit", str, optional=True) or "",
        grounded=fields.get("grounded", bool),
        confidence=fields.get("confidence", (int, float), optional=True),
        verified=fields.get("verified", bool, optional=True),
        reasoner=fields.get("reasoner", str),
        evidence=_read_evidence(fields.get("evidence", dict)),
        doubts=tuple(str(doubt) for doubt in fields.get("doubts", list, optional=True) or ()),
        program=fields.get("program", str, optional=True),
    )


def _read_failure(document: object, path: str) -> Failure:
    fields = _Fields(document, path)
    detail = fields.get("detail", str, optional=True) or ""
    return Failure(fields.get("code", str), fields.get("title", str), detail)


def _read_evidence(document: object) -> AnswerEvidence:
    fields = _Fields(document, "answer.evidence")
    objects = []
    for n, item in enumerate(fields.get("objects", list)):
        seen = _Fields(item, f"answer.evidence.objects[{n}]")
        times_s = seen.number("first_seen_s"), seen.number("last_seen_s")
        objects.append(SeenObject(seen.get("id", str), seen.get("label", str), *times_s))
    return AnswerEvidence(
        text=tuple(str(line) for line in fields.get("text", list)),
        objects=tuple(objects),
        quantities=tuple(fields.get("quantities", list, optional=True) or ()),
    )


class _Fields:
    """A JSON object whose fields are read by name and type."""

    def __init__(self, document: object, path: str) -> None:
        if not isinstance(document, dict):
            raise ReplyError(f"{path}: expected an object, got {document!r:.80}")
        self._document, self._path = document, path

    def get(self, name: str, kind: type | tuple[type, ...], *, optional: bool = False) -> Any:
        found = self._document.get(name)
        if found is None and optional:
            return None
        kinds = kind if isinstance(kind, tuple) else (kind,)
        # to Python, True is an int; in the API it is not
        if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
            expected = " or ".join(known.__name__ for known in kinds)
            raise ReplyError(f"{self._path}.{name}: expected {expected}, got {found!r:.80}")
        return found

    def number(self, name: str) -> float:
        return float(self.get(name, (int, float)))
