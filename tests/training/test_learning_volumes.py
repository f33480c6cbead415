"""Networks for volumes learn from stacks of which some slices are corrected."""

import numpy as np
import pytest
import torch

from napari_seglite import SegmentRequest, segment
from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore, replay
from napari_seglite.errors import AnnotationError, CheckpointError
from napari_seglite.images import Box, Corrections, ImageAxes, TrainingImage
from napari_seglite.inference import predict_frame
from napari_seglite.training import (
    AnnotatedImage,
    AnnotationFeed,
    FineTuner,
    FineTuneRequest,
    Validation,
    ViewedPatch,
    compare_networks,
    image_examples,
    learn_live,
    prepare_training,
    start_info,
)
from napari_seglite.training.examples import annotated_examples
from napari_seglite.training.patches import PatchSampler

DEEP = CheckpointInfo("deep", "unet-sharp", options={"dims": 3, "preset": "tiny"})
FLAT = CheckpointInfo("flat", "unet-sharp", options={"preset": "tiny"})


@pytest.fixture
def tubes():
    """Return a noisy stack of ten slices, 32 x 40, with tubes along Z, and their labels."""
    z, y, x = np.mgrid[:10, :32, :40]
    labels = np.zeros(z.shape, np.uint8)
    for cy, cx in ((10, 14), (18, 34)):
        labels[(y - cy - z) ** 2 + (x - cx + z) ** 2 < 36] = 1
    noise = np.random.default_rng(0).normal(0, 0.3, labels.shape)
    return (labels + noise).astype(np.float32), labels


def annotated(tubes, frames, **settings):
    stack, labels = tubes
    corrections = Corrections((10, 32, 40))
    for frame in frames:
        corrections = corrections.complete(frame, Box(0, 0, 32, 40))
    return AnnotatedImage("tubes", stack, labels, ImageAxes("ZYX"), corrections, **settings)


def test_only_corrected_slices_of_a_slab_count(tubes):
    """The first slice, one near it and one far away: real pixels around them, no other label."""
    first, second, last = annotated_examples([annotated(tubes, (0, 2, 9))], DEEP)
    assert first.slices == (0,) * 8 + tuple(range(1, 8))
    assert first.frame.shape == (1, 15, 32, 40)
    assert first.labels.shape == (32, 40)
    limits = DEEP.normalisation.limits(tubes[0])
    for example in (first, second, last):
        expected = DEEP.normalisation.apply(tubes[0][list(example.slices)], limits)
        np.testing.assert_array_equal(example.frame[0], expected)
    sampler = PatchSampler([first, second, last], 32, 1.0, 0, 0, seed=0)
    frames, labels, weight, _ = sampler.batch(12)
    assert frames.shape == (12, 1, 15, 32, 32)
    assert labels.shape == weight.shape == (12, 15, 32, 32)
    counted = {tuple(np.flatnonzero(each.flatten(1).any(1))) for each in weight}
    # The middle one of 15 is number 7; on either side are those that are near, once each.
    assert counted == {(7, 9), (5, 7), (0, 5, 7), (0, 7), (5, 7, 14), (0, 7, 9), (7, 14)} & counted
    assert {(7, 9), (5, 7)} & counted
    assert {(0, 7), (7, 14)} & counted
    for frame, label, each in zip(frames, labels, weight, strict=True):
        assert not label[each == 0].any()
        bright = frame[0][(each > 0) & (label > 0)], frame[0][(each > 0) & (label == 0)]
        assert not bright[0].numel() or not bright[1].numel() or bright[0].mean() > bright[1].mean()


def test_a_stroke_counts_where_it_was_made(tubes):
    """Regions of a large stack are cut out with what surrounds them, all slices alike."""
    stack, labels = (np.tile(each, (1, 40, 32)) for each in tubes)
    corrections = Corrections(stack.shape).complete(3, Box(400, 500, 440, 560))
    corrections = corrections.complete(5, Box(380, 520, 420, 580))
    image = AnnotatedImage("large", stack, labels, ImageAxes("ZYX"), corrections)
    one, two = annotated_examples([image], DEEP)
    assert one.corner == two.corner == (316, 436)
    assert one.frame.shape == two.frame.shape == (1, 15, 188, 208)
    assert np.argwhere(one.weight).min(0).tolist() == [84, 64]
    _, _, weight, _ = PatchSampler([one, two], 64, 1.0, 0, 0, 0).batch(6)
    assert set(np.flatnonzero(weight.sum((0, 2, 3)))) <= {5, 7, 9}


def tiny_request(**settings):
    given = {"checkpoint": "unet-sharp", "name": "mine", "options": {"dims": 3}, "device": "cpu"}
    request = FineTuneRequest(**{**given, **settings}, validation=Validation(validate_every=8))
    return request.adjusted(steps=8, batch=1, patch=32, minutes=5, learning_rate=5e-3)


def test_from_scratch_and_from_a_volumetric_checkpoint(tubes, store):
    """Anisotropic pooling from the stack's spacing; held-out score, replay and segmentation."""
    image = annotated(tubes, (0, 2, 4, 6, 9), slice_spacing=4.0)
    request, examples = prepare_training(tiny_request(), [image], store, suggest=False)
    options = start_info(request, store).options
    assert options == {"dims": 3, "preset": "tiny", "spacing": [4.0, 1.0, 1.0]}
    assert examples[0].frame.shape == (1, 7, 32, 40)
    done = list(FineTuner(request, examples, store).run())[-1]
    assert done.checkpoint.options == options
    assert done.checkpoint.scores["validation_dice"] > 0.2
    assert len(done.checkpoint.settings["held_out"]) == 1
    assert store.load("mine")[1].pools == [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]
    kept = replay.read(store.path("mine"))
    assert {each.frame.shape[1] for each in kept} == {7}
    result = segment(tubes[0], SegmentRequest("mine", "ZYX", "cpu"))
    assert np.asarray(result.probabilities).shape == (10, 1, 32, 40)

    again, examples = prepare_training(
        tiny_request(checkpoint="mine", name="more", options=None), [image], store
    )
    again = again.adjusted(
        steps=1, batch=1, patch=32, folds=1, keep_unimproved=True, full_training=None
    )
    done = list(FineTuner(again, examples, store).run())[-1]
    assert done.checkpoint.parent == "mine"
    assert done.checkpoint.options == options
    with pytest.raises(CheckpointError, match="Only a network that starts from scratch"):
        start_info(tiny_request(checkpoint="mine"), store)


def test_a_volumetric_checkpoint_is_compared_exported_and_renamed(tubes, store, tmp_path):
    torch.manual_seed(0)
    slab = annotated_examples([annotated(tubes, (4,))], DEEP)
    store.save(DEEP, DEEP.build().state_dict(), replay=replay.pack(slab))
    added = CheckpointStore(tmp_path / "other").add(store.export("deep", tmp_path / "deep.zip"))
    assert added.options == DEEP.options
    (kept,) = replay.read(tmp_path / "other" / "deep")
    np.testing.assert_allclose(kept.frame, slab[0].frame, atol=1e-3)
    store.rename("deep", "older")
    request = tiny_request(checkpoint="older", options=None)
    competitor = prepare_training(request, [annotated(tubes, (2, 5, 8))], store, suggest=False)
    event = next(compare_networks([competitor], store))
    (ranked,) = event.ranking
    assert ranked.start == "older"
    assert ranked.before == ranked.dice > 0


def test_the_slice_in_view_is_predicted(tubes, store):
    """A preview shows the slice in the middle of its slab, at the end of the stack, too."""
    network = DEEP.build().eval()
    info = store.save(DEEP, network.state_dict())
    image = annotated(tubes, (1, 5))
    patch = ViewedPatch(tubes[0], image.axes, None, 0, Box(0, 8, 32, 40))
    frame, _ = AnnotationFeed([image], patch).frame(info)
    assert frame.shape == (1, 15, 32, 32)
    predicted = predict_frame(network, info, frame, "cpu")
    assert predicted.shape == (1, 32, 32)
    other, _ = AnnotationFeed([image], patch).frame(FLAT)
    assert other.shape == (1, 32, 32)
    np.testing.assert_array_equal(frame[:, 7], other)
    # Of a large view only the middle, so that training goes on.
    large = ViewedPatch(np.tile(tubes[0], (1, 9, 9)), image.axes, None, 4, Box(0, 0, 280, 360))
    frame, shown = AnnotationFeed([image], large).frame(info)
    assert frame.shape[1:] == (15, 128, 128)
    assert shown.box == Box(76, 116, 204, 244)


def test_a_saved_run_of_volumes_continues_to_the_bit(tubes, store):
    image = annotated(tubes, (1, 3, 5, 8))
    weights = []
    for name, interrupted in (("whole", False), ("mine", True)):
        store.folder.mkdir(parents=True, exist_ok=True)
        request, examples = prepare_training(tiny_request(name=name), [image], store, suggest=False)
        request = request.adjusted(steps=4, validate_every=2)
        if interrupted:
            tuner = FineTuner(request, examples, store)
            with pytest.MonkeyPatch.context() as patched:
                from napari_seglite.training import training_run

                patched.setattr(training_run, "SAVE_EVERY", -1.0)
                for event in (events := tuner.run()):
                    if event.status.step == 3:
                        events.close()
                        break
        texts = [event.text for event in FineTuner(request, examples, store).run()]
        assert any("oing on" in text or "ontinu" in text for text in texts) == interrupted, texts
        weights.append(store.load(name)[1].state_dict())
    for key, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][key], err_msg=key)


def test_what_volumes_cannot_do_is_said(tubes, store):
    image = annotated(tubes, (1, 5))
    plane = np.zeros((32, 32), np.uint8)
    with pytest.raises(AnnotationError, match="has no slices along Z"):
        image_examples("plane", plane, plane, ImageAxes("YX"), DEEP)
    blank = TrainingImage("x", np.zeros((1, 32, 32), np.float32), plane + 1)
    with pytest.raises(AnnotationError, match="learns from slabs of a stack"):
        FineTuner(tiny_request(), [blank], store)
    feed = AnnotationFeed([image], ViewedPatch(tubes[0], image.axes, None, 0, Box(0, 0, 9, 9)))
    with pytest.raises(CheckpointError, match="too long for every stroke"):
        next(learn_live(tiny_request(), feed, store, lambda: False, lambda: False))


def test_little_memory_means_smaller_patches(tubes, store, monkeypatch):
    from napari_seglite.runtime import devices

    image, wanted = annotated(tubes, (1, 5)), tiny_request().adjusted(batch=4, patch=128)
    sizes = []
    for free in (None, 10**9, 1000):
        monkeypatch.setattr(devices, "free_memory", lambda device, free=free: free)
        schedule = prepare_training(wanted, [image], store, suggest=False)[0].schedule
        sizes.append((schedule.batch, schedule.patch))
    assert sizes == [(1, 64), (1, 64), (1, 32)]


@pytest.mark.parametrize("frame", [0, 4, 9])
def test_a_network_of_three_slices_learns_with_the_real_neighbours(tubes, frame):
    """They need not be corrected; at the ends of the stack the last slice is repeated."""
    triple = CheckpointInfo("triple", "celnet")
    (example,) = annotated_examples([annotated(tubes, (frame,))], triple)
    around = [max(frame - 1, 0), frame, min(frame + 1, 9)]
    normal = triple.normalisation
    expected = normal.apply(tubes[0][around], normal.limits(tubes[0]))
    np.testing.assert_array_equal(example.frame, expected)
    np.testing.assert_array_equal(example.labels, tubes[1][frame])
