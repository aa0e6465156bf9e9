from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from spatialcode.export.html import render_html, write_html
from spatialcode.scene.schema import make_id
from tests.export.codes import code, item, moving_stool

EVIL = "</script><img src=x onerror=alert(1)>\"'&<!--"
FETCHING = {"src", "href", "data", "poster", "srcset", "action", "background"}


class Page(HTMLParser):
    """What a browser would see: elements with attributes, scripts, texts, table cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self._open.append(tag)
        if tag == "script":
            self.scripts.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data

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
    assert "'unsafe-inline'" not in directive


def test_hostile_labels_and_names_stay_text() -> None:
    page = evil_page()
    assert len(page.scripts) == 3
    (image,) = page.find("img")  # the page's own, for frames
    assert "onerror" not in image
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.rows[1][1] == EVIL
    # Plotly reads tags in hover texts and legends, so none may reach it there.
    for trace in page.data["figure"]["data"]:
        assert "<img" not in trace["name"]
        assert not any("<img" in text for text in trace.get("text", []))


def test_the_table_says_what_the_code_says() -> None:
    table = item(
        "table_1",
        "table",
        score=0.87,
        center_m=(1.0, -2.345, 0.5),
        quaternion_wxyz=(0.70710678, 0.0, 0.0, -0.70710678),
        first_seen_s=0.5,
    )
    page = Page(render_html(code(table, moving_stool())))
    assert page.rows[1] == [
        "table_1", "table", "0.87", "1.00, -2.35, 0.50", "1.00, 2.00, 1.00", "-90", "0.5–2.0",
    ]  # fmt: skip
    assert page.rows[2][:2] == ["stool_1", "stool · moving"]


def test_the_figure_in_the_page_has_the_boxs_corners() -> None:
    box = item("table_1", "table", center_m=(1.0, 4.0, 0.5), size_m=(1.0, 2.0, 1.0))
    page = Page(render_html(code(box)))
    (solid,) = (
        t for t in page.data["figure"]["data"] if (t["type"], t["name"]) == ("mesh3d", "table")
    )
    corners = set(zip(solid["x"], solid["y"], solid["z"], strict=True))
    assert corners == {(x, y, z) for x in (0.5, 1.5) for y in (3.0, 5.0) for z in (0.0, 1.0)}


def test_controls_are_native_named_and_fit_a_narrow_screen() -> None:
    page = Page(render_html(code(item("table_1", "table"))))
    assert any(m.get("name") == "viewport" for m in page.find("meta"))
    ids = {a["id"] for a in page.find("input") + page.find("button") if "id" in a}
    assert ids == {"time", "score", "faces", "names", "play", "overview", "above"}
    (time,) = (a for a in page.find("input") if a.get("id") == "time")
    assert (time["type"], time["min"], time["max"], time["value"]) == ("range", "0", "2", "2")
    assert page.find("html")[0]["lang"] == "en"


def test_frames_are_shown_at_the_steps_nearest_to_them() -> None:
    red, blue = np.zeros((2, 90, 480, 3), np.uint8)
    red[..., 0] = blue[..., 2] = 200
    page = Page(render_html(code(), [(0.1, red), (1.9, blue)]))
    assert page.data["steps"] == [0.0, 1.0, 2.0]
    assert page.data["frame_of_step"] in ([0, 0, 1], [0, 1, 1])
    prefix = "data:image/jpeg;base64,"
    first, last = page.data["frames"]
    assert first.startswith(prefix)
    jpeg = np.frombuffer(base64.b64decode(last.removeprefix(prefix)), np.uint8)
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert picture.shape == (45, 240, 3)
    assert picture.mean(axis=(0, 1)).round().tolist() == pytest.approx([200, 0, 0], abs=4)  # BGR


def test_a_code_without_objects_says_so(tmp_path: Path) -> None:
    path = write_html(code(), tmp_path / "new" / "page.html")
    assert "No object was found" in path.read_text(encoding="utf-8")
    assert path.stat().st_size < 6_000_000


PROBE = """
const seen = {};
const at = (step) => {
  byId("time").value = step;
  byId("time").dispatchEvent(new Event("input"));
  const solid = (label) => figure.data[groups.find((g) => g.label === label).solid];
  seen[step] = { tables: solid("table").x.length / 8, stool: Math.min(...solid("stool").x),
                 camera: figure.data[traces.frustum].x[0], count: byId("count").textContent };
};
at(0); at(1); at(2);
byId("score").value = 50;
byId("score").dispatchEvent(new Event("input"));
seen.sure = byId("count").textContent;
byId("objects").rows[0].querySelector("button").click();
seen.selected = figure.data[traces.selected].x.length;
const pressed = document.querySelectorAll("td button[aria-pressed=true]");
seen.pressed = [...pressed].map((button) => button.textContent);
document.title = JSON.stringify(seen);
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the program chromium")
def test_in_a_browser_the_slider_shows_what_was_known_by_then(tmp_path: Path) -> None:
    late = item("table_1", "table", first_seen_s=1.0, score=0.9)
    weak = item("table_2", "table", score=0.3)
    text = render_html(code(late, weak, moving_stool()))
    # The policy would refuse the probe, which is not one of the page's scripts.
    text = re.sub(r"<meta http-equiv[^>]*>", "", text).replace(
        "draw().then(listen);", f"draw().then(listen).then(() => {{ {PROBE} }});"
    )
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    gl = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    command = ["chromium", *flags, *gl, "--virtual-time-budget=9000", "--dump-dom", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None
    seen = json.loads(title.group(1))
    assert [seen[str(n)]["tables"] for n in range(3)] == [1, 2, 2]
    assert [seen[str(n)]["stool"] for n in range(3)] == [-1.25, -0.25, 0.75]
    assert [seen[str(n)]["camera"] for n in range(3)] == [0.0, 0.5, 1.0]
    assert seen["0"]["count"] == "2 of 3 objects shown"
    assert seen["sure"] == "2 of 3 objects shown"
    assert seen["pressed"] == ["table_1"]
    assert seen["selected"] == 36  # twelve edges of two ends and a break
