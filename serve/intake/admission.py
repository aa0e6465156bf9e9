"""From a video on disk to a job in the book: known already, refused, or queued.

The order matters: the video lies in the store before its job is in the book, so that no worker ever
claims a job without a video; and a video is looked at (in a child process, within limits) before
either. It knows no HTTP.
"""

from __future__ import annotations

from serve.book.code_ids import display_name
from serve.book.database import CodeJob, JobStatus
from serve.http import problems
from serve.intake.acceptance import Acceptance
from serve.intake.fetching import Fetcher
from serve.intake.spool import StoredUpload
from serve.services import Deadline, Services
from spatialcode.workkey import work_key

#: The share of a waiting video in what a refused client is told to wait, in seconds.
_WAIT_A_JOB_S, _LONGEST_WAIT_S = 0.5, 60.0


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
