"""The unified encoder before it is loaded: its settings, and who it is by the cards of its parts.

A trained network of two towers reads a box from each tracked mask and frame; a detector and a mask
source say what is tracked, a geometry source, by default the network's own tower, where the camera
was. No torch here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spatialcode.config import checked, require, setting
from spatialcode.encoder.parsing.keyframes import KeyFrameSettings
from spatialcode.encoder.parsing.vocabulary import labels_of
from spatialcode.encoder.parts import NamedPart, identities, loaded_parts
from spatialcode.encoder.protocol import FrameRequest
from spatialcode.encoder.unified.merging import MergeSettings
from spatialcode.encoder.unified.weights import read_unified_card
from spatialcode.errors import WeightsError
from spatialcode.workkey import EncoderIdentity, config_sha256

if TYPE_CHECKING:
    from spatialcode.encoder.unified.session import LoadedUnified

_PARTS = ("detector", "masks", "geometry")


@dataclass(frozen=True)
@checked
class UnifiedSettings:
    """Everything but the bytes of weights that decides what a video's code is."""

    weights: str = setting("folder that jobs.train_encoder encoder=unified has written", "")
    detector: NamedPart = setting("", default_factory=lambda: NamedPart("grounding-dino"))
    masks: NamedPart = setting("", default_factory=lambda: NamedPart("sam2-video"))
    # "own": the network's geometry tower, which is not loaded a second time
    geometry: NamedPart = setting("", default_factory=lambda: NamedPart("own"))
    words: tuple[str, ...] = setting("what to look for; none: the words of VSI-Bench", ())
    key_frames: KeyFrameSettings = setting("", default_factory=KeyFrameSettings)
    count: int = setting("frames of a video, where its caller does not say", 32, at_least=1)
    side_px: int = setting("longer side of the frames", 1024, at_least=32)
    window: int = setting("frames that are looked at together", 16, at_least=1)
    overlap: int = setting("frames that a window repeats of the one before", 4, at_least=0)
    max_masks: int = setting("masks of one frame, the surest ones", 64, at_least=1)
    precision: str = setting(
        "of towers and fusion; auto: bfloat16 on an accelerator",
        "auto",
        one_of=("auto", "bfloat16", "float32"),
    )
    merging: MergeSettings = setting("", default_factory=MergeSettings)

    def __post_init__(self) -> None:
        expected = f"fewer than window={self.window}"
        require(self.overlap < self.window, "overlap", expected, self.overlap)


class UnifiedEncoder:
    """The unified encoder with a folder of trained weights.

    Raises WeightsError where there is no such folder, or its card does not belong to it.
    """

    settings: ClassVar[type[Any]] = UnifiedSettings

    def __init__(self, name: str = "unified", settings: UnifiedSettings | None = None) -> None:
        self._settings = settings or UnifiedSettings()
        if not self._settings.weights:
            raise WeightsError(
                "encoder.settings.weights: expected a folder of trained weights; none come with "
                "the library: train them by `python -m jobs.train_encoder "
                "config=configs/train_encoder/unified.yaml`"
            )
        self._folder = Path(self._settings.weights)
        card = read_unified_card(self._folder)
        values = asdict(self._settings)
        del values["weights"]  # named by their hash, wherever they lie
        values |= identities(self._parts(), has_tower=True)
        self.identity = EncoderIdentity(name, card["sha256"], config_sha256(values))
        own = self._settings
        self.frames = FrameRequest(
            count=own.count, side_px=own.side_px, window=own.window, overlap=own.overlap
        )

    def load(self, device: str = "cpu") -> LoadedUnified:
        """Network and parts on a torch device. Raises WeightsError where weights are unusable."""
        from spatialcode.encoder.unified.session import LoadedUnified, UnifiedLimits
        from spatialcode.encoder.unified.weights import load_unified

        own = self._settings
        model = load_unified(self._folder).to(device)
        model.in_bfloat16 = own.precision == "bfloat16" or (
            own.precision == "auto" and device != "cpu"
        )
        parts = loaded_parts(self._parts(), device, model.geometry_tower)
        limits = UnifiedLimits(labels_of(own.words), own.key_frames, own.max_masks, own.merging)
        return LoadedUnified(model, parts, limits, self.identity, self.frames)

    def _parts(self) -> dict[str, NamedPart]:
        return {kind: getattr(self._settings, kind) for kind in _PARTS}
