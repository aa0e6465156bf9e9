"""What parses pictures: a detector finds things by their words, a mask source outlines them.

Both are told which frames they see, and both state how far their outlines may be off, so that
what is lifted from them can be trimmed by that much. No torch here: settings and oracles import
these protocols too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from spatialcode.encoder.protocol import Window
from spatialcode.errors import SchemaError

#: The track of a mask whose source does not follow things from frame to frame.
NO_TRACK = -1


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found in one frame.

    ``boxes_px`` (D, 4): x0, y0, x1, y1 in pixels of the frame, edges at whole numbers, inside the
    picture. ``labels``: D words of the vocabulary. ``scores`` (D,) in [0, 1]. SchemaError where
    the three do not agree.
    """

    boxes_px: Float[np.ndarray, "d 4"]
    labels: tuple[str, ...]
    scores: Float[np.ndarray, " d"]

    def __post_init__(self) -> None:
        num = len(self.labels)
        if np.shape(self.boxes_px) != (num, 4) or np.shape(self.scores) != (num,):
            shapes = f"{np.shape(self.boxes_px)}, {np.shape(self.scores)}"
            raise SchemaError("Detections", f"{num} boxes of 4 and {num} scores", shapes)

    @classmethod
    def none(cls) -> Detections:
        """A frame in which nothing was found."""
        return cls(np.zeros((0, 4)), (), np.zeros(0))


@dataclass(frozen=True, eq=False)
class FrameMasks:
    """The outlined things of one frame.

    ``masks`` (M, H, W) of the frame's own size; ``labels``: M words; ``scores`` (M,) in [0, 1];
    ``tracks`` (M,): equal for one thing in several frames of a clip, `NO_TRACK` where the source
    does not follow things; ``appearance`` (M, C): unit vectors that look alike for one thing, None
    where the source has none. SchemaError where they do not agree.
    """

    masks: Bool[np.ndarray, "m h w"]
    labels: tuple[str, ...]
    scores: Float[np.ndarray, " m"]
    tracks: Int[np.ndarray, " m"]
    appearance: Float[np.ndarray, "m c"] | None = None

    def __post_init__(self) -> None:
        num = len(self.labels)
        parts = [self.masks, self.scores, self.tracks]
        parts += [] if self.appearance is None else [self.appearance]
        lengths = [len(part) for part in parts]
        if lengths != [num] * len(parts) or self.masks.ndim != 3:
            raise SchemaError("FrameMasks", f"{num} of each, masks (M, H, W)", lengths)

    def labelled(self, labels: Sequence[str]) -> FrameMasks:
        """The masks that have one of these labels."""
        return self.rows(np.flatnonzero(np.isin(self.labels, labels)))

    def rows(self, rows: Int[np.ndarray, " k"]) -> FrameMasks:
        """Some of the masks, in that order."""
        return FrameMasks(
            self.masks[rows],
            tuple(self.labels[k] for k in rows),
            self.scores[rows],
            self.tracks[rows],
            None if self.appearance is None else self.appearance[rows],
        )


class Detector(Protocol):
    """Finds things by their words; knows nothing of frames before or after."""

    def detect(
        self, window: Window, rows: Sequence[int], labels: Sequence[str]
    ) -> list[Detections]:
        """One result a row of the window (its key frames), in order; never fewer.

        ``labels``: the vocabulary, of any length; what is found carries one of its words.
        Raises EncodeError where frames cannot be used.
        """
        ...


class MaskSession(Protocol):
    """One clip on its way through a mask source, window by window in time order."""

    def masks(self, window: Window, detections: Mapping[int, Detections]) -> dict[int, FrameMasks]:
        """Outlined things by row of the window.

        ``detections``: by row, for the key frames. A source without memory answers for those rows
        alone, one that follows things for every row, and gives each thing one track. Repeated
        rows of a window (`Window.num_repeated`) were seen before and may be left out.
        """
        ...


class MaskSource(Protocol):
    """Turns boxes into masks.

    ``edge_sigma_px``: standard deviation of an outline's place, in pixels of the frame.
    """

    edge_sigma_px: float

    def session(self) -> MaskSession:
        """A fresh start for one clip; sessions share weights and nothing else."""
        ...
