"""What a caller and its decoding child say to each other, as JSON objects (`spatialcode.child`).

Pixels do not pass through here; they lie in shared memory.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from spatialcode import errors
from spatialcode.video.decode import Request
from spatialcode.video.limits import VideoLimits
from spatialcode.video.opening import VideoProbe
from spatialcode.video.sampling import ByCount, ByRate, ByTimes

PLANS = {plan.__name__: plan for plan in (ByCount, ByRate, ByTimes)}


def request_to_dict(request: Request) -> dict[str, Any]:
    """A JSON-able form of `request`."""
    return asdict(request) | {"plan": [type(request.plan).__name__, asdict(request.plan)]}


def request_from_dict(message: dict[str, Any]) -> Request:
    """Inverse of `request_to_dict`."""
    kind, values = message["plan"]
    plan = PLANS[kind](**{key: _tuples(value) for key, value in values.items()})
    limits = VideoLimits(**{key: _tuples(value) for key, value in message["limits"].items()})
    return Request(**(message | {"plan": plan, "limits": limits}))


def probe_from_dict(message: dict[str, Any]) -> VideoProbe:
    """Inverse of `asdict` on a VideoProbe."""
    return VideoProbe(**message)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def error_to_dict(error: errors.VideoError) -> dict[str, str]:
    """What crosses the socket of an error."""
    return {"code": error.code, "message": str(error)}


def error_from_dict(message: dict[str, Any]) -> errors.VideoError:
    """The error of the same type and text; DecodeCrashError for a code nobody knows."""
    text = str(message.get("message"))
    kind = _error_types().get(str(message.get("code")))
    return kind(text) if kind else errors.DecodeCrashError(f"the decoder failed: {text}")


def _error_types() -> dict[str, type[errors.VideoError]]:
    found: dict[str, type[errors.VideoError]] = {}
    pending = [errors.VideoError]
    while pending:
        kind = pending.pop()
        found[kind.code] = kind
        pending += kind.__subclasses__()
    return found
