"""Masks for the boxes of single frames, by SAM 2 as an image network.

Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024, arXiv 2408.00714. A box gives
three masks; the one with the highest predicted overlap is taken. Nothing is remembered from frame
to frame: every mask is of `NO_TRACK`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spatialcode.encoder.parsing.outlines import appearance, outlined
from spatialcode.encoder.parsing.protocol import NO_TRACK, Detections, FrameMasks
from spatialcode.encoder.parsing.settings import ImageMaskSettings
from spatialcode.encoder.parsing.towers import PretrainedTower, TowerPart, batches, device_memory
from spatialcode.encoder.protocol import Window


class ImageMasks(TowerPart[ImageMaskSettings]):
    """A `MaskSource` without memory."""

    image_tower = "vision_encoder"
    # A logit map has a quarter of the picture's resolution; its zero is placed within half a cell.
    edge_sigma_px = 1.0

    def session(self) -> ImageMaskSession:
        return ImageMaskSession(self._tower, self._settings)


@dataclass(eq=False)
class ImageMaskSession:
    """One clip. ``num_dropped``: boxes that gave no mask that could be trusted."""

    tower: PretrainedTower
    settings: ImageMaskSettings
    num_dropped: int = 0

    def masks(self, window: Window, detections: Mapping[int, Detections]) -> dict[int, FrameMasks]:
        """See `MaskSession`: an answer for each row that has detections, also for none of them."""
        answers: dict[int, FrameMasks] = {}
        for rows in batches(sorted(detections), self.settings.num_frames):
            with device_memory(f"masks of {len(rows)} frames at once"):
                answers |= self._answers(window.rgb, rows, detections)
        return answers

    @torch.inference_mode()
    def _answers(
        self, rgb: np.ndarray, rows: Sequence[int], detections: Mapping[int, Detections]
    ) -> dict[int, FrameMasks]:
        full = [row for row in rows if detections[row].labels]
        answers = {row: no_masks(rgb.shape[1:3]) for row in rows}
        if full:
            levels = self.tower.model.get_image_embeddings(self.tower.pictures(rgb[full]))
            for i, row in enumerate(full):
                own = [level[i : i + 1] for level in levels]
                answers[row] = self._outlined(own, detections[row], rgb.shape[1:3])
        return answers

    def _outlined(
        self, levels: list[Tensor], found: Detections, size_px: tuple[int, int]
    ) -> FrameMasks:
        settings = self.settings
        side = self.tower.prepare.size_px
        scale = np.array([side[1], side[0]] * 2) / np.array([size_px[1], size_px[0]] * 2)
        boxes = torch.tensor(found.boxes_px * scale, dtype=torch.float32, device=self.tower.device)
        masks, trust = [], []
        for part in boxes.split(settings.num_objects):
            logits, predicted_iou = best_masks(self.tower.model, levels, part)
            masks.append(outlined(logits, size_px, settings.outline))
            trust.append(predicted_iou.cpu().numpy())
        drawn = np.concatenate(masks)
        sure = np.concatenate(trust) >= settings.min_predicted_iou
        kept = np.flatnonzero(drawn.any(axis=(1, 2)) & sure)
        self.num_dropped += len(drawn) - len(kept)
        return FrameMasks(
            drawn[kept],
            tuple(found.labels[row] for row in kept),
            found.scores[kept],
            np.full(len(kept), NO_TRACK),
            appearance(levels[-1][0], drawn[kept]),
        )


def best_masks(
    model: Any, levels: list[Tensor], boxes: Float[Tensor, "m 4"]
) -> tuple[Float[Tensor, "m h w"], Float[Tensor, " m"]]:
    """Logits of the surest of three masks for each box of one picture, and its predicted overlap.

    ``boxes``: in pixels of the network's picture. ``levels``: the picture's image embeddings.
    """
    output = model(
        image_embeddings=levels,
        input_boxes=boxes[None],
        multimask_output=True,
    )
    trust, best = output.iou_scores[0].float().max(dim=1)
    rows = torch.arange(len(boxes), device=boxes.device)
    return output.pred_masks[0][rows, best].float(), trust


def no_masks(size_px: tuple[int, int]) -> FrameMasks:
    """The answer for a frame (height, width) in which there is nothing."""
    return FrameMasks(np.zeros((0, *size_px), bool), (), np.zeros(0), np.zeros(0, np.int64))
