"""The categories that the small encoder knows, and what geometry each one implies.

All labels are VSI-Bench's own. Which way a category faces and which turns about the
vertical leave it unchanged decide what an orientation error means, so both the
training targets and the metrics read them from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mount = Literal["floor", "wall", "surface"]
YawSymmetry = Literal["full", "half", "quarter", "round"]

#: Wall-mounted things are rectangles on a wall. Their boxes get this thickness (metres),
#: centred on the wall's face, so that overlap is defined and degrades smoothly.
WALL_BOX_THICKNESS_M = 0.20


@dataclass(frozen=True)
class Category:
    """One object category.

    ``mount``: what usually carries it. ``has_front``: its box's +y is its front.
    ``yaw_symmetry``: turns about +z that leave the *box* convention unchanged: ``full``
    none (it has a front), ``half`` 180°, ``quarter`` 90° with x and y exchanged,
    ``round`` any.
    """

    label: str
    mount: Mount
    has_front: bool
    yaw_symmetry: YawSymmetry


CATEGORIES: tuple[Category, ...] = (
    Category("chair", "floor", True, "full"),
    Category("table", "floor", False, "half"),
    Category("sofa", "floor", True, "full"),
    Category("bed", "floor", True, "full"),
    Category("tv", "wall", True, "full"),
    Category("door", "wall", True, "full"),
    Category("window", "wall", True, "full"),
    Category("stool", "floor", False, "round"),
    Category("trash bin", "floor", False, "round"),
    Category("pillow", "surface", False, "half"),
    Category("refrigerator", "floor", True, "full"),
    Category("toilet", "floor", True, "full"),
    Category("stove", "floor", True, "full"),
    Category("bathtub", "floor", False, "half"),
    Category("washer", "floor", True, "full"),
    Category("lamp", "floor", False, "round"),
    Category("bookshelf", "floor", True, "full"),
    Category("nightstand", "floor", True, "full"),
)

LABELS: tuple[str, ...] = tuple(category.label for category in CATEGORIES)
LABEL_INDEX: dict[str, int] = {label: i for i, label in enumerate(LABELS)}

#: Dense class channels after the object categories.
STRUCTURE_LABELS: tuple[str, ...] = ("floor", "wall", "ceiling")
