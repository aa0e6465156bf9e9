"""Runs the viewer's and the service page's JavaScript modules under node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import from_json, to_json

ROOT = Path(__file__).parents[2]
VIEWER = ROOT / "spatialcode" / "assets" / "viewer"
PAGE = ROOT / "serve" / "page"
SAMPLE = ROOT / "spatialcode" / "assets" / "sample_room.json"

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs the program node")


def copied(folder: Path) -> Path:
    """A copy of both that node takes for modules, whatever its version."""
    for path in PAGE.glob("*.js"):
        shutil.copy(path, folder)
    shutil.copytree(VIEWER, folder / "viewer")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    return folder


def run(modules: Path, names: str, script: str, given: Any = None) -> Any:
    """What ``script`` returns (as the body of a function of ``given``), through JSON.

    ``names``: of the modules that it uses, as "figure problem".
    """
    where = {
        name: "./viewer/" if (VIEWER / f"{name}.js").exists() else "./" for name in names.split()
    }
    body = [
        'import { readFileSync } from "node:fs";',
        *(f'import * as {name} from "{folder}{name}.js";' for name, folder in where.items()),
        f"const run = (given) => {{ {script} }};",
        "const answer = run(JSON.parse(readFileSync(0)));",
        "process.stdout.write(JSON.stringify(answer));",
    ]
    (modules / "run.mjs").write_text("\n".join(body), encoding="utf-8")
    done = subprocess.run(
        ["node", "run.mjs"],
        cwd=modules,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sample() -> SpatialCode:
    return from_json(SAMPLE.read_text(encoding="utf-8"))


def plain(spatial: SpatialCode) -> Any:
    return json.loads(to_json(spatial))
