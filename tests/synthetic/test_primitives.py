"""Bounds of primitives and models, against points on their surfaces."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.scene.categories import LABELS, WALL_BOX_THICKNESS_M
from spatialcode.synthetic.furniture import MAKERS, appliances, walls
from spatialcode.synthetic.primitives import (
    BOX,
    CYLINDER,
    ELLIPSOID,
    Builder,
    Material,
    Model,
    Primitive,
    turn_x,
    turn_z,
)

GREY = Material((0.5, 0.5, 0.5))


def surface(primitive: Primitive, number: int = 4000) -> np.ndarray:
    """Points on (or in) the shape that reach all its extremes."""
    rng = np.random.default_rng(0)
    p = rng.normal(size=(number, 3))
    if primitive.kind == BOX:
        p = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    elif primitive.kind == CYLINDER:
        angle = np.linspace(0, 2 * np.pi, number // 2, endpoint=False)
        ring = np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], axis=1)
        p = np.concatenate([ring, ring * (1, 1, -1)])
    else:
        p /= np.linalg.norm(p, axis=1, keepdims=True)
    rotation = np.eye(3) if primitive.rotation is None else np.array(primitive.rotation)
    return (p * primitive.half_m) @ rotation.T + primitive.center_m


def test_reach_of_a_box_turned_by_a_quarter() -> None:
    box = Primitive(BOX, (0, 0, 0), (3.0, 1.0, 2.0), GREY, turn_z(np.pi / 2))
    assert box.reach_m() == pytest.approx((1.0, 3.0, 2.0))


def test_reach_of_a_cylinder_tipped_by_45_degrees() -> None:
    # Radius 1, half height 2, tipped about x: y and z reach (1 + 2) / sqrt 2.
    tipped = Primitive(CYLINDER, (0, 0, 0), (1.0, 1.0, 2.0), GREY, turn_x(np.pi / 4))
    assert tipped.reach_m() == pytest.approx((1.0, 3 / 2**0.5, 3 / 2**0.5))


@pytest.mark.parametrize("kind", [BOX, CYLINDER, ELLIPSOID])
def test_reach_is_that_of_the_surface(kind: int) -> None:
    rows = np.array(turn_z(0.4)) @ np.array(turn_x(0.9))
    rotation = tuple(map(tuple, rows.tolist()))
    shape = Primitive(kind, (1.0, -2.0, 0.5), (0.7, 0.3, 1.1), GREY, rotation)
    extreme = np.abs(surface(shape, 200_000) - shape.center_m).max(axis=0)
    reach = np.array(shape.reach_m())
    assert (extreme <= reach + 1e-12).all()
    assert extreme == pytest.approx(reach, abs=5e-3)


def test_rod_ends_where_it_is_told() -> None:
    b = Builder()
    b.rod((0.0, 0.0, 0.0), (0.0, 3.0, 4.0), 0.2, GREY)
    (rod,) = b.parts
    rotation = np.array(rod.rotation)
    assert rod.half_m == pytest.approx((0.1, 0.1, 2.5))
    assert rotation[:, 2] == pytest.approx((0.0, 0.6, 0.8))
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert rod.center_m == pytest.approx((0.0, 1.5, 2.0))


def drawn(label: str) -> list[Model]:
    maker = MAKERS[label]
    return [maker(np.random.default_rng(seed)) for seed in range(60)]


def test_every_category_has_a_maker() -> None:
    assert set(MAKERS) == set(LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_model_fills_its_box_exactly(label: str) -> None:
    for model in drawn(label):
        assert model.label == label
        points = np.concatenate([surface(p) for p in model.primitives])
        half = np.array(model.size_m) / 2
        high, low = points.max(axis=0), points.min(axis=0)
        assert (high <= half + 1e-9).all()
        assert (low >= -half - 1e-9).all()
        axes = [0, 2] if label in ("door", "window", "tv") else [0, 1, 2]
        # Ellipsoids are sampled, hence the centimetre.
        assert high[axes] == pytest.approx(half[axes], abs=0.01)
        assert low[axes] == pytest.approx(-half[axes], abs=0.01)


@pytest.mark.parametrize("label", LABELS)
def test_categories_come_in_several_shapes(label: str) -> None:
    shapes = {tuple(p.kind for p in model.primitives) for model in drawn(label)}
    # These are built alike in some variants, and differ there in proportions and place.
    assert len(shapes) >= {"tv": 1, "pillow": 2, "refrigerator": 2}.get(label, 3)


def test_wall_things_have_the_conventional_thickness() -> None:
    rng = np.random.default_rng(3)
    for maker in (walls.door, walls.window, walls.tv, walls.standing_tv):
        for _ in range(20):
            assert maker(rng).size_m[1] == pytest.approx(WALL_BOX_THICKNESS_M)


def test_sizes_are_those_of_furniture() -> None:
    ranges = {
        "chair": ((0.38, 0.85), (0.4, 0.85), (0.7, 1.2)),
        "bed": ((0.9, 2.05), (1.9, 2.2), (0.35, 1.25)),
        "door": ((0.7, 1.65), (0.2, 0.2), (1.9, 2.2)),
        "refrigerator": ((0.5, 1.0), (0.5, 0.75), (0.75, 2.0)),
        "toilet": ((0.33, 0.52), (0.55, 0.8), (0.4, 1.2)),
    }
    for label, limits in ranges.items():
        for model in drawn(label):
            for value, (low, high) in zip(model.size_m, limits, strict=True):
                assert low - 1e-9 <= value <= high + 1e-9, (label, model.size_m)


def test_supports_lie_inside_the_box_and_below_its_top() -> None:
    for label in ("table", "bed", "sofa", "nightstand"):
        for model in drawn(label):
            (support,) = model.supports
            x, y, z = support.center_m
            assert abs(x) + support.size_m[0] / 2 <= model.size_m[0] / 2
            assert abs(y) + support.size_m[1] / 2 <= model.size_m[1] / 2 + 1e-9
            assert z <= model.size_m[2] / 2 + 1e-9


def test_table_lamp_fits_on_a_nightstand() -> None:
    for seed in range(20):
        lamp = appliances.table_lamp(np.random.default_rng(seed))
        assert max(lamp.size_m[:2]) < 0.4
        assert lamp.size_m[2] < 0.7
