"""Checkpoints as models of other programs compute there what they compute here."""

import gc
import json
import shutil
import zipfile

import numpy as np
import pytest
import torch

import src_models
from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.cli import main
from napari_seglite.errors import SegliteError
from napari_seglite.exchange import UntrustedCodeError, import_model
from napari_seglite.exchange.network import activations, exported_network
from napari_seglite.exchange.package import write_package
from napari_seglite.images import Normalisation
from src_models.exported import Exported
from src_models.selective_scan import exporting, selective_scan

onnxruntime = pytest.importorskip("onnxruntime")

# Together they need everything that a package can say: grey and colours, percentiles and fixed
# statistics, one class and several, an object head.
CASES = {
    "celnet": {"classes": 3, "class_names": ("background", "a", "b")},
    "m2snet": {"in_channels": 3, "options": {"preset": "light", "own_statistics": True}},
    "u2net-msac": {
        "in_channels": 3,
        "normalisation": Normalisation(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.2)),
    },
    "unet-sharp": {"options": {"preset": "tiny"}, "head": "distance", "spacing": (0.5, 0.5)},
    "s-net": {},
}
NAMES = list(CASES)


def trained(name):
    """Return a card and a network whose norms have the statistics of an image."""
    torch.manual_seed(0)
    info = CheckpointInfo(f"tiny-{name}", name, **CASES[name])
    network = info.build().train()
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        for _ in range(2):
            network(torch.rand(2, info.in_channels, 64, 64))
    for norm in norms:
        norm.momentum = 0.1
    return info, network.eval()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Return a store with one small checkpoint of each network."""
    store = CheckpointStore(tmp_path_factory.mktemp("checkpoints"))
    for name in CASES:
        info, network = trained(name)
        store.save(info, network.state_dict())
    return store


@pytest.fixture(scope="module")
def packages(shared, tmp_path_factory):
    """Return a function that writes the package of a network once."""
    folder, known = tmp_path_factory.mktemp("packages"), {}

    def write(name):
        if name not in known:
            known[name] = write_package(
                shared,
                f"tiny-{name}",
                folder / f"{name}.zip",
                authors=["Ada"],
                licence="CC0-1.0",
                test_side=64,
            )
        return known[name]

    return write


@pytest.mark.parametrize("name", NAMES)
def test_bioimageio_core_finds_nothing_wrong(name, packages):
    core = pytest.importorskip("bioimageio.core")
    path = str(packages(name))
    gc.freeze()  # each of its twelve models is followed by a collection of all objects there are
    try:
        summary = core.test_model(path, determinism="seed_only")
    finally:
        gc.unfreeze()
    errors = [f"{d.name}: {e.loc} {e.msg}" for d in summary.details for e in d.errors]
    assert summary.status == "passed", errors
    tested = {d.name for d in summary.details}
    for kind in ("onnx", "pytorch_state_dict", "torchscript"):
        assert any(kind in each for each in tested), tested


@pytest.mark.parametrize("name", NAMES)
def test_onnx_runtime_computes_the_same_at_three_sizes(name, packages, shared, tmp_path):
    with zipfile.ZipFile(packages(name)) as archive:
        graph = archive.read("weights.onnx")
    session = onnxruntime.InferenceSession(graph)
    info = shared.info(f"tiny-{name}")
    exported = exported_network(
        shared, info.id, percentiles=name == "m2snet", activation=bool(info.head)
    )
    for size in ((2, 3), (4, 4), (7, 3)):
        pixels = exported.example(size)
        with torch.inference_mode():
            expected = exported.trained(pixels).numpy()
        found = session.run(None, {"image": pixels.numpy()})[0]
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-4 * np.ptp(expected)


def foreign(path, target, weights=None):
    """Copy a package as one of somebody else, with some of its weights."""
    from ruyaml import YAML

    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(target, "w") as copy:
        for member in archive.namelist():
            content = archive.read(member)
            if member in ("rdf.yaml", "bioimageio.yaml"):
                description = YAML(typ="safe", pure=True).load(content.decode())
                del description["config"]
                if weights:
                    entry = description["weights"][weights]
                    entry.pop("parent")
                    description["weights"] = {weights: entry}
                content = json.dumps(description, default=str).encode()
            copy.writestr(member, content)
    return target


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_the_same_through_onnx_runtime(name, packages, shared, tmp_path):
    """The package is read as one of somebody else, which means through its graph alone."""
    store = CheckpointStore(tmp_path / "store")
    imported = import_model(store, foreign(packages(name), tmp_path / "a.zip"), name="foreign")
    assert imported.network == "graph"
    compare_labels(store, imported, shared.info(f"tiny-{name}"), shared)


def test_trusted_torchscript_of_a_network_segments(packages, shared, tmp_path):
    store = CheckpointStore(tmp_path / "store")
    path = foreign(packages("u2net-msac"), tmp_path / "a.zip", "torchscript")
    with pytest.raises(UntrustedCodeError, match="TorchScript"):
        import_model(store, path, name="foreign")
    assert not store.folder.exists()
    imported = import_model(store, path, name="foreign", trust_code=True)
    compare_labels(store, imported, shared.info("tiny-u2net-msac"), shared)


def compare_labels(store, imported, original, shared):
    """Compare the labels of two checkpoints in three parts of the sample images."""
    shutil.copytree(shared.folder / original.id, store.folder / original.id)
    segmenters = Segmenter(store), Segmenter(store)
    for image in samples(imported.in_channels):
        labels = [
            segmenter.segment(
                image, SegmentRequest(info.id, axes_of(image), output="semantic", device="cpu")
            ).labels
            for segmenter, info in zip(segmenters, (original, imported), strict=True)
        ]
        assert len(np.unique(labels[0])) > 1
        assert np.mean(labels[0] != labels[1]) < 1e-4


def samples(channels):
    """Return three parts of the sample images."""
    from napari_seglite.widgets import sample_data

    kind = "histology" if channels == 3 else "fluorescence"
    image = sample_data.load(kind)[0]
    return [image[:96, :128], image[100:196, 60:188], image[60:188, 100:228]]


def axes_of(image):
    return "YXC" if image.ndim == 3 else "YX"


@pytest.mark.parametrize("name", NAMES)
def test_our_own_package_comes_back_and_can_be_trained(name, packages, shared, tmp_path):
    store = CheckpointStore(tmp_path / "store")
    info = import_model(store, packages(name))
    before, network = shared.load(f"tiny-{name}")
    assert (info.id, info.network, info.classes) == (before.id, name, before.classes)
    again = store.load(info.id)[1].state_dict()
    assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())


# ------------------------------------------------------------------ what needs no export
def test_the_scan_of_graphs_is_that_of_the_reference():
    g = torch.Generator().manual_seed(0)

    def normal(*size):
        return torch.randn(*size, generator=g)

    inputs = [normal(2, 12, 37), normal(2, 12, 37), -normal(12, 5).exp()]
    inputs += [normal(2, 3, 5, 37), normal(2, 3, 5, 37), normal(12), normal(12)]
    expected = selective_scan(*inputs, delta_softplus=True, backend="reference")
    with exporting():
        found = selective_scan(*inputs, delta_softplus=True)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("constant", [False, True])
def test_an_exported_network_normalises_as_we_do(constant):
    """Also an image that is nearly constant, of which the whole range counts."""
    rng = np.random.default_rng(0)
    image = rng.gamma(2, 300, (3, 40, 50)).astype(np.float32)
    if constant:
        image[:] = 7
        image[:, 3, 3] = 9
    norm = Normalisation()
    limits = norm.limits(image.mean(0))
    levels = (norm.low, norm.high, norm.clip_low, norm.clip_high)
    found = Exported(torch.nn.Identity(), levels)(torch.from_numpy(image[None])).numpy()[0]
    assert np.abs(found - norm.apply(image, limits)).max() < 1e-5


def test_the_source_in_a_package_is_that_of_the_network(tmp_path):
    from importlib.util import module_from_spec, spec_from_file_location

    from napari_seglite.exchange.source import one_file

    for name in src_models.names():
        info, network = trained(name)
        path = tmp_path / f"{name.replace('-', '_')}.py"
        path.write_text(one_file(info))
        spec = spec_from_file_location(path.stem, path)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        outputs = info.classes + info.head_channels
        built = module.build(info.in_channels, outputs, info.options, False, None, ()).eval()
        built.load_state_dict(Exported(network).state_dict())
        assert "napari_seglite" not in path.read_text().replace("napari-seglite", "")
        image = torch.rand(1, info.in_channels, 32, 64)
        with torch.no_grad():
            assert (built(image) - network(image)).abs().max() < 1e-3


def test_each_channel_has_its_function():
    info = CheckpointInfo("x", "unet-sharp", classes=1, head="offset")
    assert activations(info) == ("sigmoid", "tanh", "tanh")
    values = Exported(torch.nn.Identity(), None, ("softmax", "softmax", "sigmoid"))(
        torch.randn(1, 3, 4, 4)
    )
    assert torch.allclose(values[:, :2].sum(1), torch.ones(1, 4, 4))


def test_what_cannot_be_exported_is_told(tmp_path, capsys):
    store = CheckpointStore()
    info = CheckpointInfo("volumes", "unet-sharp", options={"preset": "tiny", "dims": 3})
    store.save(info, info.build().state_dict())
    with pytest.raises(SegliteError, match="segments volumes"):
        exported_network(store, "volumes")
    target = tmp_path / "model.zip"
    assert main(["export-model", "volumes", "--format", "onnx", "-o", str(target)]) == 1
    assert "ends in .onnx" in capsys.readouterr().err
    assert not target.exists()
    info = CheckpointInfo("mine", "unet-sharp", options={"preset": "tiny"})
    store.save(info, info.build().state_dict())
    assert main(["export-model", "mine", "--format", "bioimageio", "-o", str(target)]) == 1
    assert "Say who trained mine" in capsys.readouterr().err


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    arguments = ["export-model", "nuclei-s-net", "--format", "onnx", "-o", str(tmp_path / "a.onnx")]
    assert main(arguments) == 1
    assert "napari-seglite[exchange]" in capsys.readouterr().err
