"""Pictures an hour of one core of rooms of real furniture, beside those of primitives.

Training frames, six a room: the room is built, its meshes are in memory after a first pass, JPEG
and truth are included. By processor time, so that a busy machine changes little.

    python benchmarks/furniture.py [num_rooms=12] [width_px=160]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from spatialcode.synthetic.clips import ClipConfig, make_training_frames
from spatialcode.synthetic.renderers import RENDERERS, check_renderer

FRAMES_PER_ROOM = 6


def frames_per_cpu_hour(renderer: str, num_rooms: int, width_px: int) -> float:
    """Training frames that an hour of processor time gives."""
    config = ClipConfig(FRAMES_PER_ROOM, width_px, width_px * 3 // 4, renderer=renderer)
    for seed in range(num_rooms):
        make_training_frames(seed, 1, config)
    start = time.process_time()
    for seed in range(num_rooms):
        make_training_frames(seed, FRAMES_PER_ROOM, config)
    return 3600 * num_rooms * FRAMES_PER_ROOM / (time.process_time() - start)


def main() -> None:
    """Measure both renderers and print a table, then one line of JSON."""
    options = {"num_rooms": 12, "width_px": 160}
    options |= {k: int(v) for k, _, v in (word.partition("=") for word in sys.argv[1:])}
    found = {}
    for renderer in RENDERERS:
        check_renderer(renderer)
        found[renderer] = frames_per_cpu_hour(renderer, **options)
        print(f"{renderer:10} {found[renderer]:9.0f} pictures a core and hour")
    print(json.dumps({**options, "frames_per_cpu_hour": found}))


if __name__ == "__main__":
    main()
