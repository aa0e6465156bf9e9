"""Completions scored a second on one core: direction reasoning over codes of rendered clips.

python benchmarks/rubric.py [num_codes=4] [num_runs=5]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from itertools import permutations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from spatialcode.questions.types import Option, Question, Reference, RelativeDirection
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric import score
from spatialcode.reasoning.rubric_answers import turn_word
from spatialcode.reasoning.verify import Context, bind, signed_angle_deg
from spatialcode.scene.schema import SpatialCode
from spatialcode.synthetic.clips import make_clip
from spatialcode.synthetic.shots import ClipConfig

_OPTIONS = (Option("A", "A. left"), Option("B", "B. right"))


def completions(code: SpatialCode) -> list[tuple[Question, SpatialCode, str, str]]:
    """A ten-line direction completion for up to 200 triples of objects."""
    rows: list[tuple[Question, SpatialCode, str, str]] = []
    context = Context(code)
    for items in list(permutations(code.objects, 3))[:200]:
        ids = [item.id for item in items]
        u, v = bind(context, ids[0], ids[1]), bind(context, ids[0], ids[2])
        assert u is not None
        assert v is not None
        (a, b), (c, d) = u.xy_m, v.xy_m
        angle = signed_angle_deg(u.xy_m, v.xy_m)
        side = turn_word(angle, "easy")
        roles: tuple[say.Role, ...] = ("observer", "facing", "target")
        lines: list[say.Statement] = [
            say.Position(item.id, item.center_m, role)
            for item, role in zip(items, roles, strict=True)
        ]
        lines += [
            say.Vector("forward", ids[0], ids[1], u.xy_m),
            say.Vector("to_target", ids[0], ids[2], v.xy_m),
            say.Dot("forward", "to_target", a * c + b * d),
            say.Cross("forward", "to_target", a * d - b * c),
            say.Angle("forward", "to_target", angle),
            say.Direction(ids[2], side),
            say.Final("A" if side == "left" else "B"),
        ]
        things = [Reference(item.label, object_id=item.id) for item in items]
        question = RelativeDirection(
            observer=things[0], facing=things[1], target=things[2], level="easy", options=_OPTIONS
        )
        gold = "A" if side == "left" else "B"
        rows.append((question, code, "\n".join(line.text() for line in lines), gold))
    return rows


def main() -> None:
    """Print a table, then one JSON line."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    num_codes, num_runs = int(given.get("num_codes", 4)), int(given.get("num_runs", 5))
    codes = [make_clip(seed, ClipConfig(num_frames=2)).code for seed in range(num_codes)]
    rows = [row for code in codes for row in completions(code)]
    total = sum(score(*row).total for row in rows)  # the first pass also fills the indices
    rates = []
    for _ in range(num_runs):
        start = time.perf_counter()
        for row in rows:
            score(*row)
        rates.append(len(rows) / (time.perf_counter() - start))
    rate, spread = statistics.median(rates), max(rates) - min(rates)
    print(f"{'completions':>12} {'mean score':>11} {'per second':>11} {'spread':>8}")
    print(f"{len(rows):12d} {total / len(rows):11.3f} {rate:11.0f} {spread:8.0f}")
    print(json.dumps({"completions": len(rows), "per_s": rate, "spread": spread}))


if __name__ == "__main__":
    main()
