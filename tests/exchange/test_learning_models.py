"""Models of other programs that are fine-tuned."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import onnx_graph, package
from skimage.draw import disk
from skimage.io import imsave
from unet_of_others import UNet

from napari_seglite import FineTuner, FineTuneRequest, SegmentRequest, segment
from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.cli import main
from napari_seglite.errors import Cancelled, CheckpointError, SegliteError
from napari_seglite.exchange import export_model, import_model, learning
from napari_seglite.images import ImageAxes
from napari_seglite.training import (
    FullTraining,
    StepDone,
    image_examples,
    start_info,
    training_run,
)
from napari_seglite.training.start import start_network
from src_models.folding import fold

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SOURCE = Path(__file__).parent / "unet_of_others.py"
SETTINGS = {"steps": 50, "minutes": 100, "patch": 64, "learning_rate": 2e-3, "device": "cpu"}


def drawn(seed, side=112):
    """Return an image of bright discs, and the labels of those that are not speckled."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0.5, 0.1, (side, side)).astype(np.float32)
    labels = np.zeros((side, side), np.uint8)
    for number in range(10):
        where = disk(rng.integers(0, side, 2), rng.integers(6, 11), shape=image.shape)
        image[where] += 0.6 if number % 2 else rng.normal(0.6, 0.5, len(where[0]))
        labels[where] = number % 2
    return image, labels


@pytest.fixture(scope="module")
def unet():
    """Return a network that finds whatever is bright."""
    torch.manual_seed(0)
    network = UNet()
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for step in range(40):
        images = np.stack([drawn(1000 + 4 * step + k, 64)[0] for k in range(4)])
        x = torch.from_numpy(images)[:, None]
        low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        x = (x - low) / (high - low)
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy(network(x), (x > 0.45).float()).backward()
        optimiser.step()
    return network.eval()


def graph_of(network, size=None):
    """Return an ONNX file; of any size, or of one."""
    buffer, sides = io.BytesIO(), {0: "b", 2: "y", 3: "x"}
    torch.onnx.export(
        network,
        (torch.randn(1, 1, *(size or (64, 96))),),
        buffer,
        dynamo=False,
        input_names=["i"],
        output_names=["o"],
        dynamic_axes=None if size else {"i": sides, "o": sides},
    )
    return buffer.getvalue()


@pytest.fixture(scope="module")
def graph(unet):
    return graph_of(unet)


@pytest.fixture
def imported(store, graph, tmp_path):
    """Return the card of an imported ONNX file."""
    (tmp_path / "unet.onnx").write_bytes(graph)
    return import_model(store, tmp_path / "unet.onnx")


def examples(card, count=4):
    axes = ImageAxes("YX")
    return [e for k in range(count) for e in image_examples(f"{k}", *drawn(k), axes, card)]


def tuned(store, start, name="tuned", **settings):
    request = FineTuneRequest(start, name).adjusted(**{**SETTINGS, **settings})
    *_, last = FineTuner(request, examples(start_info(request, store)), store).run()
    return last


def dice(name):
    """Return the Dice of images that nothing learnt from."""
    both = total = 0
    for seed in range(500, 503):
        image, labels = drawn(seed)
        request = SegmentRequest(name, "YX", output="semantic", device="cpu")
        found = segment(image, request).labels > 0
        both, total = both + 2 * (found & (labels > 0)).sum(), total + found.sum() + labels.sum()
    return both / total


def test_source_and_state_dict_learn(unet, store, tmp_path):
    buffer = io.BytesIO()
    torch.save(unet.state_dict(), buffer)
    files = {"weights.pt": buffer.getvalue(), "net.py": SOURCE.read_bytes()}
    entry = {
        "source": "weights.pt",
        "pytorch_version": "2.0",
        "architecture": {"source": "net.py", "callable": "UNet", "kwargs": {}},
    }
    path = package(tmp_path / "m.zip", files, {"pytorch_state_dict": entry}, post=[])
    info = import_model(store, path, trust_code=True)
    assert not info.obstacle
    before = dice(info.id)
    finished = tuned(store, info.id)
    assert dice("tuned") > before + 0.2
    card = finished.checkpoint
    assert card.parent == info.id
    assert card.origin == info.origin
    assert card.origin["licence"] == "MIT"
    assert len(card.curves["loss"]) == 50
    assert "tuned" in [each.id for each in store.list()]
    again = tuned(store, "tuned", "again", steps=2, keep_unimproved=True)
    assert again.checkpoint.parent == "tuned"


def test_an_onnx_file_learns_and_is_written_again(store, imported, tmp_path):
    assert not imported.obstacle
    before = dice(imported.id)
    tuned(store, imported.id)
    assert dice("tuned") > before + 0.2
    path = export_model(store, "tuned", "onnx", tmp_path / "tuned.onnx")
    again = import_model(store, path, name="again")
    assert not again.obstacle
    assert dice("again") == pytest.approx(dice("tuned"), abs=1e-4)
    with pytest.raises(SegliteError, match="as ONNX alone"):
        export_model(store, "tuned", "openvino", tmp_path / "tuned.xml")


def test_an_imported_graph_computes_what_the_network_does(unet, store, imported):
    network = store.load(imported.id)[1].eval()
    folded = fold(network)
    image = torch.rand(2, 1, 96, 70)
    with torch.no_grad():
        expected = unet(torch.nn.functional.pad(image, (0, 26, 0, 0), mode="reflect"))[..., :70]
        # In torch, and in ONNX Runtime with the weights put in.
        assert (network(image).sigmoid() - expected).abs().max() < 1e-4
        assert (folded(image).sigmoid() - expected).abs().max() < 1e-4
    assert folded._session is not None
    assert network._session is None


def test_a_run_goes_on_where_it_was_interrupted(store, imported, monkeypatch):
    monkeypatch.setattr(training_run, "SAVE_EVERY", -1)
    request = FineTuneRequest(imported.id, "tuned").adjusted(**{**SETTINGS, "steps": 6})
    request = request.adjusted(validate_every=2, keep_unimproved=True)
    images = examples(start_info(request, store))
    list(FineTuner(request, images, store).run())
    expected = store.load("tuned")[1].state_dict()
    store.delete("tuned")
    made = []
    run = FineTuner(request, images, store).run(abort=lambda: len(made) == 3)
    with pytest.raises(Cancelled):
        made.extend(event for event in run if isinstance(event, StepDone))
    texts = [event.text for event in FineTuner(request, images, store).run()]
    assert any("Going on from step" in text for text in texts)
    found = store.load("tuned")[1].state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_simple_features_answer_first(store, imported):
    request = FineTuneRequest(imported.id, "tuned", full_training=FullTraining(2e-3, 2)).adjusted(
        **{**SETTINGS, "steps": 2, "known_dice": 0.99}
    )
    *_, finished = FineTuner(request, examples(start_info(request, store)), store).run()
    card = finished.checkpoint
    assert card.options["pixel_features"]
    before, after = card.scores["validation_dice_before"], card.scores["validation_dice"]
    assert after > before + 0.1
    assert dice("tuned") > dice(imported.id) + 0.1


def test_other_classes_channels_and_objects_get_new_ends(store, imported):
    network = store.load(imported.id)[1].eval()
    names = ("background", "smooth", "speckled")
    request = FineTuneRequest(imported.id, "tuned", class_names=names).adjusted(**SETTINGS)
    card = start_info(request, store)
    assert card.classes == 3
    finished = tuned_to(request, card, store, 3)
    image = drawn(500)[0]
    labels = segment(image, SegmentRequest("tuned", "YX", device="cpu", output="semantic")).labels
    assert finished.checkpoint.class_names == names
    assert labels.max() <= 2
    request = FineTuneRequest(imported.id, "coloured", in_channels=3, head="distance")
    card = start_info(request, store)
    built = start_network(card, store).eval()
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():  # the first layer reads the mean, the first outputs stay
        found, expected = built(grey.expand(-1, 3, -1, -1)), network(grey)
    assert found.shape == (1, 1 + card.head_channels, 64, 64)
    assert (found[:, :1] - expected).abs().max() < 1e-4


def tuned_to(request, card, store, steps):
    images = examples(card)
    for image in images:
        image.labels[: image.labels.shape[0] // 2] *= 2
    *_, last = FineTuner(request.adjusted(steps=steps, keep_unimproved=True), images, store).run()
    return last


def test_a_graph_of_one_size_learns(unet, store, tmp_path):
    (tmp_path / "fixed.onnx").write_bytes(graph_of(unet, (64, 64)))
    info = import_model(store, tmp_path / "fixed.onnx")
    assert tuple(info.options["fixed"]) == (64, 64)
    finished = tuned(store, info.id, steps=3, patch=96, keep_unimproved=True)
    assert finished.checkpoint is not None
    # An image larger than its tiles is put together from them.
    image = torch.rand(1, 1, 100, 150)
    with torch.no_grad():
        found = store.load(info.id)[1].eval()(image)
        corner = unet(image[..., :64, :64]).logit()
    assert found.shape == image.shape
    assert (found[..., :40, :40] - corner[..., :40, :40]).abs().max() < 1e-3


# ------------------------------------------------------------------ what does not learn
def changed(graph, operator):
    """Return a graph with another operator instead of its last step."""
    model = onnx.load_from_string(graph)
    node = model.graph.node[-1]
    assert node.op_type == "Sigmoid"
    node.op_type = operator
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("operator", "reason"),
    [("Hardmax", "operators that cannot learn here: Hardmax"), ("Round", "change smoothly")],
)
def test_the_reason_is_on_the_card_and_in_the_message(store, graph, tmp_path, operator, reason):
    (tmp_path / "unet.onnx").write_bytes(changed(graph, operator))
    info = import_model(store, tmp_path / "unet.onnx")
    assert reason in info.obstacle
    with pytest.raises(CheckpointError, match=f"cannot be fine-tuned: .*{reason}"):
        start_info(FineTuneRequest(info.id, "new"), store)
    segment(drawn(0)[0], SegmentRequest(info.id, "YX", output="semantic", device="cpu"))
    with pytest.raises(SegliteError, match="Pass on its own file"):
        export_model(store, info.id, "onnx", tmp_path / "a.onnx")


def test_heavy_and_large_graphs_only_segment(store, unet, graph, tmp_path, monkeypatch):
    (tmp_path / "large.onnx").write_bytes(graph_of(unet, (576, 576)))
    info = import_model(store, tmp_path / "large.onnx")
    assert "images of 576 x 576 pixels alone" in info.obstacle
    monkeypatch.setattr(learning, "MOST_WEIGHTS", 1000)
    (tmp_path / "unet.onnx").write_bytes(graph)
    assert "light networks have at most" in import_model(store, tmp_path / "unet.onnx").obstacle


def test_a_card_of_an_earlier_version_says_so(store):
    content = onnx_graph()
    info = CheckpointInfo("old", "graph", options={"size": len(content), "axes": "bcyx"})
    store.save(info, {"file": torch.frombuffer(bytearray(content), dtype=torch.uint8)})
    with pytest.raises(CheckpointError, match="import its file again"):
        start_info(FineTuneRequest("old", "new"), store)
    image = drawn(0)[0]
    assert segment(image, SegmentRequest("old", "YX", device="cpu")).labels.max() > 0


def test_ends_that_cannot_be_replaced_are_refused(store, tmp_path):
    """Behind the last layer of this graph follows one more step."""
    (tmp_path / "spots.onnx").write_bytes(changed_end(onnx_graph()))
    info = import_model(store, tmp_path / "spots.onnx")
    assert not info.obstacle
    names = ("background", "a", "b")
    with pytest.raises(CheckpointError, match="keep its classes"):
        start_info(FineTuneRequest(info.id, "new", class_names=names), store)
    assert start_info(FineTuneRequest(info.id, "new", class_names=names[:2]), store).classes == 1


def changed_end(graph):
    model = onnx.load_from_string(graph)
    model.graph.node[-1].output[0] = "nearly"
    model.graph.node.append(onnx.helper.make_node("Tanh", ["nearly"], ["output"]))
    return model.SerializeToString()


def test_the_whole_walk_on_the_command_line(graph, tmp_path, capsys):
    (tmp_path / "unet.onnx").write_bytes(graph)
    assert main(["import-model", str(tmp_path / "unet.onnx")]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == "unet"
    assert "can be fine-tuned" in said.err
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for seed in range(4):
        image, labels = drawn(seed)
        imsave(tmp_path / "images" / f"{seed}.tif", image, check_contrast=False)
        imsave(tmp_path / "labels" / f"{seed}.tif", labels, check_contrast=False)
    words = f"fine-tune --images {tmp_path}/images --labels {tmp_path}/labels --checkpoint unet"
    words += " --name mine --steps 40 --patch 64 --learning-rate 2e-3 --device cpu"
    assert main(words.split()) == 0
    assert capsys.readouterr().out.strip() == "mine"
    words = f"segment {tmp_path}/images/0.tif --checkpoint mine --device cpu --output {tmp_path}"
    assert main(words.split()) == 0
    assert dice("mine") > dice("unet") + 0.15
    assert CheckpointStore().info("mine").parent == "unet"
