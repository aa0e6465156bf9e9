"""Makes questions with exact answers of spatial codes: VSI-Bench's families and configuration.

Writes OUTPUT/questions (a row a question), OUTPUT/scenes (a row a code, with why one failed) and
OUTPUT/report.json. An output that holds a question set is refused, or replaced whole with
overwrite=true.
"""

from __future__ import annotations

import sys
from functools import partial

from jobs.cli import EventLog, run_job
from pipelines.questions.config import QuestionsConfig


def _work(config: QuestionsConfig, log: EventLog) -> bool:
    from pipelines.questions.graph import QuestionsTally, run_questions

    def show(tally: QuestionsTally) -> None:
        done = tally.done + tally.failed
        log.event("progress", codes=tally.codes, done=tally.done, failed=tally.failed)
        if sys.stderr.isatty():
            line = f"\r{done}/{tally.codes} codes, {tally.questions} questions  "
            print(line, end="", file=sys.stderr, flush=True)

    report = run_questions(config, show)
    log.event("report", **report)
    print(
        f"{report['codes']} codes: {report['done']} done, {report['failed']} failed,"
        f" {report['unfinished']} unfinished; {report['questions']} questions"
    )
    for name, family in report["families"].items():
        reasons = ", ".join(f"{n} {reason}" for reason, n in family["skipped"].items())
        left_out = f"  (left out: {reasons})" if reasons else ""
        print(f"  {family['questions']:7} of {family['wanted']:7} {name}{left_out}")
    for failure in report["failures"][:5]:
        print(f"  failed: {failure['uri']}: {failure['error']}")
    if report["aborted"]:
        print(f"  aborted: {report['aborted']}")
    print(f"questions: {report['output']}/questions  report: {report['output']}/report.json")
    return bool(report["ok"])


main = partial(run_job, "questions", QuestionsConfig, _work, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main())
