"""Training runs keep to themselves: random numbers, and annotations that change meanwhile."""

import time

import numpy as np
import pytest
import torch

import src_models
from napari_seglite import FineTuner, FineTuneRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.images import Box, Corrections, ImageAxes
from napari_seglite.runtime import RandomState
from napari_seglite.training import (
    AnnotatedImage,
    AnnotationFeed,
    StepDone,
    ViewedPatch,
    prepare_training,
)
from napari_seglite.training.examples import IntensityLimits, annotated_examples


@pytest.fixture
def images(turned_blobs):
    return turned_blobs(3)


@pytest.fixture
def dropping(store):
    """Return the card of a stored network with dropout, which draws random numbers in training."""
    torch.manual_seed(0)
    network = src_models.create("unet-sharp", preset="tiny")
    info = CheckpointInfo("dropping", "unet-sharp", options={"preset": "tiny"})
    return store.save(info, network.state_dict())


def request(name):
    settings = {"steps": 3, "batch": 1, "patch": 32, "keep_best": False}
    return FineTuneRequest("dropping", name, device="cpu").adjusted(**settings)


def weights(store, name):
    return store.load(name)[1].state_dict()


def test_other_code_between_two_steps_changes_nothing(store, dropping, images):
    list(FineTuner(request("alone"), images).run())
    for event in FineTuner(request("disturbed"), images).run():
        if isinstance(event, StepDone):
            torch.manual_seed(event.status.step)
            torch.rand(100)
    alone, disturbed = weights(store, "alone"), weights(store, "disturbed")
    assert all(torch.equal(alone[key], disturbed[key]) for key in alone)


def test_two_runs_at_once_are_what_they_are_apart(store, dropping, images):
    list(FineTuner(request("alone"), images).run())
    runs = [FineTuner(request(name), images).run() for name in ("first", "second")]
    while runs:  # a step of each in turn
        runs = [run for run in runs if next(run, None) is not None]
    alone = weights(store, "alone")
    for name in ("first", "second"):
        assert all(torch.equal(alone[key], value) for key, value in weights(store, name).items())


def test_an_open_run_leaves_the_callers_numbers_alone(store, dropping, images):
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    run = FineTuner(request("open"), images).run()
    next(event for event in run if isinstance(event, StepDone))
    assert torch.equal(torch.rand(4), expected)
    run.close()


def test_a_random_state_goes_on_where_it_was():
    first, second = RandomState(3), RandomState(3)
    with first.active():
        whole = torch.rand(6)
    with second.active():
        begin = torch.rand(3)
    torch.rand(7)
    with second.active():
        end = torch.rand(3)
    assert torch.equal(whole, torch.cat([begin, end]))


def annotated(blobs, name="a", mode="dense", frames=(0,), label=1, **more):
    image, mask = blobs
    stack = np.stack([image, image[::-1]])
    labels = np.stack([mask, mask[::-1]]).astype(np.uint8) * label
    corrections = Corrections((2, *image.shape), mode)
    for frame in frames:
        corrections = corrections.touch(frame, Box(0, 0, 9, 9), by="ada")
    return AnnotatedImage(name, stack, labels, ImageAxes("ZYX"), corrections, **more)


def test_a_frame_corrected_twice_is_learnt_once_as_it_was_last(blobs, untrained):
    """Whole slices and scribbles of one image say different things of the same pixels."""
    dense = annotated(blobs, "dense", frames=(0, 1), origin="cells.tif")
    time.sleep(0.01)
    scribbles = annotated(blobs, "scribbles", "scribble", (0,), 2, origin="cells.tif")
    examples = annotated_examples([dense, scribbles], untrained)
    assert [example.name for example in examples] == ["dense, slice 1", "scribbles, slice 0"]
    assert [example.sparse for example in examples] == [False, True]
    # Now the whole slice is newer; other images are not concerned.
    time.sleep(0.01)
    dense = annotated(blobs, "dense", frames=(0, 1), origin="cells.tif")
    examples = annotated_examples([dense, scribbles], untrained)
    assert [example.name for example in examples] == ["dense, slice 0", "dense, slice 1"]
    other = annotated(blobs, "other", frames=(0,), origin="other.tif")
    assert len(annotated_examples([scribbles, dense, other], untrained)) == 3


def test_the_latest_correction_counts_whatever_the_order(blobs, untrained):
    from dataclasses import replace

    old = annotated(blobs, "old", origin="cells.tif")
    early = tuple(replace(r, when="2020-01-01T00:00:00+00:00") for r in old.corrections.regions)
    old = replace(old, corrections=replace(old.corrections, regions=early))
    new = annotated(blobs, "new", origin="cells.tif")
    for order in ([old, new], [new, old]):
        assert [e.name for e in annotated_examples(order, untrained)] == ["new, slice 0"]


def test_limits_are_those_of_the_chosen_channels(untrained):
    rng = np.random.default_rng(0)
    pixels = np.stack([rng.random((64, 64)), 1000 * rng.random((64, 64))]).astype(np.float32)
    axes, limits = ImageAxes("CYX"), IntensityLimits()
    first = limits.of(pixels, axes, untrained, (0,))
    second = limits.of(pixels, axes, untrained, (1,))
    assert second[1] > 100 * first[1]
    assert limits.of(pixels, axes, untrained, (0,)) == first


def test_a_feed_follows_what_is_painted(blobs, untrained, store):
    image = annotated(blobs)
    patch = ViewedPatch(image.pixels, image.axes, None, 0, Box(0, 0, 32, 32))
    feed = AnnotationFeed([image], patch)
    first = feed.examples(untrained)
    assert feed.examples(untrained) is first
    assert feed.new_examples(untrained) is None
    feed.images = (annotated(blobs, frames=(0, 1)),)
    assert [example.name for example in feed.new_examples(untrained)] == [
        "a, slice 0",
        "a, slice 1",
    ]
    assert feed.new_examples(untrained) is None
    frame, seen = feed.frame(untrained)
    assert frame.shape == (1, 32, 32)
    assert seen is patch


def test_pixel_size_is_kept_where_all_images_agree(blobs, untrained, store):
    wish = FineTuneRequest(untrained.id, "new")
    same = [annotated(blobs, name, pixel_size=(0.5, 0.25)) for name in "ab"]
    assert prepare_training(wish, same, store)[0].spacing == (0.5, 0.25)
    other = annotated(blobs, "c", pixel_size=(1.0, 1.0))
    assert prepare_training(wish, [*same, other], store)[0].spacing is None
