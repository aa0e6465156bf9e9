"""What is thought of a camera's lens before anything has been measured in its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from spatialcode.errors import SchemaError

LensSource = Literal["quicktime", "xmp", "exif", "phone"]


@dataclass(frozen=True)
class Lens:
    """A focal length as a file's metadata tells it.

    ``focal_widths``: in widths of the upright picture with square pixels. ``source``: what told
    it. ``log_sigma``: standard deviation of its logarithm, that is its error as a share.
    SchemaError where one is out of range.
    """

    focal_widths: float
    source: LensSource
    log_sigma: float

    def __post_init__(self) -> None:
        for name in ("focal_widths", "log_sigma"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise SchemaError(f"Lens.{name}", "a finite number > 0", value)
        if self.source not in get_args(LensSource):
            options = ", ".join(get_args(LensSource))
            raise SchemaError("Lens.source", f"one of {options}", self.source)

    def intrinsics(self, width_px: int, height_px: int) -> Float[np.ndarray, "3 3"]:
        """The pinhole matrix of upright pictures, their principal point in the middle."""
        focal = self.focal_widths * width_px
        return np.array([[focal, 0, width_px / 2], [0, focal, height_px / 2], [0, 0, 1.0]])
