"""A job is computed by torch or by OpenVINO, and says which."""

import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

import src_models
from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.cli import main
from napari_seglite.errors import Cancelled, SegliteError
from napari_seglite.formats import read_recipe
from napari_seglite.inference.choice import EXPORTING
from napari_seglite.inference.runtimes import OpenVinoRuntime, TorchRuntime
from napari_seglite.runtime import devices, graphs, tuning
from src_models.folding import fold
from src_models.selective_scan import ENVIRONMENT_VARIABLE

needs_openvino = pytest.mark.skipif(
    not graphs.installed(), reason="OpenVINO is not installed (pip install 'napari-seglite[fast]')"
)
TINY = {"preset": "tiny"}
# Files of the graphs exported so far, by the graph's name: an export takes seconds.
EXPORTS: dict[str, dict[str, bytes]] = {}


def saved(store, name="fast", seed=0, network="unet-sharp", overwrite=False, **options):
    """Return the card of a stored network with weights drawn from a seed."""
    torch.manual_seed(seed)
    info = CheckpointInfo(name, network, options=options)
    return store.save(info, info.build().state_dict(), overwrite=overwrite)


def exported(store, info):
    """Export a stored network in this process, as the tuning process does, and return its cache.

    What was exported before is copied.
    """
    cache = graphs.GraphCache(store.folder.parent / graphs.FOLDER)
    name = cache.path(info).name
    if name in EXPORTS:
        with cache.adding(info) as folder:
            for file, content in EXPORTS[name].items():
                (folder / file).write_bytes(content)
    else:
        tuning.add_graph(cache, info, fold(store.load(info.id)[1].eval()))
        assert cache.refusal(info) == ""
        EXPORTS[name] = {file.name: file.read_bytes() for file in cache.path(info).iterdir()}
    return cache


# ------------------------------------------------------------------ without OpenVINO
def test_what_cannot_be_exported_is_computed_by_torch_and_said_once(
    store, untrained, blobs, monkeypatch
):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "reference")
    segmenter = Segmenter(store)
    request = SegmentRequest(untrained.id, "YX", "cpu", runtime="openvino")
    first, second = (segmenter.segment(blobs[0], request) for _ in range(2))
    assert "the scan of S-Net needs Numba for that. torch computed this." in first.notices[0]
    assert second.notices == ()
    recipe = first.recipe()
    assert (recipe["runtime"], recipe["precision"]) == ("torch", "exact")
    assert "openvino" not in recipe["versions"]
    alone = segmenter.segment(blobs[0], SegmentRequest(untrained.id, "YX", "cpu"))
    np.testing.assert_array_equal(first.labels, alone.labels)


def test_without_openvino_torch_computes_and_says_how_to_get_it(store, blobs, monkeypatch):
    monkeypatch.setattr(graphs, "installed", lambda: False)
    info = saved(store, **TINY)
    request = SegmentRequest(info.id, "YX", "cpu", runtime="openvino", precision="fast")
    result = Segmenter(store).segment(blobs[0], request)
    assert "pip install 'napari-seglite[fast]'" in result.notices[0]
    assert result.request.runtime == "torch"
    assert result.request.precision == "exact"


def test_precision_fast_alone_says_that_it_was_exact(store, untrained, blobs, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "reference")
    request = SegmentRequest(untrained.id, "YX", "cpu", precision="fast")
    result = Segmenter(store).segment(blobs[0], request)
    assert result.request.precision == "exact"
    assert "computed exactly" in result.notices[0]


def test_only_the_known_runtimes_and_precisions_can_be_asked_for():
    with pytest.raises(SegliteError, match="The runtime must be one of auto, torch, openvino"):
        SegmentRequest("any", "YX", runtime="onnx")
    with pytest.raises(SegliteError, match="The precision must be one of auto, exact, fast"):
        SegmentRequest("any", "YX", precision="half")


def test_no_job_waits_for_measurements(store, untrained, blobs, monkeypatch):
    started = []
    monkeypatch.setattr(tuning, "start", lambda *facts: started.append(facts))
    request = SegmentRequest(untrained.id, "YX", "cpu")
    segmenter = Segmenter(store)
    segmenter.segment(blobs[0], request)
    assert started == []
    monkeypatch.setattr(tuning, "PAYS_AFTER", 0.0)
    for _ in range(2):
        segmenter.segment(blobs[0], request)
    folder = store.folder.parent
    graph = graphs.installed() and devices.fast_bfloat16("cpu")  # otherwise S-Net needs none
    assert started == [(folder, store.path(untrained.id), "cpu", graph)]


def test_the_shell_takes_both_and_writes_what_ran(tmp_path, untrained, blobs, capsys, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "reference")
    image = tmp_path / "cells.tif"
    tifffile.imwrite(image, blobs[0])
    words = f"segment {image} --checkpoint {untrained.id} --output {tmp_path} --device cpu "
    assert main([*words.split(), "--runtime", "openvino", "--precision", "fast"]) == 0
    assert "OpenVINO was not used" in capsys.readouterr().err
    recipe = read_recipe(tmp_path / "cells_labels.tif")
    assert (recipe["runtime"], recipe["precision"]) == ("torch", "exact")


# ------------------------------------------------------------------ with it
@needs_openvino
@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("unet-sharp", TINY),
        ("unet-sharp", {**TINY, "align_corners": True, "pixel_features": True}),
        ("unet-sharp", {**TINY, "pixel_features": 2}),
        ("u2net-msac", {"variant": "light"}),
        ("u2net-msac", {"variant": "attention"}),
        ("m2snet", {"preset": "light", "own_statistics": True}),
        ("celnet", {}),
        ("s-net", {}),
    ],
)
def test_openvino_gives_the_logits_of_torch_for_any_size(store, network, options):
    torch.manual_seed(0)
    info = CheckpointInfo("fast", network, options=options)
    network = info.build()
    if hasattr(network, "pixels"):
        torch.nn.init.normal_(network.pixels.out.weight)
    info = store.save(info, network.state_dict())
    cache = exported(store, info)
    network = fold(store.load(info.id)[1].eval())
    ours = OpenVinoRuntime(network, cache.read(info), "exact", 1)
    theirs = TorchRuntime(network)
    for height, width in ((70, 101), (128, 96), (20, 40)):
        pixels = torch.randn(1, 1, height, width)
        with torch.inference_mode():
            expected = theirs.forward(pixels)
            found = ours.forward(pixels)
        assert found.shape == expected.shape
        error = (found - expected).abs().max() / (expected.max() - expected.min())
        assert error < 1e-5


@needs_openvino
def test_slices_are_encoded_once_and_decoded_as_by_torch(store):
    info = saved(store, network="celnet")
    stack = np.random.default_rng(0).normal(size=(4, 70, 90)).astype(np.float32)
    expected = Segmenter(store).segment(
        stack, SegmentRequest(info.id, "ZYX", "cpu", runtime="torch")
    )
    exported(store, info)
    request = SegmentRequest(info.id, "ZYX", "cpu", precision="exact")
    found = Segmenter(store).segment(stack, request)
    assert found.request.runtime == "openvino"
    np.testing.assert_allclose(
        np.asarray(found.probabilities, float), np.asarray(expected.probabilities, float), atol=2e-3
    )


@needs_openvino
@pytest.mark.parametrize(
    ("checkpoint", "folder"),
    [("nuclei-unet-sharp-tiny", "nuclei"), ("vessels-u2net-msac", "retina-vessels")],
)
def test_labels_of_a_real_image_are_those_of_torch(real_images, data_folder, checkpoint, folder):
    from napari_seglite import read_image

    path = sorted((real_images / folder / "test" / "images").iterdir())[0]
    image = read_image(path)
    store = CheckpointStore()
    exported(store, store.info(checkpoint))
    requests = [
        SegmentRequest(
            checkpoint,
            image.axes.order,
            "cpu",
            region="50,50,306,306",
            output="semantic",
            runtime=name,
            precision="exact",
        )
        for name in ("torch", "openvino")
    ]
    theirs, ours = (Segmenter(store).segment(image.levels, request) for request in requests)
    ours_there, theirs_there = (np.asarray(each.labels)[50:306, 50:306] for each in (ours, theirs))
    assert ours.recipe()["runtime"] == "openvino"
    assert "openvino" in ours.recipe()["versions"]
    assert theirs_there.any()
    assert np.mean(ours_there == theirs_there) >= 0.9999


@needs_openvino
def test_the_same_recipe_gives_the_same_probabilities_to_the_bit(store, blobs):
    info = saved(store, **TINY)
    exported(store, info)
    request = SegmentRequest(info.id, "YX", "cpu", tile=64, overlap=16)
    first = Segmenter(store).segment(blobs[0], request)
    again = SegmentRequest.from_dict(first.recipe())
    assert again.runtime == "openvino"
    second = Segmenter(store).segment(blobs[0], again)
    assert first.recipe() == second.recipe()
    np.testing.assert_array_equal(first.probabilities, second.probabilities)


@needs_openvino
def test_precision_fast_is_near_and_recorded(store, blobs):
    info = saved(store, **TINY)
    exported(store, info)
    exact, fast = (
        Segmenter(store).segment(blobs[0], SegmentRequest(info.id, "YX", "cpu", precision=name))
        for name in ("exact", "fast")
    )
    assert exact.request.precision == "exact"
    if not devices.fast_bfloat16("cpu"):
        assert fast.request.precision == "exact"
        assert "bfloat16" in fast.notices[0]
        return
    assert fast.request.precision == "fast"
    difference = np.abs(np.asarray(exact.probabilities, float) - np.asarray(fast.probabilities))
    assert 0 < difference.max() < 0.2


@needs_openvino
def test_a_network_with_a_scan_goes_to_openvino_for_bfloat16_or_if_asked(store, blobs):
    info = saved(store, network="s-net")
    exported(store, info)

    def ran(**settings):
        request = SegmentRequest(info.id, "YX", "cpu", **settings)
        found = Segmenter(store).segment(blobs[0], request).request
        return found.runtime, found.precision

    assert ran(precision="exact") == ("torch", "exact")
    assert ran(precision="exact", runtime="openvino") == ("openvino", "exact")
    fast = ("openvino", "fast") if devices.fast_bfloat16("cpu") else ("torch", "exact")
    assert ran() == fast


@needs_openvino
def test_auto_is_fast_for_networks_whose_card_says_so(store, blobs, monkeypatch):
    info = saved(store, **TINY)
    exported(store, info)
    request = SegmentRequest(info.id, "YX", "cpu")
    result = Segmenter(store).segment(blobs[0], request)
    fast = "fast" if devices.fast_bfloat16("cpu") else "exact"
    assert (result.request.precision, result.notices) == (fast, ())
    card = replace(src_models.card("unet-sharp"), bfloat16=False)
    monkeypatch.setitem(src_models._cards(), "unet-sharp", card)
    assert Segmenter(store).segment(blobs[0], request).request.precision == "exact"


@needs_openvino
def test_new_weights_and_versions_have_another_graph(store, monkeypatch):
    info = saved(store, **TINY)
    cache = exported(store, info)
    assert cache.holds(info)
    assert not cache.holds(saved(store, "other", 1, **TINY))
    assert not cache.holds(saved(store, "mirrored", 0, align_corners=True, **TINY))
    monkeypatch.setattr(graphs, "_version", lambda name: "1.0")
    assert not cache.holds(info)


@needs_openvino
def test_a_damaged_graph_is_forgotten_and_torch_computes(store, blobs):
    info = saved(store, **TINY)
    cache = exported(store, info)
    (cache.path(info) / "forward.xml").write_text("no graph")
    result = Segmenter(store).segment(blobs[0], SegmentRequest(info.id, "YX", "cpu"))
    assert result.request.runtime == "torch"
    assert not cache.holds(info)


@needs_openvino
def test_asking_for_openvino_exports_in_another_process(store, blobs):
    info = saved(store, **TINY)
    request = SegmentRequest(info.id, "YX", "cpu", runtime="openvino")
    segmenter = Segmenter(store)
    texts = [progress.text for progress in segmenter.run(blobs[0], request)]
    assert EXPORTING in texts
    assert EXPORTING not in [progress.text for progress in segmenter.run(blobs[0], request)]
    assert segmenter.segment(blobs[0], request).request.runtime == "openvino"


@needs_openvino
def test_waiting_for_the_export_can_be_cancelled(store, blobs):
    info = saved(store, **TINY)
    request = SegmentRequest(info.id, "YX", "cpu", runtime="openvino")
    told = []
    run = Segmenter(store).run(blobs[0], request, stop=lambda: EXPORTING in told)
    with pytest.raises(Cancelled):
        told.extend(progress.text for progress in run)  # takes one after the other
    assert told[-1] == EXPORTING


@needs_openvino
def test_a_tile_is_stopped_on_the_way(store):
    info = saved(store, **TINY)
    cache = exported(store, info)
    network = fold(store.load(info.id)[1].eval())
    runtime = OpenVinoRuntime(network, cache.read(info), "exact", 1)
    asked = []
    hooked = runtime.interruptible(lambda: len(asked) > 2 or asked.append(1))
    with pytest.raises(Cancelled), torch.inference_mode(), hooked:
        runtime.forward(torch.zeros(1, 1, 1024, 1024))
    assert len(asked) == 3
    runtime.release()
    with torch.inference_mode():
        again = runtime.forward(torch.zeros(1, 1, 64, 64))
    assert again.shape == (1, 1, 64, 64)


@needs_openvino
def test_a_cancelled_job_goes_on_with_its_own_runtime(store):
    info = saved(store, **TINY)
    image = np.random.default_rng(0).normal(size=(100, 300)).astype(np.float32)
    request = SegmentRequest(info.id, "YX", "cpu", tile=64, overlap=16)
    done = []
    run = Segmenter(store).run(image, request, stop=lambda: len(done) > 4)
    while True:
        try:
            done += [1] if next(run).finished is not None else []
        except StopIteration as end:
            begun = end.value
            break
    assert not begun.complete
    exported(store, info)
    run = Segmenter(store).run(image, request, resume=begun)
    while True:
        try:
            next(run)
        except StopIteration as end:
            finished = end.value
            break
    assert finished.request.runtime == "torch"
    whole = Segmenter(store).segment(
        image, SegmentRequest(info.id, "YX", "cpu", tile=64, overlap=16, runtime="torch")
    )
    np.testing.assert_array_equal(finished.probabilities, whole.probabilities)


def test_graphs_beyond_the_limit_go_oldest_first(tmp_path, monkeypatch):
    monkeypatch.setattr(graphs, "KEPT_BYTES", 2500)
    cache = graphs.GraphCache(tmp_path)
    cards = [CheckpointInfo("any", "s-net", weights_sha256=str(k) * 64) for k in range(3)]
    for number, card in enumerate(cards):
        with cache.adding(card) as folder:
            (folder / "forward.xml").write_bytes(bytes(1000))
        if cache.holds(card):
            os.utime(cache.path(card), (number, number))
    assert [cache.holds(card) for card in cards] == [False, True, True]


class Fixed(torch.nn.Module):
    """A network whose graph is wrong for other sizes than the exported one."""

    divisor = 16

    def forward(self, x):
        return x * float(x.shape[-1])


@needs_openvino
def test_a_network_with_a_wrong_graph_is_refused_and_segments(store, blobs):
    info = saved(store, **TINY)
    cache = graphs.GraphCache(store.folder.parent / graphs.FOLDER)
    tuning.add_graph(cache, info, Fixed())
    assert not cache.holds(info)
    assert "differs from torch's" in cache.refusal(info)
    request = SegmentRequest(info.id, "YX", "cpu", runtime="openvino")
    result = Segmenter(store).segment(blobs[0], request)
    assert result.request.runtime == "torch"
    assert "it cannot be exported: the graph's output differs" in result.notices[0]
