import numpy as np
import pytest

from spatialcode.scene.pinhole import Pinhole
from spatialcode.synthetic.catalogue.mesh import Mesh, Surface
from spatialcode.synthetic.furnished.solids import Solids
from spatialcode.synthetic.paths import camera_poses
from spatialcode.synthetic.raster.rasteriser import FAR_M, clip_matrix, light_matrix, rasteriser
from spatialcode.synthetic.raster.shaders import MIRROR, OUTSIDE
from spatialcode.synthetic.raster.staged import Item, Lamp, Lighting, MirrorPlane, Staging
from spatialcode.synthetic.renderer import NEAR_M
from tests.synthetic.here import needs_opengl

ORIGIN = (0.0, 0.0, 0.0)
WHITE = Surface((0.9, 0.9, 0.9))
SIZE = (64, 48)
K = np.array([[50.0, 0, 31], [0, 52, 25], [0, 0, 1]])


def flat(z: float, half: float, surface: Surface = WHITE) -> Mesh:
    solids = Solids()
    corners = np.array([(-half, -half, z), (half, -half, z), (half, half, z), (-half, half, z)])
    solids.quad(corners, (0.0, 0.0, 1.0), surface)
    return solids.in_place()


def block(size_m=(1.0, 1.0, 1.0), surface: Surface = WHITE) -> Mesh:
    solids = Solids()
    solids.box((0, 0, -size_m[2] / 2), size_m, surface)
    return solids.in_place()


def light(*lamps: Lamp, ambient: float = 0.3) -> Lighting:
    outside = np.zeros((64, 128, 3), np.uint8)
    outside[:, :64, 0], outside[:, 64:, 2] = 255, 255  # red to the right of +y, blue to the left
    return Lighting(lamps, (ambient,) * 3, (ambient,) * 3, outside, 1.0)


def view(at=(0.0, -4.0, 1.2), heading_rad=np.pi / 2, pitch_rad=-0.2) -> Pinhole:
    pose = camera_poses(*(np.array([v]) for v in (at, heading_rad, pitch_rad, 0.05)))[0]
    return Pinhole(K, pose, *SIZE)


def cast(items: tuple[Item, ...], camera: Pinhole, u: float, v: float) -> tuple[float, int]:
    """Depth and instance of the first triangle on a ray. Moller and Trumbore, 1997."""
    direction = camera.T_world_camera[:3, :3] @ np.linalg.solve(K, [u, v, 1.0])
    eye = camera.T_world_camera[:3, 3]
    best = (np.inf, 0)
    for item in items:
        points = item.mesh.position @ item.pose()[:, :3].T + item.pose()[:, 3]
        a, b, c = (points[item.mesh.triangles[:, k]] for k in range(3))
        across = np.cross(direction, c - a)
        det = np.einsum("ij,ij->i", b - a, across)
        with np.errstate(all="ignore"):
            p = np.einsum("ij,ij->i", eye - a, across) / det
            turned = np.cross(eye - a, b - a)
            q = turned @ direction / det
            t = np.einsum("ij,ij->i", c - a, turned) / det
        hit = (p >= 0) & (q >= 0) & (p + q <= 1) & (t > 0) & (det != 0)
        if hit.any():
            best = min(best, (float(t[hit].min()), item.instance))
    return best


ROOM = (
    Item(flat(0.0, 6.0), ORIGIN, 0.0, -1),
    Item(block((0.8, 0.5, 1.1)), (0.4, 0.3, 0.55), 0.7, 0),
    Item(block((0.5, 0.5, 0.5)), (-0.9, -0.8, 0.25), -0.2, 1, stretch=(1.0, 2.0, 1.0)),
    Item(block((3.0, 0.2, 2.5)), (0.0, 2.0, 1.25), 0.1, 2),
)


def test_pixel_centres_and_depths_go_where_the_pinhole_says() -> None:
    camera = view()
    for u, v, z in ((0.5, 0.5, 1.0), (31.0, 25.0, 3.0), (63.5, 47.5, 9.0)):
        point = np.linalg.solve(K, [u * z, v * z, z])
        x, y, depth, w = clip_matrix(camera) @ [*point, 1.0]
        assert ((x / w + 1) / 2 * 64, (y / w + 1) / 2 * 48) == pytest.approx((u, v))
        assert -1 < depth / w < 1
        assert w == pytest.approx(z)
    near = clip_matrix(camera) @ [0, 0, NEAR_M, 1]
    far = clip_matrix(camera) @ [0, 0, FAR_M, 1]
    assert (near[2] / near[3], far[2] / far[3]) == pytest.approx((-1, 1))


def test_a_lamp_sees_what_it_faces_in_the_middle_of_its_map() -> None:
    lamp = Lamp((1.0, 2.0, 2.5), (0.0, 1.0, -1.0), (1.0, 1.0, 1.0))
    x, y, _, w = light_matrix(lamp) @ [1.0, 3.0, 1.5, 1.0]
    assert (x, y) == pytest.approx((0, 0), abs=1e-12)
    assert w == pytest.approx(np.sqrt(2))


@needs_opengl
def test_depth_and_instance_are_those_of_the_first_triangle_on_each_ray() -> None:
    raster = rasteriser(*SIZE)
    raster.load(Staging(ROOM, light()))
    camera = view()
    picture = raster.draw(camera)
    rows, columns = np.mgrid[1:48:3, 1:64:3]
    agreed = 0
    for i, j in zip(rows.ravel(), columns.ravel(), strict=True):
        depth, instance = cast(ROOM, camera, j + 0.5, i + 0.5)
        if not np.isfinite(depth):
            agreed += picture.depth_m[i, j] == FAR_M
            continue
        # on an outline a centre may fall to either side of it
        if instance == picture.instance[i, j]:
            agreed += 1
            assert picture.depth_m[i, j] == pytest.approx(depth, abs=2e-3)
    assert agreed >= 0.99 * rows.size


@needs_opengl
def test_the_same_scene_is_the_same_picture_bit_for_bit_also_after_another() -> None:
    raster, lamp = rasteriser(*SIZE), Lamp((0, 0, 2.4), (0.0, 0.0, -1.0), (3.0, 3.0, 3.0))
    scene = Staging(ROOM, light(lamp))
    raster.load(scene)
    first = raster.draw(view())
    raster.load(Staging(ROOM[:2], light()))
    other = raster.draw(view())
    raster.load(scene)
    again = raster.draw(view())
    np.testing.assert_array_equal(first.linear, again.linear)
    np.testing.assert_array_equal(first.depth_m, again.depth_m)
    assert not np.array_equal(first.linear, other.linear)


@needs_opengl
def test_a_block_under_a_lamp_shades_the_floor_below_it_only() -> None:
    lamp = Lamp((0, 0, 3.0), (0.0, 0.0, -1.0), (6.0, 6.0, 6.0))
    raster = rasteriser(*SIZE)
    down = view((0.0, -2.5, 2.0), pitch_rad=-0.7)
    floor = Item(flat(0.0, 6.0), ORIGIN, 0.0, -1)
    board = Item(block((1.0, 1.0, 0.05)), (0, 0, 2.0), 0.0, 0)
    raster.load(Staging((floor, board), light(lamp, ambient=0.0)))
    shaded = raster.draw(down)
    raster.load(Staging((floor,), light(lamp, ambient=0.0)))
    open_floor = raster.draw(down)
    there = _pixel(down, (0.0, 0.0, 0.0))
    aside = _pixel(down, (1.6, 0.4, 0.0))
    assert open_floor.linear[there].mean() > 0.2
    assert shaded.linear[there].mean() < 0.05 * open_floor.linear[there].mean()
    np.testing.assert_allclose(shaded.linear[aside], open_floor.linear[aside], rtol=0.02)


def _pixel(camera: Pinhole, point: tuple[float, float, float]) -> tuple[int, int]:
    local = camera.T_world_camera[:3, :3].T @ (np.array(point) - camera.T_world_camera[:3, 3])
    u, v, _ = K @ (local / local[2])
    return int(v), int(u)


@needs_opengl
def test_a_moved_item_is_drawn_where_it_is_and_shades_there() -> None:
    raster = rasteriser(*SIZE)
    raster.load(Staging(ROOM, light()))
    moved = (ROOM[0], Item(ROOM[1].mesh, (-1.2, 0.8, 0.55), 0.0, 0), *ROOM[2:])
    raster.move(moved)
    found = raster.draw(view())
    raster.load(Staging(moved, light()))
    np.testing.assert_array_equal(found.instance, raster.draw(view()).instance)


@needs_opengl
def test_a_mirror_shows_what_is_before_it_and_nothing_behind_it() -> None:
    red = Surface((0.9, 0.02, 0.02))
    green = Surface((0.02, 0.9, 0.02))
    solids = Solids()
    corners = np.array([(1.0, 2, 0.2), (-1.0, 2, 0.2), (-1.0, 2, 2.2), (1.0, 2, 2.2)])
    solids.quad(corners, (0.0, -1.0, 0.0), WHITE)
    pane = Item(solids.in_place(), ORIGIN, 0.0, 0, kind=MIRROR)
    before = Item(block((3.0, 0.1, 3.0), red), (0.0, -6.0, 1.2), 0.0, 1)
    behind = Item(block((3.0, 0.1, 3.0), green), (0.0, 3.0, 1.2), 0.0, 2)
    mirror = MirrorPlane((0.0, 2.0, 1.2), (0.0, -1.0, 0.0), 0)
    raster = rasteriser(*SIZE)
    raster.load(Staging((pane, before, behind), light(ambient=0.5), (mirror,)))
    camera = view((0.0, -1.0, 1.2), pitch_rad=0.0)
    picture = raster.draw(camera)
    middle = _pixel(camera, (0.0, 2.0, 1.2))
    assert picture.instance[middle] == 0
    assert picture.depth_m[middle] == pytest.approx(3.0, abs=0.01)
    r, g, _ = picture.linear[middle]
    assert r > 0.2
    assert g < 0.05


@needs_opengl
def test_a_window_shows_the_world_outside_by_the_direction_of_sight() -> None:
    hole = Item(block((4.0, 0.05, 3.0)), (0.0, 2.0, 1.2), 0.0, 0, kind=OUTSIDE)
    raster = rasteriser(*SIZE)
    raster.load(Staging((hole,), light()))
    camera = view((0.0, -1.0, 1.2), pitch_rad=0.0)
    linear = raster.draw(camera).linear
    right, left = (_pixel(camera, (x, 1.975, 1.2)) for x in (0.8, -0.8))
    assert linear[right][0] > 0.9
    assert linear[right][2] < 0.1
    assert linear[left][2] > 0.9
    assert linear[left][0] < 0.1


@needs_opengl
def test_glass_counts_as_surface_but_lets_light_through() -> None:
    clear = Surface((1.0, 1.0, 1.0), opacity=0.2)
    wall = Item(block((4.0, 0.1, 3.0), Surface((0.9, 0.1, 0.1))), (0.0, 2.0, 1.2), 0.0, -2)
    pane = Item(block((4.0, 0.02, 3.0), clear), (0.0, 1.0, 1.2), 0.0, 0)
    raster = rasteriser(*SIZE)
    raster.load(Staging((wall, pane), light()))
    picture = raster.draw(view((0.0, -1.0, 1.2), pitch_rad=0.0))
    assert picture.instance[24, 32] == 0
    assert picture.depth_m[24, 32] == pytest.approx(1.99, abs=0.02)
    r, g, _ = picture.linear[24, 32]
    assert r > 1.5 * g


@needs_opengl
def test_an_object_alone_covers_its_whole_outline_whatever_stands_before_it() -> None:
    raster = rasteriser(*SIZE)
    raster.load(Staging(ROOM, light()))
    camera = view()
    together = raster.draw(camera).instance
    alone = raster.alone(camera, [2, 0], SIZE)
    for instance, area in zip((2, 0), alone, strict=True):
        one = tuple(item for item in ROOM if item.instance == instance)
        raster.load(Staging(one, light()))
        assert area == (raster.draw(camera).instance == instance).sum()
    assert alone[0] > (together == 2).sum() > 0
    assert len(raster.alone(camera, [], SIZE)) == 0
