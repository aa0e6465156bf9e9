from __future__ import annotations

from typing import Any

import pytest

from jobs.progress import progress_line, summary
from pipelines.encode.inputs import ListedVideo
from pipelines.encode.plan import Plan, Work
from pipelines.encode.report import Tally
from pipelines.stored import rows
from pipelines.stored.store import StoredRow
from spatialcode.errors import VideoNotFoundError


@pytest.fixture
def tally() -> Tally:
    """Ten inputs: three known, one gone, five to compute, one with another's content."""
    gone = ListedVideo("gone", "gone.mp4", error=VideoNotFoundError("gone.mp4: not found"))
    stored = [StoredRow(True, 1.0, "f", i, f"d{i}", f"k{i}", "ok", None) for i in range(2)]
    broken = StoredRow(True, 1.0, "f", 2, "b", "kb", "failed", "video_corrupt")
    return Tally.of_plan(
        Plan(
            compute=[Work(ListedVideo(str(i), str(i), str(i)), str(i)) for i in range(5)],
            copy=[Work(ListedVideo("twin", "twin", "0"), "0")],
            unusable=[Work(gone, "")],
            done=stored,
            failed_before=[broken],
        )
    )


def receipt(status: str, code: str | None = None) -> dict[str, Any]:
    error = code and f"because of {code}"
    outcome = {"status": status, "error_code": code, "error": error, "uri": "v.mp4"}
    return {**outcome, "num_frames": 8 if status == "ok" else 0, "encode_s": 0.5}


def test_any_receipt_can_be_counted() -> None:
    """What the tally reads of a failed row is a column of the receipts' schema."""
    failed = {"status": "failed", "num_frames": 0, "encode_s": 0.1, "error_code": "a", "error": "b"}
    table = rows.table([{"input_id": "i", "uri": "u", "work_key": "", **failed}], rows.RECEIPT)
    tally = Tally(1)
    tally.add(table.to_pylist())
    assert tally.examples == [{"uri": "u", "error_code": "a", "error": "b"}]


def test_counts_add_up_at_every_moment(tally: Tally) -> None:
    def check() -> dict[str, Any]:
        report = tally.report(max_failed_fraction=1.0)
        parts = ("done", "copied", "failed", "skipped", "failed_before", "unfinished")
        assert sum(report[part] for part in parts) == report["inputs"] == 10
        return report

    report = check()
    assert (report["unfinished"], report["failed"], report["ok"]) == (6, 1, False)
    tally.add([receipt("ok"), receipt("failed", "video_empty"), receipt("ok")])
    assert check()["unfinished"] == 3
    tally.add([receipt("ok"), receipt("failed", "video_empty")])
    tally.add_copies([receipt("ok")])
    report = check()
    assert report["ok"]
    assert (report["done"], report["copied"], report["skipped"]) == (3, 1, 2)
    assert report["failed_by_code"] == {"video_empty": 2, "video_not_found": 1}
    assert report["failed_before_by_code"] == {"video_corrupt": 1}
    assert (report["frames"], report["encode_s"]) == (24, 2.5)


@pytest.mark.parametrize(("allowed", "ok"), [(0.0, False), (0.39, False), (0.4, True)])
def test_the_share_of_failures_decides(tally: Tally, allowed: float, ok: bool) -> None:
    tally.add([receipt("ok")] * 3 + [receipt("failed", "decode_crash")] * 2)
    tally.add_copies([receipt("ok")])
    assert tally.report(allowed)["ok"] is ok  # four of ten failed, one of them earlier


def test_an_aborted_run_is_not_ok(tally: Tally) -> None:
    tally.add([receipt("ok")] * 5)
    tally.add_copies([receipt("ok")])
    assert tally.report(1.0)["ok"]
    tally.aborted = "RayError: no space"
    assert not tally.report(1.0)["ok"]


def test_time_left_follows_the_rate(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tally.eta_s() is None  # what was known from the start says nothing about the rate
    tally.add([receipt("ok")] * 2)
    monkeypatch.setattr(Tally, "seconds", 30.0)
    assert tally.eta_s() == pytest.approx(30.0 / 2 * 4)
    assert progress_line(tally).startswith("6/10 videos  0.5 frames/s  1:00 left  2 done before")


def test_the_summary_names_failures(tally: Tally) -> None:
    tally.add([receipt("failed", "video_empty")])
    text = summary({**tally.report(1.0), "output": "/out"})
    assert "10 inputs: 0 encoded, 0 copied, 2 done before, 3 failed, 5 unfinished" in text
    assert "video_empty × 1" in text
    assert "gone.mp4: gone.mp4: not found" in text
    assert "/out/report.json" in text
