from __future__ import annotations

import pytest

from spatialcode.errors import SchemaError
from spatialcode.scene.kinds import PRIMITIVE_KINDS, Kinds


def test_traits_stand_in_the_order_of_the_labels() -> None:
    kinds = Kinds(("mirror", "vase", "sofa", "tv"))
    assert kinds.is_on_wall.tolist() == [True, False, False, True]
    assert kinds.has_front.tolist() == [True, False, True, True]
    assert kinds.has_axis.tolist() == [True, False, True, True]  # a vase is round
    assert kinds.num_channels == 7
    assert len(kinds) == 4


def test_things_of_no_known_kind_go_to_object_where_there_is_one() -> None:
    assert Kinds(("sofa", "object")).channel_of("harp") == 1
    assert Kinds(("object", "sofa")).channel_of("sofa") == 1
    assert Kinds(("sofa",)).channel_of("harp") is None
    assert PRIMITIVE_KINDS.channel_of("chair") == 0


@pytest.mark.parametrize("labels", [(), ("sofa", "sofa"), ("wall", "sofa")])
def test_labels_that_are_no_list_of_kinds_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(SchemaError, match="labels"):
        Kinds(labels)
