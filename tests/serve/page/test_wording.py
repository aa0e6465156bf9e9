"""What the service's page says, by its modules under node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spatialcode.reasoning.families.registry import parse
from tests.export.codes import code
from tests.export.javascript import copied, needs_node, plain, run, sample

pytestmark = needs_node


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("page"))


def test_suggested_questions_are_read_by_the_solver(modules: Path) -> None:
    questions = run(
        modules, "suggestions", "return suggestions.suggestions(given);", plain(sample())
    )
    assert len(questions) == 3
    kinds = [type(parse(question)).__name__ for question in questions]
    assert len(set(kinds)) == 3
    assert (
        run(
            modules, "suggestions", "return suggestions.suggestions(given);", plain(code(room=None))
        )
        == []
    )


def test_problem_documents_become_sentences(modules: Path) -> None:
    script = """
    const read = (...parts) => {
      const { message, isPassing, retryAfter_s } = problem.problemOf(...parts);
      return [message, isPassing, retryAfter_s ?? null];
    };
    return given.map((parts) => read(...parts));
    """
    full = json.dumps(
        {"type": "about:blank", "title": "Too many requests", "detail": "Queue full."}
    )
    openai = json.dumps({"error": {"message": "no such model"}})
    given = [[429, full, "2.2"], [502, "<html>", None], [404, openai, None], [422, "{}", None]]
    assert run(modules, "problem", script, given) == [
        ["Too many requests: Queue full. Try again in 3 s.", True, 2.2],
        ["The service answered 502.", True, None],
        ["no such model.", False, None],
        ["The service answered 422.", False, None],
    ]
