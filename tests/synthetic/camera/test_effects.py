import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialcode.synthetic.camera import (
    exposure,
    lens,
    motion_blur,
    noise,
    rolling_shutter,
    tone,
    white_balance,
)
from spatialcode.synthetic.camera.phone import Phone, Shutter, taken
from spatialcode.synthetic.paths import camera_poses
from spatialcode.synthetic.raster.rasteriser import Picture

K = np.array([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]])
SHAPE = (120, 160)


def grey(value: float = 0.5) -> np.ndarray:
    return np.full((*SHAPE, 3), value, np.float32)


def test_metering_brings_the_mean_to_the_aim_and_a_window_changes_it_little() -> None:
    assert exposure.metered(grey(0.5), 0.2) == pytest.approx(0.4)
    bright = grey(0.5)
    bright[:24] = 500.0  # a fifth of the picture counts as six times the rest
    assert exposure.metered(bright, 0.2) == pytest.approx(0.2 / (0.8 * 0.5 + 0.2 * 3.0), rel=1e-3)


def test_exposure_adapts_by_a_share_of_the_stops() -> None:
    assert exposure.adapted(None, 3.0, 0.5) == 3.0
    assert exposure.adapted(1.0, 4.0, 0.5) == pytest.approx(2.0)


def test_grey_world_takes_the_light_s_colour_out() -> None:
    warm = grey() * np.array([2.0, 1.0, 0.5], np.float32)
    full = white_balance.grey_world_gains(warm, 1.0)
    np.testing.assert_allclose(white_balance.balanced(warm, full)[0, 0], 0.5, rtol=1e-5)
    np.testing.assert_allclose(white_balance.grey_world_gains(warm, 0.0), 1.0)


def test_blur_spreads_a_point_along_its_way_and_keeps_its_light() -> None:
    point = np.zeros((*SHAPE, 3), np.float32)
    point[60, 80] = 1.0
    out = motion_blur.blurred(point, (10.0, 0.0))
    assert out.sum() == pytest.approx(3.0, rel=1e-4)
    assert out[60, 76:85, 0].min() > 0.08
    assert max(out[60, :73].max(), out[63].max()) < 1e-12
    assert motion_blur.blurred(point, (0.3, 0.3)) is point


@settings(max_examples=30, deadline=None)
@given(st.floats(-20, 20), st.floats(-20, 20))
def test_a_streak_has_sum_one_and_no_lean(x: float, y: float) -> None:
    kernel = motion_blur.streak((x, y))
    assert kernel.sum() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-5)


def test_rotation_flow_is_what_turned_rays_do() -> None:
    rate = np.array([0.3, -0.2, 0.5])
    dx, dy = rolling_shutter.rotation_flow(K, SHAPE, rate)
    small = 1e-6
    for i, j in ((10, 20), (60, 80), (119, 0)):
        ray = np.linalg.solve(K, [j + 0.5, i + 0.5, 1.0])
        u, v, w = K @ (ray - np.cross(rate, ray) * small)
        assert ((u / w - j - 0.5) / small, (v / w - i - 0.5) / small) == pytest.approx(
            (dx[i, j], dy[i, j]), rel=1e-3, abs=1e-3
        )


def test_turning_is_the_rate_between_two_poses_in_the_camera() -> None:
    poses = camera_poses(np.zeros((2, 3)), np.array([0.4, 0.5]), np.zeros(2), np.zeros(2))
    # heading grows to the left: about the camera's down axis that is a negative turn
    rate = rolling_shutter.turning(poses[0], poses[1], 0.5)
    assert rate == pytest.approx([0.0, -0.2, 0.0], abs=1e-9)


def test_late_rows_show_the_world_moved_on() -> None:
    dx, dy = rolling_shutter.sources(K, SHAPE, np.array([0.0, 1.0, 0.0]), 0.02)
    # turning right by 1 rad/s moves the picture left by 100 px/s at the middle
    assert dx[0, 80] == pytest.approx(-100 * 0.02 / 2, rel=0.02)
    assert dx[119, 80] == pytest.approx(100 * 0.02 / 2, rel=0.02)
    assert abs(dx[59, 80]) < 0.02
    assert np.abs(dy[:, 80]).max() < 0.01


def test_distortion_grows_with_the_square_of_the_radius() -> None:
    dx, dy = lens.sources(K, SHAPE, 0.1)
    assert dx[60, 130] == pytest.approx(0.505 * 0.1 * (0.505**2 + 0.005**2) * 100, rel=1e-4)
    assert dx[60, 30] == pytest.approx(-0.495 * 0.1 * (0.495**2 + 0.005**2) * 100, rel=1e-4)
    assert np.abs(dy[60]).max() < 0.05


def test_a_picture_is_read_where_the_shift_says() -> None:
    ramp = np.tile(np.arange(160, dtype=np.float32), (120, 1))
    shift = (np.full(SHAPE, 2.25, np.float32), np.zeros(SHAPE, np.float32))
    assert lens.bent(ramp, shift, smooth=True)[5, 50] == pytest.approx(52.25, abs=0.05)
    assert lens.bent(ramp, shift, smooth=False)[5, 50] == 52.0
    assert lens.bent(ramp, shift, smooth=True)[5, 159] == 159.0


def test_corners_darken_by_the_strength_and_the_middle_not() -> None:
    out = lens.vignetted(grey(1.0), 0.3)
    assert out[0, 0, 0] == pytest.approx(0.7)
    assert out[60, 80, 0] == pytest.approx(1, abs=1e-3)
    assert lens.softened(out, 0.0) is out


def test_noise_has_the_variance_that_its_photons_and_reading_give() -> None:
    out = noise.noisy(grey(0.4), 1000.0, 0.01, np.random.default_rng(0)) - 0.4
    assert out.var() == pytest.approx(0.4 / 1000 + 1e-4, rel=0.05)
    assert abs(out.mean()) < 1e-3
    again = noise.noisy(grey(0.4), 1000.0, 0.01, np.random.default_rng(0)) - 0.4
    np.testing.assert_array_equal(out, again)
    assert noise.noisy(out, 0.0, 0.1, np.random.default_rng(0)) is out


def test_tone_rises_from_black_to_white() -> None:
    light = np.linspace(0, 8, 200, dtype=np.float32)
    for contrast in (0.0, 0.4):
        shown = tone.curve(light, 2.2, contrast)
        assert shown[0] == 0
        assert shown[-1] == pytest.approx(1)
        assert (np.diff(shown) >= 0).all()
    assert tone.toned(grey(0.18), 2.2, 0.0)[0, 0, 0] == pytest.approx(
        255 * 0.1716 ** (1 / 2.2), abs=2
    )


def test_sharpening_overdraws_edges_only() -> None:
    image = np.full((*SHAPE, 3), 100, np.uint8)
    image[:, 80:] = 150
    out = tone.sharpened(image, 0.8)
    assert out[60, 80, 0] > 155
    assert out[60, 79, 0] < 95
    assert out[60, 20, 0] == 100


def test_a_phone_bends_light_depth_and_instances_alike() -> None:
    depth = np.tile(np.linspace(1, 5, 160, dtype=np.float32), (120, 1))
    instance = (np.arange(160) // 8).astype(np.int16)[None].repeat(120, axis=0)
    linear = np.repeat(instance[..., None] / 20, 3, axis=2).astype(np.float32)
    clean = Phone(0.2, 0, (1, 1, 1), 0.08, 0.02, 0, 0, 0, 0, 2.2, 0, 0)
    shutter = Shutter(np.array([0.0, 0.5, 0.3]), 0.0, 1.0)
    picture = Picture(linear, depth, instance)
    rgb, seen = taken(picture, K, clean, shutter, np.random.default_rng(0))
    assert not np.array_equal(seen.instance, instance)
    inside = np.abs(seen.linear[..., 0] * 20 - seen.instance) < 0.5
    assert inside.mean() > 0.99
    assert np.abs((seen.depth_m - 1) / 4 * 159 // 8 - seen.instance).mean() < 0.15
    still = Phone(0.2, 0, (1, 1, 1), 0.0, 0.02, 0, 0, 0, 0, 2.2, 0, 0)
    _, same = taken(picture, K, still, Shutter(np.zeros(3), 0.0, 1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(same.instance, instance)
    assert rgb.shape == (*SHAPE, 3)
    assert rgb.dtype == np.uint8


def test_phones_follow_from_their_seed_and_differ() -> None:
    one, same = (Phone.draw(np.random.default_rng(3)) for _ in range(2))
    assert one == same != Phone.draw(np.random.default_rng(4))
