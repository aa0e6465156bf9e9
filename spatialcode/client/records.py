"""What the service says, as frozen records read from its JSON.

Fields that this version does not know are passed over, so that a newer service can say more; a
field that is missing or of another kind is a ReplyError that names it.
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
    """How far a code is. ``id``: the work key, 64 hexadecimal digits.

    ``status``: "queued", "decoding", "encoding", "done" or "failed". ``created_s``, ``updated_s``:
    seconds since 1970. Counts are None until known. ``video``: what was sent, as the service words
    it: ``name``, ``sha256``, ``num_bytes``.
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
    """Some statuses, newest first; ``next``: where the following page begins, None at the end."""

    items: tuple[CodeProgress, ...]
    next: str | None


@dataclass(frozen=True)
class SeenObject:
    """An object that an answer rests on, and when the video shows it (seconds of the video)."""

    id: str
    label: str
    first_seen_s: float
    last_seen_s: float


@dataclass(frozen=True)
class AnswerEvidence:
    """``text``: the reasoning, one statement a line. ``quantities``: the same as data, in the
    service's words: ``kind``, ``text``, ``objects``, ``value``, ``unit``, ``recomputes``.
    """

    text: tuple[str, ...]
    objects: tuple[SeenObject, ...]
    quantities: tuple[Any, ...] = field(default=(), hash=False)


@dataclass(frozen=True)
class ServiceAnswer:
    """An answer and what it rests on.

    ``answer``: in words. ``value``: a number in ``unit`` or the chosen option's words, None where
    the reasoner gave none. ``option``: its letter. ``grounded``: everything that the question names
    was found in the code. ``confidence``: 0 to 1. ``verified``: all claims of the evidence
    recompute; None, as for ``confidence``, where the reasoner does not tell. ``doubts``: why it is
    not verified. ``program``: the one that was run, if any.
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
    """JSON, or ReplyError."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ReplyError(f"expected JSON, got {body[:80]!r}") from error


def read_status(document: object, path: str = "status") -> CodeProgress:
    """One status object of ``/v1/codes``."""
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
    """The answer of ``GET /v1/codes``."""
    fields = _Fields(document, "page")
    items = fields.get("items", list)
    return StatusPage(
        tuple(read_status(item, f"page.items[{n}]") for n, item in enumerate(items)),
        fields.get("next", str, optional=True),
    )


def read_answer(document: object) -> ServiceAnswer:
    """The answer of ``POST /v1/ask``."""
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
    """A JSON object whose fields are read by name and kind."""

    def __init__(self, document: object, path: str) -> None:
        if not isinstance(document, dict):
            raise ReplyError(f"{path}: expected an object, got {document!r:.80}")
        self._document, self._path = document, path

    def get(self, name: str, kind: type | tuple[type, ...], *, optional: bool = False) -> Any:
        found = self._document.get(name)
        if found is None and optional:
            return None
        kinds = kind if isinstance(kind, tuple) else (kind,)
        # True is an int to Python, and none to an API
        if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
            expected = " or ".join(known.__name__ for known in kinds)
            raise ReplyError(f"{self._path}.{name}: expected {expected}, got {found!r:.80}")
        return found

    def number(self, name: str) -> float:
        return float(self.get(name, (int, float)))
