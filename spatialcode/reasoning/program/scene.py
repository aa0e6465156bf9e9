"""What a running program sees of a code, and what a function of the language is.

Noun phrases become things, and evidence is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from spatialcode.errors import SchemaError
from spatialcode.questions.names import reference
from spatialcode.questions.types import Question, Reference
from spatialcode.reasoning.evidence import Answer, Evidence
from spatialcode.reasoning.families.registry import family_of
from spatialcode.reasoning.program.values import Budget, Limits, Refused, Value, kind_of
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.statements import Angle, Cross, Dot, Statement, Vector
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SceneObject, SpatialCode

#: How many names an error lists.
_SHOWN = 30


@dataclass(frozen=True)
class Meant:
    """What an argument means: the reference to give to the solver, and the things, one or more."""

    reference: Reference
    things: tuple[SceneObject, ...]


class Scene:
    """A code, the budget of a run, and the evidence so far."""

    def __init__(self, code: SpatialCode, limits: Limits, budget: Budget) -> None:
        if len(code.objects) > limits.max_objects:
            raise Refused("limit", f"the code has more than {limits.max_objects} objects")
        self.index = SceneIndex.of(code)
        self.limits = limits
        self.budget = budget
        self._object_ids: dict[str, None] = {}
        self._statements: list[Statement] = []
        self._said: set[object] = set()

    def evidence(self) -> Evidence:
        """Objects in order of use, statements in order of execution."""
        return Evidence(tuple(self._object_ids), tuple(self._statements))

    def state(self, statements: Sequence[Statement], object_ids: Sequence[str] = ()) -> None:
        """Add what one call found. What an earlier call said is not said again, but for vectors,
        whose names are used again, and the products and angles that follow them.
        """
        self.budget.spend(len(statements))
        self._object_ids.update(dict.fromkeys(object_ids))
        if tuple(statements) in self._said:
            return
        self._statements += [
            one
            for one in statements
            if isinstance(one, Vector | Dot | Cross | Angle) or one not in self._said
        ]
        self._said.update((tuple(statements), *statements))

    def read(self, value: Value, argument: str, item: int | None = None) -> Reference:
        """The reference that a phrase, an id or a thing is."""
        if isinstance(value, SceneObject):
            return Reference(value.label.lower(), value.id, object_id=value.id)
        if not isinstance(value, str):
            reason = f"expected a noun phrase or a thing, got {kind_of(value)}"
            raise Refused("type", reason, argument, item)
        row = self.index.row.get(value)
        if row is not None:
            return Reference(self.index.objects[row].label.lower(), value, object_id=value)
        try:
            return reference(value)
        except SchemaError:
            raise Refused("arguments", f"no noun in {value!r}", argument, item) from None

    def find(self, wanted: Reference) -> tuple[SceneObject, ...]:
        """The things that a reference means; none where there is none."""
        self.budget.spend(1 + len(self.index.objects))
        return resolve(wanted, self.index)

    def meant(self, value: Value, argument: str, item: int | None = None) -> Meant:
        """The things that an argument means, all of a kind; Refused where the code has none."""
        wanted = self.read(value, argument, item)
        found = self.find(wanted)
        if not found:
            raise Refused("missing object", self._missing(wanted), argument, item)
        return Meant(wanted, found)

    def one(self, value: Value, argument: str) -> SceneObject:
        """The single thing that an argument means. Refused where it is several, or where the phrase
        chooses although there is only one.
        """
        meant = self.meant(value, argument)
        if meant.reference.selector is not None:
            every = self.find(replace(meant.reference, selector=None))
            if len(every) == 1:
                raise superfluous(meant.reference.phrase, every[0], argument)
        if len(meant.things) > 1:
            ids = _listed([item.id for item in meant.things])
            reason = f"{meant.reference.phrase!r} is {len(meant.things)} things: {ids}; choose one"
            raise Refused("ambiguous", reason, argument)
        return meant.things[0]

    def ask(self, question: Question) -> Answer:
        """The solver's exact answer to a question whose things are all there; its evidence is kept.

        Refused where the question has no answer although nothing is missing.
        """
        family = family_of(question)
        try:
            answer = family.solve(question, self.index)
        except SchemaError as error:
            raise Refused("undefined", str(error)) from None
        if answer is None:
            raise Refused("undefined", family.undefined)
        self.state(answer.evidence.statements, answer.evidence.object_ids)
        return answer

    def _missing(self, wanted: Reference) -> str:
        anchor = wanted.selector.anchor if wanted.selector else None
        if anchor is not None and not self.find(anchor):
            return self._missing(anchor)
        labels = Counter(item.label for item in self.index.objects)
        has = _listed([f"{name} ({n})" if n > 1 else name for name, n in labels.items()])
        return f"nothing in the code is {wanted.phrase!r}; it has: {has}"


def superfluous(what: str, item: SceneObject, argument: str) -> Refused:
    """The refusal of a choice among one."""
    reason = f"{what!r} chooses among one thing only, {item.id}; name it without choosing"
    return Refused("superfluous", reason, argument)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) or "nothing"
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def numbered(meant: Sequence[Meant]) -> tuple[Reference, ...]:
    """References with numbers for phrases, so that two that read alike stay apart."""
    return tuple(replace(one.reference, phrase=str(n)) for n, one in enumerate(meant))


def several(scene: Scene, value: Value, argument: str) -> tuple[SceneObject, ...]:
    """Things to choose from, at least two: those of a list, or those that a phrase means."""
    if isinstance(value, list):
        things = [one for one in value if isinstance(one, SceneObject)]
        if len(things) < len(value):
            raise Refused("type", "expected a noun phrase or a list of things", argument)
        if not things:
            raise Refused("undefined", "an empty list", argument)
        found, what = tuple(dict.fromkeys(things)), "the list"
    else:
        meant = scene.meant(value, argument)
        found, what = meant.things, meant.reference.phrase
    if len(found) == 1:
        raise superfluous(what, found[0], argument)
    return found


def of_kind(scene: Scene, given: Given) -> Meant:
    """The things of a kind: the argument ``x`` is a phrase."""
    if isinstance(given["x"], SceneObject):
        raise Refused("type", "expected a noun phrase, got a thing; len() counts a list", "x")
    return scene.meant(given["x"], "x")


def one_of(words: Sequence[str], value: Value, argument: str) -> Any:
    """The value, if it is one of the words; Refused otherwise."""
    if not isinstance(value, str) or value not in words:
        shown = ", ".join(f'"{word}"' for word in words)
        got = f'"{value}"' if isinstance(value, str) else kind_of(value)
        raise Refused("arguments", f"expected one of {shown}, got {got}", argument)
    return value


Given = Mapping[str, Value]
Apply = Callable[[Scene, Given], Value]


@dataclass(frozen=True)
class Function:
    """A function: its parameters in order, and what it does.

    ``optional``: parameters after the required ones, with their defaults as written. ``variadic``:
    it takes any number of values, at least one, under the name of its only parameter. ``meaning``:
    what it gives, in the words of prompts.
    """

    name: str
    required: tuple[str, ...]
    apply: Apply
    meaning: str
    optional: Mapping[str, str] = field(default_factory=dict)
    variadic: bool = False

    def signature(self) -> str:
        """As the language's page shows it."""
        optional = [f"{name}={default}" for name, default in self.optional.items()]
        star = "*" if self.variadic else ""
        return f"{self.name}({', '.join([star + n for n in self.required] + optional)})"

    def bind(self, num_positional: int, keywords: Sequence[str]) -> tuple[str, ...]:
        """The parameters that the arguments are for, in order; Refused where they do not fit."""
        if self.variadic:
            if keywords or not num_positional:
                raise self._misused("it takes one or more values, without names")
            return self.required * num_positional
        names = (*self.required, *self.optional)
        if num_positional > len(names):
            raise self._misused(f"it takes at most {len(names)} arguments, got {num_positional}")
        bound = [*names[:num_positional], *keywords]
        for name in keywords:
            if name not in names:
                raise self._misused(f"it has no argument {name!r}")
            if bound.count(name) > 1:
                raise self._misused(f"argument {name!r} is given twice")
        lacking = [name for name in self.required if name not in bound]
        if lacking:
            raise self._misused(f"argument {lacking[0]!r} is missing")
        return tuple(bound)

    def _misused(self, reason: str) -> Refused:
        return Refused("arguments", f"{self.signature()}: {reason}")
