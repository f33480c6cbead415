"""S-Net frees a feature map once nothing reads it any more, and computes the same."""

import gc
import weakref

import torch
from torch import nn

from src_models.s_net import SNet, in_sequence


def test_layers_come_in_the_order_of_nested_sequences():
    first, second, third = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    nested = nn.Sequential(nn.Sequential(first, nn.Sequential(second)), third)
    assert list(in_sequence(nested)) == [first, second, third]
    assert list(in_sequence(third)) == [third]


def test_inputs_of_the_last_decoder_are_gone_at_its_end():
    network, maps, alive = SNet().eval(), {}, []

    def keep(name):
        return lambda _module, _inputs, output: maps.update({name: weakref.ref(output)})

    network.encoder1.register_forward_hook(keep("half"))
    network.encoder2.register_forward_hook(keep("quarter"))
    network.decoder2[-1].register_forward_pre_hook(
        lambda *_: alive.extend(name for name, each in maps.items() if each() is not None)
    )
    gc.disable()
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 1, 32, 32))
    finally:
        gc.enable()
    assert set(maps) == {"half", "quarter"}
    assert alive == []


def test_the_layers_compute_what_the_decoders_do():
    network = SNet().eval()
    pixels = torch.rand(1, 1, 36, 32)
    with torch.inference_mode():
        half = network.encoder1(pixels)
        quarter = network.encoder2(half)
        y = network.decoder1(torch.cat([network.glff(quarter), quarter], 1))
        expected = network.head(network.decoder2(torch.cat([y, half], 1)))
        assert torch.equal(network(pixels), expected)
