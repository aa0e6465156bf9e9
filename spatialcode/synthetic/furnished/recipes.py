"""What a room of each kind holds: means by item; a fraction is a probability.

An item is a label, or a name of `arranging` for something that comes with company (a desk has a
chair and things upon it).
"""

from __future__ import annotations

#: By kind of room: item → mean number.
RECIPES: dict[str, dict[str, float]] = {
    "living": {
        "sofa": 1.3, "coffee table": 0.8, "tv": 0.9, "bookshelf": 0.9, "armchair": 0.8,
        "plant": 1.1, "lamp": 0.9, "fireplace": 0.3, "piano": 0.2, "dining": 0.4, "cabinet": 0.3,
        "dresser": 0.3, "radiator": 0.7, "fan": 0.15, "guitar": 0.15, "aquarium": 0.1,
        "speaker": 0.4, "ottoman": 0.4, "mirror": 0.3, "clock": 0.4, "picture": 1.8,
        "ceiling light": 0.9, "stool": 0.2, "wall light": 0.25, "closet": 0.1, "printer": 0.05,
    },
    "bedroom": {
        "bed": 1.2, "closet": 0.9, "dresser": 0.5, "desk": 0.55, "mirror": 0.55, "plant": 0.5,
        "radiator": 0.7, "bookshelf": 0.4, "crib": 0.12, "mattress": 0.12, "backpack": 0.35,
        "suitcase": 0.35, "basket": 0.25, "fan": 0.2, "tv": 0.3, "ottoman": 0.2, "guitar": 0.1,
        "exercise machine": 0.1, "picture": 1.2, "ceiling light": 0.8, "clock": 0.3,
        "ceiling fan": 0.15, "lamp": 0.3, "bench": 0.15, "box": 0.2, "trash bin": 0.25,
    },
    "bathroom": {
        "bathtub": 0.8, "shower": 0.35, "toilet": 1.0, "sink": 1.0, "washer": 0.6, "dryer": 0.3,
        "towel rack": 0.7, "mirror": 0.9, "basket": 0.45, "trash bin": 0.6, "radiator": 0.5,
        "bidet": 0.25, "water heater": 0.3, "stool": 0.25, "plant": 0.15, "ceiling light": 0.7,
        "cabinet": 0.2,
    },
    "kitchen": {
        "refrigerator": 1.0, "stove": 1.0, "counter": 1.1, "kitchen sink": 0.7, "cabinet": 1.6,
        "hanging cabinet": 1.2, "dishwasher": 0.6, "oven": 0.35, "washer": 0.35, "dining": 0.8,
        "stool": 0.4, "trash bin": 0.8, "range hood": 0.4, "freezer": 0.12, "water heater": 0.25,
        "clock": 0.5, "radiator": 0.5, "plant": 0.3, "ceiling light": 0.9, "ladder": 0.1,
        "microwave": 0.1,
    },
    "office": {
        "desk": 1.9, "bookshelf": 1.1, "cabinet": 1.0, "whiteboard": 0.6, "trash bin": 0.8,
        "plant": 0.7, "backpack": 0.4, "sofa": 0.2, "box": 0.5, "clock": 0.4, "radiator": 0.6,
        "ceiling light": 0.9, "suitcase": 0.2, "armchair": 0.3, "tv": 0.2, "lamp": 0.3,
        "picture": 0.7, "computer tower": 0.3, "fan": 0.2, "ladder": 0.08,
    },
    "mixed": {"bed": 0.4, "sofa": 0.4, "dining": 0.4, "desk": 0.5, "picture": 1.0,
              "ceiling light": 0.7, "plant": 0.6, "radiator": 0.4},
}  # fmt: skip

#: Surprises on the floor of any room: the rarer a kind is elsewhere, the more often.
SURPRISES: tuple[str, ...] = (
    "refrigerator", "stove", "washer", "dishwasher", "fireplace", "piano", "toilet", "bathtub",
    "backpack", "suitcase", "fan", "radiator", "plant", "box", "basket", "trash bin", "stool",
    "nightstand", "printer", "computer tower", "closet", "dresser", "chair", "armchair", "lamp",
    "ottoman", "bench", "ladder", "crib", "mattress", "sink", "oven", "cabinet", "speaker",
    "exercise machine", "coffee table", "counter", "water heater", "tv stand", "bookshelf",
)  # fmt: skip

#: Small things by what they are put on: labels, or ``litter`` for what has none.
ON_TOPS: dict[str, tuple[str, ...]] = {
    "desk": ("laptop", "lamp", "telephone", "printer", "book", "book", "cup", "plant", "speaker",
             "litter", "picture frame", "bottle", "clock"),
    "kitchen": ("microwave", "coffee machine", "toaster", "kettle", "bowl", "cup", "bottle",
                "litter", "litter", "plant", "oven"),
    "table": ("cup", "bowl", "bottle", "vase", "plant", "book", "laptop", "litter", "litter",
              "telephone", "kettle"),
    "shelf": ("plant", "vase", "book", "book", "clock", "speaker", "lamp", "box", "picture frame",
              "litter", "telephone"),
    "night": ("lamp", "lamp", "clock", "book", "cup", "telephone", "plant"),
    "soft": ("pillow", "blanket", "litter", "book", "laptop"),
    "bath": ("towel", "bottle", "litter", "cup", "basket", "plant"),
}  # fmt: skip

#: What stands on what, by label.
TOPS: dict[str, str] = {
    "table": "table", "counter": "kitchen", "cabinet": "shelf", "dresser": "shelf",
    "nightstand": "night", "washer": "bath", "dryer": "bath", "tv stand": "shelf",
    "bookshelf": "shelf", "fireplace": "shelf", "piano": "shelf", "dishwasher": "kitchen",
    "freezer": "kitchen", "sofa": "soft", "bed": "soft", "chair": "soft", "ottoman": "soft",
    "sink": "bath", "refrigerator": "kitchen", "radiator": "bath", "closet": "shelf",
    "stool": "soft", "computer tower": "shelf",
}  # fmt: skip

#: Loose on the floor.
ON_FLOORS: tuple[str, ...] = (
    "litter", "litter", "blanket", "box", "basket", "backpack", "suitcase", "book", "pillow",
    "bottle", "trash bin",
)  # fmt: skip
