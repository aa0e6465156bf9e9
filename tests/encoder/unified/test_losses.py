"""The loss's terms by numbers worked out by hand, and their gradients by differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.encoder.unified.losses import (
    SYMMETRIES,
    binary_loss,
    depth_loss,
    laplace_nll,
    masked_mean,
    nearest_equal,
    ray_loss,
    true_rays,
)
from spatialcode.encoder.unified.rotations import (
    quaternion_product,
    rotation_matrix,
    turned_to,
)
from spatialcode.scene.frames import (
    matrix_from_quaternion,
    quaternion_from_yaw,
)

angles = st.floats(-3.0, 3.0)
numbers = st.floats(-1.0, 1.0)


def f64(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def yaw(radians: float) -> torch.Tensor:
    return torch.from_numpy(quaternion_from_yaw(radians))


def symmetry(name: str) -> torch.Tensor:
    return torch.tensor(SYMMETRIES.index(name))


def gradient_is_right(function, *inputs) -> None:
    assert torch.autograd.gradcheck(function, [i.clone().requires_grad_() for i in inputs])


def test_laplace_likelihood():
    # |e| / b + ln 2b with e = 0.3, b = 0.5: 0.6 + ln 1
    assert laplace_nll(f64(-0.3), f64(0.5).log()).item() == pytest.approx(0.6)
    assert laplace_nll(f64(0.0), f64(0.0)).item() == pytest.approx(math.log(2.0))
    gradient_is_right(laplace_nll, f64(0.4, -1.2), f64(-0.5, 0.7))


def test_the_likeliest_scale_is_the_mean_error():
    errors = f64(0.1, 0.2, 0.6)
    scales = f64(0.2, 0.29, 0.3, 0.31, 0.5).log()
    mean = laplace_nll(errors[:, None], scales).mean(0)
    assert mean.argmin() == 2


@pytest.mark.parametrize(("beta", "expected"), [(0.0, 4.0), (0.5, 2.0), (1.0, 1.0)])
def test_beta_takes_sureness_out_of_an_errors_gradient(beta, expected):
    error = f64(0.3).requires_grad_()
    laplace_nll(error, f64(0.25).log(), beta).sum().backward()
    assert error.grad.item() == pytest.approx(expected)


def test_rotation_error_is_the_square_of_half_the_angles_sine():
    size = f64(1.0, 2.0, 3.0)
    right = nearest_equal(yaw(0.2), yaw(0.2), size, symmetry("full"))
    assert right.rotation_error.item() == pytest.approx(0.0, abs=1e-12)
    off = nearest_equal(yaw(0.2 + math.pi / 3), yaw(0.2), size, symmetry("full"))
    assert off.rotation_error.item() == pytest.approx(0.25)
    # the same rotation with all signs changed
    same = nearest_equal(-yaw(0.2), yaw(0.2), size, symmetry("full"))
    assert same.rotation_error.item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "turn", "error", "exchanged"),
    [
        ("full", math.pi, 1.0, False),
        ("half", math.pi, 0.0, False),
        ("half", math.pi / 2, 0.5, False),
        ("quarter", math.pi / 2, 0.0, True),
        ("quarter", math.pi, 0.0, False),
        ("quarter", -math.pi / 2, 0.0, True),
        ("round", 1.234, 0.0, False),
    ],
)
def test_turns_that_leave_a_box_as_it_was_cost_nothing(name, turn, error, exchanged):
    size = f64(1.0, 2.0, 3.0)
    equal = nearest_equal(yaw(0.3 + turn), yaw(0.3), size, symmetry(name))
    assert equal.rotation_error.item() == pytest.approx(error, abs=1e-9)
    assert equal.size_m.tolist() == ([2.0, 1.0, 3.0] if exchanged else [1.0, 2.0, 3.0])


def test_a_round_things_axis_counts():
    tilted = f64(math.cos(math.pi / 6), math.sin(math.pi / 6), 0.0, 0.0)  # 60° about x
    equal = nearest_equal(tilted, yaw(0.7), f64(1.0, 1.0, 1.0), symmetry("round"))
    assert equal.rotation_error.item() == pytest.approx(0.25)


def test_each_row_of_a_batch_has_its_own_symmetry():
    turned, size = yaw(math.pi).expand(2, 4), torch.ones(2, 3, dtype=torch.float64)
    names = torch.tensor([SYMMETRIES.index("full"), SYMMETRIES.index("half")])
    errors = nearest_equal(turned, yaw(0.0).expand(2, 4), size, names).rotation_error
    assert errors.tolist() == pytest.approx([1.0, 0.0], abs=1e-9)


@pytest.mark.parametrize("name", SYMMETRIES)
def test_the_gradient_of_the_rotation(name):
    own = torch.nn.functional.normalize(f64(0.9, 0.2, -0.1, 0.3), dim=0)

    def error(predicted):
        return nearest_equal(predicted, yaw(0.4), f64(1.0, 2.0, 3.0), symmetry(name)).rotation_error

    gradient_is_right(error, own)
    pulled = own.clone().requires_grad_()
    error(pulled).backward()
    step = torch.nn.functional.normalize(own - 0.1 * pulled.grad, dim=0)
    assert error(step) < error(own)


def test_binary_loss_and_masked_mean():
    assert binary_loss(f64(0.0), f64(0.7)).item() == pytest.approx(math.log(2.0))
    assert binary_loss(f64(math.log(3.0)), f64(1.0)).item() == pytest.approx(-math.log(0.75))
    used = torch.tensor([True, False, True])
    assert masked_mean(f64(1.0, 50.0, 4.0), used).item() == 2.5
    nothing = f64(1.0, 2.0).requires_grad_()
    masked_mean(nothing, torch.zeros(2, dtype=torch.bool)).backward()
    assert nothing.grad.tolist() == [0.0, 0.0]


def test_depth_loss_counts_known_pixels_and_their_steps():
    truth = f64(1.0, 2.0, math.nan, 0.0).reshape(1, 2, 2)
    predicted = f64(math.e, 2.0, 77.0, 88.0).reshape(1, 2, 2)
    confidence = torch.full((1, 2, 2), 2.0, dtype=torch.float64)
    # likelihood: (2·1 - ln 2 + 2·0 - ln 2) / 2; one step across, off by 1; none along
    expected = 1.0 - math.log(2.0) + 1.0
    assert depth_loss(predicted, confidence, truth).item() == pytest.approx(expected)
    gradient_is_right(
        lambda d, c: depth_loss(d, c, f64(1.0, 2.0, 3.0, 4.0).reshape(1, 2, 2)),
        f64(1.5, 2.5, 2.0, 3.0).reshape(1, 2, 2),
        f64(1.0, 2.0, 1.5, 1.2).reshape(1, 2, 2),
    )


def test_rays_of_two_cameras():
    K = f64([2.0, 0.0, 1.0], [0.0, 2.0, 0.5], [0.0, 0.0, 1.0]).expand(1, 2, 3, 3)
    T = torch.eye(4, dtype=torch.float64).repeat(1, 2, 1, 1)
    T[0, :, :3, 3] = f64([1.0, 0.0, 0.0], [1.0, 0.0, 5.0])
    # the second camera is turned to the first's right: its z is the first's x
    T[0, 1, :3, :3] = f64([0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0])
    rays = true_rays(K, T, (1, 2), unit_m=2.5)
    # pixel centres at 0.5 and 1.5, principal point at 1: x / z is -1/4 and 1/4
    assert rays[0, 0, 0].tolist() == [[-0.25, 0.0, 1.0, 0, 0, 0], [0.25, 0.0, 1.0, 0, 0, 0]]
    assert rays[0, 1, 0, 1].tolist() == pytest.approx([1.0, 0.0, -0.25, 0.0, 0.0, 2.0])


def test_ray_loss_is_what_confidence_makes_of_the_mean_error():
    true, off = torch.zeros(1, 1, 1, 1, 6), torch.full((1, 1, 1, 1, 6), 0.5)
    confidence = torch.full((1, 1, 1, 1), 3.0)
    assert ray_loss(off, confidence, true).item() == pytest.approx(1.5 - math.log(3.0))
    double = [part.double() for part in (off, confidence)]
    gradient_is_right(lambda r, c: ray_loss(r, c, true.double()), *double)


@given(st.lists(numbers, min_size=8, max_size=8))
def test_rotations_agree_with_the_scene_conventions(values):
    raw = np.array(values).reshape(2, 4) + np.array([1.5, 0, 0, 0])
    a, b = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    both = quaternion_product(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    product = matrix_from_quaternion(a) @ matrix_from_quaternion(b)
    assert np.allclose(matrix_from_quaternion(both), product, atol=1e-12)
    assert np.allclose(rotation_matrix(torch.from_numpy(a)), matrix_from_quaternion(a), atol=1e-12)


@given(numbers, numbers)
def test_the_turn_to_a_ray_takes_z_there_and_rolls_nothing(x, y):
    ray = f64(x, y, 1.0)
    turned = rotation_matrix(turned_to(ray))
    assert torch.allclose(turned[:, 2], ray / ray.norm())
    # the shortest turn: its axis has no part along z
    assert turned_to(ray)[3] == 0.0
