"""What Apple's GPUs cannot do, simulated on the CPU."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import src_models
from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, SegmentRequest, segment
from napari_seglite.images import TrainingImage
from napari_seglite.training import StepDone
from napari_seglite.training.trainer import Trainer


class WithoutFloat64(TorchDispatchMode):
    """Refuse tensors of double precision, which ``mps`` does not have; numbers are no tensors."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, result)):
            if isinstance(value, torch.Tensor) and value.ndim and value.dtype == torch.float64:
                raise TypeError(f"{func} computes in float64")
        return result


def test_simulation_refuses_float64():
    with WithoutFloat64(), pytest.raises(TypeError, match="float64"):
        torch.ones(2).double()
    with WithoutFloat64():
        assert float(torch.ones(2).sum() * 0.5) == 1.0


@pytest.mark.parametrize("name", src_models.names())
def test_network_learns_without_float64(name):
    network = src_models.create(name, **src_models.card(name).first_options).train()
    slices = src_models.card(name).context_slices
    shape = (2, slices, 1, 64, 64) if slices > 1 else (2, 1, 64, 64)
    x, labels = torch.randn(shape), (torch.rand(2, 64, 64) > 0.5).long()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=False)
    with WithoutFloat64():
        src_models.training_loss(network, name, x, labels).backward()
        optimiser.step()
    assert all(weight.isfinite().all() for weight in network.parameters())


@pytest.mark.parametrize("checkpoint", ["nuclei-unet-sharp", "general-s-net"])
def test_segmenting_without_float64(checkpoint):
    image = np.random.default_rng(0).random((100, 90))  # a float64 image
    request = SegmentRequest(checkpoint, "YX", device="cpu", runtime="torch")
    expected = segment(image, request).labels
    with WithoutFloat64():
        np.testing.assert_array_equal(segment(image, request).labels, expected)


def test_fine_tuning_without_float64(tmp_path, monkeypatch):
    """Steps; patches are drawn on the CPU in any case."""
    step = Trainer.step

    def guarded(self, *args):
        with WithoutFloat64():
            return step(self, *args)

    monkeypatch.setattr(Trainer, "step", guarded)
    rng = np.random.default_rng(0)
    labels = np.zeros((96, 96), np.uint8)
    labels[20:60, 30:70] = 1
    images = [
        TrainingImage(f"frame {k}", rng.random((1, 96, 96), np.float32) + labels, labels)
        for k in range(2)
    ]
    request = FineTuneRequest("general-unet-sharp", "mine", device="cpu").adjusted(
        steps=2, batch=2, patch=64
    )
    events = list(FineTuner(request, images, CheckpointStore(tmp_path)).run())
    assert sum(isinstance(event, StepDone) for event in events) == 2


def test_operations_fall_back_on_the_cpu():
    """The setting is there before torch is imported, and a user's own stays."""
    code = (
        "import sys, os; sys.platform = 'darwin'; import napari_seglite; "
        "assert 'torch' not in sys.modules; print(os.environ['PYTORCH_ENABLE_MPS_FALLBACK'])"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
        ).stdout.strip()
        for env in ({}, {"PYTORCH_ENABLE_MPS_FALLBACK": "0"})
    ]
    assert printed == ["1", "0"]
