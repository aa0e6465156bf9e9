"""Objects as arrays over sampled frames, overlaps between two sets of them, and identity over time.

Predicted and true objects are compared as :class:`BoxTracks` on the same sampled times, whatever
they were before. IDF1 and HOTA come from per-frame similarities: any number in [0, 1] (3D IoU, or
one that falls with the distance of centres). Static objects are tracks too: one that was cut in
two, or two that were merged, is an identity error whether or not anything moves. Counts add up over
clips with ``+``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from operator import add

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from spatialcode.evaluation.metrics.detection import Counts
from spatialcode.scene.boxes import Boxes, iou_matrix
from spatialcode.scene.schema import SceneObject

Array = NDArray[np.float64]

#: Distance of centres (metres) at which the centre similarity of two tracks reaches zero.
CENTRE_RANGE_M = 1.0
#: Localisation thresholds over which HOTA is averaged.
HOTA_ALPHAS: Array = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True, eq=False)
class BoxTracks:
    """M objects over N sampled frames, world frame.

    ``labels`` (M); ``scores`` (M,) (1 for truth); ``size_m`` (M, 3); ``center_m`` (N, M, 3);
    ``quaternion_wxyz`` (N, M, 4); ``alive`` (N, M): between its first and last sight, gaps
    included, as a code says it; ``moving`` (M,); ``ignored`` (M,): truth seen too little to be
    asked for.
    """

    labels: tuple[str, ...]
    scores: Array
    size_m: Array
    center_m: Array
    quaternion_wxyz: Array
    alive: NDArray[np.bool_]
    moving: NDArray[np.bool_]
    ignored: NDArray[np.bool_]

    def __post_init__(self) -> None:
        m, n = len(self.labels), len(self.alive)
        expected = {
            "scores": (m,),
            "size_m": (m, 3),
            "center_m": (n, m, 3),
            "quaternion_wxyz": (n, m, 4),
            "alive": (n, m),
            "moving": (m,),
            "ignored": (m,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                got = getattr(self, name).shape
                raise ValueError(f"{name}: expected shape {shape}, got {got}")
        if not self.alive.any(axis=0).all():
            raise ValueError("alive: expected every object to be alive in some frame")

    def __len__(self) -> int:
        return len(self.labels)

    def last_frame(self) -> NDArray[np.int64]:
        """(M,): index of the last frame in which each object is alive."""
        num_frames = len(self.alive)
        return np.asarray(num_frames - 1 - np.argmax(self.alive[::-1], axis=0), dtype=np.int64)

    @property
    def varies(self) -> NDArray[np.bool_]:
        """(M,): whose pose is not the same in all frames, whatever ``moving`` says."""
        places = np.concatenate([self.center_m, self.quaternion_wxyz], axis=-1)
        return np.asarray((places != places[:1]).any(axis=(0, 2)))

    def boxes(self, frame: NDArray[np.int64] | int) -> Boxes:
        """The boxes at one frame, or each at its own frame (M,)."""
        index = np.broadcast_to(np.asarray(frame), (len(self),)), np.arange(len(self))
        return Boxes(self.center_m[index], self.size_m, self.quaternion_wxyz[index])

    def select(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> BoxTracks:
        """Some of the objects, in the order of ``index``."""
        order = np.arange(len(self))[index]
        by_frame = ("center_m", "quaternion_wxyz", "alive")
        values = {
            f.name: getattr(self, f.name)[(slice(None), order) if f.name in by_frame else order]
            for f in fields(self)
            if f.name != "labels"
        }
        return replace(self, labels=tuple(self.labels[i] for i in order), **values)


def from_objects(objects: Sequence[SceneObject], times_s: Array) -> BoxTracks:
    """Objects of a code at the sampled ``times_s`` (N,).

    Positions between track points are interpolated, orientations taken from the nearest
    point, and both held beyond the track's ends. An object seen between two sampled times
    counts as alive at the nearest one.
    """
    m, n = len(objects), len(times_s)
    center, quaternion = np.empty((n, m, 3)), np.empty((n, m, 4))
    alive = np.zeros((n, m), dtype=bool)
    for i, entry in enumerate(objects):
        center[:, i], quaternion[:, i] = _pose_over_time(entry, times_s)
        alive[:, i] = (times_s >= entry.first_seen_s) & (times_s <= entry.last_seen_s)
        if not alive[:, i].any():
            alive[np.argmin(np.abs(times_s - entry.last_seen_s)), i] = True
    return BoxTracks(
        labels=tuple(entry.label for entry in objects),
        scores=np.array([entry.score for entry in objects], dtype=np.float64),
        size_m=np.array([entry.size_m for entry in objects], dtype=np.float64).reshape(m, 3),
        center_m=center,
        quaternion_wxyz=quaternion,
        alive=alive,
        moving=np.array([entry.motion == "moving" for entry in objects], dtype=bool),
        ignored=np.zeros(m, dtype=bool),
    )


def _pose_over_time(entry: SceneObject, times_s: Array) -> tuple[Array, Array]:
    """Centres (N, 3) and quaternions (N, 4) of one object."""
    if entry.motion == "static" or not entry.track:
        n = len(times_s)
        return np.tile(entry.center_m, (n, 1)), np.tile(entry.quaternion_wxyz, (n, 1))
    track_s = np.array([point.t_s for point in entry.track])
    points = np.array([point.center_m for point in entry.track])
    turns = np.array([point.quaternion_wxyz for point in entry.track])
    center = np.stack([np.interp(times_s, track_s, points[:, k]) for k in range(3)], axis=-1)
    nearest = np.argmin(np.abs(times_s[:, None] - track_s[None, :]), axis=1)
    return center, turns[nearest]


def clip_overlaps(predicted: BoxTracks, truth: BoxTracks) -> Array:
    """(P, T) IoU of the clip's objects.

    A code places a moving object where it was last seen. Sight may be lost a frame too early
    or too late, and meanwhile the object moves; so that this is not counted as an error of
    place, each prediction is compared with where the true object was at that moment.
    """
    frame = predicted.last_frame()
    own = predicted.boxes(frame)
    overlaps = iou_matrix(own, truth.boxes(truth.last_frame()))
    moving = np.flatnonzero(truth.varies)
    if len(moving):
        movers = truth.select(moving)
        for f in np.unique(frame):
            rows = np.flatnonzero(frame == f)
            block = iou_matrix(own[rows], movers.boxes(int(f)))
            overlaps[np.ix_(rows, moving)] = block
    return np.asarray(overlaps, dtype=np.float64)


def frame_overlaps(predicted: BoxTracks, truth: BoxTracks) -> Array:
    """(N, P, T) IoU in every frame."""
    num_frames = len(truth.alive)
    still = iou_matrix(predicted.boxes(0), truth.boxes(0))
    result = np.repeat(np.asarray(still, dtype=np.float64)[None], num_frames, axis=0)
    rows, columns = np.flatnonzero(predicted.varies), np.flatnonzero(truth.varies)
    for n in range(1, num_frames):
        if len(rows):
            own = predicted.boxes(n)[rows]
            result[n, rows] = iou_matrix(own, truth.boxes(n))
        if len(columns):
            target = truth.boxes(n)[columns]
            result[n][:, columns] = iou_matrix(predicted.boxes(n), target)
    return result


def frame_centre_similarity(predicted: BoxTracks, truth: BoxTracks) -> Array:
    """(N, P, T): 1 where centres coincide, falling to 0 at ``CENTRE_RANGE_M`` apart.

    3D IoU collapses for small or thin things that are 10 cm off; this does not.
    """
    offset = predicted.center_m[:, :, None] - truth.center_m[:, None]
    distance = np.linalg.norm(offset, axis=-1)
    return np.asarray(np.clip(1.0 - distance / CENTRE_RANGE_M, 0.0, 1.0))


@dataclass(frozen=True)
class TrackSimilarity:
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


def identity_counts(tracks: TrackSimilarity, threshold: float) -> Counts:
    """Detections whose identity is right, predicted too much, and missing; their F1 is IDF1.

    They are counted under the one-to-one pairing of whole tracks that maximises right detections.

    Source: Ristani et al., "Performance measures and a data set for multi-target,
    multi-camera tracking", 2016. Minimising false plus missed detections is maximising the
    right ones, as their sum with twice the right ones is fixed.
    """
    together = (tracks.both & (tracks.similarity >= threshold)).sum(axis=0)
    rows, columns = linear_sum_assignment(-together)
    true = int(together[rows, columns].sum())
    return Counts(true, int(tracks.predicted.sum()) - true, int(tracks.truth.sum()) - true)


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
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return HotaCounts(*(tuple(map(add, mine, theirs)) for mine, theirs in pairs))

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


def hota_counts(tracks: TrackSimilarity) -> HotaCounts:
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


def _frame_pairs(tracks: TrackSimilarity) -> NDArray[np.int64]:
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
