"""The prompted encoder with truth in the place of its networks, and noise upon it.

With everything exact, what is missing is the fault of lifting and fusion. Exact input proves
little, though: a simple lift that reaches 0.98 on it fails under the errors that networks make.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spatialcode.encoder.geometry.oracle import NoisyGeometry, OracleGeometry
from spatialcode.encoder.geometry.protocol import DepthNoise, GeometrySource
from spatialcode.encoder.parsing.oracle import (
    NoisyDetector,
    NoisyMasks,
    OracleDetector,
    OracleMasks,
    ParsingNoise,
    TrueInstances,
)
from spatialcode.encoder.parsing.protocol import Detector, MaskSource
from spatialcode.encoder.prompted.parts import ORACLE_PARTS, FusionSettings, PromptedParts
from spatialcode.encoder.prompted.session import PromptedEncoding
from spatialcode.encoder.protocol import FrameRequest
from spatialcode.synthetic.truth import SyntheticClip
from spatialcode.workkey import EncoderIdentity

#: 5 % of depth scale a frame, 2 % a pixel, depth edges smeared over 3 pixels.
NETWORK_DEPTH = DepthNoise(frame=0.05, pixel=0.02, edge_px=3.0)
#: Masks a pixel off.
NETWORK_MASK_SHIFT_PX = 1


@dataclass(frozen=True)
class OracleOptions:
    """``parts``: of `ORACLE_PARTS`; without poses the path is estimated. ``is_noisy``: network-like
    noise upon masks and depth. ``missed``, ``switched``: shares of boxes lost and of masks with the
    track of another object. ``fusion``: the encoder's settings after its networks.
    """

    parts: tuple[str, ...] = ORACLE_PARTS
    is_noisy: bool = False
    missed: float = 0.0
    switched: float = 0.0
    fusion: FusionSettings = field(default_factory=FusionSettings)


def oracle_encoder(clip: SyntheticClip, options: OracleOptions) -> PromptedEncoding:
    """The prompted encoder whose parts know the truth of one clip. Deterministic by its seed."""
    truth = TrueInstances(clip.instance, clip.labels)
    shift_px = NETWORK_MASK_SHIFT_PX if options.is_noisy else 0
    noise = ParsingNoise(shift_px, options.missed, options.switched)
    detector: Detector = OracleDetector(truth)
    masks: MaskSource = OracleMasks(truth)
    if options.is_noisy or options.missed or options.switched:
        detector = NoisyDetector(detector, clip.seed, noise)
        masks = NoisyMasks(masks, clip.seed, noise)
    return PromptedEncoding(
        PromptedParts(detector, masks, _geometry(clip, options)),
        options.fusion,
        EncoderIdentity("prompted-oracle", "", ""),
        FrameRequest(window=None),
    )


def _geometry(clip: SyntheticClip, options: OracleOptions) -> GeometrySource:
    geometry: GeometrySource = OracleGeometry(clip.depth_m, clip.K, clip.T_world_camera)
    return NoisyGeometry(geometry, clip.seed, NETWORK_DEPTH) if options.is_noisy else geometry
