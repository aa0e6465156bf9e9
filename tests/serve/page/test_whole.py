"""The page, the real routes and the real encoder together: a clip in, its room seen, a question."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from spatialcode.api import VideoEncoder
from tests.serve.local_service import CLIP, running

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
from tests.serve.page.test_page import CHROMIUM, FLAGS, Visit, shown, traces  # noqa: E402 (only then)

expect = playwright.expect
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium"),
]
ENCODE_MS = 240_000


def test_a_clip_becomes_a_room_that_answers(tmp_path: Path) -> None:
    with (
        running(tmp_path, "sampling.num_frames=32", encoder=VideoEncoder.load()) as service,
        playwright.sync_playwright() as driver,
    ):
        browser: Any = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        visit = Visit(browser, service.url, (1280, 900))
        page = visit.open()
        page.locator("#file").set_input_files(CLIP)
        expect(page.locator("#progress-stage")).to_be_visible()
        expect(page.locator("#title")).to_have_text("sample_room.mp4", timeout=ENCODE_MS)
        shown(page)
        (job,), _ = service.services.book.page(1)
        code = service.services.store.get_code(job.id)
        assert traces(page)["boxes"] == 8 * len(code.objects)
        tables = [item for item in code.objects if item.label == "table"]
        page.get_by_label("Ask about this room").fill("How many tables are in this room?")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#answer .answer")).to_have_text(str(len(tables)))
        expect(page.locator("#objects tr.marked")).to_have_count(len(tables))
        wanted = os.environ.get("SPATIALCODE_SCREENSHOT")
        if wanted:
            page.screenshot(path=wanted)
        visit.close()
        browser.close()
