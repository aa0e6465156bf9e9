"""The least that the whole way from a video to a code can be tested with."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import torch

from spatialcode.encoder.small.encoder import save_weights
from spatialcode.encoder.small.model import ModelConfig, make_model
from spatialcode.encoder.small.towers import TrunkConfig
from spatialcode.synthetic.clips import ClipConfig, make_clip


def untrained_weights(folder: Path) -> Path:
    """A tiny network that has learned nothing."""
    torch.manual_seed(0)
    trunk = TrunkConfig((8, 8, 16, 16), (1, 1, 1, 1), num_attention_blocks=1, num_heads=2)
    path = folder / "tiny.safetensors"
    save_weights(make_model(ModelConfig(trunk, fusion_width=16)), path, {"data": "none"})
    return path


def room_video(folder: Path) -> Path:
    """Six rendered frames of 160x120, half a second apart."""
    clip = make_clip(1_000_000_001, ClipConfig(num_frames=6))
    path = folder / "room.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=2)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for n, rgb in enumerate(clip.rgb):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 2)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path
