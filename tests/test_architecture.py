"""Which part may import which, and what stays light, held by parsing the sources."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A part may import parts of a lower rank and itself; parts of one rank do not know each other.
RANKS = {
    "spatialcode.errors": 0,
    "spatialcode.version": 0,
    "spatialcode.seeds": 0,
    "spatialcode.threads": 0,
    "spatialcode.child": 0,
    "spatialcode.files": 1,
    "spatialcode.loading": 1,
    "spatialcode.config": 1,
    "spatialcode.workkey": 1,
    "spatialcode.scene": 2,
    "spatialcode.video": 3,
    "spatialcode.encoder": 3,
    "spatialcode.synthetic": 3,
    "spatialcode.questions": 3,
    "spatialcode.reasoning": 4,
    "spatialcode.recordings": 4,
    "spatialcode.tasks": 5,
    "spatialcode.grpo": 5,
    "spatialcode.tiny": 5,
    "spatialcode.export": 5,
    "spatialcode.streaming": 5,
    "spatialcode.client": 6,
    "spatialcode.api": 6,
    "spatialcode.evaluation": 6,
    "spatialcode": 7,  # its own file, which offers api lazily
    "cluster": 8,
    "pipelines": 9,
    "serve": 9,
    "jobs": 10,
}
# The encoder sees, the reasoner reads: only a spatial code passes between them.
STRANGERS = {("spatialcode.reasoning", "spatialcode.encoder")}
NO_TORCH = (
    "spatialcode.scene",
    "spatialcode.video",
    "spatialcode.synthetic",
    "spatialcode.config",
    "spatialcode.recordings",
)
LIGHT_MODULES = (
    "spatialcode",
    "spatialcode.config",
    "spatialcode.errors",
    "spatialcode.child",
    "spatialcode.files",
    "spatialcode.scene",
    "spatialcode.video",
    "spatialcode.synthetic",
    "spatialcode.questions",
    "spatialcode.encoder.protocol",
    "spatialcode.encoder.registry",
    "spatialcode.encoder.parsing.registry",
    "spatialcode.encoder.parsing.vocabulary",
    "spatialcode.encoder.parsing.keyframes",
    "spatialcode.encoder.small.encoder",
    "spatialcode.encoder.unified.encoder",
    "spatialcode.encoder.weights",
    "spatialcode.reasoning.rubric.scoring",
    "spatialcode.recordings",
    "spatialcode.client",
    "serve.config",
)
# The rest of the service runs, and is tested, without Ray.
SERVE_ON_RAY = ("serve.app", "serve.on_ray")
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_POSITIONAL = 500, 50, 5
MAX_MODULES_BESIDE_EACH_OTHER = 20


def sources() -> list[Path]:
    folders = ("spatialcode", "cluster", "pipelines", "jobs", "serve")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str | None:
    """The part with the longest name that holds the module; None for foreign modules."""
    names = [name for name in RANKS if module == name or module.startswith(name + ".")]
    return max(names, key=len) if names else None


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, base] if base else kept)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def all_imports() -> Iterator[tuple[Path, int, str, str]]:
    """File, line, importing module, imported name."""
    for path in sources():
        module = module_name(path)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for line, name in imports(ast.parse(path.read_text(encoding="utf-8")), package):
            yield path, line, module, name


def allowed(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    return RANKS[imported] < RANKS[importer] and (importer, imported) not in STRANGERS


def test_the_rule_itself_knows_forbidden_arrows() -> None:
    assert allowed("spatialcode.encoder", "spatialcode.scene")
    assert not allowed("spatialcode.scene", "spatialcode.encoder")
    assert not allowed("spatialcode.encoder", "spatialcode.synthetic")
    assert not allowed("spatialcode.reasoning", "spatialcode.encoder")
    assert not allowed("pipelines", "serve")
    relative = ast.parse("def f():\n    from ..synthetic import rooms")
    assert list(imports(relative, "spatialcode.encoder")) == [(2, "spatialcode.synthetic.rooms")]


def test_imports_follow_the_arrows() -> None:
    wrong = []
    for path, line, module, name in all_imports():
        importer, imported = part_of(module), part_of(name)
        if importer is None or imported is None:
            continue
        of_package = imported == "spatialcode" and importer != "spatialcode"
        if of_package and RANKS[importer] < RANKS["cluster"]:
            continue  # the package itself, for a version or a resource
        if not allowed(importer, imported):
            wrong.append(f"{path.relative_to(ROOT)}:{line}: {importer} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_every_module_belongs_to_a_part() -> None:
    lost = [str(path) for path in sources() if part_of(module_name(path)) is None]
    lost += [
        str(path.relative_to(ROOT))
        for path in sources()
        if part_of(module_name(path)) == "spatialcode" and path.name != "__init__.py"
    ]
    assert not lost, "give it a rank above: " + ", ".join(lost)


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("ray", ("cluster", "pipelines", "jobs", *SERVE_ON_RAY)),
        ("sqlalchemy", ("serve",)),
        ("omegaconf", ("spatialcode.config",)),
        ("yaml", ("spatialcode.config", "jobs", "pipelines")),
    ],
)
def test_library_stays_at_home(library: str, home: tuple[str, ...]) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path, line, module, name in all_imports()
        if name.split(".")[0] == library and not module.startswith(home)
    ]
    assert not wrong


def test_geometry_and_video_parts_name_no_torch() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path, line, module, name in all_imports()
        if module.startswith(NO_TORCH) and name.split(".")[0] in {"torch", "ray"}
    ]
    assert not wrong


def test_light_modules_load_no_torch_and_no_ray() -> None:
    existing = [
        name
        for name in LIGHT_MODULES
        if (ROOT / (name.replace(".", "/") + ".py")).exists()
        or (ROOT / name.replace(".", "/") / "__init__.py").exists()
    ]
    # Every module of these packages, not only what their __init__ pulls in.
    modules = [
        module_name(path)
        for path in sources()
        if any(module_name(path) == name or module_name(path).startswith(name + ".")
               for name in existing if name != "spatialcode")
    ]  # fmt: skip
    code = (
        "import importlib, sys\n"
        f"for name in {['spatialcode', *modules]!r}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'ray'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    problems = []
    num_lines = len(text.splitlines())
    if num_lines > MAX_FILE_LINES:
        problems.append(f"{num_lines} lines")
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > MAX_FUNCTION_LINES:
            problems.append(f"{node.name} has {length} lines")
        names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
        num_positional = len([name for name in names if name not in {"self", "cls"}])
        if num_positional > MAX_POSITIONAL:
            problems.append(f"{node.name} has {num_positional} positional parameters")
    assert not problems, f"{path.relative_to(ROOT)}: " + "; ".join(problems)


def test_names_say_what_they_hold() -> None:
    vague = {"utils", "util", "misc", "common", "helpers"}
    assert not [path for path in sources() if set(path.with_suffix("").parts) & vague]


def test_no_folder_holds_more_modules_than_one_can_oversee() -> None:
    counts = Counter(path.parent.relative_to(ROOT) for path in sources() if path.stem != "__init__")
    assert not {str(f): n for f, n in counts.items() if n > MAX_MODULES_BESIDE_EACH_OTHER}


def definitions(path: Path) -> set[str]:
    """Functions and classes of a module, and the members of its classes as ``Class.member``."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (ast.FunctionDef, ast.AsyncFunctionDef)
            found |= {f"{node.name}.{n.name}" for n in node.body if isinstance(n, inner)}
    return found


def test_the_walks_of_the_page_pass_functions_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    passed = re.findall(r"`([\w/]+\.py):([\w.]+)`", page)
    assert len(passed) > 50
    for file, name in passed:
        assert name in definitions(ROOT / file), f"{file} defines no {name}"


def test_the_page_names_files_and_tests_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:tests|pipelines|serve|spatialcode|jobs)/[\w/]+\.py)`", page))
    assert {"tests/extension/test_encoder.py", "serve/metrics.py"} <= named
    named.discard("jobs/NAME.py")  # what a new verb's file is called
    assert not [name for name in named if not (ROOT / name).is_file()]


def test_every_extension_test_stands_on_the_page() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tests = sorted(path.name for path in (ROOT / "tests" / "extension").glob("test_*.py"))
    assert tests
    assert not [name for name in tests if f"tests/extension/{name}" not in page]


def test_no_two_public_classes_share_a_name() -> None:
    homes: dict[str, set[str]] = {}
    for path in sources():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, set()).add(str(path.relative_to(ROOT)))
    assert not {name: files for name, files in homes.items() if len(files) > 1}
