"""Questions with exact answers, made from a code.

The answer is computed here from the code's geometry. What is asked, with which margins and in which
words, is in `generate_config`; which questions a room allows, in `families`; how answers are kept
even, in `drawing`. Every question is read back by `parse` before it is given out. The same scene
name, seed and settings give the same questions of the same code everywhere.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spatialcode.errors import SchemaError
from spatialcode.questions.distractors import arrange
from spatialcode.questions.drawing import NO_FURTHER, UNREADABLE, Balance, Draft, Pool
from spatialcode.questions.families import choices, configurations, directions, numbers, routes
from spatialcode.questions.families.room import Maker, Rng, Room
from spatialcode.questions.generate_config import GenerateConfig, Margins
from spatialcode.questions.naming import Naming
from spatialcode.questions.parse import parse, read_options
from spatialcode.questions.phrasing import sentences, standard
from spatialcode.questions.same import same_question
from spatialcode.questions.types import FAMILIES, QuestionItem
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode

__all__ = ["GenerateConfig", "Generated", "Margins", "generate"]

_MAKERS: Mapping[str, Maker] = {
    "object_counting": numbers.counting,
    "object_abs_distance": numbers.absolute_distance,
    "object_size_estimation": numbers.size,
    "room_size_estimation": numbers.room_size,
    "object_rel_distance": choices.relative_distance,
    "object_rel_direction_easy": directions.direction("easy"),
    "object_rel_direction_medium": directions.direction("medium"),
    "object_rel_direction_hard": directions.direction("hard"),
    "route_planning": routes.route,
    "obj_appearance_order": choices.appearance_order,
    "configuration": configurations.configuration,
}


#: There is one floor to ask for.
_AT_MOST = {"room_size_estimation": 1}
_DEFAULT = GenerateConfig()


@dataclass(frozen=True)
class Generated:
    """Questions about one code.

    ``skipped``: by family and reason, how many of the questions wanted are not there. With
    ``items`` they add up to what was wanted: of room size never more than one question.
    """

    items: tuple[QuestionItem, ...]
    skipped: Mapping[str, Mapping[str, int]]


def generate(
    code: SpatialCode, *, scene: str, seed: int, config: GenerateConfig = _DEFAULT
) -> Generated:
    """Questions of every family that the code allows, at most the number wanted of each.

    ``scene``: the name that the items carry; with ``seed`` (0 or more) it decides every draw.
    SchemaError for another seed or an empty name.
    """
    if not scene:
        raise SchemaError("scene", "a name", scene)
    if seed < 0:
        raise SchemaError("seed", "0 or more", seed)
    index = SceneIndex.of(code)
    naming = Naming(index, config)
    items: list[QuestionItem] = []
    skipped: dict[str, dict[str, int]] = {}
    for family in config.families:
        asked = _Family(family, index, naming, config, _rng(scene, seed, family))
        items += asked.items(scene)
        if asked.skipped:
            skipped[family] = dict(sorted(asked.skipped.items()))
    return Generated(tuple(items), skipped)


def _rng(scene: str, seed: int, family: str) -> Rng:
    """A stream of its own for each family, the same on any machine."""
    digest = hashlib.sha256(scene.encode("utf-8", "surrogatepass")).digest()
    words = np.frombuffer(digest, "<u4").tolist()
    key = (FAMILIES.index(family),)
    return np.random.default_rng(np.random.SeedSequence([seed, *words], spawn_key=key))


class _Family:
    """One family's questions about one code."""

    def __init__(
        self, family: str, index: SceneIndex, naming: Naming, config: GenerateConfig, rng: Rng
    ) -> None:
        self.family, self.config, self.rng = family, config, rng
        self._room = (index, naming, config)
        self._pools: dict[bool, Pool] = {}
        self._balance = Balance(config.balance == "strict")
        self.skipped: Counter[str] = Counter()
        self._wanted = min(config.questions_per_family, _AT_MOST.get(family, 10**6))

    def items(self, scene: str) -> list[QuestionItem]:
        """Questions until enough are made or none is left; the rest is counted as skipped."""
        made: list[QuestionItem] = []
        wanted = self._wanted
        while len(made) + self.skipped.total() < wanted:
            draft = self._draft()
            if isinstance(draft, str):
                self.skipped[draft] += wanted - len(made) - self.skipped.total()
                break
            item = self._worded(draft, f"{scene}:{self.family}:{len(made)}", scene)
            if item is None:
                self.skipped[UNREADABLE] += 1
            else:
                made.append(item)
        return made

    def _draft(self) -> Draft | str:
        """The next question, or why there is none. Referring expressions as often as wanted, and
        wherever nothing is left without.
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
            room = Room(*self._room, referring)
            self._pools[referring] = _MAKERS[self.family](room, self.rng)
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
        wordings = [standard(draft.template)]
        others = sentences(draft.template, self.config.paraphrases)
        if self.rng.random() < self.config.paraphrase_share and others:
            wordings.insert(0, others[int(self.rng.integers(len(others)))])
        for wording in wordings:
            text = wording.format(**slots)
            meant = draft.meant(text=text, options=read_options(options))
            if same_question(parse(text, options), meant):
                if options:
                    self._balance.letters[truth] += 1
                return QuestionItem(
                    id=name, scene=scene, question_type=self.family, question=text,
                    options=options, ground_truth=truth, dataset=self.config.dataset,
                )  # fmt: skip
        return None
