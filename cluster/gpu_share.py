"""What share of a GPU an encoder is to reserve, measured on a GPU of the cluster."""

from __future__ import annotations

from typing import Any

from spatialcode.encoder.gpu_share import measured_peak
from spatialcode.encoder.protocol import Encoder, FrameRequest


def measured_num_gpus(
    encoder: Encoder, device: str, num_clips: int, frames: FrameRequest | None = None
) -> float:
    """See `gpu_share`: of the card that a task gets on the cluster that this process is connected
    to; 0 where there is none, or ``device`` is cpu.

    ``device``: auto, cpu or cuda; cuda waits for a node with a GPU, which an autoscaler may start.
    ``num_clips``: what the encoder is given at once; ``frames``: what it is shown of each, None:
    what it asks for. Raises what loading the encoder raises.
    """
    import ray
    from ray.exceptions import RayTaskError

    has_gpu = ray.cluster_resources().get("GPU", 0.0) > 0
    if device == "cpu" or (device == "auto" and not has_gpu):
        return 0.0
    # a process of its own: what it holds of the card goes with it
    probe: Any = ray.remote(num_gpus=1, max_calls=1)(measured_peak)
    try:
        return float(ray.get(probe.remote(encoder, num_clips, frames=frames)).share)
    except RayTaskError as error:  # carries another process's stack in its text
        raise error.cause from None
