"""The prompted encoder with truth in the place of its networks, and noise upon it.

With everything exact, what is missing is the fault of lifting and fusion. Exact input proves
little, though: a simple lift that reaches 0.98 on it fails under the errors that networks make.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from spatialcode.encoder.geometry.oracle import NoisyGeometry, OracleGeometry
from spatialcode.encoder.geometry.pathed import PathedGeometry
from spatialcode.encoder.geometry.protocol import (
    DepthNoise,
    GeometrySession,
    GeometrySource,
    SettledPath,
    WindowGeometry,
)
from spatialcode.encoder.geometry.settings import PathSettings
from spatialcode.encoder.parsing.oracle import (
    NoisyDetector,
    NoisyMasks,
    OracleDetector,
    OracleMasks,
    ParsingNoise,
    TrueInstances,
)
from spatialcode.encoder.parsing.protocol import Detector, MaskSource
from spatialcode.encoder.parts import EncoderParts
from spatialcode.encoder.prompted.session import PromptedEncoding
from spatialcode.encoder.prompted.settings import FusionSettings
from spatialcode.encoder.protocol import ClipHeader, FrameGeometry, FrameRequest, Window
from spatialcode.synthetic.truth import SyntheticClip
from spatialcode.workkey import EncoderIdentity

#: 5 % of depth scale a frame, 2 % a pixel, depth edges smeared over 3 pixels.
NETWORK_DEPTH = DepthNoise(frame=0.05, pixel=0.02, edge_px=3.0)
#: Masks a pixel off.
NETWORK_MASK_SHIFT_PX = 1


@dataclass(frozen=True)
class OracleOptions:
    """``parts``: what is true: masks and depth, and perhaps poses, without which the path is
    estimated. ``is_noisy``: network-like noise upon masks and depth. ``missed``, ``switched``:
    shares of boxes lost, and of masks with the track of another object. ``fusion``: the encoder's
    settings after its networks.
    """

    parts: tuple[str, ...] = ("masks", "depth", "poses")
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
        EncoderParts(detector, masks, _geometry(clip, options)),
        options.fusion,
        EncoderIdentity("prompted-oracle", "", ""),
        FrameRequest(window=None),
    )


def _geometry(clip: SyntheticClip, options: OracleOptions) -> GeometrySource:
    geometry: GeometrySource = OracleGeometry(clip.depth_m, clip.K, clip.T_world_camera)
    if options.is_noisy:
        geometry = NoisyGeometry(geometry, clip.seed, NETWORK_DEPTH)
    return geometry if "poses" in options.parts else OwnPoses(geometry)


@dataclass(frozen=True, eq=False)
class OwnPoses:
    """Another source's depth and intrinsics, with a path estimated from them and the frames."""

    part: GeometrySource

    def session(self, clip: ClipHeader) -> GeometrySession:
        return _OwnPosesSession(self.part.session(clip), clip)


class _OwnPosesSession:
    def __init__(self, part: GeometrySession, clip: ClipHeader) -> None:
        self._part, self._clip = part, clip
        self._pathed: GeometrySession | None = None

    def geometry(self, window: Window) -> WindowGeometry:
        told = self._part.geometry(window)
        if self._pathed is None:
            pathed = PathedGeometry(None, told.error, PathSettings())
            self._pathed = pathed.session(self._clip)
        known = FrameGeometry(told.K[0], window.geometry.T_world_camera, None, told.depth_m)
        return self._pathed.geometry(replace(window, geometry=known))

    def settled(self) -> SettledPath | None:
        """See `GeometrySession`."""
        return None if self._pathed is None else self._pathed.settled()
