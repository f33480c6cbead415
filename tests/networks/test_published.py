import hashlib
import http.server
import threading
from functools import partial

import published_weights
import pytest
import torch

import src_models
from src_models.published import adapt_stem, convert, read_weights
from src_models.res2net import Res2Net50
from src_models.vgg16 import VGG16Features


def test_converter_says_what_does_not_fit(reference_outputs):
    weights = published_weights.weights(reference_outputs, "s-net")
    del weights["GLFFs.norm.weight"]
    weights["extra.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"missing: glff.norm.weight; unknown: extra.weight"):
        convert("s-net", weights)
    with pytest.raises(ValueError, match="first or last layer is missing"):
        convert("s-net", {"fc.weight": torch.zeros(1)})
    with pytest.raises(KeyError, match="No converter for 'u-net'"):
        convert("u-net", weights)


def test_res2net_from_its_published_names(reference_outputs):
    """The backbone in M2SNet's checkpoint has the names that its own authors publish."""
    whole = published_weights.weights(reference_outputs, "m2snet")
    imagenet = {
        k.removeprefix("resnet."): v for k, v in whole.items() if k.startswith("resnet.")
    } | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    backbone = Res2Net50(3).eval()
    backbone.load_state_dict(convert("res2net-50", imagenet))

    network = src_models.create("m2snet", 3, 1).eval()
    network.load_state_dict(convert("m2snet", whole))
    x = published_weights.image()
    with torch.no_grad():
        for ours, theirs in zip(backbone(x), network.backbone(x), strict=True):
            assert torch.equal(ours, theirs)


def test_stem_for_other_channels():
    torch.manual_seed(0)
    kernel, grey = torch.randn(8, 3, 3, 3), torch.randn(1, 1, 9, 9)
    expected = torch.nn.functional.conv2d(grey.expand(-1, 3, -1, -1), kernel)
    for channels in (1, 6):
        adapted = adapt_stem(kernel, channels)
        assert adapted.shape == (8, channels, 3, 3)
        found = torch.nn.functional.conv2d(grey.expand(-1, channels, -1, -1), adapted)
        torch.testing.assert_close(found, expected)
    assert adapt_stem(kernel, 3) is kernel


def vgg_as_published():
    torch.manual_seed(0)
    weights = VGG16Features().state_dict()
    for layer in (24, 26, 28):
        weights[f"features.{layer}.weight"] = torch.zeros(512, 512, 3, 3)
        weights[f"features.{layer}.bias"] = torch.zeros(512)
    return weights | {"classifier.0.weight": torch.zeros(4, 4), "classifier.0.bias": torch.zeros(4)}


def test_vgg_from_its_published_names():
    VGG16Features().load_state_dict(convert("vgg-16", vgg_as_published()))
    with pytest.raises(ValueError, match=r"missing: features\.2\.weight"):
        convert("vgg-16", {k: v for k, v in vgg_as_published().items() if "s.2.w" not in k})


def test_vgg_has_the_published_list_of_layers():
    layers = VGG16Features().features
    kinds = "".join(type(layer).__name__[0] for layer in layers)
    assert kinds == "CRCRMCRCRMCRCRCRMCRCRCR"
    maps = VGG16Features()(torch.zeros(1, 3, 32, 32))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
    ]


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "served" / "weights.pth"
    path.parent.mkdir()
    torch.save({"state_dict": {"a": torch.arange(3)}}, path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_are_read_and_their_hash_is_checked(checkpoint, tmp_path):
    path, sha = checkpoint
    assert torch.equal(read_weights(path, sha)["a"], torch.arange(3))
    with pytest.raises(ValueError, match="does not have the SHA-256"):
        read_weights(path, "0" * 64)
    with pytest.raises(FileNotFoundError):
        read_weights(tmp_path / "nowhere.pth")
    text = tmp_path / "text.pth"
    text.write_text("no weights")
    with pytest.raises(ValueError, match="cannot be read as PyTorch weights: it is another kind"):
        read_weights(text)
    torch.save([1, 2], text)
    with pytest.raises(ValueError, match="no state dict"):
        read_weights(text)


class Harmful:
    """A pickle that would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_inside_a_file_is_run(tmp_path):
    torch.save(Harmful(tmp_path / "harm"), tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="cannot be read"):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "harm").exists()


def test_downloads_need_a_hash_and_keep_to_it(checkpoint, tmp_path, monkeypatch):
    path, sha = checkpoint
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(path.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/weights.pth"
        with pytest.raises(ValueError, match="need a SHA-256"):
            read_weights(url)
        with pytest.raises(ValueError, match="hash"):
            read_weights(url, "0" * 64)
        assert torch.equal(read_weights(url, sha)["a"], torch.arange(3))
        server.shutdown()
