"""A new export format, defined in this file alone, is offered everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.view import main
from spatialcode.errors import InputError
from spatialcode.export.formats import (
    FORMATS,
    ExportFormat,
    ExportSource,
    register,
    unregister,
)
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import to_json
from tests.export.codes import code, item
from tests.export.test_overlay import grey_video
from tests.serve.local_service import running

pytestmark = pytest.mark.usefixtures("registered")


def write_labels(made: SpatialCode, source: ExportSource, path: Path) -> None:
    """One label a line, and how many frames of the video were given."""
    lines = [item.label for item in made.objects] + [f"{len(source.frames)} frames"]
    path.write_text("\n".join(lines), encoding="utf-8")


def write_size(made: SpatialCode, source: ExportSource, path: Path) -> None:
    """The video's number of bytes; the service calls this in a child process."""
    assert source.video is not None
    path.write_text(str(source.video.stat().st_size), encoding="utf-8")


LABELS = ExportFormat("labels", ".labels.txt", "text/x-labels", write_labels, video="frames")
SIZE = ExportFormat("size", ".size.txt", "text/x-size", write_size, video="file", is_kept=True)


@pytest.fixture
def registered() -> Iterator[None]:
    for made in (LABELS, SIZE):
        register(made)
    yield
    for made in (LABELS, SIZE):
        unregister(made.name)
    assert not {"labels", "size"} & set(FORMATS)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return grey_video(tmp_path / "room.mp4", (0.0, 0.5, 1.0, 1.5, 2.0))


def test_the_view_job_writes_it(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = code(item("table_1", "table"))
    path = tmp_path / "code.json"
    path.write_text(to_json(replace(made, video=replace(made.video, sha256=""))))
    out = tmp_path / "out"
    arguments = [f"code={path}", f"video={video}", f"output={out}", "formats=[labels,size]"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"labels: {out / 'a.labels.txt'}", f"size: {out / 'a.size.txt'}"]
    assert (out / "a.labels.txt").read_text() == "table\n3 frames"  # one for each camera
    assert (out / "a.size.txt").read_text() == str(video.stat().st_size)
    assert main([f"code={path}", f"output={out}", "formats=size"]) == 1
    assert "size: expected the video" in capsys.readouterr().err


def test_the_service_gives_links_describes_and_keeps_it(tmp_path: Path, video: Path) -> None:
    with running(tmp_path) as service:
        code_id = service.upload(video).json()["id"]
        assert service.ended(code_id).status == "done"
        labels = service.http.get(f"/v1/codes/{code_id}?format=labels")
        assert labels.status_code == 200
        assert labels.headers["content-type"].startswith("text/x-labels")
        assert labels.headers["content-disposition"].endswith('.labels.txt"')
        assert labels.text.splitlines()[-1] == "32 frames"  # one for each camera of the room
        size = service.http.get(f"/v1/codes/{code_id}?format=size")
        assert size.text == str(video.stat().st_size)
        assert service.services.store.get_rendition(code_id, "size") == size.content
        assert service.services.store.get_rendition(code_id, "labels") is None
        links = service.http.get(f"/v1/codes/{code_id}").json()["links"]
        assert links["labels"] == f"/v1/codes/{code_id}?format=labels"
        described = service.http.get("/openapi.json").json()["paths"]["/v1/codes/{code_id}"]
        (choices,) = (
            one["schema"]["anyOf"][0]
            for one in described["get"]["parameters"]
            if one["name"] == "format"
        )
        assert choices == {"enum": list(FORMATS), "type": "string"}
        assert choices["enum"][-2:] == ["labels", "size"]
        unregister("labels")
        refused = service.http.get(f"/v1/codes/{code_id}?format=labels")
        register(LABELS)
    assert refused.status_code == 422
    assert "Input should be 'json', 'scene.py', 'parquet', 'html', 'mp4'" in refused.text


@pytest.mark.parametrize("name", ["labels", "html", "overlay", "no name", "../up"])
def test_a_name_is_registered_once_and_can_name_a_file(name: str) -> None:
    with pytest.raises(InputError, match="expected a new name"):
        register(ExportFormat(name, ".x", "text/x-x", write_labels))
