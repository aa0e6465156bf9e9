from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.encoder.parsing.boxes import (
    ChoiceSettings,
    chosen,
    clipped,
    corners,
    iou,
    suppressed,
)


def test_overlap_by_hand() -> None:
    a = np.array([[0.0, 0.0, 4.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    b = np.array([[2.0, 0.0, 6.0, 2.0], [9.0, 9.0, 10.0, 10.0], [0.0, 0.0, 0.0, 0.0]])
    # 4 shared of 8 + 8 - 4.
    np.testing.assert_allclose(iou(a, b), [[1 / 3, 0.0, 0.0], [0.0, 0.0, 0.0]])


def test_corners_by_hand() -> None:
    np.testing.assert_allclose(corners(np.array([[0.5, 0.4, 0.2, 0.6]])), [[0.4, 0.1, 0.6, 0.7]])


def test_a_box_is_clipped_to_a_portrait_picture() -> None:
    box = np.array([[-5.0, 10.0, 80.0, 140.0]])
    np.testing.assert_array_equal(clipped(box, 120, 60), [[0.0, 10.0, 60.0, 120.0]])


def test_labels_differ_in_how_much_overlap_they_allow() -> None:
    # Overlap of the first with both others: 8 / 12 = 0.67.
    boxes = np.array([[0.0, 0.0, 10.0, 1.0], [2.0, 0.0, 12.0, 1.0], [2.0, 0.0, 12.0, 1.0]])
    scores = np.array([0.9, 0.8, 0.7])
    settings = ChoiceSettings(same_label_iou=0.6, any_label_iou=0.85)
    assert suppressed(boxes, np.array([0, 0, 1]), scores, settings).tolist() == [0, 2]
    assert suppressed(boxes, np.array([0, 0, 0]), scores, settings).tolist() == [0]
    assert suppressed(boxes, np.array([0, 1, 2]), scores, settings).tolist() == [0, 1]


def test_what_is_chosen_of_raw_boxes() -> None:
    raw = np.array(
        [
            [0.0, 0.0, 20.0, 20.0],  # kept
            [1.0, 0.0, 20.0, 20.0],  # the same thing, less sure
            [30.0, 30.0, 300.0, 300.0],  # kept, clipped
            [200.0, 0.0, 230.0, 30.0],  # outside: in the padding of the network's picture
            [0.0, 40.0, 1.0, 60.0],  # too thin
            [50.0, 0.0, 70.0, 20.0],  # not sure enough
            [np.nan, 0.0, 20.0, 20.0],
        ]
    )
    scores = np.array([0.9, 0.8, 0.95, 0.9, 0.9, 0.2, 0.9])
    labels = ["chair", "chair", "sofa", "tv", "tv", "tv", "tv"]
    found = chosen(raw, labels, scores, (60, 100), ChoiceSettings())
    assert found.labels == ("sofa", "chair")
    np.testing.assert_array_equal(found.boxes_px, [[30, 30, 100, 60], [0, 0, 20, 20]])
    np.testing.assert_array_equal(found.scores, [0.95, 0.9])


def test_nothing_chosen_of_nothing() -> None:
    found = chosen(np.zeros((0, 4)), [], np.zeros(0), (60, 100), ChoiceSettings())
    assert found.labels == ()


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 4, st.integers(0, 2)), max_size=25))
def test_the_order_of_candidates_of_different_scores_does_not_matter(
    rows: list[tuple[int, ...]],
) -> None:
    values = np.array(rows, float).reshape(-1, 5)
    boxes = np.sort(values[:, :4].reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    kinds, scores = values[:, 4].astype(int), np.linspace(0.9, 0.1, len(values))
    kept = suppressed(boxes, kinds, scores, ChoiceSettings())
    turned = suppressed(boxes[::-1], kinds[::-1], scores[::-1], ChoiceSettings())
    assert kept.tolist() == (len(values) - 1 - turned).tolist()
    overlap = iou(boxes[kept], boxes[kept]) - np.eye(len(kept))
    assert (overlap < 0.85).all()


def test_at_most_so_many_boxes_the_surest() -> None:
    boxes = np.array([[i * 10.0, 0.0, i * 10.0 + 8.0, 8.0] for i in range(200)])
    scores = np.linspace(0.31, 0.99, 200)
    found = chosen(boxes, ["box"] * 200, scores, (8, 2000), ChoiceSettings(max_boxes=30))
    assert len(found.labels) == 30
    assert found.scores.min() == scores[170]
