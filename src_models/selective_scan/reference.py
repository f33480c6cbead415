"""The selective scan as a loop over tokens in plain torch: slow, and easy to read."""

from __future__ import annotations

import torch
from torch import Tensor

from .scan_inputs import ScanInputs, with_final_steps


def selective_scan_reference(inputs: ScanInputs) -> Tensor:
    """Scan token by token.

    Half-precision inputs are computed in float32, float64 stays float64.
    """
    out_dtype = inputs.u.dtype
    u, delta, A, B, C, D = with_final_steps(inputs, torch.promote_types(out_dtype, torch.float32))
    rows_per_group = u.shape[1] // B.shape[1]
    B = B.repeat_interleave(rows_per_group, dim=1)  # (B, rows, N, L)
    C = C.repeat_interleave(rows_per_group, dim=1)
    h = u.new_zeros(u.shape[0], u.shape[1], A.shape[1])
    outputs = []
    for t in range(u.shape[2]):
        decay = torch.exp(delta[:, :, t, None] * A)
        h = decay * h + (delta[:, :, t] * u[:, :, t])[..., None] * B[..., t]
        outputs.append((h * C[..., t]).sum(-1))
    y = torch.stack(outputs, dim=-1) if outputs else torch.zeros_like(u)
    return (y + D[:, None] * u).to(out_dtype)
