import numpy as np
import pytest
import torch

from napari_seglite import FineTuner, FineTuneRequest
from napari_seglite.errors import AnnotationError, Cancelled, CheckpointError, SegliteError
from napari_seglite.images import ImageAxes, Normalisation, TrainingImage
from napari_seglite.training import Finished, StepDone, Validated, image_examples
from napari_seglite.training.examples import digest
from napari_seglite.training.patches import PatchSampler
from napari_seglite.training.splits import split


@pytest.fixture
def images(blobs):
    image, mask = blobs
    normal = Normalisation()
    frame = normal.apply(image, normal.limits(image))[None]
    turned = [np.rot90(frame, k, (1, 2)).copy() for k in range(4)]
    masks = [np.rot90(mask, k).astype(np.uint8) for k in range(4)]
    return [
        TrainingImage(f"blobs {k}", f, m)
        for k, (f, m) in enumerate(zip(turned, masks, strict=True))
    ]


def request(**settings):
    defaults = {
        "steps": 4,
        "batch": 2,
        "patch": 32,
        "validate_every": 2,
        "device": "cpu",
    }
    return FineTuneRequest("untrained", "tuned").adjusted(**{**defaults, **settings})


def test_learns_and_keeps_its_history(store, untrained, images):
    events = list(FineTuner(request(steps=60, validate_every=20, learning_rate=2e-3), images).run())
    start = next(e for e in events if isinstance(e, Validated))
    done = events[-1]
    assert isinstance(done, Finished)
    assert done.after > start.dice + 0.2
    assert [e.status.step for e in events if isinstance(e, StepDone)] == list(range(1, 61))
    info = store.info("tuned")
    assert info == done.checkpoint
    assert info.parent == "untrained"
    assert info.scores == {"validation_dice_before": start.dice, "validation_dice": done.after}
    assert info.data_digest == digest(images)
    assert info.settings["seed"] == 0
    assert info.settings["steps_done"] == 60
    assert {"torch", "numpy", "python"} <= info.versions.keys()


def test_same_seed_same_weights(store, untrained, images):
    weights = []
    for name in ("a", "b"):
        torch.rand(3)  # whatever others did to the global generator must not matter
        list(FineTuner(request(name=name), images).run())
        weights.append(store.load(name)[1].state_dict())
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    list(FineTuner(request(name="c", seed=1, steps=2), images).run())


def test_training_leaves_the_global_generator_alone(untrained, images):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    list(FineTuner(request(), images).run())
    assert torch.equal(torch.rand(1), expected)


def test_stopping_keeps_what_was_learnt(store, untrained, images):
    taken = []

    def enough():
        return len(taken) >= 3

    events = []
    for event in FineTuner(request(steps=1000, validate_every=2), images).run(enough):
        taken += [event] if isinstance(event, StepDone) else []
        events.append(event)
    assert max(e.status.step for e in events) == 3
    assert [type(e) for e in events[-2:]] == [Validated, Finished]  # the last step is scored
    assert store.info("tuned").settings["steps_done"] == 3


def test_aborting_keeps_nothing(store, untrained, images):
    steps = []

    def closing():
        return len(steps) > 1

    run = FineTuner(request(), images).run(abort=closing)
    with pytest.raises(Cancelled):
        steps.extend(event for event in run if isinstance(event, StepDone))
    assert [i.id for i in store.list() if not (store.built_in / i.id).exists()] == ["untrained"]


@pytest.fixture
def perfect(store):
    """Return a frame with the labels the shipped checkpoint itself gives it: Dice 1."""
    from napari_seglite import SegmentRequest, segment
    from napari_seglite.widgets import sample_data

    image = sample_data.load("fluorescence")[0][:96, :160]
    request = SegmentRequest("nuclei-s-net", "YX", "cpu", output="semantic")
    labels = segment(image, request).labels
    return image_examples("nuclei", image, labels, ImageAxes("YX"), store.info("nuclei-s-net")) * 2


def test_no_progress_no_checkpoint(store, perfect):
    """What cannot get better is not saved under another name, and the end says so."""
    start = {"checkpoint": "nuclei-s-net", "learning_rate": 0.1}
    before = [info.id for info in store.list()]
    *_, done = FineTuner(request(**start, steps=2), perfect).run()
    assert isinstance(done, Finished)
    assert (done.checkpoint, done.before, done.after) == (None, 1, 1)
    assert "did not improve" in done.text
    assert "no checkpoint was saved" in done.text
    assert [info.id for info in store.list()] == before
    assert not list(store.folder.parent.glob("training/*"))  # nor a state to go on from


def test_a_copy_is_saved_for_who_asks_for_it(store, perfect):
    start = {"checkpoint": "nuclei-s-net", "learning_rate": 0.1, "keep_unimproved": True}
    *_, done = FineTuner(request(**start, steps=2), perfect).run()
    assert done.after == 1
    assert "did not improve" in done.text
    before, after = store.load("nuclei-s-net")[1].state_dict(), store.load("tuned")[1].state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_a_run_that_comes_to_rest_keeps_its_last_weights(store, perfect):
    start = {"checkpoint": "nuclei-s-net", "learning_rate": 0.1}
    *_, done = FineTuner(request(**start, steps=2, keep_best=False), perfect).run()
    before, after = store.load("nuclei-s-net")[1].state_dict(), store.load("tuned")[1].state_dict()
    assert done.after < 1
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert "did not improve" not in done.text
    assert done.checkpoint.scores["validation_dice"] == done.after


def test_bfloat16_learns_as_float32_does(store, untrained, images):
    losses = {}
    for coarse in (False, True):
        wanted = request(
            name=f"coarse-{coarse}", steps=6, precision="bfloat16" if coarse else "float32"
        )
        losses[coarse] = [
            e.loss for e in FineTuner(wanted, images).run() if isinstance(e, StepDone)
        ]
        weights = store.load(wanted.name)[1].state_dict()
        assert all(w.dtype != torch.bfloat16 for w in weights.values())
    assert losses[True] != losses[False]
    np.testing.assert_allclose(losses[True], losses[False], rtol=0.03)


def test_patience_ends_training(perfect):
    start = {"checkpoint": "nuclei-s-net", "learning_rate": 0.1}
    tuner = FineTuner(request(**start, steps=100, patience=2, validate_every=1), perfect)
    assert max(e.status.step for e in tuner.run()) == 2


def test_from_scratch(store, images):
    list(FineTuner(request(checkpoint="s-net"), images).run())
    assert store.info("tuned").parent is None


def test_bad_annotations_are_refused(store, untrained, images):
    frame = images[0].frame
    empty = TrainingImage("empty", frame, np.zeros(frame.shape[1:], int))
    with pytest.raises(AnnotationError, match="all labels are background"):
        FineTuner(request(), [empty])
    with pytest.raises(AnnotationError, match="no annotated frame"):
        FineTuner(request(), [])
    with pytest.raises(AnnotationError, match="do not cover"):
        TrainingImage("cells", frame, np.zeros((3, 3), int))
    with pytest.raises(AnnotationError, match="whole numbers"):
        TrainingImage("cells", frame, np.zeros(frame.shape[1:]))
    with pytest.raises(AnnotationError, match="has 2 channels"):
        FineTuner(request(), [TrainingImage("two", np.repeat(frame, 2, 0), images[0].labels)])
    with pytest.raises(CheckpointError, match="already"):
        FineTuner(request(name="untrained"), images)
    with pytest.raises(SegliteError, match="steps must be above 0"):
        request(steps=0)


def test_validation_never_sees_training_pixels(images):
    rng = np.random.default_rng(0)
    train, validate = split(images, 0.25, rng)
    assert len(train) == 3
    assert len(validate) == 1
    assert validate[0].name not in {i.name for i in train}
    (left,), (right,) = split(images[:1], 0.25, rng)
    assert left.labels.shape[1] + right.labels.shape[1] == images[0].labels.shape[1]


def test_patches_repeat_and_labels_follow(images):
    def draw(seed):
        return PatchSampler(images, 48, 1.25, 0.5, 1, seed).batch(6)

    frames, labels, *_ = draw(0)
    assert frames.shape == (6, 1, 48, 48)
    assert labels.shape == (6, 48, 48)
    again, *_ = draw(0)
    assert torch.equal(frames, again)
    assert not torch.equal(frames, draw(1)[0])
    for frame, label in zip(frames, labels, strict=True):
        if 50 < label.sum() < label.numel() - 50:  # discs stay brighter, or darker if inverted
            inside, outside = frame[0][label > 0].mean(), frame[0][label == 0].mean()
            assert abs(inside - outside) > 0.2


def test_a_rare_class_is_shown_as_often_as_a_common_one():
    labels = np.ones((400, 400), np.uint8)
    labels[:20, :20] = 2
    image = TrainingImage("x", np.zeros((1, 400, 400), np.float32), labels)

    def seen(classes):
        _, found, *_ = PatchSampler([image], 32, 1.0, 0, 0, 0, classes).batch(100)
        return (found == 2).flatten(1).any(1).float().mean()

    assert seen(1) < 0.05
    assert 0.15 < seen(3) < 0.4


def test_patches_from_frames_smaller_than_a_patch():
    tiny = TrainingImage("tiny", np.zeros((1, 5, 3), np.float32), np.ones((5, 3), np.uint8))
    frames, *_ = PatchSampler([tiny], 32, 1.25, 0, 1, 0).batch(2)
    assert frames.shape == (2, 1, 32, 32)


def test_frames_are_normalised_as_for_segmenting(untrained):
    stack = np.random.default_rng(0).integers(0, 255, (3, 20, 30)).astype(np.uint8)
    labels = np.zeros(stack.shape, np.uint8)
    found = image_examples("s", stack, labels, ImageAxes("ZYX"), untrained, (1,))
    normal = untrained.normalisation
    np.testing.assert_array_equal(found[0].frame[0], normal.apply(stack[1], normal.limits(stack)))
    assert found[0].name == "s, slice 1"
    with pytest.raises(AnnotationError, match="do not cover an image"):
        image_examples("s", stack, labels[0], ImageAxes("ZYX"), untrained)


def test_frozen_norms_keep_their_statistics(store, untrained, images):
    # Long enough to get better than the start, whose weights would be kept otherwise.
    settings = {"steps": 40, "validate_every": 10, "learning_rate": 2e-3}
    list(FineTuner(request(**settings, frozen_norm=True), images).run())
    list(FineTuner(request(**settings, name="free"), images).run())
    start, frozen, free = (store.load(n)[1].state_dict() for n in ("untrained", "tuned", "free"))
    statistics = [key for key in start if "running" in key]
    assert all(torch.equal(start[key], frozen[key]) for key in statistics)
    assert not any(torch.equal(start[key], free[key]) for key in statistics)
    weights = [key for key in start if key.endswith("conv1.0.weight")]
    assert not any(torch.equal(start[key], frozen[key]) for key in weights)


def test_runs_can_share_their_validation_split(untrained, images, monkeypatch):
    """Seeds of their own, and yet the same frames to score on."""
    from napari_seglite.training import fine_tuner

    seen = []

    def watched(*arguments):
        seen.append([image.name for image in split(*arguments)[1]])
        return split(*arguments)

    monkeypatch.setattr(fine_tuner, "split", watched)
    for seed in range(6):
        settings = {"steps": 1, "batch": 1, "name": f"run-{seed}", "seed": seed}
        list(FineTuner(request(**settings, split_seed=9), images).run())
    assert len({tuple(names) for names in seen}) == 1


@pytest.mark.parametrize("network", ["u2net-msac", "unet-sharp", "m2snet"])
def test_every_network_starts_from_scratch_with_its_own_loss(store, images, network):
    from napari_seglite.checkpoints import CheckpointInfo

    options = {"preset": "small"} if network == "unet-sharp" else {}
    template = CheckpointInfo("mine", network, options=options)
    settings = {"checkpoint": network, "name": "mine", "steps": 2, "validate_every": 2}
    *_, done = FineTuner(request(**settings), images, store, template).run()
    assert done.checkpoint.options == options
    info, loaded = store.load("mine")
    assert info.network == network
    with torch.no_grad():
        assert loaded.eval()(torch.zeros(1, 1, 32, 32)).shape == (1, 1, 32, 32)
