"""From a video on disk to a job in the book: known already, refused, or queued.

`Acceptance` finds out whether a file is a video that is taken. The first bytes decide which format
it may be, so that a playlist, a script, an archive or a text is never handed to FFmpeg; a child
process that may be killed then reads its headers and packets. The file's name plays no part. Damage
that shows only while frames are decoded is not found here.

`Admission` keeps an order that matters: a video is looked at before it is stored, and it lies in
the store before its job is in the book, so that no worker ever claims a job without a video.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from serve.book.code_ids import display_name
from serve.book.database import CodeJob, JobStatus
from serve.config import ServeConfig
from serve.http import problems
from serve.intake.declared import declared
from serve.intake.fetching import Fetcher
from serve.intake.spool import StoredUpload
from serve.services import Deadline, Services
from spatialcode.errors import (
    UnsupportedVideoError,
    VideoError,
    VideoLimitError,
    VideoNotFoundError,
)
from spatialcode.video.opening import VideoProbe
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.video.source import check_file
from spatialcode.workkey import work_key

RETRY_AFTER_S = 2.0
#: The share of a waiting video in what a refused client is told to wait, in seconds.
_WAIT_A_JOB_S, _LONGEST_WAIT_S = 0.5, 60.0


class Acceptance:
    """A few decoding children that look at new videos, one at a time each.

    Blocking: to be called from threads. A child is started when it is first needed and again after
    a video was its end.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._video, self._limits = config.video, config.video_limits
        sandbox = config.video.sandbox(config.video.probe_timeout_s)
        self._all = [SandboxedDecoder(sandbox) for _ in range(config.video.num_probers)]
        self._free: queue.LifoQueue[SandboxedDecoder] = queue.LifoQueue()
        for prober in self._all:
            self._free.put(prober)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the children."""
        for prober in self._all:
            prober.close()

    def check(self, path: Path, timeout_s: float | None = None) -> VideoProbe:
        """Facts of a file that is taken; its sha256 is not computed again.

        ``timeout_s``: how long to wait for a free child, without one as long as a look may take.
        Problems: 413 for too many bytes, 415 for what is no video of an accepted kind, 422 for one
        that is damaged, cut off, empty, silent of pictures or beyond a limit, 429 when no child
        gets free in time. Their ``code`` is the library's.
        """
        try:
            _, format_name = check_file(path, self._limits)
            with path.open("rb") as file:
                declared(file, format_name).check(self._limits)
            with self._prober(timeout_s) as prober:
                facts = prober.probe(path, self._limits, with_sha256=False)
            self._check_size(facts)
        except VideoNotFoundError as error:  # what came is not a file: a link that leads nowhere
            raise problems.invalid(error.about("the video"), error.code) from None
        except VideoError as error:
            raise problems.from_error(error) from None
        return facts

    @contextlib.contextmanager
    def _prober(self, timeout_s: float | None) -> Iterator[SandboxedDecoder]:
        wait_s = self._video.probe_timeout_s if timeout_s is None else timeout_s
        try:
            prober = self._free.get(timeout=max(0.0, wait_s))
        except queue.Empty:
            raise problems.try_later(
                429, "too_many_uploads", "too many videos are being looked at", RETRY_AFTER_S
            ) from None
        try:
            yield prober
        finally:
            self._free.put(prober)

    def _check_size(self, facts: VideoProbe) -> None:
        side_px = min(facts.width_px, facts.height_px)
        if side_px < self._video.min_side_px:
            raise VideoLimitError(
                "pixels",
                f"{facts.width_px} x {facts.height_px}, "
                f"at least {self._video.min_side_px} to a side",
            )
        if not facts.num_frames:
            raise UnsupportedVideoError("the video has no frames")


class Admission:
    """Lets videos in."""

    def __init__(self, services: Services, acceptance: Acceptance, fetcher: Fetcher) -> None:
        self._services, self._acceptance, self._fetcher = services, acceptance, fetcher

    async def check_queue(self) -> None:
        """Raise the 429 problem with Retry-After where too many videos wait already."""
        services = self._services
        depth = await services.run(services.book.depth)
        services.meters.queue(depth)
        if depth >= services.config.limits.max_queue:
            wait_s = min(_LONGEST_WAIT_S, 1.0 + _WAIT_A_JOB_S * depth)
            raise problems.try_later(429, "queue_full", "too many videos are waiting", wait_s)

    async def fetch(
        self, url: str, name: str | None, owner: str, deadline: Deadline
    ) -> tuple[CodeJob, bool]:
        """The job of a video at a URL, as `admit` gives it."""
        await self.check_queue()
        with self._services.slots.hold(owner):
            upload = await self._fetcher.fetch(url, deadline.left_s)
            return await self.admit(upload, name, owner, deadline)

    async def admit(
        self, upload: StoredUpload, name: str | None, owner: str, deadline: Deadline
    ) -> tuple[CodeJob, bool]:
        """The job of a video, and whether it is new. The upload's file is gone afterwards.

        Raises the problems of a video that is not accepted.
        """
        services = self._services
        try:
            key = work_key(upload.sha256, await services.encoder.identity())
            known = await services.run(services.book.get, key)
            if known is not None and known.status != JobStatus.FAILED:
                return known, False
            await services.run(self._acceptance.check, upload.path, deadline.left_s)
            await services.run(services.store.put_video, key, upload.path)
        finally:
            upload.discard()
        shown = display_name(name or "") or display_name(upload.name)
        job, is_new = await services.run(
            lambda: services.book.add(
                key, name=shown, video_sha256=upload.sha256, num_bytes=upload.num_bytes,
                owner=owner,
            )
        )  # fmt: skip
        if is_new:
            services.codes.forget(key)
            services.meters.accepted(upload.num_bytes)
            services.encoder.wake()
        return job, is_new

    def close(self) -> None:
        """End the children that look at videos."""
        self._acceptance.close()


def is_json(content_type: str) -> bool:
    """Whether a body names a video rather than holding it."""
    return content_type.partition(";")[0].strip().lower() == "application/json"
