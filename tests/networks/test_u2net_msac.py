import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import src_models
from src_models.u2net_msac import MSAC, StripAttention


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


def test_attention_has_no_branches_and_folds_as_well():
    torch.manual_seed(0)
    network = src_models.create("u2net-msac", 1, 1, variant="attention")
    assert not any(isinstance(m, MSAC) for m in network.modules())
    assert sum(p.numel() for p in network.parameters()) < 300_000
    strips = [m for m in network.modules() if isinstance(m, StripAttention)]
    x = torch.randn(2, 24, 9, 30)
    torch.testing.assert_close(strips[-1](x), x)  # as training starts
    network(torch.randn(2, 1, 64, 64)).square().mean().backward()
    assert all(m.mix.weight.grad.abs().max() > 0 for m in strips)
    # A step makes each pixel's weight depend on pixels up to ten away, along rows and columns.
    torch.nn.init.normal_(strips[-1].mix.weight)
    impulse = torch.zeros(1, 24, 41, 41)
    impulse[..., 20, 20] = 1
    weights = strips[-1](impulse + 1) - strips[-1](torch.ones_like(impulse))
    assert weights[0, :, 20, 8].abs().max() > 0
    assert weights[0, :, 8, 20].abs().max() > 0
    fused = network.eval().fuse()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.modules())
    x = torch.randn(1, 1, 48, 80)
    with torch.no_grad():
        torch.testing.assert_close(fused(x), network(x), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="No variant"):
        src_models.create("u2net-msac", variant="dense")


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


def test_an_unusual_image_stays_finite_with_attention():
    """Maps are multiplied by themselves in every block, so that large values would explode."""
    torch.manual_seed(0)
    network = src_models.create("u2net-msac", variant="attention").eval()
    for module in network.modules():
        if isinstance(module, StripAttention):
            torch.nn.init.normal_(module.mix.weight, std=0.5)
    with torch.inference_mode():
        assert torch.isfinite(network(1e4 * torch.randn(1, 1, 64, 64))).all()
