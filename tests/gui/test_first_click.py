"""On a fresh computer: the trained starts show a mask at the first click."""

import numpy as np
import pytest

import src_models
from napari_seglite import CheckpointStore
from napari_seglite.checkpoints.store import BUILT_IN


def test_the_package_stays_small():
    sizes = {path.parent.name: path.stat().st_size for path in BUILT_IN.glob("*/weights.*")}
    assert all(size <= (11e6 if "celnet" in name else 4e6) for name, size in sizes.items()), sizes
    assert sum(path.stat().st_size for path in BUILT_IN.rglob("*") if path.is_file()) < 25e6


@pytest.mark.slow
def test_each_start_masks_the_sample_at_the_first_click(viewer, dock, segment, nuclei, tmp_path):
    starts = [i for i in CheckpointStore(tmp_path).list() if i.id.startswith("general-")]
    assert {info.network for info in starts} == set(src_models.names())
    image = nuclei[:96, :112]
    viewer.add_image(image, name="cells")
    cells = image > 14
    for start in starts:
        dock.segment_panel.select_checkpoint(start.id)
        mask = np.asarray(segment().data) > 0
        # Most of what is bright is found, and most of the rest is left out.
        assert mask[cells].mean() > 0.5 > mask[~cells].mean(), start.id
