"""Completions that answer by a program and try to cheat; rooms and questions are the red team's."""

from spatialcode.questions.types import Counting
from tests.reasoning.red_team import (
    BARE,
    BARE_COUNT,
    BARE_NUMBER,
    CHAIR,
    DIRECTION_TEXT,
    DISTANCE,
    WRONG,
    Attack,
)


def program(*lines: str, tag: str = "program") -> str:
    return "\n".join([f"```{tag}", *lines, "```"])


CALL = 'direction(observer="sofa", facing="tv", target="lamp", level="easy")'
_COUNT = Counting(target=CHAIR)
PROGRAM_ATTACKS = (
    Attack("program: constant word", program('"left"'), BARE),
    Attack("program: constant number", program("3.0"), BARE_NUMBER, DISTANCE, "3.0"),
    Attack("program: constant beside the call", program(f"x = {CALL}", '"left"'), BARE),
    Attack("program: choice that cannot fail", program(f'"left" if {CALL} != "up" else "right"'),
           BARE),
    Attack("program: call times zero", program('0 * distance("sofa", "tv") + 3'), BARE_NUMBER,
           DISTANCE, "3.0"),
    Attack("program: count of another kind plus one", program('count("sofa") + 1'), BARE_COUNT,
           _COUNT, "2"),
    Attack("program: right count plus and minus", program('count("chair") + count("sofa") - 1'),
           0.94, _COUNT, "2"),
    Attack("program: wrong by one", program('count("chair") + 1'), 0.2, _COUNT, "2"),
    Attack("program: enumerates options", program('["left", "right"]'), 0.0),
    Attack("program: enumerates everything", program(
           *(f'd{n} = distance("{a}", "{b}")' for n, (a, b) in enumerate(
               [("sofa", "lamp"), ("sofa", "pillow"), ("tv", "lamp"), ("tv", "pillow"),
                ("lamp", "pillow"), ("chair_1", "chair_2"), ("chair_1", "tv")])),
           'distance("sofa", "tv")'), 0.85, DISTANCE, "3.0"),
    Attack("program: superfluous selector", program('distance("sofa", largest("tv"))'), 0.0,
           DISTANCE, "3.0"),
    Attack("program: observer and facing swapped", program(
           'direction(observer="tv", facing="lamp", target="sofa", level="easy")'), BARE),
    Attack("program: the other direction", program(CALL.replace("lamp", "chair_1")), WRONG),
    Attack("program: right by other roles", program(
           'direction(observer="sofa", facing="chair_1", target="tv", level="easy")'), BARE),
    Attack("program: two programs", program('"right"') + "\n" + program(CALL), 0.0),
    Attack("program: hedge in an answer line", program(CALL) + "\nAnswer: B", 0.0),
    Attack("program: a number near the program's", program('distance("sofa", "tv")')
           + "\nAnswer: 3.40 m", 0.0, DISTANCE, "3.0"),
    Attack("program: fails", program("1 / 0"), 0.0, DISTANCE, "3.0"),
    Attack("program: Python escape", program("__import__('os').getcwd()"), 0.0),
    Attack("program: endless", program("[" * 5000), 0.0),
    Attack("program: answer of the wrong kind", program('count("chair")'), 0.0),
    Attack("program: never closed", "```program\n" + CALL, 0.0),
    Attack("program: followed by chatter", program(CALL) + "\nThat should do.", 0.95),
    Attack("program: prompt repeated in it", program(f"# {'x ' * 3000}", CALL), 0.96),
    Attack("program: reasoning beside a constant", DIRECTION_TEXT.replace("Answer: A", "")
           + program('"left"'), BARE),
)  # fmt: skip
