"""Objects that the network is not sure of are left out, however the image is cut."""

import numpy as np
import pytest

from napari_seglite import CheckpointInfo, SegmentRequest
from napari_seglite.errors import SegliteError
from napari_seglite.images import ImageAxes, LabelFrames, chunked
from napari_seglite.labels import Foreground, label_frames


def squares():
    """Return three squares with mean probabilities 0.6, 0.75 and 0.9; the second varies inside."""
    probabilities = np.zeros((1, 1, 40, 200), np.float32)
    probabilities[..., 5:15, 5:15] = 0.6
    probabilities[..., 5:15, 60:75] = 0.6
    probabilities[..., 5:15, 75:90] = 0.9
    probabilities[..., 20:30, 150:160] = 0.9
    return probabilities


def labelled(probabilities, least, output="instances", classes=None):
    shape = (1, *probabilities.shape[-2:])
    labels = np.zeros(shape, np.uint32)
    target = LabelFrames(labels, ImageAxes("ZYX"), shape)
    given = probabilities if classes is None else classes
    counts = label_frames(Foreground(given, 0.5), [[0]], target, 0, output, least_probability=least)
    return labels[0], counts


@pytest.mark.parametrize(("least", "kept"), [(0, 3), (0.5, 3), (0.7, 2), (0.8, 1), (0.95, 0)])
def test_the_mean_of_an_object_decides(least, kept):
    labels, counts = labelled(squares(), least)
    assert counts.objects == kept
    assert set(np.unique(labels)) - {0} == set(range(1, kept + 1))
    assert counts.pixels == np.count_nonzero(labels)
    assert (labels[25, 155] > 0) == (least < 0.9)


def test_of_several_classes_what_is_not_background_counts():
    p = squares()
    classes = np.concatenate([1 - p, p / 2, p / 2], axis=1)
    np.testing.assert_array_equal(labelled(p, 0.7, classes=classes)[0], labelled(p, 0.7)[0])


def test_blocks_do_not_matter(monkeypatch):
    whole = labelled(squares(), 0.7)[0]
    monkeypatch.setattr(chunked, "CHUNK", 16)
    monkeypatch.setattr(chunked, "BLOCK_PIXELS", 256)
    assert len(list(chunked.blocks((40, 200)))) > 9
    np.testing.assert_array_equal(labelled(squares(), 0.7)[0], whole)


def test_masks_keep_everything():
    assert np.count_nonzero(labelled(squares(), 0.99, "semantic")[0]) == 500


def test_the_card_speaks_where_the_request_is_silent():
    info = CheckpointInfo("sure", "s-net", objects=True, least_probability=0.8)
    assert SegmentRequest("sure", "YX").resolved(info).least_probability == 0.8
    asked = SegmentRequest("sure", "YX", least_probability=0.0)
    assert asked.resolved(info).least_probability == 0
    assert "--least-probability 0.3" in SegmentRequest(
        "sure", "YX", least_probability=0.3
    ).as_command(["a.tif"], "out")
    with pytest.raises(SegliteError, match="least probability"):
        SegmentRequest("sure", "YX", least_probability=1.5)
    with pytest.raises(SegliteError, match="least probability"):
        CheckpointInfo("sure", "s-net", least_probability=-0.1)
