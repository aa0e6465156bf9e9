"""The loop of an encoding worker: take jobs from the book, decode, encode, keep the code.

Everything a job needs lies in the book and the store, so a worker may be killed at any moment: its
lease runs out and another begins again. A code that was stored before its worker died is not made
twice. It knows neither HTTP nor Ray; how many workers there are is for others to decide.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from serve.book.database import CodeJob, JobBook, JobStatus
from serve.book.file_store import FileStore, MissingFileError
from serve.config import ServeConfig
from serve.metrics import Meters
from spatialcode.api import VideoEncoder, effective_sampling
from spatialcode.errors import EncodeError, VideoError
from spatialcode.scene.schema import SpatialCode
from spatialcode.streaming import ReadAhead, StreamedVideo, WatchedClip, is_long
from spatialcode.video.decode import DecodedVideo
from spatialcode.video.dense import decode_sampled
from spatialcode.video.sandbox import SandboxedDecoder

_log = logging.getLogger(__name__)

#: Beats within one lease: two may be late before another worker takes over.
_BEATS_A_LEASE = 3
#: How long an idle worker waits, unless it is woken, before it looks for a job again.
_POLL_S = 1.0
#: A decoder is given at least so long, however little of a job's time is left.
_MIN_WALL_S = 1.0


@dataclass
class _Held:
    """A job that this worker holds, until it is lost or ended."""

    job: CodeJob
    lost: bool = False
    video: DecodedVideo | None = field(default=None, repr=False)


class _LostError(Exception):
    """The job is no longer this worker's."""


class _LateError(Exception):
    """The job's deadline has passed."""


class EncodingWorker:
    """Works on one batch at a time, in whichever thread calls `run` or `step`.

    Where the sampling may give more frames than are held at once, a batch is one video, whose
    frames go from the decoder to the encoder a window at a time.
    """

    def __init__(
        self, name: str, book: JobBook, store: FileStore, encoder: VideoEncoder,
        config: ServeConfig, *, meters: Meters | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.name = name
        self._book, self._store, self._encoder = book, store, encoder
        self._config = config
        self._sampling = effective_sampling(config.sampling, encoder.encoder.frames)
        self._streams = is_long(self._sampling)
        self._sandbox = config.video.sandbox(config.video.decode_timeout_s)
        self._meters = meters or Meters()
        self._clock = clock
        self._decoder = SandboxedDecoder(self._sandbox)
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._busy_since_s: float | None = None

    def run(self) -> None:
        """Work until `stop`; while store or database cannot be reached, wait."""
        try:
            while not self._stopping.is_set():
                try:
                    num_jobs = self.step()
                except Exception:  # the loop's boundary: what a job causes is caught within
                    _log.exception("worker %s: a step failed, trying again", self.name)
                    num_jobs = 0
                if num_jobs == 0:
                    self._wake.wait(_POLL_S)
                    self._wake.clear()
        finally:
            self._decoder.close()

    def wake(self) -> None:
        """There may be something to do: look at once rather than at the next poll."""
        self._wake.set()

    def stop(self) -> None:
        """Take no more jobs; `run` returns when the batch under way is done."""
        self._stopping.set()
        self._wake.set()

    def release(self) -> int:
        """Give unfinished jobs back to the queue at once; how many. Their work is dropped."""
        return self._book.release(self.name)

    @property
    def busy_s(self) -> float:
        """Seconds since the batch under way was claimed; 0 while there is none."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else max(1e-3, time.monotonic() - since_s)

    def step(self) -> int:
        """Claim a batch and bring every job of it to an end; how many were claimed."""
        held = self._claim()
        if not held:
            return 0
        self._busy_since_s = time.monotonic()
        try:
            with self._beating(held):
                if self._streams:
                    for item in held:
                        self._stream(item)
                    return len(held)
                for item in held:
                    self._decode(item)
                ready = [item for item in held if item.video is not None and not item.lost]
                if ready:
                    self._encode(ready)
        finally:
            self._busy_since_s = None
        return len(held)

    def _claim(self) -> list[_Held]:
        held: list[_Held] = []
        most = 1 if self._streams else self._config.encoder.max_batch
        while len(held) < most and not self._stopping.is_set():
            job = self._book.claim(self.name)
            if job is None:
                break
            held.append(_Held(job))
        return held

    @contextlib.contextmanager
    def _beating(self, held: Sequence[_Held]) -> Iterator[None]:
        """Extend the leases while a batch is worked on, and mark jobs whose lease was lost."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self._config.store.lease_s / _BEATS_A_LEASE):
                for item in held:
                    try:
                        item.lost |= not self._book.beat(item.job.id, self.name)
                    except Exception:  # the database cannot be reached: the lease decides
                        _log.exception("worker %s: no beat for %s", self.name, item.job.id)

        thread = threading.Thread(target=beat, name=f"beat-{self.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _begun(self, item: _Held) -> float | None:
        """Seconds left for a job that is to be worked on; None for one that has ended by this."""
        job = item.job
        deadline_s = self._config.limits.deadline_s
        left_s = job.created_s + deadline_s - self._clock()
        if self._store.get_code(job.id) is not None:
            self._finish(item)  # its worker died between the code and the book
            return None
        if left_s <= 0:
            self._fail_late(item)
            return None
        sampling = self._sampling  # at a rate, decoding tells how many frames
        num_frames = sampling.num_frames if sampling.rate_hz is None else None
        item.lost |= not self._book.beat(
            job.id, self.name, status=JobStatus.DECODING, frames_total=num_frames
        )
        return None if item.lost else left_s

    def _decode(self, item: _Held) -> None:
        """Frames into ``item.video``, or the job's end."""
        job, left_s = item.job, self._begun(item)
        if left_s is None:
            return
        start = time.perf_counter()
        try:
            video = self._frames(job, left_s)
        except (VideoError, MissingFileError) as error:
            self._fail_unread(item, error)
            return
        self._meters.decoded(len(video.rgb), time.perf_counter() - start)
        item.video = video
        item.lost |= not self._book.beat(
            job.id, self.name, status=JobStatus.ENCODING, frames_total=len(video.rgb),
            frames_decoded=len(video.rgb), frames_encoded=0,
        )  # fmt: skip

    def _frames(self, job: CodeJob, left_s: float) -> DecodedVideo:
        decoder = self._limited_decoder(left_s)
        with self._store.local_video(job.id) as path:
            video = decode_sampled(
                decoder.decode, path, self._sampling,
                max_dense=self._encoder.encoder.frames.max_dense,
                limits=self._config.video_limits, sha256=job.video_sha256,
            )  # fmt: skip
        return replace(video, probe=replace(video.probe, uri=_public_name(job)))

    def _limited_decoder(self, left_s: float) -> SandboxedDecoder:
        """The decoder, which is not to take longer than its job has left."""
        wall_s = max(_MIN_WALL_S, min(self._sandbox.wall_s, left_s))
        self._decoder.limits = replace(self._sandbox, wall_s=wall_s)
        return self._decoder

    def _stream(self, item: _Held) -> None:
        """A code of frames that are read while others are encoded, or the job's end."""
        left_s = self._begun(item)
        if left_s is None:
            return
        start = time.perf_counter()
        try:
            with self._store.local_video(item.job.id) as path:
                streamed = self._streamed(item.job, path, left_s)
                with ReadAhead(streamed) as ahead:
                    told = WatchedClip(ahead, lambda num_frames: self._go_on(item, num_frames))
                    code = self._encoder.encode_source(told)
        except _LostError:
            return
        except _LateError:
            self._fail_late(item)
        except (VideoError, MissingFileError) as error:
            self._fail_unread(item, error)
        except Exception as error:  # the one boundary of a job: its failure is data
            self._fail_unencoded(item, error)
        else:
            num_frames = len(code.video.sampled_s)
            self._meters.decoded(num_frames, ahead.read_s)
            self._meters.encoded(num_frames, time.perf_counter() - start)
            self._keep(item, code)

    def _streamed(self, job: CodeJob, path: Path, left_s: float) -> StreamedVideo:
        limits, decoder = self._config.video_limits, self._limited_decoder(left_s)
        probe = decoder.probe(path, limits, with_sha256=False)
        probe = replace(probe, uri=_public_name(job), sha256=job.video_sha256)
        return StreamedVideo(decoder, path, probe, self._sampling, limits, job.id)

    def _go_on(self, item: _Held, num_frames: int) -> None:
        """Report so many frames. Raises where no more of the job is to be done."""
        job = item.job
        at_once = self._encoder.encoder.frames.window is None  # it begins when it has all
        item.lost |= not self._book.beat(
            job.id, self.name, status=JobStatus.ENCODING, frames_decoded=num_frames,
            frames_encoded=0 if at_once else num_frames,
        )  # fmt: skip
        if item.lost:
            raise _LostError
        if self._clock() > job.created_s + self._config.limits.deadline_s:
            raise _LateError

    def _encode(self, ready: Sequence[_Held]) -> None:
        start = time.perf_counter()
        results = self._codes(ready)
        num_frames = sum(len(item.video.rgb) for item in ready if item.video is not None)
        self._meters.encoded(num_frames, time.perf_counter() - start)
        for item, result in zip(ready, results, strict=True):
            if isinstance(result, SpatialCode):
                self._keep(item, result)
            else:
                self._fail_unencoded(item, result)

    def _codes(self, ready: Sequence[_Held]) -> list[SpatialCode | Exception]:
        """A code or what went wrong for each; a batch that breaks is tried one by one."""
        videos = [item.video for item in ready if item.video is not None]
        keys = [item.job.id for item in ready]

        def tell(share: float) -> None:
            for item, video in zip(ready, videos, strict=True):
                frames = int(share * len(video.rgb))
                item.lost |= not self._book.beat(item.job.id, self.name, frames_encoded=frames)

        try:
            return list(self._encoder.encode_batch(videos, keys, tell))
        except Exception as error:  # the one boundary of a batch: a job's failure is data
            if len(ready) == 1:
                return [error]
            _log.exception("worker %s: a batch of %d failed", self.name, len(ready))
            return [result for item in ready for result in self._codes([item])]

    def _keep(self, item: _Held, code: SpatialCode) -> None:
        num_frames = len(code.video.sampled_s)
        if item.lost or not self._book.beat(
            item.job.id, self.name, frames_total=num_frames, frames_encoded=num_frames
        ):
            return  # released, deleted, or another's by now
        self._store.put_code(item.job.id, code)
        self._finish(item)

    def _finish(self, item: _Held) -> None:
        if self._book.finish(item.job.id, self.name):
            self._meters.ended(str(JobStatus.DONE))
            if not self._config.store.keep_videos:
                self._store.delete_video(item.job.id)
        elif self._book.get(item.job.id) is None:
            self._store.delete(item.job.id)  # deleted while it was worked on

    def _fail_late(self, item: _Held) -> None:
        self._fail(item, "deadline", f"no code within {self._config.limits.deadline_s:g} s")

    def _fail_unread(self, item: _Held, error: VideoError | MissingFileError) -> None:
        if isinstance(error, MissingFileError):
            self._fail(item, "video_lost", "the stored video is gone")
        else:  # nobody outside is to learn where videos are stored
            self._fail(item, error.code, error.about(item.job.name or "the video"))

    def _fail_unencoded(self, item: _Held, error: Exception) -> None:
        if isinstance(error, EncodeError):
            self._fail(item, error.code, str(error))
            return
        _log.error("job %s: encoding failed", item.job.id, exc_info=error)
        self._fail(item, "internal", "encoding failed for a reason of the service's own")

    def _fail(self, item: _Held, code: str, message: str) -> None:
        if self._book.fail(item.job.id, self.name, code, message):
            self._meters.ended(str(JobStatus.FAILED))


def _public_name(job: CodeJob) -> str:
    """What a code calls its video: nobody outside is to learn where it is stored."""
    return job.name or f"{job.id}.video"
