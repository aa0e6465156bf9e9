"""What a hostile or broken program may do: get a value or a ProgramError, quickly; no more."""

import builtins
import sys
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spatialcode.errors import ProgramError
from spatialcode.reasoning.program.functions import functions
from spatialcode.reasoning.program.interpreter import Limits, run
from tests.reasoning.program_room import ROOM
from tests.reasoning.test_program import BY_HAND, REFUSED

FUNCTIONS = functions()

#: Ways out of Python sandboxes that work, or have worked, somewhere. With kind and column.
ESCAPES = {
    "().__class__.__bases__[0].__subclasses__()": ("forbidden", 3),
    "''.__class__.__mro__[1]": ("forbidden", 3),
    "(1).__class__": ("forbidden", 4),
    "1 .real": ("forbidden", 3),
    "1..__class__": ("forbidden", 3),
    "[].append": ("forbidden", 3),
    "count.__globals__": ("forbidden", 6),
    "count.__call__('chair')": ("forbidden", 6),
    "'{0.__class__}'.format(1)": ("forbidden", 16),
    "'%s' % 1": ("type", 1),
    "'%1000000000d' % 1": ("type", 1),
    "f'{1}'": ("forbidden", 2),
    "f'{().__class__!r}'": ("forbidden", 2),
    "rb'x'": ("forbidden", 3),
    "b'x'": ("forbidden", 2),
    "u'x'": ("forbidden", 2),
    '"""x"""': ("forbidden", 3),
    "'a' 'b'": ("forbidden", 5),
    "'\\N{BULLET}'": ("forbidden", 1),
    "'\\ud800'": ("forbidden", 1),
    "'\\U0000dfff'": ("forbidden", 1),
    "'\\101'": ("forbidden", 1),
    "eval('1')": ("unknown name", 1),
    "exec('import os')": ("unknown name", 1),
    "open('/etc/passwd')": ("unknown name", 1),
    "compile('1', '', 'eval')": ("unknown name", 1),
    "getattr(1, '__class__')": ("unknown name", 1),
    "setattr(1, 'x', 2)": ("unknown name", 1),
    "vars()": ("unknown name", 1),
    "globals()": ("unknown name", 1),
    "type(1)": ("unknown name", 1),
    "object": ("unknown name", 1),
    "breakpoint()": ("unknown name", 1),
    "input('?')": ("unknown name", 1),
    "__import__('os')": ("unknown name", 1),
    "__builtins__": ("unknown name", 1),
    "__debug__": ("unknown name", 1),
    "import os": ("forbidden", 1),
    "from os import system": ("forbidden", 1),
    "[x for x in [1]]": ("forbidden", 4),
    "[count('chair') for _ in [1]]": ("forbidden", 17),
    "{x: 1 for x in [1]}": ("forbidden", 1),
    "{1, 2}": ("forbidden", 1),
    "sum(x for x in [1])": ("forbidden", 7),
    "(lambda: 1)()": ("forbidden", 2),
    "(lambda x=count: x)()": ("forbidden", 2),
    "(x := 1)": ("forbidden", 4),
    "(yield 1)": ("forbidden", 2),
    "(yield from [1])": ("forbidden", 2),
    "await count('chair')": ("forbidden", 1),
    "@count": ("forbidden", 1),
    "def f(): 1": ("forbidden", 1),
    "class A: 1": ("forbidden", 1),
    "while True: 1": ("forbidden", 1),
    "for x in [1]: x": ("forbidden", 1),
    "with count('a'): 1": ("forbidden", 1),
    "try: 1": ("forbidden", 1),
    "raise count('a')": ("forbidden", 1),
    "assert count('a')": ("forbidden", 1),
    "del count": ("forbidden", 1),
    "global count": ("forbidden", 1),
    "None": ("forbidden", 1),
    "...": ("forbidden", 1),
    "1; 2": ("forbidden", 2),
    "1 is 1": ("forbidden", 3),
    "count(*['chair'])": ("forbidden", 1),
    "min(*[1, 2])": ("forbidden", 1),
    "count(**['chair'])": ("forbidden", 1),
    "[*[1]]": ("forbidden", 2),
    "print('x')": ("unknown name", 1),
    "count('chair')()": ("forbidden", 1),
    "(count)('chair')('sofa')": ("forbidden", 1),
    "[count][0]('chair')": ("forbidden", 1),
    "(count if True else count)('chair')": ("forbidden", 1),
    "'abc'[0]": ("type", 1),
    "[1, 2][0:1]": ("forbidden", 9),
    "[1, 2][...]": ("forbidden", 8),
    "1 @ 2": ("forbidden", 3),
    "1 | 2": ("forbidden", 3),
    "1 << 99999999999": ("forbidden", 1),
    "~1": ("forbidden", 1),
    "1j": ("forbidden", 2),
    "0x10": ("forbidden", 2),
    "0b1": ("forbidden", 2),
    "1_000": ("forbidden", 2),
    "1if 1 else 2": ("forbidden", 2),
    "9" * 5000: ("limit", 1),
    "9 ** 9 ** 9 ** 9": ("limit", 6),
    "10 ** 400": ("limit", 1),
    "'a' * 10 ** 9": ("type", 1),
    "[0] * 10 ** 9": ("type", 1),
    "'a' + 'b'": ("type", 1),
    "sum([[1], [2]])": ("type", 5),
    "((((" * 5000: ("limit", 1),
    "(" * 33 + "1" + ")" * 33: ("limit", 33),
    "-" * 500 + "1": ("limit", 33),
    "not " * 400 + "True": ("limit", 129),
    "1 if True else " * 60 + "1": ("limit", 471),
    "x" + "[0]" * 300: ("limit", 1),
    "count('x', " * 30: ("syntax", 325),
    # letters that Python normalises to ASCII: ℯval, ｅval, and a dotless call through NFKC
    "\u212fval('1')": ("forbidden", 1),
    "\uff45val('1')": ("forbidden", 1),
    "c\u00aau": ("forbidden", 2),
    "count\uff08'chair'\uff09": ("forbidden", 6),
    "1 + \u0661": ("forbidden", 5),  # an Arabic digit
    "\ufeff1": ("forbidden", 1),
    "1\x00": ("forbidden", 2),
    "'a\x00b'": ("forbidden", 1),
    "'\ud800'": ("forbidden", 1),
    "# \ud800\n1": ("forbidden", 1),
    "# a comment\r__import__('os')": ("forbidden", 1),
    "1 \\\n + 2": ("forbidden", 3),
    "1\x0c": ("forbidden", 2),
    "x = count = 1\nx": ("forbidden", 1),
    "x = y = 1\nx": ("forbidden", 1),
    "[x] = [1]\nx": ("forbidden", 1),
    "x[0] = 1\n1": ("forbidden", 1),
    "x += 1\nx": ("forbidden", 1),
    "x: int = 1\nx": ("forbidden", 2),
    "-*- coding: rot13 -*-": ("forbidden", 11),
}  # fmt: skip


@pytest.mark.parametrize("source", ESCAPES, ids=lambda source: ascii(source[:40]))
def test_escape_is_refused_at_its_place(source):
    before = dict(vars(builtins)), dict(FUNCTIONS)
    with pytest.raises(ProgramError) as caught:
        run(source, ROOM)
    assert (dict(vars(builtins)), dict(FUNCTIONS)) == before
    error = caught.value
    kind, column = ESCAPES[source]
    assert (error.kind, error.column) == (kind, column), error
    assert str(error).encode()  # can be printed and stored


def test_escapes_are_many():
    assert len(ESCAPES) >= 100


def test_hidden_branches_are_read_too():
    for source in ("1 if True else __import__('os')", "True or open('x')", "x = eval\n1"):
        with pytest.raises(ProgramError, match="unknown name"):
            run(source, ROOM)


def test_a_shallow_stack_is_a_limit_and_no_crash():
    def deeper(num):
        return run("min(1, -(-(1 + (2 * 3))))", ROOM) if num == 0 else deeper(num - 1)

    kinds = set()
    for num in range(sys.getrecursionlimit()):  # at some depth the stack is all but used up
        try:
            deeper(num)
        except ProgramError as error:
            kinds.add(error.kind)
        except RecursionError:  # of this function itself
            break
    assert kinds == {"limit"}


def outcome(source):
    """A value's kind or an error's; fails for any other exception or a run that takes long."""
    start_s = time.perf_counter()
    try:
        value = run(source, ROOM, Limits(max_seconds=1.0)).value
        kind = type(value).__name__
    except ProgramError as error:
        kind = error.kind
        where = min(error.line, error.column)
        str(error).encode()
    else:
        where = 1
    assert where >= 1
    assert time.perf_counter() - start_s < 3.0
    return kind


_PIECES = [
    *FUNCTIONS, *BY_HAND, *ESCAPES, *REFUSED, '"chair"', '"sofa"', '"tv"', "(", ")", "[", "]",
    ",", "+", "-", "*", "**", "/", "//", "%", "<", "==", "=", "\n", " ", "not ", " and ", " or ",
    " if ", " else ", " in ", "1", "0", "0.5", "1e15", "x", "to=", "level=", "view=", "\\", '"',
    "'",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
@example("\r")
@example("\n" * 50)
def test_any_text(source):
    outcome(source)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
def test_any_pieces_of_the_language(source):
    outcome(source)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(BY_HAND)), st.data())
def test_mutated_programs(source, data):
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(source)))
        end = data.draw(st.integers(start, min(len(source), start + 4)))
        put = data.draw(st.one_of(st.sampled_from(_PIECES), st.characters(), st.just("")))
        source = source[:start] + put + source[end:]
    outcome(source)


_PHRASES = st.sampled_from(
    ["chair", "sofa", "tv", "lamp", "cup", "chair_2", "largest chair", "chair nearest the tv"]
).map(lambda phrase: f'"{phrase}"')
_THINGS = st.one_of(
    _PHRASES,
    st.sampled_from(['largest("chair")', 'first("chair")', 'reference("cup")', 'largest("tv")']),
    st.builds('nearest("chair", to={})'.format, _PHRASES),
)
_RELATIONS = st.sampled_from(["left_of", "behind", "above", "inside"])
_MEASURED = st.one_of(
    st.builds("{}({})".format, st.sampled_from(["longest", "height", "top", "volume"]), _THINGS),
    st.builds("distance({}, {})".format, _THINGS, _THINGS),
    st.builds("bearing({}, {}, {})".format, _THINGS, _THINGS, _THINGS),
    st.builds("count({})".format, _PHRASES),
)
_WRITTEN = st.sampled_from(["0", "1", "2", "3", "7", "0.5", "1.25", "1e3", "-4"])


def _truths(number):
    compared = st.builds(
        "{} {} {}".format, number, st.sampled_from(["<", "<=", "==", "!="]), number
    )
    chained = st.builds("{} < {} <= {}".format, number, number, number)
    one = st.one_of(compared, chained, st.sampled_from(["True", "False"]))
    words = st.sampled_from(["and", "or"])
    return st.one_of(one, one.map("not {}".format), st.builds("({} {} {})".format, one, words, one))


def _numbers(number):
    signs = st.sampled_from(["+", "-", "*", "/", "//", "%", "**"])
    listed = st.lists(number, min_size=1, max_size=3).map(", ".join)
    return st.one_of(
        st.builds("({} {} {})".format, number, signs, number),
        st.builds("{} {} {}".format, number, signs, number),
        st.builds("-{}".format, number),
        st.builds("({} if {} else {})".format, number, _truths(number), number),
        st.builds("{}([{}])".format, st.sampled_from(["min", "max", "sum", "len"]), listed),
        st.builds("sorted([{}])[{}]".format, listed, st.sampled_from(["0", "-1", "1"])),
        st.builds("{}({})".format, st.sampled_from(["abs", "round"]), number),
        st.builds("round({}, 2)".format, number),
    )


_SAME_IN_PYTHON = {f.__name__: f for f in (min, max, sum, len, sorted, abs, round)}


@settings(max_examples=500, deadline=None)
@given(st.recursive(_WRITTEN, _numbers, max_leaves=12))
def test_arithmetic_is_that_of_python(source):
    if outcome(source) in ("undefined", "limit"):
        return
    value = run(source, ROOM).value
    # what ran within limits is small enough to be left to Python itself
    expected = eval(source, {"__builtins__": {}}, dict(_SAME_IN_PYTHON))
    assert type(value) is type(expected)
    assert value == expected


@settings(max_examples=400, deadline=None)
@given(
    st.recursive(st.one_of(_WRITTEN, _MEASURED), _numbers, max_leaves=8).flatmap(
        lambda number: st.one_of(
            st.just(number),
            _truths(st.just(number)),
            st.builds("{}({}, {}) or {} > 1".format, _RELATIONS, _THINGS, _THINGS, st.just(number)),
        )
    )
)
def test_any_measurement_gives_a_value_or_says_why_not(source):
    kinds = {"undefined", "limit", "ambiguous", "superfluous", "missing object", "int", "float"}
    assert outcome(source) in {*kinds, "bool"}, source


@st.composite
def _calls(draw):
    function = FUNCTIONS[draw(st.sampled_from(sorted(FUNCTIONS)))]
    names = [*function.required, *function.optional][: draw(st.integers(0, 5))]
    lists = st.lists(_THINGS, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
    words = st.sampled_from(['"easy"', '"object"', '["?", "tv"]'])
    values = st.one_of(_WRITTEN, _THINGS, _MEASURED, lists, words)
    if function.variadic:
        return f"{function.name}({', '.join(draw(st.lists(values, min_size=1, max_size=3)))})"
    return f"{function.name}({', '.join(f'{name}={draw(values)}' for name in names)})"


@settings(max_examples=500, deadline=None)
@given(_calls())
def test_any_call(source):
    assert outcome(source) not in ("syntax", "forbidden", "unknown name"), source


def test_time_of_long_programs_is_bounded():
    for source in (
        "min(" + ", ".join(['distance("chair", "tv")'] * 150) + ")",
        "\n".join(f"x{n} = things('chair')" for n in range(140)) + "\nx0 == x1",
        "count('" + "chair by " * 43 + "chair')",
        "count('" + "chair by " * 43 + "piano')",
        "'" + "a" * 7990 + "'",
        "#" + "a" * 7990,
    ):
        outcome(source)
