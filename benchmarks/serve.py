"""The service on Ray Serve compared with the same routes without it; uploads; scaling under load.

    python benchmarks/serve.py [num_runs=3] [seconds=6]

Asking: the same routes over the same store under plain uvicorn (one process) and in one replica
behind Ray Serve's proxy, with 1, 8 and 32 clients that each wait for an answer before they ask
again; ratios are taken within a run. Uploading: a 64 MiB video that is known already, so that it
only has to be read and hashed, compared with a Starlette handler that writes the body to a file.
Scaling: from one ingress replica to three and back while 32 clients come and go; every answer is
counted. Clients run in a process of their own on the same cores. Prints tables, then a JSON line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # not this folder, where `serve` would be this file

QUESTION = "What is the distance between the door and the toilet in meters?"
CLIENTS = (1, 8, 32)
UPLOAD_BYTES, NUM_UPLOADS = 64 * 2**20, 4
REPLICA = "Ingress"
PLAIN_PORT, STARLETTE_PORT, SERVE_PORT = 8101, 8102, 8103


def settings(folder: Path) -> list[str]:
    """The settings for all ways to run the service: one store, no limits that a load test meets."""
    return [
        f"port={SERVE_PORT}", f"store.url={folder / 'store'}",
        f"store.database_url=sqlite:///{folder / 'jobs.sqlite'}",
        f"limits.spool_dir={folder / 'spool'}", "rates.requests_per_s=1e6", "rates.burst=1e6",
        "limits.min_free_bytes=0", "encoder.max_replicas=1", "ingress.max_replicas=3",
        "ingress.max_ongoing_requests=32", "autoscaling.upscale_delay_s=2",
        "autoscaling.downscale_delay_s=5",
    ]  # fmt: skip


def prepare(folder: Path) -> dict[str, str]:
    """Store a code to ask about, and a large video whose code is known."""
    from serve.book.database import JobBook
    from serve.book.file_store import FileStore
    from serve.config import ServeConfig
    from spatialcode.api import ASSETS, VideoEncoder
    from spatialcode.config import load_config
    from spatialcode.scene.text import from_json
    from spatialcode.video.decode import hash_file
    from spatialcode.workkey import work_key

    config = load_config(ServeConfig, None, settings(folder))
    code = from_json((ASSETS / "sample_room.json").read_text(encoding="utf-8"))
    clip = (ASSETS / "sample_room.mp4").read_bytes()
    padding = UPLOAD_BYTES - len(clip)
    large = folder / "large.mp4"  # made large by a box that players skip
    large.write_bytes(clip + padding.to_bytes(4, "big") + b"free" + os.urandom(padding - 8))
    sha256 = hash_file(large)
    key = work_key(sha256, VideoEncoder.load().identity(config.sampling))
    store, book = FileStore(config.store.url), JobBook(config.store.job_database)
    store.put_video(key, large)
    store.put_code(key, code)
    book.add(key, name="large.mp4", video_sha256=sha256, num_bytes=UPLOAD_BYTES, owner="local")
    assert book.claim("benchmark") is not None
    assert book.finish(key, "benchmark")
    book.close()
    return {"code_id": key, "video": str(large)}


def serve_plain(folder: Path) -> None:
    """Run the same routes under uvicorn."""
    import uvicorn

    from serve.access.keys import KeyRing
    from serve.config import ServeConfig
    from serve.ingress import build_ingress
    from serve.on_ray.deployments import open_book, open_store
    from serve.services import Services
    from spatialcode.api import VideoEncoder
    from spatialcode.config import load_config

    config = load_config(ServeConfig, None, settings(folder))
    identity = VideoEncoder.load().identity(config.sampling)

    class Known:
        """An encoder that is only asked for its identity."""

        async def identity(self) -> Any:
            return identity

        async def ready(self) -> bool:
            return True

        def wake(self) -> None:
            """There is no worker."""

    services = Services(config, open_book(config), open_store(config), Known(), keys=KeyRing())
    uvicorn.run(build_ingress(services), port=PLAIN_PORT, log_level="error", access_log=False)


def serve_starlette(folder: Path) -> None:
    """Write a body to a file, and do nothing else."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def take(request: Request) -> PlainTextResponse:
        with (folder / "starlette.bin").open("wb") as file:
            async for piece in request.stream():
                file.write(piece)
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/v1/codes", take, methods=["POST"]),
                            Route("/healthz", lambda _: PlainTextResponse("ok"))])  # fmt: skip
    uvicorn.run(app, port=STARLETTE_PORT, log_level="error", access_log=False)


async def ask(port: int, num_clients: int, seconds: float, code_id: str) -> dict[str, Any]:
    """Closed-loop clients for some seconds: latencies, and all answers other than 200."""
    import aiohttp

    body = {"question": QUESTION, "code_id": code_id}
    url = f"http://127.0.0.1:{port}/v1/ask"
    took_s: list[float] = []
    failed: list[str] = []
    end_s = time.perf_counter() + seconds

    async def client(session: aiohttp.ClientSession) -> None:
        while time.perf_counter() < end_s:
            start_s = time.perf_counter()
            try:
                async with session.post(url, json=body) as answer:
                    await answer.read()
                    if answer.status != 200:
                        failed.append(str(answer.status))
            except aiohttp.ClientError as error:
                failed.append(type(error).__name__)
            took_s.append(time.perf_counter() - start_s)

    connector = aiohttp.TCPConnector(limit=num_clients)
    async with aiohttp.ClientSession(connector=connector) as session:
        start_s = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(num_clients)))
        whole_s = time.perf_counter() - start_s
    points = statistics.quantiles(took_s, n=100, method="inclusive")
    return {
        "requests_per_s": len(took_s) / whole_s, "num": len(took_s), "failed": failed,
        "p50_ms": 1e3 * points[49], "p95_ms": 1e3 * points[94], "p99_ms": 1e3 * points[98],
    }  # fmt: skip


async def upload(port: int, video: str) -> float:
    """MiB per second of several uploads, one after the other."""
    import aiohttp

    headers = {"content-type": "video/mp4"}
    async with aiohttp.ClientSession() as session:
        start_s = time.perf_counter()
        for _ in range(NUM_UPLOADS):
            with Path(video).open("rb") as file:  # noqa: ASYNC230 (aiohttp reads it in a thread)
                url = f"http://127.0.0.1:{port}/v1/codes"
                async with session.post(url, data=file, headers=headers) as answer:
                    assert answer.status == 200, await answer.text()
        return NUM_UPLOADS * UPLOAD_BYTES / 2**20 / (time.perf_counter() - start_s)


def child(role: str, **arguments: Any) -> Any:
    """Run a client in a process of its own; returns its result."""
    command = [sys.executable, __file__, f"role={role}", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def server(command: list[str], url: str) -> Iterator[psutil.Process]:
    """A server in a process of its own; the block begins when it is ready."""
    with subprocess.Popen([sys.executable, *command], cwd=ROOT) as process:
        try:
            for _ in range(1200):
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(url).status_code == 200:
                        break
                assert process.poll() is None, command
                threading.Event().wait(0.2)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def replicas(service: psutil.Process) -> int:
    """The number of ingress replicas, counted by their processes."""
    count = 0
    for process in service.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            count += f":{REPLICA}" in " ".join(process.cmdline())
    return count


def scaling(service: psutil.Process, code_id: str) -> dict[str, Any]:
    """Replicas over time while 32 clients ask for half a minute, until only one replica is left."""
    seen: list[tuple[float, int]] = []
    start_s, result = time.monotonic(), {}

    def load() -> None:
        result.update(child("ask", port=SERVE_PORT, num_clients=32, seconds=30, code_id=code_id))

    thread = threading.Thread(target=load)
    thread.start()
    while thread.is_alive() or (seen[-1][1] > 1 and time.monotonic() - start_s < 150):
        seen.append((round(time.monotonic() - start_s, 1), replicas(service)))
        threading.Event().wait(0.5)
    counts = [count for _, count in seen]
    three_s = next((at for at, count in seen if count == 3), None)
    return {
        "from": counts[0], "most": max(counts), "to": counts[-1], "three_after_s": three_s,
        "one_again_after_s": seen[-1][0], "requests": result["num"],
        "failed": len(result["failed"]), "kinds": sorted(set(result["failed"])),
    }  # fmt: skip


def measure(folder: Path, num_runs: int, seconds: float) -> dict[str, Any]:
    """Take all three measurements on servers that run side by side; the two ways alternate."""
    made = prepare(folder)
    rows, uploads = [], []
    with (
        server([__file__, "role=plain", str(folder)], f"http://127.0.0.1:{PLAIN_PORT}/healthz"),
        server([__file__, "role=starlette", str(folder)],
               f"http://127.0.0.1:{STARLETTE_PORT}/healthz"),
        server(["-m", "serve.app", *settings(folder)],
               f"http://127.0.0.1:{SERVE_PORT}/readyz") as service,
    ):  # fmt: skip
        for run in range(num_runs):
            for num_clients in CLIENTS:
                row: dict[str, Any] = {"run": run, "clients": num_clients}
                ways = [("plain", PLAIN_PORT), ("serve", SERVE_PORT)]
                for name, port in ways if run % 2 == 0 else ways[::-1]:
                    row[name] = child("ask", port=port, num_clients=num_clients,
                                      seconds=seconds, code_id=made["code_id"])  # fmt: skip
                rows.append(row)
            uploads.append({
                name: child("upload", port=port, video=made["video"])
                for name, port in (("starlette", STARLETTE_PORT), ("plain", PLAIN_PORT),
                                   ("serve", SERVE_PORT))
            })  # fmt: skip
        while replicas(service) > 1:
            threading.Event().wait(0.5)
        scaled = scaling(service, made["code_id"])
    return {"asks": rows, "uploads": uploads, "scaling": scaled}


def main() -> None:
    """Measure and print."""
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    num_runs, seconds = int(options.get("num_runs", 3)), float(options.get("seconds", 6))
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), num_runs, seconds)
    print(f"{'clients':>8}{'way':>8}{'requests/s':>12}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}"
          f"{'failed':>8}")  # fmt: skip
    for row in found["asks"]:
        for way in ("plain", "serve"):
            got = row[way]
            print(f"{row['clients']:>8}{way:>8}{got['requests_per_s']:>12.0f}{got['p50_ms']:>9.1f}"
                  f"{got['p95_ms']:>9.1f}{got['p99_ms']:>9.1f}{len(got['failed']):>8}")  # fmt: skip
        ratio = row["plain"]["requests_per_s"] / row["serve"]["requests_per_s"]
        row["ratio"] = round(ratio, 2)
        print(f"{'':>16}plain/serve {ratio:.1f}")
    for row in found["uploads"]:
        print("upload MiB/s: " + ", ".join(f"{way} {rate:.0f}" for way, rate in row.items()))
    print("scaling:", found["scaling"])
    print(json.dumps({"benchmark": "serve", "num_runs": num_runs, "seconds": seconds,
                      **found}))  # fmt: skip


if __name__ == "__main__":
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first in {"role=plain", "role=starlette"}:
        {"role=plain": serve_plain, "role=starlette": serve_starlette}[first](Path(sys.argv[2]))
    elif first == "role=ask":
        print(json.dumps(asyncio.run(ask(**json.loads(sys.argv[2])))))
    elif first == "role=upload":
        print(json.dumps(asyncio.run(upload(**json.loads(sys.argv[2])))))
    else:
        main()
