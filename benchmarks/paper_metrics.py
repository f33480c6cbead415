"""The figures that papers report for their kind of data, computed as the challenges define them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage
from skimage.measure import label
from skimage.metrics import adapted_rand_error
from sklearn.metrics import roc_auc_score, v_measure_score

from napari_seglite.labels import overlap

THRESHOLDS = np.linspace(0.1, 0.9, 9)


def vessels(probability: np.ndarray, truth: np.ndarray, view: np.ndarray) -> Mapping[str, float]:
    """Return F1, sensitivity, specificity, accuracy and AUC inside the field of view."""
    p, t = probability[view], truth[view]
    found = p > 0.5
    return {
        "F1": overlap(found, t).dice,
        "sensitivity": float(found[t].mean()),
        "specificity": float(1 - found[~t].mean()),
        "accuracy": float((found == t).mean()),
        "AUC": float(roc_auc_score(t, p)),
    }


def membranes(probability: np.ndarray, truth: np.ndarray) -> Mapping[str, float]:
    """Return Dice, IoU, and Rand and information scores of the cells between membranes.

    Of one slice. Both scores are restricted to pixels in true cells and the best over thresholds
    (Arganda-Carreras et al., 2015, without its thinning of borders).
    """
    cells = label(~truth, connectivity=1)
    inside = cells > 0
    rand, information = [], []
    for threshold in THRESHOLDS:
        found = label(probability <= threshold, connectivity=1)
        rand.append(1 - adapted_rand_error(cells, found, ignore_labels=(0,))[0])
        information.append(v_measure_score(cells[inside], found[inside]))
    area = overlap(probability > 0.5, truth)
    return {
        "Dice": area.dice,
        "IoU": area.iou,
        "Rand": float(max(rand)),
        "information": float(max(information)),
    }


def lesions(probability: np.ndarray, truth: np.ndarray) -> Mapping[str, float]:
    """Return Dice, IoU, weighted F, E-measure and mean absolute error of one image."""
    area = overlap(probability > 0.5, truth)
    return {
        "mDice": area.dice,
        "mIoU": area.iou,
        "weighted F": weighted_f(probability, truth),
        "E-measure": e_measure(probability, truth),
        "MAE": float(np.abs(probability - truth).mean()),
    }


def weighted_f(probability: np.ndarray, truth: np.ndarray) -> float:
    """Return the weighted F-measure (Margolin et al., 2014); `truth` must not be empty."""
    distance, nearest = ndimage.distance_transform_edt(~truth, return_indices=True)
    error = np.abs(probability.astype(np.float64) - truth)
    # Errors of the background count at the nearest foreground pixel.
    dependent = ndimage.gaussian_filter(error[tuple(nearest)], 5, mode="constant", radius=3)
    lowered = np.where(truth & (dependent < error), dependent, error)
    weighted = lowered * np.where(truth, 1.0, 2 - np.exp(np.log(0.5) / 5 * distance))
    true = truth.sum() - weighted[truth].sum()
    precision = true / (true + weighted[~truth].sum() + 1e-12)
    recall = 1 - weighted[truth].mean()
    return float(2 * precision * recall / (precision + recall + 1e-12))


def e_measure(probability: np.ndarray, truth: np.ndarray) -> float:
    """Return the enhanced-alignment measure at the best of 256 thresholds (Fan et al., 2018)."""
    own = truth - truth.mean()
    values = []
    for threshold in np.linspace(0, 1, 256):
        found = probability >= threshold
        other = found - found.mean()
        aligned = 2 * own * other / (own**2 + other**2 + 1e-12)
        values.append(((aligned + 1) ** 2 / 4).mean())
    return float(max(values))
