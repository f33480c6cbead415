"""Instance labels teach a network with an object head; semantic ones train as before."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_seglite import (
    CheckpointInfo,
    CheckpointStore,
    FineTuner,
    FineTuneRequest,
    Segmenter,
    SegmentRequest,
)
from napari_seglite.checkpoints import replay
from napari_seglite.errors import SegliteError
from napari_seglite.images import TrainingImage
from napari_seglite.inference import predict_with_head
from napari_seglite.training import Validated
from napari_seglite.training.patches import PatchSampler
from napari_seglite.training.start import start_info, start_network
from src_models import object_heads


def rows_of_squares(name="squares"):
    """Return squares that touch, brighter and darker, each with an id of its own."""
    labels = np.zeros((96, 96), np.uint16)
    frame = np.zeros((1, 96, 96), np.float32)
    for number, (row, column) in enumerate((r, c) for r in (8, 52) for c in (8, 34, 60)):
        labels[row : row + 30, column : column + 26] = number + 300
        frame[0, row : row + 30, column : column + 26] = 0.6 + 0.3 * (number % 2)
    return TrainingImage(name, frame, labels)


@pytest.mark.parametrize("head", object_heads.NAMES)
def test_patches_carry_what_the_head_learns(head):
    image = rows_of_squares()
    sampler = PatchSampler([image], 64, 1.0, 0.0, 0.0, 5, 1, head)
    frames, labels, weight, wanted = sampler.batch(6)
    assert weight is None
    assert wanted.shape == (6, object_heads.channels(head), 64, 64)
    for each, mask, targets in zip(frames, labels, wanted, strict=True):
        assert ((each[0] > 0.3) == (mask > 0)).float().mean() > 0.98  # but for turned edges
        if head != "border":
            assert not targets[:, mask == 0].any()
            continue
        if len(each.unique()) > 3:  # turned by an odd angle, so that edges are grey
            continue
        # Squares that touch differ in brightness, so that the border lies where that changes.
        for axis in (1, 2):
            step = each.diff(dim=axis).abs()[0]
            across = (step > 0.2) & (step < 0.4)
            beyond = (slice(None), slice(1, None)) if axis == 2 else (slice(1, None),)
            assert targets[0][beyond][across].all()
        far = torch.nn.functional.max_pool2d((mask == 0).float()[None], 7, 1, 3)[0]
        assert targets[0][far == 0].float().mean() < 0.5


def test_another_seed_and_the_same_seed():
    images = [rows_of_squares()]
    first, again, other = (
        PatchSampler(images, 48, 1.25, 0.1, 1.0, seed, 1, "distance").batch(3)[3]
        for seed in (1, 1, 2)
    )
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("network", ["unet-sharp", "u2net-msac", "s-net"])
def test_a_head_changes_no_class_to_begin_with(network, tmp_path):
    store = CheckpointStore(tmp_path)
    options = {"preset": "tiny"} if network == "unet-sharp" else {}
    plain = CheckpointInfo("plain", network, options=options)
    torch.manual_seed(1)
    store.save(plain, plain.build().state_dict())
    info = start_info(FineTuneRequest("plain", "headed", head="distance"), store)
    assert (info.head, info.head_channels, info.objects) == ("distance", 2, True)
    frame = rows_of_squares().frame
    before = predict_with_head(store.load("plain")[1].eval(), store.info("plain"), frame, "cpu")
    after = predict_with_head(start_network(info, store).eval(), info, frame, "cpu")
    assert after.shape == (3, 96, 96)
    np.testing.assert_allclose(after[:1], before, atol=1e-5)
    kept = start_info(FineTuneRequest("plain", "other"), store)
    assert kept.head == ""
    with pytest.raises(SegliteError, match="border, distance, offset"):
        FineTuneRequest("plain", "x", head="rays")


def test_touching_objects_are_learnt(tmp_path):
    store = CheckpointStore(tmp_path)
    template = CheckpointInfo("start", "unet-sharp", options={"preset": "tiny"})
    request = FineTuneRequest("unet-sharp", "squares", head="distance", device="cpu").adjusted(
        steps=120, minutes=5, batch=2, patch=96, learning_rate=5e-3, validate_every=60
    )
    images = [rows_of_squares(f"squares {k}") for k in range(3)]
    events = list(FineTuner(request, images, store, template).run())
    scored = [event.text for event in events if isinstance(event, Validated)]
    assert "F1 of objects" in scored[-1]
    info = store.info("squares")
    assert (info.head, info.objects) == ("distance", True)
    assert info.scores["validation_f1"] > max(0.5, info.scores["validation_f1_before"])
    assert info.curves["f1"][-1][1] == pytest.approx(info.scores["validation_f1"], abs=1e-4)
    rehearsed = replay.read(store.path("squares"))[0].labels
    assert rehearsed.max() >= 300
    segmenter, image = Segmenter(store), images[0].frame[0]
    result = segmenter.segment(image, SegmentRequest("squares", "YX", device="cpu"))
    assert result.counts.objects == 6
    assert result.head.shape == (1, 2, 96, 96)
    single = result.relabel(split_depth=1.0)
    assert single.counts.objects < 6
    tiled = SegmentRequest("squares", "YX", device="cpu", tile=64, overlap=32, ensemble="flips")
    assert segmenter.segment(image, tiled).counts.objects == 6
    # Learning goes on from it, with its head.
    more = replace(request, checkpoint="squares", name="more", head=None).adjusted(
        steps=2, keep_unimproved=True
    )
    list(FineTuner(more, images, store).run())
    assert store.info("more").head == "distance"
