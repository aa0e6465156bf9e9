from __future__ import annotations

import os
import random
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serve.book.code_ids import BadIdError
from serve.book.database import CodeJob, JobBook, JobStatus
from serve.book.sql_engine import DatabaseError
from tests.serve.book import book_workers
from tests.serve.book.plain_book import LEASE_S, MAX_ATTEMPTS, PlainBook

#: A PostgreSQL database in which schemas may be made, for these tests to run on it, too.
POSTGRESQL_VARIABLE = "SPATIALCODE_TEST_POSTGRESQL"


class Clock:
    """Stands still until it is set."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/jobs.db"
        return
    base = os.environ.get(POSTGRESQL_VARIABLE)
    if not base:
        pytest.skip(f"{POSTGRESQL_VARIABLE} names no database")
    schema = f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(base.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    yield f"{base}?options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(url: str, clock: Clock) -> Iterator[JobBook]:
    book = JobBook(url, LEASE_S, clock, MAX_ATTEMPTS)
    yield book
    book.close()


def key(i: int) -> str:
    return f"{i:064x}"


def add(book: JobBook, i: int, **changes: Any) -> tuple[CodeJob, bool]:
    told = {"name": f"{i}.mp4", "video_sha256": key(1000 + i), "num_bytes": 10 * i, "owner": "me"}
    return book.add(key(i), **{**told, **changes})


def test_a_job_from_queued_to_done(book: JobBook, clock: Clock) -> None:
    job, new = add(book, 7)
    assert new
    assert job == CodeJob(
        key(7), JobStatus.QUEUED, 1000.0, 1000.0, 0, None, 0, 0, None, None, "7.mp4", key(1007),
        70, "me",
    )  # fmt: skip
    assert book.depth() == 1
    clock.now_s = 1001.5
    taken = book.claim("w")
    assert taken is not None
    assert (taken.status, taken.attempts, taken.updated_s) == (JobStatus.DECODING, 1, 1001.5)
    assert book.beat(key(7), "w", frames_total=32, frames_decoded=5)
    assert book.beat(key(7), "w", status=JobStatus.ENCODING, frames_encoded=4)
    clock.now_s = 1002.0
    assert book.finish(key(7), "w")
    done = book.get(key(7))
    assert done is not None
    assert (done.frames_total, done.frames_decoded, done.frames_encoded) == (32, 5, 4)
    assert (done.status, done.created_s, done.updated_s) == (JobStatus.DONE, 1000.0, 1002.0)
    assert (book.depth(), book.claim("w")) == (0, None)


def test_the_same_id_twice_is_one_job(book: JobBook) -> None:
    first, _ = add(book, 1)
    again, new = add(book, 1, name="other.mp4", owner="you")
    assert (again, new) == (first, False)
    assert book.depth() == 1
    book.claim("w")
    assert add(book, 1)[0].status == JobStatus.DECODING
    book.finish(key(1), "w")
    assert add(book, 1)[0].status == JobStatus.DONE
    assert book.depth() == 0


def test_one_id_added_by_many_threads_at_once_is_new_once(book: JobBook) -> None:
    barrier = threading.Barrier(8)

    def work(i: int) -> bool:
        barrier.wait()
        return add(book, 1, owner=f"key-{i}")[1]

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 1
    assert book.depth() == 1


def test_a_failed_job_is_queued_anew_and_last(book: JobBook, clock: Clock) -> None:
    add(book, 1)
    book.claim("w")
    book.beat(key(1), "w", frames_decoded=3)
    assert book.fail(key(1), "w", "video_corrupt", "frame 3:\n damaged\0" + "x" * 5000)
    failed = book.get(key(1))
    assert failed is not None
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "video_corrupt")
    assert failed.error is not None
    assert failed.error.startswith("frame 3:  damaged x")
    assert len(failed.error) == 2000
    assert book.claim("w") is None
    clock.now_s = 1010.0
    add(book, 2)
    clock.now_s = 1020.0
    job, queued = add(book, 1, owner="you")
    assert queued
    assert (job.status, job.attempts, job.owner, job.error_code, job.error, job.frames_decoded) == (
        JobStatus.QUEUED, 0, "you", None, None, 0,
    )  # fmt: skip
    assert job.created_s == 1020.0
    assert [claimed.id for claimed in (book.claim("w"), book.claim("w")) if claimed] == [
        key(2), key(1),
    ]  # fmt: skip


def test_a_silent_worker_loses_its_job_to_another(book: JobBook, clock: Clock) -> None:
    add(book, 1)
    assert book.claim("slow") is not None
    clock.now_s += LEASE_S - 1
    assert book.claim("other") is None
    assert book.beat(key(1), "slow")  # its lease begins anew
    clock.now_s += LEASE_S - 1
    assert book.claim("other") is None
    clock.now_s += 1
    taken = book.claim("other")
    assert taken is not None
    assert (taken.id, taken.attempts) == (key(1), 2)
    assert not book.beat(key(1), "slow", status=JobStatus.ENCODING)
    assert not book.finish(key(1), "slow")
    assert not book.fail(key(1), "slow", "late", "")
    assert book.release("slow") == 0
    assert book.get(key(1)) == taken  # nothing of that left a trace
    assert book.finish(key(1), "other")
    assert not book.finish(key(1), "other")


def test_a_lapsed_lease_that_nobody_took_is_still_held(book: JobBook, clock: Clock) -> None:
    add(book, 1)
    book.claim("slow")
    clock.now_s += 10 * LEASE_S
    assert book.beat(key(1), "slow")
    assert book.claim("other") is None
    assert book.finish(key(1), "slow")


def test_a_job_that_kills_its_workers_fails_in_the_end(book: JobBook, clock: Clock) -> None:
    add(book, 1)
    add(book, 2)
    for i in range(3):
        taken = book.claim(f"w{i}")
        assert taken is not None
        assert (taken.id, taken.attempts) == (key(1), i + 1)
        clock.now_s += LEASE_S
    taken = book.claim("w3")
    assert taken is not None
    assert taken.id == key(2)
    lost = book.get(key(1))
    assert lost is not None
    assert (lost.status, lost.error_code, lost.attempts) == (JobStatus.FAILED, "worker_lost", 3)
    assert not book.beat(key(1), "w2")
    assert add(book, 1)[1]


def test_draining_gives_jobs_back_uncounted(book: JobBook, clock: Clock) -> None:
    for i in (1, 2, 3, 4):
        add(book, i)
    for _ in range(5):  # more often than max_attempts
        assert [job.id for job in (book.claim("w"), book.claim("w")) if job] == [key(1), key(2)]
        book.beat(key(1), "w", status=JobStatus.ENCODING, frames_decoded=9)
        clock.now_s += 1
        assert book.release("w") == 2
    first = book.get(key(1))
    assert first is not None
    assert (first.status, first.attempts, first.frames_decoded) == (JobStatus.QUEUED, 0, 0)
    assert not book.finish(key(1), "w")
    taken = book.claim("other")
    assert taken is not None
    assert (taken.id, taken.attempts) == (key(1), 1)
    assert book.release("w") == 0
    assert book.depth() == 4


def test_a_deleted_job_is_gone_and_its_worker_learns_it(book: JobBook) -> None:
    add(book, 1)
    book.claim("w")
    assert book.delete(key(1))
    assert not book.delete(key(1))
    assert book.get(key(1)) is None
    assert not book.beat(key(1), "w")
    assert not book.finish(key(1), "w")
    assert add(book, 1)[1]


def test_pages_stay_while_jobs_come_and_go(book: JobBook) -> None:
    for i in range(7):
        add(book, i)
    page, cursor = book.page(3)
    assert [job.id for job in page] == [key(6), key(5), key(4)]
    add(book, 7)
    add(book, 8)
    book.delete(key(4))  # the one that the cursor stands on
    book.delete(key(2))
    book.claim("w")
    page, cursor = book.page(3, cursor)
    assert [job.id for job in page] == [key(3), key(1), key(0)]
    assert cursor is None
    assert [job.id for job in book.page(100)[0]] == [key(i) for i in (8, 7, 6, 5, 3, 1, 0)]
    whole, cursor = book.page(7)
    assert (len(whole), cursor) == (7, None)
    _, cursor = book.page(1)
    for i in (8, 7):
        book.delete(key(i))
    add(book, 9)  # does not get a deleted one's place behind the cursor
    assert book.page(1, cursor)[0][0].id == key(6)
    assert book.page(1)[0][0].id == key(9)


def test_no_two_threads_claim_one_job(book: JobBook) -> None:
    for i in range(40):
        add(book, i)
    barrier = threading.Barrier(12)

    def work(i: int) -> list[str]:
        barrier.wait()
        taken = []
        while (job := book.claim(f"w{i}")) is not None:
            taken.append(job.id)
        return taken

    with ThreadPoolExecutor(12) as pool:
        taken = [job_id for ids in pool.map(work, range(12)) for job_id in ids]
    assert sorted(taken) == [key(i) for i in range(40)]


def test_no_two_processes_claim_one_job(url: str) -> None:
    # all four open a database that is not there yet
    workers = [book_workers.start("drain", url, f"w{i}") for i in range(4)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    book = JobBook(url)
    for i in range(60):
        add(book, i)
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    finished = [line for worker in workers for line in worker.communicate()[0].split()]
    assert [worker.returncode for worker in workers] == [0] * 4
    assert sorted(finished) == [key(i) for i in range(60)]
    jobs, _ = book.page(60)
    assert {(job.status, job.attempts) for job in jobs} == {(JobStatus.DONE, 1)}


def test_a_killed_worker_loses_its_job_which_another_finishes_once(url: str, clock: Clock) -> None:
    book = JobBook(url, LEASE_S)
    add(book, 1)
    worker = book_workers.start("hold", url, "killed")
    assert worker.stdout is not None
    assert worker.stdout.readline() == f"{key(1)}\n"
    worker.kill()
    worker.communicate()
    held = book.get(key(1))
    assert held is not None
    assert (held.status, held.attempts) == (JobStatus.DECODING, 1)
    clock.now_s = held.updated_s + LEASE_S - 1
    later = JobBook(url, LEASE_S, clock)
    assert later.claim("other") is None
    clock.now_s += 1
    with ThreadPoolExecutor(4) as pool:
        claims = [job for job in pool.map(later.claim, "abcd") if job is not None]
    assert [(job.id, job.attempts) for job in claims] == [(key(1), 2)]
    assert sum(later.finish(key(1), name) for name in ("killed", *"abcd")) == 1
    assert later.claim("e") is None


def test_a_worker_killed_while_it_writes_leaves_nothing_half_done(url: str) -> None:
    book = JobBook(url)
    add(book, 1)
    worker = book_workers.start("write", url, "half done")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "writing\n"
    assert book.page(1)[0][0].name == "1.mp4"  # and readers do not wait for writers
    worker.kill()
    worker.communicate()
    taken = book.claim("other")
    assert taken is not None
    assert taken.name == "1.mp4"


def test_everything_survives_reopening(url: str, clock: Clock) -> None:
    book = JobBook(url, LEASE_S, clock)
    for i in range(4):
        add(book, i)
    book.claim("a")
    book.finish(key(0), "a")
    book.claim("a")
    book.fail(key(1), "a", "video_empty", "no frame")
    book.claim("a")
    _, cursor = book.page(2)
    before = book.page(10)
    book.close()

    again = JobBook(url, LEASE_S, clock)
    assert again.page(10) == before
    assert [job.id for job in again.page(2, cursor)[0]] == [key(1), key(0)]
    assert again.depth() == 2
    assert again.beat(key(2), "a")
    assert again.finish(key(2), "a")
    assert add(again, 0) == (before[0][3], False)


def step(dice: random.Random, book: JobBook, plain: PlainBook, now_s: float) -> str:
    """The same random thing done to both; what it was."""
    number, worker = dice.randrange(6), dice.choice("abc")
    job_id = key(number)
    name = dice.choice(
        ["add"] * 2 + ["claim"] * 4 + ["beat", "finish", "fail", "release", "delete"]
    )
    if name == "add":
        assert add(book, number)[1] == plain.add(job_id, now_s)
    elif name == "claim":
        job = book.claim(worker)
        assert (job.id if job else None) == plain.claim(worker, now_s)
    elif name == "beat":
        assert book.beat(job_id, worker) == plain.beat(job_id, worker, now_s)
    elif name == "finish":
        assert book.finish(job_id, worker) == plain.end(job_id, worker, "done")
    elif name == "fail":
        assert book.fail(job_id, worker, "planted", "") == plain.end(job_id, worker, "failed")
    elif name == "release":
        assert book.release(worker) == plain.release(worker)
    else:
        assert book.delete(job_id) == (plain.jobs.pop(job_id, None) is not None)
    return name


@pytest.mark.parametrize("seed", [1, 2])
def test_the_book_does_what_plain_words_say(book: JobBook, clock: Clock, seed: int) -> None:
    dice, plain, done = random.Random(seed), PlainBook(), Counter[str]()
    for _ in range(150):
        clock.now_s += dice.choice([0.0, 1.0, 12.0])
        done[step(dice, book, plain, clock.now_s)] += 1
        stored = {job.id: job for job in book.page(10)[0]}
        assert stored.keys() == plain.jobs.keys()
        for job_id, job in plain.jobs.items():
            seen = stored[job_id]
            assert (seen.status, seen.attempts, seen.error_code, seen.created_s) == (
                job.status, job.attempts, job.error_code, job.created_s,
            )  # fmt: skip
    assert len(done) == 7
    assert list(stored) == list(plain.jobs)[::-1]


@pytest.mark.parametrize(
    "bad", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"]
)
def test_ids_are_checked(book: JobBook, bad: str) -> None:
    told = {"name": "v", "video_sha256": key(1), "num_bytes": 1, "owner": ""}
    for call in (
        lambda: book.add(bad, **told),
        lambda: book.add(key(1), **{**told, "video_sha256": bad}),
        lambda: book.get(bad),
        lambda: book.beat(bad, "w"),
        lambda: book.finish(bad, "w"),
        lambda: book.fail(bad, "w", "code", ""),
        lambda: book.delete(bad),
    ):
        with pytest.raises(BadIdError, match="expected 64 lower-case hex"):
            call()
    assert book.page(10) == ([], None)


def test_names_cursors_and_limits_are_checked(book: JobBook) -> None:
    for name in ("../v.mp4", "a\0b", "\ud800", "x" * 201, "a\u202egpj.exe"):
        with pytest.raises(BadIdError, match="name: expected"):
            add(book, 1, name=name)
    with pytest.raises(BadIdError, match="owner: expected"):
        add(book, 1, owner="a/b")
    with pytest.raises(BadIdError, match="worker: expected a name, got ''"):
        book.claim("")
    for cursor in ("", "x", "-1", "1.5", "٣", "9" * 19, "1; drop table"):
        with pytest.raises(BadIdError, match="after: expected a cursor"):
            book.page(5, cursor)
    for limit in (0, -1, 1001):
        with pytest.raises(ValueError, match="limit: expected 1 to 1000"):
            book.page(limit)
    add(book, 1)
    book.claim("w")
    with pytest.raises(ValueError, match=r"status: expected one of .*, got <JobStatus.DONE"):
        book.beat(key(1), "w", status=JobStatus.DONE)
    assert book.get(key(1)).status == JobStatus.DECODING  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("no address", "no address"),
        ("sqlite://", "a plain file"),
        ("sqlite:///:memory:", "a plain file"),
        ("sqlite:///file:x?mode=memory&uri=true", "a plain file"),
        ("mysql://me:secret@host/jobs", "sqlite or postgresql, got 'mysql'"),
        ("postgresql:me:secret@host", "expected a database URL"),
        ("postgresql://me:secret@127.0.0.1:1/jobs?password=secret", "@127.0.0.1:1/jobs"),
    ],
)
def test_a_wrong_address_is_named_without_its_password(url: str, named: str) -> None:
    with pytest.raises(DatabaseError, match=named) as caught:
        JobBook(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_cannot_be_the_database_is_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("these are notes, and no database at all\n" * 100)
    with pytest.raises(DatabaseError, match=r"notes\.txt: file is not a database"):
        JobBook(f"sqlite:///{text}")
    assert text.read_text().startswith("these are notes")
    with pytest.raises(DatabaseError, match=r"notes\.txt/jobs\.db: .*File exists"):
        JobBook(f"sqlite:///{text}/jobs.db")
    with pytest.raises(DatabaseError, match="unable to open database file"):
        JobBook(f"sqlite:///{tmp_path}")

    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE code_jobs (id TEXT, status TEXT, created_s REAL)")
    with pytest.raises(DatabaseError, match="code_jobs is of another version"):
        JobBook(f"sqlite:///{other}")


def test_a_database_that_breaks_later_is_named(tmp_path: Path) -> None:
    book = JobBook(f"sqlite:///{tmp_path}/jobs.db")
    add(book, 1)
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        connection.execute("DROP TABLE code_jobs")
    for call in (lambda: book.claim("w"), lambda: add(book, 2), book.depth):
        with pytest.raises(DatabaseError, match=r"jobs\.db: no such table") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_settings_are_checked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with pytest.raises(ValueError, match="lease_s: expected more than 0, got 0"):
        JobBook(url, lease_s=0)
    with pytest.raises(ValueError, match="max_attempts: expected 1 or more, got 0"):
        JobBook(url, max_attempts=0)
