"""A network as other programs run it: images in, probabilities out, and nothing around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Exported(nn.Module):
    """A network with the steps before and after it that a package's description cannot state.

    Parameters
    ----------
    network : Module
        Maps ``(B, C, H, W)`` to logits ``(B, K, H, W)``.
    percentiles : sequence of float, optional
        Two percentiles of the mean of the channels, which become 0 and 1; then the range to which
        values are clipped. Without them the input is taken as it is.
    activation : sequence of str
        A function for each of the K channels, see `ACTIVATIONS`; empty for logits. Those with
        ``"softmax"`` sum to 1.
    """

    def __init__(
        self,
        network: nn.Module,
        percentiles: tuple[float, ...] | list[float] | None = None,
        activation: tuple[str, ...] | list[str] = (),
    ) -> None:
        super().__init__()
        self.network = network
        self.percentiles = None if percentiles is None else tuple(percentiles)
        self.activation = tuple(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, K, H, W)``."""
        if self.percentiles is not None:
            x = self._normalised(x, *self.percentiles)
        logits: Tensor = self.network(x)
        if not self.activation:
            return logits
        joint = self.activation.count("softmax")
        alone = [
            ACTIVATIONS[self.activation[k]](logits[:, k : k + 1])
            for k in range(joint, len(self.activation))
        ]
        return torch.cat([logits[:, :joint].softmax(1), *alone] if joint else alone, dim=1)

    def _normalised(
        self, x: Tensor, low: float, high: float, clip_low: float, clip_high: float
    ) -> Tensor:
        """Return an image between its percentiles; all zeros if it is constant."""
        ordered = x.mean(1).flatten(1).sort(dim=1).values
        last = torch.ones_like(ordered).sum(1, keepdim=True).double() - 1

        def percentile(share: float) -> Tensor:
            place = last * (share / 100)
            below = place.floor()
            above = torch.minimum(below + 1, last)
            first = ordered.gather(1, below.long())
            second = ordered.gather(1, above.long())
            return first + (second - first) * (place - below).to(x.dtype)

        bottom, top = percentile(low), percentile(high)
        usual = top > bottom  # if not, nearly all pixels are equal, and the whole range counts
        bottom = torch.where(usual, bottom, ordered[:, :1])
        top = torch.where(usual, top, ordered[:, -1:])
        spread = top - bottom
        factor = torch.where(spread > 0, 1 / spread.clamp(min=1e-30), torch.zeros_like(spread))
        scaled = (x - bottom[..., None, None]) * factor[..., None, None]
        return scaled.clamp(clip_low, clip_high)


ACTIVATIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}
