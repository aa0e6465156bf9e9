"""Identity over time: IDF1 and HOTA from per-frame similarities.

A similarity is any number in [0, 1] (3D IoU, or one that falls with the distance of centres).
Static objects are tracks too: one that was cut in two, or two that were merged, is an identity
error whether or not anything moves. Counts add up over clips with ``+``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[np.float64]

#: Localisation thresholds over which HOTA is averaged.
HOTA_ALPHAS: Array = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True)
class Tracks:
    """Similarities of one clip and which track exists when.

    ``similarity`` (N, P, T); ``predicted`` (N, P) and ``truth`` (N, T) bool.
    """

    similarity: Array
    predicted: NDArray[np.bool_]
    truth: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n, p, t = self.similarity.shape
        if self.predicted.shape != (n, p) or self.truth.shape != (n, t):
            raise ValueError(
                f"tracks: expected shapes {(n, p)} and {(n, t)}, "
                f"got {self.predicted.shape} and {self.truth.shape}"
            )

    @property
    def both(self) -> NDArray[np.bool_]:
        """(N, P, T): both tracks exist in that frame."""
        return np.asarray(self.predicted[:, :, None] & self.truth[:, None, :])


@dataclass(frozen=True)
class IdentityCounts:
    """Detections whose identity is right, predicted too much, and missing."""

    true: int
    false: int
    missed: int

    def __add__(self, other: IdentityCounts) -> IdentityCounts:
        return IdentityCounts(
            self.true + other.true, self.false + other.false, self.missed + other.missed
        )

    @property
    def idf1(self) -> float | None:
        """IDF1; None where there are no detections at all."""
        whole = 2 * self.true + self.false + self.missed
        return 2 * self.true / whole if whole else None


def identity_counts(tracks: Tracks, threshold: float) -> IdentityCounts:
    """Counts under the one-to-one pairing of whole tracks that maximises right detections.

    Source: Ristani et al., "Performance measures and a data set for multi-target,
    multi-camera tracking", 2016. Minimising false plus missed detections is maximising the
    right ones, as their sum with twice the right ones is fixed.
    """
    together = (tracks.both & (tracks.similarity >= threshold)).sum(axis=0)
    rows, columns = linear_sum_assignment(-together)
    true = int(together[rows, columns].sum())
    return IdentityCounts(true, int(tracks.predicted.sum()) - true, int(tracks.truth.sum()) - true)


@dataclass(frozen=True)
class HotaCounts:
    """Per threshold of ``HOTA_ALPHAS``: detections, and the sum of association scores of the
    true ones; tuples so that it is plain data.
    """

    true: tuple[int, ...]
    false: tuple[int, ...]
    missed: tuple[int, ...]
    association: tuple[float, ...]

    def __add__(self, other: HotaCounts) -> HotaCounts:
        def added(a: tuple, b: tuple) -> tuple:  # type: ignore[type-arg]
            return tuple(x + y for x, y in zip(a, b, strict=True))

        return HotaCounts(
            added(self.true, other.true),
            added(self.false, other.false),
            added(self.missed, other.missed),
            added(self.association, other.association),
        )

    def scores(self) -> dict[str, float] | None:
        """``hota``, ``detection`` (DetA), ``association`` (AssA), averaged over thresholds;
        None where there are no detections at all.
        """
        true, association = np.array(self.true), np.array(self.association)
        whole = true + np.array(self.false) + np.array(self.missed)
        if not whole.any():
            return None
        detection = true / np.maximum(whole, 1)
        associated = association / np.maximum(true, 1)
        return {
            "hota": float(np.sqrt(detection * associated).mean()),
            "detection": float(detection.mean()),
            "association": float(associated.mean()),
        }


def hota_counts(tracks: Tracks) -> HotaCounts:
    """HOTA's counts of one clip.

    In each frame detections are paired to maximise similarity weighted by how well the two
    tracks agree over the whole clip; pairs below a threshold are then not detections there.

    Source: Luiten et al., "HOTA: a higher order metric for evaluating multi-object tracking",
    IJCV 2021, with the pairing of the authors' TrackEval.
    """
    pairs = _frame_pairs(tracks)
    num_predicted, num_truth = tracks.predicted.sum(axis=0), tracks.truth.sum(axis=0)
    true, association = [], []
    for alpha in HOTA_ALPHAS:
        # Thresholds are not exact in binary: without slack a similarity of 0.15 may fail 0.15.
        kept = pairs * (tracks.similarity >= alpha - 1e-9)
        together = kept.sum(axis=0)
        union = num_predicted[:, None] + num_truth[None, :] - together
        true.append(int(together.sum()))
        association.append(float((together * together / np.maximum(union, 1)).sum()))
    total_predicted, total_truth = int(num_predicted.sum()), int(num_truth.sum())
    return HotaCounts(
        tuple(true),
        tuple(total_predicted - t for t in true),
        tuple(total_truth - t for t in true),
        tuple(association),
    )


def _frame_pairs(tracks: Tracks) -> NDArray[np.int64]:
    """(N, P, T) 0/1: which detections are paired in each frame, before any threshold."""
    similarity = np.where(tracks.both, tracks.similarity, 0.0)
    sums = similarity.sum(axis=2, keepdims=True) + similarity.sum(axis=1, keepdims=True)
    rest = sums - similarity
    soft = np.where(rest > 0, similarity / np.where(rest > 0, rest, 1.0), 0.0)
    agreement = soft.sum(axis=0)
    lengths = tracks.predicted.sum(axis=0)[:, None] + tracks.truth.sum(axis=0)[None, :]
    agreement = agreement / np.maximum(lengths - agreement, 1e-9)
    pairs = np.zeros(similarity.shape, dtype=np.int64)
    for n in range(len(similarity)):
        rows, columns = linear_sum_assignment(-(agreement * similarity[n]))
        real = similarity[n, rows, columns] > 0
        pairs[n, rows[real], columns[real]] = 1
    return pairs
