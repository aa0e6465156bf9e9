"""The exported page beside the service's, in a browser: one viewer, one figure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spatialcode.export.html import write_html
from spatialcode.export.stills import page_frames
from spatialcode.scene.schema import SpatialCode, make_id
from tests.export.codes import code, item, moving_stool
from tests.serve.page.page_service import CODE, FIRST_ID, VIDEO, Service, running
from tests.serve.page.test_page import PATIENCE_MS, browser, expect, pytestmark, wait

__all__ = ["browser", "pytestmark"]

EVIL = "<img src=x onerror=document.title='caught'>"
#: Everything that plotly was given; the exported page writes float32 with the digits that it needs.
FIGURE = """() => {
  const plain = (key, value) => (typeof value === "number" ? Number(value.toFixed(5)) : value);
  return JSON.parse(JSON.stringify(document.getElementById("plot").data, plain));
}"""
AXES = """() => ["x", "y", "z"].map((name) =>
  document.getElementById("plot").layout.scene[`${name}axis`].range.map((m) => m.toFixed(5)))"""


class Exported:
    """Exported pages in one tab; it fails if a page throws, breaks its policy or fetches."""

    def __init__(self, browser: Any, folder: Path, size: tuple[int, int]) -> None:
        self._folder = folder
        viewport = {"width": size[0], "height": size[1]}
        self.context = browser.new_context(viewport=viewport, offline=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)

    def open(self, made: SpatialCode, video: Path | None = None) -> Any:
        frames = [] if video is None else page_frames(made, video)
        path = write_html(made, self._folder / "page.html", frames)
        self.page.goto(path.as_uri())
        wait(self.page, "document.getElementById('plot').data !== undefined")
        return self.page

    def close(self) -> None:
        self.context.close()
        assert not self.errors
        fetched = [url for url in self.requests if not url.startswith(("data:", "blob:"))]
        assert {url.split("#")[0] for url in fetched} <= {(self._folder / "page.html").as_uri()}


@pytest.fixture
def exported(browser: Any, tmp_path: Path) -> Iterator[Exported]:
    made = Exported(browser, tmp_path, (1400, 900))
    yield made
    made.close()


def at(page: Any, t_s: float) -> None:
    """Go to a time and wait until the room shows it."""
    page.locator("#time").fill(str(t_s))
    page.wait_for_timeout(600)


def test_both_pages_draw_the_same_figure(browser: Any, exported: Exported) -> None:
    ours = exported.open(CODE, VIDEO)
    with running(Service()) as origin:
        theirs = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
        theirs.goto(f"{origin}/#{FIRST_ID}")
        wait(theirs, "document.getElementById('plot').data !== undefined")
        theirs.locator("#inset").check()  # the room is as wide as the exported page's, or wider
        for page in (ours, theirs):
            page.locator("#seen").uncheck()
            at(page, 4.0)
        drawn, figure = ours.evaluate(FIGURE), theirs.evaluate(FIGURE)
        assert len(drawn) == len(figure) > 12
        assert drawn == figure  # names, positions, faces, colours, texts
        assert ours.evaluate(AXES) == theirs.evaluate(AXES)
        boxes = next(trace for trace in drawn if trace["name"] == "boxes")
        assert len(boxes["x"]) == 8 * len(CODE.objects)
        assert len(set(boxes["facecolor"])) == len({thing.label for thing in CODE.objects})
        theirs.context.close()


def test_the_exported_slider_shows_what_was_known_by_then(exported: Exported) -> None:
    late = item("table_1", "table", first_seen_s=1.0, score=0.9)
    weak = item("sofa_1", "sofa", score=0.3)
    page = exported.open(code(late, weak, moving_stool()))
    expect(page.locator("#count")).to_have_text("3 of 3 objects shown")
    expect(page.locator("#now")).to_have_text("2.00 s")
    expect(page.locator("#screen")).to_be_hidden()  # there is no picture
    at(page, 0)
    expect(page.locator("#count")).to_have_text("2 of 3 objects shown")
    wait(page, "plot.data.find((t) => t.name === 'boxes').x.length === 16")
    assert page.evaluate("plot.data.find((t) => t.name === 'camera').x[0]") == 0
    expect(page.locator("tr.unseen button")).to_have_text("table_1")
    at(page, 1.5)
    wait(page, "plot.data.find((t) => t.name === 'camera').x[0] === 0.75")
    stool = "Math.min(...plot.data.find((t) => t.name === 'boxes').x.slice(-8))"
    wait(page, f"Math.abs({stool} - 0.25) < 1e-9")  # half its width left of x = 0.5
    page.locator("#score").fill("50")
    expect(page.locator("#count")).to_have_text("2 of 3 objects shown")
    page.locator("#objects button").first.click()
    wait(page, "plot.data.find((t) => t.name === 'highlighted edges').x.length === 36")
    expect(page.locator("tr.marked")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("tr.marked")).to_have_count(0)


def test_the_exported_picture_goes_with_the_time_and_out_of_the_room(exported: Exported) -> None:
    page = exported.open(CODE, VIDEO)
    first = page.locator("#picture").get_attribute("src")
    assert first.startswith("data:image/jpeg;base64,")
    inset, room = (page.locator(name).bounding_box() for name in ("#screen", "#room"))
    assert inset["width"] < room["width"] / 3
    at(page, 0)
    assert page.locator("#picture").get_attribute("src") != first
    painted = """() => { const canvas = document.getElementById("overlay");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value) => value > 0); }"""
    assert page.evaluate(painted)  # the boxes, over the picture
    page.locator("#inset").uncheck()
    beside, room = (page.locator(name).bounding_box() for name in ("#screen", "#room"))
    assert beside["x"] >= room["x"] + room["width"]


def test_a_label_of_the_legend_hides_its_boxes(exported: Exported) -> None:
    page = exported.open(code(item("table_1", "table"), item("sofa_1", "sofa")))
    entry = page.locator(".legend .traces", has_text="sofa").locator(".legendtoggle")
    entry.click()
    expect(page.locator("#count")).to_have_text("1 of 2 objects shown")
    page.wait_for_timeout(600)  # or the next click would be the second of two
    entry.click()
    expect(page.locator("#count")).to_have_text("2 of 2 objects shown")
    page.wait_for_timeout(600)
    entry.dblclick()
    expect(page.locator("tr.unseen button")).to_have_text("table_1")


def test_hostile_names_stay_text_in_the_exported_page(exported: Exported) -> None:
    evil = code(item(make_id(EVIL, 1), EVIL))
    page = exported.open(replace(evil, video=replace(evil.video, uri=EVIL)))
    expect(page.locator("#title")).to_have_text(EVIL)
    expect(page.locator("#objects td").nth(1)).to_have_text(EVIL)
    assert page.locator("main img").count() == 1  # the picture's own
    assert page.title() == EVIL


def test_a_code_without_objects_says_so(exported: Exported) -> None:
    page = exported.open(code())
    expect(page.locator("#objects")).to_contain_text("No object was found in this video.")


def test_the_service_shows_the_video_in_the_room_and_only_sure_boxes(browser: Any) -> None:
    with running(Service()) as origin:
        page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
        page.goto(f"{origin}/#{FIRST_ID}")
        wait(page, "document.getElementById('plot').data !== undefined")
        num = len(CODE.objects)
        expect(page.locator("#count")).to_have_text(f"{num} of {num} objects shown")
        page.locator("#seen").check()
        early = sum(thing.first_seen_s <= 0 for thing in CODE.objects)
        expect(page.locator("#count")).to_have_text(f"{early} of {num} objects shown")
        page.locator("#inset").check()
        inset, room = (page.locator(name).bounding_box() for name in ("#screen", "#room"))
        assert inset["width"] < room["width"] / 3
        assert inset["x"] >= room["x"]
        assert inset["y"] >= room["y"]
        page.context.close()
