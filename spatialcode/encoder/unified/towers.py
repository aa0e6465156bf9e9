"""The two pretrained towers: from a hub id or a folder, and what of them is trained.

SAM 2 comes as transformers saves it, whole (``Sam2Model``, ``Sam2VideoModel``) or its image encoder
alone. Depth Anything 3 comes as its authors publish it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from spatialcode.encoder.unified.config import TowerTraining
from spatialcode.errors import MissingExtraError, WeightsError
from spatialcode.files import write_json

#: Linear layers that get adapters, in both towers.
_ADAPTED = ("qkv", "proj")


def load_object_tower(source: str, **options: Any) -> nn.Module:
    """SAM 2's image encoder, a ``Sam2VisionModel`` in float32.

    ``options``: of ``from_pretrained``. WeightsError where the source is no SAM 2.
    """
    from transformers import AutoConfig, Sam2Model, Sam2VideoModel, Sam2VisionModel

    whole: dict[str, Any] = {"sam2": Sam2Model, "sam2_video": Sam2VideoModel}
    try:
        kind = AutoConfig.from_pretrained(source, **options).model_type
        if kind == "sam2_vision_model":
            return Sam2VisionModel.from_pretrained(source, **options)
        if kind in whole:
            return whole[kind].from_pretrained(source, **options).vision_encoder
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"object tower {source}: {_one_line(error)}") from error
    raise WeightsError(f"object tower {source}: expected a SAM 2, got model type {kind!r}")


def _one_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def load_geometry_tower(source: str, **options: Any) -> nn.Module:
    """Depth Anything 3's any-view network, a ``DepthAnything3Net`` in float32.

    ``source``: a folder with ``config.json`` and ``model.safetensors``, or a hub id.
    ``options``: of the hub's download (``revision``, ``local_files_only``). WeightsError where
    they are missing, damaged, or of a network without rays; MissingExtraError without the package.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        values = json.loads(_file(source, "config.json", options).read_text(encoding="utf-8"))
        state = load_file(_file(source, "model.safetensors", options))
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(f"geometry tower {source}: {_one_line(error)}") from error
    tower = build_geometry_tower(values)
    # the published files hold the network inside a wrapper's ``model``
    state = {name.removeprefix("model."): value.float() for name, value in state.items()}
    missing, unexpected = tower.load_state_dict(state, strict=False)
    missing = _untied(tower, missing)
    if missing or unexpected:
        raise WeightsError(
            f"geometry tower {source}: weights do not fit config.json; missing {missing[:3]}, "
            f"unexpected {unexpected[:3]}"
        )
    return tower


def build_geometry_tower(values: dict[str, Any]) -> nn.Module:
    """The network of a ``config.json``, with new weights; the values are kept as its ``values``.

    ``config`` names the parts as the package's own YAML does, or ``model_name`` one of those. A
    ``net`` with ``embed_dim``, ``depth`` and ``num_heads`` is a backbone of any other size.
    """
    try:
        from depth_anything_3.model.da3 import DepthAnything3Net
    except ImportError as error:
        raise MissingExtraError("the unified encoder", "da3") from error
    from depth_anything_3.model.dualdpt import DualDPT

    parts = {k: v for k, v in _network_values(values).items() if k in _PARTS}
    _check_names(parts)
    if "embed_dim" in parts.get("net", {}):
        parts["net"] = _sized_backbone(parts["net"])
    tower = DepthAnything3Net(**parts)
    if not isinstance(tower.head, DualDPT):
        raise WeightsError("geometry tower: expected a network with depth and rays (DualDPT)")
    tower.values = values
    return tower


def save_geometry_tower(tower: Any, folder: Path) -> None:
    """Write a tower as `load_geometry_tower` reads it."""
    from safetensors.torch import save_model

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", tower.values)
    save_model(tower, str(folder / "model.safetensors"))  # which knows tied tensors


_PARTS = ("net", "head", "cam_enc", "cam_dec")
_PACKAGE = "depth_anything_3"


def _untied(module: nn.Module, missing: list[str]) -> list[str]:
    """Of names that a file lacks, those whose tensor it does not hold under another name either.

    The levels of the ray head share their normalisation, of which a file holds one copy.
    """
    held = module.state_dict()
    loaded = {held[name].data_ptr() for name in held.keys() - set(missing)}
    return [name for name in missing if held[name].data_ptr() not in loaded]


def _network_values(values: dict[str, Any]) -> dict[str, Any]:
    if "config" in values:
        return dict(values["config"])
    from depth_anything_3.cfg import load_config
    from depth_anything_3.registry import MODEL_REGISTRY

    name = values.get("model_name")
    if name not in MODEL_REGISTRY:
        known = ", ".join(MODEL_REGISTRY)
        raise WeightsError(f"geometry tower: model_name: expected one of {known}, got {name!r}")
    return {key: load_config(MODEL_REGISTRY[name])[key] for key in _PARTS}


def _check_names(values: Any) -> None:
    """Nothing but the package's own classes is imported, and nothing evaluated, at a
    configuration's word: the package registers ``eval`` as a resolver of its values.
    """
    if isinstance(values, str) and "${" in values:
        raise WeightsError(f"geometry tower: config.json: expected plain values, got {values!r}")
    if isinstance(values, list):
        values = dict(enumerate(values))
    if not hasattr(values, "items"):
        return
    path = values.get("path")
    if isinstance(path, str) and path.split(".")[0] != _PACKAGE:
        raise WeightsError(f"geometry tower: config.json names {path!r}, outside {_PACKAGE}")
    for part in values.values():
        _check_names(part)


def _sized_backbone(sizes: Any) -> nn.Module:
    """The package's transformer at a size that it has no name for."""
    from depth_anything_3.model.dinov2.vision_transformer import DinoVisionTransformer

    class SizedBackbone(nn.Module):
        def __init__(self, out_layers: list[int], **options: Any) -> None:
            super().__init__()
            self.out_layers = out_layers
            self.pretrained = DinoVisionTransformer(
                img_size=518, patch_size=14, ffn_layer="mlp", cat_token=True, **options
            )

        def forward(self, pictures: Any, **options: Any) -> Any:
            return self.pretrained.get_intermediate_layers(pictures, self.out_layers, **options)

    return SizedBackbone(**sizes)


def _file(source: str, name: str, options: dict[str, Any]) -> Path:
    folder = Path(source)
    if folder.is_dir():
        return folder / name
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(source, name, **options))


def prepare_towers(model: Any, training: TowerTraining) -> None:
    """Freeze what is not trained, and add adapters where they are asked for, in place.

    What a step does not reach is frozen in every mode: distributed training waits for the
    gradient of all that is not.
    """
    towers = (model.object_tower, model.geometry_tower)
    for tower in towers:
        tower.requires_grad_(training.mode == "full")
    if training.mode == "lora":
        from peft import LoraConfig as PeftConfig
        from peft import inject_adapter_in_model

        config = PeftConfig(
            r=training.lora_rank, lora_alpha=training.lora_alpha, target_modules=list(_ADAPTED)
        )
        inject_adapter_in_model(config, model.object_tower)
        inject_adapter_in_model(config, model.geometry_tower.backbone)
    # depth and rays come from here: their losses train it unless nothing is to be trained
    model.geometry_tower.head.requires_grad_(training.mode != "frozen")
    for parameter in _unreached(model):
        parameter.requires_grad_(False)


def _unreached(model: Any) -> Iterator[nn.Parameter]:
    """Parameters that no output depends on."""
    geometry, neck = model.geometry_tower, model.object_tower.neck
    for part in (geometry.cam_enc, geometry.cam_dec, geometry.gs_head, geometry.gs_adapter):
        if part is not None:
            yield from part.parameters()
    # of the pyramid only the level of stride 16 is read, and what it is summed of
    num_levels = model.object_tower.num_feature_levels
    read = range(len(neck.convs) - num_levels + 1)
    for place, convolution in enumerate(neck.convs):
        if place not in read:
            yield from convolution.parameters()
    # rays are read from the last level alone
    scratch = geometry.head.scratch
    for levels in (scratch.output_conv1_aux, scratch.output_conv2_aux):
        shared = {id(parameter) for parameter in levels[-1].parameters()}
        for level in list(levels)[:-1]:
            yield from (p for p in level.parameters() if id(p) not in shared)


def merged_towers(model: Any) -> tuple[nn.Module, nn.Module]:
    """Both towers with their adapters, if any, added to their weights and taken away, in place."""
    for tower in (model.object_tower, model.geometry_tower):
        for name, module in list(tower.named_modules()):
            if hasattr(module, "get_base_layer") and hasattr(module, "merge"):
                module.merge()
                tower.set_submodule(name, module.get_base_layer())
    return model.object_tower, model.geometry_tower
