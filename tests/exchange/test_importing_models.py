"""Models of other programs: segmenting with them, and what is refused."""

import zipfile

import numpy as np
import pytest
from foreign import SOURCE, onnx_graph, package, state, torchscript

from napari_seglite import SegmentRequest, segment
from napari_seglite.checkpoints import CheckpointStore
from napari_seglite.errors import CheckpointError
from napari_seglite.exchange import UntrustedCodeError, import_model

ONNX = {"onnx": {"source": "model.onnx", "opset_version": 18}}


@pytest.fixture
def store():
    return CheckpointStore()


def labels_of(info, image):
    return segment(
        image, SegmentRequest(info.id, "YX", output="semantic", device="cpu")
    ).labels.astype(bool)


def expected(image, low=1.0, high=99.0):
    """Return the pixels for which ``8 * scaled - 4`` is a probability above a half."""
    bottom, top = np.percentile(image, (low, high))
    return (image - bottom) / (top - bottom) > 0.5


def test_a_package_with_a_graph_segments(store, tmp_path, blobs):
    image, _ = blobs
    info = import_model(store, package(tmp_path / "m.zip", {"model.onnx": onnx_graph()}, ONNX))
    assert info.id in [each.id for each in store.list()]
    assert info.class_names == ("background", "spot")
    assert info.origin["licence"] == "MIT"
    assert "10.1234/spots" in info.origin["citation"]
    found = labels_of(info, image)
    assert 0 < found.sum() < found.size
    assert np.array_equal(found, expected(image))


def test_probabilities_and_thresholds_of_the_graph_count(store, tmp_path, blobs):
    """Without a last step the graph returns probabilities; a threshold moves ours."""
    image, _ = blobs
    graph = onnx_graph(gain=1.0, bias=0.0)
    binarize = {"id": "binarize", "kwargs": {"threshold": 0.3}}
    info = import_model(
        store, package(tmp_path / "m.zip", {"model.onnx": graph}, ONNX, post=[binarize])
    )
    bottom, top = np.percentile(image, (1.0, 99.0))
    assert np.array_equal(labels_of(info, image), (image - bottom) / (top - bottom) > 0.3)


def test_eight_bits_keep_their_range(store, tmp_path):
    image = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) // 2
    fixed = {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 60.5, "std": 20.0}}
    data = {"type": "uint8"}
    path = package(
        tmp_path / "m.zip",
        {"model.onnx": onnx_graph(gain=1.0, bias=0.0)},
        ONNX,
        input_changes={"preprocessing": [fixed], "data": data},
    )
    assert np.array_equal(labels_of(import_model(store, path), image), image > 60)


def test_channels_last_and_several_classes(store, tmp_path, blobs):
    image, _ = blobs
    graph = onnx_graph(outputs=3, axes="byxc")
    channel = {"type": "channel", "id": "channel", "channel_names": ["grey"]}
    sides = [{"type": "space", "id": a, "size": {"min": 32, "step": 16}} for a in ("y", "x")]
    softmax = {"id": "softmax", "kwargs": {"axis": "channel"}}
    path = package(
        tmp_path / "m.zip",
        {"model.onnx": graph},
        ONNX,
        input_changes={"axes": [{"type": "batch"}, *sides, channel]},
        post=[softmax],
    )
    info = import_model(store, path)
    assert info.classes == 3
    labels = segment(image, SegmentRequest(info.id, "YX", output="semantic", device="cpu")).labels
    bottom, top = np.percentile(image, (1.0, 99.0))
    scaled = (image - bottom) / (top - bottom)
    clear = np.abs(scaled) > 0.1  # closer to 0 no class has more than a half
    assert np.array_equal((labels == 0)[clear], (scaled > 0)[clear])


TORCHSCRIPT = {"torchscript": {"source": "model.pt", "pytorch_version": "2.0"}}


def test_torchscript_runs_only_when_trusted(store, tmp_path):
    marker = tmp_path / "written"
    path = package(tmp_path / "m.zip", {"model.pt": torchscript(marker)}, TORCHSCRIPT)
    with pytest.raises(UntrustedCodeError, match="can read and write files"):
        import_model(store, path)
    assert not marker.exists()
    assert not store.folder.exists()


def test_trusted_torchscript_segments(store, tmp_path, blobs):
    image, _ = blobs
    path = package(tmp_path / "m.zip", {"model.pt": torchscript()}, TORCHSCRIPT)
    with pytest.raises(UntrustedCodeError):
        import_model(store, path)
    info = import_model(store, path, trust_code=True)
    assert info.network == "graph"
    assert np.array_equal(labels_of(info, image), expected(image))


def test_source_with_branches_of_size_is_refused(store, tmp_path):
    """A trace keeps one branch, so that the graph would compute something else."""
    source = SOURCE.format(marker=str(tmp_path / "ran")).replace(
        "return self.gain * x", "return (self.gain if x.shape[3] < 80 else 1.0) * x"
    )
    weights = {
        "pytorch_state_dict": {
            "source": "weights.pt",
            "pytorch_version": "2.0",
            "architecture": {"source": "net.py", "callable": "Net", "kwargs": {"gain": 8.0}},
        }
    }
    files = {"weights.pt": state(), "net.py": source.encode()}
    path = package(tmp_path / "m.zip", files, weights)
    with pytest.raises(CheckpointError, match="the graph differs from it"):
        import_model(store, path, trust_code=True)


def test_source_runs_only_when_trusted(store, tmp_path, blobs):
    image, _ = blobs
    marker = tmp_path / "written"
    architecture = {"source": "net.py", "callable": "Net", "kwargs": {"gain": 8.0}}
    weights = {
        "pytorch_state_dict": {
            "source": "weights.pt",
            "pytorch_version": "2.0",
            "architecture": architecture,
        }
    }
    files = {"weights.pt": state(), "net.py": SOURCE.format(marker=str(marker)).encode()}
    path = package(tmp_path / "m.zip", files, weights)
    with pytest.raises(UntrustedCodeError, match=r"Python source \(.*net\.py\)"):
        import_model(store, path)
    assert not marker.exists()
    info = import_model(store, path, trust_code=True)
    assert marker.read_text() == "run"
    assert np.array_equal(labels_of(info, image), expected(image))


def test_an_onnx_file_alone_segments(store, tmp_path, blobs):
    image, _ = blobs
    (tmp_path / "spots.onnx").write_bytes(onnx_graph())
    info = import_model(store, tmp_path / "spots.onnx", name="spots")
    assert info.id == "spots"
    assert np.array_equal(labels_of(info, image), expected(image, 1.0, 99.8))


def damaged(path, files, weights):
    package(path, {**files, "model.onnx": onnx_graph(gain=2.0)}, weights)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, onnx_graph() if name == "model.onnx" else content)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.write_bytes(b"no zip"), "is no BioImage.IO package"),
        (lambda p: package(p, {}, ONNX), "the file model.onnx is missing"),
        (lambda p: damaged(p, {}, ONNX), r"model\.onnx is damaged: its SHA-256"),
        (
            lambda p: package(p, {"../evil": b"x", "model.onnx": onnx_graph()}, ONNX),
            "leads out of the package",
        ),
        (
            lambda p: package(p, {"model.onnx": b"nothing"}, ONNX),
            "its ONNX graph cannot be run",
        ),
        (
            lambda p: package(p, {"model.onnx": onnx_graph(operator="Magic", domain="evil")}, ONNX),
            "operators that ONNX Runtime lacks",
        ),
        (
            lambda p: package(p, {"model.onnx": onnx_graph()}, ONNX, post=[{"id": "scale_range"}]),
            "does not know the last step 'scale_range'",
        ),
        (
            lambda p: package(
                p,
                {"model.h5": b"x"},
                {"keras_hdf5": {"source": "model.h5", "tensorflow_version": "2.1"}},
            ),
            "has weights of other kinds only: keras_hdf5",
        ),
        (
            lambda p: package(p, {"model.onnx": onnx_graph()}, ONNX, changes={"inputs": []}),
            "its description is not valid",
        ),
    ],
)
def test_a_bad_package_is_told_in_a_sentence(store, tmp_path, make, message):
    path = tmp_path / "model.zip"
    make(path)
    with pytest.raises(CheckpointError, match=message) as caught:
        import_model(store, path)
    assert str(path) in str(caught.value)
    assert not store.folder.exists()
