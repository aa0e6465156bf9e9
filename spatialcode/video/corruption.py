"""Signs of damage, those included that FFmpeg conceals.

What is looked at, from outside in: whether the container is as long as it says
(`containers`), whether packets arrive whole and as many as the index lists, whether every
packet on the way to a wanted frame decodes without an error and without a frame that the
decoder marks as damaged or patched up, and whether the wanted frames appear at all.

What it does not know: codecs without redundancy (VP8, VP9) can decode altered bytes inside
one packet without noticing, and so can any codec for a change of a few bits; packets that no
wanted frame needs are checked as packets only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spatialcode.errors import CorruptVideoError, TruncatedVideoError
from spatialcode.video.opening import OpenedVideo
from spatialcode.video.packets import PacketTable

GAP_FACTOR = 1.5
Damage = CorruptVideoError | TruncatedVideoError


@dataclass
class DamageLog:
    """Collects findings; strict raises at the first, otherwise they become warnings."""

    strict: bool
    warnings: list[str] = field(default_factory=list)

    def found(self, error: Damage) -> None:
        """Raise `error` when strict, note it otherwise."""
        if self.strict:
            raise error
        self.note(str(error))

    def damage(self, message: str) -> None:
        """Something that must decode does not: CorruptVideoError when strict."""
        self.found(CorruptVideoError(message))

    def note(self, message: str) -> None:
        """Worth saying, wrong for nobody."""
        if message not in self.warnings:
            self.warnings.append(message)


def check_packets(opened: OpenedVideo, log: DamageLog) -> None:
    """Findings of the packet scan."""
    packets, num_indexed = opened.packets, opened.num_indexed
    if opened.container_damage:
        log.found(opened.container_damage)
    if packets.damage:
        log.damage(packets.damage)
    if packets.num_corrupt:
        log.damage(f"{packets.num_corrupt} packets are incomplete or marked as damaged")
    if num_indexed > len(packets.pts):
        text = f"the index lists {num_indexed} packets, {len(packets.pts)} are there"
        log.found(TruncatedVideoError(text))
    if packets.holes:
        log.note(f"{len(packets.holes)} times a reference picture is missing")
    for message in timestamp_gaps(packets):
        log.note(message)


def timestamp_gaps(packets: PacketTable) -> list[str]:
    """Holes in an otherwise constant frame rate: frames lost, or never recorded.

    Only a hint: cameras drop frames too, and a variable rate has no holes by definition (at
    least nine tenths of the steps must agree within 20 %).
    """
    steps_s = np.diff(packets.times_s)
    if len(steps_s) < 10:
        return []
    usual_s = float(np.median(steps_s))
    regular = np.abs(steps_s - usual_s) <= max(0.2 * usual_s, 1.1 * float(packets.time_base))
    gaps = np.flatnonzero(steps_s > GAP_FACTOR * usual_s)
    gaps = gaps if np.mean(regular) >= 0.9 else gaps[:0]
    return [
        f"no frame for {steps_s[gap]:.3f} s after {packets.times_s[gap]:.3f} s" for gap in gaps[:3]
    ]
