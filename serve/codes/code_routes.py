"""The routes of spatial codes: a video in, how far it is, the code in any form, list, removal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import ValidationError

from serve.book.database import OPEN, CodeJob, JobStatus
from serve.codes.renditions import Rendition, render
from serve.http import problems
from serve.http.messages import (
    VIDEO_BODY,
    CodeFromUrl,
    CodeId,
    CodePage,
    CodeStatus,
    FormatName,
    JobError,
    StoredCode,
    StoredVideo,
)
from serve.http.problems import PROBLEMS
from serve.intake.admission import Admission, is_json
from serve.intake.uploads import receive
from serve.services import Deadline, Services
from spatialcode.export.formats import FORMATS
from spatialcode.scene.document import to_document
from spatialcode.scene.schema import SpatialCode

_HEAD_BYTES = 12
#: A page made of a stranger's video may run, and reach nothing of ours.
_RENDITION_POLICY = "sandbox allow-scripts; default-src 'unsafe-inline' data: blob:"


def status_of(job: CodeJob, keeps_video: bool = True) -> CodeStatus:
    """A job as clients see it."""
    base = f"/v1/codes/{job.id}"
    links = {"self": base}
    if keeps_video or job.status in OPEN:
        links["video"] = f"{base}/video"
    if job.status == JobStatus.DONE:
        links |= {name: f"{base}?format={name}" for name in FORMATS}
    error = None
    if job.status == JobStatus.FAILED:
        code = job.error_code or "internal"
        title = code.replace("_", " ").capitalize()
        error = JobError(code=code, title=title, detail=job.error or "")
    return CodeStatus(
        id=job.id, status=job.status.value, frames_decoded=job.frames_decoded,
        frames_encoded=job.frames_encoded, frames_total=job.frames_total,
        created_s=job.created_s, updated_s=job.updated_s, attempts=job.attempts, error=error,
        video=StoredVideo(
            name=job.name or None, sha256=job.video_sha256, num_bytes=job.num_bytes
        ),
        links=links,
    )  # fmt: skip


class Codes:
    """What the routes do."""

    def __init__(self, services: Services, admission: Admission) -> None:
        self._services, self._admission = services, admission

    def status(self, job: CodeJob) -> CodeStatus:
        return status_of(job, self._services.config.store.keep_videos)

    async def create(self, request: Request) -> Response:
        """A video, sent or named, to its job."""
        services = self._services
        owner = services.caller(request, services.config.rates.upload_cost)
        if is_json(request.headers.get("content-type", "")):
            wanted = _named(await request.body())
            deadline = Deadline.of(request, services.config.fetch.timeout_s)
            job, is_new = await self._admission.fetch(wanted.url, wanted.name, owner, deadline)
        else:
            limits, look_s = services.config.limits, services.config.video.probe_timeout_s
            # the upload, the wait for a child that is free, and its look
            deadline = Deadline.of(request, limits.upload_timeout_s + 2 * look_s)
            await self._admission.check_queue()
            with services.slots.hold(owner):
                upload = await receive(request, limits)
                job, is_new = await self._admission.admit(upload, None, owner, deadline)
        headers = {"Location": f"/v1/codes/{job.id}"}
        status = 202 if is_new or job.status in OPEN else 200
        return JSONResponse(self.status(job).model_dump(mode="json"), status, headers)

    def page(self, limit: int, after: str | None) -> CodePage:
        jobs, following = self._services.book.page(limit, after)
        return CodePage(items=[self.status(job) for job in jobs], next=following)

    def stored(self, code_id: str) -> StoredCode:
        """The status, with the code once it is done."""
        job = self._services.job(code_id)
        status = self.status(job).model_dump()
        code = self._services.codes.get(code_id) if job.status == JobStatus.DONE else None
        return StoredCode(**status, code=None if code is None else to_document(code))

    async def rendition(self, code_id: str, kind: str) -> Rendition:
        """The code in another form; those that take long are made once."""
        services = self._services
        code = await services.run(services.done_code, code_id)
        chosen = FORMATS[kind]
        if not chosen.is_kept and chosen.video == "unused":
            return await services.run(render, code, kind, None)
        async with services.renderings:  # one at a time: each takes a core for seconds
            return await services.run(self._rendered, code_id, code, kind)

    def _rendered(self, code_id: str, code: SpatialCode, kind: str) -> Rendition:
        store, is_kept = self._services.store, FORMATS[kind].is_kept
        data = store.get_rendition(code_id, kind) if is_kept else None
        if data is not None:
            return Rendition.of(kind, data)
        if store.video_size(code_id) is None:
            made = render(code, kind, None)
        else:
            with store.local_video(code_id) as path:
                made = render(code, kind, Path(path))
        if is_kept:
            store.put_rendition(code_id, kind, made.data)
        return made

    def delete(self, code_id: str) -> None:
        """The book first: from then on nobody finds or finishes it."""
        services = self._services
        if not services.book.delete(code_id):
            raise problems.not_found("a code with this id")
        services.codes.forget(code_id)
        services.store.delete(code_id)

    def video(self, code_id: str, range_header: str | None) -> Response:
        """The stored video, whole or the part that is asked for."""
        store = self._services.store
        self._services.job(code_id)
        size = store.video_size(code_id)
        if size is None:
            raise problems.not_found("this code's video")
        start, stop = _range_of(range_header, size)
        headers = {
            "Accept-Ranges": "bytes", "Content-Length": str(stop - start),
            "Cache-Control": "private, max-age=3600",
        }  # fmt: skip
        is_part = (start, stop) != (0, size)
        if is_part:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        head = b"".join(store.open_video(code_id, 0, _HEAD_BYTES))
        pieces: Iterator[bytes] = store.open_video(code_id, start, stop)
        return StreamingResponse(pieces, 206 if is_part else 200, headers, _media_type(head))


def _media_type(head: bytes) -> str:
    """What a browser needs to be told of a video, by its first bytes."""
    if head[4:8] == b"ftyp":
        return "video/quicktime" if head[8:10] == b"qt" else "video/mp4"
    return "video/webm" if head.startswith(b"\x1a\x45\xdf\xa3") else "application/octet-stream"


def _named(body: bytes) -> CodeFromUrl:
    try:
        return CodeFromUrl.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise problems.invalid(f"{where}: {first['msg']}") from None


def _range_of(header: str | None, size: int) -> tuple[int, int]:
    """First byte and the one after the last; several ranges or another unit give the whole."""
    unit, _, spec = (header or "").partition("=")
    first, dash, last = spec.strip().partition("-")
    numbers = [text for text in (first, last) if text]
    readable = all(text.isascii() and text.isdigit() and len(text) < 19 for text in numbers)
    if unit.strip().lower() != "bytes" or not dash or not numbers or not readable:
        return 0, size
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start = int(first)
        stop = min(size, int(last) + 1) if last else size
    if start >= stop:
        headers = {"Content-Range": f"bytes */{size}"}
        raise problems.HTTPProblem(416, "range", f"the video has {size} bytes", headers=headers)
    return start, stop


def code_router(services: Services, codes: Codes) -> APIRouter:
    """``/v1/codes``."""
    router = APIRouter(prefix="/v1/codes", tags=["codes"], responses=PROBLEMS)
    _add_all(router, services, codes)
    _add_each(router, services, codes)
    return router


def _add_all(router: APIRouter, services: Services, codes: Codes) -> None:
    """A new code, and all that there are."""

    @router.post("", status_code=202, response_model=CodeStatus, summary="Encode a video",
                 responses={200: {"model": CodeStatus, "description": "Known and done already"}},
                 openapi_extra=VIDEO_BODY)  # fmt: skip
    async def create(request: Request) -> Response:
        """The video as the body, as the part `video` of a form, or by its URL. The id is made of
        the video's bytes and the encoder: the same video is encoded once.
        """
        return await codes.create(request)

    @router.get("", response_model=CodePage, summary="List codes, newest first")
    async def listed(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        after: Annotated[str | None, Query(max_length=64)] = None,
    ) -> CodePage:
        """All that this service has, whoever sent them."""
        services.caller(request)
        return await services.run(codes.page, limit, after)


def _add_each(router: APIRouter, services: Services, codes: Codes) -> None:
    """One code by its id."""

    @router.get("/{code_id}", response_model=StoredCode, summary="A code, or how far it is",
                responses={200: {"content": {"application/octet-stream": {}}}})  # fmt: skip
    async def get(
        code_id: CodeId, request: Request,
        format: Annotated[FormatName | None, Query(description="the code as a file")] = None,  # noqa: A002 (the API's name)
    ) -> Any:  # fmt: skip
        """Status and progress, with the code once it is done. With `format`, the code as a file;
        409 while there is none.
        """
        services.caller(request)
        if format is None:
            return await services.run(codes.stored, code_id)
        made = await codes.rendition(code_id, format)
        headers = {"Content-Disposition": f'attachment; filename="{code_id[:12]}{made.suffix}"'}
        if made.media_type.startswith("text/html"):
            headers["Content-Security-Policy"] = _RENDITION_POLICY
        return Response(made.data, 200, headers, made.media_type)

    @router.get("/{code_id}/video", response_class=Response, summary="The video that was sent",
                responses={200: {"content": {"video/mp4": {}}},
                           206: {"description": "The bytes asked for"}})  # fmt: skip
    async def video(code_id: CodeId, request: Request) -> Response:
        """Whole, or one range of bytes."""
        services.caller(request)
        return await services.run(codes.video, code_id, request.headers.get("range"))

    @router.delete("/{code_id}", status_code=204, summary="Remove a code and its video")
    async def delete(code_id: CodeId, request: Request) -> None:
        """Also while it is being made."""
        services.caller(request)
        await services.run(codes.delete, code_id)
