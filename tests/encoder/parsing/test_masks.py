from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spatialcode.encoder.parsing.image_masks import ImageMaskSession
from spatialcode.encoder.parsing.memory import ABSENT
from spatialcode.encoder.parsing.protocol import NO_TRACK, Detections, FrameMasks
from spatialcode.encoder.parsing.registry import MASK_SOURCES, load_mask_source
from spatialcode.encoder.parsing.video_masks import VideoMaskSession
from spatialcode.encoder.protocol import Window
from tests.encoder import tiny_models

FOLDERS = {
    "sam2-image": tiny_models.sam2_video,
    "sam2-video": tiny_models.sam2_video,
    "sam3-video": tiny_models.sam3_video,
}
FOLLOWING = ("sam2-video", "sam3-video")
#: Random masks are made of specks: all of them are kept.
OUTLINE = {"min_part": 0.0, "max_hole": 0.0, "min_area_px": 1}
# A little larger than wide: portrait.
HEIGHT, WIDTH = 120, 90


def clip(count: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, HEIGHT, WIDTH, 3), np.uint8)


def window(rgb: np.ndarray, start: int = 0, stop: int | None = None, repeated: int = 0) -> Window:
    part = rgb[start - repeated : stop]
    times_s = np.arange(float(len(part)))
    return Window(part, times_s, num_repeated=repeated, start=start - repeated)


def found(*boxes: tuple[int, int, int, int], labels: str = "", score: float = 0.5) -> Detections:
    names = tuple(labels.split()) or ("chair",) * len(boxes)
    return Detections(np.array(boxes, float).reshape(-1, 4), names, np.full(len(boxes), score))


def source(name: str, **settings: object):
    if name == "sam2-image":
        settings = {"min_predicted_iou": 0.0, **settings}
    else:
        # Random masks overlap by chance: only what is nearly the same is one thing.
        settings = {"same_box_iou": 0.999, "same_mask_iou": 0.999, **settings}
    return load_mask_source(name, FOLDERS[name](), {"outline": OUTLINE, **settings})


def session(name: str, **settings: object) -> ImageMaskSession | VideoMaskSession:
    return source(name, **settings).session()


def assert_same(a: dict[int, FrameMasks], b: dict[int, FrameMasks]) -> None:
    assert sorted(a) == sorted(b)
    for row, one in a.items():
        other = b[row]
        assert (one.labels, one.tracks.tolist()) == (other.labels, other.tracks.tolist())
        # Batches of another size round otherwise: a pixel whose logit is 0 may change sides.
        assert (one.masks != other.masks).mean() < 1e-3 if len(one.labels) else True


def test_every_mask_source_of_the_table_is_tested_here() -> None:
    assert set(FOLDERS) == set(MASK_SOURCES)


@pytest.mark.parametrize("name", list(FOLDERS))
def test_masks_have_the_frames_size_and_vectors_of_unit_length(name: str) -> None:
    boxes = found((5, 5, 40, 60), (30, 40, 85, 110), labels="chair sofa")
    answer = session(name).masks(window(clip(2)), {0: boxes})[0]
    assert answer.labels == ("chair", "sofa")
    assert answer.masks.shape == (2, HEIGHT, WIDTH)
    assert answer.masks.any(axis=(1, 2)).all()
    assert not np.array_equal(answer.masks[0], answer.masks[1])
    np.testing.assert_array_equal(answer.scores, [0.5, 0.5])
    np.testing.assert_allclose(np.linalg.norm(answer.appearance, axis=1), 1.0, atol=1e-5)


def test_without_memory_only_key_frames_are_answered_and_nothing_has_a_track() -> None:
    boxes = found((5, 5, 40, 60))
    answers = session("sam2-image").masks(window(clip(5)), {1: boxes, 4: Detections.none()})
    assert sorted(answers) == [1, 4]
    assert answers[1].tracks.tolist() == [NO_TRACK]
    assert answers[4].labels == ()
    assert answers[4].masks.shape == (0, HEIGHT, WIDTH)


def test_image_masks_are_those_that_the_library_trusts_most() -> None:
    from torch.nn import functional
    from transformers import Sam2Model

    from spatialcode.encoder.parsing.pictures import read_preparation

    folder, rgb = tiny_models.sam2_video(), clip(1)
    model = Sam2Model.from_pretrained(folder).eval()
    pixels = read_preparation(folder)(rgb, "cpu", torch.float32)
    boxes = found((5, 5, 40, 60), (30, 40, 85, 110))
    scale = np.array([128 / WIDTH, 128 / HEIGHT] * 2)
    prompts = torch.tensor(boxes.boxes_px * scale, dtype=torch.float32)[None]
    with torch.inference_mode():
        output = model(pixel_values=pixels, input_boxes=prompts)
    trust = output.iou_scores[0].numpy()
    masks = functional.interpolate(output.pred_masks[0], (HEIGHT, WIDTH), mode="bilinear") > 0
    answer = session("sam2-image").masks(window(rgb), {0: boxes})[0]
    expected = np.stack([masks[i, trust[i].argmax()].numpy() for i in range(2)])
    assert (answer.masks != expected).mean() < 1e-3
    picky = session("sam2-image", min_predicted_iou=1.0)
    assert picky.masks(window(rgb), {0: boxes})[0].labels == ()
    assert picky.num_dropped == 2


def test_frames_and_boxes_pass_together_or_alone() -> None:
    rows = {row: found((5, 5, 40, 60), (30, 40, 85, 110), (1, 1, 89, 119)) for row in (0, 2, 3)}
    together = session("sam2-image").masks(window(clip(4)), rows)
    alone = session("sam2-image", num_frames=1, num_objects=1).masks(window(clip(4)), rows)
    assert_same(together, alone)


@pytest.mark.parametrize("name", list(FOLDERS))
def test_two_hundred_detections_in_one_frame(name: str) -> None:
    rng = np.random.default_rng(1)
    corner = rng.integers(0, 50, (200, 2))
    boxes = np.concatenate([corner, corner + rng.integers(10, 40, (200, 2))], axis=1)
    many = Detections(boxes.astype(float), ("box",) * 200, rng.random(200))
    begun = session(name)
    answer = begun.masks(window(clip(2)), {0: many})[0]
    if isinstance(begun, VideoMaskSession):
        assert len(answer.labels) == 48
        assert begun.num_refused + begun.num_dropped <= 152
        assert answer.scores.min() > np.sort(many.scores)[100]  # the surest have joined
    else:
        assert len(answer.labels) + begun.num_dropped == 200


@pytest.mark.parametrize("name", FOLLOWING)
def test_a_thing_has_one_track_in_every_frame_from_its_key_frame_on(name: str) -> None:
    begun = session(name)
    key = {2: found((5, 5, 40, 60), labels="chair"), 5: found((30, 40, 85, 110), labels="sofa")}
    answers = begun.masks(window(clip(8)), key)
    assert {row: one.tracks.tolist() for row, one in answers.items()} == {
        0: [], 1: [], 2: [0], 3: [0], 4: [0], 5: [0, 1], 6: [0, 1], 7: [0, 1]
    }  # fmt: skip
    assert answers[7].labels == ("chair", "sofa")


@pytest.mark.parametrize("name", FOLLOWING)
def test_one_window_or_many_give_the_same_masks(name: str) -> None:
    rgb = clip(11)
    keys = {0: found((5, 5, 40, 60)), 6: found((30, 40, 85, 110), labels="sofa")}
    whole = session(name).masks(window(rgb), keys)
    begun, parts = session(name, num_frames=3), {}
    for start, stop, repeated in ((0, 5, 0), (5, 9, 2), (9, 11, 2)):
        view = window(rgb, start, stop, repeated)
        own = {row - view.start: one for row, one in keys.items() if row in range(start, stop)}
        own |= {0: found((1, 1, 80, 80))} if repeated else {}  # a repeated row's are not read again
        parts |= {view.start + row: one for row, one in begun.masks(view, own).items()}
    assert_same(whole, parts)


@pytest.mark.parametrize("name", FOLLOWING)
def test_things_pass_together_or_alone(name: str) -> None:
    keys = {0: found((5, 5, 40, 60), (30, 40, 85, 110)), 3: found((1, 1, 89, 119))}
    together = session(name).masks(window(clip(8)), keys)
    alone = session(name, num_frames=1, num_objects=1).masks(window(clip(8)), keys)
    assert_same(together, alone)


def test_a_detection_on_a_live_track_belongs_to_it_and_settles_its_label() -> None:
    begun = session("sam2-video", same_box_iou=0.5)
    answers = begun.masks(window(clip(3)), {0: found((5, 5, 40, 60), labels="chair", score=0.4)})
    y, x = np.nonzero(answers[2].masks[0])
    again = (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
    more = window(clip(6), 3, 6)
    later = begun.masks(more, {0: found(again, labels="stool", score=0.9)})
    assert begun.num_tracks == 1
    assert later[2].labels == ("stool",)
    assert later[2].scores.tolist() == [0.9]
    assert later[2].tracks.tolist() == [0]


def test_a_new_mask_that_is_a_tracks_own_starts_no_other() -> None:
    begun = session("sam2-video", same_box_iou=1.0, same_mask_iou=0.9)
    twice = found((5, 5, 40, 60), (5, 5, 40, 60), labels="chair stool")
    answer = begun.masks(window(clip(1)), {0: twice})[0]
    assert answer.labels == ("chair",)
    assert begun.live[0].votes == {"chair": 0.5, "stool": 0.5}


class BlindFrom:
    """A memory network that sees nothing any more from a frame on, up to another."""

    def __init__(self, network: object, start: int, stop: int) -> None:
        self._network, self._unseen = network, range(start, stop)

    def __getattr__(self, name: str) -> object:
        return getattr(self._network, name)

    def follow(self, seen: object, frame: int, memories: list) -> object:
        reading = self._network.follow(seen, frame, memories)
        if frame in self._unseen:
            return replace(reading, logits=torch.full_like(reading.logits, ABSENT))
        return reading


def test_a_thing_out_of_sight_keeps_its_track_and_one_that_is_lost_does_not() -> None:
    key = {0: found((5, 5, 40, 60))}
    for stop, tracks in ((4, [0]), (6, [])):
        begun = session("sam2-video", max_missing=3)
        begun.network = BlindFrom(begun.network, 1, stop)
        answers = begun.masks(window(clip(8)), key)
        assert answers[2].tracks.tolist() == []
        assert answers[7].tracks.tolist() == tracks
        assert len(begun.live) == len(tracks)


def test_where_there_is_no_room_the_longest_unseen_goes_and_the_least_sure_stay_out() -> None:
    begun = session("sam2-video", max_tracks=2)
    first = found((5, 5, 40, 60), (30, 40, 85, 110))
    answers = begun.masks(window(clip(2)), {0: first})
    assert answers[1].tracks.tolist() == [0, 1]
    # All are seen: nobody goes.
    third = found((1, 1, 89, 119), labels="bed")
    assert begun.masks(window(clip(3), 2, 3), {0: third})[0].tracks.tolist() == [0, 1]
    assert begun.num_refused == 1
    # None is seen, the first for longer.
    begun.network = BlindFrom(begun.network, 3, 4)
    begun.live[0].missing = 4
    answer = begun.masks(window(clip(4), 3, 4), {0: third})[0]
    assert answer.tracks.tolist() == [2]
    assert [one.number for one in begun.live] == [1, 2]


def test_what_a_session_holds_does_not_grow_with_the_clip() -> None:
    begun = session("sam2-video", num_frames=2)
    held = []
    for start in range(0, 60, 10):
        keys = {0: found((5, 5, 40, 60), (30, 40, 85, 110))} if not start else {}
        begun.masks(window(clip(60), start, start + 10), keys)
        memories = [one.memory for one in begun.live]
        tensors = [
            tensor
            for memory in memories
            for tensor in (*memory.masks.values(), *memory.pointers.values())
        ]
        held.append((len(tensors), sum(one.untyped_storage().nbytes() for one in tensors)))
    assert len(memories) == 2
    assert held[2:] == [held[2]] * 4
    # Six masks of 64 cells by 64 channels in bfloat16 and 15 pointers of 128 in float32, each.
    assert held[2] == (2 * 21, 2 * (6 * 64 * 64 * 2 + 15 * 128 * 4))


def test_clips_share_nothing_but_weights() -> None:
    part = source("sam2-video")
    keys = {0: found((5, 5, 40, 60))}
    alone = part.session().masks(window(clip(4)), keys)
    other, again = part.session(), part.session()
    other.masks(window(255 - clip(4)), {0: found((30, 40, 85, 110), labels="sofa")})
    assert_same(alone, again.masks(window(clip(4)), keys))


def test_mask_sources_take_half_as_much_frames_before_objects() -> None:
    part, sizes = source("sam2-video", num_frames=4, num_objects=4), []
    while part is not None:
        sizes.append((part._settings.num_frames, part._settings.num_objects))
        part = part.halved()
    assert sizes == [(4, 4), (2, 4), (1, 4), (1, 2), (1, 1)]
