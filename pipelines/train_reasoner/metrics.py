"""What a training run leaves to look at: a line of metrics a step, TensorBoard, samples to read.

Lines carry ``total_steps``. A run that resumes cuts its files back to the checkpoint's step first,
so that after any number of crashes every step is there once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.train_reasoner.model import ReasonerText
    from pipelines.train_reasoner.step import Harvest
    from spatialcode.grpo.batch import RolloutBatch

from pipelines.training.rows import METRICS_FILE, cut_back, read_rows
from spatialcode.files import append_jsonl

SAMPLES_FILE, READABLE_FILE, BOARD_FOLDER = "samples.jsonl", "samples.md", "tensorboard"
_COLUMNS = ("stage", "step", "reward", "accuracy", "loss", "entropy", "kl", "clip_fraction",
            "length", "truncated", "invalid", "tokens_per_s", "seconds")  # fmt: skip


class RunFiles:
    """Writes a run's files, from one process. ``total_steps``: where the run resumes."""

    def __init__(self, output: str | Path, total_steps: int = 0) -> None:
        from tensorboardX import SummaryWriter

        self.output = Path(output)
        self.output.mkdir(parents=True, exist_ok=True)
        for name in (METRICS_FILE, SAMPLES_FILE):
            cut_back(self.output / name, total_steps, "total_steps")
        self._write_readable()
        # events after the purge step are hidden: the resumed run writes them again
        purge = max(0, total_steps + 1)
        board = str(self.output / BOARD_FOLDER)
        self._board = SummaryWriter(board, purge_step=purge, flush_secs=30)

    def row(self, kind: str, row: Mapping[str, Any]) -> None:
        """Append one line: a ``train`` step, an ``evaluation``, an ``alarm``."""
        append_jsonl(self.output / METRICS_FILE, [{"kind": kind, **row}], default=float)
        for name, value in _flat(row):
            if name not in {"step", "total_steps"}:
                self._board.add_scalar(f"{kind}/{name}", value, row["total_steps"])

    def samples(self, total_steps: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append samples of a step: prompt, completion, terms, reasons, reward, advantage."""
        samples = [{"total_steps": total_steps, **row} for row in rows]
        append_jsonl(self.output / SAMPLES_FILE, samples, default=float)
        with (self.output / READABLE_FILE).open("a", encoding="utf-8") as file:
            file.writelines(readable(total_steps, row) for row in rows)

    def close(self) -> None:
        self._board.close()

    def _write_readable(self) -> None:
        """The readable file again from the samples that are left."""
        rows = read_rows(self.output / SAMPLES_FILE)
        text = "".join(readable(row["total_steps"], row) for row in rows)
        (self.output / READABLE_FILE).write_text(text, encoding="utf-8")


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


def _flat(row: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in row.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((f"{prefix}{name}", float(value)))
    return found


def sums_of(found: Harvest, batch: RolloutBatch | None) -> dict[str, float]:
    """Sums over this worker's samples, to be added over workers: see `figures_of`."""
    sums: defaultdict[str, float] = defaultdict(float)
    for group in found.every:
        sums["groups"] += 1
        sums["groups_without_variance"] += not group.varies
        for sample, scored in zip(group.samples, group.scored, strict=True):
            sums["samples"] += 1
            sums["tokens"] += len(sample.completion_ids)
            sums["truncated"] += not sample.finished
            sums["invalid"] += not scored.valid
            if scored.total is None or scored.terms is None:
                continue
            sums["reward"] += scored.total
            for name, value in scored.terms.items():
                sums[f"term/{name}"] += value
                sums[f"term_num/{name}"] += 1
            sums[f"family/{group.row.family}"] += scored.terms.get("answer", 0.0)
            sums[f"family_num/{group.row.family}"] += 1
    if batch is not None:
        sums["advantage_abs"] = float(batch.advantages.abs().sum())
        sums["advantage_num"] = batch.shape[0]
    return dict(sums)


def figures_of(sums: Mapping[str, float]) -> dict[str, Any]:
    """Means for a line of metrics, from sums over all workers."""

    def share(name: str, of: str) -> float:
        return sums.get(name, 0.0) / max(1.0, sums.get(of, 0.0))

    terms = [name.removeprefix("term/") for name in sums if name.startswith("term/")]
    families = [name.removeprefix("family/") for name in sums if name.startswith("family/")]
    num_valid = max(1.0, sums.get("samples", 0.0) - sums.get("invalid", 0.0))
    return {
        "reward": sums.get("reward", 0.0) / num_valid,
        "accuracy": sum(sums[f"family/{name}"] for name in families) / num_valid,
        "length": share("tokens", "samples"),
        "truncated": share("truncated", "samples"),
        "invalid": share("invalid", "samples"),
        "without_variance": share("groups_without_variance", "groups"),
        "advantage": share("advantage_abs", "advantage_num"),
        "terms": {name: share(f"term/{name}", f"term_num/{name}") for name in terms},
        "families": {name: share(f"family/{name}", f"family_num/{name}") for name in families},
        "num_samples": sums.get("samples", 0.0),
        "num_generated_tokens": sums.get("tokens", 0.0),
    }


def shown_samples(
    found: Harvest, batch: RolloutBatch | None, text: ReasonerText
) -> list[dict[str, Any]]:
    """Two samples for a reader: the best and the worst of a group that was learnt from."""
    rows = []
    for group in found.kept[:1] or found.every[:1]:
        totals = [scored.total or 0.0 for scored in group.scored]
        order = sorted(range(len(totals)), key=totals.__getitem__, reverse=True)
        for place in (order[0], order[-1]):
            scored = group.scored[place]
            learnt = batch is not None and bool(found.kept)
            rows.append({
                "family": group.row.family, "prompt": group.row.prompt,
                "completion": text.completion(group.samples[place].completion_ids),
                "reward": scored.total, "terms": dict(scored.terms or {}),
                "reasons": list(scored.reasons), "error": scored.error,
                "advantage": float(batch.advantages[place])
                if learnt and batch is not None else 0.0,
            })  # fmt: skip
    return rows
