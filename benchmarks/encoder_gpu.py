"""The prompted encoder's networks at their real sizes: arithmetic, and on a GPU also measured.

    python benchmarks/encoder_gpu.py [num_runs]

Weights are random, of the sizes of SAM 2.1 base+, Grounding DINO tiny, DA3-BASE and METRIC-LARGE:
the values change no speed. Operations are counted by torch on the CPU. Where a network is slow
there, it is on small pictures: convolutions and layers grow with the pixels, and attention between
the patches of DA3 is added by its formula. Frames are 4:3. Where there is no GPU, only the
arithmetic is printed: what an H100 could do at best, which no program reaches. Prints tables, then
one JSON line.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from spatialcode.encoder.gpu_share import peak_bytes_of
from spatialcode.encoder.parsing.image_masks import best_masks
from spatialcode.encoder.parsing.memory import MemoryNetwork, TrackMemory

#: Of an H100 SXM, as its vendor states them: dense bfloat16, and memory.
PEAK_FLOP_S, PEAK_BYTES_S = 989e12, 3.35e12
NUM_OBJECTS = (5, 20, 50)
NUM_TOKENS = 64  # of a detector's text
DETECTOR_PX, SMALL_DETECTOR_PX = (800, 1067), ((256, 256), (256, 512))
DA3_PX, SMALL_DA3_PX, PATCH_PX = (378, 504), (126, 168), 14
DA3_FRAMES = 32  # that pass together
DA3_NAMES = ("da3-base", "da3metric-large")
SAM_PX = 1024
BYTES_BF16 = 2

SAM_BASE_PLUS = {
    "hidden_size": 112,
    "blocks_per_stage": [2, 3, 16, 3],
    "embed_dim_per_stage": [112, 224, 448, 896],
    "num_attention_heads_per_stage": [2, 4, 8, 16],
    "window_size_per_stage": [8, 4, 14, 7],
    "global_attention_blocks": [12, 16, 20],
    "window_positional_embedding_background_size": [14, 14],
}


@dataclass(frozen=True)
class Work:
    """Of one network: floating-point operations a frame, those for each object, and its weights."""

    flop: float
    flop_per_object: float
    parameters: int

    def of(self, num_objects: int) -> float:
        """Operations a frame."""
        return self.flop + num_objects * self.flop_per_object


class WithoutValues(TorchFunctionMode):
    """Networks that are built inside have zeros for weights: to count, none need be drawn."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Zeros in the place of what is drawn."""
        if getattr(func, "__name__", "") in {"uniform_", "normal_", "trunc_normal_"}:
            tensor = args[0] if args else kwargs["tensor"]
            tensor.data.zero_()
            return tensor
        return func(*args, **(kwargs or {}))


def parameters(model: Any) -> int:
    """How many numbers the weights are."""
    return sum(one.numel() for one in model.parameters())


def counted(run: Callable[[], Any]) -> tuple[float, float]:
    """Operations in all, and those of products between activations, which attention is made of."""
    # fused attention of the CPU is not counted
    one_by_one = sdpa_kernel(SDPBackend.MATH)
    with FlopCounterMode(display=False) as counter, torch.inference_mode(), one_by_one:
        run()
    by_kind = {str(kind): flop for kind, flop in counter.get_flop_counts()["Global"].items()}
    return float(counter.get_total_flops()), float(by_kind.get("aten.bmm", 0))


def detector() -> Any:
    """Grounding DINO tiny: the library's defaults are its sizes."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    return GroundingDinoForObjectDetection(GroundingDinoConfig()).eval()


def detect(model: Any, num: int, size_px: tuple[int, int], device: str) -> Any:
    """One text asked of some frames."""
    ids = torch.full((num, NUM_TOKENS), 2000, device=device)
    pixels = torch.rand(num, 3, *size_px, device=device, dtype=model.dtype)
    return model(
        pixel_values=pixels,
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        token_type_ids=torch.zeros_like(ids),
        pixel_mask=torch.ones_like(pixels[:, 0], dtype=torch.long),
    )


def sam_sizes() -> dict[str, Any]:
    """The sizes of SAM 2.1 base+'s image tower, for a configuration of the library."""
    widths = SAM_BASE_PLUS["embed_dim_per_stage"]
    backbone = {"model_type": "sam2_hiera_det_model", **SAM_BASE_PLUS}
    vision = {"model_type": "sam2_vision_model", "backbone_config": backbone}
    return {"vision_config": vision | {"backbone_channel_list": list(reversed(widths))}}


def sam_image() -> Any:
    """SAM 2.1 base+ for single pictures."""
    from transformers import Sam2Config, Sam2Model

    return Sam2Model(Sam2Config(**sam_sizes())).eval()


def sam_video() -> Any:
    """With what SAM 2.1 has beside SAM 2: positions in time of object pointers."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    config = Sam2VideoConfig(**sam_sizes(), enable_temporal_pos_encoding_for_object_pointers=True)
    return Sam2VideoModel(config).eval()


def boxes(num: int, device: str) -> Tensor:
    """(num, 4) corners in pixels."""
    return torch.tensor([[100.0, 100.0, 400.0, 500.0]], device=device).expand(num, 4)


def pictures(device: str, dtype: torch.dtype) -> Tensor:
    """One random picture of SAM 2's size."""
    return torch.rand(1, 3, SAM_PX, SAM_PX, device=device, dtype=dtype)


def full_memory(model: Any, num: int, device: str, dtype: torch.dtype) -> list[TrackMemory]:
    """Objects whose memory is as long as it gets, in frame 100."""
    network = MemoryNetwork(model, dtype)
    cells = torch.Size(model.backbone_feature_sizes[-1]).numel()
    width = model.config.memory_attention_hidden_size

    def mask() -> Tensor:
        return torch.rand(cells, 1, model.mem_dim, device=device, dtype=torch.bfloat16)

    def pointer() -> Tensor:
        return torch.rand(1, width, device=device, dtype=dtype)

    return [
        TrackMemory(
            0,
            mask(),
            pointer(),
            {100 - age: mask() for age in range(1, network.num_masks + 1)},
            {100 - age: pointer() for age in range(1, network.num_pointers + 1)},
        )
        for _ in range(num)
    ]


def follow(model: Any, num: int, device: str, dtype: torch.dtype) -> Callable[[], None]:
    """A frame read for some objects of full memory, 16 together, and remembered."""
    network = MemoryNetwork(model, dtype)
    seen = network.features(pictures(device, dtype))[0]
    memories = full_memory(model, num, device, dtype)

    def run() -> None:
        for start in range(0, num, 16):
            reading = network.follow(seen, 100, memories[start : start + 16])
            network.remembered(seen, reading, asked=False)

    return run


def any_view(name: str) -> Any:
    """A network of Depth Anything 3 as its package describes it."""
    from depth_anything_3.cfg import load_config
    from depth_anything_3.model.da3 import DepthAnything3Net
    from depth_anything_3.registry import MODEL_REGISTRY

    parts = load_config(MODEL_REGISTRY[name])
    wanted = ("net", "head", "cam_enc", "cam_dec")
    return DepthAnything3Net(**{key: parts[key] for key in wanted if key in parts}).eval()


def da3_work(model: Any, frames: int) -> Work:
    """A frame's share where so many pass together."""
    tower = model.backbone.pretrained
    total, attention = counted(lambda: model(torch.rand(1, 1, 3, *SMALL_DA3_PX)))
    share = (DA3_PX[0] * DA3_PX[1]) / (SMALL_DA3_PX[0] * SMALL_DA3_PX[1])
    tokens = (DA3_PX[0] // PATCH_PX) * (DA3_PX[1] // PATCH_PX) + 1
    depth, start = len(tower.blocks), tower.alt_start
    across = 0 if start < 0 else sum(block % 2 for block in range(start, depth))
    seen = (depth - across) * tokens + across * tokens * frames
    own = 4.0 * tokens * seen * tower.embed_dim  # queries by keys, and weights by values
    return Work((total - attention) * share + own, 0.0, parameters(model))


def detector_work(model: Any) -> Work:
    """In proportion to the pixels, from two small sizes; what does not grow with them stays."""
    areas = [high * wide for high, wide in SMALL_DETECTOR_PX]
    flops = [counted(lambda s=size: detect(model, 1, s, "cpu"))[0] for size in SMALL_DETECTOR_PX]
    slope = (flops[1] - flops[0]) / (areas[1] - areas[0])
    area = DETECTOR_PX[0] * DETECTOR_PX[1]
    return Work(flops[0] + slope * (area - areas[0]), 0.0, parameters(model))


def mask_work(model: Any) -> tuple[Work, Work]:
    """The image tower, and the decoder of boxes."""
    levels: list[Any] = []
    picture = pictures("meta", torch.float32)
    tower, _ = counted(lambda: levels.extend(model.get_image_embeddings(picture)))
    one, two = (counted(lambda n=n: best_masks(model, levels, boxes(n, "meta")))[0] for n in (1, 2))
    inner = parameters(model.vision_encoder)
    rest = parameters(model) - inner
    return Work(tower, 0.0, inner), Work(2 * one - two, two - one, rest)


def memory_work(model: Any) -> Work:
    """Memory attention, mask decoder and memory encoder; the image tower is another's."""
    run = follow(model, 1, "meta", torch.float32)
    return Work(0.0, counted(run)[0], parameters(model) - parameters(model.vision_encoder))


def arithmetic() -> dict[str, Work]:
    """Every network's work."""
    with WithoutValues():
        finder, depths = detector(), [any_view(name) for name in DA3_NAMES]
    found = {"detector, one text": detector_work(finder)}
    with torch.device("meta"):  # shapes alone: the others look at values on their way
        image, video = sam_image(), sam_video()
    found["SAM 2 image tower"], found["SAM 2 masks of boxes"] = mask_work(image)
    found["SAM 2 memory"] = memory_work(video)
    for name, model, frames in zip(DA3_NAMES, depths, (DA3_FRAMES, 1), strict=True):
        found[name] = da3_work(model, frames)
    return found


def best_s(work: Work, num_objects: int) -> float:
    """The roofline's least time a frame, weights read once a frame."""
    reading_s = work.parameters * BYTES_BF16 / PEAK_BYTES_S
    return max(work.of(num_objects) / PEAK_FLOP_S, reading_s)


def print_arithmetic(works: dict[str, Work]) -> dict[str, Any]:
    """The table of what an H100 could do at best."""
    print("Arithmetic, not a measurement: TFLOP a frame, and frames/s at an H100's stated peaks")
    counts = "".join(f"{f'{num} objects':>14}" for num in NUM_OBJECTS)
    print(f"{'':<26}{'M weights':>10}{counts}")
    for name, work in works.items():
        flops = "".join(f"{work.of(num) / 1e12:>14.2f}" for num in NUM_OBJECTS)
        print(f"{name:<26}{work.parameters / 1e6:>10.0f}{flops}")
    report: dict[str, Any] = {
        "flop": {name: {str(n): work.of(n) for n in NUM_OBJECTS} for name, work in works.items()}
    }
    for title, left_out in (("by boxes", "SAM 2 memory"), ("by memory", "SAM 2 masks of boxes")):
        parts = [work for name, work in works.items() if name != left_out]
        rates = {str(n): 1.0 / sum(best_s(work, n) for work in parts) for n in NUM_OBJECTS}
        cells = "".join(f"{rate:>14.0f}" for rate in rates.values())
        print(f"{f'all {title}, frames/s':<26}{'':>10}{cells}")
        report[f"peak_frames_per_s {title}"] = rates
    size_gb = sum(work.parameters for work in works.values()) * BYTES_BF16 / 1e9
    print(f"weights in bfloat16: {size_gb:.2f} GB")
    return report | {"weights_gb": size_gb}


def measured(run: Callable[[], Any], num_frames: int, num_runs: int) -> dict[str, float]:
    """Frames/s, busy share and peak memory of one call that handles so many frames."""
    from torch.profiler import ProfilerActivity, profile

    for _ in range(3):
        run()
    peak_bytes = peak_bytes_of(run, "cuda")
    times_s = []
    for _ in range(num_runs):
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times_s.append(time.perf_counter() - start)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        run()
        torch.cuda.synchronize()
    kernels_s = sum(one.self_device_time_total for one in profiler.key_averages()) / 1e6
    wall_s = statistics.median(times_s)
    return {
        "frames_per_s": num_frames / wall_s,
        "busy": min(1.0, kernels_s / wall_s),
        "peak_gb": peak_bytes / 1e9,
    }


def gpu_runs(num_objects: int) -> dict[str, tuple[Callable[[], Any], int]]:
    """What is timed on the GPU, with the frames that each call handles."""
    half = torch.bfloat16
    finder, image = detector().to("cuda", half), sam_image().to("cuda", half)
    video = sam_video().to("cuda", half)
    base, metric = (any_view(name).to("cuda") for name in DA3_NAMES)
    picture = pictures("cuda", half)
    levels = image.get_image_embeddings(picture)

    def depth(model: Any, batch: int, views: int) -> Callable[[], Any]:
        frames = torch.rand(batch, views, 3, *DA3_PX, device="cuda")
        return lambda: model(frames)

    def found() -> Any:
        with torch.autocast("cuda", half):
            return detect(finder, 4, DETECTOR_PX, "cuda")

    def outlined() -> Any:
        return best_masks(image, levels, boxes(num_objects, "cuda"))

    return {
        "detector, one text": (found, 4),
        "SAM 2 image tower": (lambda: image.get_image_embeddings(picture), 1),
        "SAM 2 masks of boxes": (outlined, 1),
        "SAM 2 memory": (follow(video, num_objects, "cuda", half), 1),
        DA3_NAMES[0]: (depth(base, 1, DA3_FRAMES), DA3_FRAMES),
        DA3_NAMES[1]: (depth(metric, 4, 1), 4),
    }


@torch.inference_mode()
def measure(num_runs: int) -> dict[str, Any]:
    """The table of what this machine's GPU does; peaks hold the weights of all networks."""
    print(f"\nMeasured on {torch.cuda.get_device_name()}, {num_runs} runs")
    print(f"{'':<26}{'objects':>10}{'frames/s':>14}{'busy':>14}{'peak, GB':>14}")
    report: dict[str, Any] = {"device": torch.cuda.get_device_name()}
    for num in NUM_OBJECTS:
        for name, (run, frames) in gpu_runs(num).items():
            with torch.autocast("cuda", torch.bfloat16, enabled=name in DA3_NAMES):
                found = measured(run, frames, num_runs)
            cells = "".join(f"{value:>14.2f}" for value in found.values())
            print(f"{name:<26}{num:>10}{cells}")
            report[f"{name}, {num} objects"] = found
    return report


def main() -> None:
    """Count, measure where there is a GPU, and print."""
    num_runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    report: dict[str, Any] = {"arithmetic": print_arithmetic(arithmetic())}
    if torch.cuda.is_available():
        report["measured"] = measure(num_runs)
    else:
        print("no CUDA device here: nothing was measured")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
