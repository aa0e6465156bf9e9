import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spatialcode.synthetic.catalogue.mesh import (
    box_frame,
    creased_normals,
    largest_rectangle,
    mesh_of,
    simplified,
    tops,
)
from spatialcode.synthetic.catalogue.prepared import prepared
from spatialcode.synthetic.catalogue.wavefront import Finish, Soup
from tests.synthetic.here import needs_furniture


def cube(low=(0, 0, 0), high=(1, 1, 1)) -> tuple[np.ndarray, np.ndarray]:
    points = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    points = np.array(low) + points * (np.array(high) - low)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return points, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])


def soup(points: np.ndarray, triangles: np.ndarray) -> Soup:
    corners = np.full((*triangles.shape, 3), -1)
    corners[:, :, 0] = triangles
    rows = np.zeros(len(triangles), int)
    return Soup(points, np.zeros((0, 2)), np.zeros((0, 3)), corners, rows, (Finish(),))


def test_the_front_of_a_model_becomes_plus_y_and_its_top_plus_z() -> None:
    # y is up and the front along +z; seen from the front, the model's +x is on the right
    points = np.array([[0, 0, 0], [2, 4, 8], [2, 0, 0], [0, 4, 0], [0, 0, 8.0]])
    out, _ = box_frame(points, np.arange(5), None, (2.0, 8.0, 4.0))
    right, top, front = out[2], out[3], out[4]
    assert right[0] - out[0][0] == pytest.approx(-2)
    assert top[2] - out[0][2] == pytest.approx(4)
    assert front[1] - out[0][1] == pytest.approx(8)
    np.testing.assert_allclose(out.max(axis=0), (1, 4, 2))
    np.testing.assert_allclose(out.min(axis=0), (-1, -4, -2))


def test_a_models_rotation_comes_first_and_unused_points_do_not_count() -> None:
    # rows: x' = z, y' = y, z' = -x, so that the file's -x is the front
    turn = (0, 0, 1, 0, 1, 0, -1, 0, 0)
    points = np.array([[0, 0, 0], [-3, 0, 0], [0, 1, 0], [0, 0, 1], [99, 99, 99.0]])
    out, linear = box_frame(points, np.arange(4), turn, (1.0, 3.0, 1.0))
    assert (out[1] - out[0]).tolist() == pytest.approx([0, 3, 0])
    assert np.linalg.det(linear) > 0  # nothing is mirrored


def test_few_triangles_stay_whole_and_many_are_clustered_into_the_same_shape() -> None:
    points, triangles = cube()
    _, keep = simplified(points, triangles, 12)
    assert keep.all()
    n = 60
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, n), np.linspace(0.01, np.pi - 0.01, n))
    ball = np.stack([np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)], -1).reshape(-1, 3)
    grid = np.arange(n * n).reshape(n, n)
    a, b, c, d = (g.ravel() for g in (grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    moved, keep = simplified(ball, faces, 1500)
    assert 300 < keep.sum() <= 1500
    radius = np.linalg.norm(moved[faces[keep]], axis=-1)
    assert radius.min() > 0.9
    assert radius.max() <= 1.0 + 1e-9


def test_normals_are_sharp_on_a_cube_and_smooth_on_a_shallow_roof() -> None:
    points, triangles = cube()
    normals = creased_normals(points, triangles)
    flat = np.abs(normals).max(axis=-1)
    np.testing.assert_allclose(flat, 1.0)
    roof = np.array([[-1, 0, 0], [0, 0, 0.2], [0, 1, 0.2], [-1, 1, 0], [1, 0, 0], [1, 1, 0.0]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [1, 4, 5], [1, 5, 2]])
    ridge = creased_normals(roof, faces)[0, 1]
    # one triangle of the left slope meets there, and two of the right one
    assert ridge == pytest.approx(np.array([0.2, 0.0, 3.0]) / np.hypot(0.2, 3.0))


def test_a_table_carries_things_on_its_top_only() -> None:
    top, triangles = cube((-0.6, -0.4, 0.3), (0.6, 0.4, 0.36))
    leg, more = cube((-0.05, -0.05, -0.36), (0.05, 0.05, 0.3))
    points, faces = np.concatenate([top, leg]), np.concatenate([triangles, more + 8])
    (support,) = tops(points, faces, (1.2, 0.8, 0.72), 0.72)
    assert support.center_m == pytest.approx((0, 0, 0.36), abs=0.02)
    assert support.size_m == pytest.approx((1.2, 0.8), abs=0.06)


def test_a_sofas_seat_carries_things_but_not_through_its_back() -> None:
    seat, triangles = cube((-1, -0.5, -0.4), (1, 0.5, 0.0))
    back, more = cube((-1, -0.5, 0.0), (1, -0.2, 0.4))
    points, faces = np.concatenate([seat, back]), np.concatenate([triangles, more + 8])
    (support,) = tops(points, faces, (2, 1, 0.8), 0.4)
    low, high = support.center_m[1] - support.size_m[1] / 2, support.center_m[1]
    assert low > -0.24
    assert support.center_m[2] == pytest.approx(0, abs=0.01)
    assert high + support.size_m[1] / 2 == pytest.approx(0.5, abs=0.04)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_the_largest_rectangle_is_full_and_none_is_larger(filled: np.ndarray) -> None:
    y0, y1, x0, x1 = largest_rectangle(filled)
    assert filled[y0:y1, x0:x1].all()
    rows, columns = filled.shape
    areas = [
        (b - a) * (d - c)
        for a in range(rows) for b in range(a + 1, rows + 1)
        for c in range(columns) for d in range(c + 1, columns + 1)
        if filled[a:b, c:d].all()
    ]  # fmt: skip
    assert (y1 - y0) * (x1 - x0) == max(areas, default=0)


def test_a_mesh_fills_its_box_and_keeps_its_area() -> None:
    points, triangles = cube((5, 5, 5), (7, 6, 9))
    mesh = mesh_of(soup(points, triangles), {}, (1.0, 2.0, 0.5))
    np.testing.assert_allclose(mesh.position.min(axis=0), (-0.5, -1, -0.25), atol=1e-6)
    np.testing.assert_allclose(mesh.position.max(axis=0), (0.5, 1, 0.25), atol=1e-6)
    a, b, c = (mesh.position[mesh.triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    assert area == pytest.approx(2 * (1 * 2 + 1 * 0.5 + 2 * 0.5))
    outward = np.einsum("ij,ij->i", mesh.position, mesh.normal)
    assert (np.abs(outward) > 0.1).all()
    assert mesh.supports == ()


@needs_furniture
def test_a_prepared_mesh_is_read_from_its_file_the_second_time(tmp_path, monkeypatch) -> None:
    from spatialcode.synthetic.catalogue.models import catalogue

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = min((m for m in catalogue() if m.label == "cup"), key=lambda m: m.id)
    first = prepared.__wrapped__(model)
    (path,) = (tmp_path / "spatialcode" / "furniture").glob("*.npz")
    stamp = path.stat().st_mtime_ns
    second = prepared.__wrapped__(model)
    assert path.stat().st_mtime_ns == stamp
    for name in ("position", "normal", "uv", "surface", "triangles"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.supports == second.supports
    assert np.ptp(first.position, axis=0) == pytest.approx(np.array(model.size_m), abs=1e-4)
