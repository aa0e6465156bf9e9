"""The viewer's arithmetic against the library's, which draws the same boxes elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spatialcode.export.drawing import (
    EDGES,
    FRONT_EDGES,
    box_points,
    frustum_points,
    has_front,
    label_rgb,
    triangulate,
)
from spatialcode.export.overlay import project_segments
from spatialcode.scene.categories import LABELS
from spatialcode.scene.motion import CameraMotion, object_poses
from spatialcode.scene.pinhole import Pinhole
from tests.export.codes import code, item, moving_stool
from tests.export.javascript import copied, needs_node, plain, run, sample

TIMES_S = [0.0, 0.1, 1.33, 4.45, 7.95, 9.0]

pytestmark = needs_node


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("page"))


def test_boxes_are_projected_as_in_the_written_overlay(modules: Path) -> None:
    spatial = sample()
    script = """
    const path = new motion.CameraMotion(given.code);
    return given.times.map((t) => given.code.objects.map((item) => {
      const points = wire.boxPoints(item, motion.objectPose(item, t));
      const segments = wire.edgesOf(item.label).map(([a, b]) => [points[a], points[b]]);
      const lines = projection.projectSegments(segments, path.at(t));
      return lines.flatMap(({ pixels }) => pixels);
    }));
    """
    found = run(
        modules, "motion projection wire", script, {"code": plain(spatial), "times": TIMES_S}
    )
    transforms, K = CameraMotion.of(spatial).at(np.array(TIMES_S))
    num_cut = 0
    for n, t_s in enumerate(TIMES_S):
        view = Pinhole(K[n], transforms[n], spatial.video.width_px, spatial.video.height_px)
        for thing, pixels in zip(spatial.objects, found[n], strict=True):
            front = has_front(thing.label)
            centers, quaternions = object_poses(thing, np.array([t_s]))
            points = box_points(centers, np.asarray(thing.size_m), quaternions, front)[0]
            edges = np.array(EDGES + FRONT_EDGES if front else EDGES)
            expected = project_segments(points[edges], view)
            num_cut += len(edges) - len(expected.pixels)
            assert len(pixels) == 2 * len(expected.pixels)
            # The order of edges is free, the set of drawn lines is not.
            ours = sorted(sorted(pair) for pair in np.reshape(pixels, (-1, 2, 2)).round(3).tolist())
            theirs = sorted(sorted(pair) for pair in expected.pixels.round(3).tolist())
            np.testing.assert_allclose(ours or [0], theirs or [0], atol=0.01)
    assert num_cut > 100  # much of the room is behind the camera or beside the image


def test_an_edge_that_passes_behind_the_camera_is_cut_and_not_mirrored(modules: Path) -> None:
    # The camera stands at (0, 0, 1.5) and looks along +y; the edge runs from 2 m before it,
    # 1 m to the right, to 2 m behind it.
    script = """
    const camera = new motion.CameraMotion(given).at(0);
    const [line] = projection.projectSegments([[[1, 2, 1.5], [1, -2, 1.5]]], camera, 0);
    const behind = projection.projectSegments([[[0, -1, 1.5], [1, -2, 1.5]]], camera);
    return [line.pixels, behind.length, projection.projectPoint([0, -3, 1.5], camera)];
    """
    pixels, num_behind, point = run(modules, "motion projection", script, plain(code()))
    # f = 100, c = (80, 60): starts at u = 80 + 100 · 1/2 and leaves at the right border, 160.
    np.testing.assert_allclose(pixels, [[130, 60], [160, 60]], atol=1e-6)
    assert num_behind == 0
    assert point is None


def test_between_known_times_things_move_evenly_and_then_stand(modules: Path) -> None:
    script = "return [-1, 0.25, 1.5, 9].map((t) => motion.objectPose(given, t).center_m[0]);"
    stool = plain(code(moving_stool()))["objects"][0]
    assert run(modules, "motion", script, stool) == pytest.approx([-1.0, -0.75, 0.5, 1.0])


def test_a_camera_is_drawn_as_in_models(modules: Path) -> None:
    spatial = sample()
    script = """
    const path = new motion.CameraMotion(given.code);
    return given.times.map((t) => wire.frustumPoints(path.at(t), 0.35));
    """
    found = run(modules, "motion wire", script, {"code": plain(spatial), "times": TIMES_S})
    transforms, K = CameraMotion.of(spatial).at(np.array(TIMES_S))
    expected = frustum_points(
        transforms, K, (spatial.video.width_px, spatial.video.height_px), 0.35
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_categories_have_the_librarys_colours_and_fronts(modules: Path) -> None:
    labels = [*LABELS, "office chair", "Großer Schrank", "x" * 200, "椅子"]
    script = "return given.map((label) => [palette.labelRgb(label), wire.hasFront(label)]);"
    expected = [[list(label_rgb(label)), has_front(label)] for label in labels]
    assert run(modules, "palette wire", script, labels) == expected


def test_a_floor_with_a_corner_is_tiled_as_in_models(modules: Path) -> None:
    corner = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (2.0, 4.0), (2.0, 2.0), (0.0, 2.0)]
    outlines = [corner, corner[::-1], corner[:2]]
    found = run(
        modules, "polygon", "return given.map((outline) => polygon.triangulate(outline));", outlines
    )
    for outline, triangles in zip(outlines, found, strict=True):
        expected = [sorted(t) for t in triangulate(outline)]
        assert sorted(sorted(t) for t in triangles) == sorted(expected)


def test_the_best_moment_shows_most_of_the_things_nearest_to_the_middle(modules: Path) -> None:
    # The camera goes 0.5 m a second to the right and looks along +y.
    right = item("table_1", "table", center_m=(1.0, 4.0, 1.5))  # in the middle at 2 s
    left = item("chair_1", "chair", center_m=(0.0, 4.0, 1.5))  # in the middle at 0 s
    early = item("sofa_1", "sofa", center_m=(1.0, 4.0, 1.5), last_seen_s=1.0)
    behind = item("bed_1", "bed", center_m=(0.0, -4.0, 1.5), first_seen_s=1.0)
    given = plain(code(right, left, early, behind))
    script = """
    const named = (ids) => given.objects.filter((item) => ids.includes(item.id));
    const groups = [["table_1"], ["chair_1"], ["sofa_1", "table_1"], ["bed_1"], []];
    return groups.map((ids) => moments.bestMoment(given, named(ids)));
    """
    assert run(modules, "moments", script, given) == [2.0, 0.0, 1.0, 1.0, None]
