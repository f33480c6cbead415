"""The shipped checkpoint on 132 labelled images that it never saw."""

import csv

import numpy as np
import pytest
from skimage.io import imread

from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.images import guess_axes
from napari_seglite.labels import overlap

# Together, because they share the scores.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("nuclei")]


@pytest.fixture(scope="module")
def scores(real_images):
    """Return Dice by modality."""
    segmenter, found = Segmenter(), {}
    folder = real_images / "nuclei"
    for row in csv.DictReader((folder / "test.csv").open()):
        image = imread(folder / "test" / "images" / f"{row['name']}.png")
        truth = imread(folder / "test" / "labels" / f"{row['name']}.tif")
        request = SegmentRequest("nuclei-s-net", guess_axes(image.shape).order, "cpu")
        dice = overlap(segmenter.segment(image, request).labels, truth).dice
        found.setdefault(row["modality"], []).append(dice)
    return found


def test_dice_over_all_images(scores):
    everything = np.concatenate(list(scores.values()))
    assert len(everything) == 132
    assert everything.mean() >= 0.90


@pytest.mark.parametrize(
    ("modality", "dice"),
    [
        pytest.param(
            "fluorescence",
            0.92,
            # Strict: the day the checkpoint gets there, this mark has to go.
            marks=pytest.mark.xfail(strict=True, reason="the shipped checkpoint reaches 0.917"),
        ),
        ("histology", 0.84),
    ],
)
def test_dice_by_modality(scores, modality, dice):
    assert np.mean(scores[modality]) >= dice
