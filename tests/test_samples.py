"""The samples under File > Open Sample, as the manifest names them."""

from pathlib import Path

import npe2
import numpy as np
import pytest
from npe2.manifest.utils import import_python_name

MANIFEST = npe2.PluginManifest.from_file(Path(__file__).parent.parent / "napari.yaml")
SHAPES = {
    "nuclei-fluorescence": (520, 696),
    "nuclei-histology": (256, 320, 3),
    "nuclei-touching": (360, 360),
    "membranes": (12, 256, 256),
    "membranes-truth": (12, 256, 256),
}


def opened(key):
    """Return the data of a sample, its layer's settings and its kind."""
    (sample,) = [s for s in MANIFEST.contributions.sample_data if s.key == key]
    (command,) = [c for c in MANIFEST.contributions.commands if c.id == sample.command]
    ((data, about, kind),) = import_python_name(command.python_name)()
    return data, about, kind


def test_every_sample_is_tested():
    assert {s.key for s in MANIFEST.contributions.sample_data} == set(SHAPES)


@pytest.mark.parametrize("key", [key for key in SHAPES if key.startswith("nuclei")])
def test_pictures_open_as_images(key):
    data, about, kind = opened(key)
    assert (data.shape, data.dtype, kind) == (SHAPES[key], np.uint8, "image")
    assert about["name"]


def test_the_drawn_membranes_are_where_the_truth_says():
    (image, about, kind), (truth, _, labels) = opened("membranes"), opened("membranes-truth")
    assert (kind, labels, about["axis_labels"]) == ("image", "labels", ("z", "y", "x"))
    assert image.shape == truth.shape == SHAPES["membranes"]
    assert set(np.unique(truth)) == {0, 1}
    for pixels, mask in zip(image, truth > 0, strict=True):
        assert 0.1 < mask.mean() < 0.4
        assert pixels[mask].mean() < pixels[~mask].mean() - 25
    # Neighbouring slices show the same cells, distant ones others.
    both = [np.mean(truth[0] == truth[k]) for k in (1, 11)]
    assert both[0] > both[1] + 0.1
