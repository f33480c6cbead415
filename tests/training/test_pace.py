"""What is said about time: one share for the whole, a limit that holds, steps that are reached."""

import pytest

from napari_seglite import FineTuner, FineTuneRequest
from napari_seglite.training import Finished, Message, RunCallbacks, StepDone, scoring
from napari_seglite.training.trainer import Trainer

IMPORTS, STEP, FRAME = 10.0, 2.0, 2.0  # seconds, by the clock of these tests


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that only steps and scores move, with the seconds that each takes."""
    costs = {"now": IMPORTS, "step": STEP, "frame": FRAME}
    true_step, true_predict = Trainer.step, scoring.predict_with_head

    def step(*arguments):
        costs["now"] += costs["step"]
        return true_step(*arguments)

    def predict(*arguments):
        costs["now"] += costs["frame"]
        return true_predict(*arguments)

    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr(scoring, "predict_with_head", predict)
    return costs


def run(clock, images, callbacks=None, **settings):
    defaults = {
        "steps": 1000,
        "minutes": 1,
        "batch": 1,
        "patch": 32,
        "validate_every": 10,
        "device": "cpu",
        "keep_best": False,
        "patience": 1000,
    }
    request = FineTuneRequest("light", "tuned").adjusted(**{**defaults, **settings})
    watch = callbacks or RunCallbacks(clock=lambda: clock["now"], begun=0.0)
    return list(FineTuner(request, images).run(callbacks=watch))


def steps(events):
    return [event for event in events if isinstance(event, StepDone)]


def assert_honest(events):
    shares = [event.status.share for event in events]
    assert shares == sorted(shares)
    assert shares[-1] == 1 > shares[-2]
    left = [event.status.seconds_left for event in steps(events)]
    assert all(seconds >= 0 for seconds in left)
    assert left[-1] < left[0]
    assert left == sorted(left, reverse=True) or max(left) < 1.3 * left[0]


@pytest.mark.parametrize("folds", [1, 2])
def test_the_limit_is_that_of_the_clock_on_the_wall(light, clock, turned_blobs, folds):
    """Imports before the run and the last score count, and the time that there is is used."""
    events = run(clock, turned_blobs(4), folds=folds)
    assert_honest(events)
    done = events[-1]
    assert isinstance(done, Finished)
    assert 40 < clock["now"] <= 60
    assert done.status.seconds == clock["now"]
    assert "since the time limit of 1 min was reached" in done.note
    assert f"at step {done.status.step} of " in done.note


@pytest.mark.parametrize("folds", [1, 2])
def test_all_steps_are_reached(light, clock, turned_blobs, folds):
    clock["step"] = 0.1
    events = run(clock, turned_blobs(4), folds=folds, steps=30, minutes=10, learning_rate=2e-3)
    assert_honest(events)
    last = steps(events)[-1].status
    assert last.step == last.steps == events[-1].status.step
    assert events[-1].status.steps == last.step
    first = steps(events)[0]
    assert f"Step 1 of {30}" in first.text
    assert " left" in first.text
    if folds == 2:
        assert "(part 1 of 2)" in first.text
        parts = dict.fromkeys(event.status.part for event in steps(events))
        assert list(parts) == ["part 1 of 2", "part 2 of 2", "all parts"]
    else:
        assert events[-1].note == ""


def test_early_stopping_is_said(light, clock, turned_blobs):
    settings = {"patience": 2, "validate_every": 1, "learning_rate": 1e-12, "keep_best": True}
    events = run(clock, turned_blobs(4), **settings)
    assert "Training ended at step 2 of 1000" in events[-1].text
    assert "early stopping" in events[-1].text


def test_frames_that_take_too_long_are_scored_in_part(light, clock, turned_blobs):
    clock["frame"] = 4
    events = run(clock, turned_blobs(8), held_out=0.5)
    told = [e.text for e in events if isinstance(e, Message) and "would take too long" in e.text]
    assert len(told) == 1
    assert clock["now"] <= 60
    assert len(steps(events)) > 10


def test_no_time_at_all_is_said(light, clock, turned_blobs):
    clock["now"] = 70
    *_, done = run(clock, turned_blobs(4))
    assert done.checkpoint is None
    assert "allow more time" in done.text


def test_pauses_do_not_count(light, clock, turned_blobs):
    asked = []

    def paused():
        asked.append(1)
        if len(asked) == 3:  # within the pause
            clock["now"] += 200
        return len(asked) in (2, 3)

    watch = RunCallbacks(paused=paused, clock=lambda: clock["now"], begun=0.0)
    *_, done = run(clock, turned_blobs(4), watch, steps=3, minutes=2)
    assert clock["now"] > 200
    assert done.status.step == 3
    assert done.status.seconds == clock["now"] - 200


def test_curves_of_parts_are_kept_apart(store, light, clock, turned_blobs):
    run(clock, turned_blobs(1), folds=2, steps=9, minutes=10, validate_every=1, learning_rate=2e-3)
    curves = store.info("tuned").curves
    assert len(curves["loss, part 1 of 2"]) == len(curves["loss, part 2 of 2"]) == 3
    assert [step for step, _ in curves["dice, part 1 of 2"]] == [0, 1, 2, 3]
    assert curves["dice"] == []
    for points in curves.values():
        assert [step for step, _ in points] == sorted(step for step, _ in points)
