"""Rooms of real furniture: layout, exact truth, held-out models, what is seen."""

import math

import cv2
import numpy as np
import pytest

from spatialcode.scene.categories import WALL_BOX_THICKNESS_M
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.synthetic.catalogue.kinds import CLUTTER_ROLES
from spatialcode.synthetic.catalogue.models import catalogue
from spatialcode.synthetic.clips import ClipConfig, make_clip, make_training_frames
from spatialcode.synthetic.furnished.pieces import MADE, Piece
from spatialcode.synthetic.furnished.shell import build_shell, holes_of
from spatialcode.synthetic.furnished.shots import FurnishedShot, furnished_room, in_the_way, stock
from spatialcode.synthetic.layout import Interior
from spatialcode.synthetic.paths import free_space
from spatialcode.synthetic.placement import footprint_of, overlap
from spatialcode.synthetic.raster.rasteriser import FAR_M
from spatialcode.synthetic.renderers import FURNITURE
from spatialcode.synthetic.truth import CLUTTER, object_ids, pixel_counts, seen
from tests.synthetic.here import needs_furniture

pytestmark = needs_furniture
HELD_OUT = HELD_OUT_ROOMS.start
SMALL = ClipConfig(4, 96, 72, 0.0, FURNITURE)


def interior(seed: int) -> Interior:
    return furnished_room(np.random.default_rng([seed, 4]), seed)


def sources(room: Interior) -> set[str]:
    pieces = [p.model for p in (*room.objects, *room.decor)]
    return {p.source.id for p in pieces if isinstance(p, Piece) and p.source is not None}


def test_held_out_rooms_hold_none_of_the_others_models() -> None:
    used, kept = (set().union(*(sources(interior(s)) for s in seeds))
                  for seeds in (range(4), range(HELD_OUT, HELD_OUT + 4)))  # fmt: skip
    assert len(used) > 20
    assert len(kept) > 10
    assert not used & kept


@pytest.mark.slow  # reads nearly every model, which takes minutes the first time
def test_rooms_have_forty_kinds_and_every_kind_of_clutter() -> None:
    trained = [interior(seed) for seed in range(40)]
    judged = [interior(HELD_OUT + seed) for seed in range(40)]
    used, kept = (set().union(*map(sources, rooms)) for rooms in (trained, judged))
    assert used
    assert kept
    assert not used & kept
    for rooms in (trained, judged):
        kinds = {p.model.label for room in rooms for p in room.objects}
        assert len(kinds) >= 40, sorted(kinds)
        assert kinds >= {"picture", "mirror", "radiator", "cup", "book", "window", "door"}
    roles = {p.model.source.role for room in trained for p in room.decor if p.model.source}
    assert roles == set(CLUTTER_ROLES)


def test_a_stock_gives_only_what_fits_and_what_is_made_here_too() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        piece = stock(False).draw(rng, "table", lambda m: m.size_m[2] < 0.5)
        assert piece is not None
        assert piece.size_m[2] < 0.5 * 1.08
        assert piece.label == "table"
    assert stock(False).draw(rng, "unicorn") is None
    assert stock(True).draw(rng, "keyboard").source is None
    assert {MADE[name](rng).label for name in MADE} == set(MADE)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_stands_in_anything_else_or_out_of_its_room(seed: int) -> None:
    room = interior(seed)
    placed = [p for p in (*room.objects, *room.decor) if p.mount in ("floor", "ceiling")]
    boxes = [footprint_of(p, -0.005) for p in placed]
    for k, box in enumerate(boxes):
        assert not any(overlap(box, other) for other in boxes[:k])
        x0, y0, x1, y1 = room.plan.rooms[placed[k].room].rect
        assert all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in box.corners())
    for p in room.objects:
        assert p.center_m[2] - p.model.size_m[2] / 2 > -0.01
        assert p.center_m[2] + p.model.size_m[2] / 2 < room.plan.ceiling_m + 0.01


def test_flat_things_on_walls_follow_the_convention_for_boxes() -> None:
    found = set()
    for seed in range(12):
        room = interior(seed)
        for p in room.objects:
            if p.model.label in ("door", "window", "mirror") and p.mount == "wall":
                found.add(p.model.label)
                assert p.model.size_m[1] == WALL_BOX_THICKNESS_M
                x0, y0, x1, y1 = room.plan.rooms[p.room].rect
                faces = [abs(p.center_m[0] - x0), abs(p.center_m[0] - x1),
                         abs(p.center_m[1] - y0), abs(p.center_m[1] - y1)]  # fmt: skip
                notch = room.plan.rooms[p.room].notch
                assert min(faces) < 1e-6 or notch is not None
    assert found == {"door", "window", "mirror"}


def test_walls_have_holes_just_where_doors_and_windows_are() -> None:
    for seed in range(8):
        room = interior(seed)
        shell = build_shell(np.random.default_rng(0), room)
        holes = [
            (wall, hole)
            for k, one in enumerate(room.plan.rooms)
            for wall in one.walls
            for hole in holes_of(room, wall, k)
        ]
        openings = [p for p in room.objects if p.model.label in ("door", "window")]
        assert len([h for _, h in holes if h.object_index >= 0]) == len(openings)
        assert set(shell.behind) == {h.object_index for _, h in holes if h.object_index >= 0}
        whole = sum(w.length_m for r in room.plan.rooms for w in r.walls) * room.plan.ceiling_m
        cut = sum((h.end - h.start) * (h.high - h.low) for _, h in holes)
        assert _face_area(shell.walls, room) == pytest.approx(whole - cut, rel=1e-4)


def _face_area(mesh, room: Interior) -> float:
    """Area of the triangles that lie in a wall's face."""
    a, b, c = (mesh.position[mesh.triangles[:, k]].astype(float) for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    total = 0.0
    for one in room.plan.rooms:
        for wall in one.walls:
            n = np.array([*wall.normal, 0.0])
            flat = [np.abs((p - [*wall.start, 0.0]) @ n) < 1e-5 for p in (a, b, c)]
            same = mesh.normal[mesh.triangles[:, 0]] @ n > 0.99
            inside = np.ones(len(a), bool)
            for p in (a, b, c):
                s = (p[:, :2] - wall.start) @ wall.along
                inside &= (s > -1e-5) & (s < wall.length_m + 1e-5)
            total += area[flat[0] & flat[1] & flat[2] & same & inside].sum()
    return total


def test_nobody_films_from_within_furniture_or_people() -> None:
    for seed in range(6):
        shot, poses = FurnishedShot.scattered(seed, 6, SMALL)
        low, clutter = in_the_way(shot.interior)
        space = free_space(low, clutter)
        for x, y, _ in poses[:, :3, 3]:
            assert space.clearance_m[space.cell(x, y)] > 0.05
        picture = shot.picture(poses[0], shot.interior.objects)
        assert picture.depth_m.min() > 0.06


def back_projected(shot: FurnishedShot, pose: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
    v, u = np.mgrid[0 : depth_m.shape[0], 0 : depth_m.shape[1]] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(shot.K).T
    return (rays * depth_m[..., None]) @ pose[:3, :3].T + pose[:3, 3]


@pytest.mark.parametrize("seed", [1, 3, 5, HELD_OUT, HELD_OUT + 2])
def test_every_pixel_of_a_thing_lies_in_its_box_and_all_pixels_in_the_room(seed: int) -> None:
    shot, poses = FurnishedShot.scattered(seed, 3, SMALL)
    objects = shot.interior.objects
    for pose in poses:
        picture = shot.picture(pose, objects)
        points = back_projected(shot, pose, picture.depth_m)
        assert picture.depth_m.max() < FAR_M  # no ray leaves the rooms
        for k in set(picture.instance[picture.instance >= 0].tolist()):
            placed = objects[k]
            c, s = math.cos(placed.yaw_rad), math.sin(placed.yaw_rad)
            turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
            local = (points[picture.instance == k] - placed.center_m) @ turn
            outside = np.abs(local) > np.array(placed.model.size_m) / 2 + 0.03
            assert not outside.any(), placed.model.label
        floor = points[picture.instance == -1]
        assert np.abs(floor[:, 2]).max(initial=0) < 0.02
        ceiling = points[picture.instance == -3]
        assert (ceiling[:, 2] > shot.interior.plan.passage_height_m - 0.01).all()


@pytest.mark.parametrize("label", ["chair", "sofa", "bed"])
def test_the_front_of_a_seat_or_bed_is_its_own_plus_y(label: str) -> None:
    """A back or a headboard is high, and it is behind."""
    from spatialcode.synthetic.catalogue.prepared import prepared

    leans = []
    for model in catalogue():
        if model.label == label and "rmchair" not in model.name:
            position = prepared(model).position
            high = position[position[:, 2] > np.quantile(position[:, 2], 0.9)]
            low, top = position[:, 1].min(), position[:, 1].max()
            leans.append((high[:, 1].mean() - low) / (top - low))
    assert np.mean(np.array(leans) < 0.5) > 0.9
    assert np.median(leans) < 0.4


def test_the_same_seed_is_the_same_clip_bit_for_bit() -> None:
    first = make_training_frames(11, 2, SMALL)
    make_training_frames(12, 1, SMALL)
    again = make_training_frames(11, 2, SMALL)
    for name in ("rgb", "depth_m", "instance", "visibility", "center_m", "size_m", "yaw_rad"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.labels == again.labels
    other = make_training_frames(12, 2, SMALL)
    assert not np.array_equal(first.rgb, other.rgb)


def test_a_clip_s_code_holds_what_is_seen_and_nothing_else() -> None:
    clip = make_clip(21, ClipConfig(6, 96, 72, 0.0, FURNITURE))
    ids = object_ids(clip)
    well = seen(clip).any(axis=0)
    assert [bool(name) for name in ids] == well.tolist()
    assert {obj.id for obj in clip.code.objects} == {name for name in ids if name}
    assert len(clip.code.objects) >= 3
    counts = pixel_counts(clip)
    assert ((clip.visibility > 0) <= (counts >= 0)).all()
    assert clip.visibility.max() <= 1.0
    for obj in clip.code.objects:
        k = ids.index(obj.id)
        assert obj.label == clip.labels[k]
        np.testing.assert_allclose(obj.center_m, clip.center_m[-1, k], atol=1e-6)
    # the picture is no blank: it differs from frame to frame and within each
    assert clip.rgb.std(axis=(1, 2, 3)).min() > 8


def test_visibility_is_the_share_of_an_object_that_nothing_hides() -> None:
    shot, poses = FurnishedShot.scattered(3, 2, SMALL)
    pose = poses[0]
    objects = shot.interior.objects
    picture = shot.picture(pose, objects)
    shares = shot.visibility(pose, objects, picture)
    assert ((shares > 0) == (np.bincount(picture.instance[picture.instance >= 0],
                                         minlength=len(objects)) > 0)).all()  # fmt: skip
    wide = FurnishedShot.scattered(3, 2, ClipConfig(4, 288, 216, 0.0, FURNITURE))[0]
    wide.K = shot.K.copy()
    wide.K[0, 2] += 96
    wide.K[1, 2] += 72
    far = wide.picture(pose, objects)
    # nothing else is drawn: what an object would cover in a frame three times as large
    for k in np.flatnonzero(shares > 0)[:6]:
        alone = wide._loaded(objects).alone(wide.view(pose), [int(k)], (288, 216))[0]
        part = (picture.instance == k).sum() / max(alone, 1)
        if alone > 150:
            assert shares[k] == pytest.approx(part, abs=0.12)
    inner = far.instance[72:144, 96:192]
    assert (inner == picture.instance).mean() > 0.99


def test_people_and_pets_are_clutter_without_a_box() -> None:
    for seed in range(60):
        room = interior(seed)
        if any(p.model.source and p.model.source.role == "person" for p in room.decor):
            break
    shot, poses = FurnishedShot.scattered(seed, 12, SMALL)
    found = [shot.picture(pose, shot.interior.objects).instance for pose in poses]
    assert any((instance == CLUTTER).sum() > 20 for instance in found)
    assert all(p.model.label for p in shot.interior.objects)
    assert not any(p.model.label for p in shot.interior.decor)


def test_a_pushed_chair_moves_in_the_picture_and_in_the_truth() -> None:
    config = ClipConfig(4, 96, 72, 1.0, FURNITURE)
    moving = next(shot for seed in range(40) if (shot := FurnishedShot.plan(seed, config)).motions)
    index, end = moving.motions[0].index, moving.motions[0].end
    before, after = moving._objects_at(0.0), moving._objects_at(end)
    shift = np.subtract(after[index].center_m, before[index].center_m)
    assert np.hypot(shift[0], shift[1]) > 0.3
    # cameras above the chair's two places: its pixels lie in its box where it is at that time
    for objects in (before, after, before):
        placed = objects[index]
        pose = np.eye(4)
        pose[:3, :3] = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
        pose[:3, 3] = np.array(placed.center_m) + np.array([0, 0, 1.2])
        picture = moving.picture(pose, objects)
        shown = picture.instance == index
        assert shown.sum() > 100
        points = back_projected(moving, pose, picture.depth_m)[shown] - placed.center_m
        assert (np.linalg.norm(points, axis=1) < np.linalg.norm(placed.model.size_m) / 2).all()
        middle = points[:, :2].mean(axis=0)
        assert np.linalg.norm(middle) < 0.5 * np.hypot(shift[0], shift[1])


def test_pictures_have_detail_and_survive_a_codec() -> None:
    clip = make_training_frames(2, 3, ClipConfig(3, 160, 120, 0.0, FURNITURE))
    for image in clip.rgb:
        edges = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
        assert edges.std() > 2
        assert 25 < image.mean() < 235
