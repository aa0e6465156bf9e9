from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from spatialcode.encoder.parsing.memory import ABSENT, MemoryNetwork, TrackMemory
from spatialcode.encoder.parsing.towers import load_tower
from tests.encoder import tiny_models

SIDE = tiny_models.SAM_PX
#: Boxes of four things in pixels of the network's picture, and the frames in which they join.
BOXES = {
    0: (10, 10, 60, 60), 1: (40, 40, 100, 100), 2: (5, 80, 40, 120), 3: (70, 8, 120, 50),
}  # fmt: skip
JOINS = {0: 0, 1: 0, 2: 3, 3: 5}


@pytest.fixture(scope="module")
def model() -> Iterator[object]:
    torch.set_num_threads(1)
    return load_tower("Sam2VideoModel", tiny_models.sam2_video(), "cpu", "float32").model


@pytest.fixture(scope="module")
def video() -> torch.Tensor:
    return torch.randn(26, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def library(model: object, video: torch.Tensor, thing: int) -> dict[int, torch.Tensor]:
    """Logits by frame of one thing, by the library's own loop, which keeps every frame."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    session = Sam2VideoInferenceSession(video_height=SIDE, video_width=SIDE, dtype=torch.float32)
    row = session.obj_id_to_idx(thing)
    start = JOINS[thing]
    points = {
        "point_coords": torch.tensor(BOXES[thing], dtype=torch.float32).reshape(1, 1, 2, 2),
        "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32),
    }
    session.add_point_inputs(row, start, points)
    session.obj_with_new_inputs = [thing]
    return {
        frame: model(session, frame=video[frame], frame_idx=frame).pred_masks[0, 0].clone()
        for frame in range(start, len(video))
    }


def followed(
    model: object, video: torch.Tensor, things: list[int], forget: bool = True
) -> tuple[dict[int, dict[int, torch.Tensor]], dict[int, TrackMemory]]:
    """Logits by thing and frame, things of one memory length together, and what is remembered."""
    network = MemoryNetwork(model, torch.float32)
    memories: dict[int, TrackMemory] = {}
    logits: dict[int, dict[int, torch.Tensor]] = {thing: {} for thing in things}
    for frame in range(len(video)):
        (seen,) = network.features(video[frame : frame + 1])
        groups: dict[tuple[int, int], list[int]] = {}
        for thing, memory in memories.items():
            groups.setdefault(memory.length, []).append(thing)
        for group in groups.values():
            reading = network.follow(seen, frame, [memories[thing] for thing in group])
            left = network.remembered(seen, reading, asked=False)
            for i, thing in enumerate(group):
                memories[thing].masks[frame] = left[i]
                memories[thing].pointers[frame] = reading.pointers[i : i + 1]
                logits[thing][frame] = reading.logits[i]
                if forget:
                    memories[thing].forget(frame, network.num_masks, network.num_pointers)
        for thing in [thing for thing in things if JOINS[thing] == frame]:
            reading = network.ask(seen, torch.tensor([BOXES[thing]], dtype=torch.float32))
            (left,) = network.remembered(seen, reading, asked=True)
            memories[thing] = TrackMemory(frame, left, reading.pointers)
            logits[thing][frame] = reading.logits[0]
    return logits, memories


@pytest.fixture(scope="module")
def truth(model: object, video: torch.Tensor) -> dict[int, dict[int, torch.Tensor]]:
    return {thing: library(model, video, thing) for thing in BOXES}


def test_a_thing_with_past_frames_let_go_has_the_very_masks_of_the_library(
    model: object, video: torch.Tensor, truth: dict[int, dict[int, torch.Tensor]]
) -> None:
    logits, memories = followed(model, video, [0])
    assert list(logits[0]) == list(truth[0])
    for frame, expected in truth[0].items():
        assert torch.equal(logits[0][frame], expected), frame
    assert memories[0].length == (6, 15)


def test_things_that_pass_together_have_the_masks_that_each_has_alone_in_the_library(
    model: object, video: torch.Tensor, truth: dict[int, dict[int, torch.Tensor]]
) -> None:
    logits, _ = followed(model, video, list(BOXES))
    for thing, frames in truth.items():
        assert list(logits[thing]) == list(frames)
        for frame, expected in frames.items():
            torch.testing.assert_close(logits[thing][frame], expected, atol=2e-5, rtol=1e-4)


def test_what_is_remembered_tells_one_thing_from_another(
    truth: dict[int, dict[int, torch.Tensor]],
) -> None:
    # Otherwise the tests above would hold for memories that belong to the wrong thing.
    for frame in (10, 25):
        assert (truth[0][frame] - truth[1][frame]).abs().max() > 2e-3


def test_a_memory_holds_as_much_after_many_frames_as_after_few(
    model: object, video: torch.Tensor
) -> None:
    def held(num_frames: int) -> int:
        _, memories = followed(model, video[:num_frames], [0, 1])
        tensors = [
            tensor
            for one in memories.values()
            for tensor in (*one.masks.values(), *one.pointers.values())
        ]
        return sum(tensor.untyped_storage().nbytes() for tensor in tensors)

    assert held(17) == held(26) > held(8)


def test_absent_things_do_not_touch_present_ones_beside_them(
    model: object, video: torch.Tensor
) -> None:
    network = MemoryNetwork(model, torch.float32)
    (seen,) = network.features(video[:1])
    boxes = torch.tensor(list(BOXES.values()), dtype=torch.float32)
    bias = model.mask_decoder.pred_obj_score_head.proj_out.bias
    before = bias.data.clone()
    try:
        bias.data -= network.ask(seen, boxes).presence.median() + 1e-4
        together = network.ask(seen, boxes)
        alone = [network.ask(seen, boxes[i : i + 1]) for i in range(4)]
    finally:
        bias.data.copy_(before)
    absent = (together.logits == ABSENT).flatten(1).all(dim=1)
    assert absent.any()
    assert not absent.all()
    for i, one in enumerate(alone):
        torch.testing.assert_close(together.logits[i : i + 1], one.logits, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(together.pointers[i : i + 1], one.pointers, atol=2e-4, rtol=1e-4)


def test_sam3s_tracker_has_the_very_masks_of_the_library_too() -> None:
    folder = tiny_models.sam3_video()
    model = load_tower("Sam3TrackerVideoModel", folder, "cpu", "float32").model
    side = tiny_models.SAM3_PX
    video = torch.randn(20, 3, side, side, generator=torch.Generator().manual_seed(1))
    truth = library(model, video, 0)
    logits, _ = followed(model, video, [0])
    assert all(torch.equal(logits[0][frame], expected) for frame, expected in truth.items())
    together, _ = followed(model, video, [0, 1])
    for frame, expected in library(model, video, 1).items():
        torch.testing.assert_close(together[1][frame], expected, atol=2e-4, rtol=1e-4)
