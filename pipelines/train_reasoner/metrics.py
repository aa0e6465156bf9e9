"""What a training run leaves to look at: a line of metrics a step, TensorBoard, samples to read.

Lines carry ``total_steps``. A run that resumes cuts its files back to the checkpoint's step first,
so that after any number of crashes every step is there once.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spatialcode.errors import FormatError
from spatialcode.files import read_jsonl, whole_file

METRICS_FILE, SAMPLES_FILE, READABLE_FILE, BOARD_FOLDER = (
    "metrics.jsonl", "samples.jsonl", "samples.md", "tensorboard",
)  # fmt: skip
_COLUMNS = ("stage", "step", "reward", "accuracy", "loss", "entropy", "kl", "clip_fraction",
            "length", "truncated", "invalid", "tokens_per_s", "seconds")  # fmt: skip


class RunFiles:
    """Writes a run's files, from one process. ``total_steps``: where the run resumes."""

    def __init__(self, output: str | Path, total_steps: int = 0, board: bool = True) -> None:
        self.output = Path(output)
        self.output.mkdir(parents=True, exist_ok=True)
        for name in (METRICS_FILE, SAMPLES_FILE):
            cut_back(self.output / name, total_steps)
        self._write_readable()
        self._board = self._open_board(total_steps) if board else None

    def _open_board(self, total_steps: int) -> Any:
        from tensorboardX import SummaryWriter

        # events after the purge step are hidden: the resumed run writes them again
        purge = max(0, total_steps + 1)
        return SummaryWriter(str(self.output / BOARD_FOLDER), purge_step=purge, flush_secs=30)

    def row(self, kind: str, row: Mapping[str, Any]) -> None:
        """Append one line: a ``train`` step, an ``evaluation``, an ``alarm``."""
        _append(self.output / METRICS_FILE, [{"kind": kind, **row}])
        if self._board is not None:
            for name, value in _flat(row):
                if name not in {"step", "total_steps"}:
                    self._board.add_scalar(f"{kind}/{name}", value, row["total_steps"])

    def samples(self, total_steps: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append samples of a step: prompt, completion, terms, reasons, reward, advantage."""
        _append(self.output / SAMPLES_FILE, [{"total_steps": total_steps, **row} for row in rows])
        with (self.output / READABLE_FILE).open("a", encoding="utf-8") as file:
            file.writelines(readable(total_steps, row) for row in rows)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _write_readable(self) -> None:
        """The readable file again from the samples that are left."""
        rows = read_rows(self.output / SAMPLES_FILE)
        text = "".join(readable(row["total_steps"], row) for row in rows)
        (self.output / READABLE_FILE).write_text(text, encoding="utf-8")


def cut_back(path: Path, total_steps: int) -> None:
    """Drop lines of later steps, and a last line that a crash left unfinished."""
    if not path.is_file():
        return
    kept = [row for row in read_rows(path) if row["total_steps"] <= total_steps]
    with whole_file(path) as partial:
        partial.touch()
        _append(partial, kept)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a file; none where it does not exist."""
    rows = []
    with contextlib.suppress(FormatError):  # nothing follows a line that a crash cut off
        rows.extend(row for _, row in read_jsonl(path)) if path.is_file() else None
    return rows


def readable(total_steps: int, row: Mapping[str, Any]) -> str:
    """One sample for a reader, as Markdown."""
    total = "no valid reward" if row["reward"] is None else f"reward {row['reward']:.3f}"
    terms = ", ".join(f"{name} {value:.2f}" for name, value in (row["terms"] or {}).items())
    lines = [
        f"## Step {total_steps} · {row['family']} · {total} · advantage {row['advantage']:+.2f}",
        "", row["prompt"], "", "```", row["completion"], "```", "", terms,
        *(f"- {reason}" for reason in row["reasons"]), "", "",
    ]  # fmt: skip
    return "\n".join(lines)


def table(rows: Sequence[Mapping[str, Any]], most: int = 12) -> Any:
    """The last train steps as a rich table."""
    from rich.table import Table

    shown = Table(title="training")
    for name in _COLUMNS:
        shown.add_column(name, justify="right")
    for row in [row for row in rows if row["kind"] == "train"][-most:]:
        shown.add_row(*(_cell(row.get(name)) for name in _COLUMNS))
    evaluations = [row for row in rows if row["kind"] == "evaluation"]
    if evaluations:
        last = evaluations[-1]
        shown.caption = f"held out at step {last['total_steps']}: {last['accuracy']['mean']:.1f}"
    return shown


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return "" if value is None else str(value)


def _append(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False, default=float) + "\n" for row in rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def _flat(row: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in row.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((f"{prefix}{name}", float(value)))
    return found
