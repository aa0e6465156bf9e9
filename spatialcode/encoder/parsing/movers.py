"""Which pixels show what moves by itself: a camera's path must not rest on them.

It knows what moves by its word alone; a chair that somebody pushes is left to robust weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from spatialcode.encoder.parsing.protocol import FrameMasks
from spatialcode.encoder.protocol import Window
from spatialcode.scene.categories import traits_of

#: What is asked for in any case: people walk through most videos of rooms.
ASKED_FOR_MOVERS = "person"


def with_movers(window: Window, masks: Mapping[int, FrameMasks]) -> Window:
    """The window with the pixels of people and animals in the rows that were outlined; as it is
    where there are none.
    """
    found = {row: [k for k, label in enumerate(frame.labels) if traits_of(label).is_alive]
             for row, frame in masks.items()}  # fmt: skip
    if not any(found.values()):
        return window
    movers = np.zeros(window.rgb.shape[:3], bool)
    for row, alive in found.items():
        movers[row] = masks[row].masks[alive].any(axis=0)
    return replace(window, movers=movers)
