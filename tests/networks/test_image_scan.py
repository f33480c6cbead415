"""S-Net's scan of an image without copies, and its folded layers."""

import numpy as np
import pytest
import torch

import src_models
from src_models.folding import fold
from src_models.s_net import MSFF, SS2D
from src_models.selective_scan import ENVIRONMENT_VARIABLE


def relative(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 7), (1, 33, 20), (1, 1, 70)])
def test_the_scan_of_an_image_is_the_sum_of_four_scans(shape, monkeypatch):
    torch.manual_seed(0)
    layer = SS2D(64)
    torch.nn.init.normal_(layer.D)
    batch, height, width = shape
    x = torch.randn(batch, 128, height, width)
    with torch.no_grad():
        found = layer._scan(x)
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, "reference")
        expected = layer._scan(x)
    assert found.shape == expected.shape == (batch, height, width, 128)
    assert relative(found, expected) < 1e-5


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_it_does_not_depend_on_the_number_of_threads(threads):
    torch.manual_seed(0)
    layer, x = SS2D(64), torch.randn(1, 128, 9, 12)
    before = torch.get_num_threads()
    with torch.no_grad():
        try:
            torch.set_num_threads(threads)
            found = layer._scan(x)
        finally:
            torch.set_num_threads(before)
        torch.testing.assert_close(found, layer._scan(x), rtol=0, atol=0)


def test_it_keeps_strong_decay_and_nan_visible():
    torch.manual_seed(0)
    layer, x = SS2D(64), torch.randn(1, 128, 6, 8)
    with torch.no_grad():
        layer.dt_bias += 60
        assert layer._scan(x).isfinite().all()
        x[0, 3, 2, 2] = torch.nan
        assert layer._scan(x)[0, 2, 2].isnan().any()


def test_gradients_and_autocast_get_the_general_scan():
    torch.manual_seed(0)
    layer, x = SS2D(64), torch.randn(1, 9, 12, 64)
    trained = layer(x)
    trained.sum().backward()
    assert layer.A_log.grad.abs().max() > 0
    with torch.no_grad():
        assert relative(layer(x), trained) < 1e-5
        with torch.autocast("cpu", torch.bfloat16):
            assert relative(layer(x).float(), trained) < 0.05


def test_folded_s_net_has_no_norm_of_a_batch_and_computes_the_same():
    torch.manual_seed(0)
    network = src_models.create("s-net").eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
    folded = fold(network)
    assert sum(isinstance(each, MSFF) for each in folded.modules()) == 3
    assert not any(isinstance(each, torch.nn.BatchNorm2d) for each in folded.modules())
    assert any(isinstance(each, torch.nn.BatchNorm2d) for each in network.modules())
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 40, 52)).astype(np.float32))
    with torch.inference_mode():
        assert relative(folded(x), network(x)) < 1e-5
