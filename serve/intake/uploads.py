"""A request whose body is a video: the body itself, or the ``video`` part of a form.

The body is streamed to disk; the other fields of a form are short. A JSON body (a URL to fetch) is
not read here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from serve.config import LimitConfig
from serve.http import problems
from serve.intake.spool import Spool, StoredUpload

VIDEO_PART, NAME_PART = "video", "name"
MAX_FIELD_BYTES = 1024
MAX_FORM_BYTES = 64 * 1024  # boundaries, headers and fields around the video


async def receive(request: Request, limits: LimitConfig, name: str = "") -> StoredUpload:
    """The video of a request, on disk. ``name``: what to call it if the form does not say.

    Problems: 400 for a form that is damaged or ends early, 408 for a sender that is too slow, 413
    beyond ``max_upload_bytes``, 415 for another type of body, 422 for an empty one or a form with
    other parts, 507 for a full disk. Then, and if the sender disconnects, nothing stays on disk.
    The connection is closed with such an answer: otherwise the server would go on to read and drop
    what is still being sent, without end if the sender never stops.
    """
    try:
        return await _receive(request, limits, name)
    except problems.HTTPProblem as problem:
        problem.headers = dict(problem.headers or {}) | {"Connection": "close"}
        raise


async def _receive(request: Request, limits: LimitConfig, name: str) -> StoredUpload:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise problems.unsupported("a compressed body is not accepted; send the video as it is")
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    is_form = kind == b"multipart/form-data"
    if not (is_form or kind.startswith(b"video/") or kind == b"application/octet-stream"):
        raise problems.unsupported(
            "expected Content-Type video/*, application/octet-stream or multipart/form-data "
            "(or application/json with a url)"
        )
    try:
        async with asyncio.timeout(limits.upload_idle_s) as clock:
            async with Spool(limits) as spool:
                spool.check_declared(_declared(request, MAX_FORM_BYTES if is_form else 0))
                pieces = _pieces(request, limits, clock)
                if is_form:
                    name = await _receive_form(pieces, spool, options.get(b"boundary")) or name
                else:
                    async for piece in pieces:
                        await spool.write(piece)
                return await spool.finish(name)
    except TimeoutError:
        raise problems.HTTPProblem(408, "upload_timeout", "the video was sent too slowly") from None


def _declared(request: Request, overhead_bytes: int) -> int | None:
    """The least number of video bytes that the request declares; None if it declares none."""
    text = request.headers.get("content-length", "")
    return max(0, int(text) - overhead_bytes) if text.isascii() and text.isdigit() else None


async def _pieces(
    request: Request, limits: LimitConfig, clock: asyncio.Timeout
) -> AsyncIterator[bytes]:
    """The body in pieces as they are received, at most as many bytes as a form may have.

    With each piece, ``clock`` is set to the time by which the next one must be received.
    """
    now_s = asyncio.get_running_loop().time
    end_s = now_s() + limits.upload_timeout_s
    num_bytes = 0
    async for piece in request.stream():
        clock.reschedule(min(end_s, now_s() + limits.upload_idle_s))
        num_bytes += len(piece)
        if num_bytes > limits.max_upload_bytes + MAX_FORM_BYTES:
            raise problems.too_large("a video", limits.max_upload_bytes)
        yield piece


async def _receive_form(pieces: AsyncIterator[bytes], spool: Spool, boundary: bytes | None) -> str:
    """Write the ``video`` part to ``spool``; returns the form's name, or an empty one."""
    if not boundary:
        raise problems.HTTPProblem(400, "bad_form", "multipart/form-data without a boundary")
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for piece in pieces:
            parser.write(piece)
            for data in form.taken():
                await spool.write(data)
    except FormParserError:
        raise problems.HTTPProblem(400, "bad_form", "the form is damaged") from None
    if not form.is_complete:
        raise problems.HTTPProblem(400, "bad_form", "the form ends before its last boundary")
    if form.num_videos != 1:
        raise problems.invalid(f"expected one part {VIDEO_PART!r}, got {form.num_videos}")
    return form.name or form.filename


class _Form:
    """Collects a form's parts by the parser's callbacks; the video's bytes wait to be taken."""

    def __init__(self) -> None:
        self.filename = ""
        self.num_videos = 0
        self.is_complete = False
        self._field = ""
        self._name = bytearray()
        self._header, self._value, self._disposition = bytearray(), bytearray(), b""
        self._waiting: list[bytes] = []

    @property
    def name(self) -> str:
        return self._name.decode("utf-8", "replace")

    def callbacks(self) -> Any:
        """The callbacks for the parser, by name."""
        names = ("part_begin", "part_data", "header_field", "header_value", "header_end",
                 "headers_finished", "end")  # fmt: skip
        return {f"on_{name}": getattr(self, f"_{name}") for name in names}

    def taken(self) -> list[bytes]:
        """The video's bytes since the last call."""
        taken, self._waiting = self._waiting, []
        return taken

    def _part_begin(self) -> None:
        self._field, self._disposition = "", b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        if self._field == VIDEO_PART:
            self.num_videos += 1
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace")
        elif self._field != NAME_PART:
            known = f"{VIDEO_PART!r} and {NAME_PART!r}"
            raise problems.invalid(f"the form may have parts {known}, got {self._field[:40]!r}")
        if self.num_videos > 1:
            raise problems.invalid(f"expected one part {VIDEO_PART!r}, got several")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == VIDEO_PART:
            self._waiting.append(data[start:end])
        else:
            self._name += data[start:end]
            if len(self._name) > MAX_FIELD_BYTES:
                raise problems.too_large(f"the part {NAME_PART!r}", MAX_FIELD_BYTES)

    def _end(self) -> None:
        self.is_complete = True
