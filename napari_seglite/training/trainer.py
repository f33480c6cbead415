"""One training step after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import src_models

from ..checkpoints.store import CheckpointInfo

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .patches import Batch
    from .request import FineTuneRequest


class Trainer:
    """A network, its optimiser, and the running average of its weights that gets saved.

    Parameters
    ----------
    network : Module
        With the weights to start from.
    info : CheckpointInfo
        Of the new checkpoint.
    request : FineTuneRequest
        How to train.
    device : str
        Where the network is.
    """

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
        learning = trainable(network, info.network, request.trainable)
        self._learning: list[torch.Tensor] = [
            weight for name, weight in network.named_parameters() if name in learning
        ]
        # Nothing to come back to where there is no start.
        self._anchor = request.anchor if info.parent else 0.0
        self._reach = request.reach if info.parent else 1.0
        self._first = copy_weights(network)
        self._start = [weight.detach().clone() for weight in self._learning]
        self.optimiser = torch.optim.AdamW(
            self._learning, lr=request.learning_rate, weight_decay=request.weight_decay
        )
        self.rate = request.learning_rate
        self.device, self.bfloat16 = device, request.bfloat16
        average = AveragedModel(network, avg_fn=_running_average, use_buffers=True)
        self.averaged: nn.Module = average.module
        self._average = average
        self._steps = 0

    def result(self) -> nn.Module:
        """Return the network as it would be kept now, ready to predict."""
        found = self.averaged
        if self._reach < 1:
            found = deepcopy(self.averaged)
            found.load_state_dict(mixed_weights(self._first, copy_weights(found), self._reach))
        return found.eval()

    def step(self, batch: Batch, progress: float) -> float:
        """Update the weights once and return the loss, which may be NaN.

        Parameters
        ----------
        batch : tuple of Tensor
            As `PatchSampler.batch` draws it.
        progress : float
            0 to 1, sets the learning rate.
        """
        import torch

        share = self._set_rate(progress)
        self.optimiser.zero_grad(set_to_none=True)
        frames, labels, weight = batch
        frames = frames.to(self.device, memory_format=torch.channels_last)
        if self.info.context_slices > 1:
            frames = frames.unflatten(1, (self.info.context_slices, -1))
        kind = torch.device(self.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self.bfloat16):
            loss = src_models.training_loss(
                self.network,
                self.info.network,
                frames,
                labels.to(self.device),
                None if weight is None else weight.to(self.device),
            )
        value = float(loss.detach())
        if not math.isfinite(value):
            return value
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._learning, 1.0)
        self.optimiser.step()
        if self._anchor:
            with torch.no_grad():
                torch._foreach_lerp_(self._learning, self._start, self._anchor * share)
        self._average.update_parameters(self.network)
        self._steps += 1
        return value

    def _set_rate(self, progress: float) -> float:
        """Set the learning rate and return its share of the full one."""
        warm = min(1.0, (self._steps + 1) / 20)
        share = warm * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * share
        return share

    def follow(self, request: FineTuneRequest) -> None:
        """Take the learning rate, the anchor and the reach of another request from here on."""
        self.rate, self._anchor = request.learning_rate, min(self._anchor, request.anchor)
        self._reach = max(self._reach, request.reach)

    def restore_and_halve_rate(self, weights: dict[str, torch.Tensor]) -> None:
        """Go on from earlier weights, slower: after a loss that is no number."""
        self.load_weights(weights)
        self.optimiser.state.clear()
        self.rate /= 2

    def load_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Take weights to go on from; the anchor stays where it was."""
        self.network.load_state_dict(weights)
        self.averaged.load_state_dict(weights)

    def state(self) -> dict[str, torch.Tensor]:
        """Return all that a run needs to go on after a crash."""
        found = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        found |= {f"average.{k}": v for k, v in self._average.state_dict().items()}
        for number, kept in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{number}.{k}": v for k, v in kept.items()}
        return {name: value.detach().cpu() for name, value in found.items()}

    def restore(self, state: dict[str, torch.Tensor], steps: int) -> None:
        """Go on from what `state` returned.

        Raises
        ------
        RuntimeError
            If it is of another network.
        """

        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        self._average.load_state_dict(part("average."))
        kept: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in part("optimiser.").items():
            number, key = name.split(".", 1)
            kept.setdefault(int(number), {})[key] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": kept, "param_groups": groups})
        self._steps = steps


def trainable(network: nn.Module, name: str, which: str) -> set[str]:
    """Return the names of the parameters that learn; see `FineTuneRequest.trainable`."""
    from torch import nn

    everything = dict(network.named_parameters())
    encoder = src_models.card(name).encoder
    if which == "all" or not encoder:
        return set(everything)
    norms = tuple(
        f"{path}."
        for path, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm)
    )
    return {
        path for path in everything if not path.startswith(encoder) or path.startswith(norms or "/")
    }


def _running_average(averaged: torch.Tensor, current: torch.Tensor, count: Any) -> torch.Tensor:
    """Exponential moving average whose memory grows from a few steps to a hundred."""
    keep = min(0.99, (1 + float(count)) / (10 + float(count)))
    return averaged + (current - averaged) * (1 - keep)


def copy_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a network's weights as they are now, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def mean_weights(several: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the mean of some networks' weights; of whole numbers, such as counts, the last's."""
    found = several[0]
    for number, weights in enumerate(several[1:], 2):
        found = mixed_weights(found, weights, 1 / number)
    return found


def mixed_weights(
    first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Return weights that lie a share of the way from the first to the second."""
    return {
        name: old.lerp(second[name], share) if old.is_floating_point() else second[name]
        for name, old in first.items()
    }
