"""Parts of an encoder that need no networks: two boxes that stay, masks that fill them, a flat
wall ahead of a camera that walks to its right.
"""

from __future__ import annotations

import numpy as np

from spatialcode.encoder.geometry.protocol import DepthNoise, WindowGeometry
from spatialcode.encoder.parsing.protocol import Detections, FrameMasks

STEP_M, WALL_M = 0.05, 2.0


def detector(weights, settings, device):
    return TwoBoxes(**settings)


def masks(weights, settings, device):
    return FilledBoxes()


def geometry(weights, settings, device):
    return WallAhead(**settings)


class TwoBoxes:
    def __init__(self, num_boxes: int = 2) -> None:
        self.num_boxes = num_boxes

    def detect(self, window, rows, labels):
        height, width = window.rgb.shape[1:3]
        left = np.linspace(0.1, 0.6, max(1, self.num_boxes))[: self.num_boxes] * width
        boxes = np.stack((left, 0 * left + 0.2 * height, left + 0.3 * width, 0 * left + height), 1)
        names = tuple(labels[i % len(labels)] for i in range(self.num_boxes))
        return [Detections(boxes, names, np.full(len(names), 0.9)) for _ in rows]


class FilledBoxes:
    edge_sigma_px = 0.0

    def session(self):
        return FilledSession()


class FilledSession:
    """Follows each box from where it was first found, to every frame after."""

    def __init__(self) -> None:
        self.last = Detections.none()

    def masks(self, window, detections):
        found = {}
        for row in range(window.num_repeated, len(window.rgb)):
            self.last = detections.get(row, self.last)
            filled = np.zeros((len(self.last.labels), *window.rgb.shape[1:3]), bool)
            for mask, box in zip(filled, self.last.boxes_px.astype(int), strict=True):
                mask[box[1] : box[3], box[0] : box[2]] = True
            tracks = np.arange(len(filled))
            found[row] = FrameMasks(filled, self.last.labels, self.last.scores, tracks)
        return found


class WallAhead:
    """``unit``: metres of its lengths, which it does not tell; None: it is metric."""

    def __init__(self, unit: float | None = None) -> None:
        self.unit = unit

    def session(self, clip):
        return self

    def settled(self) -> None:
        return None

    def geometry(self, window):
        num, height, width = window.rgb.shape[:3]
        pose = np.tile(np.eye(4), (num, 1, 1))
        # z ahead of the camera lies along the world's y, its y down along the world's -z
        pose[:, :3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
        pose[:, 0, 3] = STEP_M * (window.start + np.arange(num))
        pose[:, 2, 3] = 1.5
        K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
        depth_m = np.full((num, height // 4, width // 4), WALL_M, np.float32)
        if self.unit is not None:
            pose[:, :3, 3] /= self.unit
            depth_m /= self.unit
        K = np.tile(K, (num, 1, 1))
        metric = self.unit is None
        return WindowGeometry(depth_m, K, pose, metric, DepthNoise(), is_grounded=metric)
