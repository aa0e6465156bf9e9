"""Furniture by category: each function draws one random model from a generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spatialcode.synthetic.furniture import appliances, seating, storage, walls
from spatialcode.synthetic.primitives import Model

MAKERS: dict[str, Callable[[np.random.Generator], Model]] = {
    "chair": seating.chair,
    "table": storage.table,
    "sofa": seating.sofa,
    "bed": storage.bed,
    "tv": walls.tv,
    "door": walls.door,
    "window": walls.window,
    "stool": seating.stool,
    "trash bin": appliances.trash_bin,
    "pillow": storage.pillow,
    "refrigerator": appliances.refrigerator,
    "toilet": seating.toilet,
    "stove": appliances.stove,
    "bathtub": appliances.bathtub,
    "washer": appliances.washer,
    "lamp": appliances.lamp,
    "bookshelf": storage.bookshelf,
    "nightstand": storage.nightstand,
}
