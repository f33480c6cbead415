"""The selective scan as a loop over tokens in plain torch: slow, and easy to read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """Scan token by token; arguments as in `src_models.selective_scan.selective_scan`.

    Half-precision inputs are computed in float32, float64 stays float64.
    """
    out_dtype = u.dtype
    dtype = torch.promote_types(u.dtype, torch.float32)
    u, delta, A, B, C, D = (t.to(dtype) for t in (u, delta, A, B, C, D))
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        delta = F.softplus(delta)

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
