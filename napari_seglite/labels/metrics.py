"""Scores of labels against a reference: overlap, surface distances and objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from .matching import SharedPixels

# Scores that are lengths.
LENGTHS = ("hausdorff95", "surface_distance")
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def labelled(predicted: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two label images without the pixels that a reference leaves open.

    Negative labels mean unlabelled, as in scikit-image and scikit-learn. Where the reference has
    one, both sides become background and so count in no score. Elsewhere a negative label of the
    prediction is background.

    Parameters
    ----------
    predicted, reference : ndarray
        Labels or masks of one shape.

    Returns
    -------
    tuple of ndarray
        The same arrays where there is nothing to change.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if predicted.shape != reference.shape:
        raise ValueError(
            f"Labels of shape {predicted.shape} and {reference.shape} cannot be compared."
        )
    if _has_negative(reference):
        unlabelled = reference < 0
        predicted = np.where(unlabelled, predicted.dtype.type(0), predicted)
        reference = np.where(unlabelled, reference.dtype.type(0), reference)
    if _has_negative(predicted):
        predicted = np.maximum(predicted, predicted.dtype.type(0))
    return predicted, reference


def _has_negative(labels: np.ndarray) -> bool:
    return labels.dtype.kind in "if" and bool(labels.min(initial=0) < 0)


@dataclass(frozen=True)
class MaskScores:
    """Scores of one mask against another.

    Attributes
    ----------
    dice, iou : float
        0 to 1; 1 where both masks are empty.
    sensitivity, precision : float
        Share of the reference that is predicted, and share of the prediction that lies in the
        reference; 0 to 1, NaN where the reference, or the prediction, is empty.
    hausdorff95, surface_distance : float
        95 % Hausdorff distance (the larger of both directions) and average symmetric surface
        distance, in units of the spacing; 0 if both masks are empty, infinite if one is.
    """

    dice: float
    iou: float
    sensitivity: float
    precision: float
    hausdorff95: float
    surface_distance: float

    def as_dict(self) -> dict[str, float]:
        """Return the scores by name."""
        return asdict(self)


def mask_scores(
    predicted: np.ndarray, reference: np.ndarray, spacing: Sequence[float] | None = None
) -> MaskScores:
    """Compare two masks; any value above 0 is foreground, see `labelled` for negative values.

    Parameters
    ----------
    predicted, reference : ndarray
        ``(H, W)`` or ``(D, H, W)``.
    spacing : sequence of float, optional
        Size of a pixel along each axis; 1 if not given.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    predicted, reference = labelled(predicted, reference)
    area = overlap(predicted, reference)
    a, b = predicted.astype(bool), reference.astype(bool)
    both, positive, true = (int(np.count_nonzero(mask)) for mask in (a & b, a, b))
    return MaskScores(
        area.dice,
        area.iou,
        both / true if true else float("nan"),
        both / positive if positive else float("nan"),
        *_surface_distances(a, b, spacing),
    )


def _surface_distances(
    a: np.ndarray, b: np.ndarray, spacing: Sequence[float] | None
) -> tuple[float, float]:
    if not a.any() and not b.any():
        return 0.0, 0.0
    if not a.any() or not b.any():
        return float("inf"), float("inf")
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    first, second = (torch.from_numpy(m[None, None].astype(np.float32)) for m in (a, b))
    sizes = list(spacing) if spacing is not None else None
    hausdorff = compute_hausdorff_distance(
        first, second, include_background=True, percentile=95, spacing=sizes
    )
    surface = compute_average_surface_distance(
        first, second, include_background=True, symmetric=True, spacing=sizes
    )
    return float(hausdorff), float(surface)


@dataclass(frozen=True)
class InstanceScores:
    """Scores of objects against those of a reference.

    Attributes
    ----------
    reference, predicted : int
        Number of objects in the reference, and in the prediction.
    f1 : dict
        F1 score by the IoU from which a pair counts as a match, 0 to 1.
    ap50 : float
        TP / (TP + FP + FN) at IoU 0.5: the average precision of the 2018 Data Science Bowl, and the
        accuracy of StarDist.
    aji : float
        Aggregated Jaccard index (Kumar et al., 2017).
    """

    reference: int
    predicted: int
    f1: dict[float, float]
    ap50: float
    aji: float

    def as_dict(self) -> dict[str, float]:
        """Return the scores by name, flat."""
        scores = {f"f1_{threshold:g}": value for threshold, value in self.f1.items()}
        return {**scores, "ap50": self.ap50, "aji": self.aji}


def instance_scores(
    predicted: np.ndarray, reference: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> InstanceScores:
    """Compare labels with one number per object; 0 is background, see `labelled` for negatives.

    Objects are matched one to one so that the number of matches is largest (Hopcroft and Karp's
    method). Scores are 1 where neither side has objects. Memory and time grow with the number of
    pixels and of objects, so that hundreds of thousands of objects can be compared.

    Parameters
    ----------
    predicted, reference : ndarray
        Integer labels, or boolean masks whose connected components are objects.
    thresholds : sequence of float
        IoU from which a pair of objects counts as a match, 0 to 1.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    predicted, reference = labelled(predicted, reference)
    predicted, reference = (_components(m) for m in (predicted, reference))
    pairs = SharedPixels.count(predicted, reference)
    true, positive = pairs.areas.size, pairs.predicted_areas.size
    objects = true + positive
    matches = {t: pairs.matches(t) for t in dict.fromkeys((*thresholds, 0.5))}
    f1 = {t: 2 * matches[t] / objects if objects else 1.0 for t in thresholds}
    ap50 = matches[0.5] / (objects - matches[0.5]) if objects else 1.0
    return InstanceScores(true, positive, f1, ap50, _aji(pairs))


def _components(labels: np.ndarray) -> np.ndarray:
    from skimage.measure import label

    return np.asarray(label(labels)) if labels.dtype == bool else labels


def _aji(pairs: SharedPixels) -> float:
    if not pairs.areas.size and not pairs.predicted_areas.size:
        return 1.0
    best = pairs.best()
    missed = np.ones(pairs.areas.size, bool)
    missed[pairs.rows[best]] = False
    added = np.ones(pairs.predicted_areas.size, bool)
    added[pairs.columns[best]] = False
    total = pairs.union[best].sum() + pairs.areas[missed].sum()
    return float(pairs.shared[best].sum() / (total + pairs.predicted_areas[added].sum()))


@dataclass(frozen=True)
class Overlap:
    """Dice and intersection over union, each 0 to 1; 1 where both are empty."""

    dice: float
    iou: float


def overlap(predicted: np.ndarray, reference: np.ndarray) -> Overlap:
    """Compare two masks of the same shape; any value above 0 is foreground, see `labelled`.

    Parameters
    ----------
    predicted, reference : ndarray
        Any dtype.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    predicted, reference = labelled(predicted, reference)
    a, b = predicted.astype(bool), reference.astype(bool)
    both = int(np.count_nonzero(a & b))
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    if total == 0:
        return Overlap(1.0, 1.0)
    return Overlap(2 * both / total, both / (total - both))


def overlap_per_class(predicted: np.ndarray, reference: np.ndarray) -> Overlap:
    """Return the mean of `overlap` over all classes above 0 that occur in either.

    Parameters
    ----------
    predicted, reference : ndarray
        Integer classes, of the same shape.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    predicted, reference = labelled(predicted, reference)
    classes = np.union1d(np.unique(predicted), np.unique(reference))
    each = [overlap(predicted == c, reference == c) for c in classes if c != 0]
    if not each:
        return Overlap(1.0, 1.0)
    return Overlap(
        float(np.mean([o.dice for o in each])),
        float(np.mean([o.iou for o in each])),
    )
