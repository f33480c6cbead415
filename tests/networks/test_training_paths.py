"""What networks compute in another way while they learn, because its gradient takes less time."""

import pytest
import torch
import torch.nn.functional as F

from src_models.layers import upsample_to
from src_models.pixel_features import PixelReadout
from src_models.readout_kinds import EARLIER, STRUCTURE
from src_models.u2net_msac import StripAttention
from src_models.unet_sharp import conv_of_upsampled


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(8, 12), (16, 24)])
def test_products_give_output_and_gradients_of_a_convolved_enlarged_map(size, align_corners):
    torch.manual_seed(0)
    x = torch.randn(2, 5, 4, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 5, 3, 3, dtype=torch.float64, requires_grad=True)
    enlarged = F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)
    expected = F.conv2d(enlarged, weight, padding=1)
    given = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, (x, weight), given)

    learnt = conv_of_upsampled(x, weight, size, align_corners)

    torch.testing.assert_close(learnt, expected, rtol=1e-5, atol=1e-5)
    found = torch.autograd.grad(learnt, (x, weight), given)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        segmented = conv_of_upsampled(x, weight, size, align_corners)
    torch.testing.assert_close(learnt, segmented, rtol=1e-5, atol=1e-5)


def test_strips_learn_what_they_would_unturned():
    torch.manual_seed(0)
    attention = StripAttention(6)
    x = torch.randn(2, 6, 10, 14, requires_grad=True)
    near = attention.near(x.clamp(-10, 10))
    plain = x * attention.mix(near + sum(pair(near) for pair in attention.pairs))
    everything = (x, *attention.parameters())
    given = torch.randn_like(plain)
    wanted = torch.autograd.grad(plain, everything, given)

    learnt = attention(x)

    torch.testing.assert_close(learnt, plain)
    found = torch.autograd.grad(learnt, everything, given)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(attention(x), learnt)


def test_attention_under_autocast_returns_the_type_that_it_was_given():
    x = torch.randn(1, 4, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert StripAttention(4)(x).dtype == torch.bfloat16
    assert StripAttention(4)(x.float()).dtype == torch.float32


def test_an_enlarged_part_of_a_concatenation_has_the_usual_gradient():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    like = torch.randn(2, 2, 8, 10).contiguous(memory_format=torch.channels_last)
    given = torch.randn(2, 5, 8, 10).contiguous(memory_format=torch.channels_last)
    torch.cat([like, upsample_to(x, like)], dim=1).backward(given)

    plain = x.detach().contiguous().requires_grad_()
    F.interpolate(plain, size=(8, 10), mode="bilinear").backward(given[:, 2:].contiguous())
    torch.testing.assert_close(x.grad, plain.grad)


@pytest.mark.parametrize("kind", [EARLIER, STRUCTURE])
def test_the_readout_reads_its_features_whether_it_learns_or_not(kind):
    torch.manual_seed(0)
    readout = PixelReadout(1, 2, kind)
    torch.nn.init.normal_(readout.out.weight)
    x = torch.rand(2, 1, 16, 20)
    readout.standardise([x])
    values = readout.features(x)
    plain = readout.out(F.relu(readout.hidden(values)))
    wanted = torch.autograd.grad(plain.square().sum(), readout.hidden.weight)

    learnt = readout(x)

    torch.testing.assert_close(learnt, plain, rtol=1e-4, atol=1e-4)
    found = torch.autograd.grad(learnt.square().sum(), readout.hidden.weight)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        torch.testing.assert_close(readout(x), plain, rtol=1e-4, atol=1e-4)
