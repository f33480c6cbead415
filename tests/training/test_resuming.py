"""A run that was interrupted anywhere ends as if it had not been, to the bit on a CPU."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import src_models
from napari_seglite import FineTuner, FineTuneRequest
from napari_seglite.checkpoints import CheckpointInfo, replay
from napari_seglite.errors import Cancelled
from napari_seglite.images import TrainingImage
from napari_seglite.runtime import RandomState
from napari_seglite.training import (
    Finished,
    FullTraining,
    Message,
    RunCallbacks,
    StepDone,
    saved_state,
    training_run,
)
from napari_seglite.training.patches import PatchSampler
from napari_seglite.training.trainer import Trainer


@pytest.fixture
def images(turned_blobs):
    return turned_blobs(4)


@pytest.fixture(autouse=True)
def saved_often(monkeypatch):
    """Save the state of a run after every step."""
    monkeypatch.setattr(training_run, "SAVE_EVERY", -1)


@pytest.fixture
def starts(store, images):
    """Save a start with dropout and a replay buffer."""
    save_start(store, images, "unet-sharp", preset="tiny")
    return store


def save_start(store, images, network, **options):
    torch.manual_seed(0)
    weights = src_models.create(network, **options).state_dict()
    kept = replay.pack(replay.choose(images, [], np.random.default_rng(0)))
    store.save(CheckpointInfo(f"{network}-0", network, options=options), weights, replay=kept)


def request(start="unet-sharp-0", **settings):
    defaults = {
        "steps": 6,
        "minutes": 1000,
        "batch": 2,
        "patch": 32,
        "validate_every": 2,
        "learning_rate": 2e-3,
        "device": "cpu",
        "keep_unimproved": True,
    }
    return FineTuneRequest(start, "tuned").adjusted(**{**defaults, **settings})


def interrupted(wanted, images, after, callbacks=None, **arguments):
    """Run until some steps are made, and drop the run as a crash would."""
    events = []

    def steps():
        return sum(isinstance(event, StepDone) for event in events)

    run = FineTuner(wanted, images, **arguments).run(
        abort=lambda: steps() >= after, callbacks=callbacks
    )
    with pytest.raises(Cancelled):
        collect(run, events)
    return steps()


def collect(run, events):
    for event in run:  # one by one, since the run asks what there is
        events.append(event)


def outcome(store, name):
    info, network = store.load(name)
    return info, network.state_dict()


def assert_equal(store, first, second):
    (info, weights), (other, others) = outcome(store, first), outcome(store, second)
    assert weights.keys() == others.keys()
    assert [k for k in weights if not torch.equal(weights[k], others[k])] == []
    assert info.curves == other.curves
    assert info.scores == other.scores
    assert info.data_digest == other.data_digest
    assert info.settings["steps_done"] == other.settings["steps_done"]


CASES = {
    "validated": {},
    "last weights": {"keep_best": False},
    "scan": {"start": "s-net-0", "steps": 4, "keep_best": False},
    "norms": {"start": "u2net-msac-0", "steps": 4, "keep_best": False},
    "full training": {"full_training": FullTraining(3e-3), "keep_best": False},
    "held": {"full_training": FullTraining(3e-3), "keep_always": True, "keep_best": False},
    "interpolated": {"interpolation": 0.5, "keep_best": False, "trainable": "decoder"},
    "scratch": {"start": "u2net-msac", "steps": 4, "keep_best": False},
    "bfloat16": {"precision": "bfloat16", "keep_best": False},
}


@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_run_ends_as_a_whole_one(starts, images, case):
    settings = CASES[case]
    if case in ("scan", "norms"):
        save_start(starts, images, {"scan": "s-net", "norms": "u2net-msac"}[case])
    whole = request(**settings)
    list(FineTuner(whole, images).run())
    steps = whole.schedule.steps
    for after in (1, 3, 5) if steps > 4 else (3,):
        name = f"after-{after}"
        again = request(**settings, name=name)
        interrupted(again, images, after)
        events = list(FineTuner(again, images).run())
        assert f"Going on from step {after}, where" in " ".join(e.text for e in events)
        assert sum(isinstance(e, StepDone) for e in events) == steps - after
        assert_equal(starts, "tuned", name)


def test_it_can_be_interrupted_again_and_again(starts, images):
    list(FineTuner(request(keep_best=False), images).run())
    again, lives, finished = request(name="again", keep_best=False), 0, False
    while not finished:
        made, lives = 0, lives + 1
        run = FineTuner(again, images).run()
        for event in run:
            made += isinstance(event, StepDone)
            finished = isinstance(event, Finished)
            if made == 2:  # the second one is not saved
                run.close()
    assert lives == 6
    assert_equal(starts, "tuned", "again")


def test_steps_after_the_last_saved_state_are_made_again(starts, images, monkeypatch):
    list(FineTuner(request(keep_best=False), images).run())
    again = request(name="again", keep_best=False)
    interrupted(again, images, 3)
    monkeypatch.setattr(training_run, "SAVE_EVERY", math.inf)
    assert interrupted(again, images, 2) == 2  # steps 4 and 5, of which nothing is saved
    events = list(FineTuner(again, images).run())
    assert [e.status.step for e in events if isinstance(e, StepDone)] == [4, 5, 6]
    assert_equal(starts, "tuned", "again")


@pytest.mark.parametrize("after", [1, 4, 7, 8])
def test_cross_validation_goes_on_where_it_was(starts, images, after):
    settings = {"folds": 2, "steps": 9, "validate_every": 2, "keep_best": False}
    whole = list(FineTuner(request(**settings), images[:2]).run())
    assert sum(isinstance(e, StepDone) for e in whole) == 9  # the last part learns something
    again = request(**settings, name="again")
    interrupted(again, images[:2], after)
    events = list(FineTuner(again, images[:2]).run())
    made = sum(isinstance(e, StepDone) for e in events)
    assert made == sum(isinstance(e, StepDone) for e in whole) - after
    assert_equal(starts, "tuned", "again")


def test_a_run_that_stumbled_goes_on_as_it_was(starts, images, monkeypatch):
    """With half the rate after a loss that was no number, and half the batch."""
    true_step = Trainer.step

    def stumbling(trainer, batch, share):
        if len(batch[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if trainer._steps == 2 and trainer.rate == 2e-3:
            return math.nan
        return true_step(trainer, batch, share)

    monkeypatch.setattr(Trainer, "step", stumbling)
    list(FineTuner(request(keep_best=False), images).run())
    again = request(name="again", keep_best=False)
    interrupted(again, images, 4)
    # What went wrong before does not happen again.
    monkeypatch.setattr(Trainer, "step", true_step)
    list(FineTuner(again, images).run())
    assert_equal(starts, "tuned", "again")


def test_corrections_that_joined_stay(starts, images):
    """With the images as they are now, the same frames are held out and the same patches drawn."""
    more = [*images, *(TrainingImage(f"new {k}", i.frame, i.labels) for k, i in enumerate(images))]

    def joining():
        waiting = [more]
        return RunCallbacks(new_examples=lambda: waiting.pop() if waiting else None)

    list(FineTuner(request(keep_best=False, steps=7), images).run(callbacks=joining()))
    again = request(name="again", keep_best=False, steps=7)
    interrupted(again, images, 5, joining())
    events = list(FineTuner(again, more).run())
    assert "Going on from step 5" in " ".join(event.text for event in events)
    assert_equal(starts, "tuned", "again")


def test_a_changed_held_out_frame_means_a_new_run(starts, images):
    wanted = request()
    interrupted(wanted, images, 3)
    changed = [TrainingImage(i.name, i.frame, 1 - i.labels) for i in images]
    events = list(FineTuner(wanted, changed).run())
    assert any("held-out frames changed" in event.text for event in events)
    assert sum(isinstance(event, StepDone) for event in events) == 6


def edited(path, change):
    """Write a saved state again with another card, and a checksum that is right."""
    with safe_open(path, "pt") as file:
        card = json.loads(file.metadata()["run"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(card, tensors)
    card["sum"] = saved_state._checksum(tensors)
    save_file(tensors, path, metadata={"run": json.dumps(card)})


DAMAGES = {
    "earlier version": lambda card, _: card.update(format=1),
    "no sampler": lambda card, _: card["numbers"].pop("sampler"),
    "short sampler": lambda card, _: card["numbers"]["sampler"]["augmentation"].pop(),
    "odd number": lambda card, _: card["numbers"]["progress"].update(unknown=1),
    "no weights": lambda _, tensors: tensors.pop(next(k for k in tensors if "network" in k)),
    "no best": lambda _, tensors: tensors.pop(next(k for k in tensors if "best" in k)),
}


@pytest.mark.parametrize("damage", [*DAMAGES, "cut", "flipped", "empty"])
def test_a_state_that_is_damaged_or_old_means_a_new_run(starts, images, damage):
    list(FineTuner(request(keep_best=False), images).run())
    again = request(name="again", keep_best=False)
    interrupted(again, images, 3)
    path = starts.folder.parent / "training" / "again.safetensors"
    blob = path.read_bytes()
    if damage == "cut":
        path.write_bytes(blob[: len(blob) // 2])
    elif damage == "flipped":
        path.write_bytes(blob[:-9] + bytes([blob[-9] ^ 1]) + blob[-8:])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        edited(path, DAMAGES[damage])
    events = list(FineTuner(again, images).run())
    assert sum(isinstance(event, StepDone) for event in events) == 6
    assert_equal(starts, "tuned", "again")


def test_a_state_that_cannot_be_saved_is_told_once(starts, images):
    """Training goes on, and what can be saved later is."""
    folder = starts.folder.parent / "training"
    folder.write_text("in the way of the folder")
    events = []
    for event in FineTuner(request(keep_best=False), images).run():
        events.append(event)
        if isinstance(event, StepDone) and event.status.step == 4:
            folder.unlink()
        if isinstance(event, StepDone) and event.status.step == 6:
            assert (folder / "tuned.safetensors").exists()
    told = [e.text for e in events if isinstance(e, Message) and "cannot be saved" in e.text]
    assert len(told) == 1
    assert str(folder) in told[0]
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(e, StepDone) for e in events) == 6


def test_a_state_that_cannot_be_saved_is_told_once_for_all_parts(starts, images):
    (starts.folder.parent / "training").write_text("in the way of the folder")
    events = list(FineTuner(request(folds=2, steps=9), images[:2]).run())
    assert sum("cannot be saved" in event.text for event in events) == 1
    assert isinstance(events[-1], Finished)


def test_a_sampler_goes_on_with_the_patches_it_would_have_drawn(images):
    def sampler(seed):
        return PatchSampler(images, 48, 1.25, 0.5, 1, seed)

    first = sampler(0)
    first.batch(5)
    state = json.loads(json.dumps(first.state()))
    other = sampler(1)
    other.batch(3)
    other.restore(state)
    for _ in range(5):
        assert torch.equal(first.batch(4)[0], other.batch(4)[0])


def test_a_random_state_goes_on():
    first, other = RandomState(0), RandomState(1)
    with first.active():
        torch.rand(5)
    other.restore(first.state())
    drawn = []
    for random in (first, other):
        with random.active():
            drawn.append(torch.rand(7))
    assert torch.equal(*drawn)
    with pytest.raises(ValueError, match="another kind"):
        other.restore([])
