"""Processes that work on a book of jobs: ``python -m tests.serve.book.book_workers KIND URL NAME``.

Each says what it did in lines on its output, and waits for a line on its input.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from serve.book.database import JobBook, jobs

ROOT = Path(__file__).parents[3]


def start(kind: str, url: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.serve.book.book_workers", kind, url, name],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def say(line: str) -> None:
    print(line, flush=True)


def drain(book: JobBook, name: str) -> None:
    """Take and finish jobs until there are none."""
    say("ready")
    sys.stdin.readline()
    while (job := book.claim(name)) is not None:
        if book.beat(job.id, name) and book.finish(job.id, name):
            say(job.id)


def hold(book: JobBook, name: str) -> None:
    """Take a job and keep it."""
    job = book.claim(name)
    say("none" if job is None else job.id)
    sys.stdin.readline()


def write(book: JobBook, name: str) -> None:
    """Stand in the middle of a transaction that has changed everything."""
    with book._sql.writing() as connection:
        connection.execute(jobs.update().values(name=name))
        say("writing")
        sys.stdin.readline()


if __name__ == "__main__":
    kind, url, name = sys.argv[1:]
    {"drain": drain, "hold": hold, "write": write}[kind](JobBook(url), name)
