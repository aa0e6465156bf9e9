"""Boxes as the annotation tool writes them that ARKitScenes and ScanNet++ share."""

from __future__ import annotations

from typing import Any

from spatialcode.recordings.conversion import GivenBox
from spatialcode.recordings.reading import field, number_array


def annotated_box(label: Any, box: Any, where: str) -> GivenBox:
    """A box of ``centroid``, ``axesLengths`` (full) and ``normalizedAxes``, three axes one by one.

    FormatError, beginning with ``where``, where a field is missing or no numbers.
    """
    return GivenBox(
        str(label),
        number_array(field(box, "centroid", where), (3,), f"{where}.centroid"),
        number_array(field(box, "axesLengths", where), (3,), f"{where}.axesLengths"),
        number_array(field(box, "normalizedAxes", where), (3, 3), f"{where}.normalizedAxes").T,
    )
