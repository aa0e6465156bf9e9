"""Things followed through a clip by a network's memory: SAM 2's, or that of SAM 3's tracker.

A thing joins where a key frame's detection outlines something that no live track covers; a
detection on a live track belongs to it and settles its label. A track that has not been seen for
long ends. At most so many tracks are alive: where there is no room, the track unseen for longest
ends first; where all are seen, the least sure new detections are dropped and counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool

from spatialcode.encoder.parsing.boxes import iou
from spatialcode.encoder.parsing.image_masks import no_masks
from spatialcode.encoder.parsing.memory import (
    FrameFeatures,
    MaskReading,
    MemoryNetwork,
    TrackMemory,
)
from spatialcode.encoder.parsing.outlines import appearance, mask_boxes, outlined
from spatialcode.encoder.parsing.protocol import Detections, FrameMasks
from spatialcode.encoder.parsing.settings import MemorySettings
from spatialcode.encoder.parsing.towers import PretrainedTower, TowerPart, batches, device_memory
from spatialcode.encoder.protocol import Window


class VideoMasks(TowerPart[MemorySettings]):
    """A `MaskSource` that follows things."""

    image_tower = "vision_encoder"
    # As of `ImageMasks`: the decoder is the same.
    edge_sigma_px = 1.0

    def __init__(self, tower: PretrainedTower, settings: MemorySettings) -> None:
        super().__init__(tower, settings)
        self._network = MemoryNetwork(tower.model, tower.dtype)

    def session(self) -> VideoMaskSession:
        return VideoMaskSession(self._tower, self._network, self._settings)


@dataclass(eq=False)
class FollowedThing:
    """A live track. ``missing``: frames since it was last seen; ``votes``: scores by label."""

    number: int
    memory: TrackMemory
    votes: dict[str, float] = field(default_factory=dict)
    score: float = 0.0
    missing: int = 0

    @property
    def label(self) -> str:
        """The label with the most votes, the earlier of equal ones."""
        return max(self.votes, key=lambda label: self.votes[label])

    def vote(self, label: str, score: float) -> None:
        self.votes[label] = self.votes.get(label, 0.0) + score
        self.score = max(self.score, score)


@dataclass(eq=False)
class VideoMaskSession:
    """One clip. ``num_dropped``: detections without a mask; ``num_refused``: without room."""

    tower: PretrainedTower
    network: MemoryNetwork
    settings: MemorySettings
    live: list[FollowedThing] = field(default_factory=list)
    num_tracks: int = 0
    num_dropped: int = 0
    num_refused: int = 0

    def masks(self, window: Window, detections: Mapping[int, Detections]) -> dict[int, FrameMasks]:
        """See `MaskSession`: an answer for each fresh row; what was seen before is not read."""
        answers: dict[int, FrameMasks] = {}
        fresh = range(window.num_repeated, len(window.rgb))
        for rows in batches(fresh, self.settings.num_frames):
            with device_memory(f"following {len(self.live)} things in {len(rows)} frames"):
                answers |= self._followed(window, rows, detections)
        return answers

    def _followed(
        self, window: Window, rows: Sequence[int], detections: Mapping[int, Detections]
    ) -> dict[int, FrameMasks]:
        size = window.rgb.shape[1], window.rgb.shape[2]
        found = {row: one for row in rows if (one := detections.get(row)) and one.labels}
        if not self.live and not found:  # nothing to look for
            return {row: no_masks(size) for row in rows}
        pictures = self.tower.pictures(window.rgb[list(rows)])
        answers = {}
        for row, seen in zip(rows, self.network.features(pictures), strict=True):
            frame = FrameStep(self, seen, window.start + row, size)
            frame.follow()
            if row in found:
                frame.join(found[row])
            answers[row] = frame.answer()
        return answers


@dataclass(eq=False)
class FrameStep:
    """One frame of a clip: what is seen of the live tracks, and of those that join.

    ``size_px``: height and width of the frame; ``drawn``: masks by the track's number.
    """

    session: VideoMaskSession
    seen: FrameFeatures
    frame: int
    size_px: tuple[int, int]
    drawn: dict[int, Bool[np.ndarray, "h w"]] = field(default_factory=dict)

    def follow(self) -> None:
        """Find the live tracks in this frame; end those that were not seen for too long."""
        session = self.session
        alike = defaultdict(list)
        for one in session.live:
            alike[one.memory.length].append(one)
        for group in alike.values():
            for part in batches(group, session.settings.num_objects):
                self._follow(part)
        longest = session.settings.max_missing
        session.live = [one for one in session.live if one.missing <= longest]

    def _follow(self, things: Sequence[FollowedThing]) -> None:
        network = self.session.network
        reading = network.follow(self.seen, self.frame, [one.memory for one in things])
        left = network.remembered(self.seen, reading, asked=False)
        masks = self._outlined(reading)
        for i, one in enumerate(things):
            one.memory.masks[self.frame] = left[i]
            one.memory.pointers[self.frame] = reading.pointers[i : i + 1].clone()
            one.memory.forget(self.frame, network.num_masks, network.num_pointers)
            one.missing += 1
            if masks[i].any():
                one.missing = 0
                self.drawn[one.number] = masks[i]

    def join(self, found: Detections) -> None:
        """Give detections to the tracks they lie on, and start tracks of others, surest first."""
        tracks = [one for one in self.session.live if one.number in self.drawn]
        boxes = mask_boxes(np.stack([self.drawn[one.number] for one in tracks])) if tracks else None
        new = []
        for row in np.argsort(-found.scores, kind="stable").tolist():
            overlap = np.zeros(1) if boxes is None else iou(found.boxes_px[[row]], boxes)[0]
            if overlap.max() >= self.session.settings.same_box_iou:
                tracks[int(overlap.argmax())].vote(found.labels[row], float(found.scores[row]))
            else:
                new.append(row)
        for part in batches(new, self.session.settings.num_objects):
            self._start(found, part)

    def _start(self, found: Detections, rows: Sequence[int]) -> None:
        """Start tracks of detections that outline something of their own."""
        session = self.session
        height, width = self.size_px
        side = session.tower.prepare.size_px
        scale = np.array([side[1] / width, side[0] / height] * 2)
        boxes = torch.tensor(found.boxes_px[list(rows)] * scale, device=session.tower.device)
        reading = session.network.ask(self.seen, boxes)
        left = session.network.remembered(self.seen, reading, asked=True)
        for i, (row, mask) in enumerate(zip(rows, self._outlined(reading), strict=True)):
            label, score = found.labels[row], float(found.scores[row])
            if not self._is_new(mask, label, score):
                continue
            memory = TrackMemory(self.frame, left[i], reading.pointers[i : i + 1].clone())
            session.live.append(FollowedThing(session.num_tracks, memory))
            session.live[-1].vote(label, score)
            self.drawn[session.num_tracks] = mask
            session.num_tracks += 1

    def _is_new(self, mask: Bool[np.ndarray, "h w"], label: str, score: float) -> bool:
        """Whether a mask is of a thing that has no track, and there is room for one."""
        session = self.session
        if not mask.any():
            session.num_dropped += 1
            return False
        for one in session.live:
            other = self.drawn.get(one.number)
            if other is not None and _mask_iou(mask, other) >= session.settings.same_mask_iou:
                one.vote(label, score)
                return False
        if not self._has_room():
            session.num_refused += 1
            return False
        return True

    def _has_room(self) -> bool:
        """Whether one more track may live, if need be in the place of the longest unseen one."""
        live = self.session.live
        if len(live) < self.session.settings.max_tracks:
            return True
        longest = max(live, key=lambda one: one.missing)
        if not longest.missing:
            return False
        live.remove(longest)
        return True

    def answer(self) -> FrameMasks:
        """The tracks that are seen in this frame, in the order in which they joined."""
        tracks = [one for one in self.session.live if one.number in self.drawn]
        if not tracks:
            return no_masks(self.size_px)
        masks = np.stack([self.drawn[one.number] for one in tracks])
        return FrameMasks(
            masks,
            tuple(one.label for one in tracks),
            np.array([one.score for one in tracks]),
            np.array([one.number for one in tracks], np.int64),
            appearance(self.session.network.coarse(self.seen), masks),
        )

    def _outlined(self, reading: MaskReading) -> Bool[np.ndarray, "b h w"]:
        """Masks of the frame's size, empty where the thing is not there."""
        return outlined(reading.logits, self.size_px, self.session.settings.outline)


def _mask_iou(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "h w"]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))
