"""Score the label files of one folder against those of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import AnnotationError, reason
from ..formats import pair_files, read_label_pair
from ..images import UNKNOWN, Grid, convert
from .conventions import in_order, labelled_times, parts_as_objects, pixel_sizes, same_classes
from .evaluation import Pair, Scores, mean_over_time
from .metrics import LENGTHS, instance_scores, labelled, mask_scores, overlap, overlap_per_class

# Pixel sizes that differ by less are those of one image, as rounded by two programs.
_TOLERANCE = 0.01


@dataclass(frozen=True)
class FolderScores:
    """Scores of all pairs of files.

    Attributes
    ----------
    images : dict
        Scores by stem, see `score_folders`.
    unpaired : tuple of Path
        Files without a partner in the other folder.
    failed : dict
        By stem, why a pair could not be compared; a sentence that names a file.
    units : dict
        By stem, the unit of distances; ``"pixel"`` where the size of a pixel is unknown.
    notices : tuple of str
        How files were understood, each a sentence that names the file.
    """

    images: dict[str, Scores]
    unpaired: tuple[Path, ...]
    failed: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Unit of the mean distances: that of the first image, or empty if there is none.

        There is none if only some images have a pixel size.
        """
        units = list(dict.fromkeys(self.units.values()))
        same = all(convert(1.0, unit, units[0]) is not None for unit in units)
        return units[0] if units and same else ""

    def mean(self) -> Scores:
        """Return the mean of every score over the images where it is finite.

        Distances are converted to `unit`; without one, their means are NaN.
        """
        rows = [self._in_common_unit(name) for name in self.images]
        mean = {}
        for name in rows[0] if rows else ():
            values = [row[name] for row in rows if math.isfinite(row[name])]
            mean[name] = float(np.mean(values)) if values else math.nan
        return mean

    def _in_common_unit(self, name: str) -> Scores:
        scores = dict(self.images[name])
        for length in scores.keys() & set(LENGTHS):
            factor = convert(1.0, self.units[name], self.unit) if self.unit else None
            scores[length] *= math.nan if factor is None else factor
        return scores


def score_folders(
    predictions: Path,
    references: Path,
    per_class: bool = False,
    distances: bool = False,
    instances: bool = False,
) -> FolderScores:
    """Score the label files of one folder against those of another, paired by stem.

    A pair that cannot be compared does not keep the others from being scored. Scores of a series
    are means over its time points. Where a reference is negative, it is unlabelled, and nothing
    counts.

    Parameters
    ----------
    predictions, references : Path
        Folders of label files.
    per_class : bool
        Whether Dice and IoU are means over classes; otherwise all labels above 0 are one mask.
    distances : bool
        Whether to add sensitivity, precision and surface distances, see `MaskScores`. The size of a
        pixel is that of the reference or, if it has none, of the prediction.
    instances : bool
        Whether labels are objects, and to add the scores of `InstanceScores`. Of a mask, which
        holds one value only, the connected parts are objects.

    Raises
    ------
    AnnotationError
        If no two files form a pair.
    ImageError
        If a folder cannot be read, or two files of a folder have the same stem.
    """
    paired = pair_files(predictions, references)
    if not paired.pairs:
        raise AnnotationError(
            f"No file in {predictions} has the name of one in {references}. {paired.hint}".strip()
        )
    scores = FolderScores({}, paired.unpaired)
    notices: list[str] = []
    for name, files in paired.pairs.items():
        try:
            pair = _read_pair(files)
            sizes, unit = pair.sizes() if distances else (None, UNKNOWN)
            scores.images[name] = _scores(pair, per_class, sizes, instances)
        except Exception as error:  # whatever it is, the other pairs go on
            scores.failed[name] = reason(error, *files)
            continue
        if distances:
            scores.units[name] = unit
        notices += pair.notices
    return replace(scores, notices=tuple(notices))


@dataclass
class _Pair:
    """Two label files in one order of axes, a prediction and its reference."""

    files: tuple[Path, Path]
    labels: Pair
    axes: str
    grids: tuple[Grid, Grid]
    notices: list[str]

    def note(self, texts: tuple[str, str]) -> None:
        """Add what was done with the labels of either file, if anything was."""
        named = zip(self.files, texts, strict=True)
        self.notices += [f"{path}: {text}" for path, text in named if text]

    def sizes(self) -> tuple[list[float], str]:
        """Return the size of a pixel along the axes of space, and its unit."""
        (found, found_unit), (sizes, unit) = map(pixel_sizes, self.grids)
        if UNKNOWN not in (unit, found_unit):
            factor = convert(1.0, found_unit, unit) or 1.0
            pairs = [(sizes[axis], found[axis] * factor) for axis in sizes if axis in found]
            if not all(math.isclose(*pair, rel_tol=_TOLERANCE) for pair in pairs):
                self.notices.append(
                    f"{self.files[1]}: its pixels are {_text(sizes, unit)}, those of "
                    f"{self.files[0]} {_text(found, found_unit)}; distances are in the former"
                )
        elif unit == UNKNOWN:
            sizes, unit = found, found_unit
        if unit == UNKNOWN and any(grid.known for grid in self.grids):
            text = "the distance of its slices is unknown, so distances are in pixels"
            self.notices.append(f"{self.files[1]}: {text}")
        return [sizes.get(axis, 1.0) for axis in self.axes if axis != "T"], unit


def _text(sizes: dict[str, float], unit: str) -> str:
    return " × ".join(f"{size:.4g}" for size in sizes.values()) + f" {unit}"


def _read_pair(files: tuple[Path, Path]) -> _Pair:
    """Read a prediction and its reference."""
    predicted, reference = images = read_label_pair(*files)
    letters = [image.axes.labels for image in images]
    if set(letters[0]) != set(letters[1]) and len(letters[0]) == len(letters[1]):
        # A plain stack is taken for slices; a file that says that they are time points knows it.
        letters = [max(letters, key=lambda axes: "T" in axes)] * 2
    (found, _), (truth, axes) = (
        in_order(np.asarray(image.array), order)
        for image, order in zip(images, letters, strict=True)
    )
    if found.shape != truth.shape:
        sizes = [" × ".join(map(str, labels.shape)) for labels in (found, truth)]
        raise AnnotationError(
            f"{files[0]} has {sizes[0]} pixels and {files[1]} {sizes[1]}: they cannot be compared."
        )
    times = labelled_times(truth, axes)
    if not times.any():
        raise AnnotationError(f"{files[1]}: it is unlabelled, as all of its values are negative.")
    if "T" in axes:  # a time point that nobody labelled has no score
        found, truth = found[times], truth[times]
    grids = (replace(predicted.grid, axes=letters[0]), replace(reference.grid, axes=letters[1]))
    notices = [f"{p}: {t}" for p, i in zip(files, images, strict=True) for t in i.notices]
    return _Pair(files, labelled(found, truth), axes, grids, notices)


def _scores(pair: _Pair, per_class: bool, sizes: Sequence[float] | None, instances: bool) -> Scores:
    """Score a pair of files, with distances if there are sizes."""
    labels = pair.labels
    if per_class:
        labels, texts = same_classes(*labels)
        pair.note(texts)

    def compare(predicted: np.ndarray, reference: np.ndarray) -> Scores:
        scores = asdict((overlap_per_class if per_class else overlap)(predicted, reference))
        more = {} if sizes is None else mask_scores(predicted, reference, sizes).as_dict()
        return scores | {name: value for name, value in more.items() if name not in scores}

    scores = mean_over_time(compare, *labels, pair.axes)
    if instances:
        (found, said), (truth, also) = (parts_as_objects(m, pair.axes) for m in pair.labels)
        pair.note((said, also))
        scores |= mean_over_time(_instances, found, truth, pair.axes)
    return scores


def _instances(predicted: np.ndarray, reference: np.ndarray) -> Scores:
    return instance_scores(predicted, reference).as_dict()
