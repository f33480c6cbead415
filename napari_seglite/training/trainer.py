"""One training step: forward pass, loss, weight update and running average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import src_models
from src_models.readout_kinds import PIXEL_FEATURES, STRUCTURE

from ..checkpoints import CheckpointInfo
from .batch_loss import autocast, keep_norms_fixed, loss_of_batch
from .team import Task, Team

if TYPE_CHECKING:
    import torch
    from torch import nn

    from src_models.recipes import Recipe

    from ..runtime import RandomState
    from .patches import Batch
    from .request import FineTuneRequest


class Trainer:
    """A network with its optimiser and the running average of its weights, which gets saved.

    Parameters
    ----------
    network : Module
        With the starting weights, on `device`.
    info : CheckpointInfo
        Of the new checkpoint.
    request : FineTuneRequest
        How to train.
    device : str
        As `devices.resolve` returns it.
    random : RandomState
        Drawn from by layers such as dropout.

    Attributes
    ----------
    team : Team or None
        Processes that compute the gradients together; None to compute them alone.
    """

    def __init__(
        self,
        network: nn.Module,
        info: CheckpointInfo,
        request: FineTuneRequest,
        device: str,
        random: RandomState,
    ) -> None:
        self.network, self.info, self.device = network, info, device
        self._random, self._request = random, request
        self.team: Team | None = None
        # A network from scratch has no starting weights to stay close to.
        self._anchor = request.retention.anchor if info.parent else 0.0
        self._interpolation = request.retention.interpolation if info.parent else 1.0
        self.rate = request.schedule.learning_rate
        self._set_up()

    def _set_up(self) -> None:
        """Begin with the network's present weights."""
        from torch.optim.swa_utils import AveragedModel

        network, info, request = self.network.train(), self.info, self._request
        if request.frozen_norm:
            keep_norms_fixed(network)
        names = trainable_parameters(network, info.network, request.trainable)
        self.optimiser = self._make_optimiser(
            {name: weight for name, weight in network.named_parameters() if name in names}
        )
        self._parameters: list[torch.Tensor] = [
            weight for group in self.optimiser.param_groups for weight in group["params"]
        ]
        self._start_weights = copy_weights(network)
        self._start_parameters = [weight.detach().clone() for weight in self._parameters]
        self._bfloat16 = request.precision == "bfloat16"
        average = AveragedModel(network, multi_avg_fn=_running_average, use_buffers=True)
        self.averaged: nn.Module = average.module
        self._average = average
        self._steps = 0

    def _make_optimiser(self, learnt: dict[str, torch.Tensor]) -> torch.optim.Optimizer:
        """Return AdamW, or what the authors took; its groups hold their share of the rate."""
        import torch

        decay, recipe = self._request.schedule.weight_decay, self._recipe
        fused = True if self.device == "cpu" else None  # there torch would loop over the weights
        if recipe is None:
            group: dict[str, Any] = {"params": list(learnt.values()), "share": 1.0}
            return torch.optim.AdamW([group], lr=self.rate, weight_decay=decay, fused=fused)
        slow = {name: weight for name, weight in learnt.items() if name.startswith(recipe.slower)}
        fast = {name: weight for name, weight in learnt.items() if name not in slow}
        groups: list[dict[str, Any]] = [
            {"params": list(some.values()), "share": share}
            for some, share in ((fast, 1.0), (slow, recipe.slower_share))
            if some
        ]
        return torch.optim.SGD(
            groups, self.rate, recipe.momentum, weight_decay=decay, nesterov=True, fused=fused
        )

    @property
    def _recipe(self) -> Recipe | None:
        card = src_models.card(self.info.network)
        return card.recipe if self._request.recipe == "authors" else None

    def result(self) -> nn.Module:
        """Return the network as it would be saved now, ready to predict."""
        network = self.averaged
        if self._interpolation < 1:
            network = deepcopy(self.averaged)
            weights = copy_weights(network)
            network.load_state_dict(
                mixed_weights(self._start_weights, weights, self._interpolation)
            )
        return network.eval()

    def step(self, batch: Batch, share: float) -> float:
        """Update the weights once and return the loss, which may be NaN.

        Parameters
        ----------
        batch : tuple of Tensor
            As `PatchSampler.batch` draws it.
        share : float
            Share of the run that is over, 0 to 1; sets the learning rate.
        """
        import torch

        factor = self._set_rate(share)
        self.optimiser.zero_grad(set_to_none=True)
        value = self._gradients(self._resized(batch))
        if not math.isfinite(value):
            return value
        foreach = self.device == "cpu" or None  # else torch decides
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0, foreach=foreach)
        self.optimiser.step()
        if self._anchor:
            with torch.no_grad():
                torch._foreach_lerp_(
                    self._parameters, self._start_parameters, self._anchor * factor
                )
        self._average.update_parameters(self.network)
        self._steps += 1
        return value

    def _gradients(self, batch: Batch) -> float:
        """Compute the gradients of all weights, alone or with a team, and return the loss."""

        def loss(some: Batch) -> torch.Tensor:
            with self._random.active():
                return loss_of_batch(self.network, self.info, some, self.device, self._bfloat16)

        if self.team is not None:
            return self.team.gradients(self.network, self._task(batch), loss)
        found = loss(batch)
        value = float(found.detach())
        if math.isfinite(value):
            found.backward()  # type: ignore[no-untyped-call]
        return value

    def _task(self, batch: Batch) -> Task:
        weights, request = copy_weights(self.network), self._request
        seed = request.seed + self._steps
        return Task(self.info, weights, batch, self._bfloat16, request.frozen_norm, seed)

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute convolutions and products within the context in the request's precision."""
        return autocast(self.device, self._bfloat16)

    def _set_rate(self, share: float) -> float:
        """Set the learning rate and return it as a share of the full one."""
        if self._recipe is None:
            warm = min(1.0, (self._steps + 1) / 20)
            factor = warm * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
        else:
            factor = 1 - abs(2 * share - 1)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * factor * group["share"]
        return factor

    def _resized(self, batch: Batch) -> Batch:
        """Resize a batch to one of the sizes of the authors' recipe; not under an object head."""
        frames, labels, weight, wanted = batch
        if self._recipe is None or wanted is not None:
            return batch
        import torch
        import torch.nn.functional as F

        sizes = self._recipe.sizes
        with self._random.active():
            size = sizes[int(torch.randint(len(sizes), ()))]
        side = max(32, round(frames.shape[-1] * size / max(sizes) / 32) * 32)
        frames = F.interpolate(frames, (side, side), mode="bilinear")
        labels = F.interpolate(labels[:, None].float(), (side, side))[:, 0].long()
        if weight is not None:
            weight = F.interpolate(weight[:, None], (side, side))[:, 0]
        return frames, labels, weight, None

    @property
    def reads_pixels(self) -> bool | int:
        """The kind of the network's readout of simple features, see `read_pixels`, or False."""
        kind: bool | int = self.info.options.get(PIXEL_FEATURES, False)
        return kind

    def read_pixels(self, kind: bool | int = STRUCTURE) -> None:
        """Give the network a readout of simple features, which changes nothing at first."""
        if self.reads_pixels:
            return
        from src_models.pixel_features import attach

        info, network = self.info, self.network
        with self._random.active():
            outputs = info.classes + info.head_channels
            attach(network, info.in_channels, outputs, kind).to(self.device)
        self.info = replace(info, options={**info.options, PIXEL_FEATURES: kind})
        self._set_up()

    def adopt(self, request: FineTuneRequest) -> None:
        """Take over another request's learning rate, anchor and interpolation."""
        self.rate = request.schedule.learning_rate
        self._anchor = min(self._anchor, request.retention.anchor)
        self._interpolation = max(self._interpolation, request.retention.interpolation)

    def restore_and_halve_rate(self, weights: dict[str, torch.Tensor]) -> None:
        """Continue from earlier weights at half the rate, after a loss that was not finite."""
        self.go_back(weights)
        self.rate /= 2

    def go_back(self, weights: dict[str, torch.Tensor]) -> None:
        """Continue from earlier weights, without the optimiser's memory of later ones."""
        self.load_weights(weights)
        self.optimiser.state.clear()

    def load_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Continue from other weights; the anchor stays where it was."""
        self.network.load_state_dict(weights)
        self.averaged.load_state_dict(weights)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        """Return what a run needs to continue to the bit: tensors on the CPU, and numbers."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self._average.state_dict().items()}
        tensors |= {f"random.{k}": v for k, v in enumerate(self._random.state())}
        for number, kept in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{k}": v for k, v in kept.items()}
        numbers = {
            "steps": self._steps,
            "rate": self.rate,
            "anchor": self._anchor,
            "interpolation": self._interpolation,
        }
        return {name: value.detach().cpu().clone() for name, value in tensors.items()}, numbers

    def restore(self, tensors: dict[str, torch.Tensor], numbers: dict[str, float]) -> None:
        """Continue from what `state` returned.

        Raises
        ------
        RuntimeError, ValueError, KeyError
            If it is of another network, or incomplete.
        """

        def having(prefix: str) -> dict[str, torch.Tensor]:
            return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(having("network."))
        self._average.load_state_dict(having("average."))
        states = having("random.")
        self._random.restore([states[str(number)] for number in range(len(states))])
        self._restore_optimiser(having("optimiser."))
        self._steps, self.rate = int(numbers["steps"]), numbers["rate"]
        self._anchor, self._interpolation = numbers["anchor"], numbers["interpolation"]

    def _restore_optimiser(self, tensors: dict[str, torch.Tensor]) -> None:
        kept: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            number, key = name.split(".", 1)
            weight = self._parameters[int(number)]
            same = value.shape == weight.shape
            kept.setdefault(int(number), {})[key] = laid_out(value, weight) if same else value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": kept, "param_groups": groups})


def trainable_parameters(network: nn.Module, name: str, which: str) -> set[str]:
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


def _running_average(averaged: Any, current: Any, count: Any) -> None:
    """Exponential moving average whose memory grows from a few steps to a hundred.

    Of tensors of one type; of integers, such as counts, the last ones are taken.
    """
    import torch

    keep = min(0.99, (1 + float(count)) / (10 + float(count)))
    if averaged[0].is_floating_point():
        torch._foreach_lerp_(averaged, current, 1 - keep)
    else:
        torch._foreach_copy_(averaged, current)


def copy_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of a network's weights on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def laid_out(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return a copy of a tensor on the CPU with the memory format of another.

    Rounding may depend on the order in memory, and a file keeps none.
    """
    import torch

    return torch.empty_like(like, device="cpu", dtype=value.dtype, requires_grad=False).copy_(value)


def mean_weights(several: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the mean of several networks' weights; integers, such as counts, are the last's."""
    mean = several[0]
    for number, weights in enumerate(several[1:], 2):
        mean = mixed_weights(mean, weights, 1 / number)
    return mean


def mixed_weights(
    first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Return weights that lie a share of the way from the first to the second."""
    return {
        name: old.lerp(second[name], share) if old.is_floating_point() else second[name]
        for name, old in first.items()
    }
