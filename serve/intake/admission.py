"""From a video on disk to a job in the book: known already, refused, or queued.

`Acceptance` finds out whether a file is a video that is accepted. Its first bytes decide which
format it may be, so that a playlist, a script, an archive or a text is never given to FFmpeg; then
a child process, which may be killed, reads its headers and packets. The file's name plays no part.
Damage that shows only while frames are decoded is not found here.

`Admission` keeps an order that matters: a video is looked at before it is stored, and it lies in
the store before its job is in the book, so that no worker ever claims a job without a video.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from pathlib import Path

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
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.video.source import VideoProbe, check_file
from spatialcode.workkey import work_key

RETRY_AFTER_S = 2.0
#: Seconds that a refused client is told to wait for each video in the queue, and at most.
_WAIT_A_JOB_S, _LONGEST_WAIT_S = 0.5, 60.0


class Acceptance:
    """A few child processes that probe new videos, each one at a time.

    Blocking, so call it from threads. A child is started when it is first needed, and again after a
    video has killed it.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._video, self._limits = config.video, config.video_limits
        sandbox = config.video.sandbox(config.video.probe_timeout_s)
        self._all = [SandboxedDecoder(sandbox) for _ in range(config.video.num_probers)]
        self._free: queue.LifoQueue[SandboxedDecoder] = queue.LifoQueue()
        for prober in self._all:
            self._free.put(prober)

    def close(self) -> None:
        """End the child processes."""
        for prober in self._all:
            prober.close()

    def check(self, path: Path, timeout_s: float | None = None) -> VideoProbe:
        """The facts of a file that is accepted, without its sha256.

        ``timeout_s``: how long to wait for a free child process; by default as long as one may take
        to probe a video. Problems: 413 for too many bytes, 415 if it is not a video of an accepted
        format, 422 if it is damaged, cut off, empty, without a video stream or beyond a limit, 429
        if no child becomes free in time. Their ``code`` is that of the library's error.
        """
        try:
            _, format_name = check_file(path, self._limits)
            with path.open("rb") as file:
                declared(file, format_name).check(self._limits)
            with self._prober(timeout_s) as prober:
                facts = prober.probe(path, self._limits, with_sha256=False)
            self._check_size(facts)
        except VideoNotFoundError as error:  # not a regular file, such as a dangling link
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
                429, "too_many_uploads", "too many videos are being probed", RETRY_AFTER_S
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
    """Turns videos into jobs."""

    def __init__(self, services: Services, acceptance: Acceptance, fetcher: Fetcher) -> None:
        self._services, self._acceptance, self._fetcher = services, acceptance, fetcher

    async def check_queue(self) -> None:
        """Raise the 429 problem with Retry-After if too many videos are waiting already."""
        services = self._services
        depth = await services.run(services.book.depth)
        services.meters.queue(depth)
        if depth >= services.config.limits.max_queue:
            wait_s = min(_LONGEST_WAIT_S, 1.0 + _WAIT_A_JOB_S * depth)
            raise problems.try_later(429, "queue_full", "too many videos are waiting", wait_s)

    async def fetch(
        self, url: str, name: str | None, owner: str, deadline: Deadline
    ) -> tuple[CodeJob, bool]:
        """The job of the video at a URL; see `admit`."""
        await self.check_queue()
        with self._services.slots.hold(owner):
            upload = await self._fetcher.fetch(url, deadline.left_s)
            return await self.admit(upload, name, owner, deadline)

    async def admit(
        self, upload: StoredUpload, name: str | None, owner: str, deadline: Deadline
    ) -> tuple[CodeJob, bool]:
        """The job of a video, and whether it is new. The upload's file is deleted in any case.

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
        """End the child processes that probe videos."""
        self._acceptance.close()


def is_json(content_type: str) -> bool:
    """Whether a body is JSON that names a video, rather than a video."""
    return content_type.partition(";")[0].strip().lower() == "application/json"
