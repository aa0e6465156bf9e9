"""What both clients make of refusals, silence and broken connections: real sockets."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from spatialcode.client import (
    BadRequestError,
    KeyRefusedError,
    NotFoundError,
    OverloadedError,
    ReplyError,
    Retries,
    ServiceConnectionError,
    ServiceError,
    ServiceTimeoutError,
    WaitTimeoutError,
)
from spatialcode.errors import SchemaError
from tests.client.stand_in import StandIn, break_off, refusal, resetting, running

QUICK = Retries(num=3, first_s=0.01, longest_s=5.0)
ID = "5e" * 32
MIB = 1 << 20


def test_files_appear_once_they_are_complete(client: Any, service: StandIn, tmp_path: Path) -> None:
    service.add(ID, "done")
    path = tmp_path / "new" / "room.glb"
    service.next_answers.append(break_off)  # midway; the second try is whole
    assert client.rendition(ID, "glb", path) == path
    assert path.read_text(encoding="utf-8") == "a glb file"
    assert client.video(ID, tmp_path / "room.mp4").read_bytes() == b"the video"
    service.next_answers.extend([break_off] * 4)
    with pytest.raises(
        ServiceConnectionError, match=f"GET /v1/codes/{ID}: the connection was lost"
    ):
        client.rendition(ID, "html", tmp_path / "new" / "room.html")
    with pytest.raises(NotFoundError):
        client.rendition("00" * 32, "html", tmp_path / "new" / "room.html")
    assert list((tmp_path / "new").iterdir()) == [path]


def test_too_many_requests_are_made_again_when_the_service_says(
    client: Any, service: StandIn
) -> None:
    service.add(ID)
    service.next_answers.append(refusal(429, "rate", retry_after="1"))
    start = time.monotonic()
    assert client.status(ID).id == ID
    assert 1.0 <= time.monotonic() - start < 20.0
    service.next_answers.append(refusal(429, "rate", "60 a minute", retry_after="30"))
    with pytest.raises(OverloadedError, match="60 a minute") as caught:
        client.status(ID)
    assert caught.value.retry_after_s == 30.0
    assert service.requests == [("GET", f"/v1/codes/{ID}")] * 3


def test_refusals_are_typed_and_not_repeated(client: Any, service: StandIn, clip: Path) -> None:
    service.next_answers.extend([refusal(401, "unauthorized"), refusal(422, "video_limit", "3 h")])
    with pytest.raises(KeyRefusedError):
        client.status(ID)
    with pytest.raises(BadRequestError, match="3 h") as caught:
        client.upload(clip)
    assert (caught.value.status, caught.value.code) == (422, "video_limit")
    assert isinstance(caught.value, ServiceError)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), copy.problem) == (BadRequestError, caught.value.problem)
    assert len(service.requests) == 2


def test_a_no_before_the_body_was_read_is_heard(
    client: Any, service: StandIn, tmp_path: Path
) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(20 * MIB)
    service.next_answers.append(refusal(413, "too_large", "at most 9 bytes"))
    with pytest.raises(BadRequestError, match="at most 9 bytes"):
        client.upload(path)
    assert service.requests == [("POST", "/v1/codes")]


def test_waiting_ends_at_the_deadline(client: Any, service: StandIn) -> None:
    service.next_answers.extend([refusal(503)] * 100)
    start = time.monotonic()
    with pytest.raises(WaitTimeoutError, match=r"within 0\.3 s; its status is unknown"):
        client.wait(ID, deadline_s=0.3, poll_s=0.05)
    assert 0.3 <= time.monotonic() - start < 20.0


def test_a_connection_reset_mid_upload_is_made_again(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(20 * MIB)
    answer = {"id": ID, "status": "queued", "created_s": 1.5}
    with resetting(2, answer) as (url, lengths), kind(url, retries=QUICK) as client:
        assert client.upload(path).id == ID
    assert lengths[0] < 20 * MIB > lengths[1]
    assert 20 * MIB < lengths[2] < 20 * MIB + 1024


def test_nobody_there_and_nobody_answering(kind: Any, service: StandIn) -> None:
    with running(StandIn("")) as gone:
        url = gone.url
    with (
        kind(url, retries=QUICK) as client,
        pytest.raises(ServiceConnectionError, match="cannot be reached"),
    ):
        client.status(ID)

    gave_up = Event()

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gave_up.set()

    service.next_answers.append(silent)
    with (
        kind(service.url, timeout_s=0.2) as client,
        pytest.raises(ServiceTimeoutError, match="no answer in time"),
    ):
        client.ask(ID, "How many chairs are there?")
    assert gave_up.wait(30)
    assert service.requests == [("POST", "/v1/ask")]  # not made again


@pytest.mark.parametrize("new_size", [MIB // 8, MIB])
def test_a_file_that_changes_while_it_is_sent(client: Any, clip: Path, new_size: int) -> None:
    def change(sent: int, total: int) -> None:
        os.truncate(clip, new_size)

    with pytest.raises(ServiceError, match="changed while it was sent: expected 262144 bytes"):
        client.upload(clip, progress=change)


def test_a_key_is_not_taken_elsewhere(client: Any, service: StandIn) -> None:
    service.next_answers.append(refusal(307, "moved", location="http://127.0.0.2:9/"))
    with pytest.raises(ServiceError, match="307"):
        client.status(ID)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host", "http://", "file:///etc"])
def test_an_address_that_is_none(kind: Any, url: str) -> None:
    with pytest.raises(SchemaError, match="base_url"):
        kind(url)


def test_an_answer_that_is_no_code(client: Any, service: StandIn) -> None:
    service.add(ID, "done")
    service.code_json = '{"format": "spatialcode/2"}'
    with pytest.raises(ReplyError, match="spatialcode/1"):
        client.code(ID)
