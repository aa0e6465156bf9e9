"""The prompted encoder before it is loaded: its parts by name, their weights, and who it is.

It needs no training: a detector finds things by their words, a mask source outlines them, a
geometry source tells where they are, and geometry makes objects of that. No torch here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from spatialcode.config import checked, require, setting
from spatialcode.encoder.parts import NamedPart, identities, loaded_parts
from spatialcode.encoder.prompted.settings import FusionSettings
from spatialcode.encoder.protocol import FrameRequest
from spatialcode.workkey import EncoderIdentity, config_sha256

if TYPE_CHECKING:
    from spatialcode.encoder.prompted.session import PromptedEncoding

#: Parts by the name that is asked for; those of ``prompted`` have free licences.
PRESETS: dict[str, dict[str, NamedPart]] = {
    "prompted": {},
    "prompted-apache": {},
    "prompted-best": {
        "detector": NamedPart("grounding-dino", ("grounding-dino-base",)),
        "masks": NamedPart("sam2-image", ("sam2.1-large",)),
        "geometry": NamedPart("da3-nested"),
    },
}
_KINDS = ("detector", "masks", "geometry")


@dataclass(frozen=True)
@checked
class PromptedSettings:
    """Everything but the bytes of weights that decides what a video's code is. A part that is null
    is the one that the encoder's name stands for.
    """

    detector: NamedPart | None = setting("what finds things by their words", None)
    masks: NamedPart | None = setting("what outlines them", None)
    geometry: NamedPart | None = setting("what tells where they are", None)
    fusion: FusionSettings = setting("", default_factory=FusionSettings)
    count: int = setting("frames of a video, where its caller does not say", 64, at_least=1)
    rate_hz: float | None = setting("frames a second instead; null: count", None, above=0)
    side_px: int = setting("longer side of the frames", 1024, at_least=32)
    window: int = setting("frames that are looked at together", 32, at_least=1)
    overlap: int = setting("frames that a window repeats of the one before", 8, at_least=0)

    def __post_init__(self) -> None:
        expected = f"fewer than window={self.window}"
        require(self.overlap < self.window, "overlap", expected, self.overlap)

    def completed(self, name: str) -> PromptedSettings:
        """With the parts that a name of `PRESETS` stands for where none is set."""
        usual = {
            "detector": NamedPart("grounding-dino"),
            "masks": NamedPart("sam2-image"),
            "geometry": NamedPart("da3"),
        }
        parts = usual | PRESETS.get(name, {})
        missing: dict[str, Any] = {k: part for k, part in parts.items() if getattr(self, k) is None}
        return replace(self, **missing)

    def parts(self) -> dict[str, NamedPart]:
        """The parts by kind, of settings that are completed."""
        return {kind: getattr(self, kind) for kind in _KINDS}


class PromptedEncoder:
    """The prompted encoder by a name of `PRESETS`.

    Raises WeightsError where the hashes of its weights are not known yet, ConfigError where a part
    is not.
    """

    settings: ClassVar[type[Any]] = PromptedSettings

    def __init__(self, name: str = "prompted", settings: PromptedSettings | None = None) -> None:
        self._settings = own = (settings or PromptedSettings()).completed(name)
        values = asdict(own)
        values |= identities(own.parts())
        weights = {kind: values[kind]["weights"] for kind in _KINDS}
        self.identity = EncoderIdentity(name, config_sha256(weights), config_sha256(values))
        self.frames = FrameRequest(own.count, own.rate_hz, own.side_px, own.window, own.overlap)

    def load(self, device: str = "cpu") -> PromptedEncoding:
        """The parts on a torch device. Raises WeightsError where weights are unusable."""
        from spatialcode.encoder.prompted.session import PromptedEncoding

        own = self._settings
        parts = loaded_parts(own.parts(), device)
        return PromptedEncoding(parts, own.fusion, self.identity, self.frames)
