"""Files that authors published become checkpoints, or a sentence says why not."""

import hashlib
import json

import numpy as np
import pytest
import torch
from authors_files import unet_sharp

import src_models
from napari_seglite import SegmentRequest, segment
from napari_seglite.checkpoints import PUBLISHED_KINDS, CheckpointStore, import_published
from napari_seglite.errors import CheckpointError
from napari_seglite.images import Normalisation
from src_models.res2net import Res2Net50

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "net.pth"


def test_an_imported_network_computes_what_the_authors_does(store, file):
    network = unet_sharp(file)
    before = torch.get_rng_state()
    info = import_published(
        store, str(file), "unet-sharp", "authors", class_names=("no", "nucleus")
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert (info.in_channels, info.classes, info.class_names) == (3, 1, ("no", "nucleus"))
    assert info.options == {"preset": "tiny", "align_corners": True}
    assert info.normalisation == Normalisation(mean=MEAN, std=STD)
    assert info.origin["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert info.origin["file"] == "net.pth"
    assert "Qian et al." in info.origin["citation"]
    assert "not stated" in info.origin["licence"]
    assert info.origin["normalisation"] == "inferred"
    assert store.info("authors") == info

    picture = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    x = ((picture / 255 - MEAN) / STD).transpose(2, 0, 1)[None]
    with torch.no_grad():
        expected = network(torch.tensor(x, dtype=torch.float32)).sigmoid()[0].numpy()
    found = segment(picture, SegmentRequest("authors", "YXC", device="cpu"), store).probabilities
    np.testing.assert_allclose(found[0], expected, atol=2e-3)

    # On another computer it is the same.
    archive = store.export("authors", file.with_name("authors.zip"))
    other = CheckpointStore(file.with_name("elsewhere"))
    assert other.add(archive) == info


def test_statistics_and_several_classes_are_given_by_the_user(store, file):
    unet_sharp(file, classes=3, channels=1)
    with pytest.raises(CheckpointError, match=r"3 outputs\. Name as many classes"):
        import_published(store, file, "unet-sharp", "a")
    names = ("background", "a", "b")
    with pytest.raises(CheckpointError, match="is for 2 channels, not 1"):
        import_published(store, file, "unet-sharp", "a", class_names=names, mean=(0, 0), std=(1, 1))
    with pytest.raises(CheckpointError, match="above 0"):
        import_published(store, file, "unet-sharp", "a", class_names=names, mean=[0], std=[0])
    info = import_published(store, file, "unet-sharp", "a", class_names=names, mean=[0], std=[1])
    assert info.normalisation == Normalisation(mean=(0.0,), std=(1.0,))
    assert (info.classes, info.origin["normalisation"]) == (3, "given by the user")
    with pytest.raises(CheckpointError, match="There is a checkpoint a already"):
        import_published(store, file, "unet-sharp", "A", class_names=names)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({}, "s-net", r"not the published s-net weights.*look like those of unet-sharp"),
        ({}, "res2net-50", "first or last layer is missing"),
        ({}, "vgg-16", "no kind 'vgg-16'"),
        ({"module__conv0_1__conv1__weight": None}, "unet-sharp", r"missing: nodes\.0_1\.0\.0\.w"),
        ({"module__extra": torch.zeros(1)}, "unet-sharp", "unknown: extra"),
        ({"module__final1__bias": torch.zeros(7)}, "unet-sharp", r"another shape: row_heads\.0\.b"),
        ({"module__conv0_0__conv1__weight": torch.zeros(8)}, "unet-sharp", "first or last"),
        ({"module__final4__bias": torch.tensor([np.nan])}, "unet-sharp", "NaN or infinite"),
    ],
)
def test_other_weights_are_told(store, file, changes, kind, message):
    unet_sharp(file, **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        import_published(store, file, kind, "a")
    assert kind == "vgg-16" or str(file) in str(caught.value)
    assert not store.is_taken("a")


def test_files_that_hold_no_weights_are_told(store, tmp_path):
    odd = {"text.pth": b"no weights", "cut.safetensors": b"\x01", "empty.pt": b""}
    for name, content in odd.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"{name} cannot be read as PyTorch weights"):
            import_published(store, tmp_path / name, "s-net", "a")
    with pytest.raises(CheckpointError, match=r"nowhere\.pth"):
        import_published(store, tmp_path / "nowhere.pth", "s-net", "a")
    whole = tmp_path / "whole.pth"
    torch.save(torch.nn.Linear(2, 2), whole)
    with pytest.raises(CheckpointError, match="cannot be read as PyTorch weights"):
        import_published(store, whole, "s-net", "a")


def res2net(path):
    """Save a Res2Net-50 as its authors do; returns the backbone."""
    torch.manual_seed(2)
    backbone = Res2Net50(3)
    rules = (
        ("stem.7.", "bn1."),
        ("stem.", "conv1."),
        *((f"layers.{k}.", f"layer{k + 1}.") for k in range(4)),
        (".reduce.0.", ".conv1."),
        (".reduce.1.", ".bn1."),
        (".expand.0.", ".conv3."),
        (".expand.1.", ".bn3."),
        (".shortcut.", ".downsample."),
        *((f".branches.{k}.0.", f".convs.{k}.") for k in range(3)),
        *((f".branches.{k}.1.", f".bns.{k}.") for k in range(3)),
    )
    named = {"fc.weight": torch.zeros(4, 4), "fc.bias": torch.zeros(4)}
    for name, value in backbone.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue  # earlier versions of torch did not count
        for ours, theirs in rules:
            name = name.replace(ours, theirs)
        named[name] = value
    torch.save(named, path)
    return backbone


def test_a_backbone_becomes_a_start_that_must_be_fine_tuned(store, file):
    backbone = res2net(file)
    names = ("no", "polyp", "tool")
    info = import_published(store, file, "res2net-50", "start", class_names=names)
    assert (info.network, info.classes, info.start_only) == ("m2snet", 3, True)
    assert "Gao et al." in info.origin["citation"]
    assert info.description.endswith("Fine-tune it first.")
    read = store.load("start")[1].backbone.state_dict()
    for name, value in backbone.state_dict().items():
        assert torch.equal(read[name], value), name
    again = import_published(store, file, "res2net-50", "again", class_names=names)
    assert again.weights_sha256 == info.weights_sha256  # the rest comes from a seed
    with pytest.raises(CheckpointError, match=r"is a start.*Fine-tune it first"):
        segment(np.eye(40), SegmentRequest("start", "YX"), store)


@pytest.mark.parametrize("kind", ["s-net", "m2snet"])
def test_the_authors_own_names_are_read(store, file, reference_outputs, kind):
    published = json.loads((reference_outputs / f"{kind}-parameters.json").read_text())
    torch.save({name: torch.zeros(shape) for name, shape in published.items()}, file)
    info = import_published(store, file, kind, "authors")
    assert (info.network, info.in_channels, info.classes) == (kind, 3, 1)
    assert info.origin["normalisation"] == "given"
    shapes = {name: tensor.shape for name, tensor in info.build().state_dict().items()}
    read = store.load("authors")[1].state_dict()
    assert shapes == {name: tensor.shape for name, tensor in read.items()}


def test_every_kind_is_of_a_network():
    assert {kind.network for kind in PUBLISHED_KINDS.values()} <= set(src_models.names())
