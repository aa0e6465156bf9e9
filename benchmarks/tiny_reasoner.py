"""The tiny reasoner's training from nothing, over seeds: what GRPO adds, beside its control.

Each seed is a run of `jobs.train_reasoner` in a process of its own; one that is done is only read.
The gates on GRPO's gain are off: a seed that falls short of them counts like any other.
A drawn curve needs matplotlib (`pip install -e .[bench]`).

    python benchmarks/tiny_reasoner.py [seeds=0,1,2] [output=out/tiny_reasoner] [curve=FILE.png]
        [config=configs/train_reasoner/tiny.yaml]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("start", "sft", "grpo", "control")
UNGATED = ("grpo.min_gain=0", "grpo.min_family_gain=0")
Row = dict[str, Any]


def run_of(folder: Path, seed: str, config: str) -> Row:
    """The report of a seed's run and its evaluations, made first if it is not there."""
    report = folder / "report.json"
    if not report.is_file():
        settings = [f"config={config}", f"output={folder}", f"seed={seed}", *UNGATED]
        print(f"training with seed {seed}: {folder}", file=sys.stderr)
        command = [sys.executable, "-m", "jobs.train_reasoner", *settings]
        subprocess.run(command, cwd=ROOT, check=False)
    made: Row = json.loads(report.read_text(encoding="utf-8"))
    if set(made["heldout_accuracy"]) != set(STAGES):
        raise SystemExit(f"{folder}: the run did not get through its stages: {made['failed']}")
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    made["rows"] = [row for row in map(json.loads, lines) if row["kind"] == "evaluation"]
    return made


def spread(values: list[float]) -> str:
    """Mean, and smallest and largest."""
    return f"{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def table(runs: dict[str, Row]) -> Row:
    """Print accuracies and gains; returns them."""
    named = next(iter(runs.values()))["settings"]["grpo"]["named_family"]
    families = [k for k in next(iter(runs.values()))["heldout_accuracy"]["grpo"] if k != "mean"]
    found: Row = {"named_family": named, "families": {}, "seeds": list(runs)}
    print(f"{'':30}" + "".join(f"{stage:>24}" for stage in STAGES) + f"{'gain of GRPO':>24}")
    for key in ["mean", *families]:
        by_stage = {
            stage: [run["heldout_accuracy"][stage][key] for run in runs.values()]
            for stage in STAGES
        }
        pairs = zip(by_stage["grpo"], by_stage["sft"], strict=True)
        gains = [after - before for after, before in pairs]
        mark = " (named)" if key == named else ""
        print(f"{key + mark:30}" + "".join(f"{spread(v):>24}" for v in by_stage.values())
              + f"{spread(gains):>24}")  # fmt: skip
        found["families"][key] = {**by_stage, "gain": gains}
    found["seconds"] = {seed: run["seconds"] for seed, run in runs.items()}
    found["seconds_by_stage"] = {seed: run["seconds_by_stage"] for seed, run in runs.items()}
    print(f"seconds without the control: {spread(list(found['seconds'].values()))}")
    return found


def draw(runs: dict[str, Row], path: Path) -> None:
    """Held-out accuracy over time: one line a seed, GRPO beside its control."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=120)
    colours = {"sft": "tab:gray", "grpo": "tab:blue", "control": "tab:orange"}
    for number, run in enumerate(runs.values()):
        before = {"sft": run["seconds_by_stage"].get("copying", 0.0)}
        before["grpo"] = before["control"] = before["sft"] + run["seconds_by_stage"]["sft"]
        for stage, colour in colours.items():
            rows = [row for row in run["rows"] if row["stage"] == stage]
            minutes = [(before[stage] + row.get("seconds", 0.0)) / 60 for row in rows]
            means = [row["accuracy"]["mean"] for row in rows]
            if stage != "sft":
                minutes = [before[stage] / 60, *minutes]
                means = [run["heldout_accuracy"]["sft"]["mean"], *means]
            label = {"sft": "taught (SFT)", "grpo": "GRPO, answers alone",
                     "control": "SFT replayed instead"}[stage]  # fmt: skip
            axes.plot(minutes, means, color=colour, label=None if number else label, marker=".")
    axes.set(xlabel="minutes on two CPU cores", ylabel="held-out accuracy, mean over families, %")
    axes.set_title(f"Tiny reasoner from nothing, {len(runs)} seeds")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Print a table, then one JSON line."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    output = Path(given.get("output", ROOT / "out" / "tiny_reasoner"))
    config = given.get("config", "configs/train_reasoner/tiny.yaml")
    seeds = given.get("seeds", "0,1,2").split(",")
    runs = {seed: run_of(output / f"seed_{seed}", seed, config) for seed in seeds}
    found = table(runs)
    if "curve" in given:
        draw(runs, Path(given["curve"]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
