"""The renderers by name. Light: settings read it."""

from __future__ import annotations

import math

#: Boxes, cylinders and ellipsoids, cast in numpy: needs no package.
PRIMITIVES = "primitives"
#: Real models, drawn by OpenGL: needs Debian's sweethome3d-furniture, moderngl and EGL.
FURNITURE = "furniture"
RENDERERS = (PRIMITIVES, FURNITURE)

_GOLDEN = (math.sqrt(5) - 1) / 2


def renderer_of(seed: int, furniture_share: float) -> str:
    """The renderer of a room where a share of rooms has real furniture; neighbouring seeds are
    spread evenly.
    """
    return FURNITURE if (seed * _GOLDEN) % 1.0 < furniture_share else PRIMITIVES


def check_renderer(name: str) -> None:
    """FurnitureError where a renderer cannot run on this machine, and what to install."""
    if name == FURNITURE:
        from spatialcode.synthetic.catalogue.models import furniture_folder
        from spatialcode.synthetic.raster.device import context

        furniture_folder()
        context()
