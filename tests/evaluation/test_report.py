import json

import pytest

from spatialcode.evaluation.report import table, write_report


class Drawing:
    """Stands in for a figure of plotly: writes a page."""

    def write_html(self, path, include_plotlyjs):
        assert include_plotlyjs is True, "the page must work without a network"
        path.write_text("<html>bars</html>")


def test_every_form_is_written(tmp_path):
    folder = tmp_path / "new" / "folder"
    rows = {"rooms.jsonl": ({"name": name} for name in ("ä", "b"))}
    write_report({"mean": 0.5}, folder, markdown="# Report\n", figure=Drawing(), rows=rows)
    assert sorted(path.name for path in folder.iterdir()) == [
        "report.html", "report.json", "report.md", "rooms.jsonl",
    ]  # fmt: skip
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == {"mean": 0.5}
    assert (folder / "report.md").read_text() == "# Report\n"
    assert (folder / "report.html").read_text() == "<html>bars</html>"
    lines = (folder / "rooms.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["ä", "b"]


def test_numbers_that_json_lacks_are_an_error_and_leave_no_report(tmp_path):
    for report, rows in (({"mean": float("nan")}, []), ({"mean": 1.0}, [float("inf")])):
        with pytest.raises(ValueError, match="JSON"):
            write_report(report, tmp_path, markdown="", figure=Drawing(), rows={"a.jsonl": rows})
        assert not (tmp_path / "report.json").exists()


def test_tables_keep_empty_cells():
    assert table(["task", ""], [["mean", "1"], ["", ""]]) == (
        "| task | |\n|---|---|\n| mean | 1 |\n| | |"
    )
