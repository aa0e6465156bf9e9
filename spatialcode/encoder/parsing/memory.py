"""SAM 2's memory for many things at once: what each leaves behind, and how a frame is read by it.

Ravi et al., "SAM 2", 2024, arXiv 2408.00714, section 4, with the layers of transformers. Its own
loop takes one thing after the other and keeps every frame. Here things with memories of one length
pass together, and what no later frame can look at is let go, so that a clip of any length needs the
memory of `num_maskmem` frames. The tracker of SAM 3 has the same layers.

A thing's memories depend on no other thing's: only masks that were asked for by a box are hardened
before they are remembered (transformers hardens all masks of a frame where one is asked for).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import BFloat16, Float
from torch import Tensor
from torch.nn import functional

#: Logits of a mask whose thing is not in the frame, as in the library.
ABSENT = -1024.0


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """What the image tower sees in one frame, as the library keeps it: cells, 1, channels.

    ``levels``: fine to coarse; ``places``: position codes of the coarse level.
    """

    levels: tuple[Float[Tensor, "cells 1 c"], ...]
    places: Float[Tensor, "cells 1 c"]


@dataclass(eq=False)
class TrackMemory:
    """What one thing left behind: in the frame where it was asked for, and in the last ones.

    ``masks``: memory features by frame, ``pointers``: object pointers by frame; the frame it was
    asked for in is in neither.
    """

    asked_frame: int
    asked_mask: BFloat16[Tensor, "cells 1 m"]
    asked_pointer: Float[Tensor, "1 c"]
    masks: dict[int, BFloat16[Tensor, "cells 1 m"]] = field(default_factory=dict)
    pointers: dict[int, Float[Tensor, "1 c"]] = field(default_factory=dict)

    @property
    def length(self) -> tuple[int, int]:
        """How many masks and pointers there are: equal ones pass together."""
        return len(self.masks), len(self.pointers)

    def forget(self, frame: int, num_masks: int, num_pointers: int) -> None:
        """Let go of what no frame after ``frame`` looks at."""
        self.masks = {f: m for f, m in self.masks.items() if f > frame - num_masks}
        self.pointers = {f: p for f, p in self.pointers.items() if f > frame - num_pointers}


@dataclass(frozen=True, eq=False)
class MaskReading:
    """What the mask decoder says of B things in one frame.

    ``logits`` (B, h, w) of the mask, `ABSENT` where the thing is not there; ``full`` (B, 1, s, s)
    the same at the size of the network's picture; ``pointers`` (B, C); ``presence`` (B, 1, 1).
    """

    logits: Float[Tensor, "b h w"]
    full: Float[Tensor, "b 1 s s"]
    pointers: Float[Tensor, "b c"]
    presence: Float[Tensor, "b 1 1"]


class MemoryNetwork:
    """`Sam2VideoModel`, or `Sam3TrackerVideoModel`, read frame by frame for many things."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        self._model = model
        self._dtype = dtype
        # A frame looks at masks up to so many frames back, and at pointers.
        self.num_masks = model.num_maskmem - 1
        self.num_pointers = model.config.max_object_pointers_in_encoder - 1

    @torch.inference_mode()
    def features(self, pictures: Float[Tensor, "n 3 s s"]) -> list[FrameFeatures]:
        """The image tower's view of each frame."""
        seen = self._model.get_image_features(pictures, return_dict=True)
        levels, places = seen.fpn_hidden_states, seen.fpn_position_encoding[-1]
        return [
            FrameFeatures(
                tuple(level[:, i : i + 1] for level in levels),
                places[:, i : i + 1] if places.shape[1] > 1 else places,
            )
            for i in range(len(pictures))
        ]

    def coarse(self, seen: FrameFeatures) -> Float[Tensor, "c h w"]:
        """The coarse features as a map over the frame."""
        return self._map(seen.levels[-1], -1)[0]

    @torch.inference_mode()
    def ask(self, seen: FrameFeatures, boxes: Float[Tensor, "b 4"]) -> MaskReading:
        """Masks for boxes in pixels of the network's picture, by this frame alone."""
        points = boxes.float().reshape(len(boxes), 1, 2, 2)
        corner_labels = torch.tensor([2, 3], dtype=torch.int32, device=boxes.device)
        labels = corner_labels.expand(len(boxes), 1, 2)
        fused = self._map(seen.levels[-1] + self._model.no_memory_embedding, -1)
        several = self._model._use_multimask(True, {"point_labels": labels})
        return self._decode(seen, fused.expand(len(boxes), -1, -1, -1), points, labels, several)

    @torch.inference_mode()
    def follow(
        self, seen: FrameFeatures, frame: int, memories: Sequence[TrackMemory]
    ) -> MaskReading:
        """Where things of one memory length are in a frame, and how each is seen there."""
        count = len(memories)
        masks, mask_places = self._masks(memories)
        pointers, pointer_places = self._pointers(frame, memories)
        fused = self._model.memory_attention(
            current_vision_features=seen.levels[-1].expand(-1, count, -1),
            current_vision_position_embeddings=seen.places.expand(-1, count, -1),
            memory=torch.cat([masks, pointers]).to(self._dtype),
            memory_posision_embeddings=torch.cat([mask_places, pointer_places]),
            num_object_pointer_tokens=len(pointers),
        )[0]  # (things, cells, channels)
        fused = self._map(fused.transpose(0, 1), -1)
        nothing = fused.new_zeros(count, 1, 1, 2)
        labels = torch.full((count, 1, 1), -1, dtype=torch.int32, device=fused.device)
        several = self._model._use_multimask(False, None)
        return self._decode(seen, fused, nothing, labels, several)

    @torch.inference_mode()
    def remembered(
        self, seen: FrameFeatures, reading: MaskReading, asked: bool
    ) -> list[BFloat16[Tensor, "cells 1 m"]]:
        """What each thing of a reading leaves behind of its mask."""
        features, _ = self._model._encode_new_memory(
            current_vision_feats=seen.levels[-1].expand(-1, len(reading.logits), -1),
            pred_masks_high_res=reading.full,
            object_score_logits=reading.presence,
            is_mask_from_pts=asked,
        )
        # Copies: a view of one thing would keep the memories of all.
        return [features[:, i : i + 1].clone() for i in range(features.shape[1])]

    def _map(self, cells: Float[Tensor, "cells b c"], level: int) -> Float[Tensor, "b c h w"]:
        size = self._model.backbone_feature_sizes[level]
        return cells.permute(1, 2, 0).unflatten(2, tuple(size))

    def _masks(
        self, memories: Sequence[TrackMemory]
    ) -> tuple[Float[Tensor, "l b m"], Float[Tensor, "l b m"]]:
        """Memory features of all things, the asked frame's first, then the oldest to the newest."""
        model = self._model
        rows = [[one.asked_mask, *(one.masks[f] for f in sorted(one.masks))] for one in memories]
        features = torch.cat([torch.cat(row) for row in rows], dim=1)
        size = tuple(model.backbone_feature_sizes[-1])
        shape = torch.Size((1, model.mem_dim, *size))
        code = model.memory_encoder.position_encoding(shape, features.device, self._dtype)
        spatial = code.to(self._dtype).flatten(2).permute(2, 0, 1)
        # The asked frame has the last of the codes in time, the newest frame the first.
        ages = [-1, *range(len(rows[0]) - 2, -1, -1)]
        places = torch.cat([spatial + model.memory_temporal_positional_encoding[a] for a in ages])
        return features, places.expand(-1, len(memories), -1)

    def _pointers(
        self, frame: int, memories: Sequence[TrackMemory]
    ) -> tuple[Float[Tensor, "p b m"], Float[Tensor, "p b m"]]:
        """Object pointers of all things, the asked frame's first, then the newest to the oldest."""
        from transformers.models.sam2_video.modeling_sam2_video import get_1d_sine_pe

        model = self._model
        width = model.mem_dim
        tokens, ages = [], []
        for one in memories:
            frames = sorted(one.pointers, reverse=True)
            tokens.append(torch.stack([one.asked_pointer, *(one.pointers[f] for f in frames)]))
            ages.append([frame - f for f in (one.asked_frame, *frames)])
        pointers = torch.cat(tokens, dim=1)
        if model.config.enable_temporal_pos_encoding_for_object_pointers:
            past = torch.tensor(ages, device=pointers.device, dtype=torch.float32).T
            code = get_1d_sine_pe(past / float(self.num_pointers), dim=pointers.shape[2])
            places = model.temporal_positional_encoding_projection_layer(code.to(pointers.dtype))
        else:
            places = pointers.new_zeros(*pointers.shape[:2], width)
        # A pointer is as wide as several memory cells: it is read as so many of them.
        pieces = pointers.shape[2] // width
        split = pointers.unflatten(2, (pieces, width)).permute(0, 2, 1, 3).flatten(0, 1)
        return split, places.repeat_interleave(pieces, dim=0)

    def _decode(
        self,
        seen: FrameFeatures,
        fused: Float[Tensor, "b c h w"],
        points: Float[Tensor, "b 1 p 2"],
        labels: Tensor,
        several: bool,
    ) -> MaskReading:
        """Masks of B things out of their own fused features; the surest of ``several``."""
        model, count = self._model, len(fused)
        fine = [
            self._map(level, i).expand(count, -1, -1, -1)
            for i, level in enumerate(seen.levels[:-1])
        ]
        sparse, dense = model.prompt_encoder(
            input_points=points, input_labels=labels, input_boxes=None, input_masks=None
        )
        masks, trust, tokens, presence = model.mask_decoder(
            image_embeddings=fused,
            image_positional_embeddings=model.get_image_wide_positional_embeddings().repeat(
                count, 1, 1, 1
            ),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
            high_resolution_features=fine,
        )
        rows = torch.arange(count, device=fused.device)
        best = trust[:, 0].argmax(dim=1) if several else torch.zeros_like(rows)
        there = presence > 0.0  # (things, 1, 1)
        masks = torch.where(there[..., None, None], masks, masks.new_tensor(ABSENT))[:, 0]
        # All candidates are enlarged, as in the library, whose memories are equal to the bit then.
        side = model.image_size
        full = functional.interpolate(
            masks.float(), size=(side, side), mode="bilinear", align_corners=False
        ).to(masks.dtype)
        token = tokens[rows, :, best if tokens.shape[2] > 1 else torch.zeros_like(best)]
        shown = there.to(token.dtype)
        pointers = shown * model.object_pointer_proj(token) + (1 - shown) * model.no_object_pointer
        return MaskReading(masks[rows, best], full[rows, best][:, None], pointers[:, 0], presence)
