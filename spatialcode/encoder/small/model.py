"""The dense network: towers, feature fusion and heads in one module.

It sees single pictures. What it knows of time, of poses and of the world is nothing;
lifting and fusion add that. Everything about an object is predicted in the frame turned to the
cell's own ray azimuth (lateral, radial, vertical): a network that sees a picture knows where a
thing is relative to the line of sight, not relative to the middle of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from spatialcode.encoder.maps import STRIDE_PX
from spatialcode.encoder.small.efficientnet import Lite0Config, Lite0Tower
from spatialcode.encoder.small.inputs import input_channels
from spatialcode.encoder.small.towers import ConvTrunk, TrunkConfig
from spatialcode.errors import ConfigError, WeightsError
from spatialcode.scene.kinds import PRIMITIVE_KINDS, Kinds


@dataclass(frozen=True)
class TowerKind:
    """An entry of ``TOWERS``: the frozen dataclass of a tower's options, and what builds it.

    ``build`` takes an instance of ``options`` and returns a torch module that is a `Tower`.
    """

    options: type[Any]
    build: Callable[[Any], nn.Module]


#: Pixels of a picture where weights do not say: 160 x 120.
SMALL_AREA_PX = 160 * 120

#: Raw channels per cell after those of the classes, in this order.
_CELL_CHANNELS: dict[str, int] = {
    "log_depth": 1,
    "log_depth_log_scale": 1,
    "offset": 3,
    "vote_log_scale": 3,
    "log_size": 3,
    "axis": 2,
    "heading": 2,
}
#: Raw values per picture: correction of "up" (3), its log scale, log camera height.
NUM_GLOBAL = 5


@dataclass(frozen=True, eq=False)
class RawMaps:
    """Raw network output, float32. Cells are (b, channels, h, w).

    ``class_logits``: of ``kinds``, then floor, wall, ceiling.

    ``offset``: object centre minus the seen surface point, metres, in the (lateral, radial,
    vertical) frame of the cell's ray. ``axis``: (cos, sin) of twice the yaw, ``heading``:
    of the yaw itself, both relative to the ray's azimuth; ``heading`` means something for
    categories with a front only.
    """

    class_logits: Float[Tensor, "b c h w"]
    log_depth: Float[Tensor, "b 1 h w"]
    log_depth_log_scale: Float[Tensor, "b 1 h w"]
    offset: Float[Tensor, "b 3 h w"]
    vote_log_scale: Float[Tensor, "b 3 h w"]
    log_size: Float[Tensor, "b 3 h w"]
    axis: Float[Tensor, "b 2 h w"]
    heading: Float[Tensor, "b 2 h w"]
    up: Float[Tensor, "b 3"]
    up_log_scale: Float[Tensor, " b"]
    log_height: Float[Tensor, " b"]
    kinds: Kinds = PRIMITIVE_KINDS


def _conv_norm(width_in: int, width_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
    )


class FeatureFusion(nn.Module):
    """Joins the pyramids of one or more towers and brings them to the finest stride.

    At each stride the towers' maps are concatenated and projected; coarser results are
    added to finer ones. Source: feature pyramids, Lin et al. 2017.
    """

    def __init__(self, channels_per_stride: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels_per_stride)
        self.smooth = nn.ModuleList(_conv_norm(width, width, 3) for _ in channels_per_stride[:-1])

    def forward(self, pyramids: list[tuple[Tensor, ...]]) -> Tensor:
        joined = [torch.cat(maps, dim=1) for maps in zip(*pyramids, strict=True)]
        x = self.laterals[-1](joined[-1])
        for i in reversed(range(len(joined) - 1)):
            finer = self.laterals[i](joined[i])
            x = nn.functional.interpolate(x, size=finer.shape[-2:], mode="nearest")
            x = self.smooth[i](finer + x)
        return x


class DenseHeads(nn.Module):
    """One shared 3x3 convolution, then all cell channels; pooled coarse features per picture."""

    def __init__(self, width: int, coarse_width: int, kinds: Kinds) -> None:
        super().__init__()
        self.kinds = kinds
        self.channels = {"class_logits": kinds.num_channels, **_CELL_CHANNELS}
        self.shared = _conv_norm(width, width, 3)
        self.cells = nn.Conv2d(width, sum(self.channels.values()), 1)
        last = nn.Linear(128, NUM_GLOBAL)
        nn.init.zeros_(last.weight)
        self.picture = nn.Sequential(nn.Linear(coarse_width, 128), nn.GELU(), last)

    def forward(self, fused: Tensor, coarse: Tensor, grid_hw: tuple[int, int]) -> RawMaps:
        h, w = grid_hw
        # float32 from here: exponentials and angles lose too much in bfloat16
        cells = self.cells(self.shared(fused))[:, :, :h, :w].float()
        split = torch.split(cells, list(self.channels.values()), dim=1)
        named = dict(zip(self.channels, split, strict=True))
        picture = self.picture(coarse.mean(dim=(2, 3))).float()
        upright = torch.tensor([0.0, -1.0, 0.0], device=picture.device)
        up = nn.functional.normalize(upright + picture[:, :3], dim=-1)
        return RawMaps(
            **named,
            up=up,
            up_log_scale=picture[:, 3],
            log_height=picture[:, 4],
            kinds=self.kinds,
        )


#: Every tower that a model may be built of, by the name that weights cards give it.
TOWERS: dict[str, TowerKind] = {
    "trunk": TowerKind(TrunkConfig, ConvTrunk),
    "lite0": TowerKind(Lite0Config, Lite0Tower),
}


def _kind_of(options: Any) -> tuple[str, TowerKind]:
    for name, kind in TOWERS.items():
        if type(options) is kind.options:
            return name, kind
    known = ", ".join(kind.options.__name__ for kind in TOWERS.values())
    raise ConfigError(f"tower: expected options of one of {known}, got {options!r}")


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of the network: options of its towers, which tell their kinds by their types.

    ``geometry_tower`` None: the object tower serves as both and is run once. ``kinds``: what its
    classes are. ``area_px``: pixels of the pictures that it looks at, about.
    """

    object_tower: Any = field(default_factory=TrunkConfig)
    fusion_width: int = 96
    geometry_tower: Any = None
    kinds: Kinds = PRIMITIVE_KINDS
    area_px: int = SMALL_AREA_PX

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a weights card holds them."""
        shared: dict[str, Any] = {"fusion_width": self.fusion_width}
        if self.kinds != PRIMITIVE_KINDS:
            shared["kinds"] = list(self.kinds.labels)
        if self.area_px != SMALL_AREA_PX:
            shared["area_px"] = self.area_px
        if isinstance(self.object_tower, TrunkConfig) and self.geometry_tower is None:
            return {"trunk": asdict(self.object_tower)} | shared
        towers = {"object_tower": self.object_tower, "geometry_tower": self.geometry_tower}
        named: dict[str, Any] = {
            key: {"name": _kind_of(options)[0], "options": asdict(options)}
            for key, options in towers.items()
            if options is not None
        }
        return named | shared

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Inverse of :meth:`to_dict`, also after JSON has turned tuples into lists.

        Raises KeyError or TypeError for what is no architecture, SchemaError for kinds that are
        none, and WeightsError for a tower that is not in ``TOWERS``.
        """
        labels, width = values.get("kinds"), values["fusion_width"]
        shared: dict[str, Any] = {
            "kinds": PRIMITIVE_KINDS if labels is None else Kinds(tuple(labels)),
            "area_px": int(values.get("area_px", SMALL_AREA_PX)),
        }
        if "trunk" in values:
            return cls(TrunkConfig(**_with_tuples(values["trunk"])), width, **shared)
        geometry = values.get("geometry_tower")
        own = None if geometry is None else _options(geometry)
        return cls(_options(values["object_tower"]), width, own, **shared)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _options(tower: dict[str, Any]) -> Any:
    kind = TOWERS.get(tower["name"])
    if kind is None:
        known = ", ".join(sorted(TOWERS))
        raise WeightsError(f"tower: expected one of {known}, got {tower['name']!r}")
    return kind.options(**_with_tuples(tower["options"]))


class DenseEncoder(nn.Module):
    """Pictures and camera knowledge in, raw dense maps out.

    ``trunk`` is the object tower and, where there is no other, the geometry tower as well: it is
    then run once.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = _kind_of(config.object_tower)[1].build(config.object_tower)
        towers: list[Any] = [self.trunk]
        if config.geometry_tower is not None:
            self.geometry = _kind_of(config.geometry_tower)[1].build(config.geometry_tower)
            towers.append(self.geometry)
        channels = tuple(sum(c) for c in zip(*(tower.channels for tower in towers), strict=True))
        self.fusion = FeatureFusion(channels, config.fusion_width)
        self.heads = DenseHeads(config.fusion_width, towers[-1].channels[-1], config.kinds)

    def forward(
        self,
        rgb: UInt8[Tensor, "b h w 3"],
        K: Float[Tensor, "b 3 3"],
        up_camera: Float[Tensor, "b 3"],
        camera_height_m: Float[Tensor, " b"],
        quality: Float[Tensor, " b"],
    ) -> RawMaps:
        """See :func:`spatialcode.encoder.small.inputs.input_channels` for the arguments."""
        inputs = input_channels(rgb, K, up_camera, camera_height_m, quality)
        pyramids = [self.trunk(inputs)]
        if self.config.geometry_tower is not None:
            pyramids.append(self.geometry(inputs))
        fused = self.fusion(pyramids)
        grid_hw = (rgb.shape[1] // STRIDE_PX, rgb.shape[2] // STRIDE_PX)
        # gravity and camera height are geometry: the last tower's coarsest map tells them
        return self.heads(fused, pyramids[-1][-1], grid_hw)


def make_model(config: ModelConfig | None = None) -> DenseEncoder:
    """A freshly initialised network, channels-last (twice as fast on CPUs)."""
    return channels_last(DenseEncoder(config or ModelConfig()))


def channels_last(model: DenseEncoder) -> DenseEncoder:
    """The same module with its convolution weights laid out for channels-last inputs."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
