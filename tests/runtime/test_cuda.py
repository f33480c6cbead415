"""The same numbers on a CUDA device as on the CPU; skipped where there is none."""

import numpy as np
import pytest
import torch

import src_models
from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, SegmentRequest, segment
from napari_seglite.images import TrainingImage
from napari_seglite.training import StepDone
from src_models.folding import fold

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture
def exact():
    """Full float32, as on the CPU."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("name", src_models.names())
def test_network_equals_cpu(name, exact):
    torch.manual_seed(0)
    network = src_models.create(name).eval()
    slices = src_models.card(name).context_slices
    shape = (1, slices, 1, 96, 128) if slices > 1 else (1, 1, 96, 128)
    x = torch.randn(shape)
    with torch.inference_mode():
        for each in (network, fold(network)):
            own = each(x)
            other = each.cuda()(x.cuda()).cpu()
            each.cpu()
            assert (own - other).abs().max() < 1e-3 * own.abs().max()


@pytest.mark.parametrize("name", src_models.names())
def test_network_learns_in_bfloat16(name):
    torch.manual_seed(0)
    network = src_models.create(name).cuda().train()
    slices = src_models.card(name).context_slices
    shape = (2, slices, 1, 96, 96) if slices > 1 else (2, 1, 96, 96)
    x, labels = torch.randn(shape).cuda(), (torch.rand(2, 96, 96) > 0.5).long().cuda()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        with torch.autocast("cuda", torch.bfloat16):
            loss = src_models.training_loss(network, name, x, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("checkpoint", ["nuclei-s-net", "general-unet-sharp"])
def test_segment_equals_cpu(checkpoint, tmp_path, exact):
    y, x = np.mgrid[:300, :400]
    rng = np.random.default_rng(0)
    image = 20 * rng.random((300, 400))
    for cy, cx in rng.integers(20, 280, (25, 2)):
        image += 180 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 150)
    store = CheckpointStore(tmp_path)
    cpu, cuda = (
        segment(image, SegmentRequest(checkpoint, "YX", device=device, tile=128, overlap=32), store)
        for device in ("cpu", "cuda")
    )
    assert cuda.request.device.startswith("cuda")
    assert cpu.labels.any()
    assert np.mean((cpu.labels > 0) != (cuda.labels > 0)) < 1e-3
    assert torch.cuda.memory_reserved() < 1e9


def test_fine_tuning_on_cuda(tmp_path):
    rng = np.random.default_rng(0)
    frame = rng.random((1, 160, 160)).astype(np.float32)
    frame[:, 40:120, 40:120] += 0.7
    labels = np.zeros((160, 160), np.uint8)
    labels[40:120, 40:120] = 1
    store = CheckpointStore(tmp_path)
    request = FineTuneRequest(checkpoint="general-unet-sharp", name="tuned", device="cuda")
    request = request.adjusted(steps=60, minutes=2, batch=4, patch=96, keep_unimproved=True)
    events = list(FineTuner(request, [TrainingImage("a", frame, labels)], store).run())
    losses = [event.loss for event in events if isinstance(event, StepDone)]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert segment(frame[0], SegmentRequest("tuned", "YX", device="cuda"), store).labels.any()
