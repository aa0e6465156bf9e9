"""The worker's loop on a real book, store and decoder."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from serve.book.database import CodeJob, JobBook, JobStatus
from serve.book.encoding import EncodingWorker
from serve.book.file_store import FileStore
from serve.config import ServeConfig
from serve.metrics import Meters
from spatialcode.api import VideoEncoder, encode
from spatialcode.encoder.protocol import Window
from spatialcode.encoder.registry import make_encoder
from spatialcode.errors import EncodeError
from spatialcode.video.decode import hash_file
from spatialcode.workkey import work_key
from tests.pipelines.encode.window_encoders import EchoSession
from tests.serve.local_service import StandInEncoder, make_config
from tests.serve.memory_meters import MemoryMeters
from tests.serve.videos import small_video
from tests.video.builders import VideoRecipe, make_video, plant_garbage

NUM_FRAMES = 6


class Bench:
    """A folder's book and store, and workers at them."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder = folder
        self.now_s = 1000.0
        self.config: ServeConfig = make_config(folder, *settings)
        self.book = JobBook(self.config.store.job_database, lease_s=30.0, clock=lambda: self.now_s)
        self.store = FileStore(self.config.store.url)
        self.encoder = StandInEncoder()
        self.counted = MemoryMeters()

    def worker(self, name: str = "first") -> EncodingWorker:
        return EncodingWorker(
            name, self.book, self.store, self.encoder, self.config,
            meters=Meters(self.counted), clock=lambda: self.now_s,
        )  # fmt: skip

    def queue(self, shade: int = 0) -> str:
        """A new video's job, its video in the store."""
        path = small_video(self.folder / f"video{shade}.mp4", shade)
        sha256 = hash_file(path)
        key = work_key(sha256, self.encoder.identity(self.config.sampling))
        self.store.put_video(key, path)
        self.book.add(
            key, name=path.name, video_sha256=sha256, num_bytes=path.stat().st_size, owner="local"
        )
        return key


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_job_becomes_a_code(bench: Bench) -> None:
    key = bench.queue()
    assert bench.worker().step() == 1
    job = bench.book.get(key)
    assert job is not None
    assert (job.status, job.attempts) == (JobStatus.DONE, 1)
    counts = (job.frames_total, job.frames_decoded, job.frames_encoded)
    assert counts == (NUM_FRAMES, NUM_FRAMES, NUM_FRAMES)
    code = bench.store.get_code(key)
    assert code is not None
    assert code.provenance.work_key == key
    assert code.video.uri == "video0.mp4"  # a name, not where the file lies
    assert code.video.sampled_s == (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
    assert bench.worker().step() == 0
    assert bench.counted.value("spatialcode_frames", stage="encoded") == NUM_FRAMES
    assert bench.counted.count("spatialcode_decode_seconds") == 1
    assert bench.counted.value("spatialcode_jobs", status="done") == 1


def test_frames_can_be_asked_for_at_a_rate(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "sampling.rate_hz=1.0")
    key = bench.queue()
    bench.worker().step()
    code, job = bench.store.get_code(key), bench.book.get(key)
    assert code is not None
    assert job is not None
    assert code.video.sampled_s == (0.0, 1.0, 2.0)
    assert job.frames_total == 3


def test_progress_is_told_while_a_video_is_encoded(bench: Bench) -> None:
    key = bench.queue()
    seen = []
    while_encoding(bench, lambda: seen.append(bench.book.get(key)))
    bench.worker().step()
    (job,) = seen
    assert (job.status, job.frames_decoded, job.frames_encoded) == ("encoding", NUM_FRAMES, 3)


def test_jobs_are_encoded_together_up_to_the_batch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "encoder.max_batch=2")
    keys = [bench.queue(shade) for shade in range(3)]
    worker = bench.worker()
    assert [worker.step(), worker.step(), worker.step()] == [2, 1, 0]
    assert bench.encoder.batches == [keys[:2], keys[2:]]


def test_a_batch_that_breaks_is_tried_one_by_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "encoder.max_batch=3")
    good, bad, refused = (bench.queue(shade) for shade in range(3))
    jobs = {key: bench.book.get(key) for key in (bad, refused)}
    bench.encoder.errors = {
        jobs[bad].video_sha256: RuntimeError("out of memory at /secret/path"),
        jobs[refused].video_sha256: EncodeError("no floor in sight"),
    }
    bench.worker().step()
    assert bench.book.get(good).status == JobStatus.DONE
    failed = bench.book.get(bad)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "internal")
    assert "secret" not in failed.error
    told = bench.book.get(refused)
    assert (told.error_code, told.error) == ("encode", "no floor in sight")


def test_a_damaged_video_fails_by_its_own_code_and_names_no_path(bench: Bench) -> None:
    key = bench.queue()
    path = Path(bench.config.store.url) / "videos" / f"{key}.bin"
    path.write_bytes(path.read_bytes()[:-400])
    bench.worker().step()
    job = bench.book.get(key)
    assert job.status == JobStatus.FAILED
    assert job.error_code in {"video_truncated", "video_corrupt"}
    assert str(bench.folder) not in job.error
    assert bench.encoder.batches == []


def test_an_emptied_video_is_called_as_its_sender_called_it(bench: Bench) -> None:
    key = bench.queue()
    (Path(bench.config.store.url) / "videos" / f"{key}.bin").write_bytes(b"")
    bench.worker().step()
    job = bench.book.get(key)
    assert (job.error_code, job.error) == ("video_empty", "video0.mp4: the file is empty")


def test_a_code_whose_worker_died_before_the_book_knew_is_not_made_twice(bench: Bench) -> None:
    key = bench.queue()
    bench.worker().step()
    code = bench.store.get_code(key)
    bench.book.delete(key)
    bench.queue()  # the same video: in the book as new, its code in the store
    assert bench.worker("second").step() == 1
    assert bench.book.get(key).status == JobStatus.DONE
    assert bench.encoder.batches == [[key]]
    assert bench.store.get_code(key) == code


def test_a_job_past_its_deadline_is_not_begun(bench: Bench) -> None:
    key = bench.queue()
    bench.now_s += bench.config.limits.deadline_s + 1
    bench.worker().step()
    job = bench.book.get(key)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "deadline")
    assert bench.encoder.batches == []


def test_a_video_that_is_gone_fails(bench: Bench) -> None:
    key = bench.queue()
    bench.store.delete_video(key)
    bench.worker().step()
    assert bench.book.get(key).error_code == "video_lost"


def while_encoding(bench: Bench, action: Callable[[], object]) -> None:
    """Let something happen while a batch is in the encoder."""

    def before(keys: Sequence[str]) -> None:
        action()

    bench.encoder.before = before  # type: ignore[method-assign]


def test_what_is_deleted_meanwhile_leaves_nothing(bench: Bench) -> None:
    key = bench.queue()

    def delete() -> None:
        bench.book.delete(key)
        bench.store.delete(key)

    while_encoding(bench, delete)
    bench.worker().step()
    assert bench.book.get(key) is None
    assert bench.store.get_code(key) is None


def test_released_work_is_anothers_and_its_first_worker_ends_nothing(bench: Bench) -> None:
    key = bench.queue()
    first, second = bench.worker("first"), bench.worker("second")

    def hand_over() -> None:
        while_encoding(bench, lambda: None)
        assert first.release() == 1
        assert bench.book.get(key).status == JobStatus.QUEUED
        second.step()

    while_encoding(bench, hand_over)
    first.step()
    job = bench.book.get(key)
    assert (job.status, job.attempts) == (JobStatus.DONE, 1)
    assert bench.counted.value("spatialcode_jobs", status="done") == 1


def test_videos_are_removed_where_they_are_not_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "store.keep_videos=false")
    key = bench.queue()
    bench.worker().step()
    assert bench.book.get(key).status == JobStatus.DONE
    assert bench.store.video_size(key) is None


def test_a_stopped_worker_finishes_its_batch_and_takes_no_other(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "encoder.max_batch=1")
    bench.queue(0)
    last = bench.queue(1)
    worker = bench.worker()
    while_encoding(bench, worker.stop)
    thread = threading.Thread(target=worker.run)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert len(bench.encoder.batches) == 1
    assert bench.book.get(last).status == JobStatus.QUEUED


def _hang_while_encoding(folder: str, pipe: object) -> None:
    """A worker process that never gets beyond its encoder."""
    bench = Bench(Path(folder), "store.lease_s=1.0")
    bench.book = JobBook(bench.config.store.job_database, lease_s=1.0)

    def hang() -> None:
        pipe.send("encoding")
        threading.Event().wait()

    while_encoding(bench, hang)
    EncodingWorker(
        f"process-{os.getpid()}", bench.book, bench.store, bench.encoder,
        bench.config,
    ).step()  # fmt: skip


def test_a_killed_workers_job_is_done_by_another_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "store.lease_s=1.0")
    bench.book = JobBook(bench.config.store.job_database, lease_s=1.0)
    key = bench.queue()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_hang_while_encoding, args=(str(tmp_path), theirs)
    )
    process.start()
    assert ours.poll(120)
    assert ours.recv() == "encoding"
    worker = EncodingWorker("survivor", bench.book, bench.store, bench.encoder, bench.config)
    threading.Event().wait(1.5)  # beats keep the lease for longer than it lasts
    assert worker.step() == 0
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    waiting = threading.Event()
    for _ in range(200):
        if worker.step():
            break
        waiting.wait(0.05)
    job = bench.book.get(key)
    assert (job.status, job.attempts) == (JobStatus.DONE, 2)
    assert bench.encoder.batches == [[key]]


class LongBench(Bench):
    """A bench whose encoder takes windows of 8 frames, 3 of them repeated, at 30 frames a second;
    its videos have 120 frames.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        super().__init__(folder, "sampling.rate_hz=30.0", "encoder.max_batch=4", *settings)
        self.encoder = VideoEncoder(make_encoder("tests.pipelines.encode.window_encoders:Echo"))
        self.path = folder / "long.mp4"
        make_video(self.path, VideoRecipe(num_frames=120, width_px=64, height_px=48, fps=30.0))

    def queue_long(self, path: Path) -> str:
        sha256 = hash_file(path)
        key = work_key(sha256, self.encoder.identity(self.config.sampling))
        self.store.put_video(key, path)
        num_bytes = path.stat().st_size
        self.book.add(key, name=path.name, video_sha256=sha256, num_bytes=num_bytes, owner="local")
        return key

    def at_beat(self, number: int, action: Callable[[], object]) -> list[CodeJob]:
        """Do something when the worker reports for the n-th time; the job at each report."""
        seen: list[CodeJob] = []
        beat = self.book.beat

        def watched(code_id: str, worker: str, **told: object) -> bool:
            if told.get("frames_decoded") is not None:
                seen.append(self.book.get(code_id))
                if len(seen) == number:
                    action()
            return beat(code_id, worker, **told)

        self.book.beat = watched
        return seen


@pytest.fixture
def long_bench(tmp_path: Path) -> LongBench:
    return LongBench(tmp_path)


def test_a_long_video_is_encoded_window_by_window_as_the_library_does(
    long_bench: LongBench,
) -> None:
    key = long_bench.queue_long(long_bench.path)
    seen = long_bench.at_beat(0, lambda: None)
    assert long_bench.worker().step() == 1
    job, code = long_bench.book.get(key), long_bench.store.get_code(key)
    assert job.status == JobStatus.DONE, job.error
    assert (job.frames_total, job.frames_decoded, job.frames_encoded) == (120, 120, 120)
    # what stood in the book before each report: nothing, the first window's 8, then 5 each
    assert [one.frames_encoded for one in seen] == [0, 8, *range(13, 119, 5)]
    alive, pixels = code.provenance.software.split(" alive, ")
    assert int(alive) <= 3, "of 24 windows"
    same = encode(long_bench.path, encoder=long_bench.encoder, sampling=long_bench.config.sampling)
    assert same.provenance.software.endswith(pixels)
    assert code.video == replace(same.video, uri="long.mp4")
    assert code.provenance.work_key == same.provenance.work_key == key
    assert long_bench.counted.value("spatialcode_frames", stage="encoded") == 120
    assert long_bench.counted.count("spatialcode_decode_seconds") == 1


def test_long_videos_are_claimed_one_at_a_time(long_bench: LongBench, tmp_path: Path) -> None:
    other = make_video(
        tmp_path / "other.mp4", VideoRecipe(num_frames=70, width_px=64, height_px=48)
    )
    keys = [long_bench.queue_long(path) for path in (long_bench.path, other)]
    worker = long_bench.worker()
    assert [worker.step(), worker.step(), worker.step()] == [1, 1, 0]
    assert [long_bench.book.get(key).status for key in keys] == [JobStatus.DONE] * 2


def test_a_long_video_that_is_deleted_is_left_in_its_midst(long_bench: LongBench) -> None:
    key = long_bench.queue_long(long_bench.path)

    def delete() -> None:
        long_bench.book.delete(key)
        long_bench.store.delete(key)

    seen = long_bench.at_beat(3, delete)
    assert long_bench.worker().step() == 1
    assert len(seen) == 3
    assert long_bench.book.get(key) is None
    assert long_bench.store.get_code(key) is None


def test_a_long_video_past_its_deadline_is_left_in_its_midst(long_bench: LongBench) -> None:
    key = long_bench.queue_long(long_bench.path)

    def wait() -> None:
        long_bench.now_s += long_bench.config.limits.deadline_s + 1

    seen = long_bench.at_beat(2, wait)
    long_bench.worker().step()
    job = long_bench.book.get(key)
    assert (job.status, job.error_code, len(seen)) == (JobStatus.FAILED, "deadline", 2)


def test_a_long_video_that_is_damaged_or_gone_fails_as_others_do(
    long_bench: LongBench, tmp_path: Path
) -> None:
    sound = make_video(
        tmp_path / "c.mp4", VideoRecipe(num_frames=90, width_px=64, height_px=48, faststart=True)
    )
    damaged = plant_garbage(sound, tmp_path / "damaged.mp4")
    bad, gone = long_bench.queue_long(damaged), long_bench.queue_long(long_bench.path)
    long_bench.store.delete_video(gone)
    worker = long_bench.worker()
    assert [worker.step(), worker.step()] == [1, 1]
    failed = long_bench.book.get(bad)
    assert failed.error_code == "video_corrupt"
    assert str(tmp_path) not in failed.error
    assert long_bench.book.get(gone).error_code == "video_lost"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (EncodeError("no floor in sight"), "encode", "no floor in sight"),
        (RuntimeError("at /secret/path"), "internal", "a reason of the service's own"),
    ],
)
def test_what_fails_within_a_window_is_the_jobs_end(
    long_bench: LongBench, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, told: str
) -> None:
    key = long_bench.queue_long(long_bench.path)

    def push(session: EchoSession, window: Window) -> None:
        raise error

    monkeypatch.setattr(EchoSession, "push", push)
    long_bench.worker().step()
    job = long_bench.book.get(key)
    assert (job.status, job.error_code) == (JobStatus.FAILED, code)
    assert told in job.error
    assert "secret" not in job.error
