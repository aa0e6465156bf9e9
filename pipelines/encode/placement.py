"""What a run's settings leave open until its videos, its encoder and its cluster are known."""

from __future__ import annotations

from dataclasses import replace

from cluster.gpu_share import measured_num_gpus
from pipelines.encode.config import EncodeConfig
from spatialcode.api import shown_frames_of
from spatialcode.encoder.compiling import is_worth_compiling
from spatialcode.encoder.protocol import Encoder


def placed(config: EncodeConfig, encoder: Encoder, num_videos: int) -> EncodeConfig:
    """The settings with a number for ``num_gpus`` and a word for ``compile``.

    This process is connected to Ray. Raises what loading the encoder raises.
    """
    encoding = config.encoder
    if encoding.num_gpus is None:
        share = measured_num_gpus(
            encoder,
            encoding.device,
            encoding.videos_per_batch,
            shown_frames_of(config.sampling, encoder.frames),
        )
        encoding = replace(encoding, num_gpus=share)
    worth = is_worth_compiling(encoding.compile, num_videos, encoding.torch_device)
    return replace(config, encoder=replace(encoding, compile=worth))
