"""What only the training of the unified encoder is told. Light, as all settings of jobs."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import checked, require, setting
from spatialcode.encoder.unified.config import (
    TowerTraining,
    UnifiedLossWeights,
    UnifiedNetworkConfig,
)

RENDERED = "rendered"


@dataclass(frozen=True)
@checked
class UnifiedTrainingConfig:
    """The part ``unified.*`` of the encoder's training."""

    object_tower: str = setting("SAM 2's weights: registered name, or folder", "sam2.1-base-plus")
    geometry_tower: str = setting(
        "Depth Anything 3's any-view weights: registered name, or folder", "da3-base"
    )
    network: UnifiedNetworkConfig = setting("", default_factory=UnifiedNetworkConfig)
    towers: TowerTraining = setting("", default_factory=TowerTraining)
    weights: UnifiedLossWeights = setting("", default_factory=UnifiedLossWeights)
    data: dict[str, float] = setting(
        "data sets and their shares: rendered, or READER:FOLDER of recordings with boxes",
        default_factory=lambda: {RENDERED: 1.0},
    )
    teacher_masks: str = setting(
        "SAM 2's weights that outline recorded objects: registered name, or folder",
        "sam2.1-large",
    )
    teacher_cache: str | None = setting(
        "folder of the outlines drawn; null: teacher_masks in the output", None
    )
    teacher_gpus: float = setting(
        "share of a GPU that making a clip takes, where recordings are outlined", 0.0, at_least=0
    )
    num_frames: int = setting("frames of a clip, which pass the network together", 4, at_least=2)
    width_px: int = setting("width of the frames", 640, at_least=32)
    height_px: int = setting("height of the frames", 480, at_least=32)
    max_objects: int = setting("objects of a clip, those with most pixels", 32, at_least=1)
    warmup_steps: int = setting("steps until the peak rate", 500, at_least=1)
    max_grad_norm: float = setting("larger gradients are scaled down to it", 1.0, above=0)
    weight_decay: float = setting("decoupled decay of matrices", 0.02, at_least=0)
    zero_stage: int = setting(
        "ZeRO of the ray launcher: 1 splits the optimiser, 2 gradients too",
        1,
        one_of=(1, 2),
    )

    def __post_init__(self) -> None:
        shares = list(self.data.values())
        good = bool(shares) and min(shares) >= 0 and sum(shares) > 0
        require(good, "data", "shares of 0 or more, one above 0", self.data)
        for name in self.data:
            known = name == RENDERED or ":" in name
            require(known, "data", f"{RENDERED} or READER:FOLDER", name)
