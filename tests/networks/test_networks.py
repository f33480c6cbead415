"""What every network promises, whatever paper it is from."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch
from skimage.io import imread
from torch.utils.flop_counter import FlopCounterMode

import src_models
from src_models.folding import fold

NAMES = ("celnet", "m2snet", "s-net", "u2net-msac", "unet-sharp")
OPTIONS = {"unet-sharp": {"preset": "small"}}
# What learns by heart is as small as there is.
SMALLEST = {"unet-sharp": {"preset": "tiny"}, "m2snet": {"preset": "light"}}


def create(name, in_channels=1, classes=1):
    torch.manual_seed(0)
    return src_models.create(name, in_channels, classes, **OPTIONS.get(name, {}))


def calibrate(network, x):
    """Give the batch norms the statistics of this input, as training would, and end training."""
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(x)
    for norm in norms:
        norm.momentum = 0.1
    network.eval()


def images(name, *shape):
    """Random input: images, or triples of slices for a network that reads them."""
    batch, *rest = shape
    slices = src_models.card(name).context_slices
    return torch.randn(batch, *([slices] if slices > 1 else []), *rest)


def test_the_five_are_there():
    assert src_models.names() == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_card_is_true(name, monkeypatch):
    card = src_models.card(name)
    channels, classes = card.parameters_at
    network = src_models.create(name, channels, classes).eval()
    count = sum(p.numel() for p in network.parameters())
    if name == "unet-sharp":  # what only training needs is not counted
        extra = (network.decoder_heads, network.guide_decoder, network.guide_rows)
        count -= sum(p.numel() for module in extra for p in module.parameters())
    assert count == card.parameters
    assert network.divisor == card.divisor
    assert getattr(network, "context_slices", 1) == card.context_slices
    # UNet#'s card counts the paper's order, in which all maps are enlarged before convolutions.
    monkeypatch.setattr("src_models.unet_sharp.FAR", 99)
    with FlopCounterMode(display=False) as counter:
        network(images(name, 1, channels, 64, 64))
    assert 16 * counter.get_total_flops() / 1e9 == pytest.approx(card.gflop, abs=0.06)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("channels", "classes", "height", "width"), [(1, 1, 1, 1), (3, 2, 33, 46), (2, 4, 64, 7)]
)
def test_any_channels_classes_and_size(name, channels, classes, height, width):
    network = create(name, channels, classes).eval()
    with torch.no_grad():
        logits = network(images(name, 1, channels, height, width))
    assert logits.shape == (1, classes, height, width)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 3])
def test_its_loss_reaches_every_parameter(name, classes):
    network = create(name, 1, classes).train()
    labels = torch.randint(0, max(classes, 2), (2, 64, 64))
    src_models.training_loss(network, name, images(name, 2, 1, 64, 64), labels).backward()
    still = [
        n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert still == []


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_weights(name):
    a, b = create(name).state_dict(), create(name).state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(name, dtype):
    """Under autocast, and with the weights themselves in half precision.

    In float16 M2SNet is for autocast alone, as its card says: the running variance of its fixed
    filters lies beyond the largest float16.
    """
    network = create(name)
    x = images(name, 2, 1, 64, 48)
    with torch.no_grad():
        calibrate(network, x)
        exact = network(x)
        with torch.autocast("cpu", dtype):
            mixed = network(x)
        found = [mixed]
        if (name, dtype) != ("m2snet", torch.float16):
            found.append(network.to(dtype)(x.to(dtype)))
            assert found[-1].dtype == dtype
    for logits in found:
        assert (logits.float() - exact).abs().max() < 0.1 * (exact.max() - exact.min())


@pytest.mark.parametrize("name", NAMES)
def test_folded_for_inference_it_computes_the_same(name):
    network = create(name)
    with pytest.raises(ValueError, match=r"network\.eval\(\) first"):
        fold(network)
    calibrate(network, images(name, 2, 1, 64, 64))
    x = images(name, 1, 1, 61, 47)
    folded = fold(network)
    with torch.no_grad():
        exact, fast = network(x), folded(x)
    assert (fast - exact).abs().max() < 1e-4 * max(1, (exact.max() - exact.min()).item())
    norms = [
        sum(isinstance(m, torch.nn.BatchNorm2d) for m in n.modules()) for n in (network, folded)
    ]
    assert norms[1] < norms[0] / 5


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_can_learn_one_image_by_heart(name, real_images):
    folder = real_images / "nuclei" / "train"
    path = sorted((folder / "images").glob("*.png"))[0]
    pixels = imread(path)
    grey = pixels[..., :3].mean(-1) if pixels.ndim == 3 else pixels
    labels = tifffile.imread(folder / "labels" / f"{path.stem}.tif") > 0
    y, x = np.argwhere(labels).mean(0).astype(int).clip(32, np.array(labels.shape) - 32)
    window = np.s_[y - 32 : y + 32, x - 32 : x + 32]
    frame = torch.tensor(grey[window] / grey.max(), dtype=torch.float32)[None, None]
    truth = torch.tensor(labels[window])[None].long()
    assert 0.02 < truth.float().mean() < 0.9

    torch.manual_seed(0)
    network = src_models.create(name, 1, 1, **SMALLEST.get(name, {}))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3 if name == "m2snet" else 3e-3)
    dice = 0.0
    for step in range(300):
        network.train()
        # Its fixed filters share one norm over all scales, whose running statistics are those of
        # none: it has to learn with the statistics of inference, as fine-tuning offers it.
        if name == "m2snet" and step >= 50:
            for module in network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()
        optimiser.zero_grad()
        # Twice, because batch norm needs more than one value at the deepest level.
        loss = src_models.training_loss(
            network, name, frame.repeat(2, 1, 1, 1), truth.repeat(2, 1, 1)
        )
        loss.backward()
        optimiser.step()
        if step % 10 == 9:
            with torch.no_grad():
                found = network.eval()(frame)[:, 0] > 0
            dice = 2 * (found & (truth > 0)).sum() / (found.sum() + truth.sum())
            if dice > 0.95:
                break
    assert dice > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_torch_can_export_and_compile_it(name):
    network = create(name).eval()
    x = images(name, 1, 1, 64, 64)
    with torch.no_grad():
        expected = network(x)
        exported = torch.export.export(network, (x,)).module()(x)
        # What dynamo captures as one graph; which compiler gets it then is torch's matter.
        compiled = torch.compile(network, backend="eager", fullgraph=True)(x)
    torch.testing.assert_close(exported, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(compiled, expected, rtol=1e-4, atol=1e-4)


def test_unknown_networks_and_sizes_are_refused():
    with pytest.raises(KeyError, match="there are: celnet, m2snet, s-net"):
        src_models.create("v-net")
    with pytest.raises(ValueError, match="at least one input channel"):
        src_models.create("s-net", 0)


def test_listing_networks_does_not_import_torch():
    code = "import src_models, sys; src_models.card('s-net'); print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


TOY = """
from src_models import NetworkCard

CARD = NetworkCard(
    name="toy-net", title="Toy", summary="One convolution.", paper="nobody", doi="",
    parameters=10, parameters_at=(1, 1), gflop=0.0, divisor=1, loss="BCE + Dice",
    factory="toy_network.layers:Toy",
)
"""
TOY_LAYERS = """
from torch import nn

class Toy(nn.Conv2d):
    divisor = 1

    def __init__(self, in_channels, classes):
        super().__init__(in_channels, classes, 3, padding=1)
"""
TOY_SETUP = """
from setuptools import setup

setup(
    name="toy-network", version="1", packages=["toy_network"],
    entry_points={"napari_seglite.networks": ["toy-net = toy_network:CARD"]},
)
"""
USE_TOY = """
import sys
import src_models
assert "toy-net" in src_models.names() and "torch" not in sys.modules
import torch
network = src_models.create("toy-net", 2, 3)
print(tuple(network(torch.zeros(1, 2, 5, 4)).shape))
"""


def test_another_distribution_can_add_a_network(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "toy_network").mkdir(parents=True)
    (source / "toy_network" / "__init__.py").write_text(TOY)
    (source / "toy_network" / "layers.py").write_text(TOY_LAYERS)
    (source / "setup.py").write_text(TOY_SETUP)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    code = f"import sys; sys.path.insert(0, {str(target)!r})\n{USE_TOY}"
    shape = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert shape == "(1, 3, 5, 4)"
