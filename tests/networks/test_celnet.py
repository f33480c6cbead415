import numpy as np
import pytest
import torch

import src_models
from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.training import Finished, Schedule


@pytest.fixture
def network():
    torch.manual_seed(0)
    return src_models.create("celnet").eval()


def test_parameters_are_those_of_the_paper_within_one_percent(network):
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(5_180_000, rel=0.01)


def test_a_single_image_stands_in_for_its_neighbours(network):
    x = torch.randn(2, 1, 40, 30)
    with torch.no_grad():
        alone = network(x)
        triple = network(torch.stack([x, x, x], dim=1))
    torch.testing.assert_close(alone, triple, rtol=1e-5, atol=1e-5)


def test_the_gate_is_open_where_slices_do_not_differ(network):
    relation = network.relations[0].eval()
    attended = []
    relation.difference.register_forward_pre_hook(lambda _, args: attended.append(args[0]))
    x = torch.randn(1, 64, 8, 8)
    with torch.no_grad():
        for module in relation.difference.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.zero_()
                module.bias.zero_()
        passed = relation._correlate(x, x)
    # What the attention left of an identical neighbour passes whole.
    torch.testing.assert_close((x - passed).abs(), attended[0])


def test_neighbours_matter(network):
    x = torch.randn(1, 3, 1, 32, 32)
    other = x.clone()
    other[:, 2] = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        assert (network(x) - network(other)).abs().max() > 1e-3


def test_sweeping_a_stack_encodes_every_slice_once(network, store, monkeypatch):
    """And gives what the triples give one by one, in tiles as well."""
    store.save(CheckpointInfo("stacks", "celnet"), network.state_dict())
    stack = np.random.default_rng(0).normal(size=(5, 96, 80)).astype(np.float32)
    encoded = []
    plain = type(network).encode

    def counted(self, x):
        encoded.append(tuple(x.shape))
        return plain(self, x)

    monkeypatch.setattr(type(network), "encode", counted)
    request = SegmentRequest("stacks", "ZYX", device="cpu", tile=64, overlap=16)
    segmenter = Segmenter(store)
    segmenter.segment(stack[:1], request)  # runs it once on a small image
    encoded.clear()
    found = segmenter.segment(stack, request)
    tiles = 4
    assert len(encoded) == 5 * tiles

    monkeypatch.undo()
    whole = Segmenter(store).segment(stack, SegmentRequest("stacks", "ZYX", device="cpu"))
    limits = whole.info.normalisation.limits(stack)
    frames = torch.tensor(whole.info.normalisation.apply(stack, limits))[:, None]
    triples = torch.stack([frames[[max(k - 1, 0), k, min(k + 1, 4)]] for k in range(5)])
    with torch.no_grad():
        direct = network(triples).sigmoid().numpy()
    np.testing.assert_allclose(whole.probabilities, direct, atol=3e-4)  # half precision
    assert found.probabilities.shape == direct.shape


def test_it_learns_from_a_stack(store):
    from napari_seglite import FineTuner, FineTuneRequest
    from napari_seglite.images import ImageAxes
    from napari_seglite.training import image_examples, start_info

    rng = np.random.default_rng(0)
    labels = np.zeros((4, 64, 64), np.uint8)
    labels[:, 20:40, 10:50] = 1
    stack = labels * 100 + rng.normal(0, 5, labels.shape)
    request = FineTuneRequest("celnet", "mine", Schedule(steps=3, patch=32, batch=2), device="cpu")
    info = start_info(request, store)
    frames = image_examples("stack", stack, labels, ImageAxes("ZYX"), info)
    assert frames[1].frame.shape == (3, 64, 64)
    assert np.array_equal(frames[1].frame[0], frames[0].frame[1])
    *_, last = FineTuner(request, frames, store).run()
    assert isinstance(last, Finished)
    assert store.info("mine").network == "celnet"
