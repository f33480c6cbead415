"""Parts of a training step: the running average, and the precision of scores."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.runtime import RandomState
from napari_seglite.training import FineTuneRequest
from napari_seglite.training.trainer import Trainer, _running_average


def test_the_average_remembers_ever_more_steps_and_counts_are_the_last_ones():
    network = nn.BatchNorm1d(2)
    average = AveragedModel(network, multi_avg_fn=_running_average, use_buffers=True)
    expected = torch.zeros(2)
    for step in range(4):
        with torch.no_grad():
            network.weight.fill_(step + 1)
        network.num_batches_tracked.fill_(10 * step)
        average.update_parameters(network)
        keep = (1 + step) / (10 + step)
        expected = expected * keep + (step + 1) * (1 - keep) if step else network.weight.detach()
        expected = expected.clone()

    torch.testing.assert_close(average.module.weight.detach(), expected)
    assert int(average.module.num_batches_tracked) == 30


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_convolutions_compute_in_the_precision_of_the_request(precision, dtype):
    info = CheckpointInfo("mine", "u2net-msac", options={"variant": "light"})
    request = FineTuneRequest("u2net-msac", "mine", precision=precision)
    trainer = Trainer(info.build(), info, request, "cpu", RandomState(0))
    with trainer.autocast():
        assert nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 2, 2)).dtype == dtype
