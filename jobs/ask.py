"""Answers one question about a spatial code, exactly, and prints the answer and its evidence as
JSON.

code=FILE.json, FILE.parquet#KEY or OUTPUT#KEY of the encode job, as for the view job.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial

from jobs.cli import EventLog, run_job
from spatialcode.config import setting


@dataclass(frozen=True)
class AskConfig:
    """All settings of ``python -m jobs.ask``."""

    code: str = setting("FILE.json, FILE.parquet#KEY or OUTPUT#KEY")
    question: str = setting("the question, in words")
    options: tuple[str, ...] = setting("choices; none for a question with a number", ())
    priors: str | None = setting("file of the fit_priors job, for guesses; null: bundled", None)


def _work(config: AskConfig, log: EventLog) -> bool:
    from pipelines.stored.reading import load_code
    from spatialcode.api import ask
    from spatialcode.reasoning.priors.known import read_priors

    priors = None if config.priors is None else read_priors(config.priors)
    answer = ask(load_code(config.code), config.question, config.options, priors=priors)
    shown = {
        "answer": answer.final(),
        "option": answer.option,
        "value": answer.value,
        "unit": answer.unit,
        "grounded": answer.grounded,
        "confidence": answer.confidence,
        "objects": list(answer.evidence.object_ids),
        "evidence": [statement.text() for statement in answer.evidence.statements],
    }
    log.event("answer", answer=answer.final(), grounded=answer.grounded)
    print(json.dumps(shown, indent=1, ensure_ascii=False))
    return True


main = partial(run_job, "ask", AskConfig, _work, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main())
