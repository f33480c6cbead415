"""The selective scan of the ``mamba-ssm`` package, a CUDA kernel by Mamba's authors."""

from __future__ import annotations

from torch import Tensor


def selective_scan_mamba(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """Scan on CUDA in float32; arguments as in `src_models.selective_scan.selective_scan`."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u_, delta_, A_, B_, C_, D_ = (t.float().contiguous() for t in (u, delta, A, B, C, D))
    bias = None if delta_bias is None else delta_bias.float().contiguous()
    scanned: Tensor = selective_scan_fn(
        u_, delta_, A_, B_, C_, D_, delta_bias=bias, delta_softplus=delta_softplus
    )
    return scanned.to(u.dtype)
