"""Completions scored a second on one core: solver golds and corrupted ones, all families.

python benchmarks/rubric.py [num_codes=60] [per_family=250] [num_runs=5]

Distinct completions over distinct rooms, in a fixed random order. One pass before the timed ones
fills what is kept a room (`SceneIndex`: arrays, pairwise distances), as in training, where many
completions are scored a room.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from spatialcode.questions.types import Question
from spatialcode.reasoning.program.of_question import to_program
from spatialcode.reasoning.rubric.scoring import score
from spatialcode.reasoning.solver import solve
from spatialcode.scene.schema import SpatialCode
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.synthetic.clips import ClipConfig, make_clip
from tests.reasoning.asking import every_question

Row = tuple[Question, SpatialCode, str, float | str]
_NUMBER = re.compile(r"\d+\.\d")


def completions(codes: list[SpatialCode], per_family: int, rng: random.Random) -> list[Row]:
    """``per_family`` of each family: half as the solver writes them, half with a number changed,
    a line dropped, or true lines of another question's reasoning put in.
    """
    golds: dict[str, list[Row]] = defaultdict(list)
    for code in codes:
        for question in every_question(code):
            answer = solve(question, code)
            if answer.grounded:
                gold = answer.option or answer.value
                golds[question.family].append((question, code, answer.text(), gold))
    rows: dict[tuple[int, Question, str], Row] = {}
    for family in sorted(golds):
        chosen = rng.sample(golds[family], min(per_family, len(golds[family])))
        for n, (question, code, text, gold) in enumerate(chosen):
            other = rng.choice(golds[rng.choice(sorted(golds))])[2]
            written = text if n % 2 else _corrupted(text, other, rng)
            rows[id(code), question, written] = (question, code, written, gold)
    listed = list(rows.values())
    rng.shuffle(listed)
    return listed


def _corrupted(text: str, other: str, rng: random.Random) -> str:
    lines = text.split("\n")
    kind = rng.randrange(3)
    if kind == 0:
        at = rng.randrange(len(lines))
        lines[at] = _NUMBER.sub(lambda found: f"{float(found[0]) + 1.5:.1f}", lines[at], count=1)
    elif kind == 1:
        del lines[rng.randrange(len(lines))]
    else:
        lines[:0] = other.split("\n")[:-1]
    return "\n".join(lines)


def as_programs(rows: list[Row]) -> list[Row]:
    """Every fifth question answered by its canonical program."""
    return [(q, code, f"```program\n{to_program(q)}\n```", gold) for q, code, _, gold in rows[::5]]


def timed(rows: list[Row]) -> float:
    """Completions scored a second, one pass."""
    start = time.perf_counter()
    for row in rows:
        score(*row)
    return len(rows) / (time.perf_counter() - start)


def main() -> None:
    """Print a table by family, then one JSON line."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    num_codes, num_runs = int(given.get("num_codes", 60)), int(given.get("num_runs", 5))
    config = ClipConfig(num_frames=8)
    codes = [make_clip(seed, config).code for seed in HELD_OUT_ROOMS[:num_codes]]
    rows = completions(codes, int(given.get("per_family", 250)), random.Random(0))
    families = sorted({row[0].family for row in rows})
    totals = [score(*row).total for row in rows]
    rates = [timed(rows) for _ in range(num_runs)]
    print(f"{'family':28} {'completions':>11} {'per second':>11}")
    by_family = {}
    for family in families:
        own = [row for row in rows if row[0].family == family]
        by_family[family] = statistics.median(timed(own) for _ in range(num_runs))
        print(f"{family:28} {len(own):11d} {by_family[family]:11.0f}")
    programs = as_programs(rows)
    by_program = statistics.median(timed(programs) for _ in range(num_runs))
    print(f"{'(canonical programs)':28} {len(programs):11d} {by_program:11.0f}")
    print(
        f"all: {len(rows)} completions, {sum(map(len, (row[2] for row in rows))) / len(rows):.0f} "
        f"characters each, {sum(total == 1.0 for total in totals)} of full score; "
        f"{statistics.median(rates):.0f} a second ({min(rates):.0f} to {max(rates):.0f})"
    )
    result = {
        "completions": len(rows), "rooms": num_codes, "per_s": statistics.median(rates),
        "spread": max(rates) - min(rates), "runs": num_runs, "per_s_by_family": by_family,
        "programs_per_s": by_program,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
