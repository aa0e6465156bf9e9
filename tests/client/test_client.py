"""Both clients against a service behind a real socket."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import pytest

from spatialcode.client import (
    AsyncSpatialCodeClient,
    ClientSetupError,
    ConflictError,
    EncodingFailedError,
    NotFoundError,
)
from spatialcode.errors import SchemaError, VideoNotFoundError
from spatialcode.scene.text import from_json
from tests.client.stand_in import DAMAGED, StandIn, make_app

ROOT = Path(__file__).parents[2]
ID = "5e" * 32
MIB = 1 << 20


def test_from_a_video_to_an_answer(client: Any, service: StandIn, clip: Path) -> None:
    job = client.upload(clip, name="first room")
    assert (job.id, job.status) == (hashlib.sha256(clip.read_bytes()).hexdigest(), "queued")
    assert service.received == [{"name": "first room", "size": clip.stat().st_size}]
    with pytest.raises(ConflictError, match="queued") as caught:
        client.code(job.id)
    assert (caught.value.status, caught.value.code) == (409, "not_done")
    seen = []
    done = client.wait(job.id, poll_s=0.01, on_status=lambda at: seen.append(at.status))
    assert seen == ["queued", "decoding", "encoding", "done"]
    assert done.is_done
    assert client.code(job.id) == from_json(service.code_json)
    answer = client.ask(job.id, "How far is the door from the toilet?", ["near", "far"])
    assert service.received[-1] == {
        "question": "How far is the door from the toilet?", "options": ["near", "far"],
        "code_id": job.id, "reasoner": "solver", "num_samples": 1,
    }  # fmt: skip
    assert (answer.value, answer.unit, answer.answer) == (1.81, "m", "1.81 m")
    assert (answer.grounded, answer.verified, answer.option) == (True, True, None)
    assert answer.evidence.text == ("distance(door_1, toilet_1) = 1.81 m",)
    assert [seen.id for seen in answer.evidence.objects] == ["door_1", "toilet_1"]
    assert answer.evidence.objects[0].first_seen_s == 5.6


def test_encode_is_all_of_it(client: Any, service: StandIn, clip: Path) -> None:
    assert client.encode(clip) == from_json(service.code_json)


def test_the_same_bytes_are_the_same_code(client: Any, service: StandIn, clip: Path) -> None:
    assert client.upload(clip).id == client.upload(clip).id
    assert len(service.jobs) == 1
    assert service.received[0]["name"] == 'my "first" röom.mp4'


def test_50_mb_go_out_in_small_pieces(
    client: Any, service: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "large.mp4"
    size = 50 * MIB
    with path.open("wb") as file:
        file.truncate(size)  # no blocks on disk
    steps = []
    tracemalloc.start()
    try:
        job = client.upload(path, progress=lambda sent, total: steps.append((sent, total)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB  # of client and service together, which share this process
    assert service.received[0]["size"] == size
    assert job.id == hashlib.sha256(bytes(size)).hexdigest()
    sent = [number for number, _ in steps]
    assert len(sent) > 100
    assert sent == sorted(sent)
    assert sent[0] < MIB
    assert (sent[-1], {total for _, total in steps}) == (size, {size})


def test_a_progress_bar_goes_to_the_error_stream(
    client: Any, clip: Path, capsys: pytest.CaptureFixture
) -> None:
    client.upload(clip, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "262.1/262.1 kB" in err


def test_from_url_and_lists_and_deletion(client: Any, service: StandIn) -> None:
    job = client.from_url("https://example.org/a.mp4", name="a")
    assert service.received == [{"url": "https://example.org/a.mp4", "name": "a"}]
    assert client.status(job.id).created_s == 1000.0
    for number in range(5):
        service.add(f"{number:064x}")
    service.requests.clear()
    listed = list(client.list_codes(page_size=2))
    assert [at.created_s for at in listed] == [1005.0, 1004.0, 1003.0, 1002.0, 1001.0, 1000.0]
    assert service.requests == [("GET", "/v1/codes")] * 3
    client.delete(job.id)
    assert job.id not in service.jobs
    with pytest.raises(NotFoundError) as caught:
        client.delete(job.id)
    assert isinstance(caught.value, LookupError)
    assert caught.value.type == "urn:problem-type:spatialcode:not_found"


def test_a_code_can_be_sent_along(client: Any, service: StandIn) -> None:
    code = from_json(service.code_json)
    client.ask(code, "How many chairs are there?", reasoner="program", num_samples=3)
    sent = service.received[0]
    assert sent["code"]["objects"][0]["id"] == code.objects[0].id
    assert "code_id" not in sent
    assert (sent["reasoner"], sent["num_samples"]) == ("program", 3)


def test_a_video_without_a_code(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp4"
    path.write_bytes(DAMAGED)
    with pytest.raises(EncodingFailedError, match="frame 3") as caught:
        client.encode(path)
    assert (caught.value.code, caught.value.title) == ("video_corrupt", "Damaged")
    with pytest.raises(VideoNotFoundError, match="absent"):
        client.upload(tmp_path / "absent.mp4")


def test_the_key_goes_along_and_stays_out_of_sight(
    kind: Any, service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.add(ID)
    monkeypatch.delenv("SPATIALCODE_API_KEY", raising=False)
    with kind(service.url) as client:
        client.status(ID)
    with kind(service.url, api_key="secret-1") as client:
        client.status(ID)
        assert "secret" not in repr(client)
    monkeypatch.setenv("SPATIALCODE_API_KEY", "secret-2")
    with kind(service.url) as client:
        client.status(ID)
    assert service.keys == [None, "Bearer secret-1", "Bearer secret-2"]
    with pytest.raises(SchemaError) as caught:
        kind(service.url, api_key="secret\r\nX-Evil: 1")
    assert "secret" not in str(caught.value)


def test_importing_is_light_and_a_missing_library_is_named() -> None:
    program = (
        "import sys, spatialcode.client as c\n"
        "assert not {'torch', 'ray', 'httpx', 'rich'} & set(sys.modules)\n"
        "sys.modules['httpx'] = None\n"
        "try:\n    c.SpatialCodeClient()\n"
        "except c.ClientSetupError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "pip install httpx" in done.stdout, done.stderr
    assert issubclass(ClientSetupError, ImportError)


def test_a_service_in_this_process_needs_no_socket() -> None:
    service = StandIn("")
    service.add(ID, "encoding")

    async def ask() -> str:
        transport = httpx.ASGITransport(make_app(service))
        async with AsyncSpatialCodeClient("http://service", transport=transport) as client:
            return (await client.status(ID)).status

    assert asyncio.run(ask()) == "encoding"
