"""The prepared code: distances pair by pair, rows by id, twins, and which index is kept."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.scene import index as index_module
from spatialcode.scene.boxes import Boxes, box_distance, iou
from spatialcode.scene.index import SceneIndex
from tests.scene import strategies
from tests.scene.builders import chair, code


def row_of(*places, size=(1.0, 1.0, 1.0)):
    """A code of boxes at these places along x."""
    return code(
        objects=tuple(
            chair(id=f"chair_{n}", center_m=(x, 0.0, 0.5), size_m=size)
            for n, x in enumerate(places, 1)
        )
    )


def test_distances_by_hand():
    """Unit boxes at 0, 3 and 3.5: two metres apart, two and a half, and overlapping."""
    index = SceneIndex(row_of(0.0, 3.0, 3.5))
    expected = [[0.0, 2.0, 2.5], [2.0, 0.0, 0.0], [2.5, 0.0, 0.0]]
    assert index.distances_m == pytest.approx(np.array(expected))
    assert index.distance_m("chair_1", "chair_3") == pytest.approx(2.5)
    assert index.distance_m("chair_3", "chair_1") == pytest.approx(2.5)
    assert index.distance_m("chair_2", "chair_2") == 0.0


@pytest.mark.parametrize("count", [0, 1, 2, 12])
def test_distances_pair_by_pair(count):
    rng = np.random.default_rng(count)
    objects = tuple(
        chair(
            id=f"chair_{n + 1}", center_m=rng.uniform(-3, 3, 3), size_m=rng.uniform(0.1, 2, 3),
            quaternion_wxyz=rng.normal(size=4),
        )
        for n in range(count)
    )  # fmt: skip
    index = SceneIndex(code(objects=objects))
    assert index.distances_m.shape == (count, count)
    assert index.corners_m.shape == (count, 8, 3)
    for i, a in enumerate(objects):
        assert index.corners_m[i] == pytest.approx(Boxes.of([a]).corners()[0])
        for j, b in enumerate(objects):
            alone = float(box_distance(Boxes.of([a]), Boxes.of([b]))[0])
            assert index.distances_m[i, j] == pytest.approx(0.0 if i == j else alone, abs=1e-9)


def test_rows_by_id():
    lamp = chair(id="lamp_1", label="lamp")
    index = SceneIndex(code(objects=(chair(), lamp, chair(id="chair_2"))))
    assert index.row == {"chair_1": 0, "lamp_1": 1, "chair_2": 2}
    assert index.objects[index.row["lamp_1"]] is lamp
    with pytest.raises(KeyError):
        index.distance_m("chair_1", "sofa_1")


def test_ids_are_found_in_other_capitals_too():
    shirt, other = chair(id="T_shirt_1", label="T-shirt"), chair(id="t_shirt_1", label="t-shirt")
    index = SceneIndex(code(objects=(shirt, other, chair())))
    assert index.found("T_shirt_1") is shirt
    assert index.found("t_shirt_1") is other  # its own writing before any other
    assert index.found("T_SHIRT_1") is shirt
    assert index.found("CHAIR_1") is index.objects[2]
    assert index.found("chair_2") is None


def test_twins_by_hand():
    """Unit boxes 0.3 apart share 0.7 of 1.3 m3; 0.4 apart only 0.6 of 1.4."""
    assert SceneIndex(row_of(0.0, 0.3)).twins == {"chair_1": {"chair_2"}, "chair_2": {"chair_1"}}
    assert SceneIndex(row_of(0.0, 0.4)).twins == {}


unit_numbers = st.floats(-0.6, 0.6)


@given(st.lists(st.tuples(unit_numbers, unit_numbers, st.floats(0.4, 1.5)), max_size=5))
def test_twins_are_the_pairs_that_overlap_by_half(places):
    objects = tuple(
        chair(id=f"chair_{n}", center_m=(x, y, 0.0), size_m=(size, 1.0, size))
        for n, (x, y, size) in enumerate(places, 1)
    )
    expected: dict[str, set[str]] = {}
    for a in objects:
        for b in objects:
            overlap = float(iou(Boxes.of([a]), Boxes.of([b]))[0])
            if a is not b and abs(overlap - 0.5) < 1e-9:
                return  # on the border rounding decides
            if a is not b and overlap >= 0.5:
                expected.setdefault(a.id, set()).add(b.id)
    assert SceneIndex(code(objects=objects)).twins == expected


@given(strategies.spatial_codes())
def test_any_code_has_an_index(scene):
    index = SceneIndex(scene)
    assert list(index.row) == [item.id for item in scene.objects]
    assert len(index.boxes) == len(scene.objects)


# --- which index is kept -----------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch):
    monkeypatch.setattr(index_module, "_CACHE", type(index_module._CACHE)())
    monkeypatch.setattr(index_module, "_KEPT", 3)


def test_one_code_has_one_index():
    scene = row_of(0.0, 3.0)
    assert SceneIndex.of(scene) is SceneIndex.of(scene)
    assert SceneIndex.of(scene).code is scene


def test_codes_that_are_equal_but_not_the_same_have_their_own():
    scene = row_of(0.0, 3.0)
    other = copy.deepcopy(scene)
    assert other == scene
    assert SceneIndex.of(other) is not SceneIndex.of(scene)
    assert SceneIndex.of(other).code is other
    moved = row_of(0.0, 4.0)
    assert SceneIndex.of(moved).distance_m("chair_1", "chair_2") == pytest.approx(3.0)
    assert SceneIndex.of(scene).distance_m("chair_1", "chair_2") == pytest.approx(2.0)


def test_the_code_not_asked_about_for_longest_goes():
    first, second, third, fourth = (row_of(float(x)) for x in range(4))
    kept = [SceneIndex.of(scene) for scene in (first, second, third)]
    assert SceneIndex.of(first) is kept[0]  # asked about again: second is the oldest now
    SceneIndex.of(fourth)
    assert SceneIndex.of(first) is kept[0]
    assert SceneIndex.of(third) is kept[2]
    assert SceneIndex.of(second) is not kept[1]
    assert len(index_module._CACHE) == 3


def test_a_reused_address_is_no_mistaken_identity():
    """Codes that come and go may get each other's id(); each must find its own index."""
    for n in range(200):
        scene = row_of(0.0, 2.0 + n)
        assert SceneIndex.of(scene).code is scene
        assert SceneIndex.of(scene).distance_m("chair_1", "chair_2") == pytest.approx(1.0 + n)
        del scene


def test_threads_share_the_cache():
    scenes = [row_of(0.0, 2.0 + n) for n in range(8)]

    def ask(n):
        return SceneIndex.of(scenes[n % 8]).code is scenes[n % 8]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(2000)))
    assert len(index_module._CACHE) == 3
