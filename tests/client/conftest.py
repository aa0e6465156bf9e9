"""Both clients with one face, and the service that they talk to."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from spatialcode.client import AsyncSpatialCodeClient, Retries, SpatialCodeClient
from tests.client.stand_in import StandIn, running

ROOT = Path(__file__).parents[2]
QUICK = Retries(num=3, first_s=0.01, longest_s=5.0)


class Awaited:
    """The asynchronous client with the blocking one's face, so that one test holds for both."""

    def __init__(self, url: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncSpatialCodeClient(url, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if inspect.isasyncgen(result):
                result = self._all(result)
            return self._runner.run(result)

        return call

    async def _all(self, items: Any) -> Any:
        return iter([item async for item in items])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


@pytest.fixture(params=[SpatialCodeClient, Awaited], ids=["blocking", "async"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def service() -> Iterator[StandIn]:
    with running(
        StandIn((ROOT / "spatialcode" / "assets" / "sample_room.json").read_text(encoding="utf-8"))
    ) as stand_in:
        yield stand_in


@pytest.fixture
def client(service: StandIn, kind: Any) -> Iterator[Any]:
    with kind(service.url, retries=QUICK) as made:
        yield made


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / 'my "first" röom.mp4'
    path.write_bytes(bytes(range(256)) * 1024)
    return path
