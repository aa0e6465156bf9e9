"""How the things of a code can be named so that no reader takes one for another, and the room of
named things that questions are made of.

A kind is clear where its word is read back as it stands and no other kind of the room may be meant
by it. The only thing of a clear kind is named by the kind; one of several by what sets it apart,
with a margin: "largest table", "chair nearest the tv", "door seen first".
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import SchemaError
from spatialcode.questions.names import HEAD, NONE, match, plain, reference, singular
from spatialcode.questions.types import Reference
from spatialcode.reasoning.drawing import Rng, Rows
from spatialcode.scene.index import SceneIndex

if TYPE_CHECKING:  # it knows the families, and they know the rooms
    from spatialcode.reasoning.generate import GenerateConfig

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Kinds that are combined at a time: 1001 sets of four.
_MAX_KINDS = 14


def kind_of(label: str) -> str:
    """The word for a label, as questions use it."""
    return singular(plain(label))


def plural(kind: str) -> str:
    """Several of a kind, so that `singular` gives the kind back; else "kind(s)"."""
    if kind.endswith("shelf"):
        several = kind[:-1] + "ves"
    elif kind.endswith(("ch", "sh", "x", "ss")):
        several = kind + "es"
    elif kind.endswith("y") and kind[-2:-1] not in "aeiou":
        several = kind[:-1] + "ies"
    else:
        several = kind + "s"
    return several if singular(several) == kind else f"{kind}(s)"


def the(wanted: Reference) -> str:
    """A reference as it stands in a sentence: with its article, ids without."""
    phrase = wanted.phrase
    bare = wanted.object_id is not None or phrase.lower().startswith(("the ", "a ", "an "))
    return phrase if bare else f"the {phrase}"


def words_in_row(words: list[str]) -> str:
    """A list as it is said: the bed, the chair and the tv."""
    return f"{', '.join(words[:-1])} and {words[-1]}"


class NamedRoom:
    """One code to ask about, and names for its things. Rows count objects in the code's order.

    ``referring``: things that take more than a kind to name are allowed, and then every question
    names at least one. ``kinds``: by row. ``rows``: by kind. ``clear``: the kinds that are clear.
    ``static`` (N,): which things are at rest.
    """

    def __init__(self, index: SceneIndex, config: GenerateConfig, referring: bool) -> None:
        self.index, self.config, self.referring = index, config, referring
        self.kinds = tuple(kind_of(item.label) for item in index.objects)
        rows: dict[str, list[int]] = defaultdict(list)
        for row, kind in enumerate(self.kinds):
            rows[kind].append(row)
        self.rows = dict(rows)
        twins = {self.kinds[index.row[name]] for name in index.twins}
        self.clear = tuple(
            kind for kind in self.rows
            if kind not in twins and _read_back(kind, kind) and not any(
                match(kind, other) >= HEAD for other in self.rows if other != kind
            )
        )  # fmt: skip
        self.static = np.array([item.motion == "static" for item in index.objects], bool)

    def apart(self, a: str, b: str) -> bool:
        """Whether two kinds may stand in one question: neither is ever taken for the other."""
        return a != b and match(a, b) == NONE and match(b, a) == NONE

    def apart_rows(self, rows: list[int]) -> NDArray[np.bool_]:
        """(n, n) `apart` of the rows' kinds."""
        kinds = [self.kinds[row] for row in rows]
        return np.array([[self.apart(a, b) for b in kinds] for a in kinds], bool).reshape(
            len(rows), len(rows)
        )

    @cached_property
    def single(self) -> dict[int, str]:
        """Names of things that are the only one of a clear kind, with their article, by row."""
        clear = [kind for kind in self.clear if len(self.rows[kind]) == 1]
        return {self.rows[kind][0]: f"the {kind}" for kind in clear}

    @cached_property
    def picked(self) -> dict[int, tuple[str, ...]]:
        """The expressions that pick one of several, with their article, and ids, by row."""
        found: dict[int, list[str]] = defaultdict(list)
        for kind in self.clear:
            rows = self.rows[kind]
            if len(rows) > 1:
                for row, name in self._picked(kind, rows):
                    found[row].append(name)
        if self.config.use_ids:
            for row, item in enumerate(self.index.objects):
                if row not in self.single and _object_id(item.id) == item.id:
                    found[row].append(item.id)
        return {row: tuple(names) for row, names in found.items()}

    def name(self, row: int, rng: Rng) -> str:
        """A name of a thing that has one, with its article; an id, which has none, only where
        nothing else sets the thing apart.
        """
        if row in self.single:
            return self.single[row]
        names = self.picked[row]
        spoken = [name for name in names if name.startswith("the ")] or list(names)
        return spoken[int(rng.integers(len(spoken)))]

    def things(self, rng: Rng, *, static: bool = True) -> list[int]:
        """Rows of the things to ask about, at rest only or all; a large room's are drawn."""
        named = set(self.single) | (set(self.picked) if self.referring else set())
        rows = sorted(row for row in named if self.static[row] or not static)
        if len(rows) > self.config.max_things:
            rows = sorted(rng.permutation(rows)[: self.config.max_things].tolist())
        return rows

    def wanted(self, rows: Rows) -> Bools:
        """(N,) which of the candidates (N, k) name things as this room is asked."""
        if not self.referring:
            return np.ones(len(rows), bool)
        hard = np.array([row not in self.single for row in range(len(self.index.objects))])
        return np.any(hard[rows], axis=1)

    def exact(self, value: float, decimals: int) -> bool:
        """Whether rounding leaves the value what it is, but for the margin."""
        shown = float(f"{value:.{decimals}f}")
        return value > 0.0 and abs(shown - value) <= self.config.margins.rounding * value

    def sets_of_kinds(self, kinds: list[str], size: int) -> Rows:
        """(N, size) sets of kinds, as places in ``kinds``, of which none is taken for another."""
        apart: Bools = np.array([[a == b or self.apart(a, b) for b in kinds] for a in kinds])
        found = np.array(list(combinations(range(len(kinds)), size)), np.intp).reshape(-1, size)
        for a, b in combinations(range(size), 2):
            if len(found):
                found = found[apart[found[:, a], found[:, b]]]
        return found

    @property
    def xy_m(self) -> Floats:
        """(N, 2) centres seen from above."""
        return self.index.boxes.center[:, :2]

    def _picked(self, kind: str, rows: list[int]) -> list[tuple[int, str]]:
        margins = self.config.margins
        boxes, corners = self.index.boxes, self.index.corners_m
        sizes = boxes.size[rows]
        ratio = margins.referring_ratio
        volume, longest = sizes.prod(axis=1), sizes.max(axis=1)
        found = [("largest {}", _beyond(volume, ratio)), ("longest {}", _beyond(longest, ratio))]
        found.append(("smallest {}", _beyond(1.0 / volume, ratio)))
        if boxes.upright()[rows].all():
            found.append(("tallest {}", _beyond(sizes[:, 2], ratio)))
        first_s = np.array([self.index.objects[row].first_seen_s for row in rows])
        found.append(("{} seen first", _least(first_s, margins.first_seen_s)))
        if self.static[rows].all():
            top = corners[rows][:, :, 2].max(axis=1)
            bottom = corners[rows][:, :, 2].min(axis=1)
            for words, sign in (("highest {}", -1.0), ("lowest {}", 1.0)):
                # by both ends: of two on the floor, the taller one is not "the highest"
                ends = {_least(sign * end, margins.referring_m) for end in (top, bottom)}
                found.append((words, ends.pop() if len(ends) == 1 else None))
            found += self._by_anchor(kind, rows)
        picked = [(rows[n], words.format(kind)) for words, n in found if n is not None]
        return [(row, f"the {name}") for row, name in picked if _read_back(name, kind)]

    def _by_anchor(self, kind: str, rows: list[int]) -> list[tuple[str, int | None]]:
        margins = self.config.margins
        found: list[tuple[str, int | None]] = []
        for anchor, name in self.single.items():
            if self.static[anchor] and self.apart(kind, self.kinds[anchor]):
                metres = self.index.distances_m[rows, anchor]
                for words, sign in (("nearest", 1.0), ("farthest from", -1.0)):
                    n = int(np.argmin(sign * metres))
                    if clearly(metres, n, margins.distance_m, margins.distance_ratio):
                        found.append((f"{{}} {words} {name}", n))
        return found


def _read_back(name: str, kind: str) -> bool:
    """Whether a name, read in a question, means the kind again, and a choice among several exactly
    where it is more than the kind.
    """
    try:
        read = reference(f"the {name}")
    except SchemaError:  # without a word, or too long for a name
        return False
    if read.noun != kind or read.modifiers or read.object_id is not None:
        return False
    return (read.selector is None) == (name == kind)


def _object_id(phrase: str) -> str | None:
    try:
        return reference(phrase).object_id
    except SchemaError:
        return None


def _beyond(values: Floats, ratio: float) -> int | None:
    """Which of the positive values is the largest by a ratio; None where it is not clear."""
    order = np.argsort(-values)
    return int(order[0]) if values[order[0]] >= ratio * values[order[1]] > 0.0 else None


def _least(values: Floats, margin: float) -> int | None:
    """Which value is the least by a margin; None where it is not clear."""
    order = np.argsort(values)
    return int(order[0]) if values[order[1]] - values[order[0]] >= margin else None


def clearly(metres: Floats, n: int, margin_m: float, ratio: float) -> bool:
    """Whether value ``n``, an extreme, differs from every other one by margin and ratio."""
    others = np.delete(metres, n)
    low, high = np.minimum(others, metres[n]), np.maximum(others, metres[n])
    return bool(((high - low >= margin_m) & (high >= ratio * low)).all())


def drawn_kinds(kinds: list[str], rng: Rng) -> list[str]:
    """A random choice of the kinds, few enough that their sets can be looked at one by one."""
    kept = sorted(rng.permutation(len(kinds))[:_MAX_KINDS].tolist())
    return [kinds[n] for n in kept]
