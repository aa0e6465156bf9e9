"""The dense network: towers, feature fusion and heads in one module.

It sees single pictures. What it knows of time, of poses and of the world is nothing;
lifting and fusion add that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from spatialcode.encoder.small.heads import DenseHeads, FeatureFusion, RawMaps
from spatialcode.encoder.small.inputs import input_channels
from spatialcode.encoder.small.maps import STRIDE_PX
from spatialcode.encoder.small.towers import ConvTrunk, TrunkConfig


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of the small encoder."""

    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    fusion_width: int = 96

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a weights card holds them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Inverse of :meth:`to_dict`, also after JSON has turned tuples into lists."""
        trunk: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values["trunk"].items()
        }
        return cls(trunk=TrunkConfig(**trunk), fusion_width=values["fusion_width"])


class DenseEncoder(nn.Module):
    """Pictures and camera knowledge in, raw dense maps out.

    The two towers may be one: the small encoder's trunk serves as object tower and as
    geometry tower, and is then run once.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = ConvTrunk(config.trunk)
        self.fusion = FeatureFusion(self.trunk.channels, config.fusion_width)
        self.heads = DenseHeads(config.fusion_width, self.trunk.channels[-1])

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
        pyramid = self.trunk(inputs)
        fused = self.fusion([pyramid])
        grid_hw = (rgb.shape[1] // STRIDE_PX, rgb.shape[2] // STRIDE_PX)
        return self.heads(fused, pyramid[-1], grid_hw)


def make_model(config: ModelConfig | None = None) -> DenseEncoder:
    """A freshly initialised network, channels-last (twice as fast on CPUs)."""
    return channels_last(DenseEncoder(config or ModelConfig()))


def channels_last(model: DenseEncoder) -> DenseEncoder:
    """The same module with its convolution weights laid out for channels-last inputs."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
