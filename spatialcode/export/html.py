"""One self-contained HTML page of a spatial code: the room in 3D, key pictures, a table.

The page holds the code, the pictures and the modules of ``assets/viewer``, which draw; nothing is
computed here. Nothing is fetched: plotly is inlined, and a content policy tells the browser to load
nothing and to run no script but the page's two, whatever labels and file names hold.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any

from spatialcode.export.stills import TimedFrame, jpeg, small
from spatialcode.files import write_text
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import to_json

_IMPORT = re.compile(
    r'^import (?P<what>\{[^}]*\}|\w+) from "\./(?P<file>[\w.]+)"(?: with \{ type: "json" \})?;\n',
    re.MULTILINE,
)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) )", re.MULTILINE)
_EXPORTED = re.compile(
    r"^export (?:async function|function|class|const) (?:(\w+)|\[([\w, ]+)\])", re.MULTILINE
)


def render_html(code: SpatialCode, frames: Sequence[TimedFrame] = ()) -> str:
    """The page as text (about 5 MB, nearly all of it plotly).

    ``frames`` of the video are shown small in the room's corner, at the times they belong to.
    """
    from plotly.offline import get_plotlyjs

    script, plotly = bundle("export.js"), get_plotlyjs().replace("\r\n", "\n")
    name = PurePosixPath(code.video.uri.replace("\\", "/")).name or "Spatial code"
    pictures = [{"t_s": t_s, "address": _data_address(jpeg(small(rgb)))} for t_s, rgb in frames]
    data = {"name": name, "code": json.loads(to_json(code)), "pictures": pictures}
    return Template(_asset("export.html")).substitute(
        policy=_policy(plotly, script),
        title=html.escape(name),
        style=_asset("viewer.css") + _asset("export.css"),
        data=_script_json(data),
        plotly=plotly,
        script=script,
    )


def write_html(code: SpatialCode, path: str | Path, frames: Sequence[TimedFrame] = ()) -> Path:
    """Write the page of ``code`` to ``path`` (its folder is made) and return the path."""
    write_text(path, render_html(code, frames))
    return Path(path)


def bundle(entry: str) -> str:
    """The module ``entry`` of ``assets/viewer`` and all that it imports, as one classic script.

    Browsers load no modules from ``file://``. Each module becomes a function that is called once
    and gives what the module exports. Imports stand alone on lines at a module's start, and exports
    before what they declare; ValueError for anything else.
    """
    order: list[str] = []
    _add_module(entry, order, ())
    parts = ['"use strict";', "const modules = {};", *map(_as_function, order)]
    return "\n".join(parts) + "\n"


def _add_module(name: str, order: list[str], importers: tuple[str, ...]) -> None:
    """Append ``name`` to ``order``, after all that it imports."""
    if name in importers:
        raise ValueError(f"{name} imports itself, by way of {' and '.join(importers)}")
    if name in order:
        return
    if name.endswith(".js"):
        for imported in _IMPORT.finditer(_asset(name)):
            _add_module(imported["file"], order, (*importers, name))
    order.append(name)


def _as_function(name: str) -> str:
    source = _asset(name)
    if name.endswith(".json"):
        return f"modules[{json.dumps(name)}] = {source.strip()};"
    exported = [
        one.strip()
        for single, several in _EXPORTED.findall(source)
        for one in (single or several).split(",")
    ]
    body = _EXPORT.sub("", _IMPORT.sub(_as_constant, source))
    if left := re.search(r"^(?:import|export)\b.*|<!--|</script", body, re.MULTILINE):
        raise ValueError(f"{name}: cannot be inlined: {left[0]!r}")
    gives = f"return {{ {', '.join(exported)} }};"
    return f"modules[{json.dumps(name)}] = (() => {{\n{body}{gives}\n}})();"


def _as_constant(found: re.Match[str]) -> str:
    what = found["what"].replace(" as ", ": ")
    return f"const {what} = modules[{json.dumps(found['file'])}];\n"


def _asset(name: str) -> str:
    folder = resources.files("spatialcode") / "assets" / "viewer"
    return (folder / name).read_text(encoding="utf-8")


def _data_address(jpeg_file: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg_file).decode("ascii")


def _script_json(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element it sits in, nor start a comment there."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _policy(*scripts: str) -> str:
    """Content policy: run exactly these scripts, load nothing but inlined images."""
    digests = (hashlib.sha256(script.encode("utf-8")).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(d).decode('ascii')}'" for d in digests)
    return (
        f"default-src 'none'; script-src {hashes}; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
