"""Exact box distances and IoUs a second: all pairs at once against one pair at a time.

The plain loop is what one would write first: scipy's bounded least squares for the distance,
vertex enumeration and Qhull for the volume. It also checks: every distance of the random pairs
against the solver's, and a part of the volumes. Ratios are taken within one run.

    python benchmarks/boxes.py [num_pairs=10000] [num_runs=5]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.optimize import lsq_linear
from scipy.spatial import ConvexHull, QhullError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from spatialcode.scene.boxes import Boxes, box_distance, iou, iou_matrix

NUM_LOOP_PAIRS = 300
#: Metres of distance, or shares of volume.
MAX_DIFFERENCE = 1e-7
TRIPLES = np.array(list(combinations(range(12), 3)))


def random_boxes(rng: np.random.Generator, count: int, upright: bool) -> Boxes:
    """Furniture-sized boxes in a 4 m cube; about a third of the pairs overlap."""
    quaternion = rng.normal(size=(count, 4))
    if upright:
        quaternion[:, 1:3] = 0.0
    return Boxes(rng.uniform(-1, 1, (count, 3)), rng.uniform(0.2, 2.0, (count, 3)), quaternion)


def loop_distance(a: Boxes, b: Boxes) -> np.ndarray:
    """One bounded least-squares problem after the other."""
    result = np.zeros(len(a))
    for n in range(len(a)):
        axes_a, axes_b = a.rotation[n] * a.size[n] / 2, b.rotation[n] * b.size[n] / 2
        system, offset = np.hstack([axes_a, -axes_b]), b.center[n] - a.center[n]
        result[n] = np.linalg.norm(
            system @ lsq_linear(system, offset, (-1, 1), method="bvls").x - offset
        )
    return result


def loop_iou(a: Boxes, b: Boxes) -> np.ndarray:
    """Vertices of both boxes' twelve planes, those inside both, their hull's volume."""
    result = np.zeros(len(a))
    for n in range(len(a)):
        normals = np.vstack([a.rotation[n].T, b.rotation[n].T])
        half = np.concatenate([a.size[n], b.size[n]]) / 2
        middle = np.concatenate([a.rotation[n].T @ a.center[n], b.rotation[n].T @ b.center[n]])
        planes, levels = np.vstack([normals, -normals]), np.hstack([middle + half, half - middle])
        solvable = np.abs(np.linalg.det(planes[TRIPLES])) > 1e-9
        right = levels[TRIPLES][solvable][..., None]
        points = np.linalg.solve(planes[TRIPLES][solvable], right)[..., 0]
        points = points[(points @ planes.T <= levels + 1e-9).all(axis=1)]
        try:
            common = ConvexHull(points).volume if len(points) > 3 else 0.0
        except QhullError:  # touching in a plane
            common = 0.0
        result[n] = common / (a.size[n].prod() + b.size[n].prod() - common)
    return result


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(name: str, a: Boxes, b: Boxes, num_runs: int) -> dict[str, float | str]:
    """Pairs a second of both ways, alternating, and the ratio of each run."""
    is_distance = name.startswith("distance")
    fast, slow = (box_distance, loop_distance) if is_distance else (iou, loop_iou)
    few = slice(0, NUM_LOOP_PAIRS)
    # a distance is checked on every pair; the loop's volumes take too long for that
    checked = slice(None) if is_distance else few
    difference = float(np.abs(fast(a[checked], b[checked]) - slow(a[checked], b[checked])).max())
    if difference >= MAX_DIFFERENCE:
        raise SystemExit(f"{name}: the two ways differ by {difference}")
    rates = []
    for _ in range(num_runs):
        all_at_once = len(a) / seconds(lambda: fast(a, b))
        one_by_one = NUM_LOOP_PAIRS / seconds(lambda: slow(a[few], b[few]))
        rates.append((all_at_once, one_by_one, all_at_once / one_by_one))
    vectorised, loop, ratio = (list(values) for values in zip(*rates, strict=True))
    return {
        "measure": name,
        "num_checked": len(a[checked].center),
        "max_difference": difference,
        "pairs_per_s": round(statistics.median(vectorised)),
        "loop_pairs_per_s": round(statistics.median(loop)),
        "ratio": round(statistics.median(ratio), 1),
        "ratio_min": round(min(ratio), 1),
        "ratio_max": round(max(ratio), 1),
    }


def main() -> None:
    """Measure and print a table, then one JSON line."""
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    num_pairs, num_runs = int(options.get("num_pairs", 10_000)), int(options.get("num_runs", 5))
    rng = np.random.default_rng(0)
    rows = []
    for upright in (False, True):
        a, b = (random_boxes(rng, num_pairs, upright) for _ in range(2))
        kind = "upright" if upright else "any rotation"
        rows += [measure(f"{name} {kind}", a, b, num_runs) for name in ("distance", "iou")]
    a, b = (random_boxes(rng, 300, True) for _ in range(2))
    a, b = (Boxes(boxes.center * 4, boxes.size, boxes.quaternion) for boxes in (a, b))
    matrix_ms = [1000 * seconds(lambda: iou_matrix(a, b)) for _ in range(num_runs)]

    print(f"{'measure':24}{'checked':>9}{'differ by':>11}{'pairs/s':>10}{'loop':>8}{'ratio':>8}"
          f"{'min':>8}{'max':>8}")  # fmt: skip
    for row in rows:
        print("{measure:24}{num_checked:>9}{max_difference:>11.1e}{pairs_per_s:>10}{loop_pairs_per_s:>8}"
              "{ratio:>8}{ratio_min:>8}{ratio_max:>8}".format(**row))  # fmt: skip
    print(f"iou_matrix 300 x 300 upright boxes: {statistics.median(matrix_ms):.1f} ms")
    print(
        json.dumps(
            {
                "benchmark": "boxes",
                "num_pairs": num_pairs,
                "num_runs": num_runs,
                "rows": rows,
                "iou_matrix_300x300_ms": [round(value, 2) for value in matrix_ms],
            }
        )
    )


if __name__ == "__main__":
    main()
