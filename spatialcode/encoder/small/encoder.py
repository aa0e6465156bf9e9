"""The small encoder before it is loaded: its settings, and who it is by its weights' card.

No torch here; what it does once its weights are loaded is in ``small.stages``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spatialcode.config import checked, setting
from spatialcode.encoder.detections import Calibration, DetectionConfig
from spatialcode.encoder.odometry.audit import AuditConfig
from spatialcode.encoder.odometry.compass import CompassConfig
from spatialcode.encoder.odometry.path import OdometryConfig
from spatialcode.encoder.protocol import FrameRequest
from spatialcode.encoder.room.layout import LayoutConfig
from spatialcode.encoder.small.weights import ASSETS, load_weights, read_card
from spatialcode.errors import WeightsError
from spatialcode.workkey import EncoderIdentity, config_sha256

if TYPE_CHECKING:
    from spatialcode.encoder.small.stages import SpatialEncoder

BUNDLED = {"small": ASSETS / "encoder_small.safetensors"}
SUFFIX = ".safetensors"


@dataclass(frozen=True)
@checked
class SmallSettings:
    """Everything but the weights that decides what a video's code is: ``encoder.settings.*``."""

    assumed_hfov_deg: float = setting(
        "horizontal field of view where intrinsics are unknown", 65.0, above=0, below=180
    )
    precision: str = setting(
        "of the network; auto: bfloat16 where the processor multiplies it in hardware",
        "auto",
        one_of=("auto", "bfloat16", "float32"),
    )
    chunk_size: int = setting("frames that pass the network together", 8, at_least=1)
    min_score: float | None = setting(
        "score from which on an object is kept; null: as fitted with the weights",
        None,
        at_least=0,
        at_most=1,
    )
    detection: DetectionConfig = setting("", default_factory=DetectionConfig)
    odometry: OdometryConfig = setting("", default_factory=OdometryConfig)
    compass: CompassConfig = setting("", default_factory=CompassConfig)
    audit: AuditConfig = setting("", default_factory=AuditConfig)
    layout: LayoutConfig = setting("", default_factory=LayoutConfig)

    def applied_to(self, fitted: Calibration) -> Calibration:
        """The calibration of some weights with the threshold that is asked for."""
        return fitted if self.min_score is None else fitted.with_threshold(self.min_score)

    def sha256(self, calibration: Calibration) -> str:
        """The hash of all that shapes codes beside the weights.

        ``calibration``, with any ``min_score`` applied, belongs to it although it comes from the
        weights' card: it is not in the tensors.
        """
        values = asdict(self)
        del values["min_score"]  # as a part of the calibration
        return config_sha256(values | {"calibration": calibration.to_dict()})


class SmallEncoder:
    """The small encoder by the name of bundled weights, or by the path of a .safetensors file.

    Raises WeightsError where there are no such weights, or their card does not belong to them.
    """

    settings: ClassVar[type[Any]] = SmallSettings

    def __init__(self, name: str = "small", settings: SmallSettings | None = None) -> None:
        self._settings = settings or SmallSettings()
        self._path = BUNDLED.get(name, Path(name))
        card = read_card(self._path)
        self._calibration = self._settings.applied_to(calibration_of(card))
        own_name = name if name in BUNDLED else self._path.stem
        self.identity = EncoderIdentity(
            own_name, card["sha256"], self._settings.sha256(self._calibration)
        )
        self.frames = FrameRequest()

    def load(self, device: str = "cpu") -> SpatialEncoder:
        """The network on a torch device. Raises WeightsError where the weights are unusable."""
        from spatialcode.encoder.small.stages import SmallStages, SpatialEncoder

        model, card = load_weights(self._path)
        if card["sha256"] != self.identity.weights_sha256:
            raise WeightsError(f"{self._path}: the weights have changed since they were named")
        return SpatialEncoder(
            SmallStages(model, self.identity, self._calibration, self._settings, device)
        )


def calibration_of(card: dict[str, Any]) -> Calibration:
    """The calibration in a weights' card, or a plain one where it holds none."""
    fitted = card.get("calibration")
    return Calibration.from_dict(fitted) if fitted else Calibration.uncalibrated()
