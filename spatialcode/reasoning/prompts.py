"""A question about a code as messages to a language model, within a budget of tokens.

Text mode shows the boxes and asks for reasoning in lines that the rubric can check, and an answer
line. Program mode shows labels and ids and asks for a program. What a prompt holds is read from the
code and rounded to 2 decimals; nothing is worked out for the model.

Lines that the rubric checks are shown as forms (`Family.forms`), with capitals for what is to be
filled in: X, Y, Z, D in metres, N whole, DEG in degrees; FACED, OBSERVER, TARGET, FIRST, SECOND,
TO, FROM are ids, as ID is.

The compact style is for small models that write programs: the labels of the code with their
numbers, the question, and what there is to choose where the question does not say it. A program
needs names only, so nothing of the boxes is shown; the ids of a label's things follow from its
number. Options have no letters there: a program's value is one of them. Those that hold the same
words in another order are shown once.

Where a scene exceeds the budget, objects are left out: never those that the question names; of the
others the farthest from them first (`resolve.by_need`). How many are missing is said in the prompt.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from spatialcode.config import require
from spatialcode.errors import PromptError
from spatialcode.questions.types import Question
from spatialcode.reasoning.answers.choices import choices_of
from spatialcode.reasoning.families.registry import family_of
from spatialcode.reasoning.program.functions import function_list
from spatialcode.reasoning.resolve import by_need, kept_code, named_ids
from spatialcode.reasoning.statements import number, numbers
from spatialcode.scene.frames import yaw_from_quaternion
from spatialcode.scene.relations import View
from spatialcode.scene.schema import SceneObject, SpatialCode

Mode = Literal["text", "program"]
Keep = Literal["all", "named"]
Style = Literal["full", "compact"]
CountTokens = Callable[[str], int]

#: Tokens that a chat template puts around a message; the usual ones need 4 or 5.
MESSAGE_TOKENS = 8
_TOKEN = re.compile(r"[A-Za-z]+|[^\S\n]+|.", re.DOTALL)
_LETTERS_PER_TOKEN = 3
_WORD = re.compile(r"\w+")

CONVENTIONS = """\
You answer questions about a room that was filmed. You are given its spatial code: every object as \
a box in 3D.
World: right-handed, z up, x and y horizontal. Lengths are in metres, times in seconds, yaw in \
radians.
center: the middle of the box. size: full extents along the box's own x, y and z axes; z is up.
yaw: turn of the box about z, counter-clockwise seen from above; 0 means its x axis is world x.
front of an object: along its own +y, which is (-sin(yaw), cos(yaw)).
For u = (ux, uy) and v = (vx, vy): dot(u, v) = ux*vx + uy*vy; cross(u, v) = ux*vy - uy*vx; \
angle(u, v) = atan2(cross, dot) in degrees.
A positive cross product or angle means that v is to the left of u, a negative one to the right; \
a positive dot product means ahead, a negative one behind.
distance: the smallest distance between two boxes, 0 where they touch. Of several objects of a \
kind, the closest pair counts.
"""

LANGUAGE = """\
You answer questions about a room that was filmed by writing a program over its spatial code, \
which holds every object as a box in 3D. The program is run; its value is the answer.
A program is one expression, or lines of "name = expression" and an expression last. It has \
numbers, texts in quotes, lists and their items ([0]), + - * / // % **, comparisons, and, or, not, \
"a if b else c", and these functions. There is nothing else: no attributes, imports, loops, \
comprehensions or definitions.
Things are named by noun phrases ("chair", "largest table", "chair nearest the tv") or ids \
("chair_1"). Lengths are in metres, areas in square metres, times in seconds, angles in degrees.
"""


@dataclass(frozen=True)
class PromptSettings:
    """``mode``: what is asked for. ``max_tokens``: budget of the whole prompt. ``keep`` "named":
    only boxes of kinds that the question names. ``style`` "compact": the short prompt for models
    trained on it, which write programs. ConfigError names a setting that is out of range.
    """

    mode: Mode = "text"
    max_tokens: int = 4096
    keep: Keep = "all"
    style: Style = "full"

    def __post_init__(self) -> None:
        require(self.mode in get_args(Mode), "mode", "text or program", self.mode)
        require(self.keep in get_args(Keep), "keep", "all or named", self.keep)
        require(self.style in get_args(Style), "style", "full or compact", self.style)
        require(self.max_tokens >= 1, "max_tokens", "a whole number >= 1", self.max_tokens)


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user"]
    content: str


@dataclass(frozen=True)
class Prompt:
    """Messages, their tokens as counted, and the objects of the code that they do not show."""

    messages: tuple[Message, ...]
    num_tokens: int
    dropped_ids: tuple[str, ...] = ()


def estimate_tokens(text: str) -> int:
    """Tokens of a text where no tokenizer is at hand; made to err upward.

    A run of letters costs one for every three begun, a digit, sign or line break one, a run of
    blanks nothing before a letter and else one, another character its UTF-8 bytes.
    """
    total = 0
    for match in _TOKEN.finditer(text):
        part = match[0]
        if part.isascii() and part.isalpha():
            total += -(-len(part) // _LETTERS_PER_TOKEN)
        elif not part.isspace() or part == "\n":
            total += len(part.encode("utf-8", "surrogatepass"))
        elif not text[match.end() : match.end() + 1].isalpha():
            total += 1
    return total


def render(
    question: Question,
    code: SpatialCode,
    settings: PromptSettings | None = None,
    *,
    count_tokens: CountTokens = estimate_tokens,
) -> Prompt:
    """The prompt for a question about a code.

    ``count_tokens``: the model's own count of a text, else an estimate; `MESSAGE_TOKENS` are added
    for every message. PromptError where what the question names does not fit.
    """
    settings = settings or PromptSettings()
    shown = kept_code(question, code) if settings.keep == "named" else code
    needed = by_need(question, shown)
    num_named = len(named_ids(question, shown))

    def of(num_kept: int) -> Prompt:
        kept = {item.id for item in needed[:num_kept]}
        messages = _messages(question, code, kept, settings)
        total = sum(count_tokens(message.content) + MESSAGE_TOKENS for message in messages)
        dropped = tuple(item.id for item in code.objects if item.id not in kept)
        return Prompt(messages, total, dropped)

    full = of(len(needed))
    if full.num_tokens <= settings.max_tokens:
        return full
    best = of(num_named)
    if best.num_tokens > settings.max_tokens:
        raise PromptError(
            f"prompt: expected at most {settings.max_tokens} tokens, got {best.num_tokens} with "
            f"nothing but the {num_named} objects that the question names"
        )
    fits, too_many = num_named, len(needed)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        prompt = of(middle)
        if prompt.num_tokens <= settings.max_tokens:
            fits, best = middle, prompt
        else:
            too_many = middle
    return best


def _messages(
    question: Question, code: SpatialCode, kept: set[str], settings: PromptSettings
) -> tuple[Message, ...]:
    items = [item for item in code.objects if item.id in kept]
    if settings.style == "compact":
        return (Message("user", compact_text(question, items)),)
    num_hidden = len(code.objects) - len(items)
    hidden = [f"{num_hidden} more object{'s' * (num_hidden > 1)} not shown"] if num_hidden else []
    if settings.mode == "text":
        system = _text_system(question)
        scene = [*_surroundings(code), *_table(items, code), *hidden]
        ending = _answer_line(question)
    else:
        system = f"{LANGUAGE}{function_list()}\n"
        scene = [*_roster(items), *hidden]
        ending = _program_line(question)
    asked = [
        f"Question: {question.text}".strip(),
        *(f"{o.letter}. {o.text}" for o in question.options),
    ]
    user = "\n".join([*scene, "", *asked, "", ending])
    return Message("system", system), Message("user", user)


def _text_system(question: Question) -> str:
    family = family_of(question)
    rule = family.rule(question)
    decided = f"How this question is decided: {rule}\n" if rule else ""
    forms = "\n".join(family.forms(question))
    return (
        f"{CONVENTIONS}{decided}"
        "Reason in short lines of these forms, one statement a line, numbers with 2 decimals and "
        f"angles with 1; only lines of these forms are checked:\n{forms}\n"
    )


def _surroundings(code: SpatialCode) -> list[str]:
    """The camera's start and the room, as far as the code knows them."""
    lines = []
    if code.cameras:
        x, y, z = (float(value) for value in code.cameras[0].matrix()[:3, 3])
        forward = numbers(View.of_camera(code.cameras[0]).forward_xy)
        lines.append(f"camera: starts at {numbers((x, y, z))}, front(camera) = {forward}")
    if code.room is not None:
        area = f"floor area {number(code.room.area_m2)} m2, " if code.room.area_m2 > 0.0 else ""
        ceiling = code.room.ceiling_z_m
        above = "" if ceiling is None else f", ceiling at z = {number(ceiling)}"
        lines.append(f"room: {area}floor at z = {number(code.room.floor_z_m)}{above}")
    return lines


def _table(items: list[SceneObject], code: SpatialCode) -> list[str]:
    """One line an object. Times only where the code has any: imported boxes have none."""
    timed = len({item.first_seen_s for item in code.objects}) > 1
    order = (
        "objects in order of first sight" if timed else "objects (when each was seen is unknown)"
    )
    columns = "id | label | center | size | yaw" + (" | first seen" if timed else "")
    in_order = sorted(items, key=lambda item: item.first_seen_s)
    return [f"{order}: {columns}", *(_row(item, timed) for item in in_order)]


def _row(item: SceneObject, timed: bool) -> str:
    yaw = number(float(yaw_from_quaternion(item.quaternion_wxyz)))
    cells = [item.id, item.label, numbers(item.center_m), numbers(item.size_m), yaw]
    return " | ".join(cells + ([number(item.first_seen_s)] if timed else []))


def _roster(items: Iterable[SceneObject]) -> list[str]:
    """Labels with their ids, by the alphabet: a program needs no numbers, and the order in which
    things were seen is for it to find out.
    """
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for item in items:
        ids[item.label].append(item.id)
    listed = [f"{label}: {', '.join(ids[label])}" for label in sorted(ids)]
    return ["things in the scene, by label:", *listed]


def _answer_line(question: Question) -> str:
    start = 'End with a single line of the form "Answer: '
    if question.options:
        return f'{start}X", where X is the letter of the right option.'
    family = family_of(question)
    if family.numeric:
        return f'{start}{f"N {family.unit(question)}".strip()}", where N is a number.'
    words = " or ".join(one.words for one in choices_of(question))
    return f'{start}X", where X is {words or "the answer"}.'


def _program_line(question: Question) -> str:
    wanted = family_of(question).value_words(question)
    return f"Write the program in one fenced code block. Its value must be {wanted}."


def compact_text(question: Question, items: Iterable[SceneObject]) -> str:
    """The prompt's text, at least two lines, without a line's end after the last."""
    lines = [roster(item.label for item in items), " ".join(question.text.split())]
    options = [option.text for option in question.options]
    said = set(_WORD.findall(question.text.lower()))
    new = any(not said.issuperset(_WORD.findall(text.lower())) for text in options)
    shown = options_line(options) if new else ""
    return "\n".join([*lines, shown] if shown else lines)


def roster(labels: Iterable[str]) -> str:
    """Labels by the alphabet, the number behind those of several: "bed, chair 4, tv"."""
    counts = Counter(labels)
    return ", ".join(
        label if counts[label] == 1 else f"{label} {counts[label]}" for label in sorted(counts)
    )


def options_line(texts: Iterable[str]) -> str:
    """The options' texts on one line; orders of the same words once."""
    shown: dict[tuple[str, ...], str] = {}
    for text in texts:
        flat = " ".join(text.split())
        shown.setdefault(tuple(sorted(_WORD.findall(flat.lower()))), flat)
    return " / ".join(shown.values())
