"""What both clients share: requests for httpx, the meaning of its errors, and a progress bar.

httpx is imported only here, and only when a client is made. Redirects are not followed, so that an
API key is sent only to the service that it was given for.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spatialcode.client.errors import (
    ClientSetupError,
    ReplyError,
    ServiceConnectionError,
    ServiceError,
    ServiceTimeoutError,
)
from spatialcode.client.exchange import Call, OnBytes, Reply, Upload
from spatialcode.errors import SchemaError
from spatialcode.version import __version__

if TYPE_CHECKING:
    import httpx

#: The environment variable with the key, if none is given.
KEY_VARIABLE = "SPATIALCODE_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_TIMEOUT_S = 10.0


def client_arguments(base_url: str, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """Arguments of ``httpx.Client`` and ``httpx.AsyncClient``. SchemaError for an invalid value."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SchemaError("base_url", "http://host or https://host", base_url)
    if not timeout_s > 0:
        raise SchemaError("timeout_s", "above 0", timeout_s)
    # the message must not repeat the key
    if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
        raise SchemaError("api_key", "printable ASCII", "other characters")
    headers = {"User-Agent": f"spatialcode/{__version__}"}
    key = api_key or os.environ.get(KEY_VARIABLE)
    if key:
        headers["Authorization"] = f"Bearer {key}"
    timeout = load_httpx().Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
    return {"base_url": base_url, "headers": headers, "timeout": timeout}


def load_httpx() -> Any:
    """The library httpx, or an error that says what to do."""
    try:
        import httpx
    except ImportError as error:
        raise ClientSetupError(
            "spatialcode.client needs httpx, which is not installed: pip install httpx"
        ) from error
    return httpx


@contextmanager
def request_arguments(call: Call) -> Iterator[dict[str, Any]]:
    """The arguments of ``build_request``; keeps the file of an upload open."""
    arguments: dict[str, Any] = {"method": call.method, "url": call.path}
    if call.params:
        arguments["params"] = dict(call.params)
    if call.timeout_s is not None:
        connect_s = min(call.timeout_s, CONNECT_TIMEOUT_S)
        arguments["timeout"] = load_httpx().Timeout(call.timeout_s, connect=connect_s)
    if call.json is not None:
        arguments["json"] = call.json
    if call.upload is None:
        yield arguments
        return
    with _CountedFile(call.upload) as file:
        # a field of its own, since the file name of a part cannot hold every character; and first,
        # so that a service that streams the form knows it before the file's bytes
        arguments["data"] = {"name": call.upload.name or call.upload.path.name}
        arguments["files"] = {"video": (call.upload.path.name, file)}
        yield arguments


@contextmanager
def as_service_errors(call: Call) -> Iterator[None]:
    """Turn what httpx raises into the ServiceError family, naming the call."""
    httpx = load_httpx()
    what = f"{call.method} {call.path}"
    try:
        yield
    except (httpx.ConnectTimeout, httpx.ConnectError, httpx.ProxyError) as error:
        raise ServiceConnectionError(f"{what}: the service cannot be reached: {error}") from error
    except httpx.TimeoutException as error:
        raise ServiceTimeoutError(f"{what}: no answer in time ({type(error).__name__})") from error
    except httpx.LocalProtocolError as error:  # the client's own fault, so repeating is of no use
        raise ServiceError(f"{what}: {error}") from error
    except httpx.TransportError as error:
        raise ServiceConnectionError(f"{what}: the connection was lost: {error}") from error
    except httpx.RequestError as error:
        raise ReplyError(f"{what}: {error}") from error


def reply_of(response: httpx.Response, body: bytes = b"") -> Reply:
    """A response's status and headers, by lower-case name, with a body that was read."""
    headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, body)


@contextmanager
def upload_progress(progress: bool | OnBytes, name: str) -> Iterator[OnBytes | None]:
    """The function to call with the bytes sent: of a bar (True), the caller's own, or none (False).

    When an upload is repeated, the bar starts again as well.
    """
    if not isinstance(progress, bool):
        yield progress
        return
    if not progress:
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda sent, total: bar.update(task, completed=sent, total=total)


class _CountedFile(io.FileIO):
    """A file that reports how much of it has been read, and fails if its size changes.

    The length of the request is declared before its bytes are read. If they differ, httpcore would
    let an error of h11 through, so this is detected here.
    """

    def __init__(self, upload: Upload) -> None:
        super().__init__(upload.path, "rb")
        self._upload = upload
        self._total = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(-1 if size is None else size) or b""
        num_read = self.tell()
        if num_read > self._total or (not chunk and num_read < self._total):
            what = f"expected {self._total} bytes, got {num_read}"
            raise ServiceError(f"{self._upload.path}: changed while it was sent: {what}")
        if self._upload.on_bytes is not None:
            self._upload.on_bytes(num_read, self._total)
        return chunk
