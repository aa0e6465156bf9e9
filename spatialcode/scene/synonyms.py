"""Words for one kind of thing, which questions and detectors' vocabularies share.

It does not know which words are only near each other (a chair and a stool).
"""

from __future__ import annotations

#: Words for one kind of thing; the first is the name used here.
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
