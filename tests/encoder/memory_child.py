"""Passes frames through an encoder of tiny networks and prints what is held meanwhile, as JSON.

    PYTHONMALLOC=malloc python -m tests.encoder.memory_child NAME FOLDER CASE FRAMES…

Run so, everything that is alive is counted: objects of Python, arrays, tensors, and what libraries
keep for themselves. A short clip before makes what is made once.
"""

from __future__ import annotations

import copy
import ctypes
import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spatialcode.encoder.protocol import ClipHeader, FrameGeometry, LoadedEncoder, Window
from spatialcode.encoder.registry import make_encoder
from spatialcode.scene.schema import VideoInfo
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import SyntheticClip
from tests.encoder import tiny_settings

#: Windows show six new frames, after which the camera is where it was: each shows the same.
TO_AND_FRO = (0, 1, 2, 3, 2, 1)
WINDOW, OVERLAP = 8, 2
WIDTH_PX, HEIGHT_PX = 64, 48


class _Malloc(ctypes.Structure):
    """``struct mallinfo2`` of the C library."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
            "fordblks", "keepcost",
        )
    ]  # fmt: skip


_libc = ctypes.CDLL(None)
_libc.mallinfo2.restype = _Malloc


def alive_bytes() -> int:
    """Bytes that were asked for and not given back, in this process."""
    for _ in range(3):
        gc.collect()
    now = _libc.mallinfo2()
    return int(now.uordblks + now.hblkhd)


def cameras_bytes(session: Any) -> int:
    """What the cameras take of which the code is made: as much as a copy of them."""
    before = alive_bytes()
    copied = copy.deepcopy(session._seen)
    after = alive_bytes()
    del copied
    return after - before


def tensor_bytes() -> int:
    """What all tensors take: the weights, where nothing has passed yet."""
    storages = [one.untyped_storage() for one in gc.get_objects() if isinstance(one, torch.Tensor)]
    return sum({one.data_ptr(): one.nbytes() for one in storages}.values())


def windows(clip: SyntheticClip, num_frames: int, knows_poses: bool) -> Iterator[Window]:
    """A camera that goes to and fro, for at least so many frames; all windows are full, as what
    libraries keep for another shape is not the session's.
    """
    done = 0
    while done < num_frames:
        repeated = min(OVERLAP, done)
        frames = np.arange(done - repeated, done - repeated + WINDOW)
        rows = [TO_AND_FRO[frame % len(TO_AND_FRO)] for frame in frames]
        poses = clip.T_world_camera[rows] if knows_poses else None
        geometry = FrameGeometry(clip.K, poses)
        yield Window(clip.rgb[rows], 0.5 * frames, geometry, repeated, int(frames[0]))
        done = int(frames[-1]) + 1


def settings(name: str, folder: Path, finds_things: bool) -> dict[str, Any]:
    """Every list that fills up does so within the first frames."""
    own = tiny_settings.SETTINGS[name](folder)
    own |= {"window": WINDOW, "overlap": OVERLAP, "side_px": WIDTH_PX}
    own["geometry"]["settings"]["side_px"] = 56
    key_frames = {"every": 1, "at_least": 1, "new_area": None}
    if name == "prompted":
        own["fusion"]["instances"]["max_sightings"] = 4
        own["fusion"]["key_frames"] = key_frames
    else:
        own["masks"]["settings"] = {"max_tracks": 2}
        own["merging"]["max_sightings"] = 4
        own["key_frames"] = key_frames
    if not finds_things:
        own["detector"]["settings"]["choice"]["min_score"] = 1.0
    return own


def measured(loaded: LoadedEncoder, marks: list[int], is_given: bool) -> list[dict[str, int]]:
    """What is held beside what was held before, after so many frames."""
    clip = make_clip(
        1_600_000_001, ClipConfig(num_frames=4, width_px=WIDTH_PX, height_px=HEIGHT_PX)
    )
    weights = tensor_bytes()
    video = VideoInfo("clip.mp4", "", 0.5 * marks[-1], 2.0, WIDTH_PX, HEIGHT_PX, ())
    warm = loaded.session(ClipHeader(video))
    for window in windows(clip, 4 * WINDOW, is_given):
        warm.push(window)
    warm.finish()
    del warm, window
    before = alive_bytes()
    session, found = loaded.session(ClipHeader(video)), []
    for window in windows(clip, marks[-1], is_given):
        session.push(window)
        done = window.start + len(window.rgb)
        del window
        if done >= marks[len(found)]:
            of_cameras = cameras_bytes(session)
            held = alive_bytes() - before - of_cameras
            found.append({"frames": done, "held": held, "cameras": of_cameras, "weights": weights})
    code = session.finish()
    found[-1]["objects"] = len(code.objects)
    return found


def main(name: str, folder: str, case: str, *marks: str) -> None:
    """``case``: things, whose places are known, or path, which is the network's own."""
    torch.set_num_threads(1)
    own = settings(name, Path(folder), case == "things")
    loaded = make_encoder(name, own).load("cpu")
    print(json.dumps(measured(loaded, [int(mark) for mark in marks], case == "things")))


if __name__ == "__main__":
    main(*sys.argv[1:])
