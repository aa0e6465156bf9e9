"""The service from Python: `SpatialCodeClient`, and `AsyncSpatialCodeClient` for event loops.

    with SpatialCodeClient("http://127.0.0.1:8000") as client:
        job = client.upload("room.mp4", progress=True)
        client.wait(job.id)
        print(client.ask(job.id, "How many chairs are in this room?").answer)

Both run the same operations and differ only in how they wait for the network. They load neither
torch nor Ray, and httpx only when a client is made. How the service works is not known here.
"""

from __future__ import annotations

from spatialcode.client.clients import AsyncSpatialCodeClient, SpatialCodeClient
from spatialcode.client.errors import (
    BadRequestError,
    ClientSetupError,
    ConflictError,
    EncodingFailedError,
    KeyRefusedError,
    NotFoundError,
    OverloadedError,
    Problem,
    ProblemError,
    ReplyError,
    ServiceConnectionError,
    ServiceError,
    ServiceTimeoutError,
    UnavailableError,
    WaitTimeoutError,
)
from spatialcode.client.exchange import Retries
from spatialcode.client.records import (
    AnswerEvidence,
    CodeProgress,
    Failure,
    SeenObject,
    ServiceAnswer,
)

#: `CodeProgress` by the name of its schema in the service's OpenAPI document.
CodeStatus = CodeProgress

__all__ = [
    "AnswerEvidence",
    "AsyncSpatialCodeClient",
    "BadRequestError",
    "ClientSetupError",
    "CodeProgress",
    "CodeStatus",
    "ConflictError",
    "EncodingFailedError",
    "Failure",
    "KeyRefusedError",
    "NotFoundError",
    "OverloadedError",
    "Problem",
    "ProblemError",
    "ReplyError",
    "Retries",
    "SeenObject",
    "ServiceAnswer",
    "ServiceConnectionError",
    "ServiceError",
    "ServiceTimeoutError",
    "SpatialCodeClient",
    "UnavailableError",
    "WaitTimeoutError",
]
