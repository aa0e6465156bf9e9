"""The page in a browser, against a service that does as the test says."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serve.http.messages import JobError
from tests.serve.page.page_service import CODE, FIRST_ID, NEW_ID, VIDEO, Service, running

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
expect = playwright.expect

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium"),
]
# Plotly draws with WebGL; here it is drawn without a graphics card.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
#: Without a graphics card and beside other work, a room may take a while to appear.
PATIENCE_MS = 120_000
#: Of the image's width, at 0 s: from the sofa's box through the first camera.
SOFA_SPAN = (0.375, 0.761)
DISTANCE = "What is the distance between the door and the toilet in meters?"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    expect.set_options(timeout=PATIENCE_MS)
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def service() -> Service:
    return Service()


class Visit:
    """One visit of the page; it fails if the page throws or asks anyone but its own service."""

    def __init__(self, browser: Any, origin: str, size: tuple[int, int]) -> None:
        viewport = {"width": size[0], "height": size[1]}
        self.origin = origin
        self.context = browser.new_context(viewport=viewport, accept_downloads=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._console)

    def _console(self, message: Any) -> None:
        # A refused call is logged by the browser itself; a broken content policy must not be.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    def open(self, path: str = "/") -> Any:
        self.page.goto(self.origin + path)
        return self.page

    def close(self) -> None:
        self.context.close()
        assert not self.errors
        kept_here = (self.origin + "/", f"blob:{self.origin}/", "data:")
        assert [url for url in self.requests if not url.startswith(kept_here)] == []


@pytest.fixture
def visit(browser: Any, service: Service) -> Iterator[Visit]:
    with running(service) as origin:
        made = Visit(browser, origin, (1280, 900))
        yield made
        made.close()


@pytest.fixture
def phone(browser: Any, service: Service) -> Iterator[Visit]:
    with running(service) as origin:
        made = Visit(browser, origin, (390, 844))
        yield made
        made.close()


def wait(page: Any, condition: str, given: Any = None) -> None:
    """Wait for a condition, an expression of ``given`` in the page.

    Playwright's own way evaluates texts within the page, which the page's policy forbids.
    """
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(f"(given) => {condition}", given):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


def shown(page: Any) -> Any:
    """The page, once the room is drawn and the video can be seen."""
    wait(page, "document.getElementById('plot').data !== undefined")
    wait(page, "document.getElementById('video').readyState >= 2")
    return page


def traces(page: Any) -> dict[str, int]:
    """Number of points of each 3D trace, breaks in lines included."""
    script = (
        "Object.fromEntries(document.getElementById('plot').data.map((t) => [t.name, t.x.length]))"
    )
    return page.evaluate(script)


def time_s(page: Any) -> float:
    return float(page.locator("#time").input_value())


def video_at(page: Any, t_s: float) -> None:
    """Wait until the video shows this time."""
    wait(
        page,
        "!video.seeking && Math.abs(video.currentTime - given) < 0.06",
        t_s,
    )


def in_view(page: Any, words: str) -> None:
    expect(page.locator("#overlay")).to_have_attribute("aria-label", re.compile(words))


def test_an_upload_is_followed_until_its_room_is_shown(visit: Visit, service: Service) -> None:
    page = visit.open()
    page.locator("#file").set_input_files(VIDEO)
    stage, figures = page.locator("#progress-stage"), page.locator("#progress-figures")
    expect(stage).to_have_text("Waiting for a free encoder")
    expect(page.locator("#progress-bar")).not_to_have_attribute("value", re.compile(".*"))
    service.stage("decoding", frames_decoded=12, frames_encoded=0, frames_total=32)
    expect(stage).to_have_text("Decoding")
    expect(figures).to_have_text("12 of 32 frames")
    service.stage("encoding", frames_decoded=32, frames_encoded=8, frames_total=32)
    expect(stage).to_have_text("Encoding")
    expect(figures).to_have_text("8 of 32 frames")
    assert float(page.locator("#progress-bar").get_attribute("value")) == 0.25
    expect(page.locator("#stored button").first).to_contain_text("sample_room.mp4")
    service.stage("done", frames_decoded=32, frames_encoded=32, frames_total=32)
    shown(page)
    expect(page.locator("#title")).to_have_text("sample_room.mp4")
    expect(page.locator("#title")).to_be_focused()
    expect(page.locator("#progress")).to_be_hidden()
    (sent,) = service.uploads
    assert VIDEO.read_bytes() in sent
    assert b'filename="sample_room.mp4"' in sent
    # The page still has the file, so the service is not asked for it.
    assert ("GET", f"/v1/codes/{NEW_ID}/video") not in service.calls
    points = traces(page)
    assert points["boxes"] == 8 * len(CODE.objects)
    assert points["camera path"] == len(CODE.cameras)
    assert points["floor"] == 4
    in_view(page, r"Boxes in view: .*sofa_1.*tv_1")


def test_a_stored_code_is_reopened_by_its_address(visit: Visit, service: Service) -> None:
    page = shown(visit.open(f"/#{FIRST_ID}"))
    expect(page.locator("#title")).to_have_text("bedroom.mp4")
    assert ("GET", f"/v1/codes/{FIRST_ID}/video") in service.calls
    expect(page.locator("#stored [aria-current]")).to_contain_text("bedroom.mp4")
    expect(page.locator("#objects tr")).to_have_count(len(CODE.objects))
    size = page.evaluate("[video.videoWidth, video.videoHeight]")
    assert size == [CODE.video.width_px, CODE.video.height_px]


def test_an_answer_lights_its_evidence_and_the_video_goes_there(
    visit: Visit, service: Service
) -> None:
    page = shown(visit.open(f"/#{FIRST_ID}"))
    before_s = time_s(page)
    page.get_by_label("Ask about this room").fill(DISTANCE)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#answer .answer")).to_have_text("1.81 m")
    expect(page.locator("#answer")).to_contain_text("Grounded in the code")
    expect(page.locator("#evidence")).to_contain_text("distance(door_1, toilet_1) = 1.81 m")
    assert service.asked[-1].question == DISTANCE
    assert service.asked[-1].code_id == FIRST_ID
    wait(
        page,
        "document.getElementById('plot').data.some("
        "(t) => t.name === 'highlighted boxes' && t.x.length === 16)",
    )
    assert traces(page)["boxes"] == 8 * (len(CODE.objects) - 2)
    in_view(page, r"Highlighted: door_1, toilet_1$")
    door, toilet = (next(i for i in CODE.objects if i.id == n) for n in ("door_1", "toilet_1"))
    at_s = time_s(page)
    assert before_s == 0.0
    assert max(door.first_seen_s, toilet.first_seen_s) - 0.05 <= at_s
    assert at_s <= min(door.last_seen_s, toilet.last_seen_s) + 0.05
    video_at(page, at_s)
    expect(page.locator("#objects tr.marked")).to_have_count(2)
    page.get_by_role("button", name="Clear highlight").click()
    expect(page.locator("#objects tr.marked")).to_have_count(0)


def test_boxes_are_painted_where_the_video_has_the_things(visit: Visit) -> None:
    page = shown(visit.open(f"/#{FIRST_ID}"))
    in_view(page, "sofa_1")
    script = """() => {
      const canvas = document.getElementById("overlay");
      const { width, height } = canvas;
      const bytes = canvas.getContext("2d").getImageData(0, 0, width, height).data;
      let [left, right, num] = [width, 0, 0];
      for (let i = 0; i < bytes.length; i += 4) {
        if (bytes[i] !== 29 || bytes[i + 1] !== 120 || bytes[i + 2] !== 216) continue;
        const x = (i / 4) % width;
        [left, right, num] = [Math.min(left, x), Math.max(right, x), num + 1];
      }
      return [left / width, right / width, num];
    }"""
    left, right, num = page.evaluate(script)  # the sofa's blue
    assert num > 50
    assert left == pytest.approx(SOFA_SPAN[0], abs=0.02)
    assert right == pytest.approx(SOFA_SPAN[1], abs=0.02)


def test_video_slider_and_room_share_one_time(visit: Visit) -> None:
    page = shown(visit.open(f"/#{FIRST_ID}"))
    travelled = traces(page)["travelled"]
    page.locator("#time").fill("6")
    video_at(page, 6.0)
    expect(page.locator("#now")).to_have_text("6.00 s")
    wait(
        page,
        "plot.data.find((t) => t.name === 'travelled').x.length > given",
        travelled + 15,
    )
    page.locator("#time").fill("1")
    video_at(page, 1.0)
    page.evaluate("video.playbackRate = 0.2")  # or a busy machine sees its end before the click
    page.get_by_role("button", name="Play").click()
    wait(page, "Number(document.getElementById('time').value) > 1.3")
    page.get_by_role("button", name="Pause").click()
    at_s = time_s(page)
    assert page.evaluate("video.paused")
    assert abs(page.evaluate("video.currentTime") - at_s) < 0.2


def test_without_its_video_the_boxes_still_move(visit: Visit, service: Service) -> None:
    service.has_video = False
    page = visit.open(f"/#{FIRST_ID}")
    expect(page.locator("#video-note")).to_contain_text("cannot be shown")
    in_view(page, "sofa_1")
    page.get_by_role("button", name="Play").click()
    wait(page, "Number(document.getElementById('time').value) > 0.5")
    page.get_by_role("button", name="Pause").click()
    stopped_s = time_s(page)
    page.locator("#time").fill("7")
    in_view(page, "toilet_1")
    assert stopped_s < 7


def test_the_keyboard_is_enough(visit: Visit, service: Service) -> None:
    page = visit.open()
    expect(page.locator("#stored button")).to_have_count(1)
    focused = "document.activeElement.id || document.activeElement.textContent"
    order = []
    for _ in range(4):
        page.keyboard.press("Tab")
        order.append(page.evaluate(focused))
    assert order[:2] == ["file", "url"]
    assert order[2] == "Fetch"
    assert order[3].startswith("bedroom.mp4")
    page.keyboard.press("Enter")
    shown(page)
    expect(page.locator("#title")).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "plot"
    eye = "JSON.stringify(document.getElementById('plot').layout.scene.camera.eye)"
    before = page.evaluate(eye)
    page.keyboard.press("ArrowRight")
    wait(page, f"{eye} !== {before!r}")
    page.locator("#time").focus()
    page.keyboard.press("End")
    video_at(page, CODE.video.duration_s)
    in_view(page, "toilet_1")
    page.locator("#question").focus()
    page.keyboard.type("How many tables are in this room?")
    page.keyboard.press("Enter")
    expect(page.locator("#answer .answer")).to_be_visible()
    tables = [item for item in CODE.objects if item.label == "table"]
    expect(page.locator("#answer .answer")).to_have_text(str(len(tables)))
    expect(page.locator("#objects tr.marked")).to_have_count(len(tables))
    page.locator("#time").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#objects tr.marked")).to_have_count(0)


def test_everything_has_a_name_and_news_is_announced(visit: Visit) -> None:
    page = shown(visit.open(f"/#{FIRST_ID}"))
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea")]
          .filter((e) => !e.closest(".modebar"))
          .filter((e) => !(e.labels?.length || e.textContent.trim() || e.ariaLabel))
          .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("[onclick], div[role=button]").count() == 0
    for name in ("progress-stage", "answer", "video-note", "download-state"):
        assert page.locator(f"#{name}").get_attribute("role") == "status"
    assert page.locator("#error").get_attribute("role") == "alert"


def test_on_a_phone_it_is_one_column(phone: Visit) -> None:
    page = shown(phone.open(f"/#{FIRST_ID}"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    screen, room, ask = (page.locator(s).bounding_box() for s in ("#screen", "#room", "#ask"))
    assert screen["y"] + screen["height"] <= room["y"]
    assert room["y"] + room["height"] <= ask["y"]
    assert room["width"] > 350
    ratio = page.locator("#frame").bounding_box()
    assert ratio["width"] / ratio["height"] == pytest.approx(640 / 480, rel=0.02)
    for name in ("#play", "#ask-button", "#download"):
        assert page.locator(name).bounding_box()["height"] >= 40
    page.locator("#suggestions button").first.click()
    expect(page.locator("#answer .answer")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_key_is_asked_for_and_kept_for_the_tab(visit: Visit, service: Service) -> None:
    service.key = "right"
    page = visit.open()
    dialog = page.get_by_role("dialog", name="API key")
    expect(dialog).to_contain_text("needs an API key")
    dialog.get_by_label("Key").fill("wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("was refused")
    dialog.get_by_label("Key").fill("right")
    dialog.get_by_role("button", name="Use it").click()
    expect(dialog).to_be_hidden()
    page.locator("#stored button").first.click()
    shown(page)  # the video came with the key, too
    page.reload()
    expect(page.locator("#stored button")).to_have_count(1)
    expect(dialog).to_be_hidden()
    assert "right" not in "".join(visit.requests)


def test_without_a_key_the_page_says_so(visit: Visit, service: Service) -> None:
    service.key = "right"
    page = visit.open()
    page.get_by_role("dialog", name="API key").get_by_role("button", name="Cancel").click()
    expect(page.locator("#error")).to_contain_text("Unauthorized: an API key is needed.")


def test_problems_are_told_and_the_page_goes_on(visit: Visit, service: Service) -> None:
    service.refuse("POST", "/v1/ask", 429, "Too many requests", "wait a little")
    page = shown(visit.open(f"/#{FIRST_ID}"))
    page.locator("#question").fill(DISTANCE)
    page.keyboard.press("Enter")
    expect(page.locator("#error")).to_contain_text("Too many requests: wait a little. Try again in")
    page.locator("#question").press("Enter")
    expect(page.locator("#answer .answer")).to_have_text("1.81 m")
    expect(page.locator("#error")).to_be_hidden()
    service.refuse("POST", "/v1/codes", 413, "Too large", "at most 5 bytes")
    page.locator("#file").set_input_files(VIDEO)
    expect(page.locator("#error")).to_contain_text("Too large: at most 5 bytes.")
    expect(page.locator("#progress")).to_be_hidden()


def test_a_failed_video_says_why_and_a_busy_service_is_waited_for(
    visit: Visit, service: Service
) -> None:
    page = visit.open()
    page.locator("#file").set_input_files(VIDEO)
    expect(page.locator("#progress-stage")).to_have_text("Waiting for a free encoder")
    service.refuse("GET", f"/v1/codes/{NEW_ID}", 503, "Busy", "later")
    expect(page.locator("#progress-figures")).to_contain_text("still trying")
    error = JobError(code="video_truncated", title="Truncated", detail="it ends early")
    service.stage("failed", error=error)
    expect(page.locator("#error")).to_contain_text("sample_room.mp4: Truncated: it ends early.")
    expect(page.locator("#stored button").first).to_contain_text("failed")


def test_a_dropped_file_is_sent(visit: Visit, service: Service) -> None:
    page = visit.open()
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["some bytes"], "dropped.mp4", { type: "video/mp4" }));
          const how = { dataTransfer: data, bubbles: true, cancelable: true };
          const drop = new DragEvent("drop", how);
          document.getElementById("drop").dispatchEvent(drop);
        }"""
    )
    expect(page.locator("#progress-name")).to_have_text("dropped.mp4")
    expect(page.locator("#progress-stage")).to_have_text("Waiting for a free encoder")
    assert b"some bytes" in service.uploads[0]


def test_a_code_is_downloaded_and_deleted(visit: Visit, service: Service, tmp_path: Path) -> None:
    page = shown(visit.open(f"/#{FIRST_ID}"))
    page.get_by_label("As a file").select_option("scene.py")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download", exact=True).click()
    assert coming.value.suggested_filename == "bedroom.scene.py"
    coming.value.save_as(tmp_path / "file")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "as scene.py"
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Keep").click()
    assert FIRST_ID in service.jobs
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator("#none")).to_be_visible()
    assert service.jobs == {}


def test_names_from_strangers_stay_text(visit: Visit, service: Service) -> None:
    evil = "<img src=x onerror=document.title='caught'>"
    service.jobs[FIRST_ID].video.name = evil
    thing = service.code["objects"][0]
    thing["label"] = thing["id"] = evil
    page = shown(visit.open(f"/#{FIRST_ID}"))
    expect(page.locator("#title")).to_have_text(evil)
    expect(page.locator("#objects button").first).to_have_text(evil)
    assert page.locator("main img").count() == 0
    assert page.title().startswith("spatialcode")
