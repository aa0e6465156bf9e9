"""The HTTP application: all routes over the services, as one FastAPI app.

It runs in the same way in a Ray Serve replica, under plain uvicorn and in tests. A client cannot
tell which replica answers: everything that lasts is in the job book and the file store.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

import plotly
from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from serve.ask.routes import Answering, ask_router
from serve.codes.code_routes import Codes, code_router
from serve.http import problems
from serve.http.edge import Edge
from serve.http.problems import PROBLEMS
from serve.intake.admission import Acceptance, Admission, is_json
from serve.intake.fetching import Fetcher
from serve.intake.spool import spool_folder, sweep
from serve.openai.routes import chat_router
from serve.services import Services
from spatialcode.version import __version__

PAGE = Path(__file__).parent / "page"
#: The modules that the page shares with the exported page.
VIEWER = Path(str(resources.files("spatialcode"))) / "assets" / "viewer"
_PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
#: No upload takes longer than this, so an older spooled file was left by a killed process.
_ORPHANED_S = 3600.0
_ABOUT = """Video in, spatial code and answers out.

Send a video to `POST /v1/codes`, poll `GET /v1/codes/{id}` until it is done, then ask with
`POST /v1/ask` or any OpenAI client. Errors are RFC 9457 problem documents; a
request may be tried again where the answer carries `Retry-After`.
"""


def build_ingress(services: Services) -> FastAPI:
    """The application. At its start it deletes uploads that killed processes have left on the disk;
    at its end it ends the child processes that probe videos.
    """
    config = services.config
    acceptance = Acceptance(config)
    admission = Admission(services, acceptance, Fetcher(config))
    answering = Answering(services)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.run(sweep, spool_folder(config.limits), _ORPHANED_S)
        try:
            yield
        finally:
            acceptance.close()

    app = FastAPI(
        title="spatialcode", version=__version__, description=_ABOUT, lifespan=lifespan,
        docs_url=None, redoc_url=None,  # their pages fetch scripts from elsewhere
    )  # fmt: skip
    problems.install(app)
    app.include_router(code_router(services, Codes(services, admission)))
    app.include_router(ask_router(services, answering))
    app.include_router(chat_router(services, answering, admission))
    _add_health(app, services)
    _add_page(app)
    app.add_middleware(
        Edge, meters=services.meters, max_body_bytes=config.limits.max_body_bytes,
        is_streamed=_is_streamed, is_open=services.keys.is_open,
    )  # fmt: skip
    return app


def _is_streamed(scope: Scope) -> bool:
    """Whether the body of a request is a video, which is read in pieces."""
    if scope["method"] != "POST" or scope["path"].rstrip("/") != "/v1/codes":
        return False
    kind = dict(scope["headers"]).get(b"content-type", b"")
    return not is_json(kind.decode("latin-1"))


def _add_health(app: FastAPI, services: Services) -> None:
    @app.get("/healthz", tags=["health"], summary="Whether this process is alive")
    async def healthz() -> dict[str, str]:
        """Always 200 if the process answers at all."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="Whether videos can be encoded",
             response_model=dict[str, str], responses={503: PROBLEMS[503]})  # fmt: skip
    async def readyz() -> Response:
        """200 if weights are loaded, the warm-up clip was encoded, and the job book can be read."""
        await services.run(services.book.depth)
        if not await services.encoder.ready():
            raise problems.try_later(503, "not_ready", "the encoder is not ready yet", 2.0)
        return JSONResponse({"status": "ready"})


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/page/plotly.min.js", include_in_schema=False)
    async def script() -> FileResponse:
        return FileResponse(_PLOTLY, headers={"Cache-Control": "public, max-age=86400"})

    app.mount("/page/viewer", StaticFiles(directory=VIEWER, check_dir=False), name="viewer")
    app.mount("/page", StaticFiles(directory=PAGE, check_dir=False), name="page")
