"""Where a network is unsure."""

import numpy as np
import pytest

from napari_seglite import SegmentRequest, segment
from napari_seglite.errors import Cancelled
from napari_seglite.images import chunked
from napari_seglite.inference import entropy
from napari_seglite.inference.uncertainty import measure_uncertainty


def test_entropy_by_hand():
    p = np.array([[0.0, 0.5, 1.0, 0.25]], np.float32)
    expected = [0, 1, 0, -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))]
    np.testing.assert_allclose(entropy(p), expected, atol=1e-6)
    three = np.array([[1 / 3, 1.0], [1 / 3, 0.0], [1 / 3, 0.0]], np.float32)
    np.testing.assert_allclose(entropy(three), [1, 0], atol=1e-6)


@pytest.mark.parametrize("in_memory", [True, False])
def test_only_what_was_asked_for_is_scored(blobs, untrained, monkeypatch, in_memory):
    if not in_memory:
        monkeypatch.setattr(chunked, "IN_MEMORY", 1000)
    stack = np.stack([blobs[0], blobs[0] * 0, blobs[0]])
    request = SegmentRequest(untrained.id, "ZYX", "cpu", frames=(0, 2), region="10,20,60,90")
    result = segment(stack, request)
    *_, found = measure_uncertainty(result)
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
        list(measure_uncertainty(result, lambda: True))


def test_flips_are_averaged_and_their_spread_is_the_uncertainty(blobs, untrained, store):
    image = blobs[0]
    request = SegmentRequest(untrained.id, "YX", "cpu", ensemble="flips")
    result = segment(image, request)
    plain = SegmentRequest(untrained.id, "YX", "cpu")
    members = []
    for flip in ((), (1,), (0,), (0, 1)):
        found = segment(np.flip(image, flip), plain).probabilities[0, 0].astype(float)
        members.append(np.flip(found, flip))
    np.testing.assert_allclose(result.probabilities[0, 0], np.mean(members, 0), atol=2e-3)
    assert np.std(members, 0).max() > 0.01  # fresh weights know no symmetry
    np.testing.assert_allclose(result.disagreement[0], 2 * np.std(members, 0), atol=4e-3)
    *_, found = measure_uncertainty(result)
    np.testing.assert_array_equal(found.values, result.disagreement[0])
    assert segment(image, plain).disagreement is None


def test_heads_of_a_network_that_has_some(blobs, untrained, store):
    import torch

    import src_models
    from napari_seglite.checkpoints import CheckpointInfo
    from napari_seglite.errors import SegliteError

    torch.manual_seed(1)
    network = src_models.create("unet-sharp", preset="small").eval()
    store.save(
        CheckpointInfo("sharp", "unet-sharp", options={"preset": "small"}), network.state_dict()
    )
    result = segment(blobs[0], SegmentRequest("sharp", "YX", "cpu", ensemble="heads"))
    info = store.info("sharp")
    frame = info.normalisation.apply(blobs[0], info.normalisation.limits(blobs[0]))
    with torch.inference_mode():
        heads = [
            y.sigmoid()[0, 0] for y in network.row_outputs(torch.from_numpy(frame)[None, None])
        ]
    mean, spread = torch.stack(heads).mean(0), torch.stack(heads).std(0, correction=0) * 2
    np.testing.assert_allclose(result.probabilities[0, 0], mean, atol=2e-3)
    np.testing.assert_allclose(result.disagreement[0], spread, atol=4e-3)
    with pytest.raises(SegliteError, match=r"s-net of checkpoint untrained has one head alone"):
        segment(blobs[0], SegmentRequest(untrained.id, "YX", "cpu", ensemble="heads"))


def test_slices_of_a_network_with_neighbours_are_flipped_together(store):
    import torch

    import src_models
    from napari_seglite.checkpoints import CheckpointInfo

    torch.manual_seed(2)
    store.save(CheckpointInfo("stacks", "celnet"), src_models.create("celnet").state_dict())
    stack = np.random.default_rng(0).random((3, 64, 64)).astype(np.float32)
    flips = SegmentRequest("stacks", "ZYX", "cpu", ensemble="flips")
    result = segment(stack, flips)
    plain = SegmentRequest("stacks", "ZYX", "cpu")
    members = []
    for flip in ((), (2,), (1,), (1, 2)):
        found = segment(np.flip(stack, flip), plain).probabilities[:, 0].astype(float)
        members.append(np.flip(found, flip))
    np.testing.assert_allclose(result.probabilities[:, 0], np.mean(members, 0), atol=2e-3)
