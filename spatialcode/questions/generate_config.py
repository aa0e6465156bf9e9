"""What is asked of a code, how much doubt is allowed, and in which words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from spatialcode.config import require, setting
from spatialcode.questions.types import FAMILIES

Paraphrases = Literal["train", "heldout", "all"]
Balance = Literal["strict", "room"]


@dataclass(frozen=True)
class Margins:
    """How far from ambiguous a question must be to be asked. Closer ones are left out."""

    bearing_deg: float = setting("degrees a bearing keeps from a border between two answers", 10.0)
    turn_deg: float = setting("least turn of a route, degrees: less is straight on", 30.0)
    separation_m: float = setting("metres, seen from above, between two things of a direction", 0.5)
    leg_m: float = setting("least length of a route's leg, metres, seen from above", 1.0)
    distance_m: float = setting("metres by which the nearest is nearer than the next", 0.15)
    distance_ratio: float = setting("ratio by which the next is farther than the nearest", 1.15)
    first_seen_s: float = setting("seconds between two first sights", 0.5)
    viewed_m: float = setting("metres by which left, right, front, behind hold or do not", 0.2)
    relation_m: float = setting("metres by which above, below, on, inside hold or do not", 0.05)
    referring_ratio: float = setting("ratio by which the largest, tallest … exceeds the next", 1.25)
    referring_m: float = setting("metres by which the highest is higher than the next", 0.2)
    rounding: float = setting("largest share by which rounding may change a number", 0.05)

    def __post_init__(self) -> None:
        for name in ("separation_m", "leg_m", "distance_m", "viewed_m", "relation_m"):
            require(getattr(self, name) > 0, name, "more than 0", getattr(self, name))
        for name in ("first_seen_s", "referring_m"):
            require(getattr(self, name) > 0, name, "more than 0", getattr(self, name))
        for name in ("distance_ratio", "referring_ratio"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        bearing = self.bearing_deg
        require(0 < bearing < 22.5, "bearing_deg", "between 0 and 22.5", bearing)
        require(0 < self.turn_deg < 90, "turn_deg", "between 0 and 90", self.turn_deg)
        require(0 < self.rounding < 1, "rounding", "between 0 and 1", self.rounding)


@dataclass(frozen=True)
class GenerateConfig:
    """All settings of `generate`."""

    families: tuple[str, ...] = setting("families to ask, by name", FAMILIES)
    questions_per_family: int = setting("questions of each family wanted of a room", 3)
    paraphrase_share: float = setting("share of questions not in the standard sentence", 0.3)
    paraphrases: Paraphrases = setting("which other sentences: train, heldout or all", "train")
    referring_share: float = setting('share with "the largest table" and the like', 0.2)
    use_ids: bool = setting("ids (chair_2) may refer: for readers of this very code", False)
    num_options: int = setting("choices, where the family does not fix them", 4)
    min_count: int = setting("least count that is asked for", 1)
    farthest_share: float = setting("share of relative distances that ask for the farthest", 0.25)
    max_blanks: int = setting("most turns to fill into a route", 3)
    max_things: int = setting("things of a room considered at a time; a larger room is drawn", 16)
    balance: Balance = setting(
        "strict: no question where a room allows not every answer; room: ask all the same", "strict"
    )
    dataset: str = setting("name that every question carries as its data set", "generated")
    margins: Margins = setting("", default_factory=Margins)

    def __post_init__(self) -> None:
        for name in self.families:
            require(name in FAMILIES, "families", f"some of {', '.join(FAMILIES)}", name)
        once = len(set(self.families)) == len(self.families)
        require(once and bool(self.families), "families", "each at most once", self.families)
        wanted = self.questions_per_family
        require(wanted >= 1, "questions_per_family", "at least 1", wanted)
        for name in ("paraphrase_share", "referring_share", "farthest_share"):
            value = getattr(self, name)
            require(0 <= value <= 1, name, "between 0 and 1", value)
        splits = get_args(Paraphrases)
        require(self.paraphrases in splits, "paraphrases", " or ".join(splits), self.paraphrases)
        require(2 <= self.num_options <= 8, "num_options", "2 to 8", self.num_options)
        require(self.min_count >= 1, "min_count", "at least 1", self.min_count)
        require(1 <= self.max_blanks <= 3, "max_blanks", "1 to 3", self.max_blanks)
        require(4 <= self.max_things <= 40, "max_things", "4 to 40", self.max_things)
        known = get_args(Balance)
        require(self.balance in known, "balance", " or ".join(known), self.balance)
