"""A server on 127.0.0.1 that speaks as much of the hub's API as a download needs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" * 6 + "c0ff"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class FakeHub:
    """One state of the hub: ``repositories`` by name, each a dict of path -> bytes.

    ``sent``: what is sent in the place of a file's true bytes. ``status``: the answer for a
    repository that is not to be had. ``slow_s``: how long each body takes to come.
    """

    repositories: dict[str, dict[str, bytes]]
    commit: str = COMMIT
    sent: dict[str, bytes] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    slow_s: float = 0.0
    stated: dict[str, bytes] = field(default_factory=dict)
    bodies: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_HEAD(self):
            self.answer(with_body=False)

        def do_GET(self):
            self.answer(with_body=True)

        def answer(self, *, with_body):
            hub.requests.append(f"{self.command} {self.path}")
            path = self.path.split("?")[0]
            is_api = path.startswith("/api/models/")
            repository = "/".join(path.removeprefix("/api/models").split("/")[1:3])
            if repository in hub.status:
                code = {401: "GatedRepo", 403: "GatedRepo", 404: "RepoNotFound"}
                status = hub.status[repository]
                self.send(status, b"", {"X-Error-Code": code[status]}, with_body=with_body)
            elif is_api:
                self.send(200, self.listing(repository), {}, with_body=with_body)
            else:
                name = path.split("/", 5)[5]
                self.file(repository, name, with_body=with_body)

        def listing(self, repository):
            files = hub.repositories[repository]
            siblings = []
            for name, data in files.items():
                stated = hub.stated.get(name, data)
                entry = {"rfilename": name, "size": len(stated), "blobId": "0" * 40}
                if name.endswith(".safetensors"):
                    lfs = {"sha256": sha256(stated), "size": len(stated), "pointerSize": 134}
                    entry["lfs"] = lfs
                siblings.append(entry)
            document = {"id": repository, "sha": hub.commit, "siblings": siblings}
            return json.dumps(document).encode()

        def file(self, repository, name, *, with_body):
            true = hub.repositories[repository][name]
            data = hub.sent.get(name, true)
            headers = {
                "ETag": f'"{sha256(true)}"',
                "X-Linked-Size": str(len(true)),
                "X-Repo-Commit": hub.commit,
                "Accept-Ranges": "bytes",
            }
            status = 200
            if with_body:
                hub.bodies.append(name)
                asked = self.headers.get("Range")
                if asked and asked.startswith("bytes="):
                    start = int(asked[6:].split("-")[0])
                    headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                    data, status = data[start:], 206
            self.send(status, data, headers, with_body=with_body)

        def send(self, status, data, headers, *, with_body):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if not with_body:
                return
            half = len(data) // 2
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(data[:half])
                if hub.slow_s:
                    self.wfile.flush()
                    time.sleep(hub.slow_s)
                self.wfile.write(data[half:])

    return Handler
