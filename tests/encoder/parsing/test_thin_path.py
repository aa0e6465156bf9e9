import numpy as np

from spatialcode.encoder.parsing.keyframes import KeyFrames, KeyFrameSettings
from spatialcode.encoder.parsing.registry import load_detector, load_mask_source
from spatialcode.encoder.parsing.vocabulary import labels_of
from spatialcode.encoder.protocol import Window
from tests.encoder import tiny_models


def test_from_words_to_masks_with_networks_loaded_from_folders() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (5, 90, 120, 3), np.uint8)
    window = Window(rgb, np.arange(5.0))
    rows = KeyFrames(KeyFrameSettings(every=2, new_area=None)).rows(window)
    choice = {"min_score": 0.01, "max_boxes": 3}
    folder = tiny_models.grounding_dino()
    detector = load_detector("grounding-dino", folder, {"choice": choice})
    found = detector.detect(window, rows, labels_of(["couch", "chair"]))
    assert [len(one.labels) for one in found] == [3, 3, 3]
    assert {label for one in found for label in one.labels} <= {"sofa", "chair"}
    settings = {"min_predicted_iou": 0.0}
    source = load_mask_source("sam2-image", tiny_models.sam2_video(), settings)
    session = source.session()
    masks = session.masks(window, dict(zip(rows, found, strict=True)))
    assert sorted(masks) == [0, 2, 4]
    drawn = sum(len(one.labels) for one in masks.values())
    assert drawn + session.num_dropped == 9
    assert drawn
