"""The application on a real Ray Serve: used by its clients, killed in parts, started again.

The service runs in a process of its own, as a person starts it, so that all of it can be killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from serve.app import anchored, build_app, read_arguments, start
from serve.book.database import JobBook
from spatialcode.errors import ConfigError
from spatialcode.scene.document import from_document
from tests.encoder.tiny_settings import SETTINGS, WORDS, dotlist
from tests.serve.local_service import CLIP
from tests.serve.videos import small_video
from tests.tiny_codes import untrained_weights

ROOT = Path(__file__).parents[2]
START_S, WORK_S = 240.0, 240.0
LEASE_S = 4.0
RETRYABLE = {429, 502, 503, 504}
COUNT = "How many chairs are in this room?"


def test_settings_come_from_texts_and_become_absolute(tmp_path: Path) -> None:
    yaml = ROOT / "configs" / "serve.yaml"
    config = read_arguments({"config": str(yaml), "encoder.max_batch": "3"})
    assert (config.encoder.max_batch, config.reasoner.model) == (3, "bundled")
    moved = anchored(config).store
    assert Path(moved.url) == Path.cwd() / "out/serve/store"
    assert moved.database_url == f"sqlite:///{Path.cwd() / 'out/serve/jobs.sqlite'}"
    assert anchored(anchored(config)) == anchored(config)


def test_it_refuses_to_listen_to_strangers_without_a_key() -> None:
    with pytest.raises(ConfigError, match=r"API keys are required to listen on 0\.0\.0\.0"):
        build_app({"host": "0.0.0.0", "access.keys_env": ""})
    with pytest.raises(ConfigError, match="did you mean 'port'"):
        build_app({"prot": "80"})


@pytest.mark.parametrize(
    ("num_gpus", "order"),
    [("0.5", ["built", "connected", "run"]), ("auto", ["connected", "built", "run"])],
)
def test_ray_starts_first_only_where_an_encoder_is_measured_on_it(
    num_gpus: str, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("serve.app.build_app", lambda _: done.append("built") or "an application")
    monkeypatch.setattr("serve.app.configure_proxies", lambda _: None)
    monkeypatch.setattr("cluster.connect.connect", lambda **_: done.append("connected"))
    monkeypatch.setattr("ray.serve.start", lambda **_: None)
    monkeypatch.setattr("ray.serve.run", lambda *_, **__: done.append("run"))
    start(read_arguments({"encoder.num_gpus": num_gpus}))
    assert done == order


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class App:
    """A service in a process of its own, with a Ray of its own."""

    folder: Path
    settings: tuple[str, ...]
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it is ready."""
        arguments = [
            f"port={self.port}", f"metrics_port={self.metrics_port}",
            f"store.url={self.folder / 'store'}",
            f"store.database_url=sqlite:///{self.folder / 'jobs.sqlite'}",
            f"limits.spool_dir={self.folder / 'spool'}", "limits.min_free_bytes=0",
            f"store.lease_s={LEASE_S}", "rates.burst=10000", "rates.requests_per_s=10000",
            *self.settings,
        ]  # fmt: skip
        environment = os.environ | {"RAY_TMPDIR": str(self.folder)}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serve.app", *arguments], cwd=ROOT, env=environment,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200:
                    return
            threading.Event().wait(0.3)
        raise AssertionError(f"not ready in {START_S} s: {(self.folder / 'log').read_text()}")

    def pids(self, title: str) -> list[int]:
        """Processes of this service whose title holds a text."""
        return [one.pid for one in self._processes() if title in _title(one)]

    def memory_bytes(self, *titles: str) -> int:
        """What its processes hold for themselves whose title holds one of the texts."""
        total = 0
        for one in self._processes():
            if any(title in _title(one) for title in titles):
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += one.memory_full_info().uss
        assert total > 0, f"no process is called any of {titles}"
        return total

    def kill_all(self) -> None:
        """Every process of it at once, Ray's included: as a machine that loses its power."""
        for one in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        if self.process is not None:
            self.process.wait()
            self.process = None

    def _processes(self) -> list[psutil.Process]:
        """It, and all that it started, parents first."""
        if self.process is None or self.process.poll() is not None:
            return []
        mine = psutil.Process(self.process.pid)
        return [mine, *mine.children(recursive=True)]

    def stop(self) -> None:
        """As Ctrl-C does it, and whatever is left after that."""
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(90)
            self.kill_all()


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return " ".join(process.cmdline())
    return ""


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a name short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="sc", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def app(short: Path) -> Iterator[App]:
    """One service for the tests that only use it and kill replicas."""
    folder = short / "a"
    folder.mkdir()
    weights = untrained_weights(folder)
    made = App(
        folder,
        (
            f"encoder.name={weights}", "encoder.max_replicas=2", "sampling.num_frames=8",
            "reasoner.model=bundled", "reasoner.max_replicas=1",
            f"limits.max_upload_bytes={32 * 2**20}",
        ),
    )  # fmt: skip
    try:
        made.start()
        yield made
    finally:
        made.stop()


def upload(url: str, path: Path) -> dict[str, Any]:
    """The status of a video that was taken; what may be tried again is."""
    while True:
        with path.open("rb") as file:
            try:
                answer = httpx.post(f"{url}/v1/codes", content=file, timeout=60,
                                    headers={"content-type": "video/mp4"})  # fmt: skip
            except httpx.TransportError:
                threading.Event().wait(0.3)
                continue
        if answer.status_code in RETRYABLE:
            threading.Event().wait(0.3)
            continue
        assert answer.status_code in {200, 202}, answer.text
        return dict(answer.json())


def done(url: str, code_id: str) -> dict[str, Any]:
    """The status with its code, once it is there."""
    end_s = time.monotonic() + WORK_S
    while time.monotonic() < end_s:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(f"{url}/v1/codes/{code_id}", timeout=60)
            assert answer.status_code == 200 or answer.status_code in RETRYABLE, answer.text
            status = answer.json() if answer.status_code == 200 else {"status": ""}
            assert status["status"] != "failed", status
            if status["status"] == "done":
                return dict(status)
        threading.Event().wait(0.2)
    raise AssertionError(f"{code_id} is not done in {WORK_S} s")


@pytest.mark.slow
def test_clients_upload_poll_ask_and_stream(app: App) -> None:
    code_id = upload(app.url, CLIP)["id"]
    status = done(app.url, code_id)
    assert (status["frames_decoded"], status["frames_encoded"]) == (8, 8)
    assert from_document(status["code"]).provenance.work_key == code_id
    asked = httpx.post(f"{app.url}/v1/ask", json={"question": COUNT, "code_id": code_id}).json()
    assert asked["reasoner"] == "solver"
    program = {"question": COUNT, "code_id": code_id, "reasoner": "program", "num_samples": 2}
    model = httpx.post(f"{app.url}/v1/ask", json=program, timeout=60)
    assert model.status_code in {200, 422}, model.text
    with openai.OpenAI(base_url=f"{app.url}/v1", api_key="none") as client:
        names = {item.id for item in client.models.list()}
        assert names == {"spatialcode-solver", "spatialcode-program"}
        messages: Any = [{"role": "user", "content": COUNT}]
        stream = client.chat.completions.create(
            model="spatialcode-solver", messages=messages, stream=True,
            extra_body={"code_id": code_id},
        )  # fmt: skip
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text.splitlines()[-1] == f"Answer: {asked['answer']}"
    assert upload(app.url, CLIP)["id"] == code_id


@pytest.mark.slow
def test_an_encoder_killed_under_load_loses_nothing(app: App, tmp_path: Path) -> None:
    paths = [small_video(tmp_path / f"{n}.mp4", n) for n in range(8)]
    refused: list[int] = []

    def ask_on(_: int) -> None:
        answer = httpx.post(f"{app.url}/v1/ask", timeout=60,
                            json={"question": COUNT, "code_id": first})  # fmt: skip
        if answer.status_code != 200:
            refused.append(answer.status_code)

    first = upload(app.url, CLIP)["id"]
    done(app.url, first)
    with ThreadPoolExecutor(20) as pool:
        uploads = [pool.submit(upload, app.url, path) for path in paths]
        asks = [pool.submit(ask_on, n) for n in range(20)]
        ids = [uploads[0].result()["id"]]
        for pid in app.pids("Encoder"):
            os.kill(pid, signal.SIGKILL)
        ids += [one.result()["id"] for one in uploads[1:]]
        for one in asks:
            one.result()
    assert len(set(ids)) == len(paths)
    statuses = [done(app.url, code_id) for code_id in ids]
    assert set(refused) <= RETRYABLE
    assert all(status["attempts"] <= 3 for status in statuses)
    book = JobBook(f"sqlite:///{app.folder / 'jobs.sqlite'}")
    jobs, _ = book.page(100)
    book.close()
    assert sorted(job.id for job in jobs if job.id in ids) == sorted(ids)
    assert all(job.status == "done" for job in jobs)


@pytest.mark.slow
def test_an_endless_upload_is_refused_and_memory_stays(app: App) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(2**20)

    # the processes that an upload passes; others, such as the reasoner, may still be starting
    passed = ("ProxyActor", "Ingress")
    before = app.memory_bytes(*passed)
    status = 413
    with contextlib.suppress(httpx.TransportError):  # the end may be noticed before the answer
        status = httpx.post(
            f"{app.url}/v1/codes", content=endless(), timeout=120,
            headers={"content-type": "video/mp4"},
        ).status_code  # fmt: skip
    assert status == 413
    assert app.memory_bytes(*passed) - before < 300 * 2**20
    assert httpx.get(f"{app.url}/readyz", timeout=30).status_code == 200


@pytest.mark.slow
def test_metrics_are_on_rays_endpoint(app: App) -> None:
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        text = httpx.get(f"http://127.0.0.1:{app.metrics_port}/metrics").text
        if "spatialcode_requests" in text and "spatialcode_encode_seconds" in text:
            return
        threading.Event().wait(1.0)
    raise AssertionError("no meters of the service after a minute")


@pytest.mark.slow
def test_the_whole_service_killed_with_jobs_under_way_goes_on(short: Path) -> None:
    folder = short / "b"
    folder.mkdir()
    weights = untrained_weights(folder)
    app = App(folder, (f"encoder.name={weights}", "encoder.max_batch=3", "sampling.num_frames=8"))
    paths = [CLIP, *(small_video(folder / f"{n}.mp4", n, num_frames=30) for n in range(2))]
    try:
        app.start()
        ids = [upload(app.url, path)["id"] for path in paths]
        app.kill_all()
        book = JobBook(f"sqlite:///{folder / 'jobs.sqlite'}")
        assert {job.id for job in book.page(10)[0]} == set(ids)
        assert book.depth() > 0
        app.start()
        statuses = [done(app.url, code_id) for code_id in ids]
        assert [status["status"] for status in statuses] == ["done"] * 3
        again = [upload(app.url, path) for path in paths]
        assert [status["id"] for status in again] == ids
        attempts = {job.id: job.attempts for job in book.page(10)[0]}
        assert set(attempts) == set(ids)
        assert all(1 <= number <= 2 for number in attempts.values())
        book.close()
    finally:
        app.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_full_size_encoder_serves(short: Path, name: str) -> None:
    folder = short / name[0]
    folder.mkdir()
    own = dotlist(SETTINGS[name](folder))
    app = App(folder, (f"encoder.name={name}", *own, "sampling.num_frames=6"))
    try:
        app.start()
        code_id = upload(app.url, CLIP)["id"]
        code = from_document(done(app.url, code_id)["code"])
        assert code.provenance.work_key == code_id
        assert code.provenance.encoder == name
        assert len(code.cameras) == 6
        assert code.objects
        assert {item.label for item in code.objects} <= set(WORDS)
    finally:
        app.stop()
