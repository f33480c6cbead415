import numpy as np
import published_weights
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import src_models
from src_models import unet_sharp
from src_models.published import convert
from src_models.unet_sharp import conv_of_upsampled, pool_strides


@pytest.fixture
def network():
    torch.manual_seed(0)
    return src_models.create("unet-sharp", 1, 1, preset="small").eval()


@pytest.mark.parametrize(
    ("preset", "expected"), [("base", 10_748_580), ("small", 2_690_132), ("tiny", 674_028)]
)
def test_parameters_of_trunk_and_row_heads(preset, expected):
    network = src_models.create("unet-sharp", 3, 1, preset=preset)
    parts = (network.nodes, network.row_heads)
    assert sum(p.numel() for part in parts for p in part.parameters()) == expected


def test_eight_outputs_and_two_guides_are_supervised():
    network = src_models.create("unet-sharp", 1, 3, preset="small")
    outputs = network.supervised(torch.randn(2, 1, 40, 50))
    assert [tuple(y.shape) for y in outputs.logits] == [(2, 3, 40, 50)] * 8
    assert [tuple(y.shape) for y in outputs.presence] == [(2, 2, 2)] * 2


@pytest.fixture
def in_the_papers_order(monkeypatch):
    """Return a function after which all maps are enlarged before they are convolved."""
    return lambda: monkeypatch.setattr(unet_sharp, "FAR", unet_sharp.DEPTH + 1)


def test_deep_maps_are_convolved_before_they_are_enlarged_with_the_same_result(
    network, in_the_papers_order
):
    x = torch.randn(2, 1, 48, 80)
    cheap, work = network(x), flops(network, x)
    in_the_papers_order()
    plain = network(x)
    assert (cheap - plain).abs().max() < 1e-4 * (plain.max() - plain.min())
    assert work < 0.6 * flops(network, x)


def test_and_the_same_gradients(network, in_the_papers_order):
    x, labels = torch.randn(2, 1, 48, 64), torch.randint(0, 2, (2, 48, 64))
    network = network.double().eval()  # without dropout

    def gradients():
        network.zero_grad()
        src_models.training_loss(network, "unet-sharp", x.double(), labels).backward()
        return {name: p.grad.clone() for name, p in network.named_parameters()}

    cheap = gradients()
    in_the_papers_order()
    torch.testing.assert_close(cheap, gradients())


def test_convolution_of_an_enlarged_map():
    torch.manual_seed(0)
    x, weight = torch.randn(2, 5, 3, 4), torch.randn(7, 5, 3, 3)
    for size in ((6, 8), (24, 32)):
        enlarged = torch.nn.functional.interpolate(x, size=size, mode="bilinear")
        expected = torch.nn.functional.conv2d(enlarged, weight, padding=1)
        torch.testing.assert_close(conv_of_upsampled(x, weight, size), expected)


def flops(network, x):
    with FlopCounterMode(display=False) as counter:
        network(x)
    return counter.get_total_flops()


def test_pruning_skips_work_and_returns_that_row_head(network, in_the_papers_order):
    in_the_papers_order()
    x = torch.randn(1, 1, 48, 64)
    with torch.no_grad():
        rows = network.row_outputs(x)
    work = []
    for level in (1, 2, 3, 4):
        network.level = level
        with torch.no_grad():
            torch.testing.assert_close(network(x), rows[level - 1])
            assert network(x[..., :41, :50]).shape == (1, 1, 41, 50)
        work.append(flops(network, x))
    assert work[0] < work[1] / 2 < work[2] / 4 < work[3] / 8


def test_gate_multiplies_the_probabilities_at_every_level(network):
    x = torch.randn(1, 1, 41, 50)
    with torch.no_grad():
        presence = network.presence(x).sigmoid().item()
        assert 0.01 < presence < 0.99
        for level in (1, 2, 3, 4):
            network.level, network.gate = level, False
            free = network(x).sigmoid()
            network.gate = True
            gated = network(x).sigmoid()
            torch.testing.assert_close(gated, free * presence, rtol=1e-4, atol=1e-6)


def test_presence_is_what_the_deep_guided_module_learns(network):
    x = torch.randn(2, 1, 48, 64)
    with torch.no_grad():
        learnt = network.supervised(x).presence[0][..., 1]
        torch.testing.assert_close(network.presence(x), learnt)
        assert network.guided
        torch.nn.init.zeros_(network.guide_decoder.conv.weight)
    assert not network.guided


def test_gate_of_several_classes_gives_the_rest_to_background():
    torch.manual_seed(0)
    network = src_models.create("unet-sharp", 1, 3, preset="small").eval()
    x = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        free = network(x).softmax(1)
        network.gate = True
        gated = network(x).softmax(1)
        presence = network.presence(x)[0].sigmoid()
    torch.testing.assert_close(gated[:, 1:], free[:, 1:] * presence[:, None, None])
    assert (gated[:, 0] >= free[:, 0]).all()


def test_volumes():
    network = src_models.create("unet-sharp", 1, 2, preset="small", dims=3, spacing=(4, 1, 1))
    x = torch.randn(1, 1, 5, 33, 48)
    with torch.no_grad():
        assert network.eval()(x).shape == (1, 2, 5, 33, 48)
    labels = torch.randint(0, 2, (1, 5, 33, 48))
    loss = src_models.training_loss(network.train(), "unet-sharp", x, labels)
    loss.backward()
    assert torch.isfinite(loss)


def test_z_is_pooled_once_the_plane_is_as_coarse():
    assert pool_strides(3, (4, 1, 1)) == [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]
    assert pool_strides(3, (50, 4.6, 4.6)) == [(1, 2, 2)] * 3 + [(2, 2, 2)]
    assert pool_strides(3) == pool_strides(3, (1, 1, 1)) == [(2, 2, 2)] * 4


def test_what_cannot_be_built_or_trained_is_refused(network):
    with pytest.raises(ValueError, match="base or small or tiny"):
        src_models.create("unet-sharp", preset="huge")
    with pytest.raises(ValueError, match="2 or 3 dimensions"):
        src_models.create("unet-sharp", dims=4)
    with pytest.raises(ValueError, match="at least 17 x 17"):
        network.train()(torch.randn(1, 1, 16, 16))
    network(torch.randn(2, 1, 16, 16))
    network(torch.randn(1, 1, 17, 16))


def test_published_network_is_reproduced(reference_outputs):
    network = src_models.create("unet-sharp", 3, 1, align_corners=True).eval()
    published = [p for n, p in network.named_parameters() if not n.startswith("guide_")]
    assert sum(p.numel() for p in published) == 10_757_224
    weights = published_weights.weights(reference_outputs, "unet-sharp")
    network.load_state_dict(convert("unet-sharp", weights))
    with torch.no_grad():
        outputs = network.supervised(published_weights.image()).logits
        pruned = network.row_outputs(published_weights.image())
    expected = np.load(reference_outputs / "unet-sharp-outputs.npy")
    for ours, theirs in zip(outputs, expected, strict=True):
        assert np.abs(ours[0, 0].numpy() - theirs).max() < 1e-3 * np.ptp(theirs)
    torch.testing.assert_close(pruned, outputs[:4])
