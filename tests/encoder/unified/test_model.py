"""The network's parts: towers, what of them is trained, pooling, and the frame of its boxes."""

from __future__ import annotations

import math

import pytest
import torch

from spatialcode.encoder.unified.config import FUSIONS, TOWER_MODES, UnifiedNetworkConfig
from spatialcode.encoder.unified.fusion import make_fusion
from spatialcode.encoder.unified.head import MaskHead, mask_shapes
from spatialcode.encoder.unified.model import UnifiedOutput, geometry_size, pooled_under
from spatialcode.encoder.unified.rotations import rotation_matrix
from spatialcode.encoder.unified.towers import (
    load_geometry_tower,
    load_object_tower,
    save_geometry_tower,
)
from spatialcode.encoder.unified.weights import load_unified, save_unified
from spatialcode.errors import ConfigError, WeightsError
from tests.encoder.geometry.tiny_geometry import METRIC, save_da3
from tests.encoder.unified.tiny import make_model, object_config, save_towers


def inputs(num_frames: int = 3, height: int = 96, width: int = 128):
    generator = torch.Generator().manual_seed(1)
    shape = (1, num_frames, height, width, 3)
    rgb = torch.randint(0, 255, shape, generator=generator).to(torch.uint8)
    K = torch.tensor([[100.0, 0, width / 2], [0, 100, height / 2], [0, 0, 1]])
    masks = torch.zeros(1, num_frames, 2, height, width, dtype=torch.bool)
    masks[:, :, 0, 10:40, 20:60] = True
    masks[:, :, 1, 50:80, 70:120] = True
    return rgb, K.expand(1, num_frames, 3, 3), masks


@pytest.mark.parametrize("mode", TOWER_MODES)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_trained_weight_is_reached_by_a_step(tmp_path, mode, fusion):
    model = make_model(tmp_path, mode=mode, fusion=fusion)
    output = model(*inputs())
    sum(value.float().abs().mean() for value in output.values()).backward()
    named = list(model.named_parameters())
    unreached = [name for name, p in named if p.requires_grad and p.grad is None]
    assert not unreached, "distributed training would wait for these"
    towers = [name for name, p in named if "_tower" in name and p.requires_grad]
    if mode == "frozen":
        assert not towers
    if mode == "lora":
        outside = [name for name in towers if ".lora_" not in name]
        assert all(name.startswith("geometry_tower.head") for name in outside)
        assert {"object_tower", "geometry_tower"} == {
            name.split(".")[0] for name in towers if ".lora_" in name
        }
    if mode == "full":
        held = sum(p.numel() for name, p in named if "_tower" in name and p.requires_grad)
        assert held > 0.8 * sum(p.numel() for name, p in named if "_tower" in name)


def test_masks_do_not_see_each_other_and_their_order_does_not_matter(tmp_path):
    model = make_model(tmp_path).eval()
    rgb, K, masks = inputs()
    both = model(rgb, K, masks)["center_m"]
    swapped = model(rgb, K, masks.flip(2))["center_m"]
    alone = model(rgb, K, masks[:, :, 1:])["center_m"]
    assert torch.allclose(both, swapped.flip(2), atol=1e-6)
    assert torch.allclose(both[:, :, 1:], alone, atol=1e-6)
    assert (both[:, :, 0] - both[:, :, 1]).abs().max() > 1e-3


def test_a_mask_without_pixels_still_gives_finite_numbers(tmp_path):
    model = make_model(tmp_path).eval()
    rgb, K, masks = inputs()
    output = UnifiedOutput(**model(rgb, K, torch.zeros_like(masks)))
    assert torch.isfinite(output.center_m).all()
    assert torch.allclose(output.quaternion_wxyz.norm(dim=-1), torch.ones(1, 3, 2))


def test_bfloat16_towers_leave_boxes_and_depth_in_float32(tmp_path):
    model = make_model(tmp_path).eval()
    plain = model(*inputs())
    model.in_bfloat16 = True
    rough = model(*inputs())
    assert {value.dtype for value in rough.values()} == {torch.float32}
    off = (rough["depth_m"] / plain["depth_m"] - 1).abs().median()
    assert 0 < off < 0.05


def test_features_are_pooled_by_the_share_of_each_cell():
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    masks = torch.zeros(1, 1, 2, 4, 4, dtype=torch.bool)
    masks[0, 0, 0, 0, :] = True  # half of both upper cells
    masks[0, 0, 1, 1:3, 0] = True  # a quarter of both left cells
    assert pooled_under(features, masks)[0, 0, :, 0].tolist() == [1.5, 2.0]


def test_a_masks_shape_is_its_ray_and_median_depth():
    depth = torch.full((1, 1, 4, 4), 9.0)
    depth[0, 0, 0, :3] = torch.tensor([1.0, 2.0, 5.0])
    masks = torch.zeros(1, 1, 1, 4, 4, dtype=torch.bool)
    masks[0, 0, 0, 0, :3] = True
    K = torch.tensor([[2.0, 0, 2], [0, 2.0, 2], [0, 0, 1]])[None, None]
    shape = mask_shapes(masks, depth, K)
    assert shape.depth.item() == pytest.approx(2.0)
    # pixel centres 0.5, 1.5 and 2.5 of row 0.5: x / z is -0.75, -0.25 and 0.25
    assert shape.ray[0, 0, 0].tolist() == pytest.approx([-0.25, -0.75, 1.0])


def test_boxes_are_said_about_the_ray_and_turn_with_it():
    torch.manual_seed(0)
    head = MaskHead(8)
    pooled = torch.randn(1, 1, 1, 8)
    masks = torch.zeros(1, 1, 1, 16, 16, dtype=torch.bool)
    masks[..., 7:9, 7:9] = True
    K = torch.tensor([[16.0, 0, 8], [0, 16.0, 8], [0, 0, 1]])[None, None]
    # the same picture by a camera whose middle is elsewhere: the ray is turned by 45 degrees
    turned_K = K.clone()
    turned_K[..., 0, 2] = 8 - 16.0
    depth = torch.full((1, 1, 16, 16), 2.0)
    shapes = [mask_shapes(masks, depth, k) for k in (K, turned_K)]
    told = shapes[0].told
    ahead, aside = (
        head(pooled, type(s)(s.ray, s.depth, told)) for s in shapes
    )  # the same numbers told, so that only the ray differs
    turn = torch.tensor(rotation_about_y(math.pi / 4), dtype=torch.float32)
    one, two = (rotation_matrix(o["quaternion_wxyz"][0, 0, 0]) for o in (ahead, aside))
    assert torch.allclose(two, turn @ one, atol=1e-5)
    first = ahead["center_m"][0, 0, 0] - torch.tensor([0.0, 0.0, 2.0])
    second = aside["center_m"][0, 0, 0] - torch.tensor([2.0, 0.0, 2.0])
    assert torch.allclose(second, turn @ first, atol=1e-5)


def rotation_about_y(angle: float) -> list[list[float]]:
    c, s = math.cos(angle), math.sin(angle)
    return [[c, 0, s], [0, 1, 0], [-s, 0, c]]


@pytest.mark.parametrize(
    ("shape_hw", "longer", "expected"),
    [((480, 640), 504, (378, 504)), ((640, 480), 504, (504, 378)), ((10, 2000), 504, (14, 504))],
)
def test_the_geometry_towers_picture_is_whole_patches(shape_hw, longer, expected):
    assert geometry_size(shape_hw, longer) == expected


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="num_heads: expected a divisor of width = 32, got 5"):
        make_fusion(8, 8, UnifiedNetworkConfig(fusion="cross_attention", width=32, num_heads=5))


def test_a_whole_sam_2_and_its_image_encoder_alone_are_the_same_tower(tmp_path):
    from transformers import Sam2Config, Sam2MaskDecoderConfig, Sam2Model, Sam2PromptEncoderConfig

    torch.manual_seed(3)
    vision = object_config()
    whole = Sam2Model(
        Sam2Config(
            vision_config=vision.to_dict(),
            prompt_encoder_config=Sam2PromptEncoderConfig(hidden_size=64, image_size=128).to_dict(),
            mask_decoder_config=Sam2MaskDecoderConfig(
                hidden_size=64, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16
            ).to_dict(),
        )
    )
    whole.save_pretrained(tmp_path / "whole")
    whole.vision_encoder.save_pretrained(tmp_path / "alone")
    picture = torch.randn(1, 3, 128, 128)
    towers = [load_object_tower(str(tmp_path / name)) for name in ("whole", "alone")]
    one, two = (tower(picture).fpn_hidden_states[-1] for tower in towers)
    assert one.shape[-2:] == (8, 8)
    assert torch.equal(one, two)


def test_towers_that_cannot_be_used_are_refused_by_name(tmp_path):
    _, geometry = save_towers(tmp_path)
    with pytest.raises(WeightsError, match="object tower"):
        load_object_tower(geometry)
    with pytest.raises(WeightsError, match=r"config\.json"):
        load_geometry_tower(str(tmp_path))
    with pytest.raises(WeightsError, match="that can be reached"):
        load_geometry_tower("no such/name at all")
    file = tmp_path / "da3" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        load_geometry_tower(geometry)


def test_a_network_without_rays_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="rays"):
        load_geometry_tower(str(save_da3(tmp_path / "metric", METRIC)))


def test_a_geometry_tower_survives_being_saved(tmp_path):
    _, geometry = save_towers(tmp_path)
    tower = load_geometry_tower(geometry)
    save_geometry_tower(tower, tmp_path / "again")
    again = load_geometry_tower(str(tmp_path / "again")).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in tower.state_dict().items())


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_a_saved_model_says_what_it_said(tmp_path, mode):
    model = make_model(tmp_path, mode=mode)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # new adapters add nothing
                parameter.normal_(std=0.1)
    model.eval()
    before = model(*inputs())
    save_unified(model, tmp_path / "saved", {})
    after = load_unified(tmp_path / "saved")(*inputs())
    for name, value in before.items():
        assert torch.allclose(value, after[name], atol=1e-4, rtol=1e-3), name
