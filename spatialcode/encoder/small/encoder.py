"""The small encoder before it is loaded: its settings, and who it is by its weights' card.

Weights on disk are safetensors in half precision beside a JSON card; there is no pickle. Reading a
card loads no torch, so that an encoder can be named without loading its network. What the encoder
does once its weights are loaded is in ``small.stages``.
"""

from __future__ import annotations

import hashlib
import json
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
from spatialcode.encoder.scale.settings import ScaleSettings
from spatialcode.encoder.structure.settings import StructureSettings
from spatialcode.errors import SchemaError, WeightsError
from spatialcode.workkey import EncoderIdentity, config_sha256

if TYPE_CHECKING:
    from spatialcode.encoder.small.model import DenseEncoder
    from spatialcode.encoder.small.stages import SpatialEncoder

ASSETS = Path(__file__).parents[2] / "assets"
FORMAT = "spatialcode-encoder/1"


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def card_path(weights: Path) -> Path:
    """Where the card of a weights file lies."""
    return weights.with_suffix(".json")


def save_weights(model: DenseEncoder, path: Path, card: dict[str, Any]) -> None:
    """Write float16 weights and their card (with architecture and checksum added)."""
    from safetensors.torch import save_file

    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(tensors, path, metadata={"format": FORMAT})
    full = {
        "format": FORMAT,
        "architecture": model.config.to_dict(),
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "sha256": sha256_of(path),
        **card,
    }
    card_path(path).write_text(json.dumps(full, indent=2) + "\n")


def read_card(path: Path) -> dict[str, Any]:
    """The card of a weights file.

    Raises WeightsError where weights or card are missing, or do not belong together.
    """
    for needed in (path, card_path(path)):
        if not needed.is_file():
            raise WeightsError(f"encoder weights: expected a file at {needed}, found none")
    try:
        card = json.loads(card_path(path).read_text())
        expected = card["sha256"]
        architecture = card["architecture"]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{card_path(path)}: not a weights card ({error!r})") from error
    got = sha256_of(path)
    if got != expected:
        raise WeightsError(f"{path}: expected sha256 {expected} (its card), got {got}")
    if not isinstance(architecture, dict):
        raise WeightsError(f"{card_path(path)}: architecture: expected a mapping")
    return card


def load_weights(path: Path) -> tuple[DenseEncoder, dict[str, Any]]:
    """Network in float32, in evaluation mode, with its card. WeightsError if unusable."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from spatialcode.encoder.small.model import ModelConfig, make_model

    card = read_card(path)
    try:
        model = make_model(ModelConfig.from_dict(card["architecture"]))
        tensors = {name: value.float() for name, value in load_file(path).items()}
    except (SafetensorError, SchemaError, KeyError, TypeError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read as encoder weights ({error})") from error
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise WeightsError(
            f"{path}: does not fit its architecture; missing {missing[:3]}, "
            f"unexpected {unexpected[:3]}"
        )
    return model.eval().requires_grad_(False), card


BUNDLED = {"small": ASSETS / "encoder_small.safetensors"}


@dataclass(frozen=True)
@checked
class SmallSettings:
    """Everything but the weights that decides what a video's code is: ``encoder.settings.*``."""

    assumed_hfov_deg: float = setting(
        "horizontal field of view where intrinsics are unknown", 65.0, above=0, below=180
    )
    believe_file: bool = setting("take the lens that a video's file tells before that", True)
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
    path: str = setting(
        "how a camera path that is not given is found: fast, by odometry on predicted depth;"
        " structure, by structure from motion where that succeeds; auto: so where the network"
        " doubts its depth",
        "auto",
        one_of=("auto", "fast", "structure"),
    )
    structure: StructureSettings = setting("", default_factory=StructureSettings)
    scale: ScaleSettings = setting("", default_factory=ScaleSettings)
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
        is_fast = self._settings.path == "fast"
        self.frames = FrameRequest(
            max_dense=None if is_fast else self._settings.structure.max_frames
        )

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
