from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spatialcode.export.overlay import NEAR_M, clip_segments, project_segments
from spatialcode.scene.pinhole import Pinhole
from tests.export.codes import AHEAD

K = np.array([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]])
VIEW = Pinhole(K, np.array(AHEAD), 160, 120)


def test_a_segment_in_view_is_projected_whole() -> None:
    # From (0, 4, 1.5) to (1, 4, 2.5): 4 m ahead, so 25 px a metre, up is towards v = 0.
    lines = project_segments(np.array([[[0.0, 4.0, 1.5], [1.0, 4.0, 2.5]]]), VIEW)
    np.testing.assert_allclose(lines.pixels, [[[80, 60], [105, 35]]])
    np.testing.assert_allclose(lines.depth_m, [[4, 4]])


def test_what_is_behind_the_camera_is_not_drawn() -> None:
    lines = project_segments(np.array([[[0.0, -4.0, 1.5], [1.0, -1.0, 2.5]]]), VIEW)
    assert lines.pixels.shape == (0, 2, 2)


def test_an_edge_that_passes_the_camera_ends_at_the_images_border() -> None:
    # Along the view, 0.5 m to the right and 0.3 m below: from 4 m ahead to 4 m behind. It
    # reaches the margin on the right (168 px) where 80 + 100 * 0.5 / z = 168, z = 50 / 88.
    segment = np.array([[[0.5, 4.0, 1.2], [0.5, -4.0, 1.2]]])
    lines = project_segments(segment, VIEW, margin_px=8.0)
    np.testing.assert_allclose(lines.pixels[0, 0], [80 + 12.5, 60 + 7.5])
    z = 50 / 88
    np.testing.assert_allclose(lines.pixels[0, 1], [168, 60 + 30 / z])
    np.testing.assert_allclose(lines.depth_m[0], [4, z])


def test_an_edge_on_the_optical_axis_ends_at_the_near_plane() -> None:
    lines = project_segments(np.array([[[0.0, 2.0, 1.5], [0.0, -2.0, 1.5]]]), VIEW)
    np.testing.assert_allclose(lines.depth_m[0], [2, NEAR_M])


def test_each_part_says_which_segment_it_is_of() -> None:
    ahead, behind = [[0.0, 4.0, 1.5], [1.0, 4.0, 1.5]], [[0.0, -4.0, 1.5], [1.0, -4.0, 1.5]]
    lines = project_segments(np.array([behind, ahead, behind, ahead]), VIEW)
    assert lines.source.tolist() == [1, 3]


coordinates = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


@given(arrays(np.float64, (5, 2, 3), elements=coordinates))
@settings(max_examples=200)
def test_pixels_stay_near_the_image_whatever_the_boxes(segments: np.ndarray) -> None:
    lines = project_segments(segments, VIEW, margin_px=8.0)
    assert np.all(lines.pixels >= -8.1)
    assert np.all(lines.pixels <= np.array([168.1, 128.1]))


@given(arrays(np.float64, (4, 2, 3), elements=st.floats(-10, 10)))
def test_clipping_agrees_with_dense_sampling(segments: np.ndarray) -> None:
    normals, offsets = np.array([[1.0, 0, 0], [-0.5, 1, 0.25]]), np.array([-2.0, 1.0])
    parts, source = clip_segments(segments, normals, offsets)
    shares = np.linspace(0, 1, 101)[:, None]
    for number, (start, end) in enumerate(segments):
        samples = start + shares * (end - start)
        inside = (samples @ normals.T - offsets >= 1e-6).all(axis=1)
        assert not inside.any() or number in source
        length = float(np.linalg.norm(end - start))
        if number in source and length > 1e-3:
            part_start, part_end = parts[source.tolist().index(number)]
            kept = float(np.linalg.norm(part_end - part_start)) / length
            assert abs(kept - inside.mean()) < 0.03  # a hundred samples, so two of them
