"""Several cues of one scale weighed by how sure each is, so that one that is wrong has no say.

Each cue is either right, within its stated error, or a liar that may say anything: a mixture of two
normal distributions of the logarithm of scale. Their product over a grid has its highest peak
where most of the surest agree, however far off one of the others is.

Source: the mixture of inliers and outliers of Vogiatzis and Hernández, "Video-based, real-time
multi-view stereo", 2011, eq. 5, with a wide normal in the place of their uniform distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import SchemaError

Array = NDArray[np.float64]
CueSource = Literal["metric-depth", "camera-height", "ceiling-height", "object-sizes"]

#: Logarithms of scale that are tried: from a twentieth to twenty times.
_GRID = np.linspace(-3.0, 3.0, 6001)
#: Standard deviation of what a liar says.
_LIAR_SIGMA = 1.5
#: A scale is right that is no further off than this: fifteen hundredths.
_RIGHT = float(np.log(1.15))


@dataclass(frozen=True)
class ScaleCue:
    """What one source says: the log of metres in the path's unit, and its standard deviation.

    SchemaError where one is not finite or the deviation is not above 0.
    """

    source: CueSource
    log_scale: float
    sigma: float

    def __post_init__(self) -> None:
        if not np.isfinite(self.log_scale):
            raise SchemaError("ScaleCue.log_scale", "a finite number", self.log_scale)
        if not 0 < self.sigma < np.inf:
            raise SchemaError("ScaleCue.sigma", "a finite number > 0", self.sigma)


@dataclass(frozen=True)
class FusedScale:
    """The log of metres in the path's unit, the ``source`` that has most weight in it, and the
    ``confidence`` that it is right within 15 %, by what the cues state.
    """

    log_scale: float
    source: CueSource
    confidence: float


def fused(cues: Sequence[ScaleCue], liar_share: float) -> FusedScale:
    """The likeliest scale by all cues, at least one; ``liar_share``: how likely one is a liar."""
    if not cues:
        raise SchemaError("cues", "at least one", 0)
    density = _density(cues, liar_share)
    best = int(density.argmax())
    chosen = float(_GRID[best])
    weights = [_trust(cue, chosen, liar_share) / cue.sigma**2 for cue in cues]
    near = np.abs(_GRID - chosen) <= _RIGHT
    return FusedScale(
        chosen, cues[int(np.argmax(weights))].source, float(density[near].sum() / density.sum())
    )


def confidence_of(cues: Sequence[ScaleCue], liar_share: float) -> float:
    """The probability that the path's unit is the metre within 15 %, by what the cues state."""
    density = _density(cues, liar_share)
    return float(density[np.abs(_GRID) <= _RIGHT].sum() / density.sum())


def _density(cues: Sequence[ScaleCue], liar_share: float) -> Array:
    logs = [
        np.log((1 - liar_share) * _normal(_GRID, c.log_scale, c.sigma)
               + liar_share * _normal(_GRID, c.log_scale, _LIAR_SIGMA))
        for c in cues
    ]  # fmt: skip
    total = np.sum(logs, axis=0)
    return np.asarray(np.exp(total - total.max()))


def _trust(cue: ScaleCue, at: float, liar_share: float) -> float:
    """The probability that a cue is no liar, given the scale."""
    right = (1 - liar_share) * _normal(np.array(at), cue.log_scale, cue.sigma)
    wrong = liar_share * _normal(np.array(at), cue.log_scale, _LIAR_SIGMA)
    return float(right / (right + wrong))


def _normal(x: Array, mean: float, sigma: float) -> Array:
    return np.asarray(np.exp(-0.5 * ((x - mean) / sigma) ** 2) / sigma)
