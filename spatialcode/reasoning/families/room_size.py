"""The floor area of the room or rooms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from spatialcode.questions.parse import THE_ROOM, WHAT_IS, Common, Match, Reader, rule
from spatialcode.questions.types import Question, RoomSize
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.drawing import AMBIGUOUS, Draft, Pool
from spatialcode.reasoning.evidence import Answer, answer_of
from spatialcode.reasoning.families.family import LEAD, Sentences, Wording
from spatialcode.reasoning.families.numeric import NumericFamily
from spatialcode.reasoning.naming import NamedRoom, Rng
from spatialcode.reasoning.priors.fit import Samples
from spatialcode.reasoning.priors.guesses import Sight, assumed_number
from spatialcode.reasoning.program.scene import Function, Given, Scene
from spatialcode.reasoning.program.values import Value
from spatialcode.reasoning.rubric.changes import larger
from spatialcode.reasoning.rubric.facts import Case
from spatialcode.reasoning.rubric.steps import Need
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode

_SHOWN = r"(?: (?:shown|seen|visible))?(?: in (?:this|the) (?:video|scene|clip|footage))?"
_SQUARE = r"(?:,? \(?(?:measured )?in (?:square met(?:er|re)s?|m2|m\^2|sqm|sq\.? m)\)?)?"


def _read(_: Match, common: Common) -> Question:
    return RoomSize(**common)


_READER = Reader((
    rule("size|area",
         rf"{WHAT_IS} the (?:approximate |total |combined |floor )*(?:size|area) of {THE_ROOM}"
         rf"{_SHOWN}{_SQUARE}", _read),
    rule("how l|how big|how spacious",
         rf"how (?:large|big|spacious) is {THE_ROOM}{_SHOWN}{_SQUARE}", _read),
    rule("how many square",
         rf"how many square met(?:er|re)s (?:is|are in|are there in|does|has) {THE_ROOM}"
         r"(?: have| measure| cover)?", _read),
))  # fmt: skip

_TEMPLATES: Mapping[str, Sentences] = {
    "room_size_estimation": Sentences(
        "What is the size of this room (in square meters)? \nIf multiple rooms are shown, estimate"
        " the size of the combined space.",
        ("How large is this room in square meters?",
         "What is the floor area of the room, in square meters?"),
        ("Estimate the area of this room in square meters.",
         "How big is the space shown in the video, in square meters?"),
    ),
}  # fmt: skip


_GRAMMARS: Mapping[str, tuple[str, ...]] = {
    "room_size_estimation": (
        LEAD + "(what is|give|estimate|tell me|state) the (size|area|floor area|floor space"
        "|surface) of (the|this) (room|space|place|floor|scene)( in square meters|, in square"
        " meters| in m2|).",
        "(How many|What number of) square meters (does|is|has|are in) (the|this) (room|floor|space"
        "|scene)( have| cover| measure|)?",
        "(How big|How large|How spacious) is (the|this) (room|place|floor|whole space|area)"
        "( in square meters|, in square meters| in m2)?",
    ),
}  # fmt: skip


def _area(scene: Scene, _: Given) -> Value:
    """Square metres of the room's floor."""
    return scene.ask(RoomSize()).value


class RoomSizeFamily(NumericFamily[RoomSize]):
    """The answer is in square metres."""

    question_type = RoomSize
    names = (RoomSize.family,)
    reader = _READER
    templates = _TEMPLATES
    grammars = _GRAMMARS
    most_of_a_room = 1  # there is one floor to ask for
    functions = (Function("area", (), _area, "floor area of the room"),)
    undefined = "the code has no room"
    box_task = True
    quantity = (say.Area, "value_m2")
    decided = "The floor area of the room."
    lines = ("area(room) = D m2",)

    def pool(self, name: str, room: NamedRoom, rng: Rng) -> Pool:
        """The floor's area, once a room."""
        found = room.index.code.room
        area_m2 = 0.0 if found is None else found.area_m2
        known = area_m2 > 0.0 and not room.referring

        def draft(_: Sequence[int], __: str, ___: str, ____: Rng) -> Draft:
            return Draft(name, {}, RoomSize, truth=f"{area_m2:.1f}")

        cells = {("", ""): np.zeros((1, 1), np.intp)} if known and room.exact(area_m2, 1) else {}
        return Pool(cells, draft, reason=AMBIGUOUS if known else "no room")

    def wording(self, question: RoomSize, rng: Rng) -> Wording:
        return Wording(question.family, {})

    def solve(self, question: RoomSize, index: SceneIndex) -> Answer | None:
        """The room's floor area, where the code has a room."""
        room = index.code.room
        if room is None or room.area_m2 <= 0.0:
            return None
        return answer_of(question, room.area_m2, [say.Area(room.area_m2)], ids=(), unit="m2")

    def guess(self, question: RoomSize, sight: Sight) -> Answer:
        """From the rectangle around all things, where any are seen."""
        priors, extent = sight.priors, sight.extent
        area_m2 = priors.typical_area_m2
        if extent is not None and priors.area_of_extent is not None:
            area_m2 = priors.area_of_extent.value(math.log(extent.area_m2() + 1.0))
        elif extent is not None and extent.area_m2() > 1.0:
            area_m2 = extent.area_m2()
        return assumed_number(area_m2, "m2", "area(room)")

    def fit(self, samples: Samples) -> dict[str, Any]:
        return {"area_of_extent": samples.of_extent()} | samples.typical("typical_area_m2")

    def program(self, question: RoomSize) -> str:
        return "area()"

    def unit(self, question: RoomSize) -> str:
        return "m2"

    def needs(self, case: Case[RoomSize]) -> list[Need]:
        room = case.context.code.room
        if room is None or room.area_m2 <= 0.0:
            return []
        return [Need("geometry", "area", lambda fact: isinstance(fact.statement, say.Area))]

    def telling(
        self, question: RoomSize, code: SpatialCode, named: Sequence[Sequence[str]]
    ) -> Iterator[SpatialCode]:
        yield larger(code)


FAMILY = RoomSizeFamily()
