"""The routes over real sockets, with the real book, store, solver and worker."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route

from serve.access.keys import KeyRing, digest
from serve.ingress import build_ingress
from serve.intake.spool import PREFIX, SUFFIX, spool_folder
from spatialcode.client import NotFoundError, SpatialCodeClient
from spatialcode.scene.document import to_document
from spatialcode.scene.text import from_json, parse_scene
from spatialcode.workkey import work_key
from tests.serve.live import live
from tests.serve.local_service import ROOM, Running, StandInReasoner, running, statuses
from tests.serve.videos import small_video

KEY = "sc-a-key-for-the-tests-only"
RING = KeyRing(frozenset({digest(KEY)}))
TABLES = "How many tables are in this room?"
DISTANCE = "What is the distance between the door and the toilet in meters?"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture(scope="module")
def stored(service: Running, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a code that is done."""
    path = small_video(tmp_path_factory.mktemp("video") / "room.mp4")
    return finished(service, path)


def finished(service: Running, path: Path) -> str:
    answer = service.upload(path)
    assert answer.status_code in {200, 202}, answer.text
    job = service.ended(answer.json()["id"])
    assert job.status == "done"
    return job.id


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer that must be one."""
    assert (answer.status_code, answer.headers["content-type"]) == (
        status, "application/problem+json",
    ), answer.text  # fmt: skip
    document = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    return document


def test_an_upload_is_queued_then_done(service: Running, tmp_path: Path) -> None:
    path = small_video(tmp_path / "new.mp4", shade=1)
    answer = service.upload(path)
    assert answer.status_code == 202
    body = answer.json()
    who = service.encoder.encoder.identity(service.config.sampling)
    assert body["id"] == work_key(hashlib.sha256(path.read_bytes()).hexdigest(), who)
    assert answer.headers["location"] == f"/v1/codes/{body['id']}"
    assert body["video"]["num_bytes"] == path.stat().st_size
    service.ended(body["id"])
    done = service.http.get(answer.headers["location"]).json()
    assert (done["status"], done["frames_decoded"], done["frames_encoded"]) == ("done", 6, 6)
    assert done["code"]["format"] == "spatialcode/1"
    assert done["code"]["provenance"]["work_key"] == body["id"]


def test_the_same_video_twice_is_encoded_once(service: Running, tmp_path: Path) -> None:
    path = small_video(tmp_path / "twice.mp4", shade=2)
    first = finished(service, path)
    with path.open("rb") as file:
        again = service.http.post("/v1/codes", files={"video": ("other name.mp4", file)})
    assert (again.status_code, again.json()["id"]) == (200, first)
    assert sum(first in batch for batch in service.encoder.encoder.batches) == 1


def test_a_form_names_its_video(service: Running, tmp_path: Path) -> None:
    path = small_video(tmp_path / "form.mp4", shade=3)
    files = {"video": ("../../etc/passwd", path.read_bytes(), "video/mp4")}
    answer = service.http.post("/v1/codes", files=files, data={"name": "my room"})
    assert answer.json()["video"]["name"] == "my room"
    assert service.ended(answer.json()["id"]).status == "done"


@pytest.mark.parametrize("kind", ["json", "scene.py", "parquet", "html", "mp4", "glb", "rrd"])
def test_a_code_comes_in_every_format(service: Running, stored: str, kind: str) -> None:
    if kind == "rrd":
        pytest.importorskip("rerun")
    answer = service.http.get(f"/v1/codes/{stored}", params={"format": kind})
    assert answer.status_code == 200, answer.text
    data, code = answer.content, service.services.store.get_code(stored)
    if kind == "json":
        assert from_json(data.decode()) == code
    elif kind == "scene.py":
        assert [item.id for item in parse_scene(data.decode()).objects] == [
            item.id for item in code.objects
        ]
    elif kind == "parquet":
        assert pq.read_table(io.BytesIO(data)).num_rows == 1
    elif kind == "html":
        assert b"<html" in data.lower()
        assert "sandbox" in answer.headers["content-security-policy"]
    else:
        magic = {"mp4": (4, b"ftyp"), "glb": (0, b"glTF"), "rrd": (0, b"RRF2")}[kind]
        assert data[magic[0] :].startswith(magic[1])
    again = service.http.get(f"/v1/codes/{stored}", params={"format": kind})
    assert again.content == data


def test_a_video_comes_back_whole_and_in_parts(service: Running, stored: str) -> None:
    url = f"/v1/codes/{stored}/video"
    whole = service.http.get(url)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    part = service.http.get(url, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    last = service.http.get(url, headers={"range": "bytes=-7"})
    assert last.content == whole.content[-7:]
    beyond = service.http.get(url, headers={"range": f"bytes={len(whole.content)}-"})
    problem(beyond, 416, "range")


def test_codes_are_listed_newest_first_and_removed(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        ids = [finished(service, small_video(tmp_path / f"{n}.mp4", n)) for n in range(3)]
        first = service.http.get("/v1/codes", params={"limit": 2}).json()
        assert [item["id"] for item in first["items"]] == [ids[2], ids[1]]
        rest = service.http.get("/v1/codes", params={"limit": 2, "after": first["next"]}).json()
        assert ([item["id"] for item in rest["items"]], rest["next"]) == ([ids[0]], None)
        assert service.http.delete(f"/v1/codes/{ids[1]}").status_code == 204
        problem(service.http.get(f"/v1/codes/{ids[1]}"), 404, "not_found")
        problem(service.http.delete(f"/v1/codes/{ids[1]}"), 404, "not_found")
        ask = {"question": TABLES, "code_id": ids[1]}
        problem(service.http.post("/v1/ask", json=ask), 404, "not_found")
        assert service.services.store.get_code(ids[1]) is None
        assert service.services.store.video_size(ids[1]) is None
        assert len(service.http.get("/v1/codes").json()["items"]) == 2


def test_the_solver_answers_about_a_stored_code_and_one_sent_along(
    service: Running, stored: str
) -> None:
    for source in ({"code_id": stored}, {"code": to_document(ROOM)}):
        answer = service.http.post("/v1/ask", json={"question": TABLES, **source}).json()
        assert (answer["answer"], answer["value"], answer["grounded"]) == ("3", 3.0, True)
        assert [item["id"] for item in answer["evidence"]["objects"]] == [
            "table_1", "table_2", "table_3",
        ]  # fmt: skip
        assert answer["verified"] is True
    far = service.http.post("/v1/ask", json={"question": DISTANCE, "code_id": stored}).json()
    assert far["unit"] == "m"
    assert far["evidence"]["quantities"][-1]["value"] == pytest.approx(far["value"], abs=0.01)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"question": "What is love?"}, 422, "question_not_understood"),
        ({"question": TABLES, "reasoner": "text"}, 422, "reasoner_missing"),
        ({"question": TABLES, "num_samples": 16}, 422, "invalid_request"),
        ({"question": TABLES, "code": {"format": "spatialcode/1"}}, 422, "invalid_request"),
        ({"question": "", "reasoner": "solver"}, 422, "invalid_request"),
        ({"question": TABLES, "colour": "red"}, 422, "invalid_request"),
    ],
)
def test_what_cannot_be_asked_says_why(
    service: Running, stored: str, body: dict[str, Any], status: int, code: str
) -> None:
    document = problem(service.http.post("/v1/ask", json={"code_id": stored, **body}), status, code)
    assert document["detail"]
    assert "Traceback" not in json.dumps(document)


def test_a_code_that_is_no_code_is_refused(service: Running) -> None:
    body = {"question": TABLES, "code": {"format": "spatialcode/1", "objects": "many"}}
    problem(service.http.post("/v1/ask", json=body), 422, "parse")


def test_openais_client_asks_and_streams(service: Running, stored: str) -> None:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["spatialcode-solver"]
        messages: Any = [{"role": "user", "content": TABLES}]
        whole = client.chat.completions.create(
            model="spatialcode-solver", messages=messages, extra_body={"code_id": stored}
        )
        assert whole.choices[0].message.content.splitlines()[-1] == "Answer: 3"
        parts: Any = [
            {"type": "text", "text": TABLES},
            {"type": "video_url", "video_url": {"url": f"code:{stored}"}},
        ]
        stream = client.chat.completions.create(
            model="spatialcode-solver", messages=[{"role": "user", "content": parts}], stream=True
        )
        deltas = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
        assert "".join(deltas) == whole.choices[0].message.content
        assert sum(bool(delta) for delta in deltas) > 1
        with pytest.raises(openai.NotFoundError, match="expected one of spatialcode-solver"):
            client.chat.completions.create(model="gpt-4", messages=messages)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(
                model="spatialcode-solver", messages=messages, extra_body={"code_id": "0" * 64}
            )
        with pytest.raises(openai.UnprocessableEntityError):
            client.chat.completions.create(model="spatialcode-solver", messages=[])


def test_our_own_client_goes_the_whole_way(service: Running, tmp_path: Path) -> None:
    path = small_video(tmp_path / "client.mp4", shade=6)
    told: list[tuple[int, int]] = []
    with SpatialCodeClient(service.url) as client:
        job = client.upload(path, name="by the client", progress=lambda *at: told.append(at))
        done = client.wait(job.id, deadline_s=60)
        assert (done.status, done.frames_encoded) == ("done", 6)
        assert client.code(job.id) == service.services.store.get_code(job.id)
        answer = client.ask(job.id, TABLES)
        assert (answer.answer, answer.grounded) == ("3", True)
        assert client.rendition(job.id, "glb", tmp_path / "room.glb").read_bytes()[:4] == b"glTF"
        assert client.video(job.id, tmp_path / "back.mp4").read_bytes() == path.read_bytes()
        assert job.id in [one.id for one in client.list_codes(page_size=2)]
        client.delete(job.id)
        with pytest.raises(NotFoundError):
            client.status(job.id)
    assert told[-1] == (path.stat().st_size, path.stat().st_size)


def test_a_model_answers_within_the_deadline_or_not_at_all(tmp_path: Path) -> None:
    reasoner = StandInReasoner()
    with running(tmp_path, "limits.ask_deadline_s=30", reasoner=reasoner) as service:
        body = {"question": TABLES, "code": to_document(ROOM), "reasoner": "program"}
        soon = {"x-request-timeout-seconds": "0.2"}
        problem(service.http.post("/v1/ask", json=body, headers=soon), 504, "deadline")
        reasoner.go.set()
        answer = service.http.post("/v1/ask", json=body).json()
        assert (answer["reasoner"], answer["answer"]) == ("program", "3")
        bad = {"x-request-timeout-seconds": "never"}
        problem(service.http.post("/v1/ask", json=body, headers=bad), 422, "invalid_request")


def test_without_its_key_nobody_gets_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "uvicorn")
    caplog.set_level(logging.DEBUG, "serve")
    with running(tmp_path, keys=RING) as service:
        problem(service.http.get("/v1/codes"), 401, "unauthorized")
        wrong = {"authorization": "Bearer sc-another-key-altogether"}
        problem(service.http.get("/v1/codes", headers=wrong), 401, "unauthorized")
        problem(service.upload(small_video(tmp_path / "a.mp4")), 401, "unauthorized")
        assert service.http.post("/v1/chat/completions", json={}).status_code in {401, 422}
        right = {"authorization": f"Bearer {KEY}"}
        assert service.http.get("/v1/codes", headers=right).json()["items"] == []
        for path in ("/healthz", "/readyz", "/"):
            assert service.http.get(path).status_code == 200
        assert service.counted.value("spatialcode_refusals", reason="unauthorized") >= 3
    assert KEY not in caplog.text
    assert digest(KEY) not in caplog.text


def test_too_many_requests_wait(tmp_path: Path) -> None:
    settings = ("rates.burst=5", "rates.requests_per_s=0.01", "rates.upload_cost=5")
    with running(tmp_path, *settings, keys=RING) as service:
        right = {"authorization": f"Bearer {KEY}"}
        answers = [service.http.get("/v1/codes", headers=right) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        problem(answers[-1], 429, "rate_limited")
        assert int(answers[-1].headers["retry-after"]) == pytest.approx(100, abs=1)
        assert service.http.get("/healthz").status_code == 200


def test_a_full_queue_is_said_with_when_to_come_back(tmp_path: Path) -> None:
    with running(tmp_path, "limits.max_queue=2", works=False) as service:
        videos = [small_video(tmp_path / f"{n}.mp4", n) for n in range(3)]
        assert [service.upload(path).status_code for path in videos[:2]] == [202, 202]
        refused = service.upload(videos[2])
        problem(refused, 429, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1
        assert statuses(service) == ["queued", "queued"]
        assert service.counted.value("spatialcode_refusals", reason="queue_full") == 1
        waiting = service.http.get(f"/v1/codes/{service.services.book.page(1)[0][0].id}?format=glb")
        problem(waiting, 409, "not_done")


@pytest.mark.parametrize(
    ("content", "status"), [(b"#EXTM3U\n/etc/passwd\n", 415), (b"", 422), (b"\0" * 5000, 415)]
)
def test_what_is_no_video_becomes_no_job(
    service: Running, content: bytes, status: int, tmp_path: Path
) -> None:
    num_before = len(statuses(service))
    path = tmp_path / "no.mp4"
    path.write_bytes(content)
    assert service.upload(path).status_code == status
    assert len(statuses(service)) == num_before
    assert not list((Path(service.config.limits.spool_dir)).iterdir())


def test_bodies_ids_and_formats_are_checked(service: Running, stored: str) -> None:
    huge = b'{"question": "' + b"x" * service.config.limits.max_body_bytes + b'"}'
    headers = {"content-type": "application/json"}
    problem(service.http.post("/v1/ask", content=huge, headers=headers), 413, "too_large")
    pieces = (huge[at : at + 2**20] for at in range(0, len(huge), 2**20))
    problem(service.http.post("/v1/ask", content=pieces, headers=headers), 413, "too_large")
    for bad in ("..%2F..%2Fetc", "A" * 64, "0" * 63):
        assert service.http.get(f"/v1/codes/{bad}").status_code in {404, 422}
    answer = service.http.get(f"/v1/codes/{stored}", params={"format": "exe"})
    problem(answer, 422, "invalid_request")
    answer = service.http.get("/v1/codes", params={"after": "'; drop table"})
    assert answer.status_code == 422
    problem(service.http.get("/nowhere"), 404, "not_found")
    problem(service.http.put("/v1/ask"), 405, "method_not_allowed")
    assert service.http.get("/healthz").json() == {"status": "ok"}


def test_without_keys_pages_from_elsewhere_are_refused(service: Running) -> None:
    for headers in (
        {"host": "evil.example:8000"},  # a name that was made to lead here
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
    ):
        problem(service.http.get("/v1/codes", headers=headers), 403, "forbidden")
        problem(service.http.get("/v1/codes", headers={"host": "[::1"}), 403, "forbidden")
    own = {"origin": service.url}
    assert service.http.get("/v1/codes", headers=own).status_code == 200


def test_without_keys_other_machines_are_refused_whatever_they_say(service: Running) -> None:
    async def ask() -> httpx.Response:
        app = build_ingress(service.services)
        transport = httpx.ASGITransport(app, client=("192.0.2.7", 40000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as far:
            return await far.get("/v1/codes")

    problem(asyncio.run(ask()), 403, "forbidden")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/codes", "Content-Type: video/mp4", 401),  # refused before the body is looked at
        ("/v1/ask", f"Authorization: Bearer {KEY}", 413),  # JSON without end
        ("/v1/none", "", 404),
    ],
)
def test_an_answer_before_the_bodys_end_ends_the_connection(
    tmp_path: Path, path: str, headers: str, status: int
) -> None:
    """Else the server reads and drops what a sender without end sends, for as long as it does."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n{headers}"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with running(tmp_path, "limits.max_body_bytes=300000", keys=RING) as service:
        address = httpx.URL(service.url)
        with socket.create_connection((address.host, address.port), timeout=30) as sender:
            sender.sendall(f"{head.rstrip()}\r\n\r\n".encode())
            with pytest.raises(OSError, match=r"reset|Broken pipe|abort"):
                sender.sendall(chunk * 8_000)  # half a gigabyte
        assert service.counted.count("spatialcode_requests", status=str(status)) == 1
        assert "connection" not in service.http.get("/healthz").headers, "others keep theirs"


def test_what_killed_processes_left_is_deleted_at_the_start(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        folder = spool_folder(service.config.limits)
    old, new, foreign = folder / f"{PREFIX}a{SUFFIX}", folder / f"{PREFIX}b{SUFFIX}", folder / "c"
    for path in (old, new, foreign):
        path.write_bytes(b"half a video")
    for path in (old, foreign):
        os.utime(path, (1.0, 1.0))
    with running(tmp_path):
        assert not old.exists()
        assert new.exists(), "another replica may be writing it"
        assert foreign.exists()


def test_a_url_that_leads_inside_is_refused(service: Running) -> None:
    for url in ("https://127.0.0.1/a.mp4", "https://169.254.169.254/latest", "file:///etc/passwd"):
        answer = service.http.post("/v1/codes", json={"url": url})
        problem(answer, 422, "url_refused")
    problem(service.http.post("/v1/codes", json={"urn": "x"}), 422, "invalid_request")


def test_a_video_is_fetched_by_its_address_and_asked_about_at_once(tmp_path: Path) -> None:
    path = small_video(tmp_path / "far.mp4", shade=5)
    far = Starlette(routes=[Route("/far.mp4", lambda _: FileResponse(path))])
    with live(far) as origin:
        allowed = (
            "fetch.schemes=[http]", f"fetch.ports=[{origin.rpartition(':')[2]}]",
            "fetch.allowed_networks=[127.0.0.0/8]",
        )  # fmt: skip
        with running(tmp_path, *allowed) as service:
            url = f"{origin}/far.mp4"
            with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none") as client:
                parts: Any = [
                    {"type": "text", "text": TABLES},
                    {"type": "video_url", "video_url": {"url": url}},
                ]
                answer = client.chat.completions.create(
                    model="spatialcode-solver", messages=[{"role": "user", "content": parts}]
                )
            assert answer.choices[0].message.content.endswith("Answer: 3")
            known = service.http.post("/v1/codes", json={"url": url, "name": "far away"})
            assert (known.status_code, known.json()["video"]["name"]) == (200, "far.mp4")
            gone = service.http.post("/v1/codes", json={"url": f"{origin}/nothing.mp4"})
            problem(gone, 422, "fetch_failed")


def test_readiness_follows_the_encoder(service: Running) -> None:
    assert service.http.get("/readyz").status_code == 200
    service.encoder.is_ready = False
    try:
        answer = service.http.get("/readyz")
        problem(answer, 503, "not_ready")
        assert answer.headers["retry-after"]
    finally:
        service.encoder.is_ready = True


def test_the_description_has_every_route_with_examples(service: Running) -> None:
    document = service.http.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/codes", "/v1/codes/{code_id}", "/v1/codes/{code_id}/video", "/v1/ask",
        "/v1/chat/completions", "/v1/models", "/v1/models/{name}", "/healthz", "/readyz",
    }  # fmt: skip
    body = document["paths"]["/v1/codes"]["post"]["requestBody"]["content"]
    assert {"multipart/form-data", "application/json", "application/octet-stream"} <= set(body)
    for name in ("AskRequest", "AskAnswer", "CodeStatus", "ChatRequest"):
        assert document["components"]["schemas"][name]["examples"]


def test_the_page_and_its_library_come_from_here(service: Running) -> None:
    page = service.http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert len(service.http.get("/page/plotly.min.js").content) > 10**6
    for path in ("/page/page.js", "/page/page.css", "/page/viewer/viewer.js"):
        assert service.http.get(path).status_code == 200
    palette = service.http.get("/page/viewer/palette.json")
    assert palette.headers["content-type"] == "application/json"  # or browsers refuse the module
    assert service.http.get("/page/../ingress.py").status_code == 404


def test_requests_are_counted_by_route_and_not_by_path(service: Running, stored: str) -> None:
    service.http.get(f"/v1/codes/{stored}")
    service.http.get("/healthz")
    service.http.post("/v1/ask", json={"question": TABLES, "code_id": stored})
    counted = service.counted
    assert counted.value("spatialcode_requests", route="/v1/codes/{code_id}", status="200") >= 1
    assert counted.count("spatialcode_request_seconds", route="/healthz") >= 1
    assert counted.value("spatialcode_bytes") >= 1000
    assert counted.count("spatialcode_reason_seconds", reasoner="solver") >= 1
    assert counted.value("spatialcode_queue") == 0
