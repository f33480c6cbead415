"""Live learning scores every stroke before it learns it, and offers what did better."""

from dataclasses import replace

import numpy as np
import torch

from napari_seglite import FineTuneRequest
from napari_seglite.checkpoints import score_of
from napari_seglite.images import TrainingImage
from napari_seglite.runtime import RandomState
from napari_seglite.training import LiveInput, LiveSession, Schedule, StrokeScored, live
from napari_seglite.training.strokes import Strokes, fresh_parts
from napari_seglite.training.trainer import Trainer


def frame_of(weight=None, labels=None, corner=(0, 0), side=64):
    labels = np.zeros((side, side), np.uint8) if labels is None else labels
    return TrainingImage(
        "a", np.zeros((1, side, side), np.float32), labels, weight=weight, corner=corner
    )


def test_only_what_is_new_is_scored():
    first = np.zeros((64, 64), np.float32)
    first[:16, :16] = 1
    second = first.copy()
    second[32:48, 40:60] = 1
    (new,) = fresh_parts([], [frame_of(first)])
    assert new.weight.shape == (16, 16)
    (new,) = fresh_parts([frame_of(first)], [frame_of(second)])
    assert new.weight.shape == (16, 20)
    assert new.weight.all()
    assert fresh_parts([frame_of(second)], [frame_of(second)]) == []
    # Painting where it was corrected before: the surroundings of the stroke.
    painted = np.zeros((64, 64), np.uint8)
    painted[10, 10] = 1
    (new,) = fresh_parts([frame_of()], [frame_of(labels=painted)])
    assert new.labels.shape == (43, 43)
    assert new.annotated.sum() == 1


def test_frames_that_are_cut_out_elsewhere_are_compared_where_they_overlap():
    whole = np.zeros((200, 200), np.uint8)
    whole[90:120, 90:130] = 1
    known, more = np.zeros((200, 200), np.float32), np.zeros((200, 200), np.float32)
    known[80:140, 80:140] = 1
    more[80:140, 60:140] = 1

    def cut(weight, top, left, bottom, right):
        box = slice(top, bottom), slice(left, right)
        pixels = np.zeros((1, bottom - top, right - left), np.float32)
        return TrainingImage("a", pixels, whole[box], weight=weight[box], corner=(top, left))

    before, now = cut(known, 70, 75, 150, 150), cut(more, 60, 50, 160, 155)
    (new,) = fresh_parts([before], [now])
    assert new.weight.shape == (60, 20)
    assert fresh_parts([now], [cut(more, 70, 55, 150, 150)]) == []


def test_it_tells_when_it_gets_worse_and_goes_back(light, blobs):
    image, mask = blobs
    frame = (image[None, :64, :64] / 100).astype(np.float32)
    images = [TrainingImage("a", frame, mask[:64, :64].astype(np.uint8))]
    request = FineTuneRequest("light", "x", Schedule(batch=1, patch=32), device="cpu")
    trainer = Trainer(light.build(), light, request, "cpu", RandomState(0))
    strokes = Strokes(trainer)
    first = strokes.score([], images, 0)
    assert first.now == first.start == first.best
    assert not strokes.falling
    for weight in trainer.averaged.parameters():  # learning that goes wrong
        weight.data = torch.full_like(weight, -1.0)
    strokes.score_learnt()
    assert strokes.learnt < first.now or first.now == 0
    strokes.scores[0] = replace(first, now=0.9)
    assert strokes.falling
    assert "gets worse" in strokes.text()
    assert strokes.go_back() == 0
    assert not strokes.falling
    assert all(
        torch.equal(a, b)
        for a, b in zip(trainer.averaged.parameters(), trainer.network.parameters(), strict=True)
    )


def test_a_live_checkpoint_has_a_score(store, untrained, blobs, monkeypatch):
    monkeypatch.setattr(live, "ROUND", 0.01)
    monkeypatch.setattr(live, "ENOUGH", 3)
    image, mask = blobs
    frame = (image[None, :64, :64] / 100).astype(np.float32)
    labels = mask[:64, :64].astype(np.uint8)
    half = np.zeros((64, 64), np.float32)
    half[:32] = 1
    inputs = [[TrainingImage("a", frame, labels, weight=half)], [TrainingImage("a", frame, labels)]]
    scored, asked = [], []

    def work():
        stroke = len([event for event in scored if event.dice is None])
        return LiveInput(inputs[min(stroke, 1)], frame, "here")

    def back():
        asked.append(1)
        return len(scored) == 4 and not any("Back to" in event.text for event in scored)

    request = FineTuneRequest("untrained", "kept", Schedule(batch=1, patch=32), device="cpu")
    session = LiveSession(request, store)
    for event in session.run(work, lambda: len(scored) > 4 or len(asked) > 300, go_back=back):
        if isinstance(event, StrokeScored):
            scored.append(event)
    assert [event.dice is None for event in scored] == [False, True, False, True, True]
    assert "Dice on your corrections" in scored[0].text
    assert "Dice on the new stroke" in scored[2].text
    assert "Back to the weights of" in scored[4].text
    info = store.info("kept")
    assert str(score_of(info)) in event.text
    assert "on strokes before they were learnt" in event.text


def test_what_a_score_was_measured_on_is_said(store, untrained):
    info = store.info("untrained")
    assert score_of(info) is None
    child = replace(info, parent="x", scores={"stroke_dice_before": 0.5, "stroke_dice": 0.75})
    assert str(score_of(child)) == "Dice 0.500 → 0.750 on strokes before they were learnt"
    both = replace(info, scores={"validation_dice": 0.745, "test_dice": 0.88})
    assert str(score_of(both)) == "Dice 0.880 on test images"
