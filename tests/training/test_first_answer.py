"""A first answer to a new task, in the network and in its checkpoint."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

import src_models
from napari_seglite import FineTuner, FineTuneRequest
from napari_seglite.images import TrainingImage
from napari_seglite.inference import predict_frame
from napari_seglite.training import FullTraining, LiveInput, LiveSession, Schedule, live
from napari_seglite.training.pace import WorkClock
from src_models.pixel_features import LIMIT, PixelReadout, added
from src_models.readout_kinds import EARLIER, STRUCTURE


def bright(side=64, seed=0, classes=2):
    """Return a frame whose labels follow from its smooth brightness."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / 5 + rng.uniform(0, 6)
    frame = (np.sin(y) * np.sin(x) + 1) / 2
    labels = np.digitize(frame, np.linspace(0, 1, classes + 1)[1:-1]).astype(np.uint8)
    noisy = (frame + rng.normal(0, 0.05, frame.shape))[None].astype(np.float32)
    return TrainingImage(f"frame {seed}", noisy, labels)


def request(**settings):
    whole = FineTuneRequest(
        "untrained",
        "answered",
        Schedule(steps=1, batch=1, patch=32),
        full_training=FullTraining(1e-4),
        device="cpu",
    )
    return whole.adjusted(validate_every=1, **settings)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_checkpoint_knows_the_task_after_one_step(store, untrained, classes):
    names = ("background", *"abc"[: classes - 1])
    frames = [bright(seed=k, classes=classes) for k in range(4)]
    events = list(FineTuner(request(class_names=names), frames, store).run())
    (text,) = (event.text for event in events if event.text.startswith("First answer"))
    assert "Dice" in text
    info, network = store.load("answered")
    assert info.options["pixel_features"] == STRUCTURE
    other = bright(seed=9, classes=classes)
    values = predict_frame(network.eval(), info, other.frame, "cpu")
    found = values.argmax(0) if classes > 2 else values[0] > 0.5
    assert np.mean(found == other.labels) > 0.85
    # The same request gives the same weights, and without an answer there is no readout.
    again = request(class_names=names, name="again")
    list(FineTuner(again, frames, store).run())
    weights = store.load("again")[1].state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    without = request(class_names=names, name="without", first_answer=False, keep_unimproved=True)
    list(FineTuner(without, frames, store).run())
    assert "pixel_features" not in store.info("without").options


def test_live_answers_once_two_kinds_are_painted(store, untrained, monkeypatch):
    monkeypatch.setattr(live, "ENOUGH", 1)
    frame = bright()
    previews: list[np.ndarray] = []
    settings = request(known_dice=0.99)
    session = LiveSession(settings, store)
    asked = LiveInput([frame], frame.frame, "here")
    for event in session.run(lambda: asked, lambda: len(previews) > 1):
        if hasattr(event, "probabilities"):
            previews.extend([event.probabilities])
    assert np.mean((previews[0][0] > 0.5) == frame.labels) > 0.85
    assert store.info("answered").options["pixel_features"] == STRUCTURE


def test_an_answer_that_is_kept_learns_from_held_out_frames_too(store, untrained):
    frames = [bright(seed=k) for k in range(4)]
    frames = [replace(f, frame=f.frame + k) for k, f in enumerate(frames)]
    whole = replace(request(), full_training=FullTraining(1e-12))
    list(FineTuner(whole, frames, store).run())
    assert len(store.info("answered").settings["held_out"]) == 1
    mean = float(store.load("answered")[1].pixels.mean[0])
    # Every frame gives as many pixels; without one, the mean would be off by 1/6 or more.
    assert abs(mean - np.mean([f.frame.mean() for f in frames])) < 0.1


def test_a_checkpoint_with_an_earlier_readout_loads_and_learns(store, untrained):
    info = replace(untrained, id="earlier", options={**untrained.options, "pixel_features": True})
    network = info.build()
    assert network.pixels.hidden.weight.shape[1] == 5 * 4 * info.in_channels
    store.save(info, network.state_dict())
    frames = [bright(seed=k) for k in range(4)]
    list(FineTuner(request(checkpoint="earlier"), frames, store).run())
    info, network = store.load("answered")
    assert info.options["pixel_features"] is True
    found = predict_frame(network.eval(), info, frames[0].frame, "cpu")[0] > 0.5
    assert np.mean(found == frames[0].labels) > 0.85


def filled(kind):
    """Return a readout of two channels and three outputs with weights drawn at random."""
    readout = PixelReadout(2, 3, kind).eval()
    torch.manual_seed(0)
    torch.nn.init.normal_(readout.out.weight)
    readout.mean.normal_()
    readout.deviation.uniform_(0.5, 2)
    return readout


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("kind", [EARLIER, STRUCTURE])
def test_logits_are_those_of_the_features(kind, learns):
    readout = filled(kind).requires_grad_(learns)
    x = torch.rand(2, 2, 45, 70)
    hidden = readout.hidden(readout.features(x)).relu()
    torch.testing.assert_close(readout(x), readout.out(hidden), rtol=1e-4, atol=1e-4)


def test_an_earlier_readout_standardises_without_limits():
    readout, x = filled(EARLIER), torch.rand(1, 2, 45, 70) * 20
    raw = PixelReadout(2, 3, EARLIER).features(x)
    with torch.no_grad():
        hidden = readout.hidden(
            (raw - readout.mean[:, None, None]) / readout.deviation[:, None, None]
        )
        torch.testing.assert_close(readout(x), readout.out(hidden.relu()), rtol=1e-4, atol=1e-3)


def test_what_lies_far_outside_the_seen_says_no_more():
    readout = PixelReadout(1, 1)
    seen = [torch.rand(1, 1, 128, 128), torch.rand(1, 1, 128, 128) + 1]
    readout.standardise(seen)
    values = torch.cat([readout.features(x) for x in seen])[:, :6]  # of the finest scale
    assert values.mean((0, 2, 3)).abs().max() < 0.1
    assert (values.std((0, 2, 3)) - 1).abs().max() < 0.2
    far = readout.features(seen[0] * 1e6)
    assert far.abs().max() <= LIMIT
    assert PixelReadout(1, 1, EARLIER).features(seen[0] * 1e6).max() > 1e5


def test_coarse_features_are_expected_to_count_less():
    expected = PixelReadout(3, 1).expected.reshape(7, 3, 6)
    assert (expected[1:] < expected[:-1]).all()
    assert (expected[..., 4:] < expected[..., :4].min(-1, keepdim=True).values).all()


def test_the_structure_tensor_tells_edges_from_spots():
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    stripes = torch.sin(x / 3)[None, None]
    checks = (torch.sin(x / 3) + torch.sin(y / 3))[None, None]
    readout = PixelReadout(1, 1)
    ratios = []
    for image in (stripes, checks):
        larger, smaller = readout.features(image)[0, 4:6, 32:96, 32:96]
        ratios.append(float(smaller.mean() / larger.mean()))
    assert ratios[0] < 0.05
    assert ratios[1] > 0.5


@pytest.mark.parametrize("name", ["s-net", "unet-sharp", "u2net-msac", "celnet", "m2snet"])
def test_every_output_of_every_network_gets_the_readout(name):
    options = {"preset": "tiny"} if name == "unet-sharp" else {}
    network = src_models.create(name, 1, 2, pixel_features=STRUCTURE, **options).eval()
    plain = src_models.create(name, 1, 2, **options).eval()
    own = {k: v for k, v in network.state_dict().items() if not k.startswith("pixels.")}
    plain.load_state_dict(own)
    readout = network.pixels
    assert isinstance(readout, PixelReadout)
    x = torch.rand(1, 1, 40, 35, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(network(x), plain(x))  # as long as it has no weights
        readout.out.bias.fill_(3.0)
        assert torch.allclose(deepcopy(network)(x), plain(x) + 3)
        if hasattr(plain, "supervised"):
            maps = added(network, network.supervised(x), x)
            maps, wanted = getattr(maps, "logits", maps), plain.supervised(x)
            wanted = getattr(wanted, "logits", wanted)
            assert all(torch.allclose(a, b + 3) for a, b in zip(maps, wanted, strict=True))


def test_time_at_work_counts_whole_and_waiting_half(monkeypatch):
    from napari_seglite.training import pace

    wall, worked = [100.0], [5.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: wall[0])
    monkeypatch.setattr(pace.time, "thread_time", lambda: worked[0])
    clock = WorkClock()
    wall[0], worked[0] = 110.0, 15.0
    assert clock() == 110
    wall[0], worked[0] = 120.0, 18.0  # other programs had the processor for most of the time
    assert clock() == 115
    wall[0], worked[0] = 130.0, 26.0
    assert clock() == 123
