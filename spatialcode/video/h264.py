"""Lost reference pictures of an H.264 stream, told from the numbers its pictures carry.

FFmpeg fills such a hole with a copy of an earlier picture and marks nothing. Every reference
picture counts `frame_num` up by one (modulo a power of two), so a hole shows without decoding.
Source: ITU-T H.264, 7.3.2.1.1 (sequence parameters), 7.3.3 (slice header), 7.4.3 and 8.2.5.2
(`frame_num` and gaps in it).
"""

from __future__ import annotations

from dataclasses import dataclass

SLICE, IDR_SLICE, SEQUENCE = 1, 5, 7
# Profiles whose sequence parameters describe the colour format.
HIGH_PROFILES = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
SLICE_HEADER_BYTES = 32


class Bits:
    """Reads a payload bit by bit, emulation prevention bytes taken out."""

    def __init__(self, payload: bytes) -> None:
        clean = payload.replace(b"\x00\x00\x03", b"\x00\x00")
        self._value, self._left = int.from_bytes(clean, "big"), 8 * len(clean)

    def unsigned(self, num_bits: int) -> int:
        """The next `num_bits`; EOFError past the end."""
        if num_bits > self._left:
            raise EOFError
        self._left -= num_bits
        return self._value >> self._left & ((1 << num_bits) - 1)

    def golomb(self) -> int:
        """ue(v), 9.1."""
        num_zeros = 0
        while not self.unsigned(1):
            num_zeros += 1
        return (1 << num_zeros) - 1 + self.unsigned(num_zeros)

    def signed_golomb(self) -> int:
        """se(v), 9.1.1."""
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


@dataclass(frozen=True)
class Sequence:
    """What is needed of the sequence parameters."""

    frame_num_bits: int
    gaps_allowed: bool
    separate_planes: bool


def parse_sequence(payload: bytes) -> Sequence:
    """From the bytes after the unit's type byte."""
    bits = Bits(payload)
    profile = bits.unsigned(8)
    bits.unsigned(16)
    bits.golomb()
    separate = False
    if profile in HIGH_PROFILES:
        chroma = bits.golomb()
        separate = bool(chroma == 3 and bits.unsigned(1))
        bits.golomb()
        bits.golomb()
        bits.unsigned(1)
        if bits.unsigned(1):
            for number in range(12 if chroma == 3 else 8):
                if bits.unsigned(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    frame_num_bits = bits.golomb() + 4
    order_type = bits.golomb()
    if order_type == 0:
        bits.golomb()
    elif order_type == 1:
        bits.unsigned(1)
        bits.golomb()
        bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    bits.golomb()
    return Sequence(frame_num_bits, bool(bits.unsigned(1)), separate)


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb()) % 256
        last = following or last


class PictureNumbers:
    """Feed it every packet in decoding order; it says which come after a hole."""

    def __init__(self, extradata: bytes | None) -> None:
        self._length_bytes = 0
        self._sequences: set[Sequence] = set()
        self._previous: int | None = None
        if extradata and extradata[0] == 1 and len(extradata) > 8:
            self._length_bytes = (extradata[4] & 3) + 1
            at = 6
            for _ in range(extradata[5] & 31):
                size = int.from_bytes(extradata[at : at + 2], "big")
                self._learn(extradata[at + 3 : at + 2 + size])
                at += 2 + size
        elif extradata:
            self.follows_hole(extradata, is_key=False)

    def follows_hole(self, packet: bytes, *, is_key: bool) -> bool:
        """Whether a reference picture before this one is missing. A key packet starts afresh,
        and so does a picture numbered 0 or 1 (the numbering may be reset without notice).
        """
        for unit in self._units(packet):
            kind = unit[0] & 31
            if kind == SEQUENCE:
                self._learn(unit[1:])
            if kind in (SLICE, IDR_SLICE):
                return self._judge(unit, is_key or kind == IDR_SLICE)
        return False

    def _judge(self, unit: bytes, fresh: bool) -> bool:
        if len(self._sequences) != 1:
            self._previous = None
            return False
        (sequence,) = self._sequences
        try:
            bits = Bits(unit[1 : 1 + SLICE_HEADER_BYTES])
            for _ in range(3):
                bits.golomb()
            bits.unsigned(2 if sequence.separate_planes else 0)
            number = bits.unsigned(sequence.frame_num_bits)
        except EOFError:
            return False
        previous, is_reference = self._previous, unit[0] >> 5 & 3 > 0
        if is_reference or fresh:
            self._previous = number
        if fresh or previous is None or sequence.gaps_allowed or number in (0, 1):
            return False
        return (number - previous) % (1 << sequence.frame_num_bits) > 1

    def _learn(self, payload: bytes) -> None:
        try:
            self._sequences.add(parse_sequence(payload))
        except EOFError:
            return

    def _units(self, packet: bytes) -> list[bytes]:
        """The units of a packet, cut short to what a header can need, type byte first."""
        units, at = [], 0
        if not self._length_bytes:
            pieces = packet[: 1 << 16].split(b"\x00\x00\x01")[1:]
            return [piece for piece in pieces if piece]
        while at + self._length_bytes < len(packet):
            start = at + self._length_bytes
            size = int.from_bytes(packet[at:start], "big")
            if size:
                units.append(packet[start : start + min(size, 512)])
            at = start + size
        return units
