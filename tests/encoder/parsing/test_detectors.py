from __future__ import annotations

import numpy as np
import pytest
import torch

from spatialcode.encoder.parsing.grounding_dino import GroundedDetector, word_scores
from spatialcode.encoder.parsing.owlv2 import OwlDetector
from spatialcode.encoder.parsing.pictures import read_preparation
from spatialcode.encoder.parsing.protocol import Detections
from spatialcode.encoder.parsing.registry import DETECTORS, load_detector
from spatialcode.encoder.parsing.vocabulary import asked_words
from spatialcode.encoder.protocol import Window
from spatialcode.errors import ConfigError
from tests.encoder import tiny_models

FOLDERS = {
    "grounding-dino": tiny_models.grounding_dino,
    "mm-grounding-dino": tiny_models.mm_grounding_dino,
    "owlv2": tiny_models.owlv2,
    "sam3": tiny_models.sam3_video,
}
LABELS = ("sofa", "chair", "tv", "trash bin", "lamp", "door", "bed")
#: Every box is chosen, whatever its score and its overlap with others.
KEYS = ("boxes_px", "scores")
ALL = {"min_score": 0.0, "same_label_iou": 1.0, "any_label_iou": 1.0, "max_boxes": 1000}


def frames(height: int = 120, width: int = 90, count: int = 3) -> Window:
    rng = np.random.default_rng(0)
    rgb = (
        rng.integers(0, 255, (count, height, width, 3))
        // np.array([1, 3, 9])[:count, None, None, None]
    )
    rgb = rgb.astype(np.uint8)
    return Window(rgb, np.arange(float(count)))


def detector(name: str, **settings: object):
    choice = settings.pop("choice", ALL)
    return load_detector(name, FOLDERS[name](), {"choice": choice, **settings})


def alike(a: Detections, b: Detections) -> bool:
    """Whether each box of either is in the other, with its score."""
    one, other = (np.c_[found.boxes_px, 100.0 * found.scores] for found in (a, b))
    distance = np.abs(one[:, None] - other[None]).max(axis=2)
    return bool(distance.min(axis=0).max() < 0.05 and distance.min(axis=1).max() < 0.05)


def test_every_detector_of_the_table_is_tested_here() -> None:
    assert set(FOLDERS) == set(DETECTORS)


@pytest.mark.parametrize("name", list(FOLDERS))
def test_boxes_lie_in_a_portrait_picture_and_carry_words_that_were_asked(name: str) -> None:
    found = detector(name).detect(frames(), [0, 2], LABELS)
    assert len(found) == 2
    for one in found:
        assert one.labels
        assert set(one.labels) <= set(LABELS)
        assert (one.boxes_px >= 0).all()
        assert (one.boxes_px <= [90, 120, 90, 120]).all()
        assert ((one.scores >= 0) & (one.scores <= 1)).all()


@pytest.mark.parametrize("name", list(FOLDERS))
def test_frames_pass_together_or_alone_in_any_order(name: str) -> None:
    window = frames()
    together = detector(name, num_frames=3).detect(window, [0, 1, 2], LABELS)
    alone = detector(name, num_frames=1).detect(window, [2, 0, 1], LABELS)
    for a, b in zip(together, [alone[1], alone[2], alone[0]], strict=True):
        assert alike(a, b)
    assert not alike(together[0], together[1])


@pytest.mark.parametrize("name", list(FOLDERS))
def test_half_precision_on_the_tower_gives_float_boxes_near_the_full_ones(name: str) -> None:
    window = frames()
    (full,) = detector(name).detect(window, [0], LABELS)
    (half,) = detector(name, precision="bfloat16").detect(window, [0], LABELS)
    assert half.boxes_px.dtype == np.float64
    assert half.scores.max() == pytest.approx(full.scores.max(), abs=0.05)


@pytest.mark.parametrize("name", list(FOLDERS))
def test_nothing_is_sure_enough_where_everything_must_be_sure(name: str) -> None:
    choice = {"min_score": 1.0}
    (found,) = detector(name, choice=choice).detect(frames(), [1], LABELS)
    assert found.labels == ()
    assert detector(name).detect(frames(), [], LABELS) == []


@pytest.mark.parametrize("name", list(FOLDERS))
def test_a_word_too_long_for_the_network_is_named(name: str) -> None:
    long = "-".join("a" * 32)
    with pytest.raises(ConfigError, match="a-a-a"):
        detector(name).detect(frames(), [0], ["chair", long])


@pytest.mark.parametrize("name", ["grounding-dino", "mm-grounding-dino"])
def test_captions_by_hand(name: str) -> None:
    texts = [
        "trash bin",
        "sofas",
        "tv",
        "lamp",
        "door",
        "bed",
        "chair",
        "table",
        "window",
        "stool",
        "desk",
    ]
    words = asked_words(texts, 0)
    captions = detector(name).captions(words)
    first, second = captions
    place = {word: 200 + i for i, word in enumerate(tiny_models.WORDS)}
    trash, bin_, sofa, s = (place[word] for word in ("trash", "bin", "sofa", "##s"))
    # "trash bin" and "sofas" are two tokens each; 24 tokens hold all but the last.
    assert first.ids.tolist()[:8] == [101, trash, bin_, 1012, sofa, s, 1012, place["tv"]]
    assert first.ids.tolist()[-2:] == [1012, 102]
    assert first.word_tokens[0].nonzero().flatten().tolist() == [1, 2]
    assert first.word_tokens[1].nonzero().flatten().tolist() == [4, 5]
    assert first.word_tokens[2].nonzero().flatten().tolist() == [7]
    assert second.words.words == ("desk",)
    assert len(first.ids) == 24
    assert first.words.words + second.words.words == words.words


def test_the_score_of_a_word_by_hand() -> None:
    probability = torch.tensor([[[0.9, 0.2, 0.4, 0.9, 0.7, 0.9, 0.9]]])  # the last is padding
    tokens = torch.zeros(2, 6, dtype=torch.bool)
    tokens[0, 1:3] = True
    tokens[1, 4] = True
    scores = word_scores(torch.logit(probability), tokens)
    torch.testing.assert_close(scores, torch.tensor([[[0.3, 0.7]]]))
    nothing = word_scores(torch.full((1, 1, 7), -torch.inf), tokens)
    assert (nothing == 0).all()


@pytest.mark.parametrize("name", ["grounding-dino", "mm-grounding-dino"])
def test_boxes_and_scores_are_the_networks_own(name: str) -> None:
    import transformers

    window, folder = frames(), FOLDERS[name]()
    network = getattr(transformers, DETECTORS[name].network).from_pretrained(folder).eval()
    pixels = read_preparation(folder)(window.rgb[:1], "cpu", torch.float32)
    tokens = transformers.AutoTokenizer.from_pretrained(folder)("chair. trash bin.")["input_ids"]
    with torch.inference_mode():
        output = network(pixel_values=pixels, input_ids=torch.tensor([tokens]))
    probability = output.logits[0].sigmoid().numpy()
    by_word = np.stack([probability[:, 1], probability[:, 3:5].mean(axis=1)], axis=1)
    x, y, w, h = (output.pred_boxes[0].numpy() * [90, 120, 90, 120]).T
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    inside = np.clip(boxes, 0, [90, 120, 90, 120])

    (found,) = detector(name, num_synonyms=0).detect(window, [0], ["chair", "trash bin"])
    assert len(found.labels) == len(boxes)
    for box, label, score in zip(found.boxes_px, found.labels, found.scores, strict=True):
        row = np.abs(inside - box).sum(axis=1).argmin()
        np.testing.assert_allclose(inside[row], box, atol=1e-2)
        assert by_word[row].max() == pytest.approx(score, abs=1e-4)
        assert label == ("chair", "trash bin")[by_word[row].argmax()]


def test_a_vocabulary_in_chunks_finds_what_each_chunk_finds() -> None:
    part = detector("grounding-dino", num_synonyms=0)
    window = frames()
    words = asked_words([*LABELS, "window", "stool", "desk", "light", "couch"], 0)
    chunks = [caption.words.labels for caption in part.captions(words)]
    assert len(chunks) > 1
    (found,) = part.detect(window, [0], words.labels)
    every = [part.detect(window, [0], chunk)[0] for chunk in chunks]
    boxes, scores = (np.concatenate([getattr(one, key) for one in every]) for key in KEYS)
    labels = np.array([label for one in every for label in one.labels])
    used = np.zeros(len(boxes), bool)
    for box, label, score in zip(found.boxes_px, found.labels, found.scores, strict=True):
        near = np.abs(boxes - box).max(axis=1) < 1e-2
        assert (near & (labels == label) & (np.abs(scores - score) < 1e-4)).any()
        used |= near
    assert used.all()
    assert len({chunk for chunk in chunks if set(chunk) & set(found.labels)}) == len(chunks)


def test_owlv2_boxes_and_scores_are_those_of_the_librarys_own_way() -> None:
    from transformers import AutoTokenizer, Owlv2ForObjectDetection, Owlv2ImageProcessorPil

    window, folder = frames(), tiny_models.owlv2()
    network = Owlv2ForObjectDetection.from_pretrained(folder).eval()
    texts = [f"a photo of a {label}" for label in LABELS]
    tokens = AutoTokenizer.from_pretrained(folder)(
        texts, padding="max_length", max_length=16, return_tensors="pt"
    )
    pixels = read_preparation(folder)(window.rgb[:1], "cpu", torch.float32)
    with torch.inference_mode():
        output = network(pixel_values=pixels, **tokens)
    (expected,) = Owlv2ImageProcessorPil().post_process_object_detection(
        output, threshold=0.0, target_sizes=[(120, 90)]
    )
    inside = np.clip(expected["boxes"].numpy(), 0, [90, 120, 90, 120])
    seen = ((inside[:, 2:] - inside[:, :2]) >= 2.0).all(axis=1)
    assert not seen.all()  # some lie in the padding at the right of a portrait frame
    (found,) = detector("owlv2", num_synonyms=0).detect(window, [0], LABELS)
    order = np.argsort(-expected["scores"].numpy()[seen], kind="stable")
    np.testing.assert_allclose(found.scores, expected["scores"].numpy()[seen][order], atol=1e-5)
    np.testing.assert_allclose(found.boxes_px, inside[seen][order], atol=1e-2)
    labels = expected["labels"].numpy()[seen][order]
    assert found.labels == tuple(LABELS[label] for label in labels)


def test_sam3_boxes_and_scores_are_those_of_each_word_by_itself() -> None:
    from transformers import AutoTokenizer, Sam3Model

    window, folder = frames(), tiny_models.sam3_video()
    network = Sam3Model.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pixels = read_preparation(folder)(window.rgb[1:2], "cpu", torch.float32)
    scores, boxes = [], []
    for label in LABELS:
        tokens = tokenizer([label], padding="max_length", max_length=32, return_tensors="pt")
        with torch.inference_mode():
            output = network(pixel_values=pixels, **tokens)
        scores.append((output.pred_logits.sigmoid() * output.presence_logits.sigmoid())[0])
        boxes.append(output.pred_boxes[0] * torch.tensor([90, 120, 90, 120]))
    (found,) = detector("sam3", num_words=3, num_synonyms=0).detect(window, [1], LABELS)
    assert len(found.labels) == 12 * len(LABELS)
    expected = np.concatenate(boxes)
    own = np.repeat(LABELS, 12)
    for box, label, score in zip(found.boxes_px, found.labels, found.scores, strict=True):
        near = np.abs(np.clip(expected, 0, [90, 120, 90, 120]) - box).max(axis=1) < 0.05
        alike = near & (np.abs(np.concatenate(scores) - score) < 1e-4) & (own == label)
        assert alike.any()


def test_the_words_of_another_vocabulary_are_embedded_anew() -> None:
    for name in ("owlv2", "sam3"):
        part, window = detector(name, num_synonyms=0), frames()
        first = part.detect(window, [0], ["chair", "bed"])[0]
        other = part.detect(window, [0], ["tv", "door"])[0]
        again = part.detect(window, [0], ["chair", "bed"])[0]
        assert set(other.labels) <= {"tv", "door"}
        assert not np.array_equal(first.scores, other.scores)
        np.testing.assert_array_equal(first.scores, again.scores)


def test_detectors_take_half_as_much_until_nothing_is_left_to_halve() -> None:
    part = detector("sam3", num_frames=2, num_words=2)
    sizes = []
    while part is not None:
        sizes.append((part._settings.num_frames, part._settings.num_words))
        part = part.halved()
    assert sizes == [(2, 2), (1, 2), (1, 1)]
    assert detector("owlv2", num_frames=1).halved() is None
    assert isinstance(detector("owlv2").halved(), OwlDetector)
    assert isinstance(detector("grounding-dino").halved(), GroundedDetector)
