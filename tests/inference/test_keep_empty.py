"""Images in which the network sees no object at all stay empty, at every depth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import src_models
from napari_seglite import Segmenter, SegmentRequest, segment
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.errors import SegliteError
from napari_seglite.inference import expected_dice, slabs
from napari_seglite.runtime import WithResult, drain
from src_models.unet_sharp import UNetSharp

NUCLEI = "nuclei-unet-sharp-tiny"


@pytest.fixture(scope="module")
def stack():
    """Return nuclei, noise without any, and nuclei, uint8 (3, 128, 160)."""
    from napari_seglite.widgets import sample_data

    nuclei = sample_data.load("fluorescence")[0][:128, :160]
    noise = np.random.default_rng(0).normal(12, 3, nuclei.shape).clip(0, 255)
    return np.stack([nuclei, noise.astype(np.uint8), nuclei[::-1]])


def guided(store, presence, name="guided", **options):
    """Store UNet# whose answers about presence are given, whatever it sees."""
    torch.manual_seed(0)
    options = {"preset": "tiny", **options}
    classes = len(presence) + 1 if len(presence) > 1 else 1
    network = src_models.create("unet-sharp", 1, classes, **options)
    with torch.no_grad():
        network.guide_decoder.conv.weight *= 1e-6
        network.guide_decoder.conv.bias[1::2] = torch.tensor(presence)
    names = ("background", *(f"class {k}" for k in range(1, max(classes, 2))))
    info = CheckpointInfo(name, "unet-sharp", 1, classes, names, options=options)
    return store.save(info, network.state_dict())


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_slice_without_objects_stays_empty_at_every_level(store, stack, level):
    request = SegmentRequest(NUCLEI, "ZYX", "cpu", threshold=0, min_size=0, output="semantic")
    request = replace(request, pruning_level=level)
    segmenter = Segmenter(store)
    free = segmenter.segment(stack, request)
    kept = segmenter.segment(stack, replace(request, keep_empty=True))
    assert free.labels[1].any()  # at this threshold there is something everywhere
    assert not kept.labels[1].any()
    np.testing.assert_array_equal(kept.labels[0] > 0, free.labels[0] > 0)
    np.testing.assert_array_equal(kept.probabilities[2], free.probabilities[2])
    assert kept.notices == ("In 1 of 3 slices the network sees no object at all: 1.",)
    assert kept.recipe()["keep_empty"]
    assert SegmentRequest.from_dict(kept.recipe()).keep_empty
    assert "--keep-empty" in kept.request.as_command(["cells.tif"], ".")


def test_all_tiles_of_an_image_decide(store, stack):
    """A tile without objects is labelled as usual where another one holds some."""
    image = np.concatenate([stack[1], stack[0]])
    request = SegmentRequest(
        NUCLEI, "YX", "cpu", threshold=0.01, min_size=0, tile=128, overlap=16, ensemble="flips"
    )
    free, kept = (segment(image, replace(request, keep_empty=on), store) for on in (False, True))
    np.testing.assert_array_equal(kept.probabilities, free.probabilities)
    assert not kept.notices
    empty = segment(stack[1], replace(request, keep_empty=True, tile=64), store)
    assert not empty.labels.any()
    assert not np.asarray(empty.disagreement).any()
    assert expected_dice(empty) == 1
    assert empty.notices == ("The network sees no object at all, so nothing is labelled.",)


def test_absent_classes_are_background(store, stack):
    info = guided(store, [-2.0, 2.0])
    request = SegmentRequest(info.id, "YX", "cpu", tile=64, overlap=16)
    free, kept = (
        np.asarray(segment(stack[0], replace(request, keep_empty=on), store).probabilities[0])
        for on in (False, True)
    )
    assert free[1].any()
    assert not kept[1].any()
    np.testing.assert_allclose(kept[0], free[0] + free[1], atol=2e-3)
    np.testing.assert_allclose(kept[2], free[2], atol=1e-3)
    none = guided(store, [-1.0, -2.0], "none").id
    nothing = segment(stack[0], replace(request, checkpoint=none, keep_empty=True), store)
    assert not nothing.labels.any()
    assert (np.asarray(nothing.probabilities[0, 0]) == 1).all()


def test_a_cancelled_run_remembers_what_was_empty(store, stack):
    info = guided(store, [-2.0])
    request = SegmentRequest(info.id, "ZYX", "cpu", tile=64, overlap=16, keep_empty=True)
    segmenter = Segmenter(store)
    pressed: list[bool] = []
    steps = WithResult(segmenter.run(stack, request, lambda: bool(pressed)))
    for progress in steps:
        pressed += [True] * (progress.done > 0)
    part = steps.result
    assert not part.complete
    assert segmenter._loaded is not None
    segmenter._loaded.network.guide_decoder.conv.bias[1] = 2  # from now on it sees something
    assert not segmenter.segment(stack, request).notices
    whole = drain(segmenter.run(stack, request, resume=part))
    assert whole.complete
    assert whole.notices == ("In 1 of 3 slices the network sees no object at all: 0.",)
    assert not np.asarray(whole.probabilities[0]).any()


def test_volumes_are_decided_as_wholes(store, monkeypatch):
    """The last block of the first stack holds something, so all of its blocks do."""
    monkeypatch.setattr(slabs, "DEPTH", 16)
    monkeypatch.setattr(slabs, "DEPTH_OVERLAP", 4)
    info = guided(store, [-2.0], dims=3)
    series = np.random.default_rng(0).random((2, 40, 32, 32)).astype(np.float32)
    seen: list[int] = []

    def presence(self, x):
        seen.append(len(seen))
        return torch.tensor([[2.0 if len(seen) == 3 else -2.0]])

    monkeypatch.setattr(UNetSharp, "presence", presence)
    request = SegmentRequest(info.id, "TZYX", "cpu", keep_empty=True, threshold=0.01)
    result = segment(series, request, store)
    probabilities = np.asarray(result.probabilities[:, 0]).reshape(2, 40, 32, 32)
    assert (probabilities[0] > 0).any((1, 2)).all()
    assert not probabilities[1].any()
    assert result.notices[0].startswith("In 40 of 80 slices the network sees no object at all: 40,")


def test_checkpoints_that_cannot_tell_say_so(store, stack):
    with pytest.raises(SegliteError, match=r"S-Net, .*does not learn .* checkpoint of UNet#"):
        segment(stack[0], SegmentRequest("nuclei-s-net", "YX", "cpu", keep_empty=True), store)
    network = src_models.create("unet-sharp", preset="tiny")
    torch.nn.init.zeros_(network.guide_decoder.conv.weight)
    info = CheckpointInfo("theirs", "unet-sharp", options={"preset": "tiny"})
    store.save(info, network.state_dict())
    with pytest.raises(SegliteError, match="file without guided modules"):
        segment(stack[0], SegmentRequest("theirs", "YX", "cpu", keep_empty=True), store)
