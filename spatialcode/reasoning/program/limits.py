"""What a program may cost, and the account kept while it runs."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields

from spatialcode.errors import SchemaError


@dataclass(frozen=True)
class Limits:
    """Bounds of one run; every one is enforced. Whole numbers >= 1 unless said otherwise.

    ``max_chars``: of the source. ``max_nodes``: tokens, and nodes of the syntax tree.
    ``max_depth``: of brackets, and of the syntax tree. ``max_text_chars``: of one string.
    ``max_steps``: nodes evaluated, objects looked through, pairs compared, statements made.
    ``max_items``: of one list. ``max_objects``: of the code, since the table of distances grows
    with their square. ``max_number``: largest magnitude of a number. ``max_seconds``: wall clock,
    looked at with every step (a net for slow machines; the steps are what bounds a run).
    """

    max_chars: int = 8000
    max_nodes: int = 1000
    max_depth: int = 32
    max_text_chars: int = 400
    max_steps: int = 200_000
    max_items: int = 1000
    max_objects: int = 1000
    max_number: float = 1e15
    max_seconds: float = 5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type == "int"
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise SchemaError(field.name, "a whole number" if whole else "a number", value)
            if not (value >= 1 if whole else 0.0 < value < math.inf):
                raise SchemaError(field.name, ">= 1" if whole else "a finite number > 0", value)
        if self.max_depth > 100:  # the interpreter itself recurses
            raise SchemaError("max_depth", "at most 100", self.max_depth)
        if self.max_number > 1e15:  # whole numbers stay exact as floats
            raise SchemaError("max_number", "at most 1e15", self.max_number)


DEFAULT_LIMITS = Limits()


class Refused(Exception):  # noqa: N818 - never leaves the interpreter, which adds the position
    """A part of a program cannot be carried out; where it stands, the interpreter knows.

    ``argument``: the parameter at fault, None for the whole call. ``item``: which of a list.
    """

    def __init__(
        self, kind: str, reason: str, argument: str | None = None, item: int | None = None
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.argument = argument
        self.item = item


class Budget:
    """Steps and seconds spent so far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.num_steps = 0
        self._end_s = time.monotonic() + limits.max_seconds

    def spend(self, num_steps: int = 1) -> None:
        """Account for work about to be done; Refused where it would be too much."""
        self.num_steps += num_steps
        if self.num_steps > self.limits.max_steps:
            raise Refused("limit", f"more than {self.limits.max_steps} steps")
        if time.monotonic() > self._end_s:
            raise Refused("limit", f"more than {self.limits.max_seconds:g} seconds")
