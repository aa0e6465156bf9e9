"""Every error is a problem document, and none says more than it should."""

from __future__ import annotations

import json
import pickle
from typing import Annotated

import pytest
from fastapi import Body, FastAPI
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from serve.http import problems
from serve.http.problems import HTTPProblem
from spatialcode import errors


def raising(error: Exception) -> TestClient:
    """An application whose /x raises ``error`` and whose /sum wants two numbers."""
    app = FastAPI()
    problems.install(app)

    @app.get("/x")
    def x() -> None:
        raise error

    @app.post("/sum")
    def add(a: Annotated[int, Body()], b: Annotated[int, Body()]) -> int:
        return a + b

    return TestClient(app, raise_server_exceptions=False)


def test_a_problem_is_its_document() -> None:
    problem = HTTPProblem(409, "not_done", "wait", headers={"Retry-After": "1"}, extra={"id": "a"})
    answer = raising(problem).get("/x")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {
        "type": "urn:problem-type:spatialcode:not_done",
        "title": "Not done",
        "status": 409,
        "detail": "wait",
        "code": "not_done",
        "id": "a",
    }


def test_a_problem_travels_between_processes() -> None:
    problem = problems.try_later(503, "draining", "later", 1.2)
    problem.extra["more"] = 1
    copy = pickle.loads(pickle.dumps(problem))
    assert isinstance(copy, HTTPProblem)
    assert copy.document() == problem.document()
    assert copy.headers == {"Retry-After": "2"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.EmptyVideoError("no bytes"), 422, "video_empty"),
        (errors.UnsupportedVideoError("a playlist"), 415, "video_unsupported"),
        (errors.VideoLimitError("bytes", "9, at most 8"), 413, "video_limit"),
        (errors.VideoLimitError("pixels", "9 x 9, at most 80"), 422, "video_limit"),
        (errors.DecodeTimeoutError("no answer"), 422, "decode_timeout"),
        (errors.DecodeMemoryError("too much"), 422, "decode_memory"),
        (errors.VideoNotFoundError("no file"), 404, "video_not_found"),
        (errors.SchemaError("size_m", "3 numbers", 4), 422, "schema"),
        (errors.ParseError("no code"), 422, "parse"),
    ],
)
def test_errors_of_the_library_say_what_is_wrong_with_the_data(
    error: errors.SpatialCodeError, status: int, code: str
) -> None:
    answer = raising(error).get("/x")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"] == str(error)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ModelError("http://10.0.0.1/v1 refused"), 503),
        (errors.WeightsError("/srv/weights is damaged"), 503),
        (errors.ConfigError("/etc/keys"), 500),
        (errors.SpatialCodeError("/tmp/x"), 500),
        (KeyError("/srv/secret"), 500),
        (RuntimeError("password=hunter2"), 500),
        (MemoryError(), 500),
    ],
)
def test_errors_of_this_service_say_nothing_of_it(error: Exception, status: int) -> None:
    answer = raising(error).get("/x")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    for secret in ("10.0.0.1", "/srv", "/etc", "/tmp", "hunter2", "Traceback", "Error"):
        assert secret not in answer.text


def test_a_bad_body_names_its_fields_and_is_not_repeated() -> None:
    client = raising(ValueError())
    answer = client.post("/sum", json={"a": "my-private-text"})
    assert answer.status_code == 422
    document = answer.json()
    assert document["code"] == "invalid_request"
    assert {item["where"] for item in document["errors"]} == {"body.a", "body.b"}
    assert "my-private-text" not in answer.text
    broken = client.post("/sum", content=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 422
    assert broken.headers["content-type"] == "application/problem+json"


def test_no_such_path_and_wrong_method_are_problems_too() -> None:
    client = raising(ValueError())
    missing, wrong = client.get("/none"), client.put("/x")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET"


def test_a_client_that_left_is_no_failure_of_ours() -> None:
    assert problems.as_problem(ClientDisconnect()).status_code == 400


@pytest.mark.parametrize(("wait_s", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2")])
def test_retry_after_is_whole_seconds_and_never_too_early(wait_s: float, header: str) -> None:
    problem = problems.try_later(429, "x", "y", wait_s)
    assert problem.headers == {"Retry-After": header}
    assert json.loads(problem.response().body)["retry_after_s"] == int(header)


def test_where_a_video_lies_is_not_said() -> None:
    error = errors.EmptyVideoError("the file is empty", "/srv/spool/upload-1.part")
    assert str(error) == "/srv/spool/upload-1.part: the file is empty"
    assert raising(error).get("/x").json()["detail"] == "the video: the file is empty"
