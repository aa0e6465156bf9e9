"""Each reason for which a structure is not believed, one at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spatialcode.encoder.structure.belief import disbelief
from spatialcode.encoder.structure.settings import StructureSettings
from tests.encoder.structure.test_structure import small

#: `small` has 75 % of its frames placed, is held by one point, and misses by a quarter pixel of 80.
LENIENT = StructureSettings(min_registered=0.7, max_error_px=2.1, min_links=1)


def test_a_structure_that_meets_the_settings_is_believed() -> None:
    assert disbelief(small(), LENIENT, None) is None
    assert disbelief(small(), LENIENT, 300.0) is None  # the global mapper is not held to a lens


@pytest.mark.parametrize(
    ("stricter", "said"),
    [
        ({"min_registered": 0.8}, "placed 75 % of the frames"),
        ({"max_error_px": 1.9}, "misses its points by 0.2 pixels in the median"),
        ({"min_parallax_deg": 15.0}, "sees its points under 14.0 degrees in the median"),
        ({"min_links": 2}, "has frames between which only 1 points hold it together"),
    ],
)
def test_what_a_structure_lacks_is_said(stricter: dict[str, Any], said: str) -> None:
    assert disbelief(small(), replace(LENIENT, **stricter), None) == said


def test_the_incremental_mapper_is_held_to_another_focal_length() -> None:
    bent = replace(small(), mapper="incremental")
    said = "its focal length of 100 pixels is far from 94"
    assert disbelief(bent, LENIENT, 94.0) == said
    assert disbelief(bent, LENIENT, 96.0) is None
    assert disbelief(bent, LENIENT, None) is None
