"""The selective scan of an image in four directions at once, on the CPU and for inference.

Reads and writes pixels where they lie; the general scan needs a copy of them for every direction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import choose_backend


class ImageScan(nn.Module):
    """The sum of the scans row by row, column by column, and both backwards.

    A module without weights, so that an export can put an operation of its own in its place.
    """

    def forward(
        self,
        u: Tensor,
        projected: Tensor,
        weights: Tensor,
        rates: Tensor,
        skips: Tensor,
        bias: Tensor,
    ) -> Tensor:
        """Scan pixels; all tensors are float32 and on the CPU.

        Parameters
        ----------
        u : Tensor
            ``(B, H, W, C)``; C is a multiple of 32.
        projected : Tensor
            Step sizes of rank R, input and output projections of each direction,
            ``(B, H, W, 4 (R + 2 N))``.
        weights : Tensor
            Project step sizes from R to C, ``(4, R, C)``.
        rates : Tensor
            Decay rates in powers of two, ``(4, N, C)``.
        skips : Tensor
            Skip connection, the sum over all directions, ``(C,)``.
        bias : Tensor
            Added to the step sizes before their softplus, ``(4, C)``.

        Returns
        -------
        Tensor
            Like `u`.
        """
        from .numba_cpu import scan_image

        y = torch.empty_like(u, memory_format=torch.contiguous_format)
        tensors = (u, projected, weights, rates, skips, bias)
        scan_image([each.detach().contiguous().numpy() for each in tensors], y.numpy())
        return y


def can_scan_image(u: Tensor, channels: int) -> bool:
    """Whether `ImageScan` takes a tensor of so many channels, without gradients."""
    suits = u.device.type == "cpu" and u.dtype == torch.float32 and channels % 32 == 0
    plain = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return suits and plain and choose_backend("cpu") == "numba"
