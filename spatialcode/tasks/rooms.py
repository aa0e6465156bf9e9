"""Spatial codes made up for training: boxes, times and a camera at random, nothing rendered.

Questions in program mode need names, and geometry only for their answers; a code of this kind takes
milliseconds where a rendered room takes seconds. Such a room need not look like a home: it is meant
for a reader of codes.

Things have names known from homes, or nonsense words, which can only be copied: a model that has
learnt the common names by heart fails on them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spatialcode.config import checked, require, setting
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import (
    Camera,
    Provenance,
    Room,
    Scale,
    SceneObject,
    SpatialCode,
    VideoInfo,
    make_id,
)
from spatialcode.synthetic.layout import furnish

Rng = np.random.Generator
_CEILING_M = 2.6
_FPS = 2.0


@dataclass(frozen=True)
@checked
class RoomSettings:
    """What is in a room that is made up."""

    nonsense_share: float = setting("labels that mean nothing", 0.4, at_least=0, at_most=1)
    min_kinds: int = setting("different labels at least", 6, at_least=1)
    max_kinds: int = setting("different labels at most", 11)
    several_share: float = setting("labels with two to four things", 0.35, at_least=0, at_most=1)

    def __post_init__(self) -> None:
        fits = self.min_kinds <= self.max_kinds
        require(fits, "min_kinds", "at most max_kinds", self.min_kinds)


_DEFAULT = RoomSettings()


def made_up_room(seed: int, settings: RoomSettings = _DEFAULT) -> SpatialCode:
    """A code that follows from (seed, settings): metres, floor at z = 0, a camera looking along +y.

    Things stand on the floor without overlap, hang higher, or stand on a lower one.
    """
    rng = np.random.default_rng([seed, 7])
    num_kinds = int(rng.integers(settings.min_kinds, settings.max_kinds + 1))
    labels: list[str] = []
    for label in draw_labels(rng, num_kinds, settings.nonsense_share):
        several = 2 + int(rng.integers(3)) if rng.random() < settings.several_share else 1
        labels += [label] * several
    width_m, depth_m = rng.uniform(3.5, 8.0, size=2)
    boxes = _boxes(rng, len(labels), width_m, depth_m)
    return _code(rng, f"made-up:{seed}", labels, boxes, (width_m, depth_m))


def furnished_room(seed: int) -> SpatialCode:
    """The exact boxes of a furnished floor plan (`synthetic.layout`), its first room's area, and
    times and a camera at random: nothing is rendered, so nothing is hidden.
    """
    rng = np.random.default_rng([seed, 13])
    interior = furnish(rng)
    x0, y0, x1, y1 = interior.plan.rooms[0].rect
    placed = [one for one in interior.objects if one.room == 0][:40]
    labels = [one.model.label for one in placed]
    boxes: list[Box] = []
    for one in placed:
        x, y, z = one.center_m
        width, depth, height = (float(size_m) for size_m in one.model.size_m)
        boxes.append(((x - x0, y - y0, z), (width, depth, height), one.yaw_rad))
    return _code(rng, f"furnished:{seed}", labels, boxes, (x1 - x0, y1 - y0))


Box = tuple[tuple[float, float, float], tuple[float, float, float], float]


def _code(
    rng: Rng, uri: str, labels: list[str], boxes: list[Box], extent_m: tuple[float, float]
) -> SpatialCode:
    """Things seen one after the other in random order, in a rectangle from (0, 0) to ``extent``."""
    duration_s = float(rng.uniform(20.0, 80.0))
    order = rng.permutation(len(labels))
    first_s = np.sort(rng.uniform(0.0, duration_s - 2.0, size=len(labels)))
    objects: list[SceneObject] = []
    for k in order.tolist():
        n = sum(item.label == labels[k] for item in objects) + 1
        first = float(first_s[len(objects)])
        objects.append(_object(labels[k], n, boxes[k], first, duration_s))
    width_m, depth_m = extent_m
    corners = ((0.0, 0.0), (width_m, 0.0), (width_m, depth_m), (0.0, depth_m))
    return SpatialCode(
        video=VideoInfo(uri, "", duration_s, _FPS, 640, 480, (0.0,)),
        objects=tuple(objects),
        cameras=(_camera(rng, width_m, depth_m),),
        room=Room(0.0, _CEILING_M, corners, float(width_m * depth_m)),
        scale=Scale("given", 1.0),
        provenance=Provenance("made-up", "", "", "spatialcode.tasks", ""),
    )


def _boxes(rng: Rng, count: int, width_m: float, depth_m: float) -> list[Box]:
    """Centre, size, yaw of each."""
    made: list[Box] = []
    for _ in range(count):
        size = np.exp(rng.normal((-0.6, -0.6, -0.35), (0.5, 0.5, 0.55))).clip(0.12, 2.4)
        yaw = float(rng.choice((0.0, 0.5, 1.0, 1.5)) * math.pi)
        if rng.random() < 0.3:
            yaw = float(rng.uniform(-math.pi, math.pi))
        radius = 0.5 * float(np.hypot(size[0], size[1]))
        u = rng.random()
        if u < 0.12 and made:  # on top of another, or above it
            under = made[int(rng.integers(len(made)))]
            gap = 0.0 if rng.random() < 0.6 else float(rng.uniform(0.3, 0.8))
            small = np.minimum(size, np.maximum(0.6 * np.array(under[1]), 0.08))
            z = under[0][2] + 0.5 * under[1][2] + gap + 0.5 * float(small[2])
            made.append(((under[0][0], under[0][1], z), tuple(small.tolist()), under[2]))
            continue
        bottom = float(rng.uniform(0.4, 1.4)) if u > 0.85 else 0.0
        for _ in range(30):
            x, y = rng.uniform(0.2, width_m - 0.2), rng.uniform(0.2, depth_m - 0.2)
            if all(
                math.hypot(x - c[0], y - c[1]) > radius + 0.5 * math.hypot(s[0], s[1])
                for c, s, _ in made
            ):
                break
        z = bottom + 0.5 * float(size[2])
        made.append(((float(x), float(y), z), tuple(size.tolist()), yaw))
    return made


def _object(label: str, n: int, box: Box, first_s: float, duration_s: float) -> SceneObject:
    center, size, yaw = box
    quaternion = tuple(float(q) for q in quaternion_from_yaw(np.array(yaw)))
    return SceneObject(
        id=make_id(label, n), label=label, score=1.0, center_m=center, size_m=size,
        quaternion_wxyz=quaternion,  # type: ignore[arg-type]
        first_seen_s=first_s, last_seen_s=min(first_s + 2.0 + 7.0 * (n % 3), duration_s),
        num_observations=4, visibility=1.0, motion="static",
    )  # fmt: skip


def _camera(rng: Rng, width_m: float, depth_m: float) -> Camera:
    """Upright at eye level, looking along world +y: x right, y down, z forward."""
    x, y = float(rng.uniform(0.2, 0.8) * width_m), float(rng.uniform(0.0, 0.3) * depth_m)
    pose = ((1.0, 0.0, 0.0, x), (0.0, 0.0, 1.0, y), (0.0, -1.0, 0.0, 1.5), (0.0, 0.0, 0.0, 1.0))
    return Camera(0.0, pose, 500.0, 500.0, 320.0, 240.0)


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
