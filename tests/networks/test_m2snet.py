import numpy as np
import published_weights
import pytest
import torch
import torch.nn.functional as F

import src_models
from src_models.folding import fold
from src_models.m2snet import CHANNELS, M2SNet, OnesFilter
from src_models.published import convert


def test_parameters_are_those_of_the_paper():
    for multi_scale, expected in ((True, 27_692_585), (False, 27_692_329)):
        network = src_models.create("m2snet", 3, 1, multi_scale=multi_scale)
        assert sum(p.numel() for p in network.parameters()) == expected


def test_the_light_preset_has_a_ninth_of_the_parameters():
    network = src_models.create("m2snet", 3, 2, preset="light").eval()
    assert 2.9e6 < sum(p.numel() for p in network.parameters()) < 3.1e6
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 50, 70)).shape == (1, 2, 50, 70)
    with pytest.raises(ValueError, match="No preset"):
        src_models.create("m2snet", preset="thin")


def test_units_of_an_order_run_from_the_coarsest_to_the_finest():
    # They update the running statistics of the same norms, which the order decides.
    network, seen = src_models.create("m2snet", preset="light").train(), []
    for order, units in enumerate(network.units):
        for k, unit in enumerate(units):
            unit.register_forward_hook(lambda *_, at=(order, k): seen.append(at))
    network(torch.randn(2, 1, 64, 64))
    assert seen == [(order, k) for order in range(4) for k in reversed(range(4 - order))]


def test_running_statistics_after_one_step_are_those_of_that_order():
    """By hand for the filter of 3 x 3: an update per map that it sees, the coarser one first."""
    torch.manual_seed(0)
    network = src_models.create("m2snet", preset="light").train()
    seen, units = [], network.units

    def keep(_, maps):
        coarse, fine, *_ = maps
        seen.append((F.interpolate(coarse, fine.shape[2:], mode="bilinear"), fine))

    for order in units:
        for unit in order:
            unit.register_forward_pre_hook(keep)
    norm = network.filters[0].norm
    mean = norm.running_mean.clone()
    network(torch.randn(2, 1, 64, 64))
    sizes = [fine.shape[-1] for _, fine in seen]
    assert sizes == [4, 8, 16, 16, 8, 16, 16, 16, 16, 16]  # orders 1 to 4, the coarsest first
    for pair in seen:
        for x in pair:
            total = F.conv2d(x, torch.ones(1, CHANNELS, 3, 3), padding=1).mean()
            mean = 0.9 * mean + 0.1 * total
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-5, atol=1e-5)


def test_published_network_is_reproduced(reference_outputs):
    network = src_models.create("m2snet", 3, 1).eval()
    weights = published_weights.weights(reference_outputs, "m2snet")
    network.load_state_dict(convert("m2snet", weights))
    with torch.no_grad():
        logits = network(published_weights.image()).numpy()
    expected = np.load(reference_outputs / "m2snet-output.npy")
    assert np.abs(logits - expected).max() < 1e-3 * np.ptp(expected)


def test_single_scale_checkpoints_fit_too(reference_outputs):
    weights = published_weights.weights(reference_outputs, "m2snet")
    single = {k: v for k, v in weights.items() if not k.startswith("conv_")}
    network = src_models.create("m2snet", 3, 1, multi_scale=False)
    network.load_state_dict(convert("m2snet", single))


def test_fixed_filter_equals_the_plain_convolution():
    torch.manual_seed(0)
    for size in (3, 5):
        ours = OnesFilter(size).train()
        plain = torch.nn.BatchNorm2d(CHANNELS).train()
        plain.load_state_dict(ours.norm.state_dict())
        x = torch.randn(2, CHANNELS, 9, 12)
        ones = torch.ones(CHANNELS, CHANNELS, size, size)
        for _ in range(3):  # the running statistics must agree as well
            ours(x)
            plain(F.conv2d(x, ones, padding=size // 2))
        torch.testing.assert_close(ours.norm.running_var, plain.running_var, rtol=1e-4, atol=1e-3)
        expected = F.relu(plain.eval()(F.conv2d(x, ones, padding=size // 2)))
        torch.testing.assert_close(ours.eval()(x), expected, rtol=1e-4, atol=1e-4)


def test_units_predict_as_they_learnt_with_statistics_of_their_own():
    torch.manual_seed(0)
    shared = M2SNet(preset="light").train()
    own = M2SNet(preset="light", own_statistics=True).train()
    own.load_state_dict(shared.state_dict(), strict=False)
    x, apart = torch.randn(4, 1, 96, 96), []
    with torch.no_grad():
        assert torch.equal(shared(x), own(x))  # training is the same
        for network in (shared, own):
            for _ in range(60):  # until the running statistics are those of the batch
                learnt = network(x)
            for ones in network.filters:
                ones.norm.eval()
            apart.append(float((network(x) - learnt).abs().max() / learnt.abs().max()))
    assert apart[0] > 0.5
    assert apart[1] < 0.02
    assert (fold(own.eval())(x) - own(x)).abs().max() < 1e-3 * learnt.abs().max()
