"""Geometry sources by name: their settings and the weights they want, without torch.

``recorded`` needs no weights; a depth network has a path of our own; ``da3`` gives both; ``own`` is
the any-view network that the unified encoder holds as its geometry tower, loaded once for both. Who
asks says where the weights lie: a folder, or a repository of the hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatialcode.config import build
from spatialcode.encoder.geometry.protocol import GeometrySource
from spatialcode.encoder.geometry.settings import (
    AnyViewSettings,
    MonocularSettings,
    RecordedSettings,
)
from spatialcode.errors import ConfigError
from spatialcode.loading import load


@dataclass(frozen=True)
class GeometryPart:
    """What stands behind a name: its settings' frozen dataclass, and the usual ``weights`` by their
    registered names, in the order in which `load_geometry` takes them.

    ``network``: ``module:Class`` of a depth network, and the class of transformers in it.
    ``is_tower``: its network is the encoder's own, and ``weights`` are those beside it.
    """

    settings: type[Any]
    weights: tuple[str, ...] = ()
    network: tuple[str, str] | None = None
    is_tower: bool = False


_MONOCULAR = "spatialcode.encoder.geometry.monocular"

#: Depth of single frames, by name.
DEPTH_SOURCES: dict[str, GeometryPart] = {
    "depth-anything-v2": GeometryPart(
        MonocularSettings,
        ("depth-anything-v2-indoor-small",),
        (f"{_MONOCULAR}:DepthAnythingV2", "DepthAnythingForDepthEstimation"),
    ),
    "depth-pro": GeometryPart(
        MonocularSettings,
        ("depth-pro",),
        (f"{_MONOCULAR}:DepthPro", "DepthProForDepthEstimation"),
    ),
    "zoedepth": GeometryPart(
        MonocularSettings,
        ("zoedepth",),
        (f"{_MONOCULAR}:ZoeDepth", "ZoeDepthForDepthEstimation"),
    ),
}

#: Everything that gives depth and poses, by name.
GEOMETRY_SOURCES: dict[str, GeometryPart] = {
    "recorded": GeometryPart(RecordedSettings),
    "da3": GeometryPart(AnyViewSettings, ("da3-base", "da3-metric-large")),
    "da3-nested": GeometryPart(AnyViewSettings, ("da3-nested",)),
    "own": GeometryPart(AnyViewSettings, ("da3-metric-large",), is_tower=True),
    **DEPTH_SOURCES,
}


def geometry_named(name: str, has_tower: bool = True) -> GeometryPart:
    """The entry of a name. ConfigError where there is none, or none for an encoder that has, or has
    not, a geometry tower of its own.
    """
    if name in GEOMETRY_SOURCES and GEOMETRY_SOURCES[name].is_tower and not has_tower:
        raise ConfigError(f"geometry: {name} is the network of encoder=unified, and of no other")
    if name not in GEOMETRY_SOURCES:
        known = ", ".join(sorted(GEOMETRY_SOURCES))
        raise ConfigError(f"geometry: expected one of {known}, got {name!r}")
    return GEOMETRY_SOURCES[name]


def load_geometry(
    name: str,
    weights: tuple[str | Path, ...] = (),
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    tower: Any = None,
) -> GeometrySource:
    """A source of the table. ``weights``: folders or hub repositories, one for each of its names.
    ``tower``: the asking encoder's own any-view network, if it has one.

    A window's recorded geometry stands in the place of what the source would estimate. Raises
    ConfigError for settings or a number of weights that do not fit, WeightsError where weights are
    missing, damaged or of another network, MissingExtraError without a source's package.
    """
    part = geometry_named(name, has_tower=tower is not None)
    own = build(part.settings, settings or {}, "geometry.settings")
    if len(weights) != len(part.weights):
        wanted = ", ".join(part.weights) or "none"
        raise ConfigError(f"geometry {name}: expected weights {wanted}, got {len(weights)} of them")
    if part.settings is AnyViewSettings:
        from spatialcode.encoder.geometry.any_view import AnyViewGeometry

        if part.is_tower:
            return AnyViewGeometry.beside(tower, weights[0], own, device)
        return AnyViewGeometry.load(weights[0], (*weights, None)[1], own, device)
    from spatialcode.encoder.geometry.pathed import PathedGeometry

    if part.network is None:
        return PathedGeometry(None, own.error.noise(), own.path)
    network, library_class = part.network
    depth = load(network, "geometry").load(library_class, weights[0], own, device)
    recorded = RecordedSettings().error.noise()
    return PathedGeometry(depth, recorded, own.path)
