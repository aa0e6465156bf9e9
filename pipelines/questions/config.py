"""The settings of the questions job. Light: read by ``--help`` before Ray is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import checked, require, setting
from spatialcode.questions.generate_config import GenerateConfig


@dataclass(frozen=True)
@checked
class QuestionsConfig:
    """All settings of ``python -m jobs.questions``."""

    codes: str = setting(
        "output of the encode or synthesize job, a folder of Parquet or JSON codes, or one Parquet"
    )
    output: str = setting("folder (shared by all workers) for questions/, scenes/ and report.json")
    seed: int = setting("with a code's name it decides every draw", 0, at_least=0)
    generate: GenerateConfig = setting("", default_factory=GenerateConfig)
    jsonl: bool = setting("also write questions.jsonl, as VSI-Bench publishes questions", False)
    overwrite: bool = setting("replace a question set in output; without it that is refused", False)
    codes_per_task: int = setting("codes a task asks about; they share a file", 64, at_least=1)
    num_workers: int | None = setting(
        "tasks at once; null: as many as fit; 0: here, without Ray", None, at_least=0
    )
    num_cpus: float = setting("cores a task reserves", 1.0, above=0)
    max_failed_fraction: float = setting(
        "failed share of codes that still counts as success", 0.0, at_least=0, at_most=1
    )
    ray_address: str | None = setting("cluster to join; null: RAY_ADDRESS or a local one", None)

    def __post_init__(self) -> None:
        for name in ("codes", "output"):
            value = getattr(self, name)
            require("://" not in value, name, "a folder that all workers share", value)
