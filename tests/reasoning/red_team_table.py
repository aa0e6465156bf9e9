"""The red team's table of docs/rubric.md: what each attack scores, measured.

python -m tests.reasoning.red_team_table   # prints it, to be put between the page's marks
"""

from __future__ import annotations

from spatialcode.reasoning.rubric.scoring import score
from tests.reasoning.red_team import ATTACKS, CODE
from tests.reasoning.red_team_programs import PROGRAM_ATTACKS

START, END = "<!-- red team -->\n", "<!-- end of red team -->"


def table() -> str:
    """Markdown, one row an attack."""
    rows = ["| attack | question | score |", "|---|---|---|"]
    for attack in ATTACKS + PROGRAM_ATTACKS:
        total = score(attack.question, CODE, attack.completion, attack.gold).total
        rows.append(f"| {attack.name} | {attack.question.family} | {total:.2f} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(table())
