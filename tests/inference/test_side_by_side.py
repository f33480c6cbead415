"""OpenVINO computes the tiles of a large image by graphs of their size, several side by side."""

import numpy as np
import pytest
import torch

from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.images import Box
from napari_seglite.inference import runtimes
from napari_seglite.inference.progress import View
from napari_seglite.inference.runtimes import OpenVinoRuntime
from napari_seglite.runtime import graphs, tuning
from src_models.folding import fold

pytestmark = pytest.mark.skipif(
    not graphs.installed(), reason="OpenVINO is not installed (pip install 'napari-seglite[fast]')"
)


def exported(store, network, seed=0, **options):
    """Return the card of a stored network whose graph is there, its graphs and itself, folded."""
    torch.manual_seed(seed)
    info = CheckpointInfo("fast", network, options=options)
    info = store.save(info, info.build().state_dict())
    folded = fold(store.load(info.id)[1].eval())
    cache = graphs.GraphCache(store.folder.parent / graphs.FOLDER)
    tuning.add_graph(cache, info, folded)
    assert cache.refusal(info) == ""
    return info, cache.read(info), folded


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny(store, two_threads):
    return exported(store, "unet-sharp", preset="tiny")[0]


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(150, 200)).astype(np.float32)


def asked(info, **settings):
    return SegmentRequest(info.id, "YX", "cpu", tile=64, overlap=16, **settings)


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_the_number_of_streams_and_the_order_of_tiles_change_nothing(
    store, tiny, image, monkeypatch, precision
):
    request = asked(tiny, precision=precision, ensemble="flips")
    prepared = []
    prepare = OpenVinoRuntime.prepare

    def spied(self, *numbers):
        prepared.append(prepare(self, *numbers))
        return prepared[-1]

    monkeypatch.setattr(OpenVinoRuntime, "prepare", spied)
    side_by_side = Segmenter(store).segment(image, request)
    seen = View(0, Box(90, 120, 140, 190))
    for _ in (run := Segmenter(store).run(image, request, view=lambda: seen)):
        pass
    assert run.gi_frame is None
    monkeypatch.setattr(runtimes, "MOST_STREAMS", 1)
    single = Segmenter(store).segment(image, request)
    assert prepared == [2, 2, 1]
    np.testing.assert_array_equal(side_by_side.probabilities, single.probabilities)


def test_a_part_is_what_it_is_in_the_whole(store, tiny, image):
    whole = Segmenter(store).segment(image, asked(tiny, precision="fast"))
    window = Box(60, 70, 90, 120)
    found = Segmenter(store).predict_window(
        image, whole.request, (float(image.min()), float(image.max())), (0,), window
    )
    again = Segmenter(store).predict_window(
        image, whole.request, (float(image.min()), float(image.max())), (0,), Box.whole(image.shape)
    )
    np.testing.assert_array_equal(
        np.asarray(found.probabilities)[0], np.asarray(again.probabilities)[0, :, 60:90, 70:120]
    )


def test_a_stopped_image_goes_on_to_the_same_result(store, tiny, image):
    request = asked(tiny)
    whole = Segmenter(store).segment(image, request)
    done = []

    def result(run):
        while True:
            try:
                done.append(next(run).finished)
            except StopIteration as end:
                return end.value

    segmenter = Segmenter(store)
    begun = result(segmenter.run(image, request, stop=lambda: sum(map(bool, done)) > 4))
    assert 0 < begun.share < 1
    finished = result(segmenter.run(image, request, resume=begun))
    assert finished.complete
    np.testing.assert_array_equal(finished.probabilities, whole.probabilities)


def test_few_tiles_and_little_memory_are_computed_one_by_one(store):
    info, parts, network = exported(store, "unet-sharp", preset="tiny")
    runtime = OpenVinoRuntime(network, parts, "exact", 2)
    shape = (info.in_channels, 40, 72)
    for of_image, memory_for, expected in ((5, 9, 1), (6, 9, 2), (6, 1, 1), (6, 0, 1)):
        assert runtime.prepare(shape, 3, of_image, memory_for) == expected


@pytest.mark.parametrize("network", ["celnet", "s-net"])
def test_a_graph_of_one_size_gives_the_logits_of_any_size(store, network):
    info, parts, folded = exported(store, network)
    runtime = OpenVinoRuntime(folded, parts, "exact", 1)
    size = (70, 100)  # no multiple of the divisor
    pixels = torch.randn(1, info.in_channels, *size)
    with torch.inference_mode():
        of_any = runtime.forward(pixels)
        assert runtime.prepare((info.in_channels, *size), 9, 9, 9) == 1
        of_one = runtime.forward(pixels)
        runtime.prepare((info.in_channels, *size), 1, 1, 9)
        again = runtime.forward(pixels)
    torch.testing.assert_close(of_one, of_any, rtol=0, atol=1e-4 * float(np.ptp(of_any.numpy())))
    torch.testing.assert_close(again, of_any, rtol=0, atol=0)


def test_strip_attention_is_computed_exactly(store, image):
    info, _, _ = exported(store, "u2net-msac", variant="attention")
    request = SegmentRequest(info.id, "YX", "cpu", precision="fast")
    result = Segmenter(store).segment(image, request)
    assert (result.request.runtime, result.request.precision) == ("openvino", "exact")
    assert "so this was computed exactly" in result.notices[0]
