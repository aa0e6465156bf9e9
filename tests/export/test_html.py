from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pytest

from spatialcode.export import html as page_module
from spatialcode.export.html import bundle, render_html, write_html
from spatialcode.scene.schema import make_id
from spatialcode.scene.text import from_json
from tests.export.codes import code, item, moving_stool
from tests.export.javascript import VIEWER, needs_node

EVIL = "</script><img src=x onerror=alert(1)>\"'&<!--"
FETCHING = {"src", "href", "data", "poster", "srcset", "action", "background"}


class Page(HTMLParser):
    """What a browser would see of the page before its scripts run: elements and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self._open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])


def evil_page() -> Page:
    evil = code(item(make_id(EVIL, 1), EVIL))
    video = replace(evil.video, uri=f"rooms/{EVIL}.mp4")
    provenance = replace(evil.provenance, encoder=EVIL)
    return Page(render_html(replace(evil, video=video, provenance=provenance)))


def test_the_page_fetches_nothing() -> None:
    page = Page(render_html(code(item("table_1", "table"))))
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert not FETCHING & set(attributes), (tag, attributes)
    (policy,) = (m["content"] for m in page.find("meta") if "http-equiv" in m)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_the_policy_allows_exactly_the_two_scripts() -> None:
    page = Page(render_html(code()))
    (policy,) = (m["content"] for m in page.find("meta") if "http-equiv" in m)
    assert policy is not None
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    data, *scripts = page.scripts
    assert json.loads(data)
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    assert allowed == [base64.b64encode(digest).decode() for digest in digests]
    directive = next(part for part in policy.split(";") if "script-src" in part)
    assert "unsafe" not in directive


def test_hostile_labels_and_names_stay_text() -> None:
    page = evil_page()
    assert len(page.scripts) == 3
    (image,) = page.find("img")  # the page's own, for pictures
    assert "onerror" not in image
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.data["name"] == PurePosixPath(f"rooms/{EVIL}.mp4").name
    assert page.data["code"]["objects"][0]["label"] == EVIL


def test_controls_are_native_named_and_fit_a_narrow_screen() -> None:
    page = Page(render_html(code(item("table_1", "table"))))
    assert any(m.get("name") == "viewport" for m in page.find("meta"))
    ids = {a["id"] for a in page.find("input") + page.find("button") if "id" in a}
    assert ids == {
        "time", "score", "faces", "names", "seen", "inset", "play", "overview", "above", "clear"
    }  # fmt: skip
    (time,) = (a for a in page.find("input") if a.get("id") == "time")
    assert time["type"] == "range"
    assert page.find("html")[0]["lang"] == "en"


def test_the_page_holds_the_code_and_its_pictures() -> None:
    red, blue = np.zeros((2, 90, 480, 3), np.uint8)
    red[..., 0] = blue[..., 2] = 200
    made = code(item("table_1", "table"), moving_stool())
    page = Page(render_html(made, [(0.1, red), (1.9, blue)]))
    assert from_json(json.dumps(page.data["code"])) == made
    assert page.data["name"] == "a.mp4"
    assert [picture["t_s"] for picture in page.data["pictures"]] == [0.1, 1.9]
    prefix = "data:image/jpeg;base64,"
    first, last = (picture["address"] for picture in page.data["pictures"])
    assert first.startswith(prefix)
    jpeg = np.frombuffer(base64.b64decode(last.removeprefix(prefix)), np.uint8)
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert picture.shape == (45, 240, 3)
    assert picture.mean(axis=(0, 1)).round().tolist() == pytest.approx([200, 0, 0], abs=4)  # BGR


def test_a_page_is_written_where_there_was_no_folder(tmp_path: Path) -> None:
    path = write_html(code(), tmp_path / "new" / "page.html")
    assert path.stat().st_size < 6_000_000


def test_every_module_of_the_viewer_is_inlined() -> None:
    script = bundle("export.js")
    names = sorted(path.name for path in VIEWER.iterdir() if path.suffix in {".js", ".json"})
    assert len(names) > 15
    assert sorted(re.findall(r'^modules\["([\w.]+)"\] =', script, re.MULTILINE)) == names
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)


@needs_node
def test_inlined_modules_give_what_they_export(tmp_path: Path) -> None:
    path = tmp_path / "bundle.js"
    path.write_text(bundle("figure.js") + 'console.log(modules["palette.js"].labelColor("sofa"));')
    done = subprocess.run(["node", str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "rgb(29,120,216)\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('import * as b from "./b.js";\n', r"cannot be inlined: 'import \* as b"),
        ("export default 1;\n", "cannot be inlined: 'export default"),
        ('const a = "</script>";\n', "cannot be inlined: '</script'"),
        ('import { a } from "./a.js";\n', "a.js imports itself"),
    ],
)
def test_what_cannot_be_inlined_is_refused(
    source: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "_asset", {"a.js": source}.__getitem__)
    with pytest.raises(ValueError, match=message):
        bundle("a.js")
