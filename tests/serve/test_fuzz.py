"""Whatever fits the service's own description, or nearly, is answered as it describes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.serve.local_service import Running, running
from tests.serve.videos import small_video

schemathesis = pytest.importorskip("schemathesis", reason="needs the package schemathesis")
from schemathesis.specs.openapi import checks  # noqa: E402 (only where it is installed)

NUM_EXAMPLES = 25
OPERATIONS = [
    ("POST", "/v1/codes"), ("GET", "/v1/codes"), ("GET", "/v1/codes/{code_id}"),
    ("GET", "/v1/codes/{code_id}/video"), ("DELETE", "/v1/codes/{code_id}"), ("POST", "/v1/ask"),
    ("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/models/{name}"),
    ("GET", "/healthz"), ("GET", "/readyz"),
]  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fuzz")
    with running(folder, "fetch.timeout_s=1", "limits.ask_deadline_s=10") as made:
        made.upload(small_video(folder / "room.mp4"))
        yield made


@pytest.fixture(scope="module")
def description(service: Running) -> Any:
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


def test_every_operation_is_tried(description: Any) -> None:
    found = [operation.ok() for operation in description.get_all_operations()]
    assert {(one.method.upper(), one.path) for one in found} == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_answers_are_as_described(
    description: Any, service: Running, method: str, path: str
) -> None:
    @settings(
        max_examples=NUM_EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=description[path][method].as_strategy())
    def answered(case: Any) -> None:
        response = case.call(timeout=30)
        lasting = response.status_code >= 500 and response.status_code not in {503, 504}
        assert not lasting, response.text
        assert "Traceback" not in response.text
        case.validate_response(
            response,
            checks=[
                checks.status_code_conformance, checks.content_type_conformance,
                checks.response_schema_conformance,
            ],
        )  # fmt: skip

    answered()
    assert service.http.get("/healthz").status_code == 200
