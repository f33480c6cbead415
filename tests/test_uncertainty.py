"""Where a network is unsure."""

import numpy as np
import pytest

from napari_seglite import SegmentRequest, segment
from napari_seglite.engine import arrays
from napari_seglite.engine.uncertainty import entropy, uncertainty
from napari_seglite.errors import Cancelled


def test_entropy_by_hand():
    p = np.array([[0.0, 0.5, 1.0, 0.25]], np.float32)
    expected = [0, 1, 0, -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))]
    np.testing.assert_allclose(entropy(p), expected, atol=1e-6)
    three = np.array([[1 / 3, 1.0], [1 / 3, 0.0], [1 / 3, 0.0]], np.float32)
    np.testing.assert_allclose(entropy(three), [1, 0], atol=1e-6)


@pytest.mark.parametrize("in_memory", [True, False])
def test_only_what_was_asked_for_is_scored(blobs, untrained, monkeypatch, in_memory):
    if not in_memory:
        monkeypatch.setattr(arrays, "IN_MEMORY", 1000)
    stack = np.stack([blobs[0], blobs[0] * 0, blobs[0]])
    request = SegmentRequest(untrained.id, "ZYX", "cpu", frames=(0, 2), region="10,20,60,90")
    result = segment(stack, request)
    *_, found = uncertainty(result)
    values = np.asarray(found.values[:])
    assert values.shape == stack.shape
    assert values.dtype == np.float16
    expected = entropy(np.asarray(result.probabilities[1]))
    np.testing.assert_allclose(values[2, 10:60, 20:90], expected, atol=1e-3)
    assert not values[1].any()
    assert not values[:, :10].any()
    assert list(found.scores) == [0, 2]
    assert found.scores[2] == pytest.approx(float(expected.mean()), abs=1e-3)
    assert found.worst in (0, 2)
    with pytest.raises(Cancelled):
        list(uncertainty(result, lambda: True))
