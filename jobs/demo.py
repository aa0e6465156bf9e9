"""Encodes the bundled clip of a rendered room, shows what the encoder made of it, and asks the
code questions.

With video=PATH it does the same for a video of your own, without the comparison with truth.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.cli import EventLog, run_job
from spatialcode.config import checked, setting

if TYPE_CHECKING:
    from spatialcode.api import VideoEncoder
    from spatialcode.scene.schema import SpatialCode

ASSETS = Path(__file__).parents[1] / "spatialcode" / "assets"
SAMPLE = ASSETS / "sample_room.mp4"

#: Least overlap (intersection over union of boxes) at which a true object counts as found.
FOUND_IOU = 0.25

#: What is asked about the bundled clip, with options where one is to be chosen.
QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("How many tables are in this room?", ()),
    ("What is the distance between the door and the toilet in meters?", ()),
    ("If I am standing by the toilet and facing the door, is the chair to my front-left, "
     "front-right, back-left, or back-right?",
     ("A. front-left", "B. front-right", "C. back-left", "D. back-right")),
    ("In which order do the door, the chair and the toilet first appear in the video?",
     ("A. door, chair, toilet", "B. chair, toilet, door", "C. chair, door, toilet")),
    ("How long is the bookshelf in centimeters?", ()),
)  # fmt: skip


@dataclass(frozen=True)
@checked
class DemoConfig:
    """All settings of ``python -m jobs.demo``."""

    video: str | None = setting("the video to encode; null: the bundled clip", None)
    output: str = setting("folder for what is written", "out/demo")
    encoder: str = setting("bundled weights by name, or a .safetensors file", "small")
    device: str = setting("torch device", "cpu")
    num_frames: int | None = setting(
        "frames to look at, spread evenly over the video; null: as the encoder asks", None,
        at_least=1,
    )  # fmt: skip


def _work(config: DemoConfig, log: EventLog) -> bool:
    from spatialcode.api import VideoEncoder
    from spatialcode.encoder.protocol import kinds_of
    from spatialcode.export.formats import export, export_path
    from spatialcode.synthetic.sample import read_sample_code

    # A pipe or a file has no width; the table wants this much.
    width = None if sys.stdout.isatty() else 112
    console = Console(markup=False, highlight=False, soft_wrap=True, width=width)
    video = Path(config.video) if config.video else SAMPLE
    truth = None if config.video else read_sample_code(ASSETS)
    with _timed(console, log, "encode"):
        encoder = VideoEncoder.load(config.encoder, config.device)
        code = _encode(config, encoder, video, truth)
    matches = {} if truth is None else matched(code, truth)
    console.print(object_table(code, matches if truth is not None else None))
    console.print(_summary(code, truth, matches))
    console.print("\n".join(trusted(code, kinds_of(encoder.loaded))))
    _ask(console, code, truth)
    folder = Path(config.output)
    for kind in ("html", "overlay", "json"):
        with _timed(console, log, kind):
            export(code, kind, folder, video)
    console.print(f"\nThe room in 3D:        {export_path(code, folder, 'html')}")
    console.print(f"Boxes in the video:    {export_path(code, folder, 'overlay')}")
    console.print(f"The spatial code:      {export_path(code, folder, 'json')}")
    console.print("Your own video:        python -m jobs.demo video=PATH")
    return True


def _encode(
    config: DemoConfig, encoder: VideoEncoder, video: Path, truth: SpatialCode | None
) -> SpatialCode:
    """The video's code. Of the bundled clip's camera the lens is known, as a phone knows its own;
    the path is not.
    """
    from spatialcode.api import KnownCamera, Sampling, encode

    sampling = Sampling(num_frames=config.num_frames)
    camera = None if truth is None else KnownCamera(K=truth.cameras[0].intrinsics())
    return encode(video, encoder=encoder, sampling=sampling, camera=camera)


def _ask(console: Console, code: SpatialCode, truth: SpatialCode | None) -> None:
    """Print answers with their evidence; of the bundled clip, also what the true code says."""
    from spatialcode.api import ask

    for question, options in QUESTIONS if truth is not None else _questions_about(code):
        answer = ask(code, question, options)
        console.print(f"\n{question}  {'  '.join(options)}".rstrip(), style="bold")
        known = (
            ""
            if truth is None
            else f"   (from the true code: {ask(truth, question, options).final()})"
        )
        guess = "" if answer.grounded else "   (a guess: not all of it is in the code)"
        console.print(f"Answer: {answer.final()}{guess}{known}")
        for statement in answer.evidence.statements:
            console.print(f"    {statement.text()}", style="dim")


def _questions_about(code: SpatialCode) -> list[tuple[str, tuple[str, ...]]]:
    """One question of each family that the demo shows, about things that the code holds."""
    from spatialcode.reasoning.families.registry import families
    from spatialcode.reasoning.generate import GenerateConfig, generate

    made = generate(code, scene="demo", seed=0, config=GenerateConfig(questions_per_family=1))
    names = {family.demo for family in families()}
    shown = [item for item in made.items if item.question_type in names]
    return [(item.question, item.options) for item in shown]


@contextmanager
def _timed(console: Console, log: EventLog, part: str) -> Iterator[None]:
    """Print and log how long a part took."""
    start_s = time.perf_counter()
    yield
    seconds = time.perf_counter() - start_s
    log.event("part", part=part, seconds=round(seconds, 3))
    console.print(f"{part}: {seconds:.1f} s", style="dim")


def matched(code: SpatialCode, truth: SpatialCode) -> dict[str, tuple[str, float]]:
    """For each object found truly: the true object's id and the overlap with it.

    The label must be right and the boxes overlap by ``FOUND_IOU``; each true object is found
    once, by the surest that fits.
    """
    from spatialcode.evaluation.metrics.detection import match
    from spatialcode.evaluation.metrics.scoring import overlaps_of
    from spatialcode.evaluation.metrics.tracks import from_objects

    if not code.objects or not truth.objects:
        return {}
    times_s = np.array(code.video.sampled_s)
    predicted, true = (from_objects(c.objects, times_s) for c in (code, truth))
    overlaps = overlaps_of(predicted, true).class_aware()
    return {
        code.objects[p].id: (truth.objects[t].id, float(overlaps.iou[p, t]))
        for p, t in enumerate(match(overlaps, FOUND_IOU).tolist())
        if t >= 0
    }


def object_table(code: SpatialCode, matches: dict[str, tuple[str, float]] | None) -> Table:
    """The code's objects as a table; with ``matches``, what each of them truly is."""
    from spatialcode.scene.frames import yaw_from_quaternion

    table = Table(title=escape(Path(code.video.uri).name), title_justify="left")
    table.add_column("object", no_wrap=True)
    for name in ("score", "centre x y z (m)", "size x y z (m)", "yaw", "seen (s)"):
        table.add_column(name, justify="right", no_wrap=True)
    if matches is not None:
        table.add_column("truth", no_wrap=True)
    for item in code.objects:
        yaw_deg = math.degrees(float(yaw_from_quaternion(np.asarray(item.quaternion_wxyz))))
        cells = [
            escape(item.id),
            f"{item.score:.2f}",
            " ".join(f"{value:5.2f}" for value in item.center_m),
            " ".join(f"{value:.2f}" for value in item.size_m),
            f"{yaw_deg:.0f}°",
            f"{item.first_seen_s:.1f}–{item.last_seen_s:.1f}",
        ]
        if matches is not None:
            name, iou = matches.get(item.id, ("", 0.0))
            cells.append(f"{escape(name)} (IoU {iou:.2f})" if name else "—")
        table.add_row(*cells)
    return table


def _summary(
    code: SpatialCode, truth: SpatialCode | None, matches: dict[str, tuple[str, float]]
) -> str:
    lines = [f"{len(code.objects)} objects in {len(code.cameras)} frames"]
    if code.room is not None:
        area = f"floor area {code.room.area_m2:.1f} m²"
        lines.append(area if truth is None or truth.room is None
                     else f"{area} (truth {truth.room.area_m2:.1f} m²)")  # fmt: skip
    if truth is not None:
        found = {name for name, _ in matches.values()}
        missed = [item.id for item in truth.objects if item.id not in found]
        lines.append(f"{len(found)} of the room's {len(truth.objects)} objects found "
                     f"(right label, IoU of at least {FOUND_IOU})")  # fmt: skip
        lines += [f"missed: {', '.join(missed)}"] if missed else []
    return "\n".join(lines)


#: How paths are found, in words.
_PATHS = {
    "given": "given", "structure": "by structure from motion", "odometry": "by odometry on "
    "predicted depth", "standing": "the camera stood still", "turning": "the camera only turned",
    "estimated": "estimated by networks",
}  # fmt: skip
_SCALES = {
    "metric-depth": "predicted depth", "camera-height": "the usual height of a hand-held camera",
    "ceiling-height": "the usual height of ceilings", "object-sizes": "usual sizes of things",
    "given": "given poses",
}  # fmt: skip


def trusted(code: SpatialCode, kinds: tuple[str, ...] | None) -> tuple[str, str]:
    """What of a code to trust, in two lines; ``kinds``: what its encoder can find, where it says.

    Scale is sure by so much to be within 15 %, as the encoder states it.
    """
    origin = code.path
    path = "not told how it was found" if origin is None else _PATHS[origin.source]
    if origin is not None and origin.error_px is not None:
        path += f", misses what the pictures show by {origin.error_px:.1f} px (of 640)"
    elif origin is not None and origin.source != "given":
        path += ", not checked against the pictures"
    scale = f"by {_SCALES[code.scale.source]}, {100 * code.scale.confidence:.0f} % sure"
    known = "not told" if kinds is None else f"{len(kinds)}: {', '.join(kinds)}"
    return f"Camera path: {path}. Scale: {scale}.", f"Kinds that can be found: {known}."


main = partial(run_job, "demo", DemoConfig, _work, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main())
