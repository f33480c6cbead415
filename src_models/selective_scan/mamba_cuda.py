"""The selective scan of the ``mamba-ssm`` package, a CUDA kernel by Mamba's authors."""

from __future__ import annotations

from torch import Tensor

from .scan_inputs import ScanInputs


def selective_scan_mamba(inputs: ScanInputs) -> Tensor:
    """Scan on CUDA in float32."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    tensors = [t.float().contiguous() for t in inputs[:6]]
    bias = None if inputs.delta_bias is None else inputs.delta_bias.float().contiguous()
    scanned: Tensor = selective_scan_fn(
        *tensors, delta_bias=bias, delta_softplus=inputs.delta_softplus
    )
    return scanned.to(inputs.u.dtype)
