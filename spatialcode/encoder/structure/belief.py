"""Whether a model that a mapper made is to be believed.

Source: none.
"""

from __future__ import annotations

from spatialcode.encoder.odometry.audit import REFERENCE_SIDE_PX
from spatialcode.encoder.structure.lens import apart
from spatialcode.encoder.structure.settings import StructureSettings
from spatialcode.encoder.structure.structure import Structure


def disbelief(
    structure: Structure, settings: StructureSettings, other_focal_px: float | None
) -> str | None:
    """Why a structure is not to be believed, in words, or None.

    ``other_focal_px``: what else is known of its focal length, to which the incremental mapper is
    held: where it bends a path it bends the lens too.
    """
    max_error_px = settings.max_error_px * max(structure.size_px) / REFERENCE_SIDE_PX
    links, focal_px = structure.links(), float(structure.K[0, 0])
    if structure.registered < settings.min_registered:
        return f"placed {100 * structure.registered:.0f} % of the frames"
    if structure.error_px > max_error_px:
        return f"misses its points by {structure.error_px:.1f} pixels in the median"
    if structure.parallax_deg < settings.min_parallax_deg:
        return f"sees its points under {structure.parallax_deg:.1f} degrees in the median"
    if len(links) and links.min() < settings.min_links:
        return f"has frames between which only {links.min()} points hold it together"
    other_px = other_focal_px if structure.mapper == "incremental" else None
    if other_px is not None and apart(focal_px, other_px) > settings.max_focal_disagreement:
        return f"its focal length of {focal_px:.0f} pixels is far from {other_px:.0f}"
    return None
