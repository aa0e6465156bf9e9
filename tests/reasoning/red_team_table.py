"""The tables of docs/rubric.md: the registered terms, and what each attack scores, measured.

python -m tests.reasoning.red_team_table   # prints both, to be put between the page's marks
"""

from __future__ import annotations

from spatialcode.reasoning.rubric.scoring import score
from spatialcode.reasoning.rubric.terms import TERMS
from tests.reasoning.red_team import ATTACKS, CODE
from tests.reasoning.red_team_programs import PROGRAM_ATTACKS

START, END = "<!-- red team -->\n", "<!-- end of red team -->"
TERMS_START, TERMS_END = "<!-- terms -->\n", "<!-- end of terms -->"


def terms_table() -> str:
    """Markdown, one row for each registered term."""
    rows = ["| term | weight | about | value |", "|---|---|---|---|"]
    for term in TERMS.values():
        about = term.meaning[0].lower() + term.meaning[1:].rstrip(".")
        weight = f"{term.weight:.2f}"
        rows.append(f"| `{term.name}` | {weight} | {about} | {term.definition.rstrip('.')} |")
    return "\n".join(rows) + "\n"


def table() -> str:
    """Markdown, one row an attack."""
    rows = ["| attack | question | score |", "|---|---|---|"]
    for attack in ATTACKS + PROGRAM_ATTACKS:
        total = score(attack.question, CODE, attack.completion, attack.gold).total
        rows.append(f"| {attack.name} | {attack.question.family} | {total:.2f} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(terms_table())
    print(table())
