"""The shipped checkpoint on 132 labelled images that it never saw."""

import csv

import numpy as np
import pytest
from skimage.io import imread

from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.images import guess_axes
from napari_seglite.labels import instance_scores, overlap

# Together, because they share the scores.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("nuclei")]


@pytest.fixture(scope="module")
def scores(real_images):
    """Return Dice and AP50 by modality."""
    segmenter, found = Segmenter(), {}
    folder = real_images / "nuclei"
    for row in csv.DictReader((folder / "test.csv").open()):
        image = imread(folder / "test" / "images" / f"{row['name']}.png")
        truth = imread(folder / "test" / "labels" / f"{row['name']}.tif")
        request = SegmentRequest("nuclei-unet-sharp", guess_axes(image.shape).order, "cpu")
        labels = segmenter.segment(image, request).labels
        dice, objects = overlap(labels, truth).dice, instance_scores(labels, truth, (0.5,))
        found.setdefault(row["modality"], []).append((dice, objects.ap50))
    return found


def test_dice_over_all_images(scores):
    everything = np.concatenate(list(scores.values()))
    assert len(everything) == 132
    dice, ap50 = everything.mean(0)
    assert dice >= 0.908
    assert ap50 >= 0.76


@pytest.mark.parametrize(
    ("modality", "dice"),
    [
        pytest.param(
            "fluorescence",
            0.92,
            # Strict: the day the checkpoint gets there, this mark has to go.
            marks=pytest.mark.xfail(strict=True, reason="the shipped checkpoint reaches 0.919"),
        ),
        ("histology", 0.84),
    ],
)
def test_dice_by_modality(scores, modality, dice):
    assert np.mean(scores[modality], 0)[0] >= dice
