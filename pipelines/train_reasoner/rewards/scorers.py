"""What scores a completion: the rubric, or any class given as ``module:Class``.

Light: neither Ray nor torch, because scoring children start often and should start fast.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from spatialcode.errors import ConfigError, InputError
from spatialcode.grpo.types import Scored
from spatialcode.loading import load
from spatialcode.questions.types import Question, QuestionItem, UnparsedQuestion
from spatialcode.reasoning.families.registry import parse
from spatialcode.reasoning.rubric import RubricConfig, score
from spatialcode.scene.schema import SpatialCode


@dataclass(frozen=True)
class RewardSample:
    """One completion to score, as plain text.

    ``item``: a `QuestionItem` as JSON, its ``ground_truth`` the gold. ``code_id``, ``code``: the
    room's name and its code as JSON; one name stands for one code.
    """

    item: str
    code_id: str
    code: str
    completion: str


class Scorer(Protocol):
    """What rewards need of a scorer class."""

    @classmethod
    def load(cls, settings: Mapping[str, Any]) -> Scorer:
        """The scorer with its settings; ConfigError where they are wrong."""
        ...

    def score(self, item: QuestionItem, code: SpatialCode, completion: str) -> Scored:
        """The completion's terms and total. Whatever it raises is our failure, not a zero."""
        ...


class RubricScorer:
    """The spatial rubric of `spatialcode.reasoning.rubric`; settings are its configuration's."""

    def __init__(self, config: RubricConfig) -> None:
        self.config = config

    @classmethod
    def load(cls, settings: Mapping[str, Any]) -> RubricScorer:
        try:
            return cls(RubricConfig(**settings))
        except TypeError as error:
            raise ConfigError(f"rubric: {error}") from error

    def score(self, item: QuestionItem, code: SpatialCode, completion: str) -> Scored:
        """InputError for a question that cannot be read, SchemaError for a gold that is none."""
        question = _question(item)
        gold = item.ground_truth if item.options else float(item.ground_truth)
        result = score(question, code, completion, gold, self.config)
        reasons = tuple(f"{name}: {reason}" for name, reason in result.reasons.items())
        return Scored(dict(result.terms), result.total, reasons)


class DrawnScorer:
    """Rewards that follow from the completion's hash, for dry runs."""

    @classmethod
    def load(cls, settings: Mapping[str, Any]) -> DrawnScorer:  # noqa: ARG003
        return cls()

    def score(self, item: QuestionItem, code: SpatialCode, completion: str) -> Scored:  # noqa: ARG002
        drawn = hashlib.sha256(completion.encode()).digest()[0] / 255
        return Scored({"answer": drawn}, drawn, ("a dry run's reward is drawn",))


def load_scorer(name: str, settings: Mapping[str, Any]) -> Scorer:
    """The scorer that ``module:Class`` names. ConfigError where there is no such class."""
    scorer: Scorer = load(name, "scorer").load(settings)
    return scorer


def item_to_json(item: QuestionItem) -> str:
    """The item as it stands in a `RewardSample`."""
    return json.dumps(vars(item))


@lru_cache(maxsize=1024)
def item_from_json(text: str) -> QuestionItem:
    """Inverse of `item_to_json`. InputError for anything else. Kept, as items come in groups."""
    try:
        row = json.loads(text)
        return QuestionItem(**{**row, "options": tuple(row["options"])})
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"item: not a question item as JSON: {error}") from error


@lru_cache(maxsize=1024)
def _question(item: QuestionItem) -> Question:
    question = parse(item.question, item.options)
    if isinstance(question, UnparsedQuestion):
        raise InputError(f"item {item.id}: not understood: {question.reason}")
    return question
