import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import src_models
from src_models.u2net_msac import MSAC


def test_it_is_no_larger_than_u2netp():
    network = src_models.create("u2net-msac", 3, 1).eval()
    assert sum(p.numel() for p in network.parameters()) <= 1_130_000
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 256, 256))
    assert counter.get_total_flops() <= 25.3e9


def test_fused_network_has_single_kernels_and_the_same_output():
    torch.manual_seed(0)
    network = src_models.create("u2net-msac")
    with torch.no_grad():
        network.train()(torch.randn(2, 1, 64, 64))
    fused = network.eval().fuse()
    assert not any(isinstance(m, (MSAC, torch.nn.BatchNorm2d)) for m in fused.modules())
    x = torch.randn(1, 1, 48, 80)
    with torch.no_grad():
        assert (fused(x) - network(x)).abs().max() < 1e-4


def test_dilated_branches_fold_too():
    torch.manual_seed(0)
    layer = MSAC(3, 4, dilation=2)
    layer(torch.randn(2, 3, 16, 16))
    x = torch.randn(1, 3, 21, 18)
    with torch.no_grad():
        torch.testing.assert_close(layer.eval().folded()(x), layer(x), rtol=1e-4, atol=1e-5)


def test_training_mode_is_refused():
    with pytest.raises(ValueError, match="evaluation mode"):
        src_models.create("u2net-msac").train().fuse()


def test_five_outputs_are_supervised():
    outputs = src_models.create("u2net-msac", 1, 2).supervised(torch.randn(2, 1, 30, 50))
    assert [tuple(y.shape) for y in outputs] == [(2, 2, 30, 50)] * 5
