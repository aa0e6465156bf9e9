"""Priors as files."""

from __future__ import annotations

import json

import pytest

from spatialcode.api import ASSETS
from spatialcode.errors import FormatError, InputError
from spatialcode.reasoning.priors.known import LogLinear, Priors, read_priors, thinned, write_priors

_PRIORS = Priors(
    size_m={"sofa": 1.9}, places={"": [(0.5, 0.25, 0.0, -1.5, 1.0)], "sofa": []},
    answers={"configuration": "no"}, typical_count=3, least_count=2,
    size_of_size=LogLinear(0.1, (0.5, 0.25)), area_of_extent=LogLinear(-1.0, (0.75,)),
)  # fmt: skip


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "priors.json"
    write_priors(_PRIORS, path, {"num_rooms": 7})
    assert read_priors(path) == _PRIORS
    assert json.loads(path.read_text())["about"] == {"num_rooms": 7}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": "other/1"}', '{"format": "spatialcode-priors/1"}']
)
def test_other_files_are_refused_by_name(tmp_path, text):
    path = tmp_path / "priors.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"priors\.json"):
        read_priors(path)


def test_unknown_and_missing_fields_are_refused(tmp_path):
    path = tmp_path / "priors.json"
    write_priors(_PRIORS, path, {})
    for change in ({"colour": 1}, {"size_of_size": {"weights": [1.0]}}, {"places": 3}):
        document = json.loads(path.read_text())
        document["priors"] |= change
        (tmp_path / "changed.json").write_text(json.dumps(document))
        with pytest.raises(FormatError, match=r"changed\.json"):
            read_priors(tmp_path / "changed.json")


def test_no_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.json"):
        read_priors(tmp_path / "nowhere.json")


def test_thinning_keeps_evenly_and_rounds():
    places = [(0.01 * n + 0.004, 0.0, 0.0, 0.0, 1.0) for n in range(10)]
    few = thinned(Priors(places={"sofa": places, "tv": places[:2]}), 5)
    # every second one: 0, 2, 4, 6, 8
    assert [place[0] for place in few.places["sofa"]] == [0.0, 0.02, 0.04, 0.06, 0.08]
    assert len(few.places["tv"]) == 2


def test_the_bundled_priors_are_read_and_correct_nothing():
    bundled = read_priors(ASSETS / "priors_rendered_rooms.json")
    assert bundled.places[""]
    # made of exact codes, they know no perceiver's habits
    assert (bundled.size_of_size, bundled.distance_of_distance) == (None, None)
    assert bundled.least_count == 0
