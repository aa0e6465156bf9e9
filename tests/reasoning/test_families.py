"""Families of questions: what is known of one stands in its module, and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from spatialcode.reasoning.families.registry import families

ROOT = Path(__file__).parents[2]
TYPES = ROOT / "spatialcode/questions/types.py"
REGISTRY = ROOT / "spatialcode/reasoning/families/registry.py"  # it lists the modules
SOURCES = sorted(
    path
    for folder in ("spatialcode", "cluster", "pipelines", "jobs", "serve")
    for path in (ROOT / folder).rglob("*.py")
    if path not in (TYPES, REGISTRY)
)


def names_in(path: Path) -> Iterator[str]:
    """Everything that a module names: identifiers, imports, attributes, words of its texts."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
            yield from re.findall(r"\w+_\w+", node.value)


@pytest.fixture(scope="module")
def named() -> dict[str, set[Path]]:
    """The modules that hold a name."""
    found: dict[str, set[Path]] = {}
    for path in SOURCES:
        for name in names_in(path):
            found.setdefault(name, set()).add(path.relative_to(ROOT))
    return found


@pytest.mark.parametrize("family", families(), ids=lambda family: family.names[0])
def test_a_family_is_named_in_its_own_module_alone(family, named):
    # or in its sibling, which holds the sentences where one file would be too long
    module = Path(*type(family).__module__.split(".")).with_suffix(".py")
    sibling = module.with_name(f"{module.stem.split('_')[0]}_questions.py")
    for name in (family.question_type.__name__, *family.names, *filter(None, [family.group])):
        assert named.get(name, set()) <= {module, sibling}, name
