"""The settings of the evaluate job. Light: read by ``--help`` before Ray or torch are loaded."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.on_ray.dataset import Workers
from spatialcode.config import checked, require, setting
from spatialcode.encoder.registry import EncoderSettings
from spatialcode.reasoning.models.loading import ModelSpec
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.synthetic.renderers import PRIMITIVES, RENDERERS


@dataclass(frozen=True)
@checked
class EvaluateConfig:
    """All settings of ``python -m jobs.evaluate``."""

    report: str = setting("folder for report.json, report.md, report.html")
    benchmark: str = setting(
        "what is measured: encoder (boxes), recorded (path, scale, depth and boxes of real"
        " recordings), vsibench (answers), or rooms (boxes and answers)",
        "encoder",
        one_of=("encoder", "recorded", "vsibench", "rooms"),
    )
    encoder: EncoderSettings = setting("", default_factory=EncoderSettings)
    device: str = setting("where the network runs: cpu or cuda", "cpu", one_of=("cpu", "cuda"))
    num_rooms: int = setting("rooms to render, or clips to take from `clips`", 100, at_least=1)
    seed: int = setting(
        f"seed of the first room; those below {HELD_OUT_ROOMS.start} are not held out",
        HELD_OUT_ROOMS.start,
        at_least=0,
    )
    num_frames: int | None = setting(
        "frames a room; null: as the encoder asks; recorded: at most, from the first on; null: 128",
        None,
        at_least=1,
    )
    renderer: str = setting(
        "of rooms: primitives, or furniture (real models; those of held-out rooms are in no other)",
        PRIMITIVES,
        one_of=RENDERERS,
    )
    clips: str | None = setting("folder of recorded clips with codes, instead of rendering", None)
    clips_format: str | None = setting(
        "layout of `clips` or `recordings`, by its reader's name, as codes; null: recognised", None
    )
    recordings: tuple[str, ...] = setting(
        "recorded: recordings with truth, or folders of them; see docs/recordings.md", ()
    )
    stride: int | None = setting(
        "recorded: every n-th frame; null: as few left out as num_frames allows", None, at_least=1
    )
    given_lens: bool = setting("recorded: tell the pinhole matrix, for all figures", False)
    given_poses: bool = setting("recorded: tell the camera path, for all figures", False)
    known_intrinsics: bool = setting("tell the pinhole matrix also where poses are not", True)
    num_side: int = setting("longer side of rendered frames in pixels", 160, at_least=32)
    oracle: str = setting(
        "encoder=prompted: what is true in the place of networks, of masks,depth,poses;"
        " masks and depth always are, without poses the path is estimated; empty: the networks",
        "",
    )
    noise: str = setting(
        "upon what is true: none, or network (depth 5 % off a frame and 2 % a pixel, its edges"
        " smeared over 3 px, masks 1 px off)",
        "none",
        one_of=("none", "network"),
    )
    missed: float = setting("share of boxes that an oracle loses", 0.0, at_least=0, at_most=1)
    switched: float = setting(
        "share of masks to which an oracle gives another object's track",
        0.0,
        at_least=0,
        at_most=1,
    )
    ladder: bool = setting("also replace one output after the other by truth", True)
    num_workers: int = setting(
        "encoders at work at once, one core each; 0: here, without Ray", 2, at_least=0
    )
    num_gpus: float | None = setting(
        "GPUs a worker reserves; a fraction shares one; auto (encoder, recorded): as much as the"
        " encoder was seen to need, 0 on cpu",
        0.0,
        at_least=0,
        auto=True,
    )
    questions: str | None = setting("vsibench: questions: JSONL, Parquet, or a folder of it", None)
    boxes: str | None = setting("vsibench: file of boxes, or folder of codes", None)
    boxes_up: str | None = setting(
        "vertical axis of boxes of 9 or 10 numbers: x, y or z; null: detected",
        None,
        one_of=("x", "y", "z"),
    )
    boxes_order: tuple[int, ...] = setting(
        "which of their three extents are the box's x, y, z, as [0,1,2]; none: detected", ()
    )
    boxes_scalar_first: bool | None = setting(
        "quaternions of boxes of 10 numbers begin with w; must be said", None
    )
    truth_boxes: str | None = setting("vsibench: annotated boxes, to tell whose fault it is", None)
    num_questions: int = setting("rooms: questions of each family about each room", 4, at_least=1)
    reasoner: str = setting(
        "vsibench, rooms: who answers: solver, program or text",
        "solver",
        one_of=("solver", "program", "text"),
    )
    keep: str = setting(
        "boxes that the reasoner is shown: all, or those a question names",
        "all",
        one_of=("all", "named"),
    )
    model: ModelSpec = setting(
        "the language model of program and text; program without one: the bundled tiny reasoner",
        ModelSpec(),
    )
    prompt_tokens: int = setting("program, text: most tokens of a prompt", 4096, at_least=1)
    fallback: str = setting(
        "program, text: none or priors, where there is no answer", "none", one_of=("none", "priors")
    )
    priors: str = setting("vsibench: folds (fitted on other rooms), none, or a file", "folds")
    prior_folds: int = setting(
        "vsibench: folds of rooms that priors are fitted across", 5, at_least=2
    )
    ray_address: str | None = setting("cluster to join; null: RAY_ADDRESS or a local one", None)

    def __post_init__(self) -> None:
        if self.oracle:
            fits = {"masks", "depth"} <= set(self.oracle_parts) <= {"masks", "depth", "poses"}
            require(fits, "oracle", "masks,depth or masks,depth,poses", self.oracle)
            require(self.clips is None, "clips", "null, as an oracle renders", self.clips)
            name = self.encoder.name
            require(name.startswith("prompted"), "encoder.name", "prompted, for oracle", name)
        if self.reasoner == "text" or (self.reasoner == "program" and self.model.base_url):
            require(bool(self.model.model), "model.model", "a name or folder", self.model.model)
        if self.benchmark == "recorded":
            require(bool(self.recordings), "recordings", "at least one folder, for recorded", None)
            require(not self.oracle, "oracle", "empty, for recorded", self.oracle)
        if self.benchmark == "vsibench":
            require(self.questions is not None, "questions", "a file, for vsibench", None)
            require(self.boxes is not None, "boxes", "a file or a folder, for vsibench", None)
        measured = self.num_gpus is not None or self.benchmark in ("encoder", "recorded")
        require(measured, "num_gpus", f"a number, for {self.benchmark}", "auto")
        ordered = not self.boxes_order or sorted(self.boxes_order) == [0, 1, 2]
        require(ordered, "boxes_order", "each of 0, 1, 2 once", self.boxes_order)

    @property
    def oracle_parts(self) -> tuple[str, ...]:
        """What is true in the place of networks."""
        return tuple(part.strip() for part in self.oracle.split(",") if part.strip())

    @property
    def workers(self) -> Workers:
        """What rows are sent through: one core each, as times are reported of one core.

        With ``num_gpus=auto`` no GPU is reserved; see `pipelines.evaluate.placement`.
        """
        return Workers(self.num_workers, 1.0, self.num_gpus or 0.0, self.ray_address)
