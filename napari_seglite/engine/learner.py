"""One training step after the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import src_models

from ..store.checkpoints import CheckpointInfo

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .fine_tuner import FineTuneRequest


class Learner:
    """A network, its optimiser, and the running average of its weights that gets saved."""

    def __init__(
        self, network: nn.Module, info: CheckpointInfo, request: FineTuneRequest, device: str
    ) -> None:
        import torch
        from torch.optim.swa_utils import AveragedModel

        self.network, self.info = network.train(), info
        if request.frozen_norm:
            for module in network.modules():
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    module.eval()
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=request.learning_rate, weight_decay=request.weight_decay
        )
        self.rate = request.learning_rate
        self.device, self.bfloat16 = device, request.bfloat16
        average = AveragedModel(network, avg_fn=_running_average, use_buffers=True)
        self.averaged: nn.Module = average.module
        self._average = average
        self._steps = 0

    def step(self, frames: torch.Tensor, labels: torch.Tensor, progress: float) -> float:
        """Update the weights once; `progress` from 0 to 1 sets the learning rate."""
        import torch

        warm = min(1.0, (self._steps + 1) / 20)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        self.optimiser.zero_grad(set_to_none=True)
        frames = frames.to(self.device, memory_format=torch.channels_last)
        if self.info.context_slices > 1:
            frames = frames.unflatten(1, (self.info.context_slices, -1))
        kind = torch.device(self.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self.bfloat16):
            loss = src_models.training_loss(
                self.network, self.info.network, frames, labels.to(self.device)
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self._average.update_parameters(self.network)
        self._steps += 1
        return float(loss.detach())


def _running_average(averaged: torch.Tensor, current: torch.Tensor, count: Any) -> torch.Tensor:
    """Exponential moving average whose memory grows from a few steps to a hundred."""
    keep = min(0.99, (1 + float(count)) / (10 + float(count)))
    return averaged + (current - averaged) * (1 - keep)


def copy_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a network's weights as they are now, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
