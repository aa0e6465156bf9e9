"""Completions over rooms, right ones and wrong ones, with their markers."""

from __future__ import annotations

from pipelines.train_reasoner.rewards.scorers import RewardSample, item_to_json
from spatialcode.reasoning.families.registry import parse
from spatialcode.reasoning.generate import generate
from spatialcode.reasoning.solver import solve
from spatialcode.scene.text import to_json
from spatialcode.synthetic.clips import ClipConfig, make_clip


def reward_samples(num_samples: int, seed: int = 0) -> list[RewardSample]:
    """Solver-written completions of two rooms in turn, every third one cut in half."""
    per_room = []
    for n in (seed, seed + 1):
        code = make_clip(n, ClipConfig(num_frames=4)).code
        rows = []
        for item in generate(code, scene=f"room {n}", seed=0).items:
            text = solve(parse(item.question, item.options), code).text()
            rows.append(RewardSample(item_to_json(item), f"room {n}", to_json(code), text))
        per_room.append(rows)
    samples = []
    for n in range(num_samples):
        rows = per_room[n % 2]
        sample = rows[(n // 2) % len(rows)]
        samples.append(with_text(sample, sample.completion[: len(sample.completion) // 2])
                       if n % 3 == 2 else sample)  # fmt: skip
    return samples


def with_text(sample: RewardSample, completion: str) -> RewardSample:
    return RewardSample(sample.item, sample.code_id, sample.code, completion)


def marked(sample: RewardSample, marker: str) -> RewardSample:
    """The marker is prose to the rubric; it stands before the reasoning."""
    return with_text(sample, f"{marker}\n{sample.completion}")
