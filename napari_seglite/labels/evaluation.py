"""Labels against a reference: a table of scores, and where the errors are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import AnnotationError, Cancelled
from ..runtime import Stop, never
from .metrics import instance_scores, mask_scores

if TYPE_CHECKING:
    import pandas

MISSED, ADDED, OTHER_CLASS = 1, 2, 3
Scores = dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """What came out of a comparison.

    Attributes
    ----------
    rows : dict
        Scores by the part they are of: ``"all"``, ``"class 1"``, ``"slice 0"``.
    errors : ndarray
        uint8, of the labels' shape: `MISSED` where only the reference has something, `ADDED`
        where only the labels have, `OTHER_CLASS` where both have something else.
    """

    rows: dict[str, Scores]
    errors: np.ndarray

    def table(self) -> pandas.DataFrame:
        """Return the scores, one row a part."""
        import pandas

        return pandas.DataFrame.from_dict(self.rows, orient="index").rename_axis("part")


def evaluate(
    found: np.ndarray,
    truth: np.ndarray,
    spacing: Sequence[float] | None = None,
    classes: bool = False,
    slices: bool = False,
    objects: bool = False,
    stop: Stop = never,
) -> Iterator[tuple[str, Evaluation]]:
    """Compare labels with a reference, part by part.

    Parameters
    ----------
    found, truth : ndarray
        Labels of one shape, two axes to four; the last two are a plane.
    spacing : sequence of float, optional
        Size of a pixel along each axis, for distances; 1 if not given.
    classes : bool
        Whether every label above 0 is a class, which gets a row of its own.
    slices : bool
        Whether every plane gets a row of its own.
    objects : bool
        Whether labels are objects, which are matched with those of the reference.
    stop : callable
        Asked between rows; once it returns True, `Cancelled` is raised.

    Yields
    ------
    tuple of (str, Evaluation)
        The name of the row that was added, and everything so far.

    Raises
    ------
    AnnotationError
        If the shapes differ.
    Cancelled
        If `stop` returned True.
    """
    if found.shape != truth.shape:
        raise AnnotationError(
            f"Labels of shape {found.shape} and {truth.shape} cannot be compared. Choose two "
            "layers of one size."
        )
    sizes = tuple(spacing) if spacing is not None else (1.0,) * found.ndim
    errors = np.zeros(found.shape, np.uint8)
    errors[(found == 0) & (truth != 0)] = MISSED
    errors[(found != 0) & (truth == 0)] = ADDED
    if classes:
        errors[(found != truth) & (found != 0) & (truth != 0)] = OTHER_CLASS
    rows: dict[str, Scores] = {}
    for name, a, b, steps, with_objects in _parts(found, truth, sizes, classes, slices):
        if stop():
            raise Cancelled
        rows[name] = _scores(a, b, steps, objects and with_objects)
        yield name, Evaluation(dict(rows), errors)


def _parts(
    found: np.ndarray, truth: np.ndarray, sizes: tuple[float, ...], classes: bool, slices: bool
) -> Iterator[tuple[str, np.ndarray, np.ndarray, tuple[float, ...], bool]]:
    yield "all", found, truth, sizes, True
    if classes:
        for value in np.union1d(np.unique(found), np.unique(truth)):
            if value != 0:
                yield f"class {value}", found == value, truth == value, sizes, False
    if slices and found.ndim > 2:
        for place in np.ndindex(found.shape[:-2]):
            name = "slice " + ", ".join(map(str, place))
            yield name, found[place], truth[place], sizes[-2:], True


def _scores(
    found: np.ndarray, truth: np.ndarray, sizes: tuple[float, ...], objects: bool
) -> Scores:
    """Score a plane or a volume; of a series of volumes, the mean over time."""
    if found.ndim > 3:
        each = [_scores(a, b, sizes[1:], objects) for a, b in zip(found, truth, strict=True)]
        return {name: float(np.nanmean([scores[name] for scores in each])) for name in each[0]}
    scores = mask_scores(found, truth, sizes).as_dict()
    return {**scores, **instance_scores(found, truth).as_dict()} if objects else scores
