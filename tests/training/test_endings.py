"""The last second of a run: writing the checkpoint, names, stops, and starts that are damaged."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import src_models
from napari_seglite import FineTuner, FineTuneRequest
from napari_seglite.checkpoints import CheckpointInfo, replay
from napari_seglite.errors import Cancelled, CheckpointError
from napari_seglite.runtime import interruptible
from napari_seglite.training import (
    Finished,
    LiveInput,
    LiveSession,
    Message,
    StepDone,
    Validated,
    compare_networks,
    scoring,
)


@pytest.fixture
def images(turned_blobs):
    return turned_blobs(10)


@pytest.fixture
def start(store, images):
    """Save a network with a replay buffer."""
    torch.manual_seed(0)
    kept = replay.pack(replay.choose(images, [], np.random.default_rng(0)))
    weights = src_models.create("u2net-msac").state_dict()
    return store.save(CheckpointInfo("start", "u2net-msac"), weights, replay=kept)


def request(**settings):
    defaults = {
        "steps": 4,
        "minutes": 1000,
        "batch": 2,
        "patch": 32,
        "validate_every": 2,
        "learning_rate": 2e-3,
        "device": "cpu",
        "keep_best": False,
    }
    return FineTuneRequest("start", "tuned").adjusted(**{**defaults, **settings})


def weights_of(store, name):
    return store.load(name)[1].state_dict()


def assert_equal(store, first, second):
    one, other = weights_of(store, first), weights_of(store, second)
    assert all(torch.equal(one[k], other[k]) for k in one)


# ------------------------------------------------------------------ writing
@pytest.mark.parametrize("folds", [1, 2])
def test_a_checkpoint_that_cannot_be_written_is_written_later(store, start, images, folds):
    """Its training goes on from its end, so that nothing is trained twice."""
    list(FineTuner(request(name="whole", folds=folds), images).run())
    folder, aside = store.folder, store.folder.with_name("aside")
    events = []

    def blocked_at_step_1():
        for event in FineTuner(request(folds=folds), images).run():
            yield event
            if isinstance(event, StepDone) and event.status.step == 1 and not aside.exists():
                folder.rename(aside)
                folder.write_text("in the way")

    with pytest.raises(CheckpointError, match=r"Free some space.*goes on from where it ended") as e:
        collect(blocked_at_step_1(), events)
    assert str(folder) in str(e.value)
    made = sum(isinstance(event, StepDone) for event in events)
    assert made >= 4 // (2 * folds - 1)
    folder.unlink()
    aside.rename(folder)
    again = list(FineTuner(request(folds=folds), images).run())
    assert not any(isinstance(event, StepDone) for event in again)
    assert isinstance(again[-1], Finished)
    assert_equal(store, "whole", "tuned")
    assert not list(folder.parent.glob("training/*"))


def test_a_stopped_run_that_cannot_be_written_goes_on(store, start, images):
    folder, aside, events = store.folder, store.folder.with_name("aside"), []

    def stop():
        enough = sum(isinstance(event, StepDone) for event in events) >= 3
        if enough and not aside.exists():
            folder.rename(aside)
            folder.write_text("in the way")
        return enough

    with pytest.raises(CheckpointError, match="goes on from where it ended"):
        collect(FineTuner(request(steps=50), images).run(stop), events)
    folder.unlink()
    aside.rename(folder)
    again = next(e for e in FineTuner(request(steps=50), images).run() if isinstance(e, StepDone))
    assert again.status.step == 4


def test_nothing_of_the_parent_is_needed_at_the_end(store, start, images):
    list(FineTuner(request(name="whole"), images).run())
    for event in FineTuner(request(), images).run():
        if isinstance(event, StepDone) and event.status.step == 1:
            store.delete("start")
    assert_equal(store, "whole", "tuned")
    blobs = [(store.path(name) / replay.FILE).read_bytes() for name in ("whole", "tuned")]
    assert blobs[0] == blobs[1]
    assert len(replay.read(store.path("tuned"))) == replay.COUNT  # half of them the parent's


def test_folds_need_nothing_of_the_parent_either(store, start, images):
    for event in FineTuner(request(folds=2, steps=6), images[:2]).run():
        if isinstance(event, StepDone) and (store.folder / "start").exists():
            store.delete("start")
    assert isinstance(event, Finished)
    assert store.info("tuned").parent == "start"


def test_a_name_that_was_taken_meanwhile(store, start, images):
    for event in FineTuner(request(), images).run():
        if isinstance(event, StepDone) and event.status.step == 1:
            store.save(CheckpointInfo("tuned", "u2net-msac"), weights_of(store, "start"))
            store.save(CheckpointInfo("tuned-2", "u2net-msac"), weights_of(store, "start"))
    assert event.checkpoint == store.info("tuned-3")
    assert event.checkpoint.settings["name"] == "tuned-3"
    assert "tuned-3" in event.text
    assert "tuned was taken meanwhile" in event.note
    assert event.note in event.text
    assert_equal(store, "tuned", "start")  # the one that was faster stays as it is


def test_live_learning_needs_no_parent_and_no_free_name_at_the_end(store, start, images):
    done = []
    session = LiveSession(request(), store)
    run = session.run(lambda: LiveInput(images, images[0].frame, 0), lambda: len(done) > 1)
    for event in run:
        if isinstance(event, StepDone):
            if not done:
                store.delete("start")
                store.save(
                    CheckpointInfo("tuned", "s-net"), src_models.create("s-net").state_dict()
                )
            done.append(event)
    assert event.checkpoint == store.info("tuned-2")
    assert "taken meanwhile" in event.text


def test_settings_name_threads_and_tiles(store, start, images):
    """Rounding depends on them, so that only runs with the same ones are equal to the bit."""
    from napari_seglite.inference import TILE

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        list(FineTuner(request(steps=1), images).run())
    finally:
        torch.set_num_threads(before)
    settings = store.info("tuned").settings
    assert (settings["threads"], settings["tile"]) == (2, TILE)


# ------------------------------------------------------------------ a damaged start
@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "flipped"])
def test_training_goes_on_without_a_damaged_replay_buffer(store, start, images, damage):
    path = store.path("start") / replay.FILE
    blob = path.read_bytes()
    path.write_bytes(
        {
            "cut": blob[: len(blob) // 2],
            "garbage": b"no archive at all",
            "empty": b"",
            "flipped": blob[:200] + bytes(255 - b for b in blob[200:400]) + blob[400:],
        }[damage]
    )
    events = list(FineTuner(request(replay=0.5), images).run())
    assert isinstance(events[-1], Finished)
    path.unlink()
    list(FineTuner(request(name="without", replay=0.5), images).run())
    assert_equal(store, "tuned", "without")
    told = [e.text for e in events if isinstance(e, Message) and "replay buffer" in e.text]
    assert len(told) == 1
    assert all("start is damaged" in text for text in told)


# ------------------------------------------------------------------ no progress
def test_a_comparison_ranks_networks_that_did_not_improve(store, start, images):
    settings = {"minutes": 0.02, "keep_best": True, "learning_rate": 1e-9, "device": "cpu"}
    competitors = [(request(**settings), images[:2])]
    *_, event = compare_networks(competitors, store)
    (result,) = event.ranking
    assert result.done
    assert result.dice >= result.before
    assert [info.id for info in store.list()][-1] == "start"


def test_a_network_from_scratch_is_saved_even_if_it_did_not_improve(store, images):
    wanted = FineTuneRequest("u2net-msac", "fresh").adjusted(
        steps=1, batch=1, patch=32, learning_rate=1e-12, device="cpu"
    )
    *_, done = FineTuner(wanted, images).run()
    assert done.checkpoint == store.info("fresh")


# ------------------------------------------------------------------ stopping
def counted_forward_passes(monkeypatch, allowed):
    """Let scoring after a stop take so many frames, however long they take."""
    scored = []
    true_overlap = scoring.overlap

    def overlap(*arguments):
        scored.append(1)
        return true_overlap(*arguments)

    monkeypatch.setattr(scoring, "overlap", overlap)

    def delayed(stop, _):
        after = []

        def late():
            if not after and stop():
                after.append(len(scored))
            return bool(after) and len(scored) - after[0] >= allowed

        return late

    monkeypatch.setattr(scoring, "delayed", delayed)
    return scored


def stopped(wanted, images, steps):
    events = []
    run = FineTuner(wanted, images).run(
        lambda: sum(isinstance(event, StepDone) for event in events) >= steps
    )
    collect(run, events)
    return events


def collect(run, events):
    for event in run:  # one by one, since the run asks what there is
        events.append(event)


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_stop_scores_only_the_frames_that_there_is_time_for(
    store, start, images, monkeypatch, allowed
):
    scored = counted_forward_passes(monkeypatch, allowed)
    settings = {"steps": 100, "validate_every": 3, "held_out": 0.5, "keep_best": True}
    events = stopped(request(**settings, keep_unimproved=True), images, 5)
    assert len(scored) == 5 + 5 + allowed  # the start, step 3, and what there was time for
    assert max(event.status.step for event in events if isinstance(event, StepDone)) == 5
    done = events[-1]
    assert isinstance(done, Finished)
    assert done.note in done.text
    if allowed:
        assert f"score step 5 on {allowed} of 5 held-out patches" in done.note
    else:
        assert "no time to score step 5" in done.note
    info = store.info("tuned")
    assert info.scores["validation_dice"] == done.after
    # The Dice before is that of the same frames.
    whole = next(event.dice for event in events if isinstance(event, Validated))
    if "weights of step 5 are kept" in done.note:
        assert info.scores["validation_dice_before"] != whole
    else:
        assert info.scores["validation_dice_before"] == whole


def test_a_stop_scores_patches_of_large_frames(store, start, images, monkeypatch):
    """Large frames take too long, but what was learnt since the last score is not lost."""
    large = [
        replace(
            image,
            frame=np.tile(image.frame, (1, 5, 5)),
            labels=np.tile(image.labels, (5, 5)),
            weight=None,
        )
        for image in images
    ]
    assert large[0].labels.shape[0] > 160
    counted_forward_passes(monkeypatch, 2)
    settings = {"steps": 100, "validate_every": 3, "held_out": 0.5, "keep_best": False}
    done = stopped(request(**settings), large, 5)[-1]
    assert "score step 5 on 2 of 3 held-out patches" in done.note
    assert "weights of step 5 are kept" in done.note
    info = store.info("tuned")
    assert info.scores["validation_dice"] == done.after
    assert 0 <= info.scores["validation_dice_before"] <= 1


def test_a_stop_with_time_for_all_frames_is_scored_as_ever(store, start, images, monkeypatch):
    counted_forward_passes(monkeypatch, 100)
    settings = {"steps": 100, "validate_every": 3, "held_out": 0.5}
    events = stopped(request(**settings), images, 5)
    assert [type(event) for event in events[-2:]] == [Validated, Finished]
    assert events[-1].note == ""


def test_the_last_weights_are_kept_unscored_for_who_wants_the_last(
    store, start, images, monkeypatch
):
    counted_forward_passes(monkeypatch, 0)
    done = stopped(request(steps=100, validate_every=50), images, 2)[-1]
    assert (done.before, done.after) == (None, None)
    assert store.info("tuned").scores == {}
    assert any(
        not torch.equal(a, b)
        for a, b in zip(
            weights_of(store, "tuned").values(), weights_of(store, "start").values(), strict=True
        )
    )


def test_fresh_weights_are_left_for_unscored_ones(store, images, monkeypatch):
    counted_forward_passes(monkeypatch, 0)
    wanted = request(steps=100, validate_every=50, keep_best=True)
    done = stopped(wanted.adjusted(checkpoint="u2net-msac"), images, 2)[-1]
    assert done.checkpoint == store.info("tuned")
    assert "Saved tuned, not scored" in done.text
    assert "the weights of step 2 are kept" in done.note


def test_a_stop_within_a_step_abandons_it(store, start, images):
    steps, layers = [], []

    def stop():
        if len(steps) == 2:
            layers.append(1)
        return len(layers) > 10  # within the third forward pass

    events = []
    run = FineTuner(request(steps=1000), images).run(stop)
    for event in run:
        events.append(event)
        steps += [event] if isinstance(event, StepDone) else []
    assert len(steps) == 2
    assert isinstance(events[-1], Finished)
    assert store.info("tuned").settings["steps_done"] == 2


@pytest.mark.parametrize("name", ["u2net-msac", "s-net"])
def test_forward_and_backward_passes_can_be_interrupted(name):
    network = src_models.create(name)
    asked = []
    with interruptible(network, lambda: bool(asked.append(1)), gradients=True):
        loss = network(torch.zeros(1, 1, 32, 32)).sum()
        forward = len(asked)
        loss.backward()
    assert forward > 20
    assert len(asked) > forward + 20

    def passes(limit):
        asked.clear()
        with interruptible(network, lambda: asked.append(1) or len(asked) > limit, gradients=True):
            network(torch.zeros(1, 1, 32, 32)).sum().backward()

    for limit in (3, forward + 3):
        with pytest.raises(Cancelled):
            passes(limit)
        assert len(asked) == limit + 1
    asked.clear()
    network(torch.zeros(1, 1, 32, 32)).sum().backward()
    assert asked == []


@pytest.mark.parametrize("folds", [1, 2])
def test_a_stop_while_the_start_is_scored(store, start, images, folds):
    events = []
    run = FineTuner(request(folds=folds), images).run(
        lambda: any("Scoring" in event.text for event in events)
    )
    with pytest.raises(Cancelled):
        collect(run, events)
    assert not any(isinstance(event, Validated) for event in events)
    assert "tuned" not in [info.id for info in store.list()]


def test_a_stop_while_a_later_part_is_scored_keeps_the_first(store, start, images):
    begun = []
    run = FineTuner(request(folds=2, steps=9), images[:2]).run(lambda: len(begun) > 1)
    for event in run:
        begun += [event] if "Scoring" in event.text else []
    assert isinstance(event, Finished)
    assert store.info("tuned").settings["steps_done"] == 3


def test_a_stop_while_it_compiles(store, start, images, monkeypatch):
    """The compilation goes on, and nobody waits for it."""
    from threading import Event

    from napari_seglite.training import start as beginning

    goes_on, begun = Event(), Event()

    def compiling(*_, **__):
        begun.set()
        goes_on.wait(60)

    monkeypatch.setattr(beginning, "warm_up", compiling)
    with pytest.raises(Cancelled):
        list(FineTuner(request(), images).run(begun.is_set))
    assert not goes_on.is_set()
    goes_on.set()


def test_a_run_without_a_step_saves_nothing(store, start, images):
    scored = []
    run = FineTuner(request(), images).run(lambda: len(scored) > 0)
    for event in run:
        scored += [event] if isinstance(event, Validated) else []
    assert event.checkpoint is None
    assert "before its first step" in event.text
    assert not math.isnan(event.before)
