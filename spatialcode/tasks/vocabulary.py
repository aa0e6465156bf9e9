"""Names of things for rooms made up for training: kinds known from homes, and nonsense words.

Nonsense words can only be copied: a model that has learnt the common names by heart fails on them.
"""

from __future__ import annotations

import numpy as np

Rng = np.random.Generator

#: Names that rooms are said to hold, other words for the same among them.
HOUSEHOLD = (
    "chair", "table", "sofa", "bed", "tv", "door", "window", "stool", "trash bin", "pillow",
    "refrigerator", "toilet", "stove", "bathtub", "washer", "lamp", "bookshelf", "nightstand",
    "backpack", "fireplace", "mirror", "monitor", "printer", "radiator", "dishwasher", "towel",
    "counter", "telephone", "microwave", "keyboard", "plant", "closet", "clock", "fan",
    "washing machine", "oven", "mattress", "piano", "couch", "desk", "fridge", "bookcase",
    "wardrobe", "cabinet", "cupboard", "trash can", "bin", "television", "heater", "cushion",
    "rug", "curtain", "shelf", "bench", "ottoman", "armchair", "dresser", "crib", "sink",
    "shower", "picture", "vase", "basket", "laptop", "suitcase", "guitar", "bicycle", "ladder",
    "blanket", "kettle", "toaster", "bottle", "box", "bucket", "coffee table", "dining table",
    "office chair", "computer monitor", "ceiling light", "floor lamp", "computer tower",
    "shoe rack", "coat rack", "whiteboard", "projector", "speaker", "aquarium", "treadmill",
    "ball", "book", "cup", "bowl", "helmet", "umbrella", "iron", "ironing board",
    "vacuum cleaner", "power strip", "paper towel", "exhaust fan", "exit sign",
    "storage container", "kitchen cabinet", "bathroom vanity", "file cabinet", "shower curtain",
    "toilet paper", "soap dispenser", "hair dryer", "laundry basket", "tea table",
    "sewing machine", "tissue box", "water heater", "air conditioner", "candle", "painting",
    "poster", "statue", "teddy bear", "toy", "drum", "cart", "crate", "barrel", "tray", "jar",
    "teapot", "stand", "scale", "globe", "easel", "podium", "locker", "bidet", "faucet", "hanger",
)  # fmt: skip
_ONSETS = (
    "b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z",
    "bl", "br", "cl", "cr", "dr", "fl", "fr", "gl", "gr", "pl", "pr", "sk", "sl", "sn", "sp",
    "st", "tr", "th", "ch",
)  # fmt: skip
_VOWELS = (
    "a", "e", "i", "o", "u", "ai", "ea", "oo", "ou", "ei",
)  # fmt: skip
_CODAS = ["", "b", "d", "g", "k", "l", "m", "n", "p", "r", "t", "nd", "nt", "rk", "lf", "mp"]


def nonsense(rng: Rng) -> str:
    """A word, or two, that mean nothing: "blorkan", "vea trimp"."""
    return " ".join(_word(rng) for _ in range(1 + int(rng.random() < 0.2)))


def _word(rng: Rng) -> str:
    syllables = 1 + int(rng.random() < 0.6)
    return "".join(
        _ONSETS[int(rng.integers(len(_ONSETS)))]
        + _VOWELS[int(rng.integers(len(_VOWELS)))]
        + _CODAS[int(rng.integers(len(_CODAS)))]
        for _ in range(syllables)
    )


def draw_labels(rng: Rng, count: int, nonsense_share: float) -> tuple[str, ...]:
    """Labels of one room, all different; ``nonsense_share``: chance of each to be nonsense."""
    found: dict[str, None] = {}
    while len(found) < count:
        made = rng.random() < nonsense_share
        label = nonsense(rng) if made else HOUSEHOLD[int(rng.integers(len(HOUSEHOLD)))]
        found[label] = None
    return tuple(found)
