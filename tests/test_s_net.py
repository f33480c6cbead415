import json
import zlib

import numpy as np
import pytest
import torch

import src_models
from src_models.published import convert


def test_parameters_are_those_of_the_paper():
    network = src_models.create("s-net", 3, 1)
    count = sum(p.numel() for p in network.parameters())
    assert count == 1_522_306 == src_models.card("s-net").parameters


@pytest.mark.parametrize(
    ("channels", "classes", "height", "width"),
    [(1, 1, 1, 1), (3, 2, 33, 46), (2, 4, 64, 7)],
)
def test_any_channels_classes_and_size(channels, classes, height, width):
    network = src_models.create("s-net", channels, classes).eval()
    with torch.no_grad():
        logits = network(torch.randn(2, channels, height, width))
    assert logits.shape == (2, classes, height, width)
    assert torch.isfinite(logits).all()


def test_returns_logits_and_learns_everywhere():
    torch.manual_seed(0)
    network = src_models.create("s-net", 1, 1)
    logits = network(torch.randn(2, 1, 32, 32))
    assert logits.min() < 0 < logits.max()
    logits.square().mean().backward()
    still = [
        n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert still == []


def test_same_seed_same_weights():
    networks = []
    for _ in range(2):
        torch.manual_seed(7)
        networks.append(src_models.create("s-net"))
    for a, b in zip(*(n.state_dict().values() for n in networks), strict=True):
        assert torch.equal(a, b)


def test_half_precision_runs_under_autocast():
    network = src_models.create("s-net").eval()
    x = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x)
    assert (half.float() - exact).abs().max() < 0.1 * (exact.max() - exact.min())


def published_weights(folder):
    """Build the published state dict that the reference output was computed with."""
    weights = {}
    for name, shape in json.loads((folder / "s-net-parameters.json").read_text()).items():
        count = int(np.prod(shape))
        seed = zlib.crc32(("a:" + name).encode())
        v = np.random.RandomState(seed).standard_normal(count)
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(1)
            continue
        if name.endswith("running_var"):
            v = (1 + 0.5 * v * v) * (100000 if name.startswith("conv_") else 1)
        elif name.endswith("running_mean"):
            v = 0.1 * v
        elif name.endswith("A_logs"):
            v = np.tile(np.log(np.arange(1, 17)), count // 16) + 0.1 * v
        elif len(shape) <= 1:
            v = 0.9 + 0.1 * v if name.endswith(("weight", "Ds")) else 0.1 * v
        else:
            v = v * np.sqrt(2 / np.prod(shape[1:]))
        weights[name] = torch.tensor(v.reshape(shape), dtype=torch.float32)
    return weights


def test_published_network_is_reproduced(reference_outputs):
    network = src_models.create("s-net", 3, 1).eval()
    network.load_state_dict(convert("s-net", published_weights(reference_outputs)))
    c, y, x = np.meshgrid(np.arange(3), np.arange(96), np.arange(64), indexing="ij")
    image = np.sin(0.31 * y + 0.17 * x + c) * np.cos(0.05 * x * (c + 1) - 0.02 * y)
    with torch.no_grad():
        logits = network(torch.tensor(image[None], dtype=torch.float32)).numpy()
    expected = np.load(reference_outputs / "s-net-output.npy")
    assert np.abs(logits - expected).max() < 1e-3 * np.ptp(expected)


def test_converter_says_what_does_not_fit(reference_outputs):
    weights = published_weights(reference_outputs)
    del weights["GLFFs.norm.weight"]
    weights["extra.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"missing: glff.norm.weight; unknown: extra.weight"):
        convert("s-net", weights)
    with pytest.raises(ValueError, match="first or last layer is missing"):
        convert("s-net", {"fc.weight": torch.zeros(1)})
    with pytest.raises(KeyError, match="No converter for 'u-net'"):
        convert("u-net", weights)


def test_unknown_networks_and_sizes_are_refused():
    with pytest.raises(KeyError, match="there are: s-net"):
        src_models.create("v-net")
    with pytest.raises(ValueError, match="at least one input channel"):
        src_models.create("s-net", 0)


def test_listing_networks_does_not_import_torch():
    import subprocess
    import sys

    code = "import src_models, sys; src_models.card('s-net'); print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
