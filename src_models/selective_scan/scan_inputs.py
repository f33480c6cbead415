"""The inputs of a selective scan, which every back end takes."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch.nn.functional as F
from torch import Tensor, dtype


class ScanInputs(NamedTuple):
    """The inputs of `src_models.selective_scan.selective_scan`.

    Attributes
    ----------
    u, delta : Tensor
        Input and step size, ``(B, rows, L)``.
    A : Tensor
        Decay rates, ``(rows, N)``.
    B, C : Tensor
        Input and output projections, ``(B, groups, N, L)``.
    D : Tensor
        Skip connection, ``(rows,)``.
    delta_bias : Tensor or None
        Added to `delta`, ``(rows,)``.
    delta_softplus : bool
        Whether softplus is applied to `delta` after the bias.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    delta_bias: Tensor | None = None
    delta_softplus: bool = False


class Backend(Protocol):
    """An implementation of the scan."""

    def __call__(self, inputs: ScanInputs) -> Tensor:
        """Return y, ``(B, rows, L)``, in the dtype of ``inputs.u``."""


def check_shapes(inputs: ScanInputs) -> None:
    """Raise `ValueError` unless the shapes fit together."""
    u, delta, A, B, C, D, bias, _ = inputs
    if u.ndim != 3 or delta.shape != u.shape:
        raise ValueError(
            f"u and delta must both be (B, rows, L), not {tuple(u.shape)} and {tuple(delta.shape)}."
        )
    batch, rows, length = u.shape
    if A.ndim != 2 or A.shape[0] != rows:
        raise ValueError(f"A must be ({rows}, N), not {tuple(A.shape)}.")
    groups = B.shape[1] if B.ndim == 4 else 0
    if not groups or B.shape != (batch, groups, A.shape[1], length) or C.shape != B.shape:
        raise ValueError(
            f"B and C must both be ({batch}, groups, {A.shape[1]}, {length}), "
            f"not {tuple(B.shape)} and {tuple(C.shape)}."
        )
    if rows % groups:
        raise ValueError(f"{rows} rows cannot be shared evenly by {groups} groups.")
    for name, vector in (("D", D), ("delta_bias", bias)):
        if vector is not None and vector.shape != (rows,):
            raise ValueError(f"{name} must be ({rows},), not {tuple(vector.shape)}.")


def with_final_steps(
    inputs: ScanInputs, to: dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Convert the inputs, and apply the bias and the softplus to the step sizes.

    Parameters
    ----------
    inputs : ScanInputs
        Of any dtype.
    to : torch.dtype
        The dtype in which the scan computes.

    Returns
    -------
    tuple of Tensor
        u, delta, A, B, C and D.
    """
    u, delta, A, B, C, D = (t.to(to) for t in inputs[:6])
    if inputs.delta_bias is not None:
        delta = delta + inputs.delta_bias.to(to)[:, None]
    if inputs.delta_softplus:
        delta = F.softplus(delta)
    return u, delta, A, B, C, D
