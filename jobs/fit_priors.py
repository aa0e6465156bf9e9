"""Fits priors: what is known of rooms in general, for answers where a code lacks an object.

boxes: annotated boxes, or exact codes; questions: answered questions about these rooms. Neither
may be of rooms that are scored with the priors. With perceived= (codes of the same rooms by an
encoder) its habits are corrected too. The file serves evaluate's priors= and ask's priors=.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial

from jobs.cli import EventLog, run_job
from spatialcode.config import checked, setting


@dataclass(frozen=True)
@checked
class FitPriorsConfig:
    """All settings of ``python -m jobs.fit_priors``."""

    boxes: str = setting("file of boxes, or folder of codes: JSON, or output of a job")
    questions: str = setting("answered questions: JSONL, Parquet, or output of the questions job")
    output: str = setting("the JSON file to write")
    perceived: str | None = setting("the same rooms as an encoder sees them", None)
    max_places: int = setting(
        "places kept of each kind of thing; more make the file larger", 60, at_least=1
    )


def _work(config: FitPriorsConfig, log: EventLog) -> bool:
    from pathlib import Path

    from pipelines.stored.questions import read_questions
    from pipelines.stored.reading import read_codes
    from spatialcode.config import to_dict
    from spatialcode.errors import InputError
    from spatialcode.reasoning.priors.fit import fit_priors
    from spatialcode.reasoning.priors.known import thinned, write_priors

    items = read_questions(config.questions)
    scenes = {item.scene for item in items}
    rooms = read_codes(config.boxes, scenes)
    asked = [item for item in items if item.scene in rooms]
    if not asked:
        raise InputError(f"questions: none of {len(items)} is about a scene of {config.boxes}")
    perceived = None if config.perceived is None else read_codes(config.perceived, scenes)
    priors = thinned(fit_priors(rooms, asked, perceived), config.max_places)
    about = {"num_rooms": len(rooms), "num_questions": len(asked), **to_dict(config)}
    Path(config.output).parent.mkdir(parents=True, exist_ok=True)
    write_priors(priors, config.output, about)
    log.event("fitted", num_rooms=len(rooms), num_questions=len(asked))
    print(f"priors of {len(rooms)} rooms and {len(asked)} questions: {config.output}")
    return True


main = partial(run_job, "fit_priors", FitPriorsConfig, _work, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main())
