"""A service for clients to talk to: real sockets, uvicorn and the service's own messages.

It encodes nothing: a job goes on by one status whenever it is looked at. `StandIn.next_answers`
holds what to answer, or how to break, in place of the coming requests.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.http import messages, problems
from spatialcode.errors import InputError

STEPS = ("queued", "decoding", "encoding", "done")
#: A video of these bytes cannot be encoded.
DAMAGED = b"damaged"


@dataclass
class StandIn:
    """What the service knows, and what it was asked."""

    code_json: str
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    received: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    next_answers: deque[Response | ASGIApp | None] = field(default_factory=deque)
    url: str = ""

    def add(self, code_id: str, status: str = "queued", **more: Any) -> None:
        number = len(self.jobs)
        self.jobs[code_id] = {
            "id": code_id, "status": status, "created_s": 1000.0 + number, "updated_s": 2000.0,
            **more,
        }  # fmt: skip


def make_app(stand_in: StandIn) -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.post("/v1/codes", status_code=202, response_model=messages.CodeStatus)
    async def create(request: Request) -> Any:
        if request.headers["content-type"] == "application/json":
            sent = messages.CodeFromUrl(**await request.json())
            stand_in.received.append(sent.model_dump())
            return _created(stand_in, hashlib.sha256(sent.url.encode()))
        form = await request.form()
        video = form["video"]
        content = hashlib.sha256()
        while piece := await video.read(1 << 16):
            content.update(piece)
        stand_in.received.append({"name": form.get("name"), "size": video.size})
        return _created(stand_in, content)

    @app.get("/v1/codes", response_model=messages.CodePage)
    def listed(limit: int = 50, after: str | None = None) -> Any:
        newest = sorted(stand_in.jobs.values(), key=lambda job: -job["created_s"])
        start = 0 if after is None else int(after)
        follows = str(start + limit) if start + limit < len(newest) else None
        return {"items": newest[start : start + limit], "next": follows}

    @app.get("/v1/codes/{code_id}")
    def status(code_id: str, request: Request) -> Any:
        job = _job(stand_in, code_id)
        form = request.query_params.get("format")
        if form is not None:
            if job["status"] != "done":
                raise problems.conflict("not_done", f"the code is {job['status']}")
            return Response(stand_in.code_json if form == "json" else f"a {form} file")
        answer = messages.CodeStatus(**job)
        if job["status"] in STEPS[:-1]:
            job["status"] = STEPS[STEPS.index(job["status"]) + 1]
        return answer

    @app.get("/v1/codes/{code_id}/video")
    def video(code_id: str) -> Any:
        _job(stand_in, code_id)
        return Response(b"the video", media_type="video/mp4")

    @app.delete("/v1/codes/{code_id}", status_code=204)
    def delete(code_id: str) -> None:
        _job(stand_in, code_id)
        del stand_in.jobs[code_id]

    @app.post("/v1/ask", response_model=messages.AskAnswer)
    def ask(body: messages.AskRequest) -> Any:
        stand_in.received.append(body.model_dump(exclude_none=True))
        return messages.AskAnswer.model_config["json_schema_extra"]["examples"][0]

    return app


def _created(stand_in: StandIn, content: hashlib._Hash) -> dict[str, Any]:
    code_id = content.hexdigest()
    if code_id == hashlib.sha256(DAMAGED).hexdigest():
        error = {"code": "video_corrupt", "title": "Damaged", "detail": "frame 3"}
        stand_in.add(code_id, "failed", error=error)
    elif code_id not in stand_in.jobs:
        stand_in.add(code_id)
    return stand_in.jobs[code_id]


def _job(stand_in: StandIn, code_id: str) -> dict[str, Any]:
    if code_id not in stand_in.jobs:
        raise problems.not_found(f"the code {code_id}")
    return stand_in.jobs[code_id]


class Planned:
    """Takes down every request, and answers with what was planned for it, if anything was."""

    def __init__(self, app: ASGIApp, stand_in: StandIn) -> None:
        self._app, self._stand_in = app, stand_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            self._stand_in.requests.append((request.method, request.url.path))
            self._stand_in.keys.append(request.headers.get("authorization"))
            planned = self._stand_in.next_answers
            answer = planned.popleft() if planned else None
            if answer is not None:
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def refusal(status: int, code: str = "refused", detail: str = "no", **headers: str) -> Response:
    """A problem document as the service words it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return problems.HTTPProblem(status, code, detail, headers=named).response()


async def break_off(scope: Scope, receive: Receive, send: Send) -> None:
    """Promises a thousand bytes, sends ten, and hangs up."""
    headers = [(b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ten bytes.", "more_body": True})
    raise InputError("broken off on purpose")


@contextmanager
def running(stand_in: StandIn) -> Iterator[StandIn]:
    """The stand-in behind a real socket of this machine."""
    app = Planned(make_app(stand_in), stand_in)
    config = uvicorn.Config(app, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # it listens already: requests that come before the loop runs wait in its queue
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        stand_in.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            yield stand_in
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def resetting(num_resets: int, answer: dict[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """A server that resets its first connections mid-upload and then takes one in full.

    Yields its address and the bytes that it read of each connection.
    """
    lengths: list[int] = []
    body = json.dumps(answer).encode()

    def serve(listening: socket.socket) -> None:
        for number in range(num_resets + 1):
            connection, _ = listening.accept()
            with connection:
                data = connection.recv(1 << 16)
                if number < num_resets:
                    lengths.append(len(data))
                    # no lingering: a reset in the place of an orderly end
                    linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    continue
                head, _, _ = data.partition(b"\r\n\r\n")
                (length,) = (
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                num_bytes = len(data)
                while num_bytes < len(head) + 4 + length:
                    num_bytes += len(connection.recv(1 << 16))
                lengths.append(num_bytes)
                start = b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n" % len(body)
                connection.sendall(start + body)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=serve, args=(listening,))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", lengths
        thread.join()
