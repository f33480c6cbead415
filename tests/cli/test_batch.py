"""Many files, one after the other."""

from pathlib import Path

import pytest
from skimage.io import imsave

from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.batch import BatchRequest, run_batch
from napari_seglite.errors import Cancelled, CheckpointError, SegliteError


@pytest.fixture
def files(tmp_path, blobs):
    """Return two images of the same stem."""
    found = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        found.append(tmp_path / folder / "cells.png")
        imsave(found[-1], blobs[0].clip(0, 255).astype("uint8"), check_contrast=False)
    return found


def test_nothing_is_overwritten_by_another_file_of_a_batch(files, tmp_path, untrained, store):
    request = BatchRequest(SegmentRequest(untrained.id, "YX", "cpu"), tmp_path / "out")
    events = [e for e in run_batch(files, request, Segmenter(store)) if e.progress is None]
    assert [e.target for e in events] == [tmp_path / "out" / "cells_labels.tif", None]
    assert events[1].error == f"{files[1]}: another file of this batch wrote cells_labels.tif."
    assert (events[1].position, events[1].count) == (2, 2)


def test_wrong_requests(files, tmp_path, untrained, store):
    segment = SegmentRequest(untrained.id, "YX", "cpu")
    with pytest.raises(SegliteError, match="nrrd, inside, not png"):
        BatchRequest(segment, tmp_path, format="png")
    missing = BatchRequest(SegmentRequest("missing", "YX"), tmp_path)
    with pytest.raises(CheckpointError, match="missing"):
        next(run_batch(files, missing, Segmenter(store)))
    with pytest.raises(Cancelled):
        list(run_batch(files, BatchRequest(segment, tmp_path), Segmenter(store), lambda: True))
    assert not list(Path(tmp_path).glob("*_labels.tif"))
