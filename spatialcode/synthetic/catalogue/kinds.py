"""Which label each model of the catalogues gets, by the name that its catalogue gives it.

A name that no row holds has no label: the model is then clutter, or is not used at all. Desks are
tables and armchairs chairs, as people count them. Source of the names: the catalogues; of the
labels: VSI-Bench's words where it has one.
"""

from __future__ import annotations

#: Label → names of models in the catalogues that are of it.
NAMES: dict[str, tuple[str, ...]] = {
    "chair": (
        "Chair", "Chair with cushion", "Folding chair", "Oak chair", "Osaka chair",
        "Plastic chair", "Class seat", "Armchair", "Modern armchair", "Winchester armchair",
        "Child chair", "Children chair",
    ),
    "table": (
        "Table", "Black table", "Bar table", "Coffee table", "Folding table", "Glass table",
        "Oak table", "Round table", "Table on trestles", "Table with tablecloth",
        "Children table", "Desk", "Desk table", "Technical table", "Wooden alder table",
        "Wooden desk", "Wooden table", "Wooden teak table",
    ),
    "sofa": (
        "Burlap sofa", "Clear sofa", "Corner sofa", "Couch", "Futon couch", "Sofa", "Sofa 2 seats",
        "Sofa 3 seats", "Winchester sofa", "Convertible sofa BZ",
    ),
    "bed": ("Bed", "Iron bed", "Captain's bed", "Child bed", "Hospital bed", "Day bed"),
    "mattress": ("Air mattress", "Futon"),
    "crib": ("Crib", "Baby bed"),
    "tv": ("TV", "TV 16:9", "Wall flat TV"),
    "door": ("Door", "Exterior door", "Double door", "Double door with panes", "Glass door"),
    "window": (
        "Double window 3 panes", "Double window 4 panes", "Double window with large pane",
        "Double-hung window", "Turn window", "Double French window 3 panes",
        "Double French window small panes", "Double arched window", "Sliding window",
    ),
    "stool": ("Stool", "Bar stool", "Bar chair", "Piano bench"),
    "bench": ("Bench",),
    "ottoman": ("Armchair ottoman", "Puff"),
    "trash bin": ("Bullet trash can", "Dustbin", "Recycling bin"),
    "refrigerator": ("Fridge", "Large fridge", "Refrigerator"),
    "freezer": ("Chest freezer",),
    "toilet": ("Toilets unit",),
    "bidet": ("Bidet",),
    "stove": ("Large stove", "Propane stove", "Double oven"),
    "oven": ("Oven", "Small oven"),
    "range hood": ("Hood", "Range hood"),
    "microwave": ("Microwave",),
    "bathtub": ("Bath", "Island bath", "Corner bathtub"),
    "shower": ("Shower stall",),
    "sink": ("Washbasin", "Vanity", "Double vanity", "Small lavatory", "Sink", "Sink cabinet"),
    "washer": ("Clothes washing machine", "Washing machine"),
    "dryer": ("Dryer machine",),
    "lamp": (
        "Lamp", "Desk lamp", "Little lamp", "Pedestal vase lamp", "Japanese lantern",
    ),
    "ceiling light": (
        "Ceiling lamp", "Hanging light", "Pendant lamp", "Fluorescent light", "Fluorescent strip",
    ),
    "wall light": ("Wall light",),
    "bookshelf": ("Bookcase", "Full bookcase", "Shelves", "Vertical shelves"),
    "nightstand": ("Bedside table",),
    "tv stand": ("TV stand", "Television cabinet"),
    "dresser": ("Dresser with drawers", "Chest"),
    "closet": ("Wardrobe", "Cupboard"),
    "cabinet": (
        "Lower cabinet", "Small lower cabinet", "Drawers cabinet", "High cabinet", "Filing cabinet",
        "Upper cabinet", "Small upper cabinet", "Upper shelves cabinet", "Glass door cabinet",
    ),
    "counter": ("Island", "Island extension"),
    "radiator": ("Radiator",),
    "fireplace": ("Fireplace",),
    "fan": ("Table fan", "Rigged fan"),
    "ceiling fan": ("Ceiling fan",),
    "piano": ("Upright piano", "Grand piano"),
    "guitar": ("Electric guitar",),
    "laptop": ("Laptop", "Apple iBook"),
    "monitor": ("Apple iMac 2004",),
    "printer": ("Inkjet printer and scanner",),
    "telephone": ("Phone", "Wireless phone"),
    "speaker": ("Speaker",),
    "backpack": ("Backpack",),
    "suitcase": ("Suitcase", "Trunck", "Briefcase"),
    "basket": ("Clothes basket",),
    "towel": ("Towel",),
    "towel rack": ("Towel rack",),
    "plant": (
        "Bamboo", "Bonsai tree", "Cactus", "Decorative plant", "Ficus", "Flowers", "Indoor plant",
        "Little plant", "Orchids", "Plant", "Spathiphyllum", "Spider plant", "Succulent plant",
        "Tulips", "White lily", "Yucca",
    ),
    "vase": ("Vase", "Pottery"),
    "clock": ("Clock", "Cuckoo clock"),
    "picture": ("Frame Chambord", "Frame Hôi An"),
    "whiteboard": ("White board",),
    "curtain": ("Curtain", "Window blind"),
    "coffee machine": ("Coffee machine", "Coffee maker", "Coffee brewer"),
    "toaster": ("Toaster",),
    "kettle": ("Espresso kettle", "Teapot"),
    "cup": ("Coffee cup", "Coffee mug", "Cup", "Plastic cup"),
    "bottle": ("Bottle", "Wine bottle", "Beer bottle"),
    "bowl": ("Bowl", "Bowl with fruits", "Bowl with salad"),
    "box": ("Cardboard box", "Open cardboard box", "Crate"),
    "ladder": ("Step ladder", "Small step ladder"),
    "exercise machine": ("Treadmill", "Indoor bike", "Fitness tower"),
    "aquarium": ("Aquarium",),
    "water heater": ("Electric water heater", "Gaz water heater"),
}  # fmt: skip

#: Names of models without a label: people and pets who stand about …
PEOPLE = (
    "Boy", "Girl", "Female", "Male", "Holding female", "Holding male",
    "Mannequin female",
)  # fmt: skip
PETS = ("Bulldog", "Cat", "Dog", "Rabbit", "Siamese cat")
#: … and small things that lie on tables and floors.
LITTER = (
    "Apples", "Ashtray", "Book", "Bread", "Chessboard", "Chopping board", "Doll", "Folded clothes",
    "Gift", "Handbag", "Large pan", "Letter tray", "Medicine box", "Mini stereo", "Mixer",
    "Newspaper", "Old jar", "Penbox", "Plate", "PlayStation", "Radio", "Rubik's cube", "Stapler",
    "Sushi tray", "Teddy bear", "Toy train", "Utensils pot", "Wood toy", "Xylophone", "Sneakers",
    "Slippers", "Soccer ball", "Basketball", "Car model", "Plate, glass and cutlery", "DVD player",
    "Salt shaker", "Soap", "Wine bottle", "Milk", "Cosmetics pot",
)  # fmt: skip

#: Models whose name says one thing and whose shape another, which are left out.
LEFT_OUT = frozenset((
    "Scopia#box_room", "Scopia#office_box", "Scopia#mannequinMale",
    "BlendSwap-CC-0#box", "BlendSwap-CC-0#ammoBox",
))  # fmt: skip

#: Categories of the catalogues that hold nothing for a room.
OUTDOORS = frozenset(("Exterior", "Vehicles", "Staircases"))

_LABEL = {name: label for label, names in NAMES.items() for name in names}
CLUTTER_ROLES = {"person": PEOPLE, "pet": PETS, "litter": LITTER}
_ROLE = {name: role for role, names in CLUTTER_ROLES.items() for name in names}


def label_of(name: str) -> str | None:
    """The label of a model of this name; None where it has none."""
    return _LABEL.get(name)


def role_of(name: str) -> str | None:
    """``person``, ``pet`` or ``litter`` for what is unlabelled clutter; None for all else."""
    return None if name in _LABEL else _ROLE.get(name)
