"""Compare labels with a reference: a table of scores and a map of the errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import AnnotationError, Cancelled
from ..runtime import Stop, never
from .metrics import instance_scores, mask_scores

if TYPE_CHECKING:
    import pandas as pd

MISSED, ADDED, OTHER_CLASS = 1, 2, 3
Scores = dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """The result of a comparison.

    Attributes
    ----------
    rows : dict
        Scores by name of the row: ``"all"``, ``"class 1"``, ``"slice 0"``.
    errors : ndarray
        uint8, of the labels' shape: `MISSED` where only the reference is labelled, `ADDED` where
        only the prediction is, `OTHER_CLASS` where their classes differ.
    """

    rows: dict[str, Scores]
    errors: np.ndarray

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
) -> Iterator[tuple[str, Evaluation]]:
    """Compare labels with a reference, row by row.

    Parameters
    ----------
    predicted, reference : ndarray
        Labels of the same shape, with two to four axes; the last two are a plane.
    spacing : sequence of float, optional
        Size of a pixel along each axis, for distances; 1 if not given.
    classes : bool
        Whether every label above 0 is a class; each gets its own row.
    slices : bool
        Whether every plane gets its own row.
    objects : bool
        Whether labels are objects, which are matched with those of the reference.
    stop : callable
        Called between rows; once it returns True, `Cancelled` is raised.

    Yields
    ------
    tuple of (str, Evaluation)
        The name of the new row, and the evaluation up to it.

    Raises
    ------
    AnnotationError
        If the shapes differ.
    Cancelled
        If `stop` returned True.
    """
    if predicted.shape != reference.shape:
        raise AnnotationError(
            f"Labels of shape {predicted.shape} and {reference.shape} cannot be compared. Choose "
            "two layers of one size."
        )
    sizes = tuple(spacing) if spacing is not None else (1.0,) * predicted.ndim
    errors = np.zeros(predicted.shape, np.uint8)
    errors[(predicted == 0) & (reference != 0)] = MISSED
    errors[(predicted != 0) & (reference == 0)] = ADDED
    if classes:
        both = (predicted != 0) & (reference != 0)
        errors[both & (predicted != reference)] = OTHER_CLASS
    rows: dict[str, Scores] = {}
    for row in _rows(predicted, reference, sizes, classes, slices):
        if stop():
            raise Cancelled
        rows[row.name] = _scores(
            row.predicted, row.reference, row.sizes, objects and row.has_objects
        )
        yield row.name, Evaluation(dict(rows), errors)


class _Row(NamedTuple):
    """The labels that one row of the table compares."""

    name: str
    predicted: np.ndarray
    reference: np.ndarray
    sizes: tuple[float, ...]
    has_objects: bool = True


def _rows(
    predicted: np.ndarray,
    reference: np.ndarray,
    sizes: tuple[float, ...],
    classes: bool,
    slices: bool,
) -> Iterator[_Row]:
    yield _Row("all", predicted, reference, sizes)
    if classes:
        for value in np.union1d(np.unique(predicted), np.unique(reference)):
            if value != 0:
                masks = predicted == value, reference == value
                yield _Row(f"class {value}", *masks, sizes, has_objects=False)
    if slices and predicted.ndim > 2:
        for place in np.ndindex(predicted.shape[:-2]):
            name = "slice " + ", ".join(map(str, place))
            yield _Row(name, predicted[place], reference[place], sizes[-2:])


def _scores(
    predicted: np.ndarray, reference: np.ndarray, sizes: tuple[float, ...], objects: bool
) -> Scores:
    """Score a plane or a volume; of a series of volumes, return the mean over time."""
    if predicted.ndim > 3:
        volumes = zip(predicted, reference, strict=True)
        series = [_scores(a, b, sizes[1:], objects) for a, b in volumes]
        return {name: float(np.nanmean([scores[name] for scores in series])) for name in series[0]}
    scores = mask_scores(predicted, reference, sizes).as_dict()
    return {**scores, **instance_scores(predicted, reference).as_dict()} if objects else scores
