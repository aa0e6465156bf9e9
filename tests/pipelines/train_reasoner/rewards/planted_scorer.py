"""A scorer that kills its process when a file says so: a crash in the middle of a step."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.train_reasoner.rewards.scorers import DrawnScorer
from spatialcode.grpo.types import Scored
from spatialcode.questions.types import QuestionItem
from spatialcode.scene.schema import SpatialCode

NAME = "tests.pipelines.train_reasoner.rewards.planted_scorer:PlantedScorer"
VARIABLE = "REASONER_TEST_FOLDER"


class PlantedScorer(DrawnScorer):
    """Rewards drawn from the completion's hash."""

    @classmethod
    def load(cls, settings: Mapping[str, Any]) -> PlantedScorer:
        return cls()

    def score(self, item: QuestionItem, code: SpatialCode, completion: str) -> Scored:
        folder = Path(os.environ[VARIABLE])
        if (folder / "kill").exists():
            (folder / "kill").rename(folder / f"killed_{os.getpid()}")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(item, code, completion)
