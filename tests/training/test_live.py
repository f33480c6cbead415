"""Learning after every stroke."""

import numpy as np

from napari_seglite import FineTuneRequest
from napari_seglite.images import TrainingImage
from napari_seglite.training import (
    Finished,
    LiveInput,
    LiveSession,
    Message,
    Previewed,
    Schedule,
    StepDone,
    live,
)


def test_it_learns_from_every_stroke_and_rests_in_between(store, untrained, blobs, monkeypatch):
    monkeypatch.setattr(live, "ROUND", 0.01)
    monkeypatch.setattr(live, "ENOUGH", 4)
    image, mask = blobs
    frame = (image[None, :64, :64] / 100).astype(np.float32)
    labels = mask[:64, :64].astype(np.uint8)
    weight = np.zeros((64, 64), np.float32)
    weight[:32] = 1
    strokes = [
        [TrainingImage("a", frame, labels, weight=weight)],
        [TrainingImage("a", frame, labels)],
    ]
    asked, previews, events = [], [], []

    def work():
        asked.append(len(previews))
        if len(asked) == 1:
            return None  # nothing was painted yet
        return LiveInput(strokes[learnt() >= 4], frame, "here")

    def learnt():
        return sum(isinstance(event, StepDone) for event in events)

    def tired():
        return learnt() >= 8 and len(asked) > 30

    request = FineTuneRequest("untrained", "kept", Schedule(batch=1, patch=32), device="cpu")
    # Looks at the same place go on only as long as it learns.
    for event in LiveSession(request, store).run(work, lambda: tired() or len(asked) > 200):
        events.append(event)
        if isinstance(event, Previewed):
            previews.append(event.probabilities)
            assert event.patch == "here"
            assert event.probabilities.shape == (1, 64, 64)
    steps = [event for event in events if isinstance(event, StepDone)]
    assert len(steps) == 8  # four for each stroke, and then it rests
    assert not np.array_equal(previews[0], previews[-1])
    done = events[-1]
    assert isinstance(done, Finished)
    assert store.info("kept").settings["steps_done"] == 8
    assert store.info("kept").parent == "untrained"


def test_nothing_painted_nothing_kept(store, untrained):
    asked = []
    request = FineTuneRequest("untrained", "kept", device="cpu")
    session = LiveSession(request, store)
    events = list(session.run(lambda: asked.append(1), lambda: len(asked) > 3))
    assert all(isinstance(event, Message) for event in events)
    assert [i.id for i in store.list() if not (store.built_in / i.id).exists()] == ["untrained"]
