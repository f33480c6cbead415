"""What of an image was corrected, and what a network may learn from it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.checkpoints.inputs import select_channels
from napari_seglite.errors import AnnotationError, CheckpointError
from napari_seglite.formats import parse_json
from napari_seglite.images import Box, Corrections, ImageAxes, TrainingImage
from napari_seglite.training import (
    AnnotatedImage,
    FineTuneRequest,
    Schedule,
    corrected_examples,
    read_colour,
    suggest_settings,
)
from napari_seglite.training.patches import PatchSampler
from napari_seglite.training.splits import folds


def test_a_stroke_marks_its_frame_or_the_squares_of_a_large_one():
    small = Corrections((4, 600, 800))
    small = small.touch(2, Box(5, 5, 9, 9), by="ada")
    assert [(r.frame, r.box) for r in small.regions] == [(2, (0, 0, 600, 800))]
    large = Corrections((1, 1300, 2000))
    large = large.touch(0, Box(500, 20, 530, 40))
    assert [r.box for r in large.regions] == [(0, 0, 512, 512), (512, 0, 1024, 512)]
    large = large.touch(0, Box(1290, 1990, 1300, 2000))
    assert large.regions[-1].box == (1024, 1536, 1300, 2000)
    assert large.strokes == 2
    with pytest.raises(AnnotationError, match="no frame 4"):
        small = small.touch(4, Box(0, 0, 1, 1))


def test_states():
    found = Corrections((3, 100, 100))
    found = found.touch(0, Box(0, 0, 5, 5))
    found = found.accept(0)  # what was painted, too, is correct then
    found = found.accept(1)
    found = found.complete(1, Box(10, 10, 40, 300))
    assert [found.state(k) for k in range(3)] == ["accepted", "complete", ""]
    assert found.regions[-1].box == (10, 10, 40, 100)
    found = found.forget(1)
    assert found.frames == [0]
    assert parse_json(json.dumps(found.as_dict()), Corrections) == found


def test_dense_truth_is_all_of_a_region_and_scribbles_only_what_was_painted():
    labels = np.zeros((50, 60), np.uint8)
    labels[10:20, 10:20], labels[30:40, 30:40] = 1, 2
    dense = Corrections((1, 50, 60))
    assert dense.truth(0, labels)[1].sum() == 0
    dense = dense.complete(0, Box(0, 0, 25, 60))
    truth, weight = dense.truth(0, labels)
    assert truth is labels
    assert weight[:25].all()
    assert not weight[25:].any()

    scribble = Corrections((1, 50, 60), "scribble")
    truth, weight = scribble.truth(0, labels)
    np.testing.assert_array_equal(weight > 0, labels > 0)
    assert truth[15, 15] == 0  # label 1 is the background
    assert truth[35, 35] == 1
    assert scribble.sparse(0)
    assert not dense.sparse(0)
    scribble = scribble.complete(0, Box(25, 0, 50, 60))
    assert not scribble.sparse(0)
    assert scribble.truth(0, labels)[1][26, 0] == 1


def test_large_frames_are_cut_to_what_was_corrected(untrained):
    image = np.random.default_rng(0).integers(0, 255, (1500, 1500)).astype(np.uint8)
    labels = np.zeros(image.shape, np.uint8)
    labels[700:720, 700:720] = 1
    corrections = Corrections((1, 1500, 1500))
    corrections = corrections.touch(0, Box(700, 700, 720, 720))
    (found,) = corrected_examples(
        AnnotatedImage("a", image, labels, ImageAxes("YX"), corrections), untrained
    )
    assert found.labels.shape == (640, 640)  # a square of 512 with 64 around it
    assert found.annotated.sum() == 400
    assert found.weight.sum() == 512**2
    limits = untrained.normalisation.limits(image)
    whole = untrained.normalisation.apply(image, limits)
    np.testing.assert_array_equal(found.frame[0], whole[448:1088, 448:1088])


@pytest.fixture
def half_known(blobs):
    """Return a frame of which only the left half was corrected; the right one lies."""
    image, mask = blobs
    labels = mask.astype(np.uint8)
    labels[:, 60:] = 1 - labels[:, 60:]
    weight = np.zeros(mask.shape, np.float32)
    weight[:, :60] = 1
    return TrainingImage("half", image[None] / 100, labels, weight=weight)


def test_patches_lie_where_labels_count_and_say_where(half_known):
    frames, labels, weight, _ = PatchSampler([half_known], 32, 1.0, 0, 0, 0).batch(40)
    assert weight.shape == labels.shape
    assert set(weight.unique().tolist()) == {0, 1}
    assert weight.flatten(1).any(1).all()
    # Where they count, bright is an object; the lie is not seen at all.
    bright = frames[:, 0] > 0.7
    assert (bright == labels.bool())[weight > 0].float().mean() > 0.95
    assert not labels[weight == 0].any()


def test_every_known_pixel_is_held_out_once(half_known, blobs):
    whole = TrainingImage("whole", half_known.frame, blobs[1].astype(np.uint8))
    parts = folds([half_known, whole], 2, np.random.default_rng(0))
    assert len(parts) == 2
    held = {"half": np.zeros((96, 120)), "whole": np.zeros((96, 120))}
    for train, validate in parts:
        assert any(image.annotated.any() for image in train)
        assert any(image.annotated.any() for image in validate)
        for image in validate:
            held[image.name] += image.weight
            for other in train:
                if other.name == image.name:
                    assert not (other.weight * image.weight).any()
    np.testing.assert_array_equal(held["half"], half_known.weight)
    assert (held["whole"] == 1).all()


def test_suggestions_follow_what_was_corrected(half_known):
    y, x = np.mgrid[:512, :512]
    large = ((y % 128 - 64) ** 2 + (x % 128 - 64) ** 2 < 24**2).astype(np.uint8)
    frame = np.zeros((1, 512, 512), np.float32)
    wish = FineTuneRequest("nuclei-s-net", "new", Schedule(minutes=3), seed=7)
    tuned = CheckpointInfo("new", "s-net", parent="nuclei-s-net")
    fresh = CheckpointInfo("new", "unet-sharp")
    few = suggest_settings(wish, [half_known], tuned)
    many = suggest_settings(wish, [TrainingImage(str(k), frame, large) for k in range(8)], fresh)
    assert (few.schedule.minutes, few.seed, few.name) == (3, 7, "new")
    assert few.validation.folds == 2
    assert many.validation.folds == 1
    assert many.schedule.steps > few.schedule.steps
    assert many.schedule.patch == 128 > few.schedule.patch
    assert few.full_training.steps > few.schedule.steps
    rates = [
        few.schedule.learning_rate,
        few.full_training.learning_rate,
        many.schedule.learning_rate,
    ]
    assert len(set(rates)) == 3
    assert rates == sorted(rates)
    everything = [TrainingImage(str(k), frame, large) for k in range(80)]
    rarely = suggest_settings(wish, everything, tuned)
    assert rarely.validation.validate_every > many.validation.validate_every
    # Strokes along the middle of things are easy to get right, borders are not.
    strokes = replace(half_known, sparse=True)
    assert few.needs_full_training(0.6)
    assert not few.needs_full_training(0.8)
    assert suggest_settings(wish, [strokes, half_known], tuned).needs_full_training(0.8)


@pytest.mark.parametrize(
    ("head", "asked", "frames", "lets_go"),
    [
        ("distance", None, 1, False),
        ("distance", None, 8, False),  # what it knows is more than these frames
        ("distance", "distance", 8, True),  # a new head has everything to learn
        ("", None, 2, False),
        ("", None, 8, True),
    ],
)
def test_a_start_for_objects_is_not_let_go_for_a_few_frames(head, asked, frames, lets_go):
    start = CheckpointInfo("new", "unet-sharp", parent="old", objects=True, head=head)
    image = TrainingImage("a", np.zeros((1, 64, 64), np.float32), np.ones((64, 64), np.uint8))
    wish = FineTuneRequest("old", "new", head=asked)
    asked_for = suggest_settings(wish, [image] * frames, start)
    assert asked_for.needs_full_training(0.5) is lets_go
    assert asked_for.needs_full_training(0.1)


def test_images_of_several_channels_are_learnt_in_colour():
    start, wish = CheckpointInfo("start", "u2net-msac"), FineTuneRequest("start", "new")
    rgb, grey = (ImageAxes("YXC"), (50, 60, 3)), (ImageAxes("YX"), (50, 60))
    assert read_colour(wish, start, [rgb, rgb]).in_channels == 3
    assert read_colour(wish, start, [(ImageAxes("YXC"), (50, 60, 4))]).in_channels == 3
    assert read_colour(wish, start, [(ImageAxes("CZYX"), (4, 9, 50, 60))]).in_channels == 4
    assert read_colour(wish, start, [rgb, grey]) == wish
    assert read_colour(wish, start, [grey]) == wish
    assert read_colour(wish, replace(start, in_channels=2), [rgb]) == wish
    held = wish.adjusted(keep_always=True)
    assert read_colour(held, start, [rgb]) == held
    chosen = replace(wish, in_channels=1)
    assert read_colour(chosen, start, [rgb]) == chosen


def test_what_learnt_from_colours_sees_grey_thrice():
    frame = np.arange(12.0).reshape(1, 3, 4)
    seen = select_channels(frame, CheckpointInfo("rgb", "u2net-msac", in_channels=3))
    np.testing.assert_array_equal(seen, frame[[0, 0, 0]])
    with pytest.raises(CheckpointError, match="needs 2 channels, but the image has 1"):
        select_channels(frame, CheckpointInfo("two", "u2net-msac", in_channels=2))
