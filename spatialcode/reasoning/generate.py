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

from spatialcode.config import checked, require, setting
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
@checked
class Margins:
    """How far from ambiguous a question must be to be asked. Closer ones are left out."""

    bearing_deg: float = setting(
        "degrees a bearing keeps from a border between two answers", 10.0, above=0, below=22.5
    )
    turn_deg: float = setting(
        "least turn of a route, degrees: less is straight on", 30.0, above=0, below=90
    )
    separation_m: float = setting(
        "metres, seen from above, between two things of a direction", 0.5, above=0
    )
    leg_m: float = setting("least length of a route's leg, metres, seen from above", 1.0, above=0)
    distance_m: float = setting(
        "metres by which the nearest is nearer than the next", 0.15, above=0
    )
    distance_ratio: float = setting(
        "ratio by which the next is farther than the nearest", 1.15, at_least=1
    )
    first_seen_s: float = setting("seconds between two first sights", 0.5, above=0)
    viewed_m: float = setting(
        "metres by which left, right, front, behind hold or do not", 0.2, above=0
    )
    relation_m: float = setting(
        "metres by which above, below, on, inside hold or do not", 0.05, above=0
    )
    referring_ratio: float = setting(
        "ratio by which the largest, tallest … exceeds the next", 1.25, at_least=1
    )
    referring_m: float = setting(
        "metres by which the highest is higher than the next", 0.2, above=0
    )
    rounding: float = setting(
        "largest share by which rounding may change a number", 0.05, above=0, below=1
    )


@dataclass(frozen=True)
@checked
class GenerateConfig:
    """All settings of `generate`."""

    families: tuple[str, ...] = setting("families to ask, by name", default_factory=family_names)
    questions_per_family: int = setting("questions of each family wanted of a room", 3, at_least=1)
    paraphrase_share: float = setting(
        "share of questions not in the standard sentence", 0.3, at_least=0, at_most=1
    )
    paraphrases: Paraphrases = setting(
        "which other sentences: train, heldout or all", "train", one_of=get_args(Paraphrases)
    )
    referring_share: float = setting(
        'share with "the largest table" and the like', 0.2, at_least=0, at_most=1
    )
    use_ids: bool = setting("ids (chair_2) may refer: for readers of this very code", False)
    num_options: int = setting(
        "choices, where the family does not fix them", 4, at_least=2, at_most=8
    )
    min_count: int = setting("least count that is asked for", 1, at_least=1)
    farthest_share: float = setting(
        "share of relative distances that ask for the farthest", 0.25, at_least=0, at_most=1
    )
    max_blanks: int = setting("most turns to fill into a route", 3, at_least=1, at_most=3)
    max_things: int = setting(
        "things of a room considered at a time; a larger room is drawn", 16, at_least=4, at_most=40
    )
    balance: BalanceRule = setting(
        "strict: no question where a room allows not every answer; room: ask all the same",
        "strict",
        one_of=get_args(BalanceRule),
    )
    dataset: str = setting("name that every question carries as its data set", "generated")
    margins: Margins = setting("", default_factory=Margins)

    def __post_init__(self) -> None:
        known_names = family_names()
        for name in self.families:
            require(name in known_names, "families", f"some of {', '.join(known_names)}", name)
        once = len(set(self.families)) == len(self.families)
        require(once and bool(self.families), "families", "each at most once", self.families)


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
