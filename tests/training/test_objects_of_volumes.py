"""Object heads of networks for volumes learn from objects that are known as wholes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_seglite import SegmentRequest, segment
from napari_seglite.checkpoints import CheckpointInfo, replay
from napari_seglite.errors import AnnotationError, CheckpointError
from napari_seglite.images import Box, Corrections, ImageAxes, SlabObjects, TrainingImage
from napari_seglite.labels import instance_scores, separate
from napari_seglite.training import (
    AnnotatedImage,
    FineTuner,
    FineTuneRequest,
    Validated,
    Validation,
    compare_networks,
    image_examples,
    prepare_training,
    training_run,
)
from napari_seglite.training.examples import annotated_examples
from napari_seglite.training.patches import PatchSampler
from napari_seglite.training.splits import split
from napari_seglite.training.start import read_start
from napari_seglite.training.whole_objects import known_pixels, object_ids, slab_targets
from src_models import object_heads

SPACING = 3.0
OPTIONS = {"dims": 3, "preset": "tiny", "spacing": [SPACING, 1.0, 1.0]}


def card(head="distance"):
    return CheckpointInfo("deep", "unet-sharp", options=OPTIONS, head=head)


def spheroids(depth=7, shift=0):
    """Return touching spheroids in slices three pixels apart: the image, and ids in 3-D."""
    z, y, x = np.mgrid[:depth, :32, :32]
    z = (z - 3 - shift) * SPACING
    labels, nearest = np.zeros(z.shape, np.uint8), np.ones(z.shape)
    for number, (cy, cx) in enumerate(((10, 9), (11, 21), (21, 15)), start=1):
        distance = np.sqrt(z**2 + (y - cy) ** 2 + (x - cx) ** 2) / 7
        labels[distance < nearest] = number
        nearest = np.minimum(nearest, distance)
    noise = np.random.default_rng(0).normal(0, 0.1, labels.shape)
    return ((nearest < 1) * (1.3 - nearest) + noise).astype(np.float32), labels


def annotated(stack, labels, frames, name="spheroids"):
    corrections = Corrections(labels.shape)
    for frame in frames:
        corrections = corrections.complete(frame, Box.whole(labels.shape[1:]))
    return AnnotatedImage(name, stack, labels, ImageAxes("ZYX"), corrections, slice_spacing=SPACING)


# ---------------------------------------------------------------------- what is known
@pytest.mark.parametrize("head", ["distance", "offset"])
def test_an_object_that_may_go_on_teaches_nothing(head):
    """Four objects in five slices: inside, at the first slice, at the last, at a missing pixel."""
    ids = np.zeros((5, 12, 20), int)
    ids[1:4, 1:4, 1:4], ids[0:2, 1:4, 6:9], ids[3:5, 1:4, 11:14], ids[1:3, 6:9, 15:18] = 1, 2, 3, 4
    annotated = np.ones(ids.shape, bool)
    annotated[2, 9, 16] = False  # below the fourth, in one of its slices

    def taught(ends):
        known = known_pixels(head, ids, annotated, ends)
        background = (ids == 0) & annotated
        assert known[background].all()  # 0 there, whatever is near
        assert not known[~annotated].any()
        each = [known[ids == k] for k in range(1, 5)]
        assert all(part.all() or not part.any() for part in each)
        return [k for k, part in enumerate(each, start=1) if part.all()]

    assert taught((False, False)) == [1]
    assert taught((True, False)) == [1, 2]
    assert taught((False, True)) == [1, 3]
    assert taught((True, True)) == [1, 2, 3]


def test_a_border_is_known_where_its_surroundings_are():
    ids = np.zeros((4, 8, 8), int)
    ids[:, 2:6, 2:4], ids[:, 2:6, 4:6] = 1, 2
    annotated = np.ones(ids.shape, bool)
    annotated[:, :, 7] = False
    known = known_pixels("border", ids, annotated, (False, True))
    expected = np.zeros(ids.shape, bool)
    expected[1:, :, :6] = True
    np.testing.assert_array_equal(known, expected)


def test_runs_of_corrected_slices():
    """Ten slices; one object in 1 and 2, one in 5 to 7, one from 8 to the end."""
    labels = np.zeros((10, 24, 24), np.uint8)
    labels[1:3, 4:10, 4:10], labels[5:8, 4:10, 14:20], labels[8:, 14:20, 14:20] = 1, 2, 3
    stack = labels.astype(np.float32)

    def taught(frames):
        found = {}
        for image in annotated_examples([annotated(stack, labels, frames)], card()):
            objects, middle = image.objects, image.slices[3]
            begin = middle - 3 + objects.first
            own = labels[begin : begin + len(objects.ids)]
            seen = objects.known & (objects.ids > 0)
            seen[: max(-objects.first, 0)] = seen[7 - objects.first :] = False  # not in the slab
            found[middle] = np.unique(own[seen]).tolist()
        return found

    everything = taught(range(10))
    assert everything[2] == [1, 2]  # its slab reaches from -1 to 5, the objects to 7
    assert everything[9] == [2, 3]
    # Without the fourth slice both sides are known up to the gap; the objects end before it.
    assert taught((0, 1, 2, 3, 5, 6, 7, 8, 9))[2] == [1]
    assert taught((0, 1, 2, 3, 5, 6, 7, 8, 9))[5] == [3]  # 2 touches the gap: it may go on in 4
    assert taught((0, 1, 2, 3))[1] == [1]
    assert taught((0, 1, 3))[1] == []  # cut off at 2
    assert taught((8, 9))[9] == []  # begins in 8, and what is above was not seen
    assert taught((7, 8, 9))[8] == [3]


@pytest.mark.parametrize("head", object_heads.NAMES)
def test_objects_deeper_than_a_slab_are_learnt_as_wholes(head):
    """Of 13 slices, a slab shows seven; what it should predict is that of the whole stack."""
    labels = np.zeros((13, 16, 16), np.uint8)
    labels[1:12, 3:8, 3:12], labels[1:12, 8:13, 3:12] = 1, 2
    examples = annotated_examples([annotated(labels * 1.0, labels, range(13))], card(head))
    expected = object_heads.targets(head, labels, (SPACING, 1, 1))
    for image in examples:
        z, wanted = image.slices[3], slab_targets(head, image.objects, 7)
        for place in range(7):
            if 0 <= z - 3 + place < 13:
                np.testing.assert_allclose(wanted[:, place], expected[:, z - 3 + place], atol=1e-6)
            else:
                assert np.isnan(wanted[:, place]).all()


def test_what_reaches_very_far_beyond_a_slab_is_not_learnt():
    labels = np.zeros((90, 8, 8), np.uint8)
    labels[1:89, 2:4, 2:6], labels[1:60, 5:7, 2:6] = 1, 2
    for image in annotated_examples([annotated(labels * 1.0, labels, range(90))], card()):
        objects, middle = image.objects, image.slices[3]
        for number, (begin, end) in ((1, (1, 89)), (2, (1, 60))):
            inside = begin <= middle < end
            near = middle - 3 - begin <= 63 and end - (middle + 4) <= 63
            seen = objects.known[3 - objects.first][labels[middle] == number]
            assert not inside or (seen.all() if near else not seen.any())


def test_a_part_of_a_slab_keeps_its_whole_objects():
    ids = np.zeros((3, 10, 10), np.int32)
    ids[:, 1:4, 1:4], ids[:, 5:9, 3:8] = 1, 2
    objects = SlabObjects(ids, np.ones(ids.shape, bool), -1, SPACING).cut(slice(0, 6), slice(0, 10))
    assert objects.known[ids[:, :6] < 2].all()
    assert not objects.known[ids[:, :6] == 2].any()
    assert (objects.first, objects.spacing) == (-1, SPACING)
    # Of an object at the cut it is not known that it ends there.
    touching = SlabObjects(ids, np.ones(ids.shape, bool), 0).cut(slice(0, 4), slice(0, 10))
    assert not touching.known[ids[:, :4] > 0].any()
    with pytest.raises(AnnotationError, match="labels and objects differ in shape"):
        TrainingImage(
            "x", np.zeros((1, 7, 9, 9), np.float32), np.zeros((9, 9), int), objects=objects
        )


# ---------------------------------------------------------------------- what is drawn
@pytest.mark.parametrize("head", object_heads.NAMES)
def test_turned_and_mirrored_patches_carry_targets_of_their_own(head):
    """Vectors follow when slabs are mirrored, along Z, too: they fit the labels as turned."""
    stack, labels = spheroids(shift=1)
    examples = annotated_examples([annotated(stack, labels, range(7))], card(head))
    examples = [replace(image, share=float(image.slices[3] == 3)) for image in examples]
    sampler = PatchSampler(examples, 32, 1.0, 0, 0, 3, 1, head)
    _, truth, weight, wanted = sampler.batch(24)
    assert wanted.shape == (24, object_heads.channels(head, 3), 7, 32, 32)
    assert weight.all()
    deepest = set()
    for each, targets in zip(truth.numpy(), wanted.numpy(), strict=True):
        areas = (each > 0).sum((1, 2))
        deepest.add(int(areas.argmax()))
        if set(areas) != {int((z > 0).sum()) for z in labels}:
            continue  # turned by an odd angle, which cuts corners
        ids = object_ids(each)
        assert not np.isnan(targets).any()
        expected = object_heads.targets(head, ids, (SPACING, 1, 1))
        np.testing.assert_allclose(targets, expected, atol=1e-5)
    assert deepest == {2, 4}  # mirrored along Z or not


@pytest.mark.parametrize("head", object_heads.NAMES)
def test_what_is_not_known_teaches_nothing(head):
    rng = np.random.default_rng(0)
    labels = np.zeros((1, 4, 8, 8), int)
    labels[..., 2:6, 2:4], labels[..., 2:6, 4:6] = 1, 2
    wanted = torch.from_numpy(object_heads.targets(head, labels[0]))[None]
    logits = torch.from_numpy(rng.normal(size=wanted.shape)).float().requires_grad_()
    truth, weight = torch.from_numpy(labels), torch.ones(labels.shape)
    weight[:, 2:] = 0
    expected = object_heads.loss(head, logits, wanted, truth, weight)
    unknown = wanted.clone()
    unknown[:, :, 2:] = torch.nan
    loss = object_heads.loss(head, logits, unknown, truth)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[:, :, 2:].any()
    assert logits.grad[:, :, :2].any()


# ---------------------------------------------------------------------- runs
def small_request(**settings):
    given = {"checkpoint": "unet-sharp", "name": "mine", "options": {"dims": 3}, "device": "cpu"}
    request = FineTuneRequest(**{**given, **settings}, validation=Validation(validate_every=2))
    return request.adjusted(steps=2, batch=1, patch=32, minutes=5, keep_unimproved=True)


@pytest.mark.parametrize("head", object_heads.NAMES)
def test_true_targets_separate_the_objects(head):
    """What a slab's head should predict splits the spheroids in 3-D, the mask alone does not."""
    stack, labels = spheroids()
    image = annotated_examples([annotated(stack, labels, range(7))], card(head))[3]
    wanted = slab_targets(head, image.objects, 7)
    found = separate(np.concatenate([labels[None] > 0, wanted]), 1, head, 0.08)
    assert found.shape == labels.shape
    assert instance_scores(found, labels, (0.7,)).f1[0.7] == 1
    alike = np.ones((object_heads.channels(head, 3), *labels.shape))
    together = separate(np.concatenate([labels[None] > 0, alike]), 1, head, 0.08)
    assert together.max() == 1


def test_from_corrections_to_objects(store):
    """Training, scores, replay, segmentation with a live split depth, going on and comparing."""
    stack, labels = spheroids()
    image = annotated(stack, labels, range(7))
    wanted = small_request(head="distance", precision="bfloat16")
    request, examples = prepare_training(wanted, [image], store, suggest=False)
    assert examples[0].objects.spacing == SPACING
    assert request.precision == "float32"
    events = list(FineTuner(request, examples, store).run())
    assert any("F1 of objects" in e.text for e in events if isinstance(e, Validated))
    info = store.info("mine")
    assert (info.head, info.head_channels, info.objects, info.volumetric) == (
        "distance",
        2,
        True,
        True,
    )
    assert 0 <= info.scores["validation_f1"] <= 1
    result = segment(stack, SegmentRequest("mine", "ZYX", "cpu", threshold=0.1))
    assert np.asarray(result.head).shape == (7, 2, 32, 32)
    counts = [result.relabel(split_depth=depth).counts.objects for depth in (0.01, 1.0)]
    assert counts[0] > counts[1] >= 1
    # What was kept to be replayed teaches objects, too, and learning goes on with the head.
    kept = replay.read(store.path("mine"))
    assert any(each.objects.teach for each in kept)
    more, examples = prepare_training(
        small_request(checkpoint="mine", name="more", options=None), [image], store, suggest=False
    )
    tuner = FineTuner(more, examples, store)
    replayed = read_start(tuner.info, store, 0, "cpu").replayed
    assert len(replayed) == len(kept)
    _, _, _, wanted = PatchSampler(replayed, 32, 1.0, 0, 0, 0, 1, "distance").batch(4)
    assert (wanted > 0).any()
    list(tuner.run())
    assert store.info("more").head == "distance"
    *_, last = compare_networks([(more.adjusted(minutes=0.01), examples[2:5])], store)
    assert last.ranking[0].done


def test_a_trained_volume_gets_a_head_and_loses_it(store):
    torch.manual_seed(0)
    plain = CheckpointInfo("plain", "unet-sharp", options=OPTIONS)
    store.save(plain, plain.build().state_dict())
    stack, labels = spheroids()
    image, name = annotated(stack, labels, range(7)), "plain"
    for head, channels in (("offset", 4), ("", 1)):
        request = small_request(checkpoint=name, name=f"with-{head}", options=None, head=head)
        request, examples = prepare_training(request, [image], store, suggest=False)
        assert (examples[0].objects is not None) == bool(head)
        list(FineTuner(request.adjusted(steps=1), examples, store).run())
        name = request.name
        network = store.load(name)[1].eval()
        assert network(torch.zeros(1, 1, 7, 32, 32)).shape == (1, channels, 7, 32, 32)


def test_a_run_with_a_head_continues_to_the_bit(store, monkeypatch):
    stack, labels = spheroids()
    image, weights = annotated(stack, labels, range(7)), []
    store.folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(training_run, "SAVE_EVERY", -1.0)
    for name, interrupted in (("whole", False), ("cut", True)):
        request = small_request(name=name, head="offset")
        request, examples = prepare_training(request, [image], store, suggest=False)
        request = request.adjusted(steps=4)
        if interrupted:
            for event in (events := FineTuner(request, examples, store).run()):
                if event.status.step == 3:
                    events.close()
                    break
        list(FineTuner(request, examples, store).run())
        weights.append(store.load(name)[1].state_dict())
    for key, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][key], err_msg=key)


def test_slices_far_apart_are_refused(store):
    stack, labels = spheroids()
    images = [annotated(stack, labels, (1, 3, 5)), annotated(stack, labels, range(1, 4), "run")]
    for image, head in ((images[0], "distance"), (images[1], "distance"), (images[0], "border")):
        request, examples = prepare_training(small_request(head=head), [image], store)
        with pytest.raises(
            CheckpointError, match="Correct neighbouring slices one after the other"
        ):
            FineTuner(request, examples, store)
    request, examples = prepare_training(small_request(), [images[0]], store)
    FineTuner(request, examples, store)  # without a head they are enough


def test_complete_labels_and_a_single_slab():
    """Labels below 0 are not annotated; a single slab is cut in two, and so are its objects."""
    stack, labels = (np.pad(each, ((0, 0), (0, 0), (0, 8))) for each in spheroids())
    partial = labels.astype(np.int16)
    partial[3, 21, 15] = -1  # in the middle of the third
    examples = image_examples("stack", stack, partial, ImageAxes("ZYX"), card())
    assert all(image.objects.spacing == SPACING for image in examples)
    objects = examples[3].objects
    taught = [bool(objects.known[labels == k].any()) for k in (1, 2, 3)]
    assert taught == [True, True, False]
    (train,), (held_out,) = split(examples[3:4], 0.4, np.random.default_rng(0))
    assert train.objects.ids.shape == (*labels.shape[:2], 24)
    assert held_out.objects.ids.shape == (*labels.shape[:2], 16)
    assert train.objects.known[labels[..., :24] == 1].all()
    assert not train.objects.known[labels[..., :24] == 2].any()
