"""Questions read and answered a second, on one core: from text to an answer with its evidence.

Over VSI-Bench's questions and annotated boxes where SPATIALCODE_DATA names them, else over
generated questions about rendered rooms. Every run starts with nothing remembered of any room;
pairwise distances of a room's boxes are then computed once, as in use.

    python benchmarks/reasoning.py [num_runs=5] [num_rooms=20]
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pipelines.stored.questions import read_questions
from pipelines.stored.reading import read_codes
from spatialcode.questions.generate import generate
from spatialcode.questions.parse import parse
from spatialcode.questions.types import QuestionItem
from spatialcode.reasoning.solver import solve
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import from_json, to_json
from spatialcode.synthetic.clips import make_clip

Codes = Mapping[str, SpatialCode]


def material(num_rooms: int) -> tuple[str, Sequence[QuestionItem], Codes]:
    """Where the questions are from, the questions by room, the codes."""
    data = Path(os.environ.get("SPATIALCODE_DATA", "")) / "vsibench"
    if (data / "questions.jsonl").is_file():
        codes: Codes = read_codes(data / "scenes.jsonl")
        items = [item for item in read_questions(data / "questions.jsonl") if item.scene in codes]
        return "vsibench", sorted(items, key=lambda item: item.scene), codes
    codes = {str(seed): make_clip(seed).code for seed in range(10**9, 10**9 + num_rooms)}
    made = [generate(code, scene=scene, seed=0).items for scene, code in codes.items()]
    return "generated", [item for items in made for item in items], codes


def run(items: Sequence[QuestionItem], codes: Codes) -> tuple[float, float]:
    """Seconds of reading all questions, and of answering them."""
    fresh = {scene: from_json(to_json(code)) for scene, code in codes.items()}
    start = time.perf_counter()
    questions = [parse(item.question, item.options) for item in items]
    read = time.perf_counter()
    for item, question in zip(items, questions, strict=True):
        solve(question, fresh[item.scene])
    return read - start, time.perf_counter() - read


def main() -> None:
    """Measure and print a table, then one JSON line."""
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    num_runs = int(options.get("num_runs", 5))
    source, items, codes = material(int(options.get("num_rooms", 20)))
    times = [run(items, codes) for _ in range(num_runs)]
    rates = {
        "parse": [len(items) / read for read, _ in times],
        "solve": [len(items) / solved for _, solved in times],
        "parse and solve": [len(items) / (read + solved) for read, solved in times],
    }
    print(f"{len(items)} questions ({source}), {len(codes)} rooms, {num_runs} runs")
    print(f"{'questions a second':20}{'median':>10}{'min':>10}{'max':>10}")
    for name, rate in rates.items():
        print(f"{name:20}{statistics.median(rate):>10.0f}{min(rate):>10.0f}{max(rate):>10.0f}")
    shown = {name: [round(value) for value in rate] for name, rate in rates.items()}
    print(json.dumps({"benchmark": "reasoning", "source": source, "num_questions": len(items),
                      "questions_per_s": shown}))  # fmt: skip


if __name__ == "__main__":
    main()
