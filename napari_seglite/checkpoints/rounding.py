"""Weights in fewer bits, for checkpoints that travel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Bits = Literal[32, 16, 8]

# Of the tensor that holds what one step of an 8-bit weight is worth.
STEP = ".step"
_LARGEST = 127


def rounded(weights: Mapping[str, Tensor], bits: Bits) -> dict[str, Tensor]:
    """Return a network's weights as they are stored, on the CPU.

    Parameters
    ----------
    weights : mapping
        Its state dict. Numbers that are not floating-point stay as they are.
    bits : int
        32 for what they are, 16 for float16. With 8, each output channel of a kernel or matrix is
        rounded to 255 steps between plus and minus its largest weight; vectors, such as biases
        and norms, are few and stay float16. What float16 cannot hold stays float32.
    """
    import torch

    stored: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        value = tensor.detach().cpu()
        if bits == 32 or not value.is_floating_point():
            stored[name] = value.contiguous()
        elif bits == 8 and value.ndim > 1:
            axes = tuple(range(1, value.ndim))
            step = (value.float().abs().amax(axes, keepdim=True) / _LARGEST).clamp(min=1e-12)
            stored[name] = (value.float() / step).round().to(torch.int8).contiguous()
            stored[name + STEP] = step.contiguous()
        else:
            half = value.half().contiguous()
            # Variances may be beyond the range of float16.
            stored[name] = half if torch.isfinite(half).all() else value.float().contiguous()
    return stored


def expanded(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in float32 from what `rounded` returned.

    Raises
    ------
    ValueError
        If the steps of 8-bit weights do not fit them.
    """
    import torch

    weights = {}
    for name, value in stored.items():
        step = stored.get(name + STEP)
        if value.dtype == torch.int8 and step is not None:
            if value.ndim < 2 or step.shape != (len(value), *(1,) * (value.ndim - 1)):
                raise ValueError(f"the steps of {name} do not fit it")
            weights[name] = value.float() * step
        elif not (name.endswith(STEP) and name.removesuffix(STEP) in stored):
            weights[name] = value.float() if value.is_floating_point() else value
    return weights
