"""The settings of the evaluate job. Light: read by ``--help`` before Ray or torch are loaded."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import require, setting
from spatialcode.reasoning.models.loading import ModelSpec

BENCHMARKS = ("encoder", "vsibench", "rooms")
REASONERS = ("solver", "program", "text")
KEPT = ("all", "named")
FALLBACKS = ("none", "priors")


@dataclass(frozen=True)
class EvaluateConfig:
    """All settings of ``python -m jobs.evaluate``."""

    report: str = setting("folder for report.json, report.md, report.html")
    benchmark: str = setting(
        "what is measured: encoder (boxes), vsibench (answers), or rooms (both)", "encoder"
    )
    encoder: str = setting("bundled weights by name, a .safetensors, or module:Class", "small")
    device: str = setting("where the network runs: cpu or cuda", "cpu")
    num_rooms: int = setting("rooms to render, or clips to take from `clips`", 100)
    seed: int = setting("seed of the first room; those below 1000000000 are not held out", 10**9)
    num_frames: int = setting("frames a room", 32)
    clips: str | None = setting("folder of recorded clips with codes, instead of rendering", None)
    clips_format: str | None = setting(
        "layout of `clips`, by its reader's name, as codes; null: recognised", None
    )
    known_intrinsics: bool = setting("tell the pinhole matrix also where poses are not", True)
    ladder: bool = setting("also replace one output after the other by truth", True)
    num_workers: int = setting("encoders at work at once, one core each; 0: here, without Ray", 2)
    num_gpus: float = setting("GPUs a worker reserves; a fraction shares one", 0.0)
    questions: str | None = setting("vsibench: questions: JSONL, Parquet, or a folder of it", None)
    boxes: str | None = setting("vsibench: file of boxes, or folder of codes", None)
    boxes_up: str | None = setting(
        "vertical axis of boxes of 9 or 10 numbers: x, y or z; null: detected", None
    )
    boxes_order: tuple[int, ...] = setting(
        "which of their three extents are the box's x, y, z, as [0,1,2]; none: detected", ()
    )
    boxes_scalar_first: bool | None = setting(
        "quaternions of boxes of 10 numbers begin with w; must be said", None
    )
    truth_boxes: str | None = setting("vsibench: annotated boxes, to tell whose fault it is", None)
    num_questions: int = setting("rooms: questions of each family about each room", 4)
    reasoner: str = setting("vsibench, rooms: who answers: solver, program or text", "solver")
    keep: str = setting("boxes that the reasoner is shown: all, or those a question names", "all")
    model: ModelSpec = setting(
        "the language model of program and text; program without one: the bundled tiny reasoner",
        ModelSpec(),
    )
    prompt_tokens: int = setting("program, text: most tokens of a prompt", 4096)
    fallback: str = setting("program, text: none or priors, where there is no answer", "none")
    priors: str = setting("vsibench: folds (fitted on other rooms), none, or a file", "folds")
    prior_folds: int = setting("vsibench: folds of rooms that priors are fitted across", 5)
    ray_address: str | None = setting("cluster to join; null: RAY_ADDRESS or a local one", None)

    def __post_init__(self) -> None:
        known = ", ".join(BENCHMARKS)
        require(self.benchmark in BENCHMARKS, "benchmark", f"one of: {known}", self.benchmark)
        require(self.device in ("cpu", "cuda"), "device", "cpu or cuda", self.device)
        require(self.num_rooms >= 1, "num_rooms", "at least 1", self.num_rooms)
        require(self.seed >= 0, "seed", "0 or more", self.seed)
        require(self.num_frames >= 1, "num_frames", "at least 1", self.num_frames)
        require(self.num_questions >= 1, "num_questions", "at least 1", self.num_questions)
        require(self.num_workers >= 0, "num_workers", "0 or more", self.num_workers)
        require(self.reasoner in REASONERS, "reasoner", ", ".join(REASONERS), self.reasoner)
        require(self.prompt_tokens >= 1, "prompt_tokens", "at least 1", self.prompt_tokens)
        require(self.fallback in FALLBACKS, "fallback", " or ".join(FALLBACKS), self.fallback)
        if self.reasoner == "text" or (self.reasoner == "program" and self.model.base_url):
            require(bool(self.model.model), "model.model", "a name or folder", self.model.model)
        require(self.keep in KEPT, "keep", " or ".join(KEPT), self.keep)
        require(self.prior_folds >= 2, "prior_folds", "at least 2", self.prior_folds)
        if self.benchmark == "vsibench":
            require(self.questions is not None, "questions", "a file, for vsibench", None)
            require(self.boxes is not None, "boxes", "a file or a folder, for vsibench", None)
        require(self.boxes_up in (None, "x", "y", "z"), "boxes_up", "x, y or z", self.boxes_up)
        ordered = not self.boxes_order or sorted(self.boxes_order) == [0, 1, 2]
        require(ordered, "boxes_order", "each of 0, 1, 2 once", self.boxes_order)
        require(self.num_gpus >= 0, "num_gpus", "0 or more", self.num_gpus)
