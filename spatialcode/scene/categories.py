"""The categories that the small encoder knows, what geometry each one implies, and words for them.

All labels are VSI-Bench's own. Which way a category faces and which turns about the
vertical leave it unchanged decide what an orientation error means, so both the
training targets and the metrics read them from here.

The symmetries: ``full`` is the whole turn only, ``half`` also 180°, ``quarter`` also 90° with the x
and y extents exchanged, ``round`` every turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatialcode.errors import SchemaError

Mount = Literal["floor", "wall", "surface"]
YawSymmetry = Literal["full", "half", "quarter", "round"]

#: Wall-mounted things are rectangles on a wall. Their boxes get this thickness (metres),
#: centred on the wall's face, so that overlap is defined and degrades smoothly.
WALL_BOX_THICKNESS_M = 0.20


@dataclass(frozen=True)
class Category:
    """One object category.

    ``mount``: what usually carries it. ``has_front``: its box's +y is its front.
    ``yaw_symmetry``: turns about +z that leave the *box* convention unchanged.
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

#: Dense class channels after the object categories.
STRUCTURE_LABELS: tuple[str, ...] = ("floor", "wall", "ceiling")

#: Words for one kind of thing, which questions and detectors share; the first is the name used
#: here. Words that are only near each other (chair and stool) are not among them.
SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("trash bin", "trash can", "trashbin", "trashcan", "garbage bin", "garbage can", "waste bin",
     "wastebasket", "waste basket", "rubbish bin", "dustbin", "bin", "recycling bin"),
    ("tv", "television", "television set", "tv set", "tv screen", "flat screen"),
    ("monitor", "computer monitor", "computer screen", "display"),
    ("sofa", "couch", "settee", "loveseat"),
    ("refrigerator", "fridge"),
    ("washer", "washing machine", "clothes washer"),
    ("dishwasher", "dish washer", "dishwashing machine"),
    ("bookshelf", "bookcase", "book shelf", "book case", "shelf"),
    ("closet", "wardrobe"),
    ("cabinet", "cupboard"),
    ("nightstand", "night stand", "bedside table", "night table"),
    ("stove", "cooker", "gas stove", "range"),
    ("radiator", "heater"),
    ("lamp", "light", "floor lamp", "desk lamp"),
    ("backpack", "rucksack"),
    ("telephone", "phone"),
    ("pillow", "cushion"),
    ("bathtub", "bath", "bath tub", "tub"),
    ("table", "desk"),
    ("towel", "bath towel"),
    ("plant", "potted plant", "houseplant"),
    ("counter", "countertop", "worktop"),
    ("fan", "ventilator"),
    ("microwave", "microwave oven"),
    ("toilet", "lavatory"),
)  # fmt: skip


_PERIOD_RAD: dict[str, float] = {
    "full": 2.0 * np.pi,
    "half": np.pi,
    "quarter": np.pi / 2.0,
    "round": 0.0,
}

Symmetries = YawSymmetry | Sequence[YawSymmetry]


def wrap_yaw(yaw_rad: ArrayLike, period_rad: ArrayLike = 2.0 * np.pi) -> NDArray[np.float64]:
    """The equal angle in (-period/2, period/2]; 0 where the period is 0. Broadcasts."""
    yaw, period = np.broadcast_arrays(np.asarray(yaw_rad, float), np.asarray(period_rad, float))
    safe = np.where(period > 0.0, period, 1.0)
    return np.where(period > 0.0, yaw - safe * np.ceil(yaw / safe - 0.5), 0.0) + 0.0


def yaw_error(
    predicted_rad: ArrayLike, true_rad: ArrayLike, symmetry: Symmetries
) -> NDArray[np.float64]:
    """Smallest absolute turn between two yaws, in [0, period/2] radians. Broadcasts.

    ``symmetry``: one name, or one per element of the last axis.
    """
    difference = np.asarray(predicted_rad, float) - np.asarray(true_rad, float)
    return np.abs(wrap_yaw(difference, _periods(symmetry)))


def _periods(symmetry: Symmetries) -> NDArray[np.float64]:
    names = [symmetry] if isinstance(symmetry, str) else list(symmetry)
    for name in names:
        if name not in _PERIOD_RAD:
            raise SchemaError("symmetry", "one of " + ", ".join(_PERIOD_RAD), name)
    periods = np.array([_PERIOD_RAD[name] for name in names])
    return periods[0] if isinstance(symmetry, str) else periods


@dataclass(frozen=True)
class Traits:
    """What is usual of a kind of thing.

    ``mount``, ``has_front``, ``yaw_symmetry``: as of a `Category`. ``usual_size_m``: width, depth
    and height along a box's own x, y and z; None where no size is usual. ``is_portable``: stands on
    the floor or on furniture alike. ``shows_others``: other things are seen in it.
    ``is_alive``: it moves by itself.
    """

    mount: Mount = "surface"
    has_front: bool = False
    yaw_symmetry: YawSymmetry = "half"
    usual_size_m: tuple[float, float, float] | None = None
    is_portable: bool = False
    shows_others: bool = False
    is_alive: bool = False

    @property
    def is_on_wall(self) -> bool:
        return self.mount == "wall"

    @property
    def is_round(self) -> bool:
        return self.yaw_symmetry == "round"


#: Usual width, depth and height in metres of common furniture and household things, rounded. Used
#: only where a size was not seen. Source: none.
_USUAL_M: dict[str, tuple[float, float, float]] = {
    "chair": (0.50, 0.55, 0.90), "table": (1.20, 0.75, 0.75), "sofa": (1.90, 0.90, 0.85),
    "bed": (1.50, 2.05, 0.60), "tv": (1.10, 0.08, 0.65), "door": (0.85, 0.05, 2.05),
    "window": (1.20, 0.10, 1.20), "stool": (0.38, 0.38, 0.50), "trash bin": (0.28, 0.28, 0.45),
    "pillow": (0.55, 0.40, 0.15), "refrigerator": (0.65, 0.65, 1.70), "toilet": (0.40, 0.65, 0.80),
    "stove": (0.60, 0.60, 0.90), "bathtub": (1.65, 0.75, 0.58), "washer": (0.60, 0.60, 0.85),
    "lamp": (0.30, 0.30, 0.50), "bookshelf": (0.90, 0.32, 1.80), "nightstand": (0.48, 0.42, 0.55),
    "dishwasher": (0.60, 0.60, 0.85), "oven": (0.60, 0.60, 0.60), "microwave": (0.50, 0.38, 0.30),
    "cabinet": (0.80, 0.45, 1.00), "closet": (1.20, 0.60, 2.00), "dresser": (1.00, 0.48, 0.85),
    "armchair": (0.80, 0.85, 0.85), "desk": (1.30, 0.65, 0.75), "counter": (1.80, 0.62, 0.90),
    "sink": (0.55, 0.45, 0.20), "radiator": (1.00, 0.12, 0.60), "piano": (1.48, 0.60, 1.10),
    "monitor": (0.55, 0.20, 0.42), "laptop": (0.34, 0.24, 0.22), "printer": (0.45, 0.38, 0.28),
    "keyboard": (0.44, 0.14, 0.03), "computer tower": (0.20, 0.45, 0.45),
    "telephone": (0.20, 0.18, 0.10), "suitcase": (0.45, 0.28, 0.65), "backpack": (0.32, 0.22, 0.45),
    "fan": (0.40, 0.35, 1.10), "plant": (0.40, 0.40, 0.80), "mirror": (0.60, 0.05, 1.00),
    "picture": (0.60, 0.04, 0.45), "whiteboard": (1.50, 0.05, 1.00), "clock": (0.30, 0.05, 0.30),
    "curtain": (1.20, 0.15, 2.20), "fireplace": (1.20, 0.45, 1.10), "heater": (0.60, 0.20, 0.50),
    "coffee machine": (0.28, 0.38, 0.35), "kettle": (0.22, 0.18, 0.25), "book": (0.17, 0.24, 0.03),
    "aquarium": (0.80, 0.35, 0.50), "basket": (0.45, 0.40, 0.50), "bench": (1.20, 0.40, 0.45),
    "bidet": (0.38, 0.56, 0.42), "bottle": (0.08, 0.08, 0.28), "bowl": (0.22, 0.22, 0.10),
    "box": (0.45, 0.35, 0.30), "ceiling fan": (1.10, 1.10, 0.40),
    "ceiling light": (0.40, 0.40, 0.30), "crib": (0.70, 1.30, 0.95), "cup": (0.09, 0.09, 0.10),
    "dryer": (0.60, 0.60, 0.85), "exercise machine": (0.80, 1.60, 1.40),
    "freezer": (0.90, 0.60, 0.85), "guitar": (0.36, 0.14, 1.00), "ladder": (0.50, 0.70, 1.40),
    "mattress": (1.20, 2.00, 0.18), "ottoman": (0.60, 0.60, 0.42),
    "range hood": (0.60, 0.45, 0.40), "shower": (0.90, 0.90, 2.00), "speaker": (0.22, 0.25, 0.45),
    "toaster": (0.28, 0.17, 0.19), "towel": (0.45, 0.10, 0.60), "towel rack": (0.60, 0.10, 0.40),
    "tv stand": (1.40, 0.45, 0.50), "vase": (0.20, 0.20, 0.35), "wall light": (0.20, 0.20, 0.35),
    "water heater": (0.45, 0.45, 0.75),
}  # fmt: skip
_ON_WALL = frozenset({"mirror", "picture", "whiteboard", "clock", "curtain", "poster", "painting"})
_WITH_FRONT = frozenset({
    "dishwasher", "oven", "microwave", "cabinet", "closet", "dresser", "armchair", "desk", "sink",
    "radiator", "piano", "monitor", "laptop", "printer", "mirror", "picture", "whiteboard", "clock",
    "curtain", "poster", "painting", "fireplace", "coffee machine", "wardrobe", "keyboard",
    "aquarium", "bidet", "dryer", "freezer", "guitar", "range hood", "shower", "speaker",
    "towel rack", "tv stand", "wall light", "water heater",
})  # fmt: skip
_ROUND = frozenset(
    {"plant", "fan", "kettle", "vase", "bucket", "ceiling fan", "bowl", "cup", "bottle", "pot"}
)
_ON_FLOOR = frozenset({
    "dishwasher", "cabinet", "closet", "wardrobe", "dresser", "armchair", "desk", "counter",
    "piano", "fireplace", "suitcase", "ottoman", "bench", "mattress", "crib", "rug", "carpet",
    "bicycle", "person", "bidet", "dryer", "exercise machine", "freezer", "guitar", "ladder",
    "radiator", "shower", "tv stand", "basket", "aquarium", "computer tower",
})  # fmt: skip
_PORTABLE = frozenset({"lamp", "fan", "plant", "heater", "speaker", "box", "bag", "backpack"})
_SHOWING = frozenset({"mirror", "tv", "monitor", "picture", "painting", "poster"})
_ALIVE = frozenset({
    "person", "man", "woman", "child", "boy", "girl", "baby", "people", "dog", "cat", "bird",
    "rabbit", "animal", "pet", "hand",
})  # fmt: skip
_CATEGORY = {category.label: category for category in CATEGORIES}


def traits_of(label: str) -> Traits:
    """The traits of a label; neutral ones for a word that is not known. Never raises.

    What carries a thing is only the usual case: a lamp may stand on the floor or on a table.
    """
    usual = _USUAL_M.get(label)
    known = _CATEGORY.get(label)
    portable, showing = label in _PORTABLE, label in _SHOWING
    if known is not None:
        return Traits(known.mount, known.has_front, known.yaw_symmetry, usual, portable, showing)
    mount: Mount = "wall" if label in _ON_WALL else "floor" if label in _ON_FLOOR else "surface"
    has_front = label in _WITH_FRONT
    symmetry: YawSymmetry = "full" if has_front else "round" if label in _ROUND else "half"
    return Traits(mount, has_front, symmetry, usual, portable, showing, label in _ALIVE)
