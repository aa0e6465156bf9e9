"""Ranges of seeds of made-up rooms: what may be trained on, tuned on, and judged on.

Two generators draw rooms from seeds, one for pictures (``synthetic``) and one for questions
(``tasks``). Each trains on seeds from 0 on; the ranges below are set apart from those, and from
one another, so that no room is used for two purposes.
"""

from __future__ import annotations

#: Rendered rooms on which the confidence of detections is fitted.
VALIDATION_ROOMS = range(900_000_000, 1_000_000_000)
#: Rooms, rendered or asked about, that are neither trained on nor tuned on.
HELD_OUT_ROOMS = range(1_000_000_000, 2_000_000_000)
#: Rooms that tokenizers are fitted to; nothing is trained or judged on them.
TOKENIZER_ROOMS = range(2_000_000_000, 3_000_000_000)
