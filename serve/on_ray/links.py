"""How the routes reach encoder and reasoner: through Ray Serve's handles, or within this process.

A replica that dies while it is asked is an error that may be tried again; errors of the library
come back as themselves, without another process's stack.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from serve.ask.asking import Answered, Asked
from serve.http import problems
from spatialcode.scene.schema import SpatialCode
from spatialcode.workkey import EncoderIdentity

_READY_S = 2.0
_IDENTITY_S = 5.0
_RETRY_S = 2.0


class ServeEncoder:
    """The Encoder deployment behind a handle."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._identity: EncoderIdentity | None = None
        self._waking: set[asyncio.Task[None]] = set()

    async def identity(self) -> EncoderIdentity:
        """Asked once: another encoder is another deployment of the whole application."""
        if self._identity is None:
            try:
                async with asyncio.timeout(_IDENTITY_S):
                    self._identity = await self._handle.identity.remote()
            except (TimeoutError, RayActorError, DeploymentUnavailableError):
                raise problems.try_later(
                    503, "not_ready", "the encoder is not ready yet", _RETRY_S
                ) from None
        return self._identity

    async def ready(self) -> bool:
        try:
            async with asyncio.timeout(_READY_S):
                return bool(await self._handle.ready.remote())
        except (TimeoutError, RayActorError, DeploymentUnavailableError):
            return False

    def wake(self) -> None:
        """Tell one replica; the others look by themselves within a second."""
        task = asyncio.ensure_future(self._wake())
        self._waking.add(task)  # else it might be collected before it ran
        task.add_done_callback(self._waking.discard)

    async def _wake(self) -> None:
        with contextlib.suppress(RayActorError, DeploymentUnavailableError, BackPressureError):
            await self._handle.wake.remote()


class ServeReasoner:
    """The Reasoner deployment behind a handle."""

    def __init__(self, handle: Any, names: Sequence[str]) -> None:
        self._handle = handle
        self.names = tuple(names)

    async def answer(self, asked: Asked, code: SpatialCode, timeout_s: float) -> Answered:
        try:
            async with asyncio.timeout(timeout_s):
                answered: Answered = await self._handle.answer.remote(asked, code)
        except RayTaskError as error:  # carries another process's stack in its text
            raise error.cause from None
        except (BackPressureError, RayActorError, DeploymentUnavailableError):
            raise problems.try_later(
                503, "reasoner_busy", "the language model cannot answer now", _RETRY_S
            ) from None
        return answered
