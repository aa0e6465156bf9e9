"""The parts of the full-size encoders by name: who they are, and the parts themselves.

No torch here; networks are imported when they are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from spatialcode.config import build, setting
from spatialcode.encoder.compiling import modules_of
from spatialcode.encoder.geometry.protocol import GeometrySource
from spatialcode.encoder.geometry.registry import (
    GeometryPart,
    geometry_named,
    load_geometry,
)
from spatialcode.encoder.parsing.protocol import Detector, MaskSource
from spatialcode.encoder.parsing.registry import (
    DETECTORS,
    MASK_SOURCES,
    NetworkPart,
    load_detector,
    load_mask_source,
    part_named,
)
from spatialcode.encoder.weights.local import check_fetched, weights_folder, weights_identity
from spatialcode.errors import ConfigError
from spatialcode.loading import load


@dataclass(frozen=True, eq=False)
class EncoderParts:
    """What finds things, outlines them and places them: networks, or what stands in their place."""

    detector: Detector
    masks: MaskSource
    geometry: GeometrySource

    def halved(self) -> EncoderParts | None:
        """The same with the first part that can take half as much at once doing so; None where none
        can. A part says so by a method ``halved``, which gives its smaller self or None.
        """
        for kind in ("masks", "detector", "geometry"):
            part = getattr(self, kind)
            smaller = part.halved() if hasattr(part, "halved") else None
            if smaller is not None:
                changed: dict[str, Any] = {kind: smaller}
                return replace(self, **changed)
        return None

    def fixed_shape_modules(self) -> list[Any]:
        """See `Compilable`."""
        return modules_of(self.detector, self.masks, self.geometry)


@dataclass(frozen=True)
class NamedPart:
    """A part of an encoder: its name, the weights it runs on, and its own settings."""

    BARE: ClassVar[str] = "name"  # `detector=owlv2` means `detector.name=owlv2`

    name: str = setting("a part of the table of its kind, or module:factory of one's own")
    weights: tuple[str, ...] = setting("names of weights, or folders; none: the usual ones", ())
    settings: dict[str, Any] = setting("the part's own settings", default_factory=dict)

    @property
    def is_own(self) -> bool:
        return ":" in self.name

    def wanted(self, kind: str) -> tuple[str, ...]:
        """The weights that the part runs on, by name. ConfigError where no such part is known, or
        it runs on another number of them.
        """
        if self.is_own:
            return self.weights
        usual = _entry(kind, self.name).weights
        usual = (usual,) if isinstance(usual, str) else usual
        if self.weights and len(self.weights) != len(usual):
            expected = f"expected {len(usual)} ({', '.join(usual) or 'none'})"
            raise ConfigError(f"{kind}.weights of {self.name}: {expected}, got {len(self.weights)}")
        return self.weights or usual

    def identity(self, kind: str) -> dict[str, Any]:
        """What an encoder's hash holds of the part: its settings are all of them, set or not.

        Raises as `weights_identity`, and ConfigError for settings that the part does not have.
        """
        settings = self.all_settings(kind)
        hashes = [weights_identity(name).sha256 for name in self.wanted(kind)]
        return {"name": self.name, "weights": hashes, "settings": settings}

    def all_settings(self, kind: str) -> dict[str, Any]:
        """The part's own settings, set or not. ConfigError for those that it does not have."""
        if self.is_own:
            return self.settings
        return asdict(build(_entry(kind, self.name).settings, self.settings, f"{kind}.settings"))

    def loaded(self, kind: str, device: str, tower: Any = None) -> Any:
        """The part on a torch device; a part of one's own is made of weights, settings and
        device. ``tower``: the encoder's own any-view network, if it has one. Raises WeightsError,
        ConfigError or MissingExtraError as its loader does.
        """
        if self.is_own:
            return load(self.name, f"encoder.settings.{kind}")(self.weights, self.settings, device)
        folders = tuple(weights_folder(name) for name in self.wanted(kind))
        if kind == "geometry":
            return load_geometry(self.name, folders, self.settings, device, tower)
        make = load_detector if kind == "detector" else load_mask_source
        (folder,) = folders
        return make(self.name, folder, self.settings, device)


def identities(
    parts: Mapping[str, NamedPart], has_tower: bool = False
) -> dict[str, dict[str, Any]]:
    """What an encoder's hash holds of its parts, by kind. Raises as `NamedPart.identity`; weights
    that were never fetched are named all at once. ``has_tower``: the encoder has an any-view
    network of its own, without which no part can be it.
    """
    if not parts["geometry"].is_own:
        geometry_named(parts["geometry"].name, has_tower)
    for kind, part in parts.items():  # a wrong word is said before gigabytes are fetched
        part.all_settings(kind)
    check_fetched([name for kind, part in parts.items() for name in part.wanted(kind)])
    return {kind: part.identity(kind) for kind, part in parts.items()}


def loaded_parts(parts: Mapping[str, NamedPart], device: str, tower: Any = None) -> EncoderParts:
    """The parts on a torch device. ``tower``, errors: as `NamedPart.loaded`."""
    return EncoderParts(**{kind: part.loaded(kind, device, tower) for kind, part in parts.items()})


def _entry(kind: str, name: str) -> NetworkPart | GeometryPart:
    """What a table holds under a name. ConfigError where it holds nothing."""
    if kind == "geometry":
        return geometry_named(name)
    return part_named(DETECTORS if kind == "detector" else MASK_SOURCES, name, kind)
