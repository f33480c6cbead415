"""Score the label files of one folder against those of another."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..errors import AnnotationError
from ..formats import pair_files, read_labels
from .evaluation import Scores
from .metrics import instance_scores, mask_scores, overlap, overlap_per_class


@dataclass(frozen=True)
class FolderScores:
    """Scores of all pairs of files.

    Attributes
    ----------
    images : dict
        Scores by stem, see `score_folders`.
    unpaired : tuple of Path
        Files without a partner in the other folder.
    """

    images: dict[str, Scores]
    unpaired: tuple[Path, ...]

    def mean(self) -> Scores:
        """Return the mean of every score over the images where it is finite."""
        rows = list(self.images.values())
        mean = {}
        for name in rows[0]:
            values = [row[name] for row in rows if math.isfinite(row[name])]
            mean[name] = float(np.mean(values)) if values else math.nan
        return mean


def score_folders(
    predictions: Path,
    references: Path,
    per_class: bool = False,
    distances: bool = False,
    instances: bool = False,
) -> FolderScores:
    """Score the label files of one folder against those of another, paired by stem.

    Parameters
    ----------
    predictions, references : Path
        Folders of label files.
    per_class : bool
        Whether Dice and IoU are means over classes; otherwise all labels above 0 are one mask.
    distances : bool
        Whether to add sensitivity, precision and surface distances, see `MaskScores`.
    instances : bool
        Whether labels are objects, and to add the scores of `InstanceScores`.

    Raises
    ------
    AnnotationError
        If no two files form a pair, or two shapes differ.
    ImageError
        If a folder or a file cannot be read, or two files of a folder have the same stem.
    """
    paired = pair_files(predictions, references)
    if not paired.pairs:
        raise AnnotationError(f"No file in {predictions} has the name of one in {references}.")
    compare = overlap_per_class if per_class else overlap
    images = {}
    for name, (first, second) in paired.pairs.items():
        predicted, reference = read_labels(first), read_labels(second)
        try:
            scores = asdict(compare(predicted, reference))
            if distances:
                scores |= mask_scores(predicted, reference).as_dict() | scores
            if instances:
                scores |= instance_scores(predicted, reference).as_dict()
        except ValueError as error:
            raise AnnotationError(f"{first}: {error}") from error
        images[name] = scores
    return FolderScores(images, paired.unpaired)
