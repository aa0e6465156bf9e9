"""Whether a model works: a bundled clip is encoded once at the start, and again on demand.

The check says that the same boxes come out each time, not that they are right.
"""

from __future__ import annotations

from spatialcode.api import ASSETS, VideoEncoder
from spatialcode.errors import EncodeError
from spatialcode.scene.schema import SpatialCode
from spatialcode.video.sampling import ByCount
from spatialcode.video.sandbox import SandboxedDecoder

CLIP = ASSETS / "sample_room.mp4"
_NUM_FRAMES, _MAX_SIDE_PX = 4, 160
#: Centres may move so far between two runs of one device, metres.
_TOLERANCE_M = 0.05


class ModelCheck:
    """Encodes the clip when made; `run` does it again and compares.

    EncodeError where the encoder fails, RuntimeError where it gives something else.
    """

    def __init__(self, encoder: VideoEncoder) -> None:
        self._encoder = encoder
        with SandboxedDecoder() as decoder:
            self._video = decoder.decode(CLIP, ByCount(_NUM_FRAMES), max_side_px=_MAX_SIDE_PX)
        self._first = self._encoded()

    def run(self) -> None:
        """The same again: same objects, in the same places."""
        now = self._encoded()
        labels = [[item.label for item in code.objects] for code in (self._first, now)]
        moved_m = max(
            (
                abs(a - b)
                for one, other in zip(self._first.objects, now.objects, strict=False)
                for a, b in zip(one.center_m, other.center_m, strict=True)
            ),
            default=0.0,
        )
        if labels[0] != labels[1] or not moved_m <= _TOLERANCE_M:
            raise RuntimeError("the encoder no longer gives what it gave at first")

    def _encoded(self) -> SpatialCode:
        (code,) = self._encoder.encode_batch([self._video])
        if isinstance(code, EncodeError):
            raise code
        return code
