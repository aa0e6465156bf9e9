"""The rubric with planted faults: a marker in a completion makes scoring it go wrong."""

from __future__ import annotations

import os
import re
import signal
import time

from pipelines.train_reasoner.rewards.scorers import RubricScorer
from spatialcode.grpo.types import Scored
from spatialcode.questions.types import QuestionItem
from spatialcode.scene.schema import SpatialCode

NAME = "tests.pipelines.train_reasoner.rewards.stand_in_scorers:Marked"


class Marked(RubricScorer):
    """Does what a completion's markers say, then scores it as the rubric does."""

    def score(self, item: QuestionItem, code: SpatialCode, completion: str) -> Scored:
        slow = re.search(r"<slow ([\d.]+)>", completion)
        if slow:
            time.sleep(float(slow[1]))
        while "<hang>" in completion:
            pass
        if "<sleep>" in completion:
            time.sleep(3600)
        if "<raise>" in completion:
            raise ZeroDivisionError("planted")
        if "<die>" in completion:
            os.kill(os.getpid(), signal.SIGKILL)
        if "<kill-actor>" in completion:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(3600)
        return super().score(item, code, completion)
