"""Whether a file is a video that is taken, found out before anything of it is queued or decoded.

The first bytes decide which format it may be, so that a playlist, a script, an archive or a text is
never handed to FFmpeg; a child process that may be killed then reads its headers and packets. What
a file is called plays no part. Damage that shows only while frames are decoded is not found here.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from serve.config import ServeConfig
from serve.http import problems
from serve.intake.declared import declared
from spatialcode.errors import UnsupportedVideoError, VideoError, VideoLimitError
from spatialcode.video.limits import VideoLimits
from spatialcode.video.opening import VideoProbe
from spatialcode.video.sandbox import SandboxedDecoder, SandboxLimits
from spatialcode.video.source import check_file

RETRY_AFTER_S = 2.0


@dataclass(frozen=True)
class AcceptanceRules:
    """What is taken: limits of the video, pixels of its shorter side, bounds of looking at it."""

    limits: VideoLimits
    min_side_px: int
    sandbox: SandboxLimits
    num_probers: int

    @classmethod
    def of(cls, config: ServeConfig) -> AcceptanceRules:
        """The rules of a configuration."""
        video = config.video
        sandbox = video.sandbox(video.probe_timeout_s)
        return cls(config.video_limits, video.min_side_px, sandbox, video.num_probers)


class Acceptance:
    """A few decoding children that look at new videos, one at a time each.

    Blocking: to be called from threads. A child is started when it is first needed and again after
    a video was its end.
    """

    def __init__(self, config: ServeConfig) -> None:
        self.rules = rules = AcceptanceRules.of(config)
        self._all = [SandboxedDecoder(rules.sandbox) for _ in range(rules.num_probers)]
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
            _, format_name = check_file(path, self.rules.limits)
            with path.open("rb") as file:
                declared(file, format_name).check(self.rules.limits)
            with self._prober(timeout_s) as prober:
                facts = prober.probe(path, self.rules.limits, with_sha256=False)
            self._check_size(facts)
        except VideoError as error:
            raise _problem(error, path) from None
        return facts

    @contextlib.contextmanager
    def _prober(self, timeout_s: float | None) -> Iterator[SandboxedDecoder]:
        wait_s = self.rules.sandbox.wall_s if timeout_s is None else timeout_s
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
        if side_px < self.rules.min_side_px:
            raise VideoLimitError(
                f"pixels: {facts.width_px} x {facts.height_px}, "
                f"at least {self.rules.min_side_px} to a side"
            )
        if not facts.num_frames:
            raise UnsupportedVideoError("the video has no frames")


def _problem(error: VideoError, path: Path) -> problems.Problem:
    """The error's problem; where the file lies here is nobody's business."""
    problem = problems.from_error(error)
    problem.detail = problem.detail.replace(str(path.absolute()), "the video").replace(
        str(path), "the video"
    )
    if error.code == "video_not_found":  # what came is not a file: a link that leads nowhere
        return problems.Problem(422, error.code, problem.detail)
    return problem
