from __future__ import annotations

from pathlib import Path

import pytest

from spatialcode.errors import FormatError
from spatialcode.files import (
    append_jsonl,
    read_json,
    read_jsonl,
    remove_partial_files,
    whole_file,
    write_bytes,
    write_json,
    write_jsonl,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_appears_whole_in_a_new_folder_and_nothing_beside_it(
    tmp_path: Path, durable: bool
) -> None:
    path = tmp_path / "a" / "b.bin"
    with whole_file(path, durable=durable) as partial:
        partial.write_bytes(b"half")
        assert names(path.parent) == [partial.name]
    write_bytes(path, b"whole", durable=durable)
    assert path.read_bytes() == b"whole"
    assert names(path.parent) == ["b.bin"]


def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"ä": [1]})

    def fail() -> None:
        with whole_file(path) as partial:
            partial.write_text("{")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text(encoding="utf-8") == '{\n  "ä": [\n    1\n  ]\n}\n'
    assert names(tmp_path) == ["a.json"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as first, whole_file(tmp_path / "a") as second:
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "a").read_text() == "1"


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as partial:
        partial.touch()
        (tmp_path / "b.partial").touch()  # another's name
        remove_partial_files(tmp_path)
        assert names(tmp_path) == ["b.partial"]
        partial.touch()


def test_json_comes_back_and_errors_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": "é"})
    assert read_json(path) == {"a": "é"}
    path.write_text('{\n"a": 1,\n}')
    with pytest.raises(FormatError, match=r"a\.json:3: not JSON"):
        read_json(path)
    path.write_bytes(b'"\xff"')
    with pytest.raises(FormatError, match=r"a\.json: not UTF-8"):
        read_json(path)
    path.write_text("[" * 10**6)
    with pytest.raises(FormatError, match=r"a\.json:1: not JSON"):
        read_json(path)


def test_lines_are_added_behind_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append_jsonl(path, [{"a": 1}, Path("x")], default=str)
    append_jsonl(path, ["é"])
    assert path.read_text(encoding="utf-8") == '{"a": 1}\n"x"\n"é"\n'


def test_lines_come_with_their_numbers_up_to_the_first_broken_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [{"a": "x\u2028y"}, 2])
    assert list(read_jsonl(path)) == [(1, {"a": "x\u2028y"}), (2, 2)]
    path.write_text('1\n\n 2 \n{"a":\n5\n')
    lines = read_jsonl(path)
    assert [next(lines), next(lines)] == [(1, 1), (3, 2)]
    with pytest.raises(FormatError, match=r"a\.jsonl:4: not JSON"):
        next(lines)
