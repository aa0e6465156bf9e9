"""The rules of repeating and waiting, driven by hand: no network, no clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from spatialcode.client.errors import (
    BadRequestError,
    EncodingFailedError,
    KeyRefusedError,
    NotFoundError,
    OverloadedError,
    ProblemError,
    ReplyError,
    ServiceConnectionError,
    ServiceTimeoutError,
    UnavailableError,
    WaitTimeoutError,
    problem_error,
    seconds_until,
)
from spatialcode.client.exchange import Call, Pause, Reply, Retries, exchange
from spatialcode.client.operations import Operations
from spatialcode.errors import SchemaError

ID = "a1" * 32
GET, POST = Call("GET", "/x"), Call("POST", "/x")
FEW = Retries(num=2, first_s=1.0, longest_s=8.0)
LOST = ServiceConnectionError("gone")
SILENT = ServiceTimeoutError("silent")


class ByHand(Operations):
    """A client whose methods return their steps, for `play`; its clock says what it is told."""

    def __init__(self, *times_s: float) -> None:
        self._retries = FEW
        left = list(times_s or (0.0,))
        self._clock = lambda: left.pop(0) if len(left) > 1 else left[0]

    def _run(self, steps):
        return steps


def reply(code: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(code, {name.replace("_", "-"): text for name, text in headers.items()}, body)


def job(state: str, more: bytes = b"") -> Reply:
    text = b'{"id": "%s", "status": "%s", "created_s": 1%s}' % (ID.encode(), state.encode(), more)
    return reply(200, text)


def play(steps, answers):
    """Feeds one answer a call; returns the result (or the error raised) and the pauses."""
    pauses, coming = [], iter(answers)
    try:
        wanted = next(steps)
        while True:
            if isinstance(wanted, Pause):
                pauses.append(wanted.seconds)
                wanted = steps.send(None)
                continue
            answer = next(coming)
            is_error = isinstance(answer, Exception)
            wanted = steps.throw(answer) if is_error else steps.send(answer)
    except StopIteration as stop:
        assert not list(coming), "answers that nobody asked for"
        return stop.value, pauses
    except (ServiceConnectionError, ServiceTimeoutError, ProblemError, EncodingFailedError) as e:
        assert not list(coming), "answers that nobody asked for"
        return e, pauses


@pytest.mark.parametrize("passing", [reply(429), reply(502), reply(503), LOST])
@pytest.mark.parametrize("call", [GET, POST])
def test_what_passes_is_tried_again_with_growing_pauses(call, passing) -> None:
    result, pauses = play(exchange(call, FEW), [passing, passing, reply(200, b"ok")])
    assert result.body == b"ok"
    assert 0.5 <= pauses[0] <= 1.0 <= pauses[1] <= 2.0


def test_the_last_error_is_raised_once_the_tries_are_used_up() -> None:
    result, pauses = play(exchange(GET, FEW), [LOST, reply(503), reply(429)])
    assert isinstance(result, OverloadedError)
    assert len(pauses) == 2


@pytest.mark.parametrize("slow", [SILENT, reply(504)])
def test_after_silence_only_cheap_calls_are_repeated(slow) -> None:
    result, _ = play(exchange(GET, FEW), [slow, reply(200)])
    assert result.status == 200
    result, pauses = play(exchange(POST, FEW), [slow])
    assert isinstance(result, ServiceTimeoutError | UnavailableError)
    assert pauses == []


@pytest.mark.parametrize("final", [400, 401, 404, 409, 413, 422, 500, 301])
def test_a_no_is_a_no(final: int) -> None:
    result, pauses = play(exchange(GET, FEW), [reply(final)])
    assert (result.status, pauses) == (final, [])


def test_retry_after_is_waited_for_in_full_or_left_to_the_caller() -> None:
    _, pauses = play(exchange(POST, FEW), [reply(429, retry_after="7"), reply(200)])
    assert pauses == [7.0]
    result, pauses = play(exchange(POST, FEW), [reply(429, retry_after="9")])
    assert (result.retry_after_s, pauses) == (9.0, [])


def test_backoff_stops_growing() -> None:
    assert all(4.0 <= FEW.backoff_s(10_000) <= 8.0 for _ in range(20))
    with pytest.raises(SchemaError, match="first_s"):
        Retries(first_s=0)
    with pytest.raises(SchemaError, match="num"):
        Retries(num=-1)


def test_deleting_what_an_unanswered_try_deleted_is_no_error() -> None:
    assert play(ByHand().delete(ID), [LOST, reply(404)])[0] is None
    assert play(ByHand().delete(ID), [reply(504), reply(404)])[0] is None
    assert isinstance(play(ByHand().delete(ID), [reply(404)])[0], NotFoundError)
    # a refusal for lack of time deleted nothing
    assert isinstance(play(ByHand().delete(ID), [reply(429), reply(404)])[0], NotFoundError)


@pytest.mark.parametrize("bad", ["", "A1" * 32, "a1" * 31, "../" + "a" * 61, ID + "\n", None])
def test_an_id_is_checked_before_it_becomes_a_path(bad) -> None:
    with pytest.raises(SchemaError, match="code_id"):
        next(ByHand().status(bad))


def test_waiting_looks_less_and_less_often_until_done() -> None:
    seen = []
    steps = ByHand().wait(ID, deadline_s=100.0, poll_s=2.0, on_status=seen.append)
    answers = [job("queued"), job("decoding"), job("encoding"), job("encoding"), job("done")]
    result, pauses = play(steps, answers)
    assert result.is_done
    assert pauses == [2.0, 3.0, 4.5, 5.0]
    told = [at.status for at in seen]
    assert told == ["queued", "decoding", "encoding", "encoding", "done"]
    with pytest.raises(SchemaError, match="poll_s"):
        next(ByHand().wait(ID, poll_s=0.0))


def test_waiting_outlives_a_service_that_is_away_for_longer_than_all_retries() -> None:
    away = [LOST, LOST, LOST, SILENT, reply(503), reply(502), LOST]
    result, pauses = play(ByHand().wait(ID, deadline_s=100.0), [*away, job("done")])
    assert result.is_done
    assert len(pauses) == len(away)


def test_waiting_polls_when_the_service_says() -> None:
    busy = [reply(429, retry_after="4"), reply(200, job("queued").body, retry_after="3")]
    _, pauses = play(ByHand().wait(ID, deadline_s=100.0), [*busy, job("done")])
    assert pauses == [4.0, 3.0]


def test_waiting_ends_with_a_last_look_at_the_deadline() -> None:
    # the clock: start, before the 1st call, after it (2 s left), before the 2nd, after it
    client = ByHand(0.0, 0.0, 8.0, 10.0, 10.0)
    steps = client.wait(ID, deadline_s=10.0, poll_s=5.0)
    result, pauses = play(steps, [job("queued"), job("decoding")])
    assert isinstance(result, WaitTimeoutError)
    assert (result.status, pauses) == ("decoding", [2.0])
    assert isinstance(result, TimeoutError)


def test_no_use_waiting_for_what_comes_after_the_deadline() -> None:
    steps = ByHand().wait(ID, deadline_s=10.0)
    result, pauses = play(steps, [reply(503, retry_after="11")])
    assert isinstance(result, WaitTimeoutError)
    assert isinstance(result.__cause__, UnavailableError)
    assert pauses == []


def test_waiting_ends_with_a_failure_or_a_refusal() -> None:
    error = b', "error": {"code": "video_limit", "title": "Too long", "detail": "3 h"}'
    result, _ = play(ByHand().wait(ID), [job("failed", error)])
    assert isinstance(result, EncodingFailedError)
    assert (result.code, result.title, result.detail) == ("video_limit", "Too long", "3 h")
    assert isinstance(play(ByHand().wait(ID), [reply(404)])[0], NotFoundError)
    assert isinstance(play(ByHand().wait(ID), [reply(401)])[0], KeyRefusedError)


def test_a_problem_document_becomes_its_error() -> None:
    body = b'{"type": "urn:x", "title": "Too large", "status": 413, "detail": "9 B", "code": "big"}'
    error = problem_error(413, {"retry-after": "2"}, body)
    assert type(error) is BadRequestError
    assert isinstance(error, ValueError)
    said = (error.status, error.type, error.title, error.detail, error.code, error.retry_after_s)
    assert said == (413, "urn:x", "Too large", "9 B", "big", 2.0)
    assert str(error) == "413 Too large (big): 9 B"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"detail": [1]}', b"\xff", b"[" * 9**5])
def test_what_is_no_problem_document_still_has_its_status(body: bytes) -> None:
    error = problem_error(502, {}, body)
    assert type(error) is UnavailableError
    assert (error.status, error.title, error.detail) == (502, "Bad Gateway", "")
    assert error.code == "unavailable"


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert seconds_until("120") == 120.0
    assert seconds_until("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30.0
    assert seconds_until("Thu, 01 Jan 2026 12:00:30 -0000", now) == 30.0
    assert seconds_until("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0.0
    assert seconds_until("-1") is seconds_until("soon") is seconds_until(None) is None


@pytest.mark.parametrize("body", [b"{}", b"[]", b"no", b'{"id": 1, "status": "x", "created_s": 1}'])
def test_an_answer_that_is_none_is_said_to_be_so(body: bytes) -> None:
    with pytest.raises(ReplyError, match="expected"):
        play(ByHand().status(ID), [reply(200, body)])
