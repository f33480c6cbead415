"""Compare labels with a reference: a table of scores and a map of the errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import AnnotationError, Cancelled
from ..runtime import Stop, never
from .conventions import in_order, parts_as_objects, same_classes, time_points
from .metrics import instance_scores, labelled, mask_scores

if TYPE_CHECKING:
    import pandas as pd

MISSED, ADDED, OTHER_CLASS = 1, 2, 3
Scores = dict[str, float]
Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Evaluation:
    """The result of a comparison.

    Attributes
    ----------
    rows : dict
        Scores by name of the row: ``"all"``, ``"class 1"``, ``"slice 0"``.
    errors : ndarray
        uint8, of the labels' shape: `MISSED` where only the reference is labelled, `ADDED` where
        only the prediction is, `OTHER_CLASS` where their classes differ; 0 where the reference is
        negative, which means unlabelled.
    notices : tuple of str
        How the labels were understood, each a sentence.
    """

    rows: dict[str, Scores]
    errors: np.ndarray
    notices: tuple[str, ...] = ()

    def table(self) -> pd.DataFrame:
        """Return the scores, one row per entry of `rows`."""
        import pandas as pd

        return pd.DataFrame.from_dict(self.rows, orient="index").rename_axis("part")


def evaluate(
    predicted: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float] | None = None,
    classes: bool = False,
    slices: bool = False,
    objects: bool = False,
    stop: Stop = never,
    axes: str = "",
) -> Iterator[tuple[str, Evaluation]]:
    """Compare labels with a reference, row by row.

    Scores of a series are means over its time points: time is no distance, and objects of two time
    points are no object. Planes and time points without any labelled pixel get no score.

    Parameters
    ----------
    predicted, reference : ndarray
        Labels of the same shape, with two to four axes. Where the reference is negative, it is
        unlabelled, and nothing counts.
    spacing : sequence of float, optional
        Size of a pixel along each axis, for distances; 1 if not given.
    classes : bool
        Whether every label above 0 is a class; each gets its own row.
    slices : bool
        Whether every plane gets its own row.
    objects : bool
        Whether labels are objects, which are matched with those of the reference. Of a mask, which
        holds one value only, the connected parts are objects.
    stop : callable
        Called between rows; once it returns True, `Cancelled` is raised.
    axes : str
        Letters of the axes, in any order; the last ones of TZYX if not given.

    Yields
    ------
    tuple of (str, Evaluation)
        The name of the new row, and the evaluation up to it.

    Raises
    ------
    AnnotationError
        If the shapes differ, or nothing of the reference is labelled.
    Cancelled
        If `stop` returned True.
    """
    if predicted.shape != reference.shape:
        raise AnnotationError(
            f"Labels of shape {predicted.shape} and {reference.shape} cannot be compared. Choose "
            "two layers of one size."
        )
    unlabelled, order = in_order(reference < 0, axes)
    if unlabelled.all():
        raise AnnotationError("The reference is unlabelled: all of its values are negative.")
    pair: Pair = labelled(predicted, reference)
    notices: tuple[str, ...] = ()
    if classes:
        pair, notices = same_classes(*pair)
    errors = _errors(*pair, classes)
    sizes = dict(zip(axes or "TZYX"[-predicted.ndim :], spacing or (), strict=False))
    first, second = (in_order(labels, axes)[0] for labels in pair)
    whole = pair = first, second
    if objects:
        (first, said), (second, also) = (parts_as_objects(labels, order) for labels in pair)
        whole, notices = (first, second), (*notices, said, also)
    sides = ("The labels", "The reference")
    told = tuple(f"{sides[k % 2]}: {text}." for k, text in enumerate(notices) if text)
    rows: dict[str, Scores] = {}
    for row in _rows(whole, pair if classes else None, order, slices, unlabelled):
        if stop():
            raise Cancelled
        lengths = [sizes.get(axis, 1.0) for axis in row.axes if axis != "T"]
        rows[row.name] = mean_over_time(_score(lengths, objects and row.whole), *row.pair, row.axes)
        yield row.name, Evaluation(dict(rows), errors, told)


class _Row(NamedTuple):
    """The labels that one row of the table compares, with their axes."""

    name: str
    pair: Pair
    axes: str
    whole: bool = True


def _rows(
    whole: Pair, classes: Pair | None, axes: str, slices: bool, unlabelled: np.ndarray
) -> Iterator[_Row]:
    times = [k for k, each in enumerate(time_points(unlabelled, axes)) if not each.all()]
    known = times if axes.startswith("T") else slice(None)
    yield _Row("all", (whole[0][known], whole[1][known]), axes)
    if classes is not None:
        for value in np.union1d(*map(np.unique, classes)):
            if value != 0:
                predicted, reference = (labels[known] == value for labels in classes)
                yield _Row(f"class {value}", (predicted, reference), axes, whole=False)
    if slices and len(axes) > 2:
        for place in np.ndindex(whole[0].shape[:-2]):
            if not unlabelled[place].all():
                name = "slice " + ", ".join(map(str, place))
                yield _Row(name, (whole[0][place], whole[1][place]), axes[-2:])


def _score(sizes: Sequence[float], objects: bool) -> Callable[[np.ndarray, np.ndarray], Scores]:
    def score(predicted: np.ndarray, reference: np.ndarray) -> Scores:
        scores = mask_scores(predicted, reference, sizes).as_dict()
        return scores | (instance_scores(predicted, reference).as_dict() if objects else {})

    return score


def mean_over_time(
    score: Callable[[np.ndarray, np.ndarray], Scores],
    predicted: np.ndarray,
    reference: np.ndarray,
    axes: str,
) -> Scores:
    """Score a plane or a volume; of a series, return the mean of each score over its time points.

    Parameters
    ----------
    score : callable
        Compares two planes or volumes.
    predicted, reference : ndarray
        Labels of one shape, with T first if there is any.
    axes : str
        Of both.
    """
    both = zip(time_points(predicted, axes), time_points(reference, axes), strict=True)
    series = [score(a, b) for a, b in both]
    return {name: _mean([scores[name] for scores in series]) for name in series[0]}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _errors(predicted: np.ndarray, reference: np.ndarray, classes: bool) -> np.ndarray:
    errors = np.zeros(predicted.shape, np.uint8)
    errors[(predicted == 0) & (reference != 0)] = MISSED
    errors[(predicted != 0) & (reference == 0)] = ADDED
    if classes:
        both = (predicted != 0) & (reference != 0)
        errors[both & (predicted != reference)] = OTHER_CLASS
    return errors
