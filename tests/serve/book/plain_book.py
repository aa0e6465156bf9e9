"""What the book of jobs is to do, in plain words and in memory: the oracle of its tests."""

from __future__ import annotations

from dataclasses import dataclass, field

LEASE_S = 30.0
MAX_ATTEMPTS = 3


@dataclass
class Plain:
    """One job."""

    created_s: float
    status: str = "queued"
    attempts: int = 0
    worker: str | None = None
    until_s: float = 0.0
    error_code: str | None = None


@dataclass
class PlainBook:
    jobs: dict[str, Plain] = field(default_factory=dict)

    def add(self, job_id: str, now_s: float) -> bool:
        if job_id in self.jobs and self.jobs[job_id].status != "failed":
            return False
        self.jobs[job_id] = Plain(now_s)  # one that is known keeps its place
        return True

    def claim(self, worker: str, now_s: float) -> str | None:
        for job in self.jobs.values():
            if job.worker and job.until_s <= now_s and job.attempts == MAX_ATTEMPTS:
                job.status, job.worker, job.error_code = "failed", None, "worker_lost"
        order = {job_id: i for i, job_id in enumerate(self.jobs)}
        waiting = [
            (job.created_s, order[job_id], job_id)
            for job_id, job in self.jobs.items()
            if job.status == "queued" or (job.worker and job.until_s <= now_s)
        ]
        if not waiting:
            return None
        job_id = min(waiting)[2]
        job = self.jobs[job_id]
        job.status, job.worker, job.until_s = "decoding", worker, now_s + LEASE_S
        job.attempts += 1
        return job_id

    def end(self, job_id: str, worker: str, status: str) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.worker != worker:
            return False
        job.status, job.worker = status, None
        job.error_code = "planted" if status == "failed" else None
        return True

    def release(self, worker: str) -> int:
        held = [job for job in self.jobs.values() if job.worker == worker]
        for job in held:
            job.status, job.worker, job.attempts = "queued", None, job.attempts - 1
        return len(held)

    def beat(self, job_id: str, worker: str, now_s: float) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.worker != worker:
            return False
        job.until_s = now_s + LEASE_S
        return True
