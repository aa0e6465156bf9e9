from hypothesis import given, settings
from hypothesis import strategies as st

from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric.claims import read_statements

_ids = st.builds("{}_{}".format, st.sampled_from(["chair", "trash_bin", "tv"]), st.integers(1, 40))
_num = st.integers(-99999, 99999).map(lambda n: n / 100)
_deg = st.integers(-1799, 1800).map(lambda n: n / 10)
_name = st.sampled_from(["forward", "to_target", "u2"])
_statements = st.one_of(
    st.builds(
        say.Position, _ids, st.tuples(_num, _num, _num), st.sampled_from([None, "observer", "stop"])
    ),
    st.builds(say.Extents, _ids, st.tuples(_num, _num, _num)),
    st.builds(say.RoleOf, st.sampled_from(["start", "anchor"]), _ids),
    st.builds(say.Vector, _name, _ids, st.one_of(_ids, st.just("front")), st.tuples(_num, _num)),
    st.builds(say.Vector, _name, st.just("camera"), _ids, st.tuples(_num, _num)),
    st.builds(say.Dot, _name, _name, _num),
    st.builds(say.Cross, _name, _name, _num),
    st.builds(say.Angle, _name, _name, _deg),
    st.builds(say.Distance, _ids, _ids, _num),
    st.builds(say.Longest, _ids, _num),
    st.builds(
        say.Count,
        st.sampled_from(["chair", "trash bin"]),
        st.lists(_ids).map(tuple),
        st.integers(0, 99),
    ),
    st.builds(say.FirstSeen, _ids, _num),
    st.builds(say.Area, _num),
    st.builds(say.Height, _ids, st.sampled_from(["top", "bottom"]), _num),
    st.builds(say.Direction, _ids, st.sampled_from(["left", "back", "front-left"])),
    st.builds(say.Extreme, st.sampled_from(["closest", "farthest"]), _ids, _ids),
    st.builds(say.TurnAt, st.integers(1, 9), _ids, st.sampled_from(["left", "right", "back"])),
    st.builds(say.Order, st.lists(_ids, min_size=1).map(tuple)),
    st.builds(say.Holds, _ids, st.sampled_from(["left", "inside", "on"]), _ids, st.booleans()),
    st.builds(say.Assumed, st.just("size of piano"), st.just("1.50 m")),
    st.builds(say.Final, st.sampled_from(["A", "2.50 m", "3"])),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_statements, max_size=8))
def test_reads_what_statements_write(statements):
    text = "\n".join(statement.text() for statement in statements)
    read = read_statements(text)
    assert [found.statement for found in read] == statements
    # every statement's line ends where it says
    assert [text[: found.end].split("\n")[-1] for found in read] == [s.text() for s in statements]


def test_reads_what_models_write():
    text = (
        "- **Distance between chair_1 and tv_1: 1.2 m**\n"
        "1. chair_1: (1,2,0.4). dot(u, v) ≈ 3.00; angle(u, v) = −3.5°\nSo the tv is near."
    )
    assert [found.statement for found in read_statements(text)] == [
        say.Distance("chair_1", "tv_1", 1.2),
        say.Position("chair_1", (1.0, 2.0, 0.4)),
        say.Dot("u", "v", 3.0),
        say.Angle("u", "v", -3.5),
    ]


@given(st.text())
def test_any_text_is_read(text):
    for found in read_statements(text):
        assert 0 < found.end <= len(text)
        assert found.end == len(text) or text[found.end] == "\n"
