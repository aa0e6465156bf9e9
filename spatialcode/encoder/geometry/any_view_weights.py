"""Depth Anything 3's networks from a folder or a repository of the hub.

Its ``config.json`` names one of the package's own networks, or holds the parts of one as the
package's YAML does; ``model.safetensors`` holds the tensors inside a wrapper's ``model``. Only the
package's own classes are made, and nothing is evaluated, at a configuration's word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from spatialcode.errors import MissingExtraError, WeightsError

#: pip would install numpy below 2 and xformers with the package, which its networks do not need.
INSTALL = "pip install --no-deps depth-anything-3==0.1.1 addict"

_PACKAGE = "depth_anything_3"
_FILES = ("config.json", "model.safetensors")
_PARTS = ("net", "head", "cam_enc", "cam_dec")
_NESTED = ("anyview", "metric")


def load_any_view(source: str | Path) -> nn.Module:
    """A network of depth, or of depth and poses, a ``DepthAnything3Net`` in float32.

    WeightsError where its files are missing, damaged or of something else; MissingExtraError
    without the package.
    """
    parts, tensors = _read(source)
    if set(_NESTED) <= set(parts):
        raise WeightsError(f"{source}: expected one network, got nested ones")
    return _filled(source, _built(source, parts), tensors)


def load_nested(source: str | Path) -> tuple[nn.Module, nn.Module]:
    """The any-view and the metric network of nested weights; errors as `load_any_view`."""
    parts, tensors = _read(source)
    if not set(_NESTED) <= set(parts):
        raise WeightsError(f"{source}: expected nested networks, got {', '.join(parts)}")
    found = []
    for name, prefix in zip(_NESTED, ("da3.", "da3_metric."), strict=True):
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        found.append(_filled(source, _built(source, parts[name]), own))
    return found[0], found[1]


def is_nested(source: str | Path) -> bool:
    """Whether weights hold an any-view and a metric network together."""
    _require()
    return set(_NESTED) <= set(_parts(source, _folder(source)))


def _require() -> None:
    try:
        import depth_anything_3.model.da3  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Depth Anything 3", "da3", INSTALL) from error


def _read(source: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _require()
    folder = _folder(source)
    parts = _parts(source, folder)
    try:
        tensors = load_file(folder / _FILES[1])
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{source}: {_FILES[1]}: {error}") from error
    return parts, {name.removeprefix("model."): value.float() for name, value in tensors.items()}


def _folder(source: str | Path) -> Path:
    folder = Path(source)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(str(source), allow_patterns=list(_FILES)))
    except (OSError, ValueError, HFValidationError) as error:
        expected = "a folder of weights, or a repository of the hub that can be reached"
        raise WeightsError(f"{source}: expected {expected}: {error}") from error


def _parts(source: str | Path, folder: Path) -> dict[str, Any]:
    """A network's parts by name, or those of two nested ones."""
    from depth_anything_3.cfg import load_config
    from depth_anything_3.registry import MODEL_REGISTRY

    try:
        values = json.loads((folder / _FILES[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{source}: {_FILES[0]}: {error}") from error
    own = values.get("config") if isinstance(values, dict) else None
    if own is not None:
        _check_plain(source, own)
        parts = own
    else:
        name = values.get("model_name") if isinstance(values, dict) else None
        if name not in MODEL_REGISTRY:
            known = ", ".join(MODEL_REGISTRY)
            raise WeightsError(f"{source}: model_name: expected one of {known}, got {name!r}")
        parts = dict(load_config(MODEL_REGISTRY[name]))
    wanted = (*_PARTS, *_NESTED)
    return {name: part for name, part in parts.items() if name in wanted}


def _check_plain(source: str | Path, values: Any) -> None:
    """Refuse classes of other packages, and interpolations: the package evaluates some."""
    if isinstance(values, str) and "${" in values:
        raise WeightsError(f"{source}: config.json: expected plain values, got {values!r}")
    if isinstance(values, dict):
        path = values.get("path")
        if isinstance(path, str) and path.split(".")[0] != _PACKAGE:
            raise WeightsError(f"{source}: config.json: expected {_PACKAGE}, got {path!r}")
    inner = values.values() if isinstance(values, dict) else values
    for value in inner if isinstance(values, dict | list) else ():
        _check_plain(source, value)


def _built(source: str | Path, parts: dict[str, Any]) -> nn.Module:
    from depth_anything_3.model.da3 import DepthAnything3Net

    own = {name: parts[name] for name in _PARTS if name in parts}
    try:
        if "embed_dim" in own.get("net", {}):
            own["net"] = _sized_backbone(own["net"])
        return DepthAnything3Net(**own)
    except (AttributeError, ImportError, KeyError, TypeError, ValueError, AssertionError) as error:
        raise WeightsError(f"{source}: config.json is no network: {error}") from error


def _sized_backbone(sizes: dict[str, Any]) -> nn.Module:
    """The package's transformer of a size that it has no name for."""
    from depth_anything_3.model.dinov2.vision_transformer import DinoVisionTransformer

    class SizedBackbone(nn.Module):
        def __init__(self, out_layers: list[int], **options: Any) -> None:
            super().__init__()
            self.out_layers = out_layers
            self.pretrained = DinoVisionTransformer(
                img_size=518, patch_size=14, ffn_layer="mlp", **options
            )

        def forward(self, pictures: Any, **options: Any) -> Any:
            return self.pretrained.get_intermediate_layers(pictures, self.out_layers, **options)

    return SizedBackbone(**sizes)


def _filled(source: str | Path, network: nn.Module, tensors: dict[str, Any]) -> nn.Module:
    try:
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{source}: tensors do not fit: {error}") from error
    held = network.state_dict()
    # tied tensors are stored under one of their names
    loaded = {held[name].data_ptr() for name in held.keys() - set(missing)}
    missing = [name for name in missing if held[name].data_ptr() not in loaded]
    if missing:
        raise WeightsError(f"{source}: tensors are missing: {', '.join(missing[:3])}")
    # heads that the network is not asked for may come along, but not tensors of another network
    foreign = [name for name in unexpected if not name.startswith(("gs_head.", "gs_adapter."))]
    if foreign:
        raise WeightsError(f"{source}: tensors of another network: {', '.join(foreign[:3])}")
    return network.eval().requires_grad_(False)
