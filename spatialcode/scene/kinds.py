"""The kinds of things that a network tells apart, in the order of its channels.

They are a property of its weights: networks that were trained on other rooms know other kinds, and
everything after a network asks its output which ones. Source: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool

from spatialcode.errors import SchemaError
from spatialcode.scene.categories import LABELS, STRUCTURE_LABELS, Traits, traits_of

#: The word for a thing whose kind is not known.
OBJECT = "object"


@dataclass(frozen=True)
class Kinds:
    """``labels``: each once, none of them a part of the room (floor, wall, ceiling), which have
    channels of their own after all kinds.

    Raises SchemaError where that is not so, or where there is no label.
    """

    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        taken: set[str] = set(STRUCTURE_LABELS)
        for label in self.labels:
            if label in taken:
                raise SchemaError("labels", "each kind once, and no part of the room", label)
            taken.add(label)
        if not self.labels:
            raise SchemaError("labels", "at least one kind", self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_channels(self) -> int:
        """Class channels of a network: the kinds, then floor, wall and ceiling."""
        return len(self.labels) + len(STRUCTURE_LABELS)

    @cached_property
    def index(self) -> dict[str, int]:
        """The channel of each label."""
        return {label: i for i, label in enumerate(self.labels)}

    def channel_of(self, label: str) -> int | None:
        """The channel of a thing: that of its kind, else that of things of no known kind; None
        where there is none for those.
        """
        return self.index.get(label, self.index.get(OBJECT))

    @cached_property
    def traits(self) -> tuple[Traits, ...]:
        """What is usual of each kind."""
        return tuple(traits_of(label) for label in self.labels)

    @cached_property
    def is_on_wall(self) -> Bool[np.ndarray, " k"]:
        """Which kinds are rectangles on a wall."""
        return np.array([traits.is_on_wall for traits in self.traits])

    @cached_property
    def has_front(self) -> Bool[np.ndarray, " k"]:
        """Which kinds have a front, so that their heading means something."""
        return np.array([traits.has_front for traits in self.traits])

    @cached_property
    def has_axis(self) -> Bool[np.ndarray, " k"]:
        """Which kinds have an axis that a quarter turn changes."""
        return np.array([traits.yaw_symmetry in ("full", "half") for traits in self.traits])


#: What the renderer of primitives draws.
PRIMITIVE_KINDS = Kinds(LABELS)

#: What rooms of real furniture hold besides: those of VSI-Bench first.
FURNITURE_KINDS = Kinds((
    *LABELS, "backpack", "clock", "closet", "counter", "dishwasher", "fan", "fireplace", "keyboard",
    "mattress", "microwave", "mirror", "monitor", "oven", "piano", "plant", "printer", "radiator",
    "telephone", "towel", "aquarium", "basket", "bench", "bidet", "book", "bottle", "bowl", "box",
    "cabinet", "ceiling fan", "ceiling light", "coffee machine", "computer tower", "crib", "cup",
    "curtain", "dresser", "dryer", "exercise machine", "freezer", "guitar", "kettle", "ladder",
    "laptop", "ottoman", "picture", "range hood", "shower", "sink", "speaker", "suitcase",
    "toaster", "towel rack", "tv stand", "vase", "wall light", "water heater", "whiteboard",
))  # fmt: skip
