"""A service that the page's tests steer: the real page, and an API that does as it is told."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import plotly
import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from serve.ask.asking import Asked, answer
from serve.http.edge import PAGE_POLICY
from serve.http.messages import AskAnswer, AskRequest, CodeStatus, StoredVideo
from serve.ingress import VIEWER
from spatialcode.export.formats import FORMATS
from spatialcode.scene.document import to_document
from spatialcode.scene.text import from_json

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "serve" / "page"
ASSETS = ROOT / "spatialcode" / "assets"
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
VIDEO = ASSETS / "sample_room.mp4"
CODE = from_json((ASSETS / "sample_room.json").read_text(encoding="utf-8"))
FIRST_ID, NEW_ID = "a1" * 32, "b2" * 32


class Service:
    """The state that tests set, and what the page has asked for.

    ``key``: calls without it get 401. ``refusals``: problem documents, by method and path, that are
    answered instead, once each. ``has_video``: whether videos are kept.
    """

    def __init__(self) -> None:
        self.jobs = {FIRST_ID: status(FIRST_ID, "done", name="bedroom.mp4")}
        self.code: dict[str, Any] = to_document(CODE)
        self.key: str | None = None
        self.refusals: dict[tuple[str, str], list[tuple[int, dict[str, str]]]] = {}
        self.uploads: list[bytes] = []
        self.asked: list[AskRequest] = []
        self.calls: list[tuple[str, str]] = []
        self.has_video = True

    def refuse(self, method: str, path: str, http_status: int, title: str, detail: str) -> None:
        """Answer the next such call with this problem."""
        document = {"type": "about:blank", "title": title, "detail": detail, "code": "planted"}
        self.refusals.setdefault((method, path), []).append((http_status, document))

    def stage(self, name: str, **changes: Any) -> None:
        """Where the job of an upload is from now on."""
        self.jobs[NEW_ID] = status(NEW_ID, name, name="sample_room.mp4", **changes)


def status(code_id: str, stage: str, *, name: str, **changes: Any) -> CodeStatus:
    """A job's status, in the service's own words."""
    video = StoredVideo(name=name, sha256="c" * 64, num_bytes=785_636)
    links = {name: f"/v1/codes/{code_id}?format={name}" for name in ("self", "video", *FORMATS)}
    base = CodeStatus(
        id=code_id, status=stage, created_s=1767225600.0, updated_s=1767225600.0, video=video,
        links=links,
    )  # fmt: skip
    return base.model_copy(update=changes)


def build(service: Service) -> FastAPI:
    """The application of a service under test."""
    app = FastAPI()

    @app.middleware("http")
    async def edge(request: Request, call_next: Any) -> Response:
        path = request.url.path
        service.calls.append((request.method, path))
        if path.startswith("/v1/"):
            given = request.headers.get("authorization")
            if service.key is not None and given != f"Bearer {service.key}":
                return problem(401, {"title": "Unauthorized", "detail": "an API key is needed"})
            if planted := service.refusals.get((request.method, path)):
                return problem(*planted.pop(0))
        response = await call_next(request)
        if response.headers.get("content-type", "").startswith("text/html"):
            response.headers["Content-Security-Policy"] = PAGE_POLICY
        return response

    _add_codes(app, service)
    _add_questions(app, service)

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/page/plotly.min.js")
    async def plotly_script() -> FileResponse:
        return FileResponse(PLOTLY)

    app.mount("/page/viewer", StaticFiles(directory=VIEWER))
    app.mount("/page", StaticFiles(directory=PAGE))
    return app


def problem(http_status: int, document: dict[str, str]) -> JSONResponse:
    headers = {"Retry-After": "1"} if http_status in {429, 503} else None
    full = document | {"status": http_status}
    return JSONResponse(full, http_status, headers, media_type="application/problem+json")


def _add_codes(app: FastAPI, service: Service) -> None:
    @app.post("/v1/codes")
    async def create(request: Request) -> JSONResponse:
        service.uploads.append(await request.body())
        if NEW_ID not in service.jobs:
            service.stage("queued")
        return JSONResponse(service.jobs[NEW_ID].model_dump(mode="json"), 202)

    @app.get("/v1/codes")
    async def listed(limit: int = 50, after: str | None = None) -> dict[str, Any]:
        newest_first = list(service.jobs.values())[::-1]
        return {"items": [job.model_dump(mode="json") for job in newest_first], "next": None}

    @app.get("/v1/codes/{code_id}")
    async def one(
        code_id: str, kind: Annotated[str | None, Query(alias="format")] = None
    ) -> Response:
        job = service.jobs.get(code_id)
        if job is None:
            return problem(404, {"title": "Not found", "detail": "no code has this id"})
        if kind is not None:
            return Response(f"as {kind}", media_type="text/plain")
        code = service.code if job.status == "done" else None
        return JSONResponse(job.model_dump(mode="json") | {"code": code})

    @app.get("/v1/codes/{code_id}/video")
    async def video(code_id: str) -> Response:
        if not service.has_video:
            return problem(404, {"title": "Not found", "detail": "the video is not kept"})
        return FileResponse(VIDEO)

    @app.delete("/v1/codes/{code_id}")
    async def remove(code_id: str) -> Response:
        del service.jobs[code_id]
        return Response(status_code=204)


def _add_questions(app: FastAPI, service: Service) -> None:
    @app.post("/v1/ask")
    def ask(body: AskRequest) -> dict[str, Any]:
        service.asked.append(body)
        asked = Asked(body.question, tuple(body.options), "solver", 1)
        return AskAnswer.model_validate(answer(asked, CODE)).model_dump(mode="json")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": "spatialcode-solver", "object": "model"}]}


@contextlib.contextmanager
def running(service: Service) -> Iterator[str]:
    """The address of a running service."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build(service), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)  # uvicorn has no event for it
    assert server.started
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listener.close()
