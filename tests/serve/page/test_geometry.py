"""The page's arithmetic against the library's, which draws the same boxes elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spatialcode.export.palette import label_rgb
from spatialcode.export.polygon import triangulate
from spatialcode.export.projection import View, project_segments
from spatialcode.export.wire import EDGES, FRONT_EDGES, box_points, frustum_points, has_front
from spatialcode.reasoning.families.registry import parse
from spatialcode.scene.categories import LABELS
from spatialcode.scene.motion import CameraPath, object_poses
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import from_json, to_json
from tests.export.codes import code, item, moving_stool

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "serve" / "page"
SAMPLE = ROOT / "spatialcode" / "assets" / "sample_room.json"
TIMES_S = [0.0, 0.1, 1.33, 4.45, 7.95, 9.0]

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs the program node")


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the page's modules that node takes for modules, whatever its version."""
    folder = tmp_path_factory.mktemp("page")
    for path in PAGE.glob("*.js"):
        shutil.copy(path, folder)
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    return folder


def run(modules: Path, script: str, given: Any = None) -> Any:
    """What ``script`` returns (as the body of a function of ``given``), through JSON."""
    imports = [
        f'import * as {path.stem} from "./{path.name}";'
        for path in sorted(modules.glob("*.js"))
        if path.stem in {"motion", "moments", "palette", "polygon", "projection", "problem"}
        or path.stem in {"figure", "sha256", "suggestions", "wire"}
    ]
    body = [
        'import { readFileSync } from "node:fs";',
        *imports,
        f"const run = (given) => {{ {script} }};",
        "const answer = run(JSON.parse(readFileSync(0)));",
        "process.stdout.write(JSON.stringify(answer));",
    ]
    (modules / "run.mjs").write_text("\n".join(body), encoding="utf-8")
    done = subprocess.run(
        ["node", "run.mjs"],
        cwd=modules,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sample() -> SpatialCode:
    return from_json(SAMPLE.read_text(encoding="utf-8"))


def plain(spatial: SpatialCode) -> Any:
    return json.loads(to_json(spatial))


def test_boxes_are_projected_as_in_the_written_overlay(modules: Path) -> None:
    spatial = sample()
    script = """
    const path = new motion.CameraPath(given.code);
    return given.times.map((t) => given.code.objects.map((item) => {
      const points = wire.boxPoints(item, motion.objectPose(item, t));
      const segments = wire.edgesOf(item.label).map(([a, b]) => [points[a], points[b]]);
      const lines = projection.projectSegments(segments, path.at(t));
      return lines.flatMap(({ pixels }) => pixels);
    }));
    """
    found = run(modules, script, {"code": plain(spatial), "times": TIMES_S})
    transforms, K = CameraPath.of(spatial).at(np.array(TIMES_S))
    num_cut = 0
    for n, t_s in enumerate(TIMES_S):
        view = View(transforms[n], K[n], spatial.video.width_px, spatial.video.height_px)
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
    const camera = new motion.CameraPath(given).at(0);
    const [line] = projection.projectSegments([[[1, 2, 1.5], [1, -2, 1.5]]], camera, 0);
    const behind = projection.projectSegments([[[0, -1, 1.5], [1, -2, 1.5]]], camera);
    return [line.pixels, behind.length, projection.projectPoint([0, -3, 1.5], camera)];
    """
    pixels, num_behind, point = run(modules, script, plain(code()))
    # f = 100, c = (80, 60): starts at u = 80 + 100 · 1/2 and leaves at the right border, 160.
    np.testing.assert_allclose(pixels, [[130, 60], [160, 60]], atol=1e-6)
    assert num_behind == 0
    assert point is None


def test_between_known_times_things_move_evenly_and_then_stand(modules: Path) -> None:
    script = "return [-1, 0.25, 1.5, 9].map((t) => motion.objectPose(given, t).center_m[0]);"
    stool = plain(code(moving_stool()))["objects"][0]
    assert run(modules, script, stool) == pytest.approx([-1.0, -0.75, 0.5, 1.0])


def test_a_camera_is_drawn_as_in_the_written_page(modules: Path) -> None:
    spatial = sample()
    script = """
    const path = new motion.CameraPath(given.code);
    return given.times.map((t) => wire.frustumPoints(path.at(t), 0.35));
    """
    found = run(modules, script, {"code": plain(spatial), "times": TIMES_S})
    transforms, K = CameraPath.of(spatial).at(np.array(TIMES_S))
    expected = frustum_points(
        transforms, K, (spatial.video.width_px, spatial.video.height_px), 0.35
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_categories_have_the_librarys_colours_and_fronts(modules: Path) -> None:
    labels = [*LABELS, "office chair", "Großer Schrank", "x" * 200, "椅子"]
    script = "return given.map((label) => [palette.labelRgb(label), wire.hasFront(label)]);"
    expected = [[list(label_rgb(label)), has_front(label)] for label in labels]
    assert run(modules, script, labels) == expected


def test_a_floor_with_a_corner_is_tiled_as_in_the_written_page(modules: Path) -> None:
    corner = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (2.0, 4.0), (2.0, 2.0), (0.0, 2.0)]
    outlines = [corner, corner[::-1], corner[:2]]
    found = run(modules, "return given.map((outline) => polygon.triangulate(outline));", outlines)
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
    assert run(modules, script, given) == [2.0, 0.0, 1.0, 1.0, None]


def test_a_figure_holds_every_object_once(modules: Path) -> None:
    script = """
    const bare = figure.tracesAt(given, 0, new Set());
    const lit = figure.tracesAt(given, 0, new Set(["sofa_1"]));
    const meshes = ({ data }) =>
      data.filter((t) => t.type === "mesh3d").map((t) => [t.name, t.x.length]);
    return [meshes(bare), meshes(lit), lit.picked, bare.data.map((t) => t.name)];
    """
    spatial = sample()
    num = len(spatial.objects)
    bare, lit, picked, names = run(modules, script, plain(spatial))
    assert bare == [["floor", 4], ["boxes", 8 * num], ["highlighted boxes", 0]]
    assert lit == [["floor", 4], ["boxes", 8 * (num - 1)], ["highlighted boxes", 8]]
    assert picked["highlighted boxes"] == ["sofa_1"]
    assert {"camera path", "travelled", "camera", "edges", "highlighted edges", "names"} < set(
        names
    )


def test_no_tag_of_a_label_reaches_plotly(modules: Path) -> None:
    evil = plain(code(item("table_1", "table")))
    evil["objects"][0]["id"] = "<img src=x onerror=alert(1)>"
    script = "return JSON.stringify(figure.tracesAt(given, 0, new Set()).data).includes('<img');"
    assert run(modules, script, evil) is False


def test_suggested_questions_are_read_by_the_solver(modules: Path) -> None:
    questions = run(modules, "return suggestions.suggestions(given);", plain(sample()))
    assert len(questions) == 3
    kinds = [type(parse(question)).__name__ for question in questions]
    assert len(set(kinds)) == 3
    assert run(modules, "return suggestions.suggestions(given);", plain(code(room=None))) == []


def test_problem_documents_become_sentences(modules: Path) -> None:
    script = """
    const read = (...parts) => {
      const { message, isPassing, retryAfter_s } = problem.problemOf(...parts);
      return [message, isPassing, retryAfter_s ?? null];
    };
    return given.map((parts) => read(...parts));
    """
    full = json.dumps(
        {"type": "about:blank", "title": "Too many requests", "detail": "Queue full."}
    )
    openai = json.dumps({"error": {"message": "no such model"}})
    given = [[429, full, "2.2"], [502, "<html>", None], [404, openai, None], [422, "{}", None]]
    assert run(modules, script, given) == [
        ["Too many requests: Queue full. Try again in 3 s.", True, 2.2],
        ["The service answered 502.", True, None],
        ["no such model.", False, None],
        ["The service answered 422.", False, None],
    ]
