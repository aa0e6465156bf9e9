"""Questions with exact answers, made from a code.

The answer is computed here from the code's geometry. Which questions a room allows is each family's
own `pool`; how answers are kept even is in `drawing`. Every question is read back by the parser
before it is given out. The same scene name, seed and settings give the same questions of the same
code everywhere.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from spatialcode.config import require, setting
from spatialcode.errors import SchemaError
from spatialcode.questions.parse import read_options
from spatialcode.questions.types import QuestionItem, same_meaning
from spatialcode.reasoning.drawing import NO_FURTHER, UNREADABLE, Balance, Draft, Pool, arrange
from spatialcode.reasoning.families.registry import family_named, family_names, parse
from spatialcode.reasoning.naming import NamedRoom, Rng
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode

Paraphrases = Literal["train", "heldout", "all"]
BalanceRule = Literal["strict", "room"]


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
        for name in ("separation_m", "leg_m", "distance_m", "viewed_m", "relation_m",
                     "first_seen_s", "referring_m"):  # fmt: skip
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

    families: tuple[str, ...] = setting("families to ask, by name", default_factory=family_names)
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
    balance: BalanceRule = setting(
        "strict: no question where a room allows not every answer; room: ask all the same", "strict"
    )
    dataset: str = setting("name that every question carries as its data set", "generated")
    margins: Margins = setting("", default_factory=Margins)

    def __post_init__(self) -> None:
        known_names = family_names()
        for name in self.families:
            require(name in known_names, "families", f"some of {', '.join(known_names)}", name)
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
        known = get_args(BalanceRule)
        require(self.balance in known, "balance", " or ".join(known), self.balance)


@dataclass(frozen=True)
class Generated:
    """Questions about one code.

    ``skipped``: by family and reason, how many of the questions wanted are not there. With
    ``items`` they add up to what was wanted: of room size never more than one question.
    """

    items: tuple[QuestionItem, ...]
    skipped: Mapping[str, Mapping[str, int]]


def generate(
    code: SpatialCode, *, scene: str, seed: int, config: GenerateConfig | None = None
) -> Generated:
    """Questions of every family that the code allows, at most the number wanted of each.

    ``scene``: the name that the items carry; with ``seed`` (0 or more) it decides every draw.
    SchemaError for another seed or an empty name.
    """
    config = config or GenerateConfig()
    if not scene:
        raise SchemaError("scene", "a name", scene)
    if seed < 0:
        raise SchemaError("seed", "0 or more", seed)
    rooms = {one: NamedRoom(SceneIndex.of(code), config, one) for one in (False, True)}
    items: list[QuestionItem] = []
    skipped: dict[str, dict[str, int]] = {}
    for family in config.families:
        asked = _Asked(family, rooms, config, _rng(scene, seed, family))
        items += asked.items(scene)
        if asked.skipped:
            skipped[family] = dict(sorted(asked.skipped.items()))
    return Generated(tuple(items), skipped)


def _rng(scene: str, seed: int, family: str) -> Rng:
    """A stream of its own for each family, the same on any machine."""
    digest = hashlib.sha256(scene.encode("utf-8", "surrogatepass")).digest()
    words = np.frombuffer(digest, "<u4").tolist()
    key = (family_names().index(family),)
    return np.random.default_rng(np.random.SeedSequence([seed, *words], spawn_key=key))


class _Asked:
    """One family's questions about one code; ``name`` is one of the family's names. ``rooms``: the
    code without and with referring expressions.
    """

    def __init__(
        self, name: str, rooms: Mapping[bool, NamedRoom], config: GenerateConfig, rng: Rng
    ) -> None:
        self.name, self.config, self.rng = name, config, rng
        self._family, self._rooms = family_named(name), rooms
        self._pools: dict[bool, Pool] = {}
        self._balance = Balance(config.balance == "strict")
        self.skipped: Counter[str] = Counter()
        at_most = self._family.most_of_a_room
        self._wanted = min(config.questions_per_family, at_most or config.questions_per_family)

    def items(self, scene: str) -> list[QuestionItem]:
        """Questions until enough are made or none is left; the rest is counted as skipped."""
        made: list[QuestionItem] = []
        wanted = self._wanted
        while len(made) + self.skipped.total() < wanted:
            draft = self._draft()
            if isinstance(draft, str):
                self.skipped[draft] += wanted - len(made) - self.skipped.total()
                break
            item = self._worded(draft, f"{scene}:{self.name}:{len(made)}", scene)
            if item is None:
                self.skipped[UNREADABLE] += 1
            else:
                made.append(item)
        return made

    def _draft(self) -> Draft | str:
        """The next question, or why there is none: with referring expressions as often as wanted,
        and wherever no question without them is left.
        """
        share = self.config.referring_share
        first = bool(self.rng.random() < share)
        reasons = []
        for referring in (first, not first) if share > 0.0 else (False,):
            pool = self._pool(referring)
            chosen = self._balance.choose(pool, self.rng)
            if isinstance(chosen, tuple) and chosen not in pool.cells:
                chosen = NO_FURTHER  # of that answer, and the balance asks for no other
            if isinstance(chosen, str):
                reasons.append((referring, chosen))
                continue
            row = pool.take(chosen, self.rng)
            self._balance.count(*chosen)
            return pool.draft(row, *chosen, self.rng)
        return min(reasons)[1]

    def _pool(self, referring: bool) -> Pool:
        if referring not in self._pools:
            self._pools[referring] = self._family.pool(self.name, self._rooms[referring], self.rng)
        return self._pools[referring]

    def _worded(self, draft: Draft, name: str, scene: str) -> QuestionItem | None:
        """The question in words that are read back as it was meant; None if there are none."""
        options: tuple[str, ...] = ()
        truth = draft.truth
        if truth is None:
            options, truth = arrange(draft.choices, self._balance.letters, self.rng)
        slots = dict(draft.slots)
        if draft.listed:
            slots["listed"] = ", ".join(option.text for option in read_options(options))
        sentences = self._family.templates[draft.template]
        wordings = [sentences.standard]
        others = sentences.others(self.config.paraphrases)
        if self.rng.random() < self.config.paraphrase_share and others:
            wordings.insert(0, others[int(self.rng.integers(len(others)))])
        for wording in wordings:
            text = wording.format(**slots)
            meant = draft.meant(text=text, options=read_options(options))
            if same_meaning(parse(text, options), meant):
                if options:
                    self._balance.letters[truth] += 1
                return QuestionItem(
                    id=name, scene=scene, question_type=self.name, question=text,
                    options=options, ground_truth=truth, dataset=self.config.dataset,
                )  # fmt: skip
        return None
