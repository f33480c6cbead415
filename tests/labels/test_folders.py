"""Label files of two folders, paired by stem."""

import numpy as np
import pytest
import tifffile

from napari_seglite.errors import AnnotationError, ImageError
from napari_seglite.labels import score_folders


def test_files_are_paired_by_stem_and_bad_folders_are_refused(tmp_path):
    predictions, references = tmp_path / "p", tmp_path / "r"
    predictions.mkdir()
    references.mkdir()
    labels = np.ones((4, 4), np.uint8)
    tifffile.imwrite(predictions / "a_labels.tif", labels)
    tifffile.imwrite(references / "b.tif", labels)
    with pytest.raises(AnnotationError, match="has the name of one in"):
        score_folders(predictions, references)
    tifffile.imwrite(references / "a.tif", labels)
    scores = score_folders(predictions, references)
    assert scores.images == {"a": {"dice": 1, "iou": 1}}
    assert scores.unpaired == (references / "b.tif",)
    tifffile.imwrite(references / "a.tiff", labels)
    with pytest.raises(ImageError, match=r"a.tif and a.tiff share one name"):
        score_folders(predictions, references)
