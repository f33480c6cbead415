"""What happens around the steps: memory, crashes, pauses, previews, and what is not forgotten."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import src_models
from napari_seglite import FineTuner, FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.checkpoints import replay
from napari_seglite.errors import (
    AnnotationError,
    Cancelled,
    CheckpointError,
    DeviceError,
    SegliteError,
)
from napari_seglite.images import TrainingImage
from napari_seglite.runtime import RandomState
from napari_seglite.training import (
    Finished,
    FullTraining,
    Previewed,
    RunCallbacks,
    StepDone,
    training_run,
)
from napari_seglite.training.held_out import HeldOut
from napari_seglite.training.sampling import with_replay
from napari_seglite.training.trainer import Trainer, mean_weights, trainable_parameters
from napari_seglite.training.training_run import TrainingRun
from napari_seglite.training.weight_transfer import transfer_weights


@pytest.fixture
def images(turned_blobs):
    return turned_blobs(4)


def request(**settings):
    defaults = {
        "steps": 4,
        "batch": 2,
        "patch": 32,
        "validate_every": 2,
        "device": "cpu",
        # A step or two rarely improve anything, and most tests look at the checkpoint.
        "keep_unimproved": True,
    }
    return FineTuneRequest("light", "tuned").adjusted(**{**defaults, **settings})


def distance(store, first, second):
    a, b = store.load(first)[1], store.load(second)[1]
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return math.sqrt(sum(float((p - q).detach().square().sum()) for p, q in pairs))


def test_pixels_nobody_labelled_teach_nothing(store, light, images):
    """Whatever is written where the weight is 0, the same weights come out."""
    weight = np.zeros((64, 64), np.float32)
    weight[:, :40] = 1
    rng = np.random.default_rng(0)
    for name in ("zeros", "noise"):
        given = []
        for image in images:
            labels = image.labels.copy()
            labels[:, 40:] = 0 if name == "zeros" else rng.integers(0, 2, (64, 24))
            given.append(TrainingImage(image.name, image.frame, labels, weight=weight))
        list(FineTuner(request(name=name, keep_best=False, steps=2), given).run())
    assert distance(store, "zeros", "noise") == 0
    assert distance(store, "zeros", "light") > 0


def test_an_anchor_holds_the_weights_back(store, light, images):
    for name, anchor in (("free", 0.0), ("held", 0.99)):
        list(FineTuner(request(name=name, anchor=anchor, keep_best=False), images).run())
    assert distance(store, "held", "light") < 0.9 * distance(store, "free", "light")


@pytest.mark.parametrize("network", src_models.names())
def test_the_encoder_can_rest(network):
    built = src_models.create(network, **({"preset": "small"} if network == "unet-sharp" else {}))
    weights = dict(built.named_parameters())
    learning = trainable_parameters(built, network, "decoder")
    assert trainable_parameters(built, network, "all") == set(weights)
    encoder = src_models.card(network).encoder
    still = set(weights) - learning
    assert still
    assert all(name.startswith(encoder) for name in still)
    assert any(weights[name].ndim == 4 for name in still)
    share = sum(weights[n].numel() for n in still) / sum(w.numel() for w in weights.values())
    assert 0.05 < share < 0.95


def test_only_the_decoder_learns(store, light, images):
    settings = {"trainable": "decoder", "keep_best": False, "steps": 2}
    list(FineTuner(request(**settings), images).run())
    before, after = (store.load(name)[1].state_dict() for name in ("light", "tuned"))
    assert torch.equal(before["stages.0.entry.0.weight"], after["stages.0.entry.0.weight"])
    assert not torch.equal(before["stages.0.entry.1.weight"], after["stages.0.entry.1.weight"])
    assert not torch.equal(before["fusion.weight"], after["fusion.weight"])


def test_what_was_learnt_is_kept_for_later(store, light, images):
    list(FineTuner(request(name="first", steps=1), images).run())
    kept = replay.read(store.path("first"))
    assert len(kept) == replay.COUNT // 2
    assert {image.frame.shape for image in kept} == {(1, 64, 64)}
    match = [any(np.allclose(k.frame, i.frame, atol=2e-3) for i in images) for k in kept]
    assert all(match)
    other = [TrainingImage(i.name, 1 - i.frame, i.labels) for i in images]
    list(FineTuner(request(checkpoint="first", name="second", steps=1), other).run())
    kept = replay.read(store.path("second"))
    assert len(kept) == replay.COUNT  # half of them from its parent
    shares = [image.share for image in with_replay(other, kept, 0.25)]
    assert sum(shares[len(other) :]) == pytest.approx(0.25 * sum(shares))


def test_replay_changes_what_is_learnt(store, light, images):
    list(FineTuner(request(name="first", steps=1), images).run())
    for name, share in (("with", 0.5), ("without", 0.0)):
        settings = {"checkpoint": "first", "name": name, "replay": share, "keep_best": False}
        list(FineTuner(request(**settings, steps=1), images).run())
    assert distance(store, "with", "without") > 0


@pytest.mark.parametrize("folds", [1, 2])
def test_a_start_that_knows_nothing_is_let_go(store, light, images, folds):
    """Whoever asks for a rate for such starts gets the run of that rate, without replay."""
    list(FineTuner(request(name="first", steps=1), images).run())
    assert len(replay.read(store.path("first")))
    settings = {"checkpoint": "first", "keep_best": False, "folds": folds, "steps": 6}
    settings["first_answer"] = False  # which is left out without full training
    plain = {"learning_rate": 1e-5, **settings}
    at_once = {**settings, "learning_rate": 3e-3}
    free = {"replay": 0.0, "anchor": 0.0}
    cases = {
        "found": {**plain, "full_training": FullTraining(3e-3, 6), "steps": 3},
        "asked": {**at_once, **free},
        "held": {**plain, "full_training": FullTraining(3e-3), "keep_always": True},
        "both": {**at_once, "replay": 0.5},
    }
    for name, case in cases.items():
        events = list(FineTuner(request(name=name, **case), images).run())
        assert events[-1].before < 0.5
        told = any("at the full learning rate" in event.text for event in events)
        assert told == ("full_training" in case)
    assert distance(store, "found", "asked") == 0
    assert distance(store, "held", "both") == 0
    assert distance(store, "held", "found") > 0


def test_a_loss_that_is_no_number_steps_back(store, light, images, monkeypatch):
    true_step, seen = Trainer.step, []

    def stumbling(trainer, batch, progress):
        seen.append(progress)
        return math.nan if len(seen) == 3 else true_step(trainer, batch, progress)

    monkeypatch.setattr(Trainer, "step", stumbling)
    events = list(FineTuner(request(), images).run())
    assert any("not a number" in event.text for event in events)
    assert isinstance(events[-1], Finished)
    assert len(seen) == 5  # four steps, one of them twice
    assert all(w.isfinite().all() for w in store.load("tuned")[1].parameters())


def test_less_memory_means_fewer_patches(light, images, monkeypatch):
    true_step, sizes = Trainer.step, []

    def short_of_memory(trainer, batch, progress):
        sizes.append(len(batch[0]))
        if len(batch[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return true_step(trainer, batch, progress)

    monkeypatch.setattr(Trainer, "step", short_of_memory)
    most = 1
    events = list(FineTuner(request(batch=4), images).run())
    assert sizes == [4, 2, 1, 1, 1, 1]
    assert sum("Memory ran out" in event.text for event in events) == 2
    most = 0
    with pytest.raises(DeviceError, match="single patch"):
        list(FineTuner(request(name="other"), images).run())


def test_an_interrupted_run_goes_on(store, light, images, monkeypatch):
    monkeypatch.setattr(training_run, "SAVE_EVERY", 0)
    whole = list(FineTuner(request(name="whole", steps=6, keep_best=False), images).run())
    made = []
    run = FineTuner(request(steps=6), images).run(abort=lambda: len(made) > 3)
    with pytest.raises(Cancelled):
        made.extend(event for event in run if isinstance(event, StepDone))
    state = store.folder.parent / "training" / "tuned.safetensors"
    assert state.is_file()

    # Other settings are another run.
    other = list(FineTuner(request(steps=6, name="other"), images).run())
    assert [e.status.step for e in other if isinstance(e, StepDone)] == [1, 2, 3, 4, 5, 6]
    events = list(FineTuner(request(steps=6), images).run())
    assert "Going on from step 3, where training was interrupted." in [e.text for e in events]
    assert [e.status.step for e in events if isinstance(e, StepDone)] == [4, 5, 6]
    assert not state.exists()
    info = store.info("tuned")
    assert [step for step, _ in info.curves["loss"]] == [1, 2, 3, 4, 5, 6]
    assert info.scores["validation_dice_before"] == whole[-1].before


def test_an_interrupted_run_makes_no_part_twice(store, light, images):
    settings = {"folds": 2, "steps": 12, "learning_rate": 2e-3, "keep_best": False}
    made = []
    run = FineTuner(request(**settings), images[:1]).run(abort=lambda: len(made) > 5)
    with pytest.raises(Cancelled):
        made.extend(event for event in run if isinstance(event, StepDone))
    assert [event.status.step for event in made] == [1, 2, 3, 4, 5, 6]
    assert [event.status.part_step for event in made] == [1, 2, 3, 4, 1, 2]
    events = list(FineTuner(request(**settings), images[:1]).run())
    whole = list(FineTuner(request(**settings, name="whole"), images[:1]).run())
    first = [e for e in events if "part 1 of 2" in e.text and isinstance(e, StepDone)]
    assert first == []
    assert store.info("tuned").settings["steps_done"] == 12
    # The first part is as it was, so what was held out there scored the same.
    assert events[-1].before == whole[-1].before
    assert not list((store.folder.parent / "training").iterdir())


def test_the_last_part_goes_on_from_the_mean_of_the_others(store, light, images):
    settings = {"folds": 2, "steps": 3, "validate_every": 1, "keep_best": False, "anchor": 0}
    list(FineTuner(request(**settings, learning_rate=5e-2), images[:1]).run())
    settings = {"steps": 1, "keep_best": False, "anchor": 0}
    list(FineTuner(request(name="single", **settings, learning_rate=5e-2), images[:1]).run())
    assert distance(store, "tuned", "light") > 1.3 * distance(store, "single", "light")


def test_part_of_the_way(store, light, images):
    settings = {"keep_best": False, "anchor": 0, "learning_rate": 5e-2, "steps": 1}
    list(FineTuner(request(**settings), images).run())
    list(FineTuner(request(name="near", interpolation=0.25, **settings), images).run())
    ratio = distance(store, "near", "light") / distance(store, "tuned", "light")
    assert ratio == pytest.approx(0.25, rel=1e-3)
    # A start that knows nothing is left behind.
    anew = request(name="anew", interpolation=0.25, full_training=FullTraining(5e-2), **settings)
    anew = anew.for_full_training()
    list(FineTuner(anew, images).run())
    assert distance(store, "anew", "light") == pytest.approx(distance(store, "tuned", "light"))
    with pytest.raises(SegliteError, match="interpolation"):
        request(interpolation=0)


@pytest.mark.parametrize(("scores", "best"), [([0.8, 0.803, 0.806], 2), ([0.3, 0.303, 0.3], 1)])
def test_a_good_start_is_not_left_for_what_may_be_chance(light, images, monkeypatch, scores, best):
    given = iter(scores)
    monkeypatch.setattr(HeldOut, "_scores", lambda *_: [next(given)])
    trainer = Trainer(light.build(), light, request(), "cpu", RandomState(0))
    run = TrainingRun(trainer, request(steps=2, validate_every=1), images[1:], images[:1])
    list(run.run(lambda: False, lambda: False))
    assert (run.progress.best, run.progress.best_step) == (scores[best], best)


def test_the_mean_of_weights():
    a = torch.tensor([1.0, 2.0])
    counts = torch.tensor(3)
    mean = mean_weights([{"w": a, "n": counts}, {"w": 3 * a, "n": counts + 1}])
    torch.testing.assert_close(mean, {"w": 2 * a, "n": counts + 1})


def test_pausing(light, images):
    asked = []

    def paused():
        asked.append(len(steps))
        return len(steps) == 2 and asked.count(2) < 6

    steps, texts = [], []
    for event in FineTuner(request(), images).run(callbacks=RunCallbacks(paused=paused)):
        steps += [event] if isinstance(event, StepDone) else []
        texts.append(event.text)
    assert "Paused at step 2." in texts
    assert asked.count(2) >= 6  # it waited until it was let go on
    assert len(steps) == 4


def test_a_frame_is_predicted_while_it_learns(light, images):
    watch = RunCallbacks(preview_frame=lambda: (images[0].frame, "slice 7"), preview_every=0)
    events = list(FineTuner(request(), images).run(callbacks=watch))
    previews = [event for event in events if isinstance(event, Previewed)]
    assert len(previews) == 4
    assert {event.patch for event in previews} == {"slice 7"}
    assert previews[0].probabilities.shape == (1, 64, 64)
    assert not np.array_equal(previews[0].probabilities, previews[-1].probabilities)
    steps = [event for event in events if isinstance(event, StepDone)]
    assert all(
        event.status.steps_per_second > 0 and event.status.seconds_left >= 0 for event in steps
    )


def test_new_corrections_join(store, light, images):
    extra = TrainingImage("new", images[0].frame, images[0].labels)
    waiting = [[*images, extra]]
    watch = RunCallbacks(new_examples=lambda: waiting.pop() if waiting else None)
    events = list(FineTuner(request(), images).run(callbacks=watch))
    assert any("Learning from 4 corrected frames" in event.text for event in events)  # 1 held out
    plain = store.info("tuned").data_digest
    list(FineTuner(request(name="plain", steps=1), images).run())
    assert plain != store.info("plain").data_digest


def test_few_frames_are_held_out_in_turn(store, light, images):
    settings = {"folds": 2, "steps": 12, "learning_rate": 2e-3}
    events = list(FineTuner(request(**settings), images[:1]).run())
    done = events[-1]
    texts = [event.text for event in events]
    assert any("part 1 of 2" in text for text in texts)
    assert any("part 2 of 2" in text for text in texts)
    shares = [event.status.share for event in events]
    assert shares == sorted(shares)
    assert store.info("tuned").scores["validation_dice"] == done.after
    assert store.info("tuned").settings["steps_done"] <= 12


def test_stopping_while_parts_are_held_out_keeps_what_was_learnt(store, light, images):
    steps = []
    settings = {"folds": 2, "steps": 60, "keep_best": False, "learning_rate": 2e-3}
    run = FineTuner(request(**settings), images[:2]).run(lambda: len(steps) >= 5)
    events = []
    for event in run:
        steps += [event] if isinstance(event, StepDone) else []
        events.append(event)
    assert isinstance(events[-1], Finished)
    assert store.info("tuned").settings["steps_done"] == 5
    assert distance(store, "tuned", "light") > 0
    assert store.info("tuned").scores["validation_dice"] == events[-1].after


def test_more_classes_keep_the_trunk(store, light, images):
    three = [TrainingImage(i.name, i.frame, i.labels * 2) for i in images]
    names = ("background", "disc", "ring")
    settings = {"class_names": names, "keep_best": False, "steps": 1, "learning_rate": 1e-9}
    list(FineTuner(request(**settings, anchor=0), three).run())
    info, network = store.load("tuned")
    assert (info.classes, info.class_names) == (3, names)
    before = store.load("light")[1].state_dict()
    after = network.state_dict()
    trunk = "stages.0.entry.0.weight"
    assert before.keys() == after.keys()
    torch.testing.assert_close(before[trunk], after[trunk], rtol=0, atol=1e-6)
    assert after["fusion.weight"].shape[0] == 3
    renamed = request(name="b", class_names=("background", "cell"), steps=1)
    list(FineTuner(renamed, images).run())
    assert store.info("b").class_names == ("background", "cell")
    assert store.info("b").classes == 1
    with pytest.raises(CheckpointError, match="at least one class"):
        FineTuner(request(name="c", class_names=("background",)), images)
    beyond = [TrainingImage("x", images[0].frame, images[0].labels * 3)]
    with pytest.raises(AnnotationError, match="label 3"):
        FineTuner(request(checkpoint="tuned", name="d"), beyond)


def test_another_number_of_channels(light, images):
    old = src_models.create("u2net-msac", 1)
    new = src_models.create("u2net-msac", 3)
    fresh = transfer_weights(new, old.state_dict())
    assert fresh == []
    frame = torch.from_numpy(images[0].frame.copy())[None]
    with torch.no_grad():
        one = old.eval()(frame)
        three = new.eval()(frame.repeat(1, 3, 1, 1))
    torch.testing.assert_close(one, three, rtol=1e-4, atol=1e-5)


def test_several_classes_begin_as_the_one_there_was():
    torch.manual_seed(0)
    old = src_models.create("unet-sharp", 1, 1, preset="tiny")
    new = src_models.create("unet-sharp", 1, 3, preset="tiny")
    before = {name: value.clone() for name, value in new.state_dict().items()}
    fresh = transfer_weights(new, old.state_dict())
    assert "row_heads.3.weight" in fresh
    weight = new.row_heads[3].weight - before["row_heads.3.weight"]
    torch.testing.assert_close(weight[1:], old.row_heads[3].weight.expand(2, -1, -1, -1))
    assert not weight[0].any()
    torch.testing.assert_close(new.nodes["0_4"][0][0].weight, old.nodes["0_4"][0][0].weight)


def test_colours_join_a_grey_checkpoint(store, light, images):
    colours = [
        TrainingImage(i.name, np.repeat(i.frame, 3, axis=0), i.labels, weight=i.weight)
        for i in images
    ]
    list(FineTuner(request(name="grey", steps=1), images).run())
    settings = {"checkpoint": "grey", "in_channels": 3, "steps": 1, "replay": 0.5}
    list(FineTuner(request(**settings), colours).run())
    info, _ = store.load("tuned")
    assert info.in_channels == 3
    kept = replay.read(store.path("tuned"))
    assert {len(image.frame) for image in kept} == {3}
    assert len(kept) == replay.COUNT  # what was grey is among them


def test_colours_change_nothing_to_begin_with(store, light, blobs):
    image, _ = blobs
    colours = np.stack([image * 0.2 + 0.7, image, image * 0.1], axis=-1)
    wide = replace(light, id="wide", in_channels=3)
    network = wide.build()
    transfer_weights(network, store.load("light")[1].state_dict())
    store.save(wide, network.state_dict())
    grey, colour = (
        Segmenter(store).segment(colours, SegmentRequest(name, "YXC", "cpu"))
        for name in ("light", "wide")
    )
    np.testing.assert_allclose(colour.probabilities, grey.probabilities, atol=1e-3)


def test_the_shipped_checkpoint_remembers_nuclei(store):
    kept = replay.read(store.path("nuclei-s-net"))
    assert len(kept) >= 12
    assert all(image.frame.shape[0] == 1 for image in kept)
    assert sum(image.labels.any() for image in kept) == len(kept)
