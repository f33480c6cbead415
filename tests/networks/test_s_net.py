import numpy as np
import published_weights
import torch

import src_models
from src_models.published import convert


def test_parameters_are_those_of_the_paper():
    network = src_models.create("s-net", 3, 1)
    assert sum(p.numel() for p in network.parameters()) == 1_522_306


def test_published_network_is_reproduced(reference_outputs):
    network = src_models.create("s-net", 3, 1).eval()
    network.load_state_dict(convert("s-net", published_weights.weights(reference_outputs, "s-net")))
    with torch.no_grad():
        logits = network(published_weights.image()).numpy()
    expected = np.load(reference_outputs / "s-net-output.npy")
    assert np.abs(logits - expected).max() < 1e-3 * np.ptp(expected)


def test_returns_logits():
    torch.manual_seed(0)
    logits = src_models.create("s-net")(torch.randn(2, 1, 32, 32))
    assert logits.min() < 0 < logits.max()
