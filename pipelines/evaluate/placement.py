"""What an evaluation's workers reserve, once its encoder and its cluster are known."""

from __future__ import annotations

from dataclasses import replace

from cluster.gpu_share import measured_num_gpus
from pipelines.evaluate.config import EvaluateConfig
from pipelines.on_ray.dataset import Workers, connect_for_data
from spatialcode.encoder.protocol import Encoder, FrameRequest


def placed_workers(config: EvaluateConfig, encoder: Encoder, num_frames: int) -> Workers:
    """The workers with a number for ``num_gpus``; each takes a clip of ``num_frames`` at a time.

    Connects to Ray, where that has to be measured. Raises what loading the encoder raises.
    """
    workers = config.workers
    if config.num_gpus is not None or workers.max_workers == 0 or config.device == "cpu":
        return workers
    connect_for_data(workers.ray_address, workers.num_cpus)
    shown = _shown(config, encoder.frames, num_frames)
    share = measured_num_gpus(encoder, config.device, 1, shown)
    return replace(workers, num_gpus=share)


def _shown(config: EvaluateConfig, request: FrameRequest, num_frames: int) -> FrameRequest:
    """What an encoder is shown: rooms are rendered in a size, recordings are of the encoder's."""
    is_rendered = config.benchmark == "encoder" and config.clips is None
    side_px = config.num_side if is_rendered else request.side_px
    return replace(request, count=num_frames, side_px=side_px)
